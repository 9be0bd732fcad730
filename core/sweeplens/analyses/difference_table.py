"""The differences between two sides in one table: a row for each task, and below it a row for each level that is matched.

    differences     the tables ``by_task`` and ``by_level``, and sentences on them

Each task is compared in its own main metric and in that metric's test twin, matched within the task on all else that varies. The
row ``each at its best`` compares the best setting of each side; ``all tasks`` pools scores that are scaled within each task. An
interval at a level uses the spread of a run over all levels of the task, so a level of few runs has a usable interval too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.level_differences import LEVEL_ROW, level_rows
from sweeplens.analyses.matching import Matching, seeds_once
from sweeplens.analyses.metric_comparison import (
    ComparisonSetup,
    MetricComparison,
    WholeComparison,
    compare_metric,
    setup_of,
)
from sweeplens.analyses.pooled_difference import PooledDifference, pooled_difference
from sweeplens.analyses.run_costs import counters_of
from sweeplens.analyses.sides import Sides
from sweeplens.analyses.statistics import ALPHA, equal_within, holm, mean
from sweeplens.analyses.step_differences import equal_use, other_steps
from sweeplens.analyses.task_plan import TaskPlan
from sweeplens.analyses.verdicts import blocked_contrast
from sweeplens.counting import count_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.goals import known_goal
from sweeplens.frames.grouping import is_replicate, keyed, settings_among, varying_hparams

__all__ = ["ALL_TASKS", "AT_BEST", "DifferenceTables", "differences"]

AT_BEST, ALL_TASKS = "each at its best", "all tasks"
_SCORE = "score"
_VALUE = "value."  # no hyperparameter has this name
_FIGURES = 5  # significant figures of both tables
_TASK_ROW = {
    "a": pl.String(), "b": pl.String(),
    "task": pl.String(), "metric": pl.String(), "goal": pl.String(), "n_a": pl.Int64(), "n_b": pl.Int64(),
    "pairs": pl.Int64(), "mean_a": pl.Float64(), "mean_b": pl.Float64(), "difference": pl.Float64(),
    "ci95_low": pl.Float64(), "ci95_high": pl.Float64(), "p": pl.Float64(), "p_holm": pl.Float64(), "verdict": pl.String(),
}  # fmt: skip
_DETAILED = 6  # tasks up to which the best settings and equal steps are compared too
_EQUAL_USE = 0.1  # relative difference of tokens or samples that counts as equal


class DifferenceTables(Struct, frozen=True):
    """``by_task`` and ``by_level``, ``notes`` on them, and the comparison of scores over all tasks, if there are several."""

    by_task: pl.DataFrame
    by_level: pl.DataFrame
    notes: tuple[str, ...]
    pooled: MetricComparison | None


_Row: TypeAlias = tuple[object, ...]


class _TaskRows(Struct, frozen=True):
    """The rows of one task: its metrics, whose p values are corrected over tasks, and their values under other analysis choices."""

    metrics: tuple[_Row, ...]
    more: tuple[_Row, ...]


class _Task(Struct, frozen=True):
    """One task in one metric."""

    plan: TaskPlan
    setup: ComparisonSetup
    case: MetricComparison
    values: pl.DataFrame  # run_id, value


def differences(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, plans: Sequence[TaskPlan], values: pl.DataFrame, *,
    named: Sequence[str], replicates: Sequence[str], goals: Mapping[str, str] | None, equal_within: Mapping[str, float],
    labels: tuple[str, str] = ("a", "b"), whole: WholeComparison | None = None, axis: str = "step",
) -> DifferenceTables:  # fmt: skip
    """Returns both tables, of five significant figures. ``values``: run_id, metric, value of all metrics of the plans; ``series``:
    their rows; ``labels``: the names of the sides; ``whole``: the comparison of all runs, which is that of the only task; ``axis``:
    tasks are also compared at an equal amount of it."""
    found: list[_Task] = []
    parts: list[_TaskRows] = []
    for plan in plans:
        part = plan.sides.runs_of(runs)
        done = whole if whole and len(plans) == 1 and whole.is_of(plan.sides) else None
        setup = done.setup if done else setup_of(part, plan.sides, replicates, named, (), equal_within)
        mine = plan.sides.series_of(values, runs)
        known = {case.metric: case for case in done.cases} if done else {}
        own = [task for m in plan.metrics if (task := _compared(plan, m, setup, mine, series, goals, known.get(m)))]
        found += own
        more: tuple[_Row, ...] = ()
        if len(plans) <= _DETAILED:
            more = (
                *_at_other_steps(own[:1], points, axis, alone=len(plans) == 1),
                *_at_best(part, own, named, replicates),
            )
        parts.append(_TaskRows(tuple(_task_row(plan.task, "", task.case) for task in own), more))
    pooled = list(_all_tasks(found))
    parts += [_TaskRows((), (_task_row(ALL_TASKS, "", case),)) for case in pooled]
    rows = [(*labels, *row) for row in _with_verdicts(parts, labels)]
    of_levels = [
        (*labels, *row)
        for task in found
        for row in level_rows(task.plan.task, task.case, task.setup.matching, alone=len(plans) == 1)
    ]
    table, levels = (
        pl.DataFrame(r, schema=schema, orient="row").with_columns(pl.col(pl.Float64).round_sig_figs(_FIGURES))
        for r, schema in ((rows, _TASK_ROW), (of_levels, LEVEL_ROW))
    )
    return DifferenceTables(
        table,
        levels,
        tuple(n for n in (*_notes(table, plans, pooled), _copies_note(found)) if n),
        pooled[0] if pooled else None,
    )


def _compared(
    plan: TaskPlan, metric: str, setup: ComparisonSetup, values: pl.DataFrame, series: pl.DataFrame,
    goals: Mapping[str, str] | None, known: MetricComparison | None,
) -> _Task | None:  # fmt: skip
    case = known or compare_metric(metric, known_goal(metric, goals), values, setup, None, series)
    own = values.filter(pl.col("metric") == metric).select("run_id", "value")
    return _Task(plan, setup, case, own) if case else None


def _task_row(task: str, at: str, case: MetricComparison) -> _Row:
    """Returns a row up to its ``p``, and the limit within which the sides are equal; None if they are not."""
    c, test = case.contrast, case.contrast.test
    low, high = (test.low, test.high) if test else (None, None)
    pairs = case.pooled.pairs if case.pooled else len(c.a) if c.name == "paired t" else None
    means = _weighted_means(case.pooled) if case.pooled else (mean(c.a), mean(c.b))
    return (
        f"{task}, {at}" if task and at else task or at,
        case.metric,
        case.goal,
        len(c.a),
        len(c.b),
        pairs,
        *means,
        c.difference,
        low,
        high,
        c.p,
        _equality(case),
    )


def _equality(case: MetricComparison) -> float | None:
    """Returns the limit within which the sides are equal; None if they are not, or no limit is known."""
    test, delta = case.contrast.test, case.delta
    if test is None or delta is None or delta.is_spread or equal_within(test, delta.value) >= ALPHA:
        return None
    return delta.value


def _weighted_means(pooled: PooledDifference) -> tuple[float, float]:
    """Returns the mean of each side over strata, with the weights of the difference."""
    strata = pooled.every.filter("pooled")
    total = float(strata["w"].sum())
    a, b = (float((strata["w"] * strata[f"mean_{s}"]).sum()) / total for s in "ab")
    return a, b


def _at_best(
    runs: pl.DataFrame, tasks: Sequence[_Task], named: Sequence[str], replicates: Sequence[str]
) -> Iterator[_Row]:
    """Yields the comparison of each side's best setting in the main metric, if these settings differ in what is matched.

    Where runs used up unequal amounts of data, also that of the runs with the usual amount.
    """
    if not tasks or tasks[0].case.goal not in ("lower", "higher"):
        return
    yield from _best_of(runs, tasks, named, replicates, "")
    series = tasks[0].plan.series
    for metric in counters_of(series.filter(pl.col("max") > pl.col("min")))[:1]:
        used = series.filter(pl.col("metric") == metric).select("run_id", used="last_finite")
        known = tasks[0].values.join(used, on="run_id")["used"].round_sig_figs(2)
        usual = known.mode().sort().first()
        if isinstance(usual, float) and known.n_unique() > 1:
            near = used.filter((pl.col("used") / usual - 1).abs() < _EQUAL_USE)["run_id"]
            own = runs.filter(pl.col("run_id").is_in(near.implode()))
            yield from _best_of(own, tasks, named, replicates, f" with {usual:.3g} {metric}")


def _best_of(
    runs: pl.DataFrame, tasks: Sequence[_Task], named: Sequence[str], replicates: Sequence[str], with_budget: str
) -> Iterator[_Row]:
    keys = settings_among(runs, [n for n in varying_hparams(runs) if n not in named], replicates)
    first = tasks[0]
    known = first.values.rename({"value": _VALUE})
    table = keyed(runs, [*keys, *_seeds(runs, replicates)]).join(known, on="run_id")
    sides = first.plan.sides
    a, b = (_best_cell(part, keys, first.case.goal) for part in sides.parts_of(table))
    if not keys or a is None or b is None or a[0] == b[0]:
        return
    at = f"{AT_BEST}{with_budget}: {a[0] or 'as given'} | {b[0] or 'as given'}"
    for task in tasks:
        drawn = _of_settings(runs, task, Sides(a[1], b[1]), named, replicates)
        if drawn is not None:
            yield _task_row(task.plan.task, at, replace(drawn, delta=task.case.delta))


def _seeds(runs: pl.DataFrame, replicates: Sequence[str]) -> list[str]:
    return [n for n in varying_hparams(runs) if is_replicate(runs, n, replicates)]


def _best_cell(table: pl.DataFrame, keys: Sequence[str], goal: str) -> tuple[str, tuple[str, ...]] | None:
    """Returns the best setting, in words, and its runs; of settings with at least half as many runs as the largest."""
    varying = [k for k in keys if table[k].n_unique() > 1]
    if not varying:
        return "", tuple(table["run_id"].to_list())
    cells = table.group_by(varying).agg(
        pl.col("run_id").sort(), pl.len().alias("n."), pl.col(_VALUE).mean().alias("mean.")
    )
    enough = cells.filter(2 * pl.col("n.") >= pl.col("n.").max(), pl.col("mean.").is_finite())
    if not enough.height:
        return None
    top = enough.sort("mean.", *varying, descending=[goal == "higher", *(False for _ in varying)]).row(0, named=True)
    words = [f"{k}={_text(top[k])}" for k in varying if top[k] is not None]
    return listed(words, 4), tuple(top["run_id"])


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _of_settings(
    runs: pl.DataFrame, task: _Task, sides: Sides, named: Sequence[str], replicates: Sequence[str]
) -> MetricComparison | None:
    """Compares these runs in the metric of the task, by repetitions alone: each side is one setting."""
    own = sides.runs_of(runs).join(task.values.select("run_id"), on="run_id", how="semi")
    known = set(own["run_id"].to_list())
    kept = Sides(*(tuple(r for r in ids if r in known) for ids in (sides.a, sides.b)))
    settings = settings_among(own, varying_hparams(own), replicates)
    setup = setup_of(own, kept, replicates, [*named, *settings], (), {})
    values = task.values.select("run_id", pl.lit(task.case.metric).alias("metric"), "value")
    return compare_metric(task.case.metric, task.case.goal, values, setup, None, task.plan.series)


def _all_tasks(found: Sequence[_Task]) -> Iterator[MetricComparison]:
    """Yields the pooled comparison of the main metrics, and of their twins: scores scaled within each task, higher is better."""
    for place, name in enumerate((_SCORE, f"test {_SCORE}")):
        own = [
            t for t in found
            if t.case.metric in t.plan.metrics[place : place + 1] and t.case.goal in ("lower", "higher")
        ]  # fmt: skip
        pooled = _pooled_over(own) if len(own) > 1 else None
        if pooled is not None:
            a, b = (pooled.rows.filter(pl.col("side") == side)["value"].to_list() for side in "ab")
            drawn = blocked_contrast(a, b, pooled.test, pooled.sd)
            yield MetricComparison(name, "higher", drawn, None, None, pooled, None)


def _pooled_over(tasks: Sequence[_Task]) -> PooledDifference | None:
    """Returns the comparison of these tasks' scores, with the strata of all tasks as blocks."""
    parts = [_scored(task, i) for i, task in enumerate(tasks)]
    table = pl.concat(rows for rows, _ in parts)
    folds = tuple(dict.fromkeys(n for t in tasks if t.setup.matching for n in t.setup.matching.folds))
    strata = table.select("task", "within").unique().sort("task", "within").with_row_index("stratum")
    within: list[tuple[int, int]] = strata.select("task", "within").rows()
    labels = tuple(parts[task][1][place] for task, place in within)
    rows = table.join(strata, on=["task", "within"]).select("run_id", "side", "stratum", "block", "seed", "value")
    numbers, once = strata.select("stratum"), seeds_once(rows)
    matching = Matching(rows.drop("value"), ("task",), labels, strata, numbers, (), (), once, folds=folds)
    return pooled_difference(matching, rows.select("run_id", "value"))


