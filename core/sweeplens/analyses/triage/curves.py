"""Reads the points of the few series that detectors need as curves.

Points are read once: of metrics with a goal, of odd losses and gradients, of the pace, then of what may have stepped to
another level. One pass over all of them at once tells which can have a finding at all; only those become curves. More than
``max_points`` are not read: series with the fewest points then come first, and the answer says how many were not looked at.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.triage.candidates import curve_candidates
from sweeplens.analyses.triage.context import Curve, DetectionContext
from sweeplens.analyses.triage.from_series import most_rewound
from sweeplens.analyses.triage.level_shift import describe_shifts
from sweeplens.analyses.triage.pairs import train_of
from sweeplens.analyses.triage.restarts import losses_beside
from sweeplens.analyses.triage.screening import screen
from sweeplens.engines.protocol import Points, PointSource
from sweeplens.engines.reductions import FirstReturn
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["ExaminedCurves", "read_curves"]

_KEY = ["run_id", "metric"]
_FEW = 500  # runs of a metric are named up to so many, or half of all; the keys select the series in any case
_BATCH_POINTS = 2_000_000
_NO_POINTS = pl.DataFrame(
    schema={"step": pl.Int64, "value": pl.Float64, "sid": pl.UInt32, "worse": pl.Float64, "seconds": pl.Float64}
).select("sid", "step", "value", "worse", "seconds")
_SHORT = 20  # points: for shorter series, the series frame decides whether the curve is examined


class ExaminedCurves(Struct, frozen=True):
    """The context with its curves, the points that were read, the series examined as curves, and the number left out."""

    context: DetectionContext
    points: int
    examined: pl.DataFrame
    left_out: int


def read_curves(context: DetectionContext, points: PointSource, most: int) -> ExaminedCurves:
    """Reads at most ``most`` points, and returns the context with the curves of the series that may have a finding."""
    asked = curve_candidates(context)
    kept = _within(asked, most).sort("metric", maintain_order=True).with_row_index("sid")
    hints, frame = _screened(context, kept, points)
    short = (pl.col("n_finite") < _SHORT) & pl.col("ends_worse")
    suspects = hints.filter(short | (pl.col("leaves") & (pl.col("goal") != "unknown")))
    spiky = hints.filter(pl.col("jumps") & pl.col("with_goal"))
    pace, flat, odd = (
        hints.filter(wanted) for wanted in (pl.col("pace") & pl.col("slows"), pl.col("main") & pl.col("rests"), "odd")
    )
    stepped = hints.filter((pl.col("with_goal") | pl.col("level")) & (pl.col("at") >= 0))
    counters = hints.filter("counter")
    chosen = (suspects, spiky, pace, flat, odd, counters)
    beside = _beside(context, hints, counters)
    wanted = pl.concat([_twins(context, suspects), beside, *(part.select(_KEY) for part in chosen)]).unique()
    needed = pl.concat([wanted, stepped.select(_KEY)]).unique()
    if frame is None:
        frame = _fetched(context.series, kept.join(needed, on=_KEY, how="semi", maintain_order="left"), points)
    drawn = replace(
        context,
        curves=_cut(frame, hints.join(wanted, on=_KEY, how="semi")),
        suspects=_keys(suspects),
        losses=_keys(spiky),
        pace=_keys(pace),
        flat=_keys(flat),
        extremes=_keys(odd),
        shifts=_shifts(frame, stepped),
        rewound_to=_rewound_to(context.series, points),
        counters=_keys(counters),
    )
    return ExaminedCurves(drawn, int(hints["n"].sum()), kept, asked.height - kept.height)


def _screened(
    context: DetectionContext, kept: pl.DataFrame, points: PointSource
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Returns the series with their hints, and their points; None if there are many, which are read batch by batch."""
    batches = _batches(kept)
    if len(batches) <= 1:
        frame = _fetched(context.series, kept, points)
        return screen(frame, context.thresholds).join(kept, on="sid"), frame
    hints = [screen(_fetched(context.series, batch, points), context.thresholds) for batch in batches]
    return pl.concat(hints).join(kept, on="sid"), None


