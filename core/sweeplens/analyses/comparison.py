"""Compares two sides metric by metric: their hyperparameters, their results, and whether the difference is significant."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.budget import at_equal_budget
from sweeplens.analyses.coverage import coverage_of, listed, with_config
from sweeplens.analyses.matching import Blocked, Matching, blocked, match_sides, without_each
from sweeplens.analyses.noise import Spread, pooled_spread
from sweeplens.analyses.robustness import readings, robustness_note
from sweeplens.analyses.sides import Sides, differing_hparams, pair_runs
from sweeplens.analyses.statistics import ALPHA, HUGE, holm, mean, paired_t, variance, welch
from sweeplens.analyses.verdicts import Contrast, Delta, blocked_contrast, contrast, verdict
from sweeplens.answers import Answer, Basis, LeftOut
from sweeplens.errors import InputError
from sweeplens.frames.goals import goal_of, known_goal, main_metrics
from sweeplens.frames.grouping import (
    free_names,
    group_hparams,
    is_called,
    is_identifier,
    is_replicate,
    keyed,
    varying_hparams,
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


class _MetricComparison(Struct, frozen=True):
    """One metric: its contrast and goal, the noise of single runs, its pairs or strata, and the limit of equality."""

    metric: str
    goal: str
    contrast: Contrast
    noise: Spread | None
    pairs: pl.DataFrame | None
    blocks: Blocked | None
    delta: Delta | None


def compare(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    sides: Sides,
    metrics: Sequence[str] = (),
    *,
    reduce: str = DEFAULT_REDUCE,
    axis: str = "step",
    threshold: float | None = None,
    goals: Mapping[str, str] | None = None,
    main: Sequence[str] = (),
    replicates: Sequence[str] = (),
    named: Sequence[str] = (),
    tasks: Sequence[str] = (),
    equal_within: Mapping[str, float] | None = None,
) -> Answer:
    """Returns one row a metric (by default all with a goal that both sides logged), the first being the primary one.

    Tables: hyperparameters, strata or pairs, and budget. ``named``: the hyperparameters that define the sides. ``runs`` and
    ``series`` cover all runs: where a side has a single run, the noise between seeds comes from the others. Numbers are in
    the unit of the metric, ``effect_size`` in standard deviations. Sources of the tests: `verdicts`, `statistics`.
    Raises InputError, AmbiguousGoalError.
    """
    how = parse_reduce(reduce)
    if how.how == "points":
        raise InputError("compare takes one number a run: reduce='points' has many.")
    of_sides = series.filter(pl.col("run_id").is_in(sides.both))
    names, skipped = _metrics(of_sides, sides, metrics, how, goals, main)
    asked = of_sides.filter(pl.col("metric").is_in(names))
    reduced = reduce_runs(asked, points, how, goals=goals)
    matching = match_sides(runs, sides, replicates, named)
    pairs = None if matching else pair_runs(runs, sides, replicates)
    noise = _noise(runs, series, points, names, reduced, sides, how, goals, replicates)
    setup = _Setup(sides, matching, pairs, equal_within or {}, _tasks_of(runs, sides, matching, tasks))
    drawn = [_case(m, known_goal(m, goals), reduced.values, setup, noise.get(m), asked) for m in names]
    cases = [case for case in drawn if case is not None]
    both = runs.filter(pl.col("run_id").is_in(sides.both))
    left = (*runs_lacking(names, both, series), *reduced.left_out, *_unpaired(cases, reduced, sides), *_alone(matching))
    known = {
        m: known_goal(m, goals) for m in (names if metrics else main_metrics(names, main, goals, most=_BUDGET_METRICS))
    }
    budget = at_equal_budget(
        series, points, sides, {m: g for m, g in known.items() if g != "unknown"}, axis=axis, threshold=threshold
    )
    shown = cases if metrics else cases[:1]  # the same runs pair in each
    tables = {"hyperparameters": differing_hparams(runs, sides), "budget": budget, "pairs": _pair_table(shown)}
    if matching:
        tables["strata"] = _strata_table(shown)
    done = {case.metric for case in cases}
    bare = [m for m in names if m not in done]
    skipped = (*skipped, *([f"No row for {', '.join(bare)}: one side has no usable value."] if bare else ()))
    used = reduced.values["run_id"].n_unique()
    notes = _notes(how, reduced, setup, cases, skipped) + _matching_notes(runs, setup, named, cases, replicates)
    if cases:
        first = asked.filter(pl.col("metric") == cases[0].metric)
        notes += _robustness_notes(both, first, points, how, cases[0], setup, reduced.values, goals)
    notes += _coverage(runs, asked, names)
    return Answer(_table(cases), Basis(runs_used=used, left_out=left, points=reduced.points), notes, tables)


def _metrics(
    of_sides: pl.DataFrame,
    sides: Sides,
    asked: Sequence[str],
    how: Reduction,
    goals: Mapping[str, str] | None,
    main: Sequence[str],
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the metrics to compare, main ones first, and sentences on those that cannot be compared."""
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
    points: pl.LazyFrame,
    names: Sequence[str],
    reduced: ReducedSeries,
    sides: Sides,
    how: Reduction,
    goals: Mapping[str, str] | None,
    replicates: Sequence[str],
) -> dict[str, Spread]:
    """Returns each metric's spread between repetitions over all runs; read only where a side has a single run."""
    counts = reduced.values.group_by("metric").agg(
        n_a=pl.col("run_id").is_in(list(sides.a)).sum(), n_b=pl.col("run_id").is_in(list(sides.b)).sum()
    )
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


