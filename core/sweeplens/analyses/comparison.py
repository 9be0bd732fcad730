"""Two sides, metric by metric: what differs in hyperparameters, what came out, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.budget import at_equal_budget
from sweeplens.analyses.coverage import coverage_of
from sweeplens.analyses.noise import Spread, pooled_spread
from sweeplens.analyses.sides import Sides, differing_hparams, pair_runs
from sweeplens.analyses.statistics import holm, mean
from sweeplens.analyses.verdicts import Contrast, contrast, verdict
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of, known_goal, main_metrics
from sweeplens.frames.grouping import free_names, group_hparams, keyed
from sweeplens.frames.reduction import ReducedSeries, Reduction, parse_reduce, reduce_runs, runs_lacking

__all__ = ["compare"]

_SCHEMA = {
    "metric": pl.String(), "goal": pl.String(), "n_a": pl.Int64(), "n_b": pl.Int64(), "mean_a": pl.Float64(),
    "mean_b": pl.Float64(), "difference": pl.Float64(), "ci95_low": pl.Float64(), "ci95_high": pl.Float64(),
    "test": pl.String(), "p": pl.Float64(), "effect_size": pl.Float64(), "verdict": pl.String(),
    "seeds_needed": pl.Int64(), "p_adjusted": pl.Float64(), "other_test": pl.String(), "other_p": pl.Float64(),
}  # fmt: skip
_BUDGET_METRICS = 3


class _MetricComparison(Struct, frozen=True):
    """One metric: its contrast, its goal, the noise of single runs, and the pairs' values where runs pair."""

    metric: str
    goal: str
    contrast: Contrast
    noise: Spread | None
    pairs: pl.DataFrame | None


def compare(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    sides: Sides,
    metrics: Sequence[str] = (),
    *,
    reduce: str = "last",
    axis: str = "step",
    threshold: float | None = None,
    goals: Mapping[str, str] | None = None,
    main: Sequence[str] = (),
    replicates: Sequence[str] = (),
) -> Answer:
    """One row a metric (all that both sides logged, when none is named); tables hyperparameters, pairs and budget.

    ``runs`` and ``series`` are all there are, so that the noise between seeds is known where a side has a single run.
    Raises InputError, AmbiguousGoalError.
    """
    how = parse_reduce(reduce)
    if how.how == "points":
        raise InputError("compare takes one number a run: reduce='points' has many.")
    of_sides = series.filter(pl.col("run_id").is_in(sides.both))
    names, skipped = _metrics(of_sides, sides, metrics, how, goals, main)
    asked = of_sides.filter(pl.col("metric").is_in(names))
    reduced = reduce_runs(asked, points, how, goals=goals)
    pairs = pair_runs(runs, sides, replicates)
    noise = _noise(runs, series, points, names, reduced, sides, how, goals, replicates)
    drawn = [_case(m, known_goal(m, goals), reduced, sides, pairs, noise.get(m)) for m in names]
    cases = [case for case in drawn if case is not None]
    both = runs.filter(pl.col("run_id").is_in(sides.both))
    left = (*runs_lacking(names, both, series), *reduced.left_out, *_unpaired(cases, reduced, sides))
    known = {
        m: known_goal(m, goals) for m in (names if metrics else main_metrics(names, main, goals, most=_BUDGET_METRICS))
    }
    budget = at_equal_budget(
        series, points, sides, {m: g for m, g in known.items() if g != "unknown"}, axis=axis, threshold=threshold
    )
    shown = cases if metrics else cases[:1]  # the same runs pair in each
    tables = {"hyperparameters": differing_hparams(runs, sides), "budget": budget, "pairs": _pair_table(shown)}
    done = {case.metric for case in cases}
    bare = [m for m in names if m not in done]
    skipped = (*skipped, *([f"No row for {', '.join(bare)}: one side has no usable value."] if bare else ()))
    used = reduced.values["run_id"].n_unique()
    notes = _notes(how, reduced, sides, pairs, cases, budget, skipped) + _coverage(runs, asked, names)
    return Answer(_table(cases), Basis(runs_used=used, left_out=left, points=reduced.points), notes, tables)


