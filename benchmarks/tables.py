"""How fast a table becomes points, as a ratio to Polars reading the same file and doing nothing else with it.

    python benchmarks/tables.py [ROUNDS]

Both read in turn, in one run, on one core. The table is clean numbers (100,000 rows of 10 metrics), which is what the
promise is about: at least 0.8 of the speed of `pl.read_csv`. Beside it the same table with every cell in quotes. Prints
one JSON line.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is imported

import numpy as np
import polars as pl

from sweeplens.readers.tables import Plan, read_header, read_table

ROWS, METRICS = 100_000, 10


def write_tables(folder: Path) -> tuple[Path, Path]:
    """The table plain, and quoted."""
    values = np.random.default_rng(0).random((METRICS, ROWS))
    columns = {"step": np.arange(ROWS), **{f"train/metric_{i}": v for i, v in enumerate(values)}}
    frame = pl.DataFrame(columns)
    plain, quoted = folder / "plain.csv", folder / "quoted.csv"
    frame.write_csv(plain)
    frame.write_csv(quoted, quote_style="always")
    return plain, quoted


def points_of(path: Path) -> int:
    """Read a table as a reader does; the count of points."""
    header = read_header(str(path))
    assert header is not None
    return read_table(str(path), header, Plan(axis="step"), "run").points.height


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(rounds: int = 15) -> None:
    """Measure in turn and print the medians of the ratios."""
    with tempfile.TemporaryDirectory() as root:
        files = write_tables(Path(root))
        found: dict[str, float] = {"megabytes": round(files[0].stat().st_size / 1e6, 1)}
        for path in files:
            assert points_of(path) == ROWS * METRICS
            pairs = [
                (seconds(lambda p=path: pl.read_csv(p)), seconds(lambda p=path: points_of(p))) for _ in range(rounds)
            ]
            found[f"{path.stem}_ratio"] = round(statistics.median(theirs / ours for theirs, ours in pairs), 2)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
