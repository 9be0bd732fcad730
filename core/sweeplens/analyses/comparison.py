"""Compares two sides metric by metric: their hyperparameters, their results, and whether the difference is significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.budget import at_equal_budget
from sweeplens.analyses.comparison_notes import coverage_note, matching_notes, method_notes, robustness_notes
from sweeplens.analyses.coverage import coverage_of, listed, with_config
from sweeplens.analyses.difference_table import DifferenceTables, differences
from sweeplens.analyses.measured_differently import sides_measured_differently
from sweeplens.analyses.metric_comparison import (
    ComparisonSetup,
    MetricComparison,
    WholeComparison,
    compare_metric,
    setup_of,
)
from sweeplens.analyses.noise import Spread, pooled_spread
from sweeplens.analyses.run_costs import counters_of
from sweeplens.analyses.sides import Sides, differing_hparams
from sweeplens.analyses.statistics import ALPHA, holm, interim_alpha, mean
from sweeplens.analyses.task_plan import TaskPlan, plans_of
from sweeplens.analyses.verdicts import verdict
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of, known_goal, main_metrics
from sweeplens.frames.grouping import (
    free_names,
    group_hparams,
    keyed,
)
from sweeplens.frames.reduction import (
    DEFAULT_REDUCE,
    ReducedSeries,
    Reduction,
    parse_reduce,
    reduce_runs,
    runs_lacking,
)

__all__ = ["ComparisonOptions", "compare"]

_SCHEMA = {
    "metric": pl.String(), "goal": pl.String(), "n_a": pl.Int64(), "n_b": pl.Int64(), "mean_a": pl.Float64(),
    "mean_b": pl.Float64(), "difference": pl.Float64(), "ci95_low": pl.Float64(), "ci95_high": pl.Float64(),
    "test": pl.String(), "p": pl.Float64(), "effect_size": pl.Float64(), "verdict": pl.String(),
    "seeds_needed": pl.Int64(), "p_adjusted": pl.Float64(), "other_test": pl.String(), "other_p": pl.Float64(),
    "seeds_low": pl.Int64(), "seeds_high": pl.Int64(), "detectable": pl.Float64(), "superiority": pl.Float64(),
    "correlation": pl.Float64(), "p_disagree": pl.Float64(),
}  # fmt: skip
_BUDGET_METRICS = 3
_MANY_POINTS = 2_000_000  # the points of each metric of the table budget are read


class ComparisonOptions(Struct, frozen=True, kw_only=True):
    """How two sides are compared. ``named``: the hyperparameters that define the sides; ``labels``: what the sides are called;
    ``matched_only``: tables of strata, pairs and differences alone."""

    reduce: str = DEFAULT_REDUCE
    axis: str = "step"
    threshold: float | None = None
    goals: Mapping[str, str] | None = None
    main: Sequence[str] = ()
    replicates: Sequence[str] = ()
    named: Sequence[str] = ()
    tasks: Sequence[str] = ()
    equal_within: Mapping[str, float] = {}
    labels: tuple[str, str] = ("a", "b")
    matched_only: bool = False
    opening: Sequence[str] = ()  # notes that come first
    metrics_named: bool = True  # whether the metrics were chosen by the caller, so that tasks are compared in these too


_USUAL = ComparisonOptions()


class _Compared(Struct, frozen=True):
    """The sides with what was compared: the setup, a case for each metric, and the reduced values of these and further metrics."""

    runs: pl.DataFrame
    series: pl.DataFrame  # of the runs of both sides
    setup: ComparisonSetup
    cases: tuple[MetricComparison, ...]
    reduced: ReducedSeries
    plans: tuple[TaskPlan, ...]


def compare(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, sides: Sides, metrics: Sequence[str] = (),
    options: ComparisonOptions = _USUAL,
) -> Answer:  # fmt: skip
    """Returns one row a metric (by default all with a goal that both sides logged), the first being the primary one.

    Tables: the differences by task and by matched level, hyperparameters, strata or pairs, and budget. ``runs`` and
    ``series`` cover all runs: where a side has a single run, the noise between seeds comes from the others. Numbers are in
    the unit of the metric, ``effect_size`` in standard deviations. Sources of the tests: `verdicts`, `statistics`.
    Raises InputError, AmbiguousGoalError.
    """
    how = parse_reduce(options.reduce)
    if how.how == "points":
        raise InputError("compare takes one number a run: reduce='points' has many.")
    asked = bool(metrics) and options.metrics_named
    of_sides = sides.series_of(series, runs)
    names, skipped = _metrics(of_sides, sides, metrics, how, options.goals, options.main)
    made = _compared(runs, series, of_sides, points, sides, names, asked, how, options)
    by_task, reduced = _differences(made, points, options), made.reduced
    pooled = by_task.pooled if by_task and not asked and not _is_shared(made.plans) else None
    cases = (pooled,) if pooled else made.cases  # the pooled scores where no metric is that of two tasks
    first = _first_series(made, names)
    cover = coverage_of(runs, first) if first.height else None
    both = sides.runs_of(runs)
    left = (
        *reduced.left_out,
        *(() if pooled else (*runs_lacking(names, both, of_sides), *_unpaired(cases, reduced, sides), *_alone(made.setup, cases))),
    )  # fmt: skip
    said = (*skipped, *(() if pooled else _without_row(names, cases)))
    notes = (
        *options.opening,
        *method_notes(how, reduced, made.setup, cases, said),
        *(by_task.notes if by_task else ()),
    )
    if not pooled:
        notes += matching_notes(runs, made.setup, options.named, cases, options.replicates)
    if cases and not pooled:
        counters = counters_of(of_sides)
        notes += robustness_notes(
            both, first, points, how, cases[0], made.setup, reduced.values, options.goals, counters
        )
    notes += coverage_note(cover)
    known = _in_budget(names, bool(metrics), options, of_sides)
    tables = _tables(made, cases if metrics else cases[:1], by_task, points, known, options)
    ids = reduced.values["run_id"].unique() if pooled else _used(cases, reduced.values)
    measured = _measured_differently(runs, sides, ids, options)
    table = _table(cases, interim_alpha(len(cover.running) / len(sides.both)) if cover else ALPHA)
    return Answer(
        table, Basis(runs_used=ids.len(), left_out=left, points=reduced.points, warnings=measured), notes, tables
    )


def _compared(
    runs: pl.DataFrame, series: pl.DataFrame, of_sides: pl.DataFrame, points: PointSource, sides: Sides,
    names: Sequence[str], asked: bool, how: Reduction, options: ComparisonOptions,
) -> _Compared:  # fmt: skip
    """Compares the metrics; also reduces the metrics that tasks need. ``of_sides``: the series of both sides."""
    plans = plans_of(
        runs, of_sides, sides, names if asked else (), options.named, options.tasks, options.main, options.goals
    )
    wanted = list(dict.fromkeys([*names, *(m for plan in plans for m in plan.metrics)]))
    rows = of_sides.filter(pl.col("metric").is_in(wanted))
    reduced = reduce_runs(rows, points, how, goals=options.goals)
    setup = setup_of(runs, sides, options.replicates, options.named, options.tasks, options.equal_within)
    noise = _noise(runs, series, points, names, reduced, sides, how, options.goals, options.replicates)
    drawn = [compare_metric(m, known_goal(m, options.goals), reduced.values, setup, noise.get(m), rows) for m in names]
    cases = tuple(case for case in drawn if case is not None)
    return _Compared(runs, of_sides, setup, cases, reduced, tuple(plans))


def _differences(made: _Compared, points: PointSource, options: ComparisonOptions) -> DifferenceTables | None:
    """Returns the differences by task and by level; None where runs have no task, are not matched, and differ alike throughout."""
    found = differences(
        made.runs, made.series, points, made.plans, made.reduced.values, named=options.named, replicates=options.replicates,
        goals=options.goals, equal_within=options.equal_within, labels=options.labels,
        whole=WholeComparison(made.setup, made.cases), axis=options.axis,
    )  # fmt: skip
    is_plain = made.setup.matching is None and len(made.plans) < 2
    return None if is_plain and found.by_task.height < 2 else found


def _first_series(made: _Compared, names: Sequence[str]) -> pl.DataFrame:
    """Returns the series of the main metric of each run's task, else of the first metric."""
    firsts = [pl.DataFrame({"run_id": p.sides.both, "metric": p.metrics[0]}) for p in made.plans]
    if len(firsts) > 1 and not _is_shared(made.plans):
        return made.series.join(pl.concat(firsts), on=["run_id", "metric"], how="semi")
    return made.series.filter(pl.col("metric").is_in(list(names[:1])))