def _metrics(
    of_sides: pl.DataFrame,
    sides: Sides,
    asked: Sequence[str],
    how: Reduction,
    goals: Mapping[str, str] | None,
    main: Sequence[str],
) -> tuple[list[str], tuple[str, ...]]:
    """The metrics to compare, main ones first, and sentences on those that cannot be."""
    on_a, on_b = (
        set(of_sides.filter(pl.col("run_id").is_in(list(ids)))["metric"].to_list()) for ids in (sides.a, sides.b)
    )
    if asked:
        for metric in asked if how.how == "best" else ():
            goal_of(metric, goals=goals)  # ask for the goal before anything is read
        return list(asked), ()
    shared = sorted(on_a & on_b)
    said = [f"Only {s} logged {', '.join(sorted(ms))}." for s, ms in (("a", on_a - on_b), ("b", on_b - on_a)) if ms]
    if how.how == "best":
        vague = [m for m in shared if known_goal(m, goals) == "unknown"]
        shared = [m for m in shared if m not in vague]
        said += [f"Left out, since it is not known which of their values are best: {', '.join(vague)}."] * bool(vague)
    first = [m for m in main_metrics(shared, main, goals) if known_goal(m, goals) != "unknown"]
    return [*first, *(m for m in shared if m not in first)], tuple(said)


def _noise(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    names: Sequence[str],
    reduced: ReducedSeries,
    sides: Sides,
    how: Reduction,
    goals: Mapping[str, str] | None,
    replicates: Sequence[str],
) -> dict[str, Spread]:
    """The spread between repetitions over all runs, each metric; read only where a single run has nothing else to go by."""
    counts = reduced.values.group_by("metric").agg(
        n_a=pl.col("run_id").is_in(list(sides.a)).sum(), n_b=pl.col("run_id").is_in(list(sides.b)).sum()
    )
    single = counts.filter((pl.col("n_a") < 2) | (pl.col("n_b") < 2))["metric"].to_list()
    wanted = [m for m in names if m in single]
    if not wanted:
        return {}
    fixed = Reduction("at_step", reduced.step) if reduced.step is not None else how
    everyone = reduce_runs(series.filter(pl.col("metric").is_in(wanted)), points, fixed, goals=goals).values
    runs, keys = free_names(runs, group_hparams(runs, (), replicates), ("metric", "value", "n", "var"))
    groups = (
        keyed(runs, keys)
        .join(everyone.sort("run_id", "metric"), on="run_id", maintain_order="left_right")
        .group_by("metric", *keys, maintain_order=True)
        .agg(n=pl.len(), var=pl.col("value").var())
    )
    spreads = {m: pooled_spread(part["n"].to_list(), part["var"].to_list()) for (m,), part in groups.group_by("metric")}
    return {str(m): spread for m, spread in spreads.items() if spread is not None}


def _case(
    metric: str, goal: str, reduced: ReducedSeries, sides: Sides, pairs: pl.DataFrame | None, noise: Spread | None
) -> _MetricComparison | None:
    """None where a side has no value."""
    rows = reduced.values.filter(pl.col("metric") == metric)
    values = dict(zip(rows["run_id"].to_list(), rows["value"].to_list(), strict=True))
    a, b = ([values[r] for r in ids if r in values] for ids in (sides.a, sides.b))
    if not a or not b:
        return None
    if pairs is not None:
        lookup = rows.select("run_id", "value")
        values_a, values_b = (lookup.rename({"run_id": f"run_{s}", "value": f"value_{s}"}) for s in "ab")
        whole = pairs.join(values_a, on="run_a", maintain_order="left")
        whole = whole.join(values_b, on="run_b", maintain_order="left")
        if whole.height > 1:
            a, b = whole["value_a"].to_list(), whole["value_b"].to_list()
            return _MetricComparison(metric, goal, contrast(a, b, paired=True, noise=noise), noise, whole)
    return _MetricComparison(metric, goal, contrast(a, b, paired=False, noise=noise), noise, None)


