"""`summarize_by_hparams` through the tool, over 10,000 runs x 100 metrics, beside the same aggregation written by hand.

    python benchmarks/summaries.py [ROUNDS]

The server is warm: it has read the folder and answered once. By hand: Polars over the series table in memory, the same
statistics, one lazy query. Beside it the SDK's no-op call, which a tool cannot be without.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import polars as pl
from start import BARE
from support.figures import Figure, print_section
from support.many import taken, write_many
from support.stdio import called

from sweeplens import AnalysisConfig, ExperimentDB

SERVE = [sys.executable, "-m", "sweeplens_mcp", "serve", "--root"]


def by_hand(runs: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """What an expert would write."""
    value = pl.col("last")
    sem = value.std() / value.len().sqrt()
    return (
        series.lazy()
        .filter(value.is_finite())
        .join(runs.lazy().select("run_id", "optim.lr"), on="run_id")
        .group_by("optim.lr", "metric")
        .agg(
            n=value.len(),
            mean=value.mean(),
            std=value.std(),
            sem=sem,
            low=value.mean() - 1.96 * sem,
            high=value.mean() + 1.96 * sem,
            min=value.min(),
            median=value.median(),
            max=value.max(),
        )
        .sort("metric", "optim.lr")
        .collect()
    )


def main(rounds: int = 21) -> None:
    """Measure in turn and print the section."""
    with tempfile.TemporaryDirectory() as home:
        root = write_many(Path(home, "runs"), metrics=100)
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache"), root)
        db.load_experiments()
        runs, series = db.runs_df, db.series_df
        asked = {"hparams": ["optim.lr"], "metrics": [".*"]}
        with (
            called([*SERVE, str(root)], {"ANALYSIS_CACHE_DIR": f"{home}/cache"}) as ours,
            called([sys.executable, "-c", BARE]) as bare,
        ):
            trios = [
                (
                    taken(lambda: by_hand(runs, series)),
                    taken(lambda: bare.call("ping")),
                    taken(lambda: ours.call("summarize_by_hparams", **asked)),
                )
                for _ in range(rounds + 2)
            ][2:]
    theirs, nothing, mine = (statistics.median(column) * 1000 for column in zip(*trios, strict=True))
    ratio = statistics.median((o - n) / t for t, n, o in trios)
    print_section(
        "Summaries over a million series",
        "python benchmarks/summaries.py",
        [
            Figure("by hand, over the series in memory", theirs, "ms"),
            Figure("the SDK's no-op call", nothing, "ms"),
            Figure("`summarize_by_hparams` through the tool", mine, "ms"),
            Figure("ratio, the no-op call aside", ratio, "x", 1.5),
        ],
        about=f"10,000 runs x 100 metrics by learning rate, medians of {rounds} turns",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
