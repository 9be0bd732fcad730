"""How long a folder is looked through in which nothing is an experiment, beside a bare walk that only takes sizes and times.

    python benchmarks/walk.py [ROUNDS]

10,000 files of twenty kinds in 400 folders, half of them large binaries. The first look opens the heads of files whose name
makes them likely, 4 kB each; a later look opens nothing. Both are measured in turn with `os.walk` and `os.stat`. Prints its
section of README.md.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from support.figures import Figure, print_section

from sweeplens.readers import all_readers
from sweeplens.sources.discover import RememberedWalk, discover

_FILES, _FOLDERS = 10_000, 400
_BINARY = ("png", "jpg", "pt", "ckpt", "npy", "bin", "zip", "so", "parquet", "db")
_TEXT = {
    "json": '{"colour": "red", "names": ["a", "b"], "nested": {"deep": true}}\n',
    "jsonl": '{"question": "What?", "answer": "That."}\n',
    "csv": "name,town\nAda,London\n",
    "txt": "Some words in a line.\n",
    "log": "INFO starting up\n",
    "yaml": "colour: red\n",
    "md": "# A title\n",
    "py": "print('hello')\n",
    "toml": "[tool]\nname = 'x'\n",
    "out": "done\n",
}


def write_unrelated(root: Path) -> None:
    """Files that no reader wants."""
    draw = random.Random(0)
    kinds = (*_BINARY, *_TEXT)
    for index in range(_FILES):
        home = root / f"folder_{index % _FOLDERS:03}"
        home.mkdir(parents=True, exist_ok=True)
        kind = kinds[index // _FOLDERS % len(kinds)]
        data = draw.randbytes(100_000) if kind in _BINARY else (_TEXT[kind] * 200).encode()
        (home / f"file_{index}.{kind}").write_bytes(data)


def bare(root: Path) -> int:
    """Every file's size and time, and nothing else."""
    return sum(os.stat(os.path.join(home, n)).st_size > 0 for home, _, names in os.walk(root) for n in names)  # noqa: PTH116, PTH118


def taken(work: object) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def opened(root: Path) -> tuple[int, int]:
    """How many files a first look opens, and the bytes that it reads."""
    names: set[str] = set()
    sys.addaudithook(
        lambda event, args: names.add(str(args[0])) if event == "open" and str(root) in str(args[0]) else None
    )
    before = _read_so_far()
    discover([root], all_readers())
    return len(names), _read_so_far() - before


def _read_so_far() -> int:
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0  # only Linux tells
    return int(lines[0].split()[1])


def main(rounds: int = 9) -> None:
    """Measure in turn and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        write_unrelated(root)
        memory = RememberedWalk()
        assert not discover([root], all_readers(), memory=memory).sources
        turns = [
            (
                taken(lambda: bare(root)),
                taken(lambda: discover([root], all_readers())),
                taken(lambda: discover([root], all_readers(), memory=memory)),
            )
            for _ in range(rounds)
        ]
        count, size = opened(root)
    walks, firsts, agains = (statistics.median(times) for times in zip(*turns, strict=True))
    figures = [
        Figure("`os.walk` and `os.stat`", walks),
        Figure("a first look", firsts, most=3),
        Figure("a first look, beside the bare walk", statistics.median(f / w for w, f, _ in turns), "x"),
        Figure("a later look", agains),
        Figure("a later look, beside the bare walk", statistics.median(a / w for w, _, a in turns), "x"),
        Figure(f"files opened by a first look, of {_FILES:,}", count, ""),
        Figure("bytes read of each of them", size / count, "", most=4096 + 64),
    ]
    print_section("Unrelated folders", "python benchmarks/walk.py", figures, about="10,000 unrelated files")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
