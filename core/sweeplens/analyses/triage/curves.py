"""Points -> the few curves that detectors need.

Points are read once: of metrics with an aim, of odd losses and gradients, of the pace, then of what may have stepped to
another level. One pass over all of them at once tells which can have a finding at all; only those become curves. More than
``max_points`` are not read: series with the fewest points then come first, and the answer says how many were not looked at.
"""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.triage.abnormal_losses import extreme
from sweeplens.analyses.triage.candidates import first_main, last_seen, paced, steady, watched
from sweeplens.analyses.triage.context import Curve, DetectionContext
from sweeplens.analyses.triage.from_series import most_rewound
from sweeplens.analyses.triage.level_shift import describe_shifts
from sweeplens.analyses.triage.pairs import train_of
from sweeplens.analyses.triage.screening import screen
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["draw_curves"]

_KEY = ["run_id", "metric"]
_FEW = 500  # runs that are worth naming; the join keeps the wanted series in any case
_SHORT = 20  # points: below, the series frame says whether a curve is looked at


def draw_curves(scene: DetectionContext, points: pl.LazyFrame, most: int) -> tuple[DetectionContext, int, pl.DataFrame]:
    """The scene with its curves, how many points were read, and the candidates (run_id, metric) that were not looked at."""
    aimed, odd, pace, still = (make(scene).select(_KEY) for make in (watched, extreme, paced, steady))
    asked = _ordered(scene, pl.concat([odd, aimed]).unique(), pace, still)
    kept = (
        asked.filter(pl.col("n_logged").cum_sum() <= most)
        .select(*_KEY, "goal")
        .sort("metric", "run_id")
        .with_row_index("sid")
    )
    frame = _fetched(scene.series, kept, points)
    hints = screen(frame, scene.thresholds).join(kept, on="sid")
    suspects = _suspects(scene, hints)
    spiky = hints.filter("jumps").select(_KEY).join(aimed, on=_KEY, how="semi")
    pace = pace.join(hints.filter("slows"), on=_KEY, how="semi")
    flat = first_main(scene).select(_KEY).join(hints.filter("rests"), on=_KEY, how="semi")
    wanted = pl.concat([suspects, _twins(scene, suspects), spiky, pace, flat, odd]).unique()
    drawn = replace(
        scene,
        curves=_cut(frame, hints.join(wanted, on=_KEY)),
        suspects=_keys(suspects),
        losses=_keys(spiky),
        pace=_keys(pace),
        flat=_keys(flat),
        extremes=_keys(odd),
        shifts=_shifts(frame, hints.join(pl.concat([aimed, still]), on=_KEY, how="semi")),
        rewound_to=_rewound_to(scene.series, points),
    )
    return drawn, frame.height, asked.join(kept, on=_KEY, how="anti")


def _suspects(scene: DetectionContext, hints: pl.DataFrame) -> pl.DataFrame:
    """The series that end worse than they were."""
    short = scene.series.filter((pl.col("n_finite") < _SHORT) & last_seen()).select(_KEY)
    leaving = hints.filter(pl.col("leaves") & (pl.col("goal") != "unknown")).select(_KEY)
    return pl.concat([short.join(hints, on=_KEY, how="semi"), leaving]).unique()


def _twins(scene: DetectionContext, suspects: pl.DataFrame) -> pl.DataFrame:
    """The training series of validation series among the suspects."""
    twins = train_of(scene.series["metric"].unique().to_list())
    val = suspects.filter(pl.col("metric").is_in(list(twins)))
    return val.with_columns(pl.col("metric").replace(twins)) if twins else val


def _shifts(frame: pl.DataFrame, hints: pl.DataFrame) -> pl.DataFrame:
    """The series among these that stepped to another level."""
    stepped = hints.filter(pl.col("at") >= 0)
    return describe_shifts(frame.select("sid", "step", "value"), stepped).join(
        stepped.select("sid", *_KEY, "goal"), on="sid"
    ).drop("sid")  # fmt: skip


def _ordered(scene: DetectionContext, *wanted: pl.DataFrame) -> pl.DataFrame:
    """All of these, each series once, with its points and goal; the first ones first, short ones before long ones."""
    every = pl.concat([keys.with_columns(order=i) for i, keys in enumerate(wanted)])
    sized = every.join(scene.series.select(*_KEY, "n_logged", "goal"), on=_KEY)
    return sized.sort("order", "n_logged", *_KEY).unique(_KEY, keep="first", maintain_order=True)


def _keys(frame: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    return tuple(frame.select(_KEY).sort(_KEY).iter_rows())


def _fetched(series: pl.DataFrame, keys: pl.DataFrame, points: pl.LazyFrame) -> pl.DataFrame:
    """sid, step, value, worse, seconds of the standing finite points of these series, in order."""
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
    """A slice of four arrays for each series that is wanted."""
    steps, values, worse, seconds = (frame[c].to_numpy() for c in ("step", "value", "worse", "seconds"))
    curves: dict[tuple[str, str], Curve] = {}
    for run, metric, goal, row, n, timed in wanted.select(*_KEY, "goal", "row", "n", "timed").iter_rows():
        part = slice(row, row + n)
        curves[run, metric] = Curve(
            run, metric, goal, steps[part], worse[part], values[part], seconds[part] if timed else None
        )
    return curves


def _rewound_to(series: pl.DataFrame, points: pl.LazyFrame) -> dict[tuple[str, str], int]:
    """The step that the longest rewound series of each run first went back to."""
    keys = most_rewound(series).select(_KEY)
    if not keys.height:
        return {}
    chosen = select_points(points, runs=keys["run_id"].to_list(), metrics=keys["metric"].unique().to_list())
    back = pl.col("step").filter(pl.col("step").diff() < 0).first()
    rows = chosen.join(keys.lazy(), on=_KEY, how="semi").group_by(_KEY).agg(back).drop_nulls().collect()
    return {(run, metric): step for run, metric, step in rows.iter_rows()}
