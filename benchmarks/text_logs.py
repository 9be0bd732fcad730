"""How long text logs take to read, as a ratio to ``grep -c .`` over the same file, both in processor time.

    python benchmarks/text_logs.py [PAIRS] [MEGABYTES]

Three shapes: the rows of a tutorial's loop, fairseq's long rows, a console's boxes. Each reading is one pass over a file, in a
process that has imported the reader; grep and we take turns. ``grep -c .`` looks at each byte once and keeps nothing, so that
the ratio says how much it costs to find rows, parse every number and make frames of them. Prints its section of README.md.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support.figures import Figure, print_section

from sweeplens.readers.protocol import FileStat, Source
from sweeplens.readers.text.reader import TextLogs

_ALLOWED = 5.0  # times grep


def tutorial(i: int, rng: random.Random) -> str:
    """A row with a time, an epoch, a step and five numbers."""
    return (
        f"2024-05-08 04:06:{i % 60:02d},127 INFO Epoch [{i // 30000 + 1}/20], Step [{i % 30000 + 1}/30000], "
        f"Loss: {rng.random():.4f} ({rng.random():.4f}), lr: {rng.random():.3e}, acc: {rng.random() * 100:.2f}%\n"
    )


def fairseq(i: int, rng: random.Random) -> str:
    """A row of many numbers."""
    return (
        f"2021-01-01 10:{i % 60:02d}:00 | INFO | train_inner | epoch {i // 5000 + 1:03d}:    {i % 5000} / 5000 "
        f"loss={rng.random() * 9:.3f}, "
        f"nll_loss={rng.random() * 9:.3f}, ppl={rng.random() * 99:.2f}, wps={rng.random() * 9999:.1f}, ups={rng.random():.2f}, "
        f"wpb={rng.random() * 9999:.1f}, num_updates={i}, lr={rng.random():.3e}, gnorm={rng.random():.3f}, train_wall={i}\n"
    )


def box(i: int, rng: random.Random) -> str:
    """A block of four lines with values."""
    return (
        f"{'-' * 37}\n| rollout/                |            |\n|    ep_rew_mean          | {rng.random() * 99:<10.3g} |\n"
        f"| time/                   |            |\n|    total_timesteps      | {i * 2048:<10} |\n"
        f"| train/                  |            |\n|    loss                 | {rng.random():<10.3g} |\n{'-' * 37}\n"
    )


SHAPES: dict[str, Callable[[int, random.Random], str]] = {"tutorial": tutorial, "fairseq": fairseq, "boxes": box}


def write_log(path: Path, shape: Callable[[int, random.Random], str], size: int) -> None:
    """So many bytes of one shape."""
    rng = random.Random(1)
    written = i = 0
    with path.open("w") as log:
        while written < size:
            i += 1
            written += log.write(shape(i, rng))


def seconds_of_grep(path: Path) -> float:
    """One count of the lines that are not empty."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["grep", "-c", ".", str(path)], check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def seconds_of_reading(path: Path) -> tuple[float, int]:
    """One reading of the whole file, and how many points it gave."""
    source = Source("text_logs", str(path.parent), str(path), (FileStat(str(path), path.stat().st_size, 0, 1),))
    began = time.process_time()
    points = TextLogs().read(source, None).points.height
    return time.process_time() - began, points


def main(pairs: int = 7, megabytes: int = 20) -> None:
    """Measure in turn and print the medians of the ratios."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in SHAPES.items():
            path = Path(folder, f"{name}.log")
            write_log(path, shape, megabytes * 1_000_000)
            seconds_of_grep(path)
            turns = [(seconds_of_grep(path), *seconds_of_reading(path)) for _ in range(pairs)]
            ratio = statistics.median(ours / grep for grep, ours, _ in turns)
            took = statistics.median(ours for _, ours, _ in turns)
            figures.append(
                Figure(f"{name}: {turns[0][2]:,} points in {took:.2f} s, beside grep", ratio, "x", most=_ALLOWED)
            )
            path.unlink()
    print_section(
        "Text logs",
        "python benchmarks/text_logs.py",
        figures,
        about=f"{megabytes} MB of each shape, processor time, medians of readings in turn",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