def _is_shared(plans: Sequence[TaskPlan]) -> bool:
    """Returns whether several tasks have the same main metric."""
    firsts = [plan.metrics[0] for plan in plans]
    return len(set(firsts)) < len(firsts)


def _in_budget(names: Sequence[str], asked: bool, options: ComparisonOptions, series: pl.DataFrame) -> dict[str, str]:
    """Returns the metrics of the table budget, with their goals: only the first of very many points, unless more are asked for."""
    most = 1 if int(series["n_logged"].sum()) > _MANY_POINTS else _BUDGET_METRICS
    shown = names if asked else main_metrics(names, options.main, options.goals, most=most)
    return {m: g for m in shown if (g := known_goal(m, options.goals)) != "unknown"}


def _tables(
    made: _Compared, shown: Sequence[MetricComparison], by_task: DifferenceTables | None, points: PointSource,
    budgets: Mapping[str, str], options: ComparisonOptions,
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """Returns the tables beside the metrics. ``shown``: cases with pairs and strata (the same runs pair in each metric);
    ``budgets``: metrics of the table budget, with their goals."""
    tables = {"by_task": by_task.by_task, "by_level": by_task.by_level} if by_task else dict[str, pl.DataFrame]()
    if not options.matched_only:
        sides = made.setup.sides
        alone = sides.runs_of(made.runs) is made.runs
        tables["hyperparameters"] = differing_hparams(made.runs, sides)
        tables["budget"] = at_equal_budget(
            made.series, points, sides, budgets, axis=options.axis, threshold=options.threshold, alone=alone
        )
    tables["pairs"] = _pair_table(shown)
    return {**tables, "strata": _strata_table(shown)} if made.setup.matching else tables


def _without_row(names: Sequence[str], cases: Sequence[MetricComparison]) -> tuple[str, ...]:
    """Returns a sentence on metrics that have no row because one side has no value."""
    done = {case.metric for case in cases}
    bare = [m for m in names if m not in done]
    return (f"No row for {', '.join(bare)}: one side has no usable value.",) if bare else ()


def _metrics(
    of_sides: pl.DataFrame,
    sides: Sides,
    asked: Sequence[str],
    how: Reduction,
    goals: Mapping[str, str] | None,
    main: Sequence[str],
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the metrics to compare, main ones first, and sentences on those that cannot be compared."""
    if asked:
        for metric in asked if how.how == "best" else ():
            goal_of(metric, goals=goals)  # ask for the goal before anything is read
        return list(asked), ()
    in_a = of_sides.select("metric", a=pl.col("run_id").is_in(sides.ids_a))
    counts = in_a.group_by("metric").agg(pl.col("a").sum(), b=pl.col("a").not_().sum())
    on_a, on_b = (set(counts.filter(pl.col(side) > 0)["metric"].to_list()) for side in "ab")
    shared = sorted(on_a & on_b)
    said = [f"Only {s} logged {', '.join(sorted(ms))}." for s, ms in (("a", on_a - on_b), ("b", on_b - on_a)) if ms]
    if how.how == "best":
        vague = [m for m in shared if known_goal(m, goals) == "unknown"]
        shared = [m for m in shared if m not in vague]
        said += [f"Left out because their goal is unknown: {', '.join(vague)}."] * bool(vague)
    logged = dict(counts.select("metric", pl.col("a") + pl.col("b")).iter_rows())
    leading = main_metrics(shared, main, goals, counts=logged)
    first = [m for m in leading if known_goal(m, goals) != "unknown"]
    vague = [m for m in shared if m not in first and known_goal(m, goals) == "unknown"]
    if not [m for m in shared if m not in vague]:
        return shared, tuple(said)
    said += [f"Not compared unless named, because their goal is unknown: {listed(vague, 6)}."] * bool(vague)
    return [*first, *(m for m in shared if m not in (*first, *vague))], tuple(said)


def _noise(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    names: Sequence[str],
    reduced: ReducedSeries,
    sides: Sides,
    how: Reduction,
    goals: Mapping[str, str] | None,
    replicates: Sequence[str],
) -> dict[str, Spread]:
    """Returns each metric's spread between repetitions over all runs; read only where a side has a single run."""
    in_a = reduced.values.select(
        "metric", a=pl.col("run_id").is_in(sides.ids_a)
    )  # all values are of one side or the other
    counts = in_a.group_by("metric").agg(n_a=pl.col("a").sum(), n_b=pl.col("a").not_().sum())
    single = counts.filter((pl.col("n_a") < 2) | (pl.col("n_b") < 2))["metric"].to_list()
    wanted = [m for m in names if m in single]
    if not wanted:
        return {}
    fixed = Reduction("at_step", reduced.step) if reduced.step is not None else how
    everyone = reduce_runs(series.filter(pl.col("metric").is_in(wanted)), points, fixed, goals=goals).values
    runs, _ = with_config(runs)
    runs, keys = free_names(runs, group_hparams(runs, (), replicates), ("metric", "value", "n", "var"))
    groups = (
        keyed(runs, keys)
        .join(everyone.sort("run_id", "metric"), on="run_id", maintain_order="left_right")
        .group_by("metric", *keys, maintain_order=True)
        .agg(n=pl.len(), var=pl.col("value").var())
    )
    spreads = {m: pooled_spread(part["n"].to_list(), part["var"].to_list()) for (m,), part in groups.group_by("metric")}
    return {str(m): spread for m, spread in spreads.items() if spread is not None}


def _adjusted(cases: Sequence[MetricComparison]) -> list[float | None]:
    """Returns adjusted p: none for the first metric; Holm over the others with a goal, and separately over those without."""
    families = [
        holm([c.contrast.p if i and (c.goal == "unknown") == vague else None for i, c in enumerate(cases)])
        for vague in (False, True)
    ]
    return [
        cases[i].contrast.p if not i else p if p is not None else q
        for i, (p, q) in enumerate(zip(*families, strict=True))
    ]


def _table(cases: Sequence[MetricComparison], alpha: float) -> pl.DataFrame:
    rows = [_row(c, p, alpha) for c, p in zip(cases, _adjusted(cases), strict=True)]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _row(case: MetricComparison, adjusted: float | None, alpha: float) -> tuple[object, ...]:
    c, test, seeds = case.contrast, case.contrast.test, case.contrast.seeds
    low, high = (test.low, test.high) if test else (None, None)
    several = min(len(c.a), len(c.b)) > 1
    disagree = case.pooled.p_disagree if case.pooled else None
    on_average = disagree is not None and disagree < ALPHA
    words = verdict(c, adjusted, case.goal, case.noise, case.delta, alpha=alpha, on_average=on_average)
    return (
        case.metric, case.goal, len(c.a), len(c.b), mean(c.a), mean(c.b), c.difference, low, high, c.name, c.p, c.effect,
        words, seeds.n if seeds else None, adjusted, c.other_test, c.other_p,
        seeds.low if seeds else None, seeds.high if seeds else None, c.detectable, c.superiority if several else None,
        c.correlation, disagree,
    )  # fmt: skip


def _pair_table(cases: Sequence[MetricComparison]) -> pl.DataFrame:
    """metric, the key, run_a, run_b, value_a, value_b, difference."""
    parts = [
        c.pairs.select(pl.lit(c.metric).alias("metric"), pl.all(), difference=pl.col("value_a") - pl.col("value_b"))
        for c in cases
        if c.pairs is not None
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def _strata_table(cases: Sequence[MetricComparison]) -> pl.DataFrame:
    """metric, stratum, n_a, n_b, mean_a, mean_b, difference."""
    parts = [c.pooled.strata.select(pl.lit(c.metric).alias("metric"), pl.all()) for c in cases if c.pooled]
    return pl.concat(parts) if parts else pl.DataFrame()


def _unpaired(cases: Sequence[MetricComparison], reduced: ReducedSeries, sides: Sides) -> tuple[LeftOut, ...]:
    """Lists runs with a value whose partner has none."""
    left: list[LeftOut] = []
    for case in cases:
        if case.pairs is None:
            continue
        paired = {*case.pairs["run_a"].to_list(), *case.pairs["run_b"].to_list()}
        having = set(reduced.values.filter(pl.col("metric") == case.metric)["run_id"].to_list())
        alone = tuple(r for r in sides.both if r in having and r not in paired)
        if alone:
            left.append(LeftOut(f"{case.metric}: the run with the same seed on the other side has no value", alone))
    return tuple(left)


def _alone(setup: ComparisonSetup, cases: Sequence[MetricComparison]) -> tuple[LeftOut, ...]:
    """Lists runs without a counterpart, and those whose seed has no partner where seeds are blocks."""
    left: list[LeftOut] = []
    if setup.matching is not None and setup.matching.alone:
        left.append(
            LeftOut(f"no run on the other side with the same {', '.join(setup.matching.by)}", setup.matching.alone)
        )
    for case in cases[:1]:
        if case.pooled is not None and case.pooled.unpaired:
            left.append(
                LeftOut(
                    f"{case.metric}: no run with the same {' and '.join(case.pooled.blocks)} on the other side",
                    case.pooled.unpaired,
                )
            )
        if excluded := _excluded(setup, case):
            left.append(LeftOut(f"{case.metric}: in a stratum that is not pooled", excluded))
    return tuple(left)


def _excluded(setup: ComparisonSetup, case: MetricComparison) -> tuple[str, ...]:
    """Returns the runs of strata that are not pooled."""
    if setup.matching is None or case.pooled is None:
        return ()
    strata = case.pooled.every.filter(pl.col("pooled").not_())["stratum"]
    return tuple(setup.matching.table.filter(pl.col("stratum").is_in(strata.implode()))["run_id"].to_list())


def _measured_differently(
    runs: pl.DataFrame, sides: Sides, used: pl.Series, options: ComparisonOptions
) -> tuple[str, ...]:
    """Warns of settings of the measurement that differ between the sides, over the runs that were compared."""
    name = f"{options.named[0]}=" if options.labels != ("a", "b") and len(options.named) == 1 else ""
    of_sides = {f"{name}{label}": ids for label, ids in zip(options.labels, (sides.a, sides.b), strict=True)}
    compared = runs.filter(pl.col("run_id").is_in(used.implode()))
    return sides_measured_differently(compared, of_sides, options.tasks, options.replicates, options.named)


def _used(cases: Sequence[MetricComparison], values: pl.DataFrame) -> pl.Series:
    """Returns the runs that count in any of the metrics: where runs are matched, those that are pooled."""
    of_case = [
        case.pooled.rows["run_id"] if case.pooled else values.filter(pl.col("metric") == case.metric)["run_id"]
        for case in cases
    ]
    return pl.concat(of_case).unique() if of_case else pl.Series(dtype=pl.String)
