"""Points -> the few curves that detectors need.

Points are read once, and only of series that the series frame does not acquit. Of these, one pass over all of them at once
tells which can have a spike or a change of pace at all; only those become curves. More than ``max_points`` are not read: the
candidates with the fewest points then come first, and the answer says how many were not looked at.
"""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.triage.candidates import diverging, jumping, losses, overfitting, paced
from sweeplens.analyses.triage.context import ROBUST, Curve, DetectionContext
from sweeplens.analyses.triage.from_series import most_rewound
from sweeplens.config import Thresholds
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["draw_curves"]

_KEY = ["run_id", "metric"]
_FEW = 500  # runs that are worth naming; the join keeps the wanted series in any case
_MARGIN = 0.8  # of the pace that a detector asks for: it looks more closely


def draw_curves(scene: DetectionContext, points: pl.LazyFrame, most: int) -> tuple[DetectionContext, int, int]:
    """The scene with its curves, how many points were read, and how many candidates were not looked at."""
    away, rising, jumpy = diverging(scene), overfitting(scene), jumping(scene)
    spiky = pl.concat([losses(scene).select(_KEY), jumpy.select(_KEY)]).unique()
    pace = paced(scene).select(_KEY)
    suspects = pl.concat([away.select(_KEY), rising.select(_KEY)]).unique()
    asked = _ordered(scene, suspects, pl.concat([spiky, pace]))
    kept = asked.filter(pl.col("n_logged").cum_sum() <= most).select(_KEY).with_row_index("sid")
    frame = _fetched(scene.series, kept, points)
    hints = _hints(frame, scene.thresholds).join(kept, on="sid")
    spiky = spiky.join(hints.filter("jumps"), on=_KEY, how="semi")
    pace = pace.join(hints.filter("slows"), on=_KEY, how="semi")
    drawn = replace(
        scene,
        curves=_cut(frame, hints.join(pl.concat([suspects, spiky, pace]).unique(), on=_KEY), scene.series),
        suspects=_keys(away),
        losses=_keys(spiky),
        pace=_keys(pace),
        rewound_to=_rewound_to(scene.series, points),
    )
    return drawn, frame.height, asked.height - kept.height


def _ordered(scene: DetectionContext, first: pl.DataFrame, then: pl.DataFrame) -> pl.DataFrame:
    """Both, each series once, with its points; suspects first, short ones before long ones."""
    both = pl.concat([first.with_columns(order=0), then.with_columns(order=1)])
    sized = both.join(scene.series.select(*_KEY, "n_logged"), on=_KEY)
    return sized.sort("order", "n_logged", *_KEY).unique(_KEY, keep="first", maintain_order=True)


def _keys(frame: pl.DataFrame) -> tuple[tuple[str, str], ...]:
    return tuple(frame.select(_KEY).sort(_KEY).iter_rows())


def _fetched(series: pl.DataFrame, keys: pl.DataFrame, points: pl.LazyFrame) -> pl.DataFrame:
    """sid, step, value, seconds of the standing finite points of these series, in order."""
    ids = keys["run_id"].unique().to_list()
    metrics = keys["metric"].unique().to_list()
    chosen = select_points(points, runs=ids if len(ids) <= _FEW else None, metrics=metrics)
    twice = rewound(series.join(keys, on=_KEY, how="semi"))
    seconds = (pl.col("wall_time").dt.timestamp("us") / 1e6).alias("seconds")
    return (
        standing(chosen.join(keys.lazy(), on=_KEY), twice)
        .filter(pl.col("value").is_finite()).select("sid", "step", "value", seconds).sort("sid", "step").collect()
    )  # fmt: skip


def _hints(frame: pl.DataFrame, limits: Thresholds) -> pl.DataFrame:
    """sid, row, n, timed, and whether the series jumps or slows at all, as `spike` and `throughput` would say first."""
    rise = pl.col("value").diff()
    noise = ROBUST * rise.abs().median()
    each = pl.col("seconds").diff().slice(1) / pl.col("step").diff().slice(1)
    before, after = each.head(pl.len() // 2).median(), each.tail(pl.len() // 4).median()
    return frame.with_row_index("row").group_by("sid").agg(
        pl.col("row").first(),
        n=pl.len(),
        timed=pl.col("seconds").is_not_null().all(),
        jumps=(rise.max() > limits.spike_deviations * noise / 2).fill_null(value=False),
        slows=(after >= _MARGIN * before / (1 - limits.throughput_drop)).fill_null(value=False),
    )  # fmt: skip


def _cut(frame: pl.DataFrame, wanted: pl.DataFrame, series: pl.DataFrame) -> dict[tuple[str, str], Curve]:
    """A slice of three arrays for each series that is wanted."""
    steps, values, seconds = frame["step"].to_numpy(), frame["value"].to_numpy(), frame["seconds"].to_numpy()
    curves: dict[tuple[str, str], Curve] = {}
    placed = wanted.join(series.select(*_KEY, "goal"), on=_KEY).select(*_KEY, "goal", "row", "n", "timed")
    for run, metric, goal, row, n, timed in placed.iter_rows():
        part = slice(row, row + n)
        worse = -values[part] if goal == "higher" else values[part]
        curves[run, metric] = Curve(
            run, metric, goal, steps[part], worse, values[part], seconds[part] if timed else None
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
