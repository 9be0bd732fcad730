"""The difference between two sides of one task at other steps than the last of each run.

    other_steps     the same comparison at equal steps, without short runs, and early in training where it was another one
    equal_use       the same comparison at an equal amount of an axis: wall time, or a metric that counts

A mean over runs that were cut off mixes steps. A side that learns faster may be ahead early and equal at the end, and a side whose
steps are cheaper may be ahead at equal time, which the last values cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.metric_comparison import ComparisonSetup, MetricComparison, compare_metric
from sweeplens.analyses.run_costs import clock_of
from sweeplens.analyses.statistics import ALPHA
from sweeplens.analyses.task_plan import TaskPlan
from sweeplens.analyses.values_at_budget import at_budget
from sweeplens.counting import count_of
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.events import WALL_TIME
from sweeplens.frames.reduction import Reduction, reduce_runs

__all__ = ["equal_use", "other_steps"]

_SHORTER = 0.98
_EARLY = 1 / 3
_SURE = 0.01  # limit for the p of a difference early or at equal time, which nobody asked for
_FEWEST_POINTS = 9  # of each run, so that a third of the steps has some of them behind it
_MOST_POINTS = 300_000  # with more, an early comparison would cost more than all else


def other_steps(
    plan: TaskPlan, case: MetricComparison, setup: ComparisonSetup, values: pl.DataFrame, points: PointSource
) -> Iterator[tuple[str, MetricComparison]]:
    """Yields where it is compared, in words, and the comparison. ``values``: run_id, value behind ``case``."""
    rows = plan.series.filter(pl.col("metric") == case.metric)
    longest = rows["last_step"].max()
    ends = [part["last_step"].quantile(0.25) for part in plan.sides.parts_of(rows)]
    shared = [int(end) for end in ends if end is not None]
    if not isinstance(longest, int) or len(shared) < 2:
        return
    whole = rows.filter(pl.col("last_step") >= _SHORTER * longest)
    if min(shared) < _SHORTER * longest:
        at = _at_step(case, setup, rows, points, min(shared))
        if at is not None and at.contrast.difference != case.contrast.difference:  # else it was asked at this step
            yield f"at step {min(shared)}", at
    elif whole.height < rows.height:
        kept = values.join(whole.select("run_id"), on="run_id", how="semi")
        table = kept.select("run_id", pl.lit(case.metric).alias("metric"), "value")
        without = compare_metric(case.metric, case.goal, table, setup, None, rows)
        short = count_of(rows.height - whole.height, "shorter run")
        yield from [(f"without {short}", without)] if without else []
    yield from _early(case, setup, rows, points, int(min(shared) * _EARLY))


def equal_use(
    plan: TaskPlan, case: MetricComparison, setup: ComparisonSetup, points: PointSource, axis: str
) -> Iterator[tuple[str, MetricComparison]]:
    """Yields the comparison at an equal amount of this axis, if the sides use unequal amounts; by default (``axis`` step) of wall
    time, and only where the verdict is another one."""
    rows = plan.series.filter(pl.col("metric") == case.metric)
    asked = axis != "step"
    if not asked and int(rows["n_logged"].sum()) > _MOST_POINTS:
        return
    axes = (axis,) if asked else (WALL_TIME, clock_of(plan.series))
    tried = (at_budget(rows, points, name, plan.sides.both, plan.sides) for name in axes if name)
    found = next(filter(None, tried), None)
    if found is None:
        return
    table = found.values.select("run_id", pl.lit(case.metric).alias("metric"), "value")
    drawn = compare_metric(case.metric, case.goal, table, setup, None, rows)
    if drawn and (asked or _another(drawn, case)):
        yield f"at equal {found.axis} ({found.budget:.4g})", drawn


def _another(one: MetricComparison, other: MetricComparison) -> bool:
    """Whether one comparison is surely different, and the other is not, or has another sign."""
    p, end = one.contrast.p, other.contrast.p
    same_sign = (one.contrast.difference > 0) == (other.contrast.difference > 0)
    return p is not None and p < _SURE and (end is None or end >= ALPHA or not same_sign)


def _early(
    case: MetricComparison, setup: ComparisonSetup, rows: pl.DataFrame, points: PointSource, step: int
) -> Iterator[tuple[str, MetricComparison]]:
    """Yields the comparison after a third of the steps, if the sides differ there otherwise than at the end."""
    few = rows["n_logged"].min()
    if case.goal not in ("lower", "higher") or not isinstance(few, int) or few < _FEWEST_POINTS:
        return
    if int(rows["n_logged"].sum()) > _MOST_POINTS:
        return
    early = _at_step(case, setup, rows, points, step)
    if early is not None and _another(early, case):
        yield f"early, at step {step}", early


def _at_step(
    case: MetricComparison, setup: ComparisonSetup, rows: pl.DataFrame, points: PointSource, step: int
) -> MetricComparison | None:
    values = reduce_runs(rows, points, Reduction("at_step", step), goal=case.goal).values
    return compare_metric(case.metric, case.goal, values, setup, None, rows)