def _table(cases: Sequence[_MetricComparison]) -> pl.DataFrame:
    """Holm over the metrics that have a goal, and for itself over those that have none (a learning rate, a norm)."""
    families = [
        holm([c.contrast.p_joint if (c.goal == "unknown") == vague else None for c in cases]) for vague in (False, True)
    ]
    adjusted = [p if p is not None else q for p, q in zip(*families, strict=True)]
    return pl.DataFrame([_row(c, p) for c, p in zip(cases, adjusted, strict=True)], schema=_SCHEMA, orient="row")


def _row(case: _MetricComparison, adjusted: float | None) -> tuple[object, ...]:
    c, test = case.contrast, case.contrast.test
    name, low, high, p = (test.test, test.low, test.high, test.p) if test else ("none", None, None, None)
    return (
        case.metric, case.goal, len(c.a), len(c.b), mean(c.a), mean(c.b), c.difference, low, high, name, p, c.effect,
        verdict(c, adjusted, case.goal, case.noise), c.seeds, adjusted, c.other, c.other_p,
    )  # fmt: skip


def _pair_table(cases: Sequence[_MetricComparison]) -> pl.DataFrame:
    """metric, the key, run_a, run_b, value_a, value_b, difference."""
    parts = [
        c.pairs.select(pl.lit(c.metric).alias("metric"), pl.all(), difference=pl.col("value_a") - pl.col("value_b"))
        for c in cases
        if c.pairs is not None
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def _unpaired(cases: Sequence[_MetricComparison], reduced: ReducedSeries, sides: Sides) -> tuple[LeftOut, ...]:
    """Runs with a value whose partner has none."""
    left: list[LeftOut] = []
    for case in cases:
        if case.pairs is None:
            continue
        paired = {*case.pairs["run_a"].to_list(), *case.pairs["run_b"].to_list()}
        having = reduced.values.filter(pl.col("metric") == case.metric)["run_id"].to_list()
        alone = tuple(r for r in sides.both if r in having and r not in paired)
        if alone:
            left.append(LeftOut(f"{case.metric}: the run with the same seed on the other side has no value", alone))
    return tuple(left)


def _coverage(runs: pl.DataFrame, asked: pl.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """A word on runs that are unfinished or shorter, by the first metric."""
    note = coverage_of(runs, asked.filter(pl.col("metric") == names[0])).note() if names else ""
    return (f"{note} reduce='at_step:common' compares them at the same step.",) if note else ()


def _notes(
    how: Reduction,
    reduced: ReducedSeries,
    sides: Sides,
    pairs: pl.DataFrame | None,
    cases: Sequence[_MetricComparison],
    budget: pl.DataFrame,
    skipped: Sequence[str],
) -> tuple[str, ...]:
    at = f" (step {reduced.step})" if reduced.step is not None else ""
    notes = [
        f"a: {len(sides.a)} runs, b: {len(sides.b)} runs; reduce {how}{at}; difference is a - b; each run counts once."
    ]
    if pairs is not None and pairs.height > 1:
        keys = [c for c in pairs.columns if c not in ("run_a", "run_b")]
        notes.append(f"Runs pair by {', '.join(keys)}: paired t, or Wilcoxon where differences are clearly not normal.")
    tested = sum(c.contrast.test is not None and c.goal != "unknown" for c in cases)
    vague = sum(c.contrast.test is not None and c.goal == "unknown" for c in cases)
    if tested or vague:
        family = f"{tested} metric{'s' * (tested != 1)}"
        apart = f" (and, apart, over {vague} without a known goal)" * (vague > 0)
        notes.append(
            f"p_adjusted: the 5 % are split between test and other_test, then Holm over {family}{apart};"
            " the verdict rests on it. effect_size: Hedges' g. seeds_needed: a side, at 80 % power, were this the true difference."
        )
    if any(c.noise is not None for c in cases):
        notes.append("Seed noise: how far apart these numbers of runs of one setting lie in 95 of 100 cases.")
    if budget.height:
        notes.append(
            "Table budget: best so far at the largest budget all runs reached, and where each side reached threshold."
        )
    return (*notes, *skipped)
