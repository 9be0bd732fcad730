"""Decides, for a comparison, which tasks are compared in which metrics: each task's own main metric and its test twin.

A test twin measures the same quantity on other data: ``test/acc`` for ``val/acc``, ``final_full_loss`` for ``val_loss``. Its name
has the same words but for those that name the data or which value it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.analyses.sides import Sides
from sweeplens.analyses.triage.pairs import SPLITS, words
from sweeplens.frames.goals import known_goal, main_metrics
from sweeplens.frames.grouping import keyed, task_hparams

__all__ = ["TaskPlan", "main_metric_of_runs", "plans_of", "test_twin"]

_TEST = frozenset({"test", "testing", "heldout", "holdout"})
_WHOLE = frozenset({"full", "whole", "complete"})
_CHOICE = frozenset({"best", "final", "last"})
_COVER = 0.5  # share of a side's runs that have the main metric of a task
_MOST_TASKS = 12


class TaskPlan(Struct, frozen=True):
    """One task (its name is empty where there is none), its runs on each side, its main metric and then that metric's twin.

    ``series``: the rows of its runs.
    """

    task: str
    sides: Sides
    metrics: tuple[str, ...]
    series: pl.DataFrame


def plans_of(
    runs: pl.DataFrame, series: pl.DataFrame, sides: Sides, asked: Sequence[str], named: Sequence[str],
    tasks: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None,
) -> list[TaskPlan]:  # fmt: skip
    """Returns the tasks that both sides have, in order. ``series``: the rows of both sides; ``named``: define the sides."""
    both = sides.runs_of(runs)
    names = [n for n in task_hparams(both, tasks) if n not in named]
    table = keyed(both, names).select("run_id", task=_label(names), on_a=pl.col("run_id").is_in(sides.ids_a))
    plans: list[TaskPlan] = []
    for (task,), part in table.sort("task", maintain_order=True).group_by("task", maintain_order=True):
        a, b = (tuple(part["run_id"].filter(side).to_list()) for side in (part["on_a"], ~part["on_a"]))
        own = sides if (a, b) == (sides.a, sides.b) else Sides(a, b)
        rows = own.series_of(series, both) if a and b else series.clear()
        metrics = _metrics(rows, own, asked, main, goals) if a and b else ()
        plans += [TaskPlan(str(task), own, metrics, rows)] * bool(metrics)
    return plans[:_MOST_TASKS]


def main_metric_of_runs(
    runs: pl.DataFrame, series: pl.DataFrame, tasks: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None
) -> pl.DataFrame:
    """Returns run_id, task, metric: the main metric of each run's task, null where the task has none with a goal.

    ``series``: the rows of these runs.
    """
    names = task_hparams(runs, tasks)
    table = keyed(runs, names).select("run_id", task=_label(names))
    if names:
        counts = series.select("run_id", "metric").join(table, on="run_id").group_by("task", "metric").agg(n=pl.len())
    else:
        counts = series.group_by("metric").agg(n=pl.len()).with_columns(task=_label(names))
    sizes = table.group_by("task").agg(size=pl.len())
    usual = counts.join(sizes, on="task").filter(pl.col("n") >= _COVER * pl.col("size"))
    found: dict[str, str] = {}
    for (task,), part in usual.group_by("task"):
        known = [m for m in part["metric"].to_list() if known_goal(m, goals) != "unknown"]
        first = main_metrics(known, main, goals, most=1)
        found |= {str(task): first[0]} if first else {}
    metric = pl.col("task").replace_strict(found, default=None, return_dtype=pl.String)
    return table.with_columns(metric=metric)


def _label(names: Sequence[str]) -> pl.Expr:
    texts = [pl.col(n).cast(pl.String).fill_null("(not set)") for n in names]
    return pl.concat_str(texts, separator=", ") if texts else pl.lit("")


def _metrics(
    series: pl.DataFrame, sides: Sides, asked: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None
) -> tuple[str, ...]:
    rows = series.select("metric", a=pl.col("run_id").is_in(sides.ids_a))
    counts = rows.group_by("metric").agg(pl.col("a").sum(), b=pl.col("a").not_().sum())
    having = set(counts.filter(pl.col("a") > 0, pl.col("b") > 0)["metric"].to_list())
    usual = (pl.col("a") >= _COVER * len(sides.a)) & (pl.col("b") >= _COVER * len(sides.b))
    if asked:
        first = [m for m in asked if m in having]
    else:
        known = [m for m in sorted(having) if known_goal(m, goals) != "unknown"]
        most = set(counts.filter(usual)["metric"].to_list())
        first = main_metrics([m for m in known if m in most] or known, main, goals, most=1)
    twin = test_twin(first[0], sorted(having)) if first else ""
    return tuple(dict.fromkeys([*first[:1], *([twin] if twin else []), *first[1:2]]))


def test_twin(metric: str, names: Sequence[str]) -> str:
    """Returns the metric that measures the same on test data, else on the whole of the data; empty if there is none."""
    own = set(words(metric))
    alike = [n for n in names if n != metric and _measured(n) == _measured(metric)]
    for wanted in (_TEST, _WHOLE):
        found = [n for n in alike if wanted & set(words(n))] if not own & wanted else []
        if found:
            return min(found, key=lambda n: (len(words(n)), n))
    return ""


def _measured(metric: str) -> tuple[str, ...]:
    return tuple(w for w in words(metric) if w not in SPLITS | _TEST | _CHOICE | _WHOLE | {"metadata", "result"})