class _Setup(Struct, frozen=True):
    """How runs of the two sides are matched, and which differences count as equal."""

    sides: Sides
    matching: Matching | None
    pairs: pl.DataFrame | None
    equal_within: Mapping[str, float]
    tasks: pl.DataFrame | None  # run_id and task, where several tasks are matched


def _tasks_of(runs: pl.DataFrame, sides: Sides, matching: Matching | None, tasks: Sequence[str]) -> pl.DataFrame | None:
    of_task = [n for n in matching.by if is_called(n, tasks)] if matching else []
    if not of_task:
        return None
    both = keyed(runs.filter(pl.col("run_id").is_in(sides.both)), of_task)
    return both.select(
        "run_id", task=pl.concat_str([pl.col(t).cast(pl.String).fill_null("") for t in of_task], separator=", ")
    )


def _normalised(rows: pl.DataFrame, tasks: pl.DataFrame | None) -> pl.DataFrame:
    """Returns the values; where tasks vary, scaled within each task (lowest run 0, highest run 1)."""
    if tasks is None:
        return rows
    value = pl.col("value")
    low, high = value.min().over("task"), value.max().over("task")
    scaled = pl.when(high > low).then((value - low) / (high - low)).otherwise(0.5)
    return rows.join(tasks, on="run_id").with_columns(value=scaled).drop("task")


def _case(
    metric: str, goal: str, values: pl.DataFrame, setup: _Setup, noise: Spread | None, series: pl.DataFrame
) -> _MetricComparison | None:
    """None where a side has no value."""
    rows = _normalised(values.filter(pl.col("metric") == metric).select("run_id", "value"), setup.tasks)
    if setup.matching is not None:
        blocks = blocked(setup.matching, rows)
        if blocks is not None:
            a, b = (_of_side(blocks.rows, side) for side in "ab")
            drawn = blocked_contrast(a, b, blocks.test, blocks.sd)
            return _MetricComparison(metric, goal, drawn, noise, None, blocks, _delta(metric, blocks.sd, setup, series))
    a, b = (_in_order(rows, ids) for ids in (setup.sides.a, setup.sides.b))
    if not a or not b:
        return None
    spread = math.sqrt((variance(a) + variance(b)) / 2) if min(len(a), len(b)) > 1 else 0.0
    delta = _delta(metric, spread, setup, series)
    if setup.pairs is not None:
        values_a, values_b = (rows.rename({"run_id": f"run_{s}", "value": f"value_{s}"}) for s in "ab")
        whole = setup.pairs.join(values_a, on="run_a", maintain_order="left")
        whole = whole.join(values_b, on="run_b", maintain_order="left")
        if whole.height > 1:
            a, b = whole["value_a"].to_list(), whole["value_b"].to_list()
            return _MetricComparison(metric, goal, contrast(a, b, paired=True, noise=noise), noise, whole, None, delta)
    return _MetricComparison(metric, goal, contrast(a, b, paired=False, noise=noise), noise, None, None, delta)


