"""How fast a table becomes points, as a ratio to Polars reading the same file and doing nothing else with it.

    python benchmarks/tables.py [ROUNDS]

Both read in turn, in one run, on one core: 100,000 rows of 10 metrics as numbers (at least 0.8 of the speed of `pl.read_csv` is
promised), with every cell in quotes, and as JSON lines (beside `pl.read_ndjson`, which looks at all rows for names as we do).
Prints its section of the page.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is imported

import numpy as np
import polars as pl
from support.figures import Figure, print_section

from sweeplens.readers.decoding.delimited.table import ColumnPlan, read_header, read_table
from sweeplens.readers.json.steps import JsonSteps
from sweeplens.sources.discover import discover

ROWS, METRICS = 100_000, 10


def write_logs(folder: Path) -> list[Path]:
    """The same numbers as a table, as a table in quotes, and as JSON lines."""
    values = np.random.default_rng(0).random((METRICS, ROWS))
    columns = {"step": np.arange(ROWS), **{f"train/metric_{i}": v for i, v in enumerate(values)}}
    frame = pl.DataFrame(columns)
    plain, quoted, lines = folder / "plain.csv", folder / "quoted.csv", folder / "metrics.jsonl"
    frame.write_csv(plain)
    frame.write_csv(quoted, quote_style="always")
    frame.write_ndjson(lines)
    return [plain, quoted, lines]


def points_of(path: Path) -> int:
    """Read a table as a reader does; the count of points."""
    if path.suffix == ".jsonl":
        return points_of_lines(path)
    header = read_header(str(path))
    assert header is not None
    return read_table(str(path), header, ColumnPlan(axis="step"), "run").points.height


def points_of_lines(path: Path) -> int:
    """Read JSON lines as ingest does: together, where there are several."""
    sources = [s for s in discover([path.parent], [JsonSteps()]).sources if s.files[0].path == str(path)]
    return JsonSteps().read_many(sources, {s.path: "run" for s in sources}).points.height


def by_polars(path: Path) -> int:
    """Read the same file with Polars alone."""
    return (pl.read_ndjson(path, infer_schema_length=None) if path.suffix == ".jsonl" else pl.read_csv(path)).height


def seconds(work: Callable[[], object]) -> float:
    """The processor time of one call: a busy neighbour does not decide."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main(rounds: int = 15) -> None:
    """Measure in turn and print the medians of the ratios."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as root:
        for path, promise in zip(write_logs(Path(root).resolve()), (0.8, None, 0.8), strict=True):
            assert points_of(path) == ROWS * METRICS
            pairs = [(seconds(partial(by_polars, path)), seconds(partial(points_of, path))) for _ in range(rounds)]
            ratio = statistics.median(theirs / ours for theirs, ours in pairs)
            size = f"{path.stat().st_size / 1e6:.0f} MB"
            figures.append(Figure(f"`{path.name}`, {size}: speed beside Polars' own", ratio, "x", least=promise))
    print_section(
        "Tables and JSON lines",
        "python benchmarks/tables.py",
        figures,
        about="one core, processor time, medians of ratios",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