def _scored(task: _Task, place: int) -> tuple[pl.DataFrame, list[str]]:
    """Returns task, within (a stratum), side, block, seed, run_id, value of a task's runs, and its strata's labels."""
    matching, pairs, sides = task.setup.matching, task.setup.pairs, task.plan.sides
    if matching is not None:
        rows = matching.table.with_columns(pl.col("seed").cast(pl.String))
        labels = [f"{task.plan.task}, {name}" for name in matching.labels]
    else:
        seeds = (
            {}
            if pairs is None
            else {r: str(i) for i, two in enumerate(pairs.select("run_a", "run_b").rows()) for r in two}
        )
        drawn = [(r, side, 0, 0, seeds.get(r)) for side, ids in (("a", sides.a), ("b", sides.b)) for r in ids]
        schema = {"run_id": pl.String, "side": pl.String, "stratum": pl.UInt32, "block": pl.UInt32, "seed": pl.String}
        rows, labels = pl.DataFrame(drawn, schema=schema, orient="row"), [task.plan.task]
    value = pl.col("value") if task.case.goal == "higher" else -pl.col("value")
    low, high = value.min(), value.max()
    scored = rows.join(task.values, on="run_id").with_columns(
        value=pl.when(high > low).then((value - low) / (high - low)).otherwise(0.5)
    )
    return scored.select(
        pl.lit(place).alias("task"), pl.col("stratum").alias("within"), "side", "block", "seed", "run_id", "value"
    ), labels


