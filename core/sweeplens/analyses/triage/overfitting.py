"""Detector for overfitting: validation metrics that get worse after their best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweeplens.analyses.triage.context import Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.curve_levels import blocks, earlier_excursion, median, noise, smooth, turn_of
from sweeplens.analyses.triage.pairs import is_validation, train_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["overfit"]

_GRAVE = 0.25
_LASTING = 0.25  # above this share of points after the best, a smaller rise is medium too
_SMALL = 0.08
_CLEAR, _FAR = 0.03, 6.0  # a smaller rise counts where it is so many times the noise of the second half
_LEAST = 5
_KNOWN = 20  # points from which the noise of the second half is known


def overfit(context: DetectionContext) -> Iterator[Finding]:
    """A validation metric gets worse after its best, while its training metric, if there is one, keeps improving.

    The median of its last tenth is ``overfit_rise`` (of its best) worse than the best, by three times the noise from point to
    point, or 3 % worse by six times the noise; and twice of any excursion that it came back from; one row a run. medium: the rise
    is a quarter or more, or 8 % over a quarter of the points. low: less.

    The step is where the rise begins: where a parabola and a line, fitted about the lowest level, meet, or the best point if it
    comes later and the fit is as good there.
    """
    twins = train_of(context.series["metric"].unique().to_list())
    worst: dict[str, tuple[float, Finding]] = {}
    for (run, metric), curve in sorted(context.curves.items(), key=lambda item: item[0]):
        if curve.goal == "unknown" or len(curve.worse) < _LEAST or not is_validation(metric):
            continue
        found = _overfitted(curve, context.curves.get((run, twins.get(metric, ""))), context.thresholds.overfit_rise)
        if found and found[0] > worst.get(run, (0.0, None))[0]:
            worst[run] = found
    yield from (finding for _, finding in worst.values())


def _overfitted(val: Curve, train: Curve | None, least: float) -> tuple[float, Finding] | None:
    lowest = _lowest(val.worse)
    best = float(smooth(val.worse[max(lowest - 1, 0) : lowest + 2])[min(lowest, 1)])
    end = float(blocks(val.worse)[-1]) if len(val.worse) >= 20 else median(val.worse[-3:])
    rise = (end - best) / max(abs(best), 1e-12)
    if lowest >= len(val.worse) - 2 or end - best < 3 * noise(val.worse):
        return None
    if rise < least and not (rise >= _CLEAR and _is_far(val.worse, end - best)):
        return None
    if end - best < 2 * earlier_excursion(val.worse, lowest):
        return None
    at = _onset(val.worse, lowest)
    beside = _training(train, int(val.steps[at]))
    if beside is None:
        return None
    lasting = len(val.worse) - at >= _LASTING * len(val.worse) and rise >= _SMALL
    severity = "medium" if rise >= _GRAVE or lasting else "low"
    text = f"{_best(val, at)}, last {number(val.values[-1])} at {val.steps[-1]} ({rise:+.0%} by medians), {beside}"
    return rise, Finding(val.run_id, "overfit", severity, val.metric, int(val.steps[at]), text)


def _is_far(worse: Floats, rise: float) -> bool:
    """Returns whether a rise is far above the noise of the second half, where there are points enough to know that."""
    return len(worse) >= _KNOWN and rise >= _FAR * noise(worse[len(worse) // 2 :])


def _lowest(worse: Floats) -> int:
    return int(smooth(worse, max(len(worse) // 20, 3)).argmin())


def _onset(worse: Floats, lowest: int) -> int:
    """Returns where the rise begins: where a fitted curve turns, or the best point after it if the curve may turn there as well."""
    best, reach = int(worse.argmin()), min(max(len(worse) // 4, 4), 150)
    first, last = max(lowest - reach, 0), min(lowest + reach, len(worse))
    if last - first < 8:
        return best if lowest < best <= lowest + 1 else lowest
    near = max(reach // 2, 2)
    low, high = max(lowest - near - first, 1), min(lowest + near - first, last - first - 2)
    turn = turn_of(worse[first:last], low, high, best - first)
    at = first + turn.at
    return best if at < best and (turn.is_plausible or best == at + 1) else at


def _best(val: Curve, at: int) -> str:
    """Returns the best value before the rise in words; a single better value after it is called so."""
    top = int(val.worse.argmin())
    single = f"{number(val.values[top])} at step {val.steps[top]}"
    if top <= at:
        return f"best {single}"
    near = val.values[max(at - 2, 0) : at + 3]
    return (
        f"best level {number(median(near))} at step {val.steps[at]} (median of {len(near)} points; the better {single} "
        "is within the noise of the rise)"
    )


def _training(train: Curve | None, onset: int) -> str | None:
    """Returns how the training metric continued, in words; None if it got worse too."""
    if train is None or len(train.worse) < _LEAST:
        return "no training metric beside it"
    then, final = _around(train, onset), float(blocks(train.worse)[-1])
    if not final < then - 0.02 * abs(then) or int(train.steps[-1]) <= onset:
        return None
    was, now = (number(-x if train.goal == "higher" else x) for x in (then, final))
    return f"while {train.metric} went on {was} -> {now}"


def _around(curve: Curve, step: int) -> float:
    """Returns the median of the curve over a tenth of its points around a step."""
    at = int(np.searchsorted(curve.steps, step))
    half = max(len(curve.worse) // 20, 1)
    return median(curve.worse[max(at - half, 0) : at + half + 1])
