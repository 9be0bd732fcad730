"""Robustness of a verdict: the same question under other choices of the analysis.

Choices: the last value, the best, the mean of the last tenth, the step, wall time or
count (tokens, samples) that all runs reached, without runs that failed or
hold values that are not finite, without outliers of their group, and (for two sides) another test and medians.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.values_at_budget import at_equal_budgets
from sweeplens.counting import count_of, share_of
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.events import WALL_TIME
from sweeplens.frames.reduction import Reduction, reduce_runs

__all__ = ["EXCEPTIONS", "AnalysisChoice", "analysis_choices", "broken_runs", "robustness_note", "standing_out"]

EXCEPTIONS = "; exceptions: "
"""Stands in a note before the choices under which the verdict is another one."""

_BROKEN = ("failed", "crashed", "killed")
_FAR = 5.0  # median absolute deviations, scaled to standard deviations
_SCALE = 1.4826
_FEWEST = 5
_MANY = 12  # runs from which the deviations within small groups are known
_USUAL, _QUANTILE = 0.5, 0.4  # the median distance of three or four normal values from their median, in deviations
_SHORTER = 0.98


class AnalysisChoice(Struct, frozen=True):
    """A display name, and run_id, value under this choice."""

    name: str
    values: pl.DataFrame


def analysis_choices(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    how: Reduction,
    values: pl.DataFrame,
    groups: pl.DataFrame,
    *,
    goal: str,
    goals: Mapping[str, str] | None = None,
    counters: Sequence[str] = (),
) -> Iterator[AnalysisChoice]:
    """Yields other choices for one metric, each with values of its own. ``series``: its rows of the runs used; ``values``: run_id,
    value as asked; ``groups``: run_id and group; ``counters``: metrics that count what was used up (`counters_of`)."""
    seen = [_as_read(values)]
    for choice in _all_choices(runs, series, points, how, values, groups, goal, goals, counters):
        read = _as_read(choice.values)
        if not any(read.equals(known) for known in seen):
            seen.append(read)
            yield choice


def _as_read(values: pl.DataFrame) -> pl.DataFrame:
    return values.select("run_id", pl.col("value").cast(pl.Float64)).sort("run_id")


def _all_choices(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    how: Reduction,
    values: pl.DataFrame,
    groups: pl.DataFrame,
    goal: str,
    goals: Mapping[str, str] | None,
    counters: Sequence[str],
) -> Iterator[AnalysisChoice]:
    """Yields all choices, also those whose values are the same as before."""
    for other in ("last_tenth", "last", "best"):
        if other != how.how and (other != "best" or goal in ("lower", "higher")):
            reduced = reduce_runs(series, points, Reduction(other), goals=goals, goal=goal)
            yield AnalysisChoice(
                other.replace("last_tenth", "mean of the last tenth"), reduced.values.select("run_id", "value")
            )
    ends = series["last_step"].drop_nulls()
    first, last = (int(e) if isinstance(e, int) else 0 for e in (ends.min(), ends.max()))
    if how.how != "at_step" and first < _SHORTER * last:
        common = reduce_runs(series, points, Reduction("at_step", first), goals=goals, goal=goal).values
        yield AnalysisChoice(f"at step {first}, reached by all", common.select("run_id", "value"))
    for equal in at_equal_budgets(series, points, counters):
        yield AnalysisChoice(_budget_name(equal.axis, equal.budget), equal.values)
    broken = broken_runs(runs, series)
    if broken:
        yield AnalysisChoice(f"without {_runs(broken)} that failed or logged NaN", _without(values, broken))
    known = frozenset(broken)
    far = [r for r in standing_out(values, groups) if r not in known]
    if far:
        yield AnalysisChoice(f"without {_outliers(far)}", _without(values, far))


def _budget_name(axis: str, budget: float) -> str:
    return f"at equal wall time ({budget:,.4g} s)" if axis == WALL_TIME else f"at {budget:,.4g} {axis}"


def _outliers(ids: Sequence[str]) -> str:
    return f"outlier {ids[0]}" if len(ids) == 1 else count_of(len(ids), "outlier")


def _runs(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else count_of(len(ids), "run")


def _without(values: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    return values.filter(pl.col("run_id").is_in(list(ids)).not_())


def broken_runs(runs: pl.DataFrame, series: pl.DataFrame) -> list[str]:
    """Returns runs with a failed status or with non-finite values in this metric."""
    failed = runs.filter(pl.col("status").is_in(_BROKEN))["run_id"]
    bad = (pl.col("n_nan") + pl.col("n_inf") > 0) | pl.col("run_id").is_in(failed.implode())
    return series.filter(bad)["run_id"].unique().sort().to_list()


def _of_small_groups(placed: pl.DataFrame) -> pl.DataFrame:
    """Returns runs of groups of three or four that are far from their median by the deviations within all groups together."""
    apart = placed.filter(pl.col("size") > 2)
    usual = apart["away"].quantile(_USUAL, "linear")
    level = usual / _QUANTILE if isinstance(usual, float) else 0.0
    if apart.height < _MANY or not level:
        return placed.clear()
    return apart.filter((pl.col("size") < _FEWEST) & (pl.col("away") > 2 * _FAR * level))


def standing_out(values: pl.DataFrame, groups: pl.DataFrame) -> list[str]:
    """Returns runs farther than five scaled median absolute deviations from the median of their group, in groups of 5 or more; in
    groups of three or four, than ten deviations of all groups together."""
    value = pl.col("value")
    placed = values.join(groups, on="run_id").with_columns(
        away=(value - value.median().over("group")).abs(), size=pl.len().over("group")
    )
    usual = pl.col("away").median().over("group") * _SCALE
    far = placed.filter((pl.col("size") >= _FEWEST) & (usual > 0) & (pl.col("away") > _FAR * usual))
    return sorted({*far["run_id"].to_list(), *_of_small_groups(placed)["run_id"].to_list()})


def robustness_note(same: Sequence[str], other: Sequence[tuple[str, str]], verdict: str = "Holds") -> str:
    """Returns the line that an answer adds: under how many choices the verdict holds, and the results of the others."""
    total = len(same) + len(other)
    if not total:
        return ""
    held = f" ({', '.join(same)})" if same else ""
    listed_others = "; ".join(f"{name}: {result}" for name, result in other[:3])
    more = f"; and {len(other) - 3} more" if len(other) > 3 else ""
    exceptions = f"{EXCEPTIONS}{listed_others}{more}" if other else ""
    return f"{verdict} under {share_of(len(same), total, 'other analysis choice')}{held}{exceptions}."
