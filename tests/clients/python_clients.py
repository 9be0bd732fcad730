"""Clients in Python, in virtual environments of their own below `build`: one with the SDK of today, one with its first version."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.clients.place import SCRIPTS, Place, check_found
from tests.support.npm import NotInstalledError

__all__ = ["python_client", "version_of"]

_ROOT = Path(__file__).parents[2]
_SECONDS = 900


def python_client(place: Place, group: str, script: str) -> None:
    """Let a script of ours drive the client over both transports."""
    for target in ("-", place.url):
        check_found(place.run([_python(group), SCRIPTS / script, target, *place.command]))


def version_of(group: str, package: str) -> str:
    """The version that is installed."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([_python(group), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@cache
def _python(group: str) -> Path:
    """The Python of a group's environment, installed once from its lock. Raises NotInstalledError."""
    folder, lock = _ROOT / "build" / group, _ROOT / "requirements" / f"{group}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = lock.read_text(encoding="utf-8")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "-r", str(lock)])
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"pip did not end within {_SECONDS} s") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise NotInstalledError(f"pip failed: {' | '.join(said[-2:])[:300]}")
