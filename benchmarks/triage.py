"""Times of diagnosis and news on a large sweep: `python benchmarks/triage.py [RUNS METRICS POINTS]`.

Points are made in memory: by default 10,000 runs x 20 metrics x 50 points, every fiftieth run diverges, every seventieth
overfits, every hundredth has a spike. Each answer is asked once to warm up, then five times; the median is printed with its
bound, beside the time that a plain pass over all points takes (a sum by series), which is what the answer need not do.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from support.figures import Figure, print_section, seconds

from sweeplens.analyses.news import whats_new
from sweeplens.analyses.overview import overview
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.config import Thresholds
from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA

NOW = datetime(2026, 1, 10, tzinfo=UTC)
METRICS = ("train/loss", "val/loss", "train/acc", "val/acc", "grad_norm", "lr")


def values(run: int, metric: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """A curve with the fault that this run was given."""
    t = np.arange(n) / n
    loss = 0.3 + 2.2 * np.exp(-6 * t) * (1 + 0.05 * rng.normal(size=n))
    if metric.endswith("loss"):
        if run % 50 == 0:
            loss[n // 2 :] *= 1.5 ** np.arange(n - n // 2)
        if run % 70 == 0 and metric == "val/loss":
            loss += 2 * np.maximum(t - 0.4, 0)
        if run % 100 == 7:
            loss[2 * n // 3] = 20.0
        return loss
    return (
        1 - loss / 3 if metric.endswith("acc") else np.full(n, 0.1) if metric == "lr" else 1 + rng.normal(size=n) ** 2
    )


def frames(runs: int, metrics: int, n: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Runs, series and points of the sweep."""
    rng = np.random.default_rng(0)
    names = [*METRICS, *(f"layer{i}/norm" for i in range(metrics))][:metrics]
    ids = np.array([f"run_{i:06}" for i in range(runs)])
    column = np.concatenate([values(r, m, n, rng) for r in range(runs) for m in names])
    points = pl.DataFrame({
        "run_id": pl.Series(ids).gather(np.arange(runs).repeat(metrics * n)),
        "metric": pl.concat([pl.Series(names).gather(np.arange(metrics).repeat(n))] * runs),
        "step": np.tile(np.arange(n), runs * metrics),
        "value": column,
        "wall_time": pl.Series(np.tile(np.arange(n), runs * metrics)).cast(pl.Duration("us")) * 1_000_000 + NOW - timedelta(days=1),
        "seq": np.tile(np.arange(n), runs * metrics),
    }).cast(POINTS_SCHEMA)  # fmt: skip
    hparams = {f"h{j}": rng.integers(0, 4, runs // 5 + 1).repeat(5)[:runs] for j in range(12)}
    table = pl.DataFrame({"run_id": ids, **hparams, "seed": np.arange(runs) % 5}).with_columns(
        status=pl.lit("finished"), format=pl.lit("planted"), n_steps=pl.lit(n), created_at=pl.lit(NOW - timedelta(days=2)),
        updated_at=pl.lit(NOW), null_hparams=pl.lit([], dtype=pl.List(pl.String)),
    )  # fmt: skip
    return table, reduce_series(points), points


def main(runs: int = 10_000, metrics: int = 20, n: int = 50) -> None:
    """Print a line for each figure."""
    table, series, points = frames(runs, metrics, n)
    lazy, options = points.lazy(), DiagnosisOptions(Thresholds(), NOW, replicates=("seed",))
    cursor = whats_new(table, series, lazy, options).tables["cursor"].item()
    found = diagnose(table, series, lazy, options)
    plain = lazy.group_by("run_id", "metric").agg(pl.col("value").sum())
    figures = [
        Figure("a plain pass over all points (a sum by series)", seconds(plain.collect)),
        Figure("`diagnose_runs`", seconds(lambda: diagnose(table, series, lazy, options)), most=2),
        Figure("the same from the series alone", seconds(lambda: diagnose(table, series, None, options))),
        Figure("`whats_new`", seconds(lambda: whats_new(table, series, lazy, options, cursor))),
        Figure("`overview`", seconds(lambda: overview(table, series, lazy, replicates=("seed",), triage=options))),
    ]
    sweep = f"{runs:,} runs x {metrics} metrics x {n} points = {points.height:,} in memory, warm"
    about = f"{sweep}; a diagnosis read {found.basis.points:,} of them and has {found.table.height:,} findings"
    print_section("What went wrong, what is new", "python benchmarks/triage.py", figures, about=about)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