def _of_side(rows: pl.DataFrame, side: str) -> list[float]:
    return rows.filter(pl.col("side") == side)["value"].to_list()


def _in_order(rows: pl.DataFrame, ids: Sequence[str]) -> list[float]:
    """Returns the values of these runs, in their order, without runs that have none."""
    return (
        pl.DataFrame({"run_id": ids}, schema={"run_id": pl.String})
        .join(rows, on="run_id", maintain_order="left")["value"]
        .to_list()
    )


def _delta(metric: str, spread: float, setup: _Setup, series: pl.DataFrame) -> Delta | None:
    """Returns the limit of equality: as configured, else the spread of a run, else 1 % of the metric's range."""
    if metric in setup.equal_within:
        return Delta(setup.equal_within[metric], "as configured")
    if 0 < spread < HUGE:
        return Delta(spread, "the spread of one run")
    mine = series.filter(pl.col("metric") == metric)
    low, high = mine["min"].min(), mine["max"].max()
    if not isinstance(low, float) or not isinstance(high, float) or not high > low:
        return None
    return Delta((high - low) / 100, "1 % of the metric's range")


def _adjusted(cases: Sequence[_MetricComparison]) -> list[float | None]:
    """Returns adjusted p: none for the first metric; Holm over the others with a goal, and separately over those without."""
    families = [
        holm([c.contrast.p if i and (c.goal == "unknown") == vague else None for i, c in enumerate(cases)])
        for vague in (False, True)
    ]
    return [
        cases[i].contrast.p if not i else p if p is not None else q
        for i, (p, q) in enumerate(zip(*families, strict=True))
    ]


def _table(cases: Sequence[_MetricComparison]) -> pl.DataFrame:
    adjusted = _adjusted(cases)
    return pl.DataFrame([_row(c, p) for c, p in zip(cases, adjusted, strict=True)], schema=_SCHEMA, orient="row")


def _row(case: _MetricComparison, adjusted: float | None) -> tuple[object, ...]:
    c, test, seeds = case.contrast, case.contrast.test, case.contrast.seeds
    low, high = (test.low, test.high) if test else (None, None)
    several = min(len(c.a), len(c.b)) > 1
    return (
        case.metric, case.goal, len(c.a), len(c.b), mean(c.a), mean(c.b), c.difference, low, high, c.name, c.p, c.effect,
        verdict(c, adjusted, case.goal, case.noise, case.delta), seeds.n if seeds else None, adjusted, c.other_test, c.other_p,
        seeds.low if seeds else None, seeds.high if seeds else None, c.detectable, c.superiority if several else None,
        c.correlation, case.blocks.p_disagree if case.blocks else None,
    )  # fmt: skip


def _strata_table(cases: Sequence[_MetricComparison]) -> pl.DataFrame:
    """metric, stratum, n_a, n_b, mean_a, mean_b, difference."""
    parts = [c.blocks.strata.select(pl.lit(c.metric).alias("metric"), pl.all()) for c in cases if c.blocks]
    return pl.concat(parts) if parts else pl.DataFrame()


def _alone(matching: Matching | None) -> tuple[LeftOut, ...]:
    if matching is None or not matching.alone:
        return ()
    return (LeftOut(f"no run on the other side with the same {', '.join(matching.by)}", matching.alone),)


