"""Detectors that look at curves. All compare medians of blocks, so that one noisy value decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.triage.context import ROBUST, SEVERITIES, Curve, DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import SPLITS, train_of, words
from sweeplens.config import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["divergence", "overfit", "spike", "throughput"]

_LOST = 0.9  # share of what was learned that is lost again
_UNBOUNDED = 1e6  # a loss of this size is no matter of reward any more
_REWARDS = frozenset({"reward", "rewards", "return", "returns", "rew", "ret", "epret"})
_WINDOW = 10  # points on each side of a spike


def divergence(scene: DetectionContext) -> Iterator[Finding]:
    """A metric with a goal ends far worse than its best. Levels are medians over a tenth of the points; one row a run.

    high: it ends ``divergence_factor`` times its own start or best worse than the best. medium: it ends
    ``divergence_factor`` times its best, or loses 90 % of what it had learned, where that was a third of its start
    (not for losses below zero).
    Neither counts while the loss is within six times the noise from point to point, nor for a part of a loss that does not
    reach the size of the whole, nor for losses of runs that log a reward, which is what they are trained for.
    """
    by_run: dict[str, list[tuple[Finding, float]]] = {}
    for curve in scene.drawn(scene.suspects):
        found = _diverged(curve, scene.thresholds) if curve.goal != "unknown" and len(curve.worse) > 1 else None
        if found:
            by_run.setdefault(curve.run_id, []).append(found)
    whole = _whole_losses(scene, list(by_run))
    rewarded = _rewarded(scene)
    for run, found in by_run.items():
        grave = [f for f, size in found if _weighs(f, size, whole.get(run), run in rewarded)]
        if grave:
            yield _first_of(grave)


def _weighs(finding: Finding, size: float, whole: float | None, rewarded: bool) -> bool:
    """A loss that is not what the run is trained for may rise, unless it grows past all bounds."""
    is_loss = "loss" in words(finding.metric)
    is_part = is_loss and bool(set(words(finding.metric)) - {"loss"} - SPLITS) and whole is not None and size < whole
    return not (is_part or (is_loss and rewarded and size < _UNBOUNDED))


def _first_of(found: list[Finding]) -> Finding:
    """The gravest and earliest (a loss before others), with the names of the others of its severity."""
    found = sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.step, "loss" not in words(f.metric), f.metric))
    others = [f"{f.metric} at {f.step}" for f in found[1:] if f.severity == found[0].severity]
    more = (
        f"; also {', '.join(others[:3])}" + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        if others
        else ""
    )
    return replace(found[0], evidence=found[0].evidence + more)


def _whole_losses(scene: DetectionContext, runs: list[str]) -> dict[str, float]:
    """run -> the size at the start of its loss as a whole (a metric whose only word beside the split is loss)."""
    names = [m for m in scene.series["metric"].unique().to_list() if set(words(m)) - SPLITS == {"loss"}]
    own = scene.series.filter(
        pl.col("metric").is_in(names) & pl.col("run_id").is_in(runs) & pl.col("first").is_finite()
    )
    return dict(own.group_by("run_id").agg(pl.col("first").abs().max()).iter_rows())


def _rewarded(scene: DetectionContext) -> set[str]:
    names = [m for m in scene.series["metric"].unique().to_list() if set(words(m)) & _REWARDS]
    return set(scene.series.filter(pl.col("metric").is_in(names))["run_id"].to_list())


def _diverged(curve: Curve, limits: Thresholds) -> tuple[Finding, float] | None:
    """The finding, and how far the curve rose."""
    worse, factor, enough = curve.worse, limits.divergence_factor, len(curve.worse) >= limits.min_points
    blocks = _blocks(worse)
    start, end, best = float(blocks[0]), float(blocks[-1]), float(blocks.min())
    lost, learned, scale = end - best, start - best, max(abs(start), abs(best))
    if lost <= 6 * _noise(worse) or lost <= 0 or scale == 0:
        return None
    exploded = lost >= (factor - 1) * scale
    many_times = best > 0 and end >= factor * best and lost >= 0.25 * learned
    bounded = curve.goal == "higher" or best >= 0  # losses that pass zero go up and down as their opponent does
    forgot = bounded and learned >= abs(start) / 3 and lost >= _LOST * learned
    if not exploded and not (enough and (many_times or forgot)):
        return None
    left = int(np.flatnonzero(worse <= best + 0.1 * lost)[-1])
    step = int(curve.steps[min(left + 1, len(worse) - 1)])
    ends = f"{_as_logged(curve, end)} at the end (began at {_as_logged(curve, start)})"
    text = f"from {_as_logged(curve, best)} up to step {curve.steps[left]} to {ends}"
    return Finding(curve.run_id, "divergence", "high" if exploded else "medium", curve.metric, step, text), lost


def spike(scene: DetectionContext) -> Iterator[Finding]:
    """A loss jumps above its neighbours and comes back.

    It rises ``spike_deviations`` robust deviations, and half of the level itself, above the median of the ten points before,
    after the first tenth of the points, and the median of the ten points after is back below half of the rise.
    medium: it rises to three times the level and above the start of the curve. low: any other.
    """
    for curve in scene.drawn(scene.losses):
        found = _spiked(curve, scene.thresholds.spike_deviations, scene.thresholds.min_points)
        if found:
            yield found


def _spiked(curve: Curve, deviations: float, enough: int) -> Finding | None:
    v = curve.worse
    if len(v) < 2 * enough:
        return None
    jump = np.diff(v, prepend=v[0])
    noise = max(_noise(v), 1e-12)
    peaks = [
        i
        for i in np.flatnonzero(jump > deviations * noise / 2)
        if i >= max(len(v) // 10, 3) and _is_spike(v, i, deviations * noise)
    ]
    if not peaks:
        return None
    top = max(peaks, key=lambda i: v[i])
    before, after = _median(v[max(top - _WINDOW, 0) : top]), _median(v[top + 1 : top + 1 + _WINDOW])
    grave = v[top] >= 3 * abs(before) and v[top] > v[: max(len(v) // 10, 3)].max()
    others = f"; {len(peaks)} spikes in all" if len(peaks) > 1 else ""
    peak = f"{number(float(v[top]))} at step {curve.steps[top]}"
    text = f"{number(before)} before, {peak}, {number(after)} after (medians of {_WINDOW} points){others}"
    return Finding(curve.run_id, "spike", "medium" if grave else "low", curve.metric, int(curve.steps[top]), text)


def _is_spike(v: Floats, i: np.intp, height: float) -> bool:
    """Whether point i stands out of the points before it, and those after it do not stay there."""
    after = v[i + 1 : i + 1 + _WINDOW]
    if len(after) < 3:
        return False
    near = v[max(i - _WINDOW, 0) : i]
    before = _median(near)
    rise = float(v[i]) - before
    wild = rise < 3 * (float(near.max()) - before)  # such values were there before
    return rise > max(height, 0.5 * abs(before)) and not wild and _median(after) - before < 0.5 * rise


def overfit(scene: DetectionContext) -> Iterator[Finding]:
    """A validation metric gets worse after its best while its training twin goes on getting better.

    The median of its last tenth is ``overfit_rise`` (of its best) worse than the best, by three times the noise, and the
    training metric ends better than it was at that step. medium: the rise is a quarter or more. low: less.
    """
    twins = train_of(scene.series["metric"].unique().to_list())
    worst: dict[str, tuple[float, Finding]] = {}
    for (run, metric), curve in sorted(scene.curves.items(), key=lambda item: item[0]):
        twin = scene.curves.get((run, twins.get(metric, "")))
        if twin is None or curve.goal == "unknown" or len(curve.worse) < 5 or len(twin.worse) < 5:
            continue
        found = _overfitted(curve, twin, scene.thresholds.overfit_rise)
        if found and found[0] > worst.get(run, (0.0, None))[0]:
            worst[run] = found
    yield from (finding for _, finding in worst.values())


def _overfitted(val: Curve, train: Curve, least: float) -> tuple[float, Finding] | None:
    smooth = _smooth(val.worse)
    at = int(smooth.argmin())
    end, best = float(_blocks(val.worse)[-1]), float(smooth[at])
    rise = (end - best) / max(abs(best), 1e-12)
    if at >= len(smooth) - 2 or rise < least or end - best < 3 * _noise(val.worse):
        return None
    onset = int(val.steps[at])
    then = _around(train, onset)
    final = float(_blocks(train.worse)[-1])
    if not final < then - 0.02 * abs(then) or int(train.steps[-1]) <= onset:
        return None
    text = (
        f"{_as_logged(val, best)} -> {_as_logged(val, end)} at the end ({rise:+.0%}), "
        f"while {train.metric} {_as_logged(train, then)} -> {_as_logged(train, final)}"
    )
    return rise, Finding(val.run_id, "overfit", "medium" if rise >= 0.25 else "low", val.metric, onset, text)


def throughput(scene: DetectionContext) -> Iterator[Finding]:
    """medium: the last quarter of a run's points went at a rate ``throughput_drop`` below that of the first half, for
    ``throughput_seconds`` or more.

    Medians of the seconds a step takes, so a pause is no drop. Only where points carry their time.
    """
    for curve in scene.drawn(scene.pace):
        if curve.seconds is None or len(curve.seconds) < 2 * scene.thresholds.min_points:
            continue
        steps = np.diff(curve.steps)
        moved = steps > 0
        if moved.sum() < scene.thresholds.min_points:
            continue
        each = np.diff(curve.seconds)[moved] / steps[moved]
        found = _slowed(curve, each, curve.steps[1:][moved], scene.thresholds)
        if found:
            yield found


def _slowed(curve: Curve, each: Floats, steps: NDArray[np.int64], limits: Thresholds) -> Finding | None:
    quarter = max(len(each) // 4, 1)
    before, after = _median(each[: len(each) // 2]), _median(each[-quarter:])
    lasted = float(curve.seconds[-1] - curve.seconds[-quarter]) if curve.seconds is not None else 0.0
    if before <= 0 or after < before / (1 - limits.throughput_drop) or lasted < limits.throughput_seconds:
        return None
    fast = np.flatnonzero(_smooth(each) < (before + after) / 2)
    step = int(steps[min(int(fast[-1]) + 1, len(steps) - 1)]) if len(fast) else int(steps[0])
    text = f"{number(1 / before)} steps/s in the first half, {number(1 / after)} in the last quarter ({before / after - 1:+.0%})"
    return Finding(curve.run_id, "throughput", "medium", curve.metric, step, text)


def _blocks(v: Floats) -> Floats:
    """Medians of ten blocks of equal length; of each point where there are fewer than twenty."""
    if len(v) < 20:
        return v
    return np.array([_median(block) for block in np.array_split(v, 10)])


def _median(v: Floats) -> float:
    """The median of a few numbers; numpy's own takes ten times as long for them."""
    ordered = np.sort(v)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else float(ordered[middle - 1] / 2 + ordered[middle] / 2)


def _noise(v: Floats) -> float:
    """The robust deviation from one point to the next; nothing can be said of fewer than ten."""
    return 0.0 if len(v) < 10 else ROBUST * _median(np.abs(np.diff(v)))


def _smooth(v: Floats) -> Floats:
    """Running median of three."""
    if len(v) < 3:
        return v
    middle = np.median(np.stack([v[:-2], v[1:-1], v[2:]]), axis=0)
    return np.concatenate([[_median(v[:2])], middle, [_median(v[-2:])]])


def _around(curve: Curve, step: int) -> float:
    """The median of the curve over a tenth of its points around a step."""
    at = int(np.searchsorted(curve.steps, step))
    half = max(len(curve.worse) // 20, 1)
    return _median(curve.worse[max(at - half, 0) : at + half + 1])


def _as_logged(curve: Curve, worse: float) -> str:
    return number(-worse if curve.goal == "higher" else worse)
