"""Compares two sides metric by metric: their hyperparameters, their results, and whether the difference is significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.analyses.budget import at_equal_budget
from sweeplens.analyses.comparison_notes import coverage_note, matching_notes, method_notes, robustness_notes
from sweeplens.analyses.coverage import coverage_of, listed, with_config
from sweeplens.analyses.matching import match_sides
from sweeplens.analyses.metric_comparison import ComparisonSetup, MetricComparison, compare_metric, tasks_of
from sweeplens.analyses.noise import Spread, pooled_spread
from sweeplens.analyses.run_costs import counters_of
from sweeplens.analyses.sides import Sides, differing_hparams, pair_runs
from sweeplens.analyses.statistics import ALPHA, holm, interim_alpha, mean
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

__all__ = ["compare"]

_SCHEMA = {
    "metric": pl.String(), "goal": pl.String(), "n_a": pl.Int64(), "n_b": pl.Int64(), "mean_a": pl.Float64(),
    "mean_b": pl.Float64(), "difference": pl.Float64(), "ci95_low": pl.Float64(), "ci95_high": pl.Float64(),
    "test": pl.String(), "p": pl.Float64(), "effect_size": pl.Float64(), "verdict": pl.String(),
    "seeds_needed": pl.Int64(), "p_adjusted": pl.Float64(), "other_test": pl.String(), "other_p": pl.Float64(),
    "seeds_low": pl.Int64(), "seeds_high": pl.Int64(), "detectable": pl.Float64(), "superiority": pl.Float64(),
    "correlation": pl.Float64(), "p_disagree": pl.Float64(),
}  # fmt: skip
_BUDGET_METRICS = 3


def compare(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, sides: Sides, metrics: Sequence[str] = (), *,
    reduce: str = DEFAULT_REDUCE, axis: str = "step", threshold: float | None = None,
    goals: Mapping[str, str] | None = None, main: Sequence[str] = (), replicates: Sequence[str] = (),
    named: Sequence[str] = (), tasks: Sequence[str] = (), equal_within: Mapping[str, float] | None = None,
    matched_only: bool = False,
) -> Answer:  # fmt: skip
    """Returns one row a metric (by default all with a goal that both sides logged), the first being the primary one.

    Tables: hyperparameters, strata or pairs, and budget; ``matched_only``: strata or pairs alone. ``named``: the hyperparameters
    that define the sides. ``runs`` and
    ``series`` cover all runs: where a side has a single run, the noise between seeds comes from the others. Numbers are in
    the unit of the metric, ``effect_size`` in standard deviations. Sources of the tests: `verdicts`, `statistics`.
    Raises InputError, AmbiguousGoalError.
    """
    how = parse_reduce(reduce)
    if how.how == "points":
        raise InputError("compare takes one number a run: reduce='points' has many.")
    of_sides = series.filter(pl.col("run_id").is_in(sides.ids))
    names, skipped = _metrics(of_sides, sides, metrics, how, goals, main)
    asked = of_sides.filter(pl.col("metric").is_in(names))
    reduced = reduce_runs(asked, points, how, goals=goals)
    setup = _setup(runs, sides, replicates, named, tasks, equal_within or {})
    noise = _noise(runs, series, points, names, reduced, sides, how, goals, replicates)
    drawn = [compare_metric(m, known_goal(m, goals), reduced.values, setup, noise.get(m), asked) for m in names]
    cases = [case for case in drawn if case is not None]
    both = runs.filter(pl.col("run_id").is_in(sides.ids))
    left = (*runs_lacking(names, both, series), *reduced.left_out, *_unpaired(cases, reduced, sides), *_alone(setup))
    tables = _tables(setup, cases if metrics else cases[:1])  # the same runs pair in each metric
    if not matched_only:
        in_budget = names if metrics else main_metrics(names, main, goals, most=_BUDGET_METRICS)
        known = {m: g for m in in_budget if (g := known_goal(m, goals)) != "unknown"}
        budget = at_equal_budget(series, points, sides, known, axis=axis, threshold=threshold)
        tables = {"hyperparameters": differing_hparams(runs, sides), "budget": budget, **tables}
    notes = method_notes(how, reduced, setup, cases, (*skipped, *_without_row(names, cases)))
    notes += matching_notes(runs, setup, named, cases, replicates)
    if cases:
        first = asked.filter(pl.col("metric") == cases[0].metric)
        counters = counters_of(of_sides)
        notes += robustness_notes(both, first, points, how, cases[0], setup, reduced.values, goals, counters)
    cover = coverage_of(runs, asked.filter(pl.col("metric") == names[0])) if names else None
    notes += coverage_note(cover)
    used = reduced.values["run_id"].n_unique()
    table = _table(cases, interim_alpha(len(cover.running) / len(sides.both)) if cover else ALPHA)
    return Answer(table, Basis(runs_used=used, left_out=left, points=reduced.points), notes, tables)


def _setup(
    runs: pl.DataFrame, sides: Sides, replicates: Sequence[str], named: Sequence[str], tasks: Sequence[str],
    equal_within: Mapping[str, float],
) -> ComparisonSetup:  # fmt: skip
    matching = match_sides(runs, sides, replicates, named)
    pairs = None if matching else pair_runs(runs, sides, replicates)
    return ComparisonSetup(sides, matching, pairs, equal_within, tasks_of(runs, sides, matching, tasks))


def _tables(setup: ComparisonSetup, shown: Sequence[MetricComparison]) -> dict[str, pl.DataFrame]:
    """Returns the pairs, and the strata where runs are matched."""
    pairs = {"pairs": _pair_table(shown)}
    return {**pairs, "strata": _strata_table(shown)} if setup.matching else pairs


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
    in_a = of_sides.select("metric", a=pl.col("run_id").is_in(sides.ids_a)).unique()
    on_a, on_b = (set(in_a.filter(pl.col("a") == a)["metric"].to_list()) for a in (True, False))
    shared = sorted(on_a & on_b)
    said = [f"Only {s} logged {', '.join(sorted(ms))}." for s, ms in (("a", on_a - on_b), ("b", on_b - on_a)) if ms]
    if how.how == "best":
        vague = [m for m in shared if known_goal(m, goals) == "unknown"]
        shared = [m for m in shared if m not in vague]
        said += [f"Left out because their goal is unknown: {', '.join(vague)}."] * bool(vague)
    first = [m for m in main_metrics(shared, main, goals) if known_goal(m, goals) != "unknown"]
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
    words = verdict(c, adjusted, case.goal, case.noise, case.delta, alpha=alpha)
    return (
        case.metric, case.goal, len(c.a), len(c.b), mean(c.a), mean(c.b), c.difference, low, high, c.name, c.p, c.effect,
        words, seeds.n if seeds else None, adjusted, c.other_test, c.other_p,
        seeds.low if seeds else None, seeds.high if seeds else None, c.detectable, c.superiority if several else None,
        c.correlation, case.blocks.p_disagree if case.blocks else None,
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
    parts = [c.blocks.strata.select(pl.lit(c.metric).alias("metric"), pl.all()) for c in cases if c.blocks]
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


def _alone(setup: ComparisonSetup) -> tuple[LeftOut, ...]:
    if setup.matching is None or not setup.matching.alone:
        return ()
    return (LeftOut(f"no run on the other side with the same {', '.join(setup.matching.by)}", setup.matching.alone),)