def _robustness_notes(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    how: Reduction,
    case: _MetricComparison,
    setup: _Setup,
    values: pl.DataFrame,
    goals: Mapping[str, str] | None,
) -> tuple[str, ...]:
    """Returns the notes on the first metric: in how many other readings its verdict holds, and its most influential run."""
    primary = _significant_sign(case.contrast)
    if primary is None:
        return ()
    mine = values.filter(pl.col("metric") == case.metric).select("run_id", "value")
    groups = pl.concat(
        [pl.DataFrame({"run_id": ids, "group": [side] * len(ids)}, schema={"run_id": pl.String, "group": pl.String})
         for side, ids in (("a", setup.sides.a), ("b", setup.sides.b))]
    )  # fmt: skip
    same: list[str] = []
    other: list[tuple[str, str]] = []
    for reading in readings(runs, series, points, how, mine, groups, goal=case.goal, goals=goals):
        read = _case(
            case.metric, case.goal, reading.values.with_columns(metric=pl.lit(case.metric)), setup, case.noise, series
        )
        _sort_reading(reading.name, read.contrast if read else None, primary, case.goal, same, other)
    for name, tried in _other_tests(case):
        _sort_reading(name, tried, primary, case.goal, same, other)
    return tuple(n for n in (robustness_note(same, other), _leverage(mine, case, setup)) if n)


def _sort_reading(
    name: str, tried: Contrast | None, primary: int, goal: str, same: list[str], other: list[tuple[str, str]]
) -> None:
    sign = _significant_sign(tried) if tried else None
    if sign == primary:
        same.append(name)
    elif tried is not None and sign is not None:
        other.append((name, f"a - b {tried.difference:.4g}, " + ("different" if sign else "not sign apart")))


def _significant_sign(c: Contrast) -> int | None:
    """Returns the sign of a significant difference, 0 for one that is not significant, None without a test."""
    if c.p is None:
        return None
    return 0 if c.p >= ALPHA else 1 if c.difference > 0 else -1


def _other_tests(case: _MetricComparison) -> Iterator[tuple[str, Contrast]]:
    c = case.contrast
    if case.blocks is not None or c.test is None:
        return
    if case.pairs is not None:
        name = "unpaired" if c.name == "paired t" else "paired"
        test = welch(c.a, c.b) if c.name == "paired t" else paired_t(c.a, c.b)
        if test is not None:
            yield name, replace(c, test=test)
    if c.other_p is not None and c.other_test == "Mann-Whitney":
        middle = statistics.median(c.a) - statistics.median(c.b)
        yield "medians and ranks", replace(c, test=replace(c.test, p=c.other_p, difference=middle))


def _leverage(values: pl.DataFrame, case: _MetricComparison, setup: _Setup) -> str:
    """Names the run whose removal changes the difference most, if by a quarter or more."""
    whole, test = case.contrast.difference, case.contrast.test
    if not whole or test is None:
        return ""
    if case.blocks is not None and setup.matching is not None:
        tried = without_each(setup.matching, case.blocks.rows.select("run_id", "value"))
    elif case.pairs is not None and test.test == "paired t":
        n, d = case.pairs.height, pl.col("value_a") - pl.col("value_b")
        tried = case.pairs.select(pl.col("run_a").alias("run_id"), without=(d.sum() - d) / (n - 1))
    else:
        side = pl.when(pl.col("run_id").is_in(setup.sides.a)).then(1.0).otherwise(-1.0)
        mean_of, size = pl.col("value").mean().over(side), pl.len().over(side)
        change = side * ((mean_of * size - pl.col("value")) / (size - 1) - mean_of)
        tried = values.filter(pl.col("run_id").is_in(setup.sides.both)).select("run_id", without=whole + change)
    far = tried.filter(pl.col("without").is_finite()).sort(
        (pl.col("without") - whole).abs(), "run_id", descending=[True, False]
    )
    if not far.height:
        return ""
    run, without = far.row(0)
    return (
        f"Without {run} the difference is {without:.4g} instead of {whole:.4g}."
        if abs(without - whole) >= abs(whole) / 4
        else ""
    )


