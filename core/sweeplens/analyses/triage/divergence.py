"""Detector for a metric that ends far worse than its best: an explosion, a collapse, or several times its best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.triage.context import SEVERITIES, Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import (
    block_of,
    blocks,
    earlier_excursion,
    median,
    noise,
    spread,
    tail_level,
)
from sweeplens.analyses.triage.metric_kinds import is_whole_loss
from sweeplens.analyses.triage.pairs import SPLITS, words
from sweeplens.config import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["divergence", "rewarded"]

_TIMES = 2.6  # a loss that ends so many times its best
_FORGOTTEN = {"lower": 0.6, "higher": 0.4}  # share of what was learned that is lost again
_FALLEN = 0.3  # share of its best that a score loses
_UNUSUAL = 2.0  # times the largest excursion that the same curve came back from
_UNBOUNDED = 1e6  # a loss of this size counts even in runs with a reward
_REWARDS = frozenset({"reward", "rewards", "return", "returns", "rew", "ret", "epret"})


class _CurveLevels(Struct, frozen=True):
    """Levels of a curve whose sign makes lower better."""

    start: float
    best: float
    end: float

    @property
    def lost(self) -> float:
        return self.end - self.best

    @property
    def learned(self) -> float:
        return self.start - self.best


def divergence(context: DetectionContext) -> Iterator[Finding]:
    """A metric with a goal ends far worse than its best. Levels are medians over a tenth of the points, at the end over a
    fiftieth and at least three; one row a run.

    high: it ends ``divergence_factor`` times its own start or best worse than the best. medium: a loss ends 2.6 times
    its best or loses 60 % of what it had learned; a score loses 30 % of its best, or 40 % of what it had learned.
    Neither counts while the loss of level is within six times the noise from point to point (four, from fifty points on), or within
    twice an excursion that the same curve recovered from, nor for a part of a loss that stays smaller than the whole loss,
    nor for losses of runs that log a reward, because those are trained for the reward.
    """
    by_run: dict[str, list[tuple[Finding, float]]] = {}
    for curve in context.curves_of(context.suspects):
        found = _diverged(curve, context.thresholds) if curve.goal != "unknown" and len(curve.worse) > 1 else None
        if found:
            by_run.setdefault(curve.run_id, []).append(found)
    whole = _whole_losses(context, list(by_run))
    paid = rewarded(context)
    for run, found in by_run.items():
        grave = [f for f, size in found if _weighs(f, size, whole.get(run), run in paid)]
        if grave:
            yield _first_of(grave)


def _weighs(finding: Finding, size: float, whole: float | None, rewarded: bool) -> bool:
    """Returns whether a rise counts: a loss that is not the training objective may rise, unless it explodes."""
    parts = set(words(finding.metric))
    is_part = "loss" in parts and bool(parts - {"loss"} - SPLITS) and (whole is None or size < whole)
    return not (is_part or ("loss" in parts and rewarded and size < _UNBOUNDED))


def _first_of(found: list[Finding]) -> Finding:
    """Returns the most severe and earliest finding (a loss before others), and names the others of its severity."""
    found = sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.step, "loss" not in words(f.metric), f.metric))
    others = [f"{f.metric} at {f.step}" for f in found[1:] if f.severity == found[0].severity]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return replace(found[0], evidence=found[0].evidence + (f"; also {', '.join(others[:3])}{more}" if others else ""))


def _whole_losses(context: DetectionContext, runs: list[str]) -> dict[str, float]:
    """Returns run -> the size of its whole loss at the start."""
    names = [m for m in context.series["metric"].unique().to_list() if is_whole_loss(m)]
    own = context.series.filter(
        pl.col("metric").is_in(names) & pl.col("run_id").is_in(runs) & pl.col("first").is_finite()
    )
    return dict(own.group_by("run_id").agg(pl.col("first").abs().max()).iter_rows())


def rewarded(context: DetectionContext) -> set[str]:
    """Returns the runs that log a reward or a return."""
    names = [m for m in context.series["metric"].unique().to_list() if set(words(m)) & _REWARDS]
    return set(context.series.filter(pl.col("metric").is_in(names))["run_id"].to_list())


def _diverged(curve: Curve, limits: Thresholds) -> tuple[Finding, float] | None:
    """Returns the finding, and how far the curve rose."""
    worse, level = curve.worse, _levels(curve.worse)
    scale = max(abs(level.start), abs(level.best))
    if level.lost <= _beyond(len(worse)) * noise(worse) or level.lost <= 0 or scale == 0:
        return None
    exploded = level.lost >= (limits.divergence_factor - 1) * scale
    if not exploded and not (len(worse) >= limits.min_points and _ruined(curve, level)):
        return None
    at = _onset(worse, level)
    if not exploded and level.lost < _UNUSUAL * earlier_excursion(worse, at):
        return None
    return Finding(
        curve.run_id,
        "divergence",
        "high" if exploded else "medium",
        curve.metric,
        int(curve.steps[at]),
        _evidence(curve, at),
    ), level.lost


def _beyond(n: int) -> float:
    """Returns the least loss in multiples of the noise: fewer if levels are medians of five points or more."""
    return 4.0 if n >= 50 else 6.0


def _levels(worse: Floats) -> _CurveLevels:
    medians = blocks(worse)
    end = float(medians[-1])
    return _CurveLevels(
        float(medians[0]), float(medians.min()), max(end, tail_level(worse)) if len(worse) >= 20 else end
    )


def _ruined(curve: Curve, level: _CurveLevels) -> bool:
    """Returns whether a run lost most of what it had learned, though its values did not explode."""
    best, lost, learned = level.best, level.lost, level.learned
    forgot = learned >= abs(level.start) / 3 and lost >= _FORGOTTEN[curve.goal] * learned
    if curve.goal == "higher":
        return forgot or (best < 0 and lost >= _FALLEN * -best)  # sign changed: a good score is far below zero
    times = best > 0 and level.end >= _TIMES * best and lost >= 0.05 * learned
    return times or (best >= 0 and forgot)  # losses that cross zero follow their opponent up and down


def _onset(worse: Floats, level: _CurveLevels) -> int:
    """Returns the first point after which the curve stays above its best level."""
    part = block_of(worse, int(blocks(worse).argmin()))
    calm = min(max(4 * spread(part), min(0.02 * level.lost, 0.1 * abs(level.best))), 0.5 * level.lost)
    left = int(np.flatnonzero(worse <= median(part) + calm)[-1])
    return min(left + 1, len(worse) - 1)


def _evidence(curve: Curve, at: int) -> str:
    """Returns values as logged, each with its step."""

    def read(i: int) -> str:
        return f"{number(curve.values[i])} at {curve.steps[i]}"

    turn = f"; {read(at - 1)}, {read(at)}" if at else ""
    return f"best {read(int(curve.worse.argmin()))}{turn}; last {read(-1)} (first {number(curve.values[0])})"
