"""The difference between two sides of one task at other steps than the last of each run.

    other_steps     the same comparison at equal steps, without short runs, and early in training where it was another one

A mean over runs that were cut off mixes steps. A side that learns faster may be ahead early and equal at the end, which the last
values cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.metric_comparison import ComparisonSetup, MetricComparison, compare_metric
from sweeplens.analyses.statistics import ALPHA
from sweeplens.analyses.task_plan import TaskPlan
from sweeplens.counting import count_of
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.reduction import Reduction, reduce_runs

__all__ = ["other_steps"]

_SHORTER = 0.98
_EARLY = 1 / 3
_SURE = 0.01  # limit for the p of an early difference, which nobody asked for
_FEWEST_POINTS = 9  # of each run, so that a third of the steps has some of them behind it
_MOST_POINTS = 1_000_000  # with more, an early comparison would cost more than all else


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
        yield from [(f"at step {min(shared)}", at)] if at else []
    elif whole.height < rows.height:
        kept = values.join(whole.select("run_id"), on="run_id", how="semi")
        table = kept.select("run_id", pl.lit(case.metric).alias("metric"), "value")
        without = compare_metric(case.metric, case.goal, table, setup, None, rows)
        short = count_of(rows.height - whole.height, "shorter run")
        yield from [(f"without {short}", without)] if without else []
    yield from _early(case, setup, rows, points, int(min(shared) * _EARLY))


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
    if early is None or early.contrast.p is None or early.contrast.p >= _SURE:
        return
    end = case.contrast
    same_sign = (end.difference > 0) == (early.contrast.difference > 0)
    if end.p is None or end.p >= ALPHA or not same_sign:
        yield f"early, at step {step}", early


def _at_step(
    case: MetricComparison, setup: ComparisonSetup, rows: pl.DataFrame, points: PointSource, step: int
) -> MetricComparison | None:
    values = reduce_runs(rows, points, Reduction("at_step", step), goal=case.goal).values
    return compare_metric(case.metric, case.goal, values, setup, None, rows)