def _pair_table(cases: Sequence[_MetricComparison]) -> pl.DataFrame:
    """metric, the key, run_a, run_b, value_a, value_b, difference."""
    parts = [
        c.pairs.select(pl.lit(c.metric).alias("metric"), pl.all(), difference=pl.col("value_a") - pl.col("value_b"))
        for c in cases
        if c.pairs is not None
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def _unpaired(cases: Sequence[_MetricComparison], reduced: ReducedSeries, sides: Sides) -> tuple[LeftOut, ...]:
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


def _coverage(runs: pl.DataFrame, asked: pl.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Returns a note on runs that are unfinished or shorter, by the first metric."""
    cover = coverage_of(runs, asked.filter(pl.col("metric") == names[0])) if names else None
    note = cover.note() if cover else ""
    note = f"So far: {note[:1].lower()}{note[1:]}" if cover and cover.running else note
    return (f"{note} reduce='at_step:common' compares them at the same step.",) if note else ()


def _notes(
    how: Reduction, reduced: ReducedSeries, setup: _Setup, cases: Sequence[_MetricComparison], skipped: Sequence[str]
) -> tuple[str, ...]:
    """Returns one line of method, and notes on pairs and noise."""
    at = f" (step {reduced.step})" if reduced.step is not None else ""
    sides = setup.sides
    line = f"a: {len(sides.a)} runs, b: {len(sides.b)} runs; reduce {how}{at}; difference is a - b"
    tests = list(dict.fromkeys(c.contrast.name for c in cases if c.contrast.p is not None))
    line += f"; {' or '.join(tests)} at 5 %" if tests else ""
    line += f", {cases[0].metric} uncorrected, the others Holm-corrected" if len(cases) > 1 and tests else ""
    notes = [f"{line}."]
    first = cases[0].contrast if cases else None
    if first is not None and first.pairs and first.correlation is not None and first.name != "none":
        word = "so they are paired" if first.name == "paired t" else "too weak for a paired test"
        word = (
            "all pairs differ by the same amount, so there is no spread to test"
            if first.correlation == 1.0 and first.name != "paired t"
            else word
        )
        notes.append(f"Runs of equal seeds correlate by {first.correlation:.2f} in {cases[0].metric}: {word}.")
    if any(c.noise is not None for c in cases):
        notes.append(
            "Seed noise: the largest difference between equal settings in 95 % of cases, for these numbers of runs."
        )
    return (*notes, *skipped)


def _matching_notes(
    runs: pl.DataFrame,
    setup: _Setup,
    named: Sequence[str],
    cases: Sequence[_MetricComparison],
    replicates: Sequence[str],
) -> tuple[str, ...]:
    """Returns notes on matching, on strata that disagree, and on other hyperparameters that differ."""
    notes: list[str] = []
    matching = setup.matching
    if matching is not None:
        error = (
            "seeds as blocks"
            if cases and cases[0].blocks and cases[0].blocks.seeds_as_blocks
            else "a linear model with strata as blocks"
        )
        notes.append(
            f"Matched on {', '.join(matching.by)}: difference is pooled over {len(matching.labels)} strata ({error})."
        )
        if setup.tasks is not None:
            notes.append("Several tasks: values are scaled within each task (lowest run 0, highest run 1).")
        wild = cases[0].blocks.wild if cases and cases[0].blocks else ()
        if wild:
            notes.append(f"Not pooled, because the spread of runs is far larger: {listed(wild)}; see table strata.")
        p = cases[0].blocks.p_disagree if cases and cases[0].blocks else None
        if p is not None and p < ALPHA:
            notes.append(
                f"Strata disagree (p {p:.2g}): the difference depends on {', '.join(matching.by)}; see table strata."
            )
    both = runs.filter(pl.col("run_id").is_in(setup.sides.both))
    apart = [n for n in varying_hparams(both) if n not in named and not is_replicate(both, n, replicates)
             and not is_identifier(both, n, replicates) and not (matching and n in matching.by)]  # fmt: skip
    if apart and (named or len(apart) > 1):
        notes.append(f"The sides also differ in {listed(apart, 5)}, which is not matched: the causes are confounded.")
    return tuple(notes)
