"""A question to a store of 100 million points, beside the same filter written by hand; and how many bytes a point takes.

    python benchmarks/large.py [ROUNDS [RUNS]]

1,000 runs x 10 metrics x 10,000 steps. Reading 28 GB of logs first would say nothing about the question, so the store is
read from small logs of the same runs, and the points, every digit of them random, are put in their place through the
store's own way to disk, ten runs a file, as a reading of such logs writes them. One metric of 20 runs is asked for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from support.figures import Figure, print_section
from support.many import in_turn, taken, write_many

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.store import PersistentStore
from sweeplens.store.files import as_block, write_points

METRICS, STEPS, RUNS_A_FILE = 10, 10_000, 10


def points_of(runs: list[str], metrics: list[str], rng: np.random.Generator) -> pl.DataFrame:
    """The points of some runs, as a reader of their logs would give them."""
    each, count = METRICS * STEPS, len(runs) * METRICS * STEPS
    steps = np.tile(np.arange(STEPS), len(runs) * METRICS)
    clock = 1_700_000_000_000_000 + steps * 250_000 + rng.integers(0, 50_000, STEPS).cumsum()[steps]
    return pl.DataFrame({
        "run_id": pl.Series(runs).gather(np.arange(len(runs)).repeat(each)),
        "metric": pl.Series(metrics).gather(np.tile(np.arange(METRICS).repeat(STEPS), len(runs))),
        "step": steps,
        "value": rng.random(count),
        "wall_time": pl.Series(clock).cast(pl.Datetime("us", "UTC")),
        "seq": steps,
    }).cast(POINTS_SCHEMA)  # fmt: skip


def fill(db: ExperimentDB) -> int:
    """Put the points in the place of those of the small logs; their count."""
    store, found = db._store, db._store.found
    assert isinstance(store, PersistentStore)
    assert found is not None
    runs, metrics = db.runs_df["run_id"].to_list(), db.view().metrics
    rng, blocks, series = np.random.default_rng(0), [], []
    for at in range(0, len(runs), RUNS_A_FILE):
        points = points_of(runs[at : at + RUNS_A_FILE], metrics, rng)
        blocks.append(as_block(store.backend, write_points(store.place, points)))
        series.append(reduce_series(points))
    store.blocks, store.series = list(blocks), pl.concat(series)
    store._persist(found)
    return sum(b.rows for b in blocks)


def main(rounds: int = 11, runs: int = 1000) -> None:
    """Print the section."""
    with tempfile.TemporaryDirectory() as home:
        root = write_many(Path(home, "runs"), runs=runs, metrics=METRICS, steps=1)
        config = AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=1e9)
        first = ExperimentDB(config, root)
        first.load_experiments()
        count = fill(first)
        db = ExperimentDB(config, root)
        opened = taken(db.refresh)
        store = db._store
        assert isinstance(store, PersistentStore)
        head = store._head
        assert head is not None
        asked = [f"run_{(i * 47) % runs:05}" for i in range(20)]
        metric = "val/acc"

        def by_hand() -> pl.DataFrame:
            files = [store.backend.locate(f.path) for f in head.tables["points"]]
            wanted = (pl.col("metric") == metric) & pl.col("run_id").is_in(asked)
            return pl.scan_parquet(files).filter(wanted).collect()

        assert by_hand().height == db.query_metrics(metric, run_filter=asked).height == 20 * STEPS
        theirs, ours, ratio = in_turn(
            lambda: taken(by_hand), lambda: taken(lambda: db.query_metrics(metric, run_filter=asked)), rounds
        )
        size = sum(Path(store.backend.locate(name)).stat().st_size for name in head.files)
        print_section(
            "A large store",
            "python benchmarks/large.py",
            [
                Figure("`scan_parquet` by hand, one metric of 20 runs", theirs * 1000, "ms"),
                Figure("`query_metrics`, the same", ours * 1000, "ms"),
                Figure("ratio", ratio, "x", 2.0),
                Figure("opening the store in a process that runs", opened * 1000, "ms"),
                Figure("store, values with all their digits", size / count, "bytes a point", 10.0),
            ],
            about=f"{count:,} points in {len(head.tables['points'])} files, {size / 1e6:,.0f} MB; medians of {rounds} turns",
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
