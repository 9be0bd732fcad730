"""Notes of a comparison: the method, the matching, unfinished runs, and how robust the verdict is."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.coverage import Coverage, listed
from sweeplens.analyses.level_trends import trend_notes
from sweeplens.analyses.matching import Matching
from sweeplens.analyses.metric_comparison import ComparisonSetup, MetricComparison, compare_metric
from sweeplens.analyses.pooled_difference import PooledDifference, without_each
from sweeplens.analyses.robustness import analysis_choices, robustness_note
from sweeplens.analyses.statistics import ALPHA, paired_t, welch
from sweeplens.analyses.verdicts import Contrast
from sweeplens.counting import count_of
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.grouping import settings_among, varying_hparams
from sweeplens.frames.reduction import ReducedSeries, Reduction

__all__ = ["coverage_note", "matching_notes", "method_notes", "robustness_notes"]

_SURE_FIGURES = 9  # the order in which values are summed changes only later ones


def method_notes(
    how: Reduction,
    reduced: ReducedSeries,
    setup: ComparisonSetup,
    cases: Sequence[MetricComparison],
    skipped: Sequence[str],
) -> tuple[str, ...]:
    """Returns one line of method, and notes on pairs and noise."""
    at = f" (step {reduced.step})" if reduced.step is not None else ""
    sides = setup.sides
    line = (
        f"a: {count_of(len(sides.a), 'run')}, b: {count_of(len(sides.b), 'run')}; reduce {how}{at}; difference is a - b"
    )
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


def matching_notes(
    runs: pl.DataFrame,
    setup: ComparisonSetup,
    named: Sequence[str],
    cases: Sequence[MetricComparison],
    replicates: Sequence[str],
) -> tuple[str, ...]:
    """Returns notes on matching, on strata that disagree, and on other hyperparameters that differ."""
    notes: list[str] = []
    matching = setup.matching
    if matching is not None:
        first = cases[0].pooled if cases else None
        outlying = first.outlying if first else ()
        unapplied = first.unapplied if first else ()
        notes += _matched(matching, first)
        if setup.tasks is not None:
            notes.append("Several tasks: values are scaled within each task (lowest run 0, highest run 1).")
        if outlying:
            notes.append(f"Not pooled, because the spread of runs is far larger: {listed(outlying)}; see table strata.")
        if unapplied:
            notes.append(
                f"Not pooled, because both sides hold the same values to the last digit, as if the setting was never applied: "
                f"{listed(unapplied)}."
            )
        p = cases[0].pooled.p_disagree if cases and cases[0].pooled else None
        if p is not None and p < ALPHA:
            notes.append(
                f"Strata disagree (p {p:.2g}): the difference depends on {', '.join(matching.by)}; see table strata."
            )
    if matching is not None and cases and cases[0].pooled:
        notes += trend_notes(cases[0].pooled, matching)
    apart = _unmatched(runs, setup, named, cases, replicates)
    if apart and (named or len(apart) > 1):
        notes.append(f"The sides also differ in {listed(apart, 5)}, which is not matched: the causes are confounded.")
    return tuple(notes)


def _matched(matching: Matching, pooled: PooledDifference | None) -> Iterator[str]:
    """Yields how runs are matched, and what the blocks of the linear model are."""
    blocks = pooled.blocks if pooled else ()
    if not matching.by:
        if pooled and blocks:
            yield f"Runs of the same {' and '.join(blocks)} are compared (a linear model with {' and '.join(blocks)} as blocks)."
        return
    if pooled is None:
        yield f"Matched on {', '.join(matching.by)}, but without an error to test with: the sides are compared as they are."
        return
    error = "a linear model with strata as blocks"
    if blocks:
        error = "seeds as blocks" if not set(blocks) & set(matching.folds) else f"{' and '.join(blocks)} as blocks"
    count = len(matching.labels) - len({*pooled.outlying, *pooled.unapplied})
    own = ", so it is not just the difference of the means; rows a - b have means of the same weights" * (count > 1)
    over = f"difference is pooled over {count_of(count, 'stratum', 'strata')} ({error})"
    yield f"Matched on {', '.join(matching.by)}: {over}{own}."


def _unmatched(
    runs: pl.DataFrame,
    setup: ComparisonSetup,
    named: Sequence[str],
    cases: Sequence[MetricComparison],
    replicates: Sequence[str],
) -> list[str]:
    """Returns the settings that vary over the runs that were compared, and are neither named nor matched."""
    matching, first = setup.matching, cases[0].pooled if cases else None
    both = setup.sides.runs_of(runs)
    used = both if first is None else both.join(first.rows.select("run_id"), on="run_id", how="semi")
    settings = settings_among(both, varying_hparams(used), replicates)
    return [n for n in settings if n not in named and not (matching and n in (*matching.by, *matching.factors))]


def coverage_note(cover: Coverage | None) -> tuple[str, ...]:
    """Returns a note on runs that are unfinished or shorter."""
    note = cover.note() if cover else ""
    note = f"So far: {note[:1].lower()}{note[1:]}" if cover and cover.running else note
    return (f"{note} reduce='at_step:common' compares them at the same step.",) if note else ()


def robustness_notes(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    how: Reduction,
    case: MetricComparison,
    setup: ComparisonSetup,
    values: pl.DataFrame,
    goals: Mapping[str, str] | None,
    counters: Sequence[str] = (),
) -> tuple[str, ...]:
    """Returns the notes on the first metric: under how many other analysis choices its verdict holds, and its most influential run.

    ``series``: its rows; ``counters``: metrics that count what was used up.
    """
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
    for choice in analysis_choices(
        runs, series, points, how, mine, groups, goal=case.goal, goals=goals, counters=counters
    ):
        read = compare_metric(
            case.metric, case.goal, choice.values.with_columns(metric=pl.lit(case.metric)), setup, case.noise, series
        )
        _sort_choice(choice.name, read.contrast if read else None, primary, case.goal, same, other)
    for name, tried in _other_tests(case):
        _sort_choice(name, tried, primary, case.goal, same, other)
    return tuple(n for n in (robustness_note(same, other), _leverage(mine, case, setup)) if n)


def _sort_choice(
    name: str, tried: Contrast | None, primary: int, goal: str, same: list[str], other: list[tuple[str, str]]
) -> None:
    sign = _significant_sign(tried) if tried else None
    if sign == primary:
        same.append(name)
    elif tried is not None and sign is not None:
        other.append((name, f"a - b {tried.difference:.4g}, " + ("different" if sign else "no significant difference")))


def _significant_sign(c: Contrast) -> int | None:
    """Returns the sign of a significant difference, 0 for one that is not significant, None without a test."""
    if c.p is None:
        return None
    return 0 if c.p >= ALPHA else 1 if c.difference > 0 else -1


def _other_tests(case: MetricComparison) -> Iterator[tuple[str, Contrast]]:
    c = case.contrast
    if case.pooled is not None or c.test is None:
        return
    if case.pairs is not None:
        name = "unpaired" if c.name == "paired t" else "paired"
        test = welch(c.a, c.b) if c.name == "paired t" else paired_t(c.a, c.b)
        if test is not None:
            yield name, replace(c, test=test)
    if c.other_p is not None and c.other_test == "Mann-Whitney":
        middle = statistics.median(c.a) - statistics.median(c.b)
        yield "medians and ranks", replace(c, test=replace(c.test, p=c.other_p, difference=middle))


def _leverage(values: pl.DataFrame, case: MetricComparison, setup: ComparisonSetup) -> str:
    """Names the run whose removal changes the difference most, if by a quarter or more."""
    whole, test = case.contrast.difference, case.contrast.test
    if not whole or test is None:
        return ""
    if case.pooled is not None and setup.matching is not None:
        tried = without_each(case.pooled.rows)
    elif case.pairs is not None and test.test == "paired t":
        n, d = case.pairs.height, pl.col("value_a") - pl.col("value_b")
        tried = case.pairs.select(pl.col("run_a").alias("run_id"), without=(d.sum() - d) / (n - 1))
    else:
        side = pl.when(pl.col("run_id").is_in(setup.sides.ids_a)).then(1.0).otherwise(-1.0)
        mean_of, size = pl.col("value").mean().over(side), pl.len().over(side)
        moved = side * ((mean_of * size - pl.col("value")) / (size - 1) - mean_of)
        tried = values.filter(pl.col("run_id").is_in(setup.sides.ids)).select("run_id", without=whole + moved)
    change = (pl.col("without") - whole).abs().round_sig_figs(_SURE_FIGURES)  # equal ones: by name
    far = tried.filter(pl.col("without").is_finite()).sort(change, "run_id", descending=[True, False])
    if not far.height:
        return ""
    run, without = far.row(0)
    return (
        f"Without {run} the difference is {without:.4g} instead of {whole:.4g}."
        if abs(without - whole) >= abs(whole) / 4
        else ""
    )
