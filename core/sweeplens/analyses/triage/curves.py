"""Reads the points of the few series that detectors need as curves.

Points are read once: of metrics with a goal, of odd losses and gradients, of the pace, then of what may have stepped to
another level. One pass over all of them at once tells which can have a finding at all; only those become curves. More than
``max_points`` are not read: series with the fewest points then come first, and the answer says how many were not looked at.
"""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.triage.abnormal_losses import suspect_losses
from sweeplens.analyses.triage.candidates import ends_worse, first_main_series, goal_series, level_series, pace_series
from sweeplens.analyses.triage.context import Curve, DetectionContext
from sweeplens.analyses.triage.from_series import most_rewound
from sweeplens.analyses.triage.level_shift import describe_shifts
from sweeplens.analyses.triage.pairs import train_of
from sweeplens.analyses.triage.screening import screen
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["read_curves"]

_KEY = ["run_id", "metric"]
_FEW = 500  # above this, runs are not named; the join selects the series in any case
_SHORT = 20  # points: for shorter series, the series frame decides whether the curve is examined


def read_curves(
    context: DetectionContext, points: pl.LazyFrame, most: int
) -> tuple[DetectionContext, int, pl.DataFrame]:
    """Returns the context with its curves, the number of points read, and the candidates (run_id, metric) left out."""
    with_goal, odd, pace, still = (
        make(context).select(_KEY) for make in (goal_series, suspect_losses, pace_series, level_series)
    )
    asked = _ordered(context, pl.concat([odd, with_goal]).unique(), pace, still)
    kept = (
        asked.filter(pl.col("n_logged").cum_sum() <= most)
        .select(*_KEY, "goal")
        .sort("metric", "run_id")
        .with_row_index("sid")
    )
    frame = _fetched(context.series, kept, points)
    hints = screen(frame, context.thresholds).join(kept, on="sid")
    suspects = _suspects(context, hints)
    spiky = hints.filter("jumps").select(_KEY).join(with_goal, on=_KEY, how="semi")
    pace = pace.join(hints.filter("slows"), on=_KEY, how="semi")
    flat = first_main_series(context).select(_KEY).join(hints.filter("rests"), on=_KEY, how="semi")
    wanted = pl.concat([suspects, _twins(context, suspects), spiky, pace, flat, odd]).unique()
    drawn = replace(
        context,
        curves=_cut(frame, hints.join(wanted, on=_KEY)),
        suspects=_keys(suspects),
        losses=_keys(spiky),
        pace=_keys(pace),
        flat=_keys(flat),
        extremes=_keys(odd),
        shifts=_shifts(frame, hints.join(pl.concat([with_goal, still]), on=_KEY, how="semi")),
        rewound_to=_rewound_to(context.series, points),
    )
    return drawn, frame.height, asked.join(kept, on=_KEY, how="anti")


def _suspects(context: DetectionContext, hints: pl.DataFrame) -> pl.DataFrame:
    """Returns the series that end worse than their best."""
    short = context.series.filter((pl.col("n_finite") < _SHORT) & ends_worse()).select(_KEY)
    leaving = hints.filter(pl.col("leaves") & (pl.col("goal") != "unknown")).select(_KEY)
    return pl.concat([short.join(hints, on=_KEY, how="semi"), leaving]).unique()


def _twins(context: DetectionContext, suspects: pl.DataFrame) -> pl.DataFrame:
    """Returns the training series of the validation series among the suspects."""
    twins = train_of(context.series["metric"].unique().to_list())
    val = suspects.filter(pl.col("metric").is_in(list(twins)))
    return val.with_columns(pl.col("metric").replace(twins)) if twins else val


def _shifts(frame: pl.DataFrame, hints: pl.DataFrame) -> pl.DataFrame:
    """Returns those of these series whose level shifted."""
    stepped = hints.filter(pl.col("at") >= 0)
    return describe_shifts(frame.select("sid", "step", "value"), stepped).join(
        stepped.select("sid", *_KEY, "goal"), on="sid"
    ).drop("sid")  # fmt: skip


def _ordered(context: DetectionContext, *wanted: pl.DataFrame) -> pl.DataFrame:
    """Returns all of these series, each once, with its points and goal, by priority and then by length."""
    every = pl.concat([keys.with_columns(order=i) for i, keys in enumerate(wanted)])
    sized = every.join(context.series.select(*_KEY, "n_logged", "goal"), on=_KEY)
    return sized.sort("order", "n_logged", *_KEY).unique(_KEY, keep="first", maintain_order=True)


def _keys(frame: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    return tuple(frame.select(_KEY).sort(_KEY).iter_rows())


def _fetched(series: pl.DataFrame, keys: pl.DataFrame, points: pl.LazyFrame) -> pl.DataFrame:
    """Returns sid, step, value, worse, seconds of the finite points of these series, in order."""
    ids = keys["run_id"].unique().to_list()
    metrics = keys["metric"].unique().to_list()
    chosen = select_points(points, runs=ids if len(ids) <= _FEW else None, metrics=metrics)
    twice = rewound(series.join(keys, on=_KEY, how="semi"))
    seconds = (pl.col("wall_time").dt.timestamp("us") / 1e6).alias("seconds")
    worse = pl.when(pl.col("goal") == "higher").then(-pl.col("value")).otherwise(pl.col("value")).alias("worse")
    read = (
        standing(chosen.join(keys.lazy(), on=_KEY), twice)
        .filter(pl.col("value").is_finite()).select("sid", "step", "value", worse, seconds).collect()
    )  # fmt: skip
    ordered = read if read["sid"].is_sorted() else read.sort("sid", maintain_order=True)
    back = (pl.col("step").diff() < 0) & (pl.col("sid").diff() == 0)
    return (
        ordered.sort("sid", "step") if ordered.select(back.any()).item() else ordered
    )  # two keys sort far more slowly


def _cut(frame: pl.DataFrame, wanted: pl.DataFrame) -> dict[tuple[str, str], Curve]:
    """Returns a slice of four arrays for each wanted series."""
    steps, values, worse, seconds = (frame[c].to_numpy() for c in ("step", "value", "worse", "seconds"))
    curves: dict[tuple[str, str], Curve] = {}
    for run, metric, goal, row, n, timed in wanted.select(*_KEY, "goal", "row", "n", "timed").iter_rows():
        part = slice(row, row + n)
        curves[run, metric] = Curve(
            run, metric, goal, steps[part], worse[part], values[part], seconds[part] if timed else None
        )
    return curves


def _rewound_to(series: pl.DataFrame, points: pl.LazyFrame) -> dict[tuple[str, str], int]:
    """Returns for each run the step to which its longest rewound series first went back."""
    keys = most_rewound(series).select(_KEY)
    if not keys.height:
        return {}
    chosen = select_points(points, runs=keys["run_id"].to_list(), metrics=keys["metric"].unique().to_list())
    back = pl.col("step").filter(pl.col("step").diff() < 0).first()
    rows = chosen.join(keys.lazy(), on=_KEY, how="semi").group_by(_KEY).agg(back).drop_nulls().collect()
    return {(run, metric): step for run, metric, step in rows.iter_rows()}