def _batches(kept: pl.DataFrame) -> list[pl.DataFrame]:
    """Returns the series, in order, in batches of about `_BATCH_POINTS` points: all points at once take much room.

    A metric with more points than that is divided, others are together.
    """
    within = (pl.col("n_logged").cum_sum().over("metric") - 1) // _BATCH_POINTS
    sizes = kept.select("metric", within=within, n="n_logged").group_by("metric", "within", maintain_order=True).sum()
    batch = ((pl.col("n").cum_sum() - 1) // _BATCH_POINTS).alias("batch")
    placed = kept.with_columns(within=within).join(
        sizes.select("metric", "within", batch), on=["metric", "within"], maintain_order="left"
    )
    return placed.drop("within").partition_by("batch", maintain_order=True, include_key=False)


def _within(asked: pl.DataFrame, most: int) -> pl.DataFrame:
    """Returns the series that have together at most so many points: by priority, and short ones first."""
    if asked["n_logged"].sum() <= most:
        return asked
    order = pl.when(pl.col("odd") | pl.col("with_goal")).then(0).when("pace").then(1).otherwise(2)
    ranked = asked.with_row_index("place").sort(order, "n_logged", "place")
    return ranked.filter(pl.col("n_logged").cum_sum() <= most).sort("place").drop("place")


def _twins(context: DetectionContext, suspects: pl.DataFrame) -> pl.DataFrame:
    """Returns the training series of the validation series among the suspects."""
    twins = train_of(context.series["metric"].unique().to_list())
    val = suspects.select(_KEY).filter(pl.col("metric").is_in(list(twins)))
    return val.with_columns(pl.col("metric").replace(twins)) if twins else val


def _beside(context: DetectionContext, hints: pl.DataFrame, counters: pl.DataFrame) -> pl.DataFrame:
    """Returns the losses of the runs whose counters are read, if these are few."""
    runs = counters["run_id"].unique()
    if runs.len() > _FEW:
        return hints.select(_KEY).clear()
    names = losses_beside(hints["metric"].unique().to_list(), context.main)
    return hints.filter(pl.col("run_id").is_in(runs.implode()), pl.col("metric").is_in(names)).select(_KEY)


def _shifts(frame: pl.DataFrame, stepped: pl.DataFrame) -> pl.DataFrame:
    """Returns those of these series whose level shifted."""
    return describe_shifts(frame.select("sid", "step", "value"), stepped).join(
        stepped.select("sid", *_KEY, "goal"), on="sid"
    ).drop("sid")  # fmt: skip


def _keys(frame: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    return tuple(frame.select(_KEY).sort(_KEY).iter_rows())


def _fetched(series: pl.DataFrame, keys: pl.DataFrame, points: PointSource) -> pl.DataFrame:
    """Returns sid, step, value, worse, seconds of the finite points of these series, in order."""
    if not keys.height:
        return _NO_POINTS
    twice = rewound(series)
    twice = twice.join(keys, on=_KEY, how="semi") if twice.height else twice
    parts = [
        _numbered(standing(select_points(points, runs=_runs_named(series, own), metrics=[str(metric)]), twice), own)
        for (metric,), own in keys.group_by("metric", maintain_order=True)
    ]
    read = pl.concat(parts)
    ordered = read if read["sid"].is_sorted() else read.sort("sid", maintain_order=True)
    back = (pl.col("step").diff() < 0) & (pl.col("sid").diff() == 0)
    return (
        ordered.sort("sid", "step") if ordered.select(back.any()).item() else ordered
    )  # two keys sort far more slowly


def _runs_named(series: pl.DataFrame, keys: pl.DataFrame) -> list[str] | None:
    """Returns the runs to select; None where they are most of those that logged the metric, which the keys tell apart."""
    everyone = int((series["metric"] == keys["metric"][0]).sum())
    return keys["run_id"].to_list() if keys.height <= max(_FEW, everyone // 2) else None


def _numbered(points: Points, keys: pl.DataFrame) -> pl.DataFrame:
    """Returns the finite points of series of one metric with their ``sid``; keys are looked up once a stretch of equal rows."""
    frame = points.finite().fetch(["run_id", "step", "value", "wall_time"], needed=keys)
    stretches = frame.select(pl.col("run_id").rle().struct.unnest()).rename({"value": "run_id"})
    heads = stretches.join(keys.select("run_id", "sid"), on="run_id", how="left", maintain_order="left")
    place = pl.Series(np.repeat(np.arange(heads.height, dtype=np.uint32), heads["len"].to_numpy()))
    seconds = (pl.col("wall_time").dt.timestamp("us") / 1e6).alias("seconds")
    worse = (-pl.col("value") if keys["goal"].first() == "higher" else pl.col("value")).alias("worse")
    named = frame.select("step", "value", seconds).with_columns(sid=heads["sid"].gather(place))
    return named.filter(pl.col("sid").is_not_null()).select("sid", "step", "value", worse, "seconds")


def _cut(frame: pl.DataFrame, wanted: pl.DataFrame) -> dict[tuple[str, str], Curve]:
    """Returns a slice of four arrays for each wanted series."""
    steps, values, worse, seconds = (frame[c].to_numpy() for c in ("step", "value", "worse", "seconds"))
    stretches = frame.select(pl.col("sid").rle().struct.unnest()).select(
        sid="value", row=pl.col("len").cum_sum() - pl.col("len")
    )
    curves: dict[tuple[str, str], Curve] = {}
    placed = wanted.join(stretches, on="sid", maintain_order="left")
    for run, metric, goal, row, n, timed in placed.select(*_KEY, "goal", "row", "n", "timed").iter_rows():
        part = slice(row, row + n)
        curves[run, metric] = Curve(
            run, metric, goal, steps[part], worse[part], values[part], seconds[part] if timed else None
        )
    return curves


def _rewound_to(series: pl.DataFrame, points: PointSource) -> dict[tuple[str, str], int]:
    """Returns for each run the step to which its longest rewound series first went back."""
    keys = most_rewound(series).select(_KEY)
    if not keys.height:
        return {}
    chosen = select_points(points, runs=keys["run_id"].to_list(), metrics=keys["metric"].unique().to_list())
    rows = chosen.of_series(keys).reduce(FirstReturn())
    return {(run, metric): step for run, metric, step in rows.iter_rows()}
