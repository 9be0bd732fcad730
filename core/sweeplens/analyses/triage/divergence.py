"""A metric with an aim that ends far worse than its best: an explosion, a collapse, or several times its best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.triage.aims import is_whole_loss
from sweeplens.analyses.triage.context import SEVERITIES, Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import blocks, earlier_excursion, median, noise, spread, tail_level
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
_UNBOUNDED = 1e6  # a loss of this size is no matter of reward any more
_REWARDS = frozenset({"reward", "rewards", "return", "returns", "rew", "ret", "epret"})


class _CurveLevels(Struct, frozen=True):
    """Levels of a curve so turned that lower is better."""

    start: float
    best: float
    end: float

    @property
    def lost(self) -> float:
        return self.end - self.best

    @property
    def learned(self) -> float:
        return self.start - self.best


def divergence(scene: DetectionContext) -> Iterator[Finding]:
    """A metric with an aim ends far worse than its best. Levels are medians over a tenth of the points, at the end over a
    fiftieth and at least three; one row a run.

    high: it ends ``divergence_factor`` times its own start or best worse than the best. medium: a loss ends 2.6 times
    its best or loses 60 % of what it had learned; a score loses 30 % of its best, or 40 % of what it had learned.
    Neither counts while what is lost is within six times the noise from point to point (four, from fifty points on), or within
    twice of an excursion that the same curve came back from, nor for a part of a loss that does not reach the size of the
    whole, nor for losses of runs that log a reward, which is what they are trained for.
    """
    by_run: dict[str, list[tuple[Finding, float]]] = {}
    for curve in scene.drawn(scene.suspects):
        found = _diverged(curve, scene.thresholds) if curve.goal != "unknown" and len(curve.worse) > 1 else None
        if found:
            by_run.setdefault(curve.run_id, []).append(found)
    whole = _whole_losses(scene, list(by_run))
    paid = rewarded(scene)
    for run, found in by_run.items():
        grave = [f for f, size in found if _weighs(f, size, whole.get(run), run in paid)]
        if grave:
            yield _first_of(grave)


def _weighs(finding: Finding, size: float, whole: float | None, rewarded: bool) -> bool:
    """A loss that is not what the run is trained for may rise, unless it grows past all bounds."""
    parts = set(words(finding.metric))
    is_part = "loss" in parts and bool(parts - {"loss"} - SPLITS) and (whole is None or size < whole)
    return not (is_part or ("loss" in parts and rewarded and size < _UNBOUNDED))


def _first_of(found: list[Finding]) -> Finding:
    """The gravest and earliest (a loss before others), with the names of the others of its severity."""
    found = sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.step, "loss" not in words(f.metric), f.metric))
    others = [f"{f.metric} at {f.step}" for f in found[1:] if f.severity == found[0].severity]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return replace(found[0], evidence=found[0].evidence + (f"; also {', '.join(others[:3])}{more}" if others else ""))


def _whole_losses(scene: DetectionContext, runs: list[str]) -> dict[str, float]:
    """run -> the size at the start of its loss as a whole."""
    names = [m for m in scene.series["metric"].unique().to_list() if is_whole_loss(m)]
    own = scene.series.filter(
        pl.col("metric").is_in(names) & pl.col("run_id").is_in(runs) & pl.col("first").is_finite()
    )
    return dict(own.group_by("run_id").agg(pl.col("first").abs().max()).iter_rows())


def rewarded(scene: DetectionContext) -> set[str]:
    """The runs that log a reward or a return."""
    names = [m for m in scene.series["metric"].unique().to_list() if set(words(m)) & _REWARDS]
    return set(scene.series.filter(pl.col("metric").is_in(names))["run_id"].to_list())


def _diverged(curve: Curve, limits: Thresholds) -> tuple[Finding, float] | None:
    """The finding, and how far the curve rose."""
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
    """Times the noise that must be lost: fewer where levels rest on five points or more."""
    return 4.0 if n >= 50 else 6.0


def _levels(worse: Floats) -> _CurveLevels:
    medians = blocks(worse)
    end = float(medians[-1])
    return _CurveLevels(
        float(medians[0]), float(medians.min()), max(end, tail_level(worse)) if len(worse) >= 20 else end
    )


def _ruined(curve: Curve, level: _CurveLevels) -> bool:
    """Whether so much was lost that the run is worth little, though the values did not explode."""
    best, lost, learned = level.best, level.lost, level.learned
    forgot = learned >= abs(level.start) / 3 and lost >= _FORGOTTEN[curve.goal] * learned
    if curve.goal == "higher":
        return forgot or (best < 0 and lost >= _FALLEN * -best)  # turned: a good score is far below zero
    times = best > 0 and level.end >= _TIMES * best and lost >= 0.05 * learned
    return times or (best >= 0 and forgot)  # losses that pass zero go up and down as their opponent does


def _onset(worse: Floats, level: _CurveLevels) -> int:
    """The first point of the last stretch that stays above the level of the best."""
    lowest = int(np.argmin([median(b) for b in np.array_split(worse, 10)])) if len(worse) >= 20 else int(worse.argmin())
    part = np.array_split(worse, 10)[lowest] if len(worse) >= 20 else worse[lowest : lowest + 1]
    calm = min(max(4 * spread(part), min(0.02 * level.lost, 0.1 * abs(level.best))), 0.5 * level.lost)
    left = int(np.flatnonzero(worse <= median(part) + calm)[-1])
    return min(left + 1, len(worse) - 1)


def _evidence(curve: Curve, at: int) -> str:
    """Values as they were logged, each with its step."""

    def read(i: int) -> str:
        return f"{number(curve.values[i])} at {curve.steps[i]}"

    turn = f"; {read(at - 1)}, {read(at)}" if at else ""
    return f"best {read(int(curve.worse.argmin()))}{turn}; last {read(-1)} (first {number(curve.values[0])})"