def _at_other_steps(tasks: Sequence[_Task], points: PointSource, axis: str, *, alone: bool) -> Iterator[_Row]:
    """Yields the comparison at equal steps, without short runs, early in training where it was another one, and at equal use of the
    axis; by default only for several tasks, since the notes name the analysis choices that change a verdict of one."""
    for task in tasks:
        found = [*other_steps(task.plan, task.case, task.setup, task.values, points)]
        if axis != "step" or not alone:
            found += equal_use(task.plan, task.case, task.setup, points, axis)
        for at, case in found:
            yield _task_row(task.plan.task, at, case)


def _with_verdicts(parts: Sequence[_TaskRows], labels: tuple[str, str]) -> Iterator[_Row]:
    """Yields each row with Holm's p over the tasks, for main metrics and for their twins apart, and its verdict in a few words."""
    adjusted: dict[_Row, float | None] = {}
    for place in (0, 1):
        rows = [part.metrics[place] for part in parts if len(part.metrics) > place]
        adjusted |= zip(rows, holm([_named(row)["p"] for row in rows]), strict=True)
    for part in parts:
        for row in (*part.metrics, *part.more):
            p = adjusted.get(row, _named(row)["p"])
            yield (*row[:-1], p, _verdict(_named(row), p, labels))


def _named(row: _Row) -> dict[str, Any]:
    return {**dict(zip(list(_TASK_ROW)[2:], row[:-1], strict=False)), "equal_within": row[-1]}


