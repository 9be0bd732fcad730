"""The hyperparameter that a sweep studies (a method, an optimizer), and how its levels compare: rows for the overview.

studied_hparam      its name; empty where none stands out
studied_rows        a row for each level against the baseline: the matched difference by task or by level
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.difference_table import DifferenceTables, differences
from sweeplens.analyses.level_comparison import levels_of_hparam
from sweeplens.analyses.rungs import Rungs, rungs_of
from sweeplens.analyses.sides import Sides
from sweeplens.analyses.task_plan import plans_of
from sweeplens.analyses.triage.pairs import words
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.grouping import is_task, settings_among, two_valued
from sweeplens.frames.reduction import DEFAULT_REDUCE, Reduction, parse_reduce, reduce_runs

__all__ = ["studied_hparam", "studied_rows"]

_MOST_LEVELS, _FEWEST_RUNS, _MOST_RUNS = 6, 8, 2_000
_SHOWN = 3  # levels beside the baseline
_COMPARISONS = 16  # of a task in a metric; compare_runs shows the others
_METHODS = frozenset(
    "method algo algorithm optimizer optim opt model agent approach variant ablation arch architecture treatment strategy "
    "loss objective backbone mode pretrained augmentation scheduler".split()
)


def studied_hparam(runs: pl.DataFrame, tasks: Sequence[str], replicates: Sequence[str]) -> str:
    """Returns the text or flag with two to six levels of which each has two runs: one that is called a method comes first."""
    if not _FEWEST_RUNS <= runs.height <= _MOST_RUNS:
        return ""
    names = [n for n in settings_among(runs, two_valued(runs), replicates) if _could_be(runs, n, tasks)]
    called = [n for n in names if set(words(n)) & _METHODS]
    order = sorted(called, key=lambda n: (not set(words(n)[-1:]) & _METHODS, runs[n].null_count(), names.index(n)))
    return order[0] if order else names[0] if len(names) == 1 else ""


def _could_be(runs: pl.DataFrame, name: str, tasks: Sequence[str]) -> bool:
    if is_task(name, tasks) or runs[name].dtype.is_numeric():
        return False
    counts = runs[name].drop_nulls().value_counts()["count"]
    return (
        1 < counts.len() <= _MOST_LEVELS and int(str(counts.min())) > 1 and 2 * runs[name].null_count() <= runs.height
    )


def studied_rows(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, hparam: str, *, tasks: Sequence[str],
    replicates: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Yields topic and text for up to three levels against the baseline."""
    levels, base = levels_of_hparam(runs, hparam)
    rungs = rungs_of(runs, series)
    if rungs is not None:
        yield from _rows_at_rungs(runs, series, points, hparam, rungs, tasks, replicates, main, goals)
        return
    left = _COMPARISONS
    for name in [n for n in levels if n != base][:_SHOWN]:
        sides = Sides(levels[name], levels[base])
        own = sides.series_of(series, runs)
        plans = plans_of(runs, own, sides, (), [hparam], tasks, main, goals)
        if left < len(plans):
            return
        if left < sum(len(plan.metrics) for plan in plans):
            plans = [replace(plan, metrics=plan.metrics[:1]) for plan in plans]
        left -= sum(len(plan.metrics) for plan in plans)
        metrics = sorted({m for plan in plans for m in plan.metrics})
        values = reduce_runs(
            own.filter(pl.col("metric").is_in(metrics)), points, parse_reduce(DEFAULT_REDUCE), goals=goals
        )
        if plans:
            tables = differences(
                runs, own, points, plans, values.values, named=[hparam], replicates=replicates, goals=goals, equal_within={},
                labels=(name, base),
            )  # fmt: skip
            yield f"{hparam}: {name} - {base}", _text(tables)


def _rows_at_rungs(
    runs: pl.DataFrame, series: pl.DataFrame, points: PointSource, hparam: str, rungs: Rungs, tasks: Sequence[str],
    replicates: Sequence[str], main: Sequence[str], goals: Mapping[str, str] | None,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Yields a row for up to three levels: of all runs at the first rung, and of runs that end on the last rung that both have."""
    levels, base = levels_of_hparam(runs, hparam)
    lasts = series.group_by("run_id").agg(end=pl.col("last_step").max())
    for name in [n for n in levels if n != base][:_SHOWN]:
        both = Sides(levels[name], levels[base])
        parts: list[str] = []
        for title, sides, how in _at_rungs(both, rungs, lasts):
            own = series.filter(pl.col("run_id").is_in(sides.both))
            plans = plans_of(runs, own, sides, (), [hparam], tasks, main, goals)
            asked = own.filter(pl.col("metric").is_in([m for plan in plans for m in plan.metrics]))
            if not asked.height:
                continue
            tables = differences(
                runs, own, points, plans, reduce_runs(asked, points, how, goals=goals).values, named=[hparam],
                replicates=replicates, goals=goals, equal_within={}, labels=(name, base),
            )  # fmt: skip
            plain = tables.by_task.filter(pl.col("task").is_in([plan.task for plan in plans]))
            text = _text(replace(tables, by_task=plain, by_level=tables.by_level.head(0)))
            parts += [f"{title}: {text}"] * bool(text)
        if parts:
            yield f"{hparam}: {name} - {base}", "; ".join(parts)


def _at_rungs(sides: Sides, rungs: Rungs, lasts: pl.DataFrame) -> Iterator[tuple[str, Sides, Reduction]]:
    """Yields a title, the runs and their reading: all runs at the first rung, then those that end on the last common rung."""
    yield f"all at step {rungs.ends[0]}", sides, Reduction("at_step", rungs.ends[0])
    for end in reversed(rungs.ends[1:]):
        ids = set(lasts.filter(pl.col("end") == end)["run_id"].to_list())
        a, b = (tuple(r for r in side if r in ids) for side in (sides.a, sides.b))
        if len(a) > 1 and len(b) > 1:
            yield f"those that end at step {end}", Sides(a, b), parse_reduce(DEFAULT_REDUCE)
            return


def _text(tables: DifferenceTables) -> str:
    """Words each task with its metrics side by side; of one task also the levels of what is matched."""
    parts: dict[str, list[str]] = {}
    for row in tables.by_task.iter_rows(named=True):
        if row["metric"] != "test score":
            lower = ", lower is better" * (row["goal"] == "lower")
            figures = f"{row['metric']}{lower} {_interval(row)} ({_counts(row)}): {row['verdict']}"
            parts.setdefault(row["task"], []).append(figures)
    for row in tables.by_level.iter_rows(named=True) if len(parts) < 4 else ():
        if row["metric"] == tables.by_task["metric"][0]:
            parts.setdefault(row["level"], []).append(_interval(row))
    return "; ".join(f"{task + ': ' if task else ''}{' | '.join(own)}" for task, own in parts.items())


def _interval(row: Mapping[str, object]) -> str:
    low, high = row["ci95_low"], row["ci95_high"]
    return f"{row['difference']:+.3g}" + (f" [{low:.3g}, {high:.3g}]" if low is not None and high is not None else "")


def _counts(row: Mapping[str, object]) -> str:
    return f"{row['n_a']} v {row['n_b']}" if row["pairs"] is None else f"{row['pairs']} pairs"
