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
    """One task (its name is empty where there is none), its runs on each side, its main metric and then that metric's twin."""

    task: str
    sides: Sides
    metrics: tuple[str, ...]


def plans_of(
    runs: pl.DataFrame, series: pl.DataFrame, sides: Sides, asked: Sequence[str], named: Sequence[str],
    tasks: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None,
) -> list[TaskPlan]:  # fmt: skip
    """Returns the tasks that both sides have, in order. ``series``: the rows of both sides; ``named``: define the sides."""
    both = runs.filter(pl.col("run_id").is_in(sides.both))
    names = [n for n in task_hparams(both, tasks) if n not in named]
    table = keyed(both, names).with_columns(task=_label(names))
    on_a = pl.col("run_id").is_in(list(sides.a))
    plans: list[TaskPlan] = []
    for (task,), part in table.sort("task", maintain_order=True).group_by("task", maintain_order=True):
        a, b = (part.filter(side)["run_id"].to_list() for side in (on_a, on_a.not_()))
        own = Sides(tuple(a), tuple(b))
        metrics = _metrics(series.filter(pl.col("run_id").is_in(own.both)), own, asked, main, goals) if a and b else ()
        plans += [TaskPlan(str(task), own, metrics)] * bool(metrics)
    return plans[:_MOST_TASKS]


def main_metric_of_runs(
    runs: pl.DataFrame, series: pl.DataFrame, tasks: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None
) -> pl.DataFrame:
    """Returns run_id, task, metric: the main metric of each run's task, null where the task has none with a goal."""
    table = keyed(runs, task_hparams(runs, tasks))
    table = table.select("run_id", task=_label([c for c in table.columns if c != "run_id"]))
    counts = series.join(table, on="run_id").group_by("task", "metric").agg(n=pl.len())
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
    counts = series.group_by("metric").agg(
        a=pl.col("run_id").is_in(list(sides.a)).sum(), b=pl.col("run_id").is_in(list(sides.b)).sum()
    )
    having = set(counts.filter(pl.col("a") > 0, pl.col("b") > 0)["metric"].to_list())
    usual = (pl.col("a") >= _COVER * len(sides.a)) & (pl.col("b") >= _COVER * len(sides.b))
    if asked:
        first = [m for m in asked if m in having]
    else:
        known = [m for m in counts.filter(usual)["metric"].to_list() if known_goal(m, goals) != "unknown"]
        first = main_metrics(known, main, goals, most=1)
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