def _verdict(row: Mapping[str, Any], adjusted: float | None, labels: tuple[str, str]) -> str:
    if adjusted is None:
        return "no test possible"
    if row["p"] >= ALPHA:
        return f"equal within {row['equal_within']:.3g}" if row["equal_within"] else "not told apart"
    better = labels[0] if (row["difference"] > 0) == (row["goal"] == "higher") else labels[1]
    side = "different" if row["goal"] == "unknown" else f"{better} better"
    return side if adjusted < ALPHA else f"{side}, but not after Holm (p {adjusted:.2g})"


def _copies_note(found: Sequence[_Task]) -> str:
    most = max((t.case.pooled.copies for t in found if t.case.pooled), default=0)
    if not most:
        return ""
    runs = f"{count_of(most, 'run')} {verb(most, 'has', 'have')} the value"
    return f"{runs} of another run of the same side to the last digit: in intervals they count as one run."


def _notes(table: pl.DataFrame, plans: Sequence[TaskPlan], pooled: Sequence[MetricComparison]) -> Iterator[str]:
    if len(plans) > 1:
        yield (
            f"By task: each in its own metric, matched within the task; verdicts are corrected over {len(plans)} tasks (Holm), "
            "for test metrics apart."
        )
    if pooled:
        yield "score: scaled within each task, 0 its worst run, 1 its best."
    if table.filter(pl.col("task").str.contains(AT_BEST, literal=True)).height:
        yield f"Settings for '{AT_BEST}' were chosen by the same runs, so that their difference may be luck."
