"""Files and bytes of a store, and what they become on paper: `python benchmarks/plan.py [RUNS]`, by default 20,000.

Writes runs x 5 metrics x 20 points, reads them once, and measures each table of the store that this makes. Then the points are
written again as docs/scaling.md plans them: partitioned by a hash of the run, each partition sorted by metric. Nothing of 10^9 runs
is written; the last column is a multiplication.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import polars as pl
from support.runs_in_files import write_parts

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.store import backend_for

PARTITIONS = 64
PLANNED = {"ledger": 1e9, "series": 1e11, "points": 1e12}
FILE_BYTES = 256e6


def main(runs: int = 20_000) -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as home:
        root = Path(home, "runs")
        write_parts(root, runs)
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache"), root)
        db.load_experiments()
        points, store = db.lazy_query().collect(), backend_for(Path(home, "cache"), [root])
        rows = {"ledger": db.runs_df.height, "series": db.series_df.height, "points": points.height}
        print("| table | rows | files | MB | bytes a row | planned |\n|---|---|---|---|---|---|")
        for table, n in rows.items():
            print(_row(table, n, list((store / table).glob("*.parquet")), PLANNED[table]))
        print(
            _row("points, partitioned", points.height, _partitioned(points, Path(home, "planned")), PLANNED["points"])
        )


def _row(table: str, rows: int, files: list[Path], planned: float) -> str:
    size = sum(f.stat().st_size for f in files)
    there = planned * size / rows
    many = f"{planned:.0e} rows, {there / 1e12:.2g} TB, {max(1, there / FILE_BYTES):,.0f} files of 256 MB"
    return f"| {table} | {rows:,} | {len(files)} | {size / 1e6:.1f} | {size / rows:.1f} | {many} |"


def _partitioned(points: pl.DataFrame, folder: Path) -> list[Path]:
    """Writes points by a hash of the run, each partition sorted by metric, run and position."""
    folder.mkdir()
    files: list[Path] = []
    for (place,), part in points.with_columns(place=pl.col("run_id").hash(0) % PARTITIONS).group_by("place"):
        files.append(folder / f"{place}.parquet")
        part.drop("place").sort("metric", "run_id", "seq").write_parquet(files[-1])
    return files


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
