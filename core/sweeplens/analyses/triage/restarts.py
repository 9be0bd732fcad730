"""Detector for counters, positions in the data and schedules that start again in the middle of a run.

    restart_candidates   the series that may have started again, without reading points
    restart              counters that fall and learning rates that rise again, where sibling runs do not

A metric is a counter if its name says so, or if it rises from its lowest to its highest value in most runs that have it. Straight
lines cannot have fallen, and of series with equal statistics (all runs of a sweep count alike) one is read for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from msgspec import Struct

from sweeplens.analyses.triage.context import Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.metric_kinds import is_pace, is_whole_loss
from sweeplens.analyses.triage.pairs import is_validation, words
from sweeplens.frames.schemas import hparam_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["losses_beside", "restart", "restart_candidates"]

_LEAST = 10  # points
_COUNTS = frozenset(
    "epoch epochs token tokens sample samples example examples image images sequence sequences document documents doc docs shard "
    "shards position pos offset cursor seen consumed processed episode episodes frame frames iteration iterations timestep "
    "timesteps update updates progress batches global".split()
)
_NO_COUNT = frozenset(
    "loss acc accuracy reward return length len rate ratio per mean avg lr error std var norm score max min".split()
)
_CLOCK = frozenset("time elapsed seconds runtime hours wall duration clock".split())
_CYCLES = r"(restart|cycl|t_0|t_mult|t0)"
_RISING = 0.6  # share of a metric's series that must rise for it to be a counter
_PEERS = 4
_FALL = 0.02  # least fall, as a share of the range so far
_LR_RISE = 0.1  # least rise of a learning rate after its peak, as a share of the peak
_COMMON = 0.3  # share of sibling runs that start again at the same place, from which that is normal
_NEAR = 0.03  # of the length of a run: the same place
_MOST_FALLS = 3  # more are cycles
_AROUND = 10  # points of the loss before and after
_EVEN = 2e-6  # relative room for a straight line


class _CurveRestart(Struct, frozen=True):
    """Where a curve starts again: the place of the first point after, its step and values, and the last step of the curve."""

    curve: Curve
    at: int
    length: int

    @property
    def step(self) -> int:
        return int(self.curve.steps[self.at])


def restart_candidates(context: DetectionContext) -> pl.Expr:
    """Returns whether a series (by its place, column ``row``) is read to see if it starts again: one of each group of series
    with equal statistics."""
    names = context.series["metric"].unique().to_list()
    named = [n for n in names if _is_counter(n)] + [n for n in names if _is_lr(n)]
    others = [n for n in names if n not in named and _may_count(n)]
    up = (pl.col("min") == pl.col("first")) & (pl.col("max") == pl.col("last_finite"))
    unnamed = context.series.lazy().filter(pl.col("metric").is_in(others) & (pl.col("goal") == "unknown"))
    shares = unnamed.group_by("metric").agg(up.mean().alias("share"), n=pl.len()).collect()
    rising = shares.filter(pl.col("share") >= _RISING, pl.col("n") >= _PEERS)["metric"].to_list()
    own = context.series.with_row_index("row").filter(pl.col("metric").is_in([*named, *rising]))
    found = own.filter(_is_bent() & pl.struct("metric", *_signature()).is_first_distinct())
    return pl.col("row").is_in(found["row"].cast(pl.Int64).implode())


def _is_bent() -> pl.Expr:
    """Returns whether a series moves and is not a straight line over its points."""
    n, span = pl.col("n"), pl.col("max") - pl.col("min")
    even = (n * (n + 1) / 12).sqrt() / (n - 1)
    straight = (pl.col("std") - span * even).abs() <= _EVEN * span
    ends = (pl.col("min") == pl.col("first")) & (pl.col("max") == pl.col("last_finite"))
    return (pl.col("n_finite") >= _LEAST) & (span > 0) & (straight & ends).not_()


def _signature() -> list[pl.Expr]:
    """Returns columns that are equal for series of the same shape, whatever their scale."""
    scale = pl.max_horizontal(pl.col("max").abs(), pl.col("min").abs())
    shape = [(pl.col(c) / scale).round_sig_figs(6).alias(f"s_{c}") for c in ("first", "last_finite", "mean", "std")]
    return [pl.col("n"), pl.col("last_step"), pl.col("max_step"), *shape]


def _is_counter(metric: str) -> bool:
    own = set(words(metric))
    return bool(own & (_COUNTS | _CLOCK)) and not own & _NO_COUNT and not is_pace(metric)


def _is_lr(metric: str) -> bool:
    own = words(metric)
    return "lr" in own or {"learning", "rate"} <= set(own)


def _may_count(metric: str) -> bool:
    return not is_pace(metric) and not _is_lr(metric) and not is_whole_loss(metric)


def restart(context: DetectionContext) -> Iterator[Finding]:
    """A counter falls, or a learning rate rises again after its peak, by 2 % and 10 % of its range, at a place where fewer than
    30 % of the other runs do. medium; low: a clock. One row a run and kind of counter; more than three falls are cycles.
    """
    if not context.counters:
        return
    counting = _counting(context)
    curves = [c for c in context.curves_of(context.counters) if c.metric in counting]
    falls = [f for curve in curves for f in _falls(context, curve)]
    groups = _groups(context)
    usual = _usual_numbers(falls, groups)
    reported: set[tuple[str, int]] = set()
    for fall in sorted(falls, key=lambda f: (f.curve.run_id, _is_clock(f.curve.metric), f.step)):
        curve = fall.curve
        key = curve.run_id, fall.step
        own = sum(f.curve is curve for f in falls)
        if key in reported or own <= usual[curve.metric] or _is_common(fall, falls, groups):
            continue
        reported.add(key)
        severity = "low" if _is_clock(curve.metric) else "medium"
        for run in _alike(curve, groups):
            yield Finding(run, "restart", severity, curve.metric, fall.step, _evidence(context, run, fall))


def _counting(context: DetectionContext) -> set[str]:
    """Returns the metrics that count: by their name, or because most of the curves that were read never fall."""
    steady: dict[str, list[bool]] = {}
    for curve in context.curves_of(context.counters):
        steady.setdefault(curve.metric, []).append(bool((np.diff(curve.values) >= 0).all()))
    return {m for m, never in steady.items() if _is_counter(m) or _is_lr(m) or 2 * sum(never) > len(never)}


def _is_clock(metric: str) -> bool:
    return bool(set(words(metric)) & _CLOCK)


def _falls(context: DetectionContext, curve: Curve) -> list[_CurveRestart]:
    values = curve.values
    if _is_lr(curve.metric):
        places = _rises(values) if not _has_cycles(context) else np.array([], dtype=np.int64)
    else:
        peak = np.maximum.accumulate(values)[:-1]
        falls = values[:-1] - values[1:]
        places = np.flatnonzero(falls > _FALL * np.maximum(peak - values.min(), 0)) + 1
        places = places if (falls > 0).sum() <= _MOST_FALLS else places[:0]
    if len(places) > _MOST_FALLS or _is_even(places):
        return []
    return [_CurveRestart(curve, int(at), int(curve.steps[-1] - curve.steps[0])) for at in places]


def _is_even(places: NDArray[np.int64]) -> bool:
    """Returns whether two places or more are as far from each other as the first from the start: cycles."""
    gaps = np.diff(places, prepend=0)
    return len(places) > 1 and bool(np.ptp(gaps) <= _NEAR * gaps.mean() + 1)


def _rises(values: Floats) -> NDArray[np.int64]:
    """Returns where a learning rate rises again after a decline from its first peak; of one rise, its first place."""
    lows = np.minimum.accumulate(values[int(values.argmax()) :])
    peak = float(values.max())
    above = values[int(values.argmax()) :] - lows > _LR_RISE * peak
    begins = np.flatnonzero(np.diff(above.astype(np.int8), prepend=0) == 1)
    return begins + int(values.argmax())


def _has_cycles(context: DetectionContext) -> bool:
    """Returns whether the settings ask for restarts of the schedule."""
    names = pl.Series(hparam_columns(context.runs), dtype=pl.String).str.to_lowercase()
    if names.str.contains(_CYCLES).any():
        return True
    texts = [
        n for n in hparam_columns(context.runs) if not context.runs.schema[n].is_numeric() and "sched" in n.lower()
    ]
    return any(context.runs[n].cast(pl.String).str.to_lowercase().str.contains(_CYCLES).any() for n in texts)


def _groups(context: DetectionContext) -> pl.DataFrame:
    """Returns run_id, metric, last_step, group (of series with equal statistics) of the metrics that were read as counters."""
    metrics = sorted({metric for _, metric in context.counters})
    own = context.series.filter(pl.col("metric").is_in(metrics))
    return own.select("run_id", "metric", "last_step", group=pl.struct("metric", *_signature()).hash())


def _alike(curve: Curve, groups: pl.DataFrame) -> list[str]:
    """Returns the runs whose series has the same statistics, the read one included."""
    own = groups.filter(pl.col("metric") == curve.metric)
    mine = own.filter(pl.col("run_id") == curve.run_id)["group"]
    return own.filter(pl.col("group").is_in(mine.implode()))["run_id"].sort().to_list()


def _usual_numbers(falls: Sequence[_CurveRestart], groups: pl.DataFrame) -> dict[str, float]:
    """Returns for each metric how often a run usually starts again: the median over runs; 0 for a run alone."""
    table = pl.DataFrame(
        [(f.curve.run_id, f.curve.metric) for f in falls],
        schema=dict.fromkeys(("run_id", "metric"), pl.String),
        orient="row",
    )
    counts = table.group_by("run_id", "metric").agg(falls=pl.len())
    of_group = counts.join(groups, on=["run_id", "metric"]).select("group", "falls").unique("group")
    every = groups.join(of_group, on="group", how="left").with_columns(pl.col("falls").fill_null(0))
    usual = every.group_by("metric").agg(usual=pl.when(pl.len() > 1).then(pl.col("falls").median()).otherwise(0.0))
    return dict(usual.iter_rows())


def _is_common(fall: _CurveRestart, falls: Sequence[_CurveRestart], groups: pl.DataFrame) -> bool:
    """Returns whether 30 % of the runs that reached this step, and not this one alone, start again near it."""
    near = [
        f.curve.run_id
        for f in falls
        if f.curve.metric == fall.curve.metric and abs(f.step - fall.step) <= _NEAR * fall.length
    ]
    own = groups.filter(pl.col("metric") == fall.curve.metric)
    reached = own.filter(pl.col("last_step") >= fall.step)
    alike = own.filter(pl.col("run_id").is_in(near))["group"].unique()
    n = reached.filter(pl.col("group").is_in(alike.implode())).height
    return n > 1 and n >= _COMMON * reached.height


def losses_beside(metrics: Sequence[str], main: Sequence[str]) -> list[str]:
    """Returns the metrics whose values around a restart are shown: the training loss, and the first main metric."""
    losses = sorted(
        (m for m in metrics if is_whole_loss(m) and not is_validation(m)), key=lambda m: ("train" not in m, m)
    )
    return [*losses[:1], *(m for m in main[:1] if m not in losses[:1])]


def _evidence(context: DetectionContext, run: str, fall: _CurveRestart) -> str:
    curve, at = fall.curve, fall.at
    verb = "rises again" if _is_lr(curve.metric) else "falls"
    text = (
        f"{verb} from {number(float(curve.values[at - 1]))} at step {int(curve.steps[at - 1])} to "
        f"{number(float(curve.values[at]))} at {fall.step}, not so in its sibling runs"
    )
    names = losses_beside(sorted({m for r, m in context.curves if r == run}), context.main)
    beside = [t for name in names if (t := _around(context.curves.get((run, name)), fall.step))]
    return "; ".join([text, *beside])


def _around(curve: Curve | None, step: int) -> str:
    """Returns the mean of the points before and after a step, and the change over as many points before it."""
    if curve is None:
        return ""
    at = int(np.searchsorted(curve.steps, step))
    k = min(_AROUND, at // 2, len(curve.values) - at)
    if k < 1:
        return ""
    earlier, before, after = (float(curve.values[i : i + k].mean()) for i in (at - 2 * k, at - k, at))
    points = f"{k} points each" if k > 1 else "a point each"
    return f"{curve.metric} {number(earlier)}, {number(before)} before and {number(after)} after ({points})"
