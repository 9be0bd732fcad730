"""Times of the answers over runs on a large sweep: `python benchmarks/analyses.py`.

Frames are made in memory, so that only the analyses are measured: rank and compare over 10,000 runs x 20 metrics, effects
over 2,000 runs x 20 hyperparameters. Each is run once to load what it needs, then five times; the median is printed with its bound.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from support.figures import Figure, print_section, seconds

from sweeplens.analyses.comparison import ComparisonOptions, compare
from sweeplens.analyses.effects import effects
from sweeplens.analyses.ranking import rank
from sweeplens.analyses.sides import select_sides
from sweeplens.frames.schemas import RUN_COLUMNS, SERIES_SCHEMA, empty_points

SEEDS = ("seed",)


def runs_frame(n: int, hparams: int, levels: int, seeds: int) -> pl.DataFrame:
    """``n`` runs over ``hparams`` hyperparameters of a few levels each, every setting repeated with some seeds."""
    rng = np.random.default_rng(0)
    setting = np.arange(n) // seeds
    nothing: list[list[str]] = [[] for _ in range(n)]
    fixed = {
        "run_id": [f"run_{i:06}" for i in range(n)],
        "status": ["finished"] * n,
        "null_hparams": pl.Series(nothing, dtype=pl.List(pl.String)),
    }
    frame = pl.DataFrame({**{c: pl.Series([None] * n, dtype=t) for c, t in RUN_COLUMNS.items()}, **fixed})
    values: dict[str, Any] = {f"h{j}": rng.integers(0, levels, int(setting[-1]) + 1)[setting] for j in range(hparams)}
    return frame.with_columns(pl.Series("seed", np.arange(n) % seeds), *(pl.Series(k, v) for k, v in values.items()))


def series_frame(runs: pl.DataFrame, metrics: int) -> pl.DataFrame:
    """A series of each metric for each run; the first hyperparameter and chance decide its values."""
    rng = np.random.default_rng(1)
    parts: list[pl.DataFrame] = []
    for j in range(metrics):
        value = runs["h0"].to_numpy() * 1.0 + rng.normal(0, 0.3, runs.height)
        whole = {c: pl.Series(np.full(runs.height, 100)) for c, t in SERIES_SCHEMA.items() if t == pl.Int64}
        real = {c: pl.Series(value) for c, t in SERIES_SCHEMA.items() if t == pl.Float64}
        ids = {"run_id": runs["run_id"], "metric": pl.Series([f"m{j}/acc"] * runs.height)}
        parts.append(pl.DataFrame({**ids, **whole, **real}).select(*SERIES_SCHEMA))
    return pl.concat(parts).cast(SERIES_SCHEMA)  # pyright: ignore[reportArgumentType]


def main() -> None:
    """Print each figure beside its bound."""
    points = empty_points().lazy()
    many = runs_frame(10_000, 10, 5, 5)
    series = series_frame(many, 20)
    sides = select_sides(many, series, "h0 = 1", "h0 = 2")
    wide = runs_frame(2_000, 20, 5, 2)
    of_wide = series_frame(wide, 1)
    work: tuple[tuple[str, float | None, Callable[[], object]], ...] = (
        ("`rank_runs`, groups of 10,000 runs x 20 metrics", 2, partial(rank, many, series, points, "m0/acc", replicates=SEEDS)),
        ("`rank_runs`, each of 10,000 runs x 20 metrics", 2,
         partial(rank, many, series, points, "m0/acc", by="run", replicates=SEEDS)),
        ("`compare_runs`, 2 x 2,000 of these runs in 20 metrics", None,
         partial(compare, many, series, points, sides, options=ComparisonOptions(replicates=SEEDS))),
        ("`hparam_effects`, 20 hyperparameters over 2,000 runs", 5,
         partial(effects, wide, of_wide, points, "m0/acc", replicates=SEEDS)),
    )  # fmt: skip
    figures = [Figure(what, seconds(call), most=most) for what, most, call in work]
    about = "frames in memory, medians of five calls, warm"
    print_section("Answers over runs", "python benchmarks/analyses.py", figures, about=about)


if __name__ == "__main__":
    main()
