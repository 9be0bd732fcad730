"""Pastes every command of README into a shell, as a newcomer does: a fresh clone, a fresh environment, a home of its own.

    python -m tests.newcomer [FOLDER]     some minutes: it installs everything; FOLDER is a new folder, by default a temporary one

The commands of the page's shell blocks run first, in their order and in one shell. Then those that stand in its text and hold no
placeholder. `make test` is left out: it is the suite that runs beside this. Ends with 1 and the first command that fails.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:sweeplens|eval) [^`]+)`")
_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z]+\b|[\[\]|]|\.\.\.")
_LEFT_OUT = ("make test",)
_REGISTRY = re.compile(
    r"PIP_|UV_|SSL_|REQUESTS_|NODE_|npm_|https?_proxy|no_proxy", re.IGNORECASE
)  # how packages are reached
_MARK = "newcomer-ran"


def commands(page: str) -> Iterator[str]:
    """Yields the commands of a page, those of its blocks first, without comments, each once."""
    blocks = [line.split("  #")[0].strip() for block in _BLOCK.findall(page) for line in block.splitlines()]
    inline = [found for found in _INLINE.findall(page) if not _PLACEHOLDER.search(found)]
    yield from (line for line in dict.fromkeys([*blocks, *inline]) if line and not line.startswith(_LEFT_OUT))


def script(page: str) -> str:
    """Returns a shell script that runs the commands and says before each which it is."""
    steps = [f"echo {_MARK} {shlex.quote(command)} >&2\n{command}" for command in commands(page)]
    return "\n".join(["set -e", *steps, ""])


def _clone(place: Path) -> Path:
    """Copies what is committed, as a clone does."""
    checkout = place / "sweeplens"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(checkout)], check=True)
    return checkout


def paste(place: Path) -> int:
    """Runs the commands below a folder. Returns the exit code, with the command that failed on stderr."""
    checkout = _clone(place)
    (place / "home").mkdir()
    page = (checkout / "README.md").read_text(encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG") or _REGISTRY.match(name)}
    environment = {**kept, "HOME": str(place / "home"), "ANALYSIS_CACHE_DIR": str(place / "cache")}
    done = subprocess.run(["bash", "-c", script(page)], cwd=checkout, env=environment, check=False,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)  # fmt: skip
    ran = [line.removeprefix(_MARK).strip() for line in done.stderr.splitlines() if line.startswith(_MARK)]
    for command in ran:
        print(f"{'failed' if done.returncode and command == ran[-1] else 'works'}  {command}")
    if done.returncode:
        print("\n".join(done.stderr.splitlines()[-20:]), file=sys.stderr)
    return min(done.returncode, 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(paste(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        sys.exit(paste(Path(folder)))
