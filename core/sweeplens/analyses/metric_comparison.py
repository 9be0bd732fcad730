"""Compares two sides in one metric: the runs are paired, matched in strata, or taken as two samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.matching import Matching, match_sides
from sweeplens.analyses.noise import Spread
from sweeplens.analyses.pooled_difference import PooledDifference, pooled_difference, with_copies
from sweeplens.analyses.sides import Sides, pair_runs
from sweeplens.analyses.statistics import HUGE, variance
from sweeplens.analyses.verdicts import Contrast, Delta, blocked_contrast, contrast
from sweeplens.frames.grouping import is_task, keyed

__all__ = ["ComparisonSetup", "MetricComparison", "WholeComparison", "compare_metric", "setup_of"]

_SIDES = {"run_id": pl.String, "side": pl.String}


class MetricComparison(Struct, frozen=True):
    """One metric: its contrast and goal, the noise of single runs, its pairs or strata, and the limit of equality."""

    metric: str
    goal: str
    contrast: Contrast
    noise: Spread | None
    pairs: pl.DataFrame | None
    pooled: PooledDifference | None
    delta: Delta | None


class ComparisonSetup(Struct, frozen=True):
    """How runs of the two sides are matched, and which differences count as equal."""

    sides: Sides
    matching: Matching | None
    pairs: pl.DataFrame | None
    equal_within: Mapping[str, float]
    tasks: pl.DataFrame | None  # run_id and task, where several tasks are matched


class WholeComparison(Struct, frozen=True):
    """The comparison of all runs of both sides: also that of a task which has all of them."""

    setup: ComparisonSetup
    cases: tuple[MetricComparison, ...]

    def is_of(self, sides: Sides) -> bool:
        """Whether these are the same runs, and no rule for tasks or single runs was applied."""
        own = self.setup.tasks is None and not any(case.noise for case in self.cases)
        return own and set(sides.a) == set(self.setup.sides.a) and set(sides.b) == set(self.setup.sides.b)


def setup_of(
    runs: pl.DataFrame, sides: Sides, replicates: Sequence[str], named: Sequence[str], tasks: Sequence[str],
    equal_within: Mapping[str, float],
) -> ComparisonSetup:  # fmt: skip
    """Matches the runs of both sides on all that varies but ``named``, or pairs them; ``tasks``: scaled each, where matched."""
    matching = match_sides(runs, sides, replicates, named)
    pairs = None if matching and matching.by else pair_runs(runs, sides, replicates)
    if matching and not matching.by and not matching.folds and pairs is not None:
        matching = None
    return ComparisonSetup(sides, matching, pairs, equal_within, _tasks_of(runs, sides, matching, tasks))


def _tasks_of(runs: pl.DataFrame, sides: Sides, matching: Matching | None, tasks: Sequence[str]) -> pl.DataFrame | None:
    of_task = [n for n in matching.by if is_task(n, tasks)] if matching else []
    if not of_task:
        return None
    both = keyed(runs.filter(pl.col("run_id").is_in(sides.ids)), of_task)
    return both.select(
        "run_id", task=pl.concat_str([pl.col(t).cast(pl.String).fill_null("") for t in of_task], separator=", ")
    )


def compare_metric(
    metric: str, goal: str, values: pl.DataFrame, setup: ComparisonSetup, noise: Spread | None, series: pl.DataFrame
) -> MetricComparison | None:
    """Compares the sides in one metric; None if a side has no value."""
    rows = _normalised(values.filter(pl.col("metric") == metric).select("run_id", "value"), setup.tasks)
    if setup.matching is not None:
        pooled = pooled_difference(setup.matching, rows)
        if pooled is not None and (setup.matching.by or pooled.blocks):
            a, b = (_of_side(pooled.rows, side) for side in "ab")
            drawn = blocked_contrast(a, b, pooled.test, pooled.sd)
            pairs = None if setup.pairs is None else _paired_values(setup.pairs, rows)
            return MetricComparison(metric, goal, drawn, noise, pairs, pooled, _delta(metric, pooled.sd, setup, series))
    a, b = (_in_order(rows, ids) for ids in (setup.sides.a, setup.sides.b))
    if not a or not b:
        return None
    spread = math.sqrt((variance(a) + variance(b)) / 2) if min(len(a), len(b)) > 1 else 0.0
    delta = _delta(metric, spread, setup, series)
    if setup.pairs is not None:
        whole = _paired_values(setup.pairs, rows)
        if whole.height > 1:
            a, b = whole["value_a"].to_list(), whole["value_b"].to_list()
            return MetricComparison(metric, goal, contrast(a, b, paired=True, noise=noise), noise, whole, None, delta)
    drawn = contrast(*_without_copies(rows, setup.sides), paired=False, noise=noise)
    return MetricComparison(metric, goal, drawn, noise, None, None, delta)


def _without_copies(rows: pl.DataFrame, sides: Sides) -> tuple[list[float], list[float]]:
    """Returns the values of both sides; of copies of a run, the first only."""
    of_sides = pl.concat(
        pl.DataFrame({"run_id": ids, "side": [side] * len(ids)}, schema=_SIDES)
        for side, ids in zip("ab", (sides.a, sides.b), strict=True)
    )
    marked = with_copies(of_sides.join(rows, on="run_id", maintain_order="left"))
    distinct = marked.filter(pl.col("copy").is_first_distinct())
    return _of_side(distinct, "a"), _of_side(distinct, "b")


def _paired_values(pairs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the pairs in which both runs have a value, with the values."""
    values_a, values_b = (rows.rename({"run_id": f"run_{s}", "value": f"value_{s}"}) for s in "ab")
    return pairs.join(values_a, on="run_a", maintain_order="left").join(values_b, on="run_b", maintain_order="left")


def _normalised(rows: pl.DataFrame, tasks: pl.DataFrame | None) -> pl.DataFrame:
    """Returns the values; where tasks vary, scaled within each task (lowest run 0, highest run 1)."""
    if tasks is None:
        return rows
    value = pl.col("value")
    low, high = value.min().over("task"), value.max().over("task")
    scaled = pl.when(high > low).then((value - low) / (high - low)).otherwise(0.5)
    return rows.join(tasks, on="run_id").with_columns(value=scaled).drop("task")


def _of_side(rows: pl.DataFrame, side: str) -> list[float]:
    return rows.filter(pl.col("side") == side)["value"].to_list()


def _in_order(rows: pl.DataFrame, ids: Sequence[str]) -> list[float]:
    """Returns the values of these runs, in their order, without runs that have none."""
    return (
        pl.DataFrame({"run_id": ids}, schema={"run_id": pl.String})
        .join(rows, on="run_id", maintain_order="left")["value"]
        .to_list()
    )


def _delta(metric: str, spread: float, setup: ComparisonSetup, series: pl.DataFrame) -> Delta | None:
    """Returns the limit of equality: as configured, else the spread of a run, else 1 % of the metric's range."""
    if metric in setup.equal_within:
        return Delta(setup.equal_within[metric], "as configured")
    if 0 < spread < HUGE:
        return Delta(spread, "the spread of one run", is_spread=True)
    mine = series.filter(pl.col("metric") == metric)
    low, high = mine["min"].min(), mine["max"].max()
    if not isinstance(low, float) or not isinstance(high, float) or not high > low:
        return None
    return Delta((high - low) / 100, "1 % of the metric's range")
