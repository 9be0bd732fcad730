"""What results cost: each setting's metric beside its steps, wall time, GPU-hours and counters, and the front of both.

A setting is on the front if no other setting of its task is at least as good for as much or less (within 2 %). Runs that are
unfinished or shorter than the rest count in the mean costs only where a setting has no others. ``reached`` and ``to_...``: how many
runs went past a threshold, and the median cost until then, where runs that never did count as infinite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import polars as pl
from msgspec import Struct

from sweeplens.analyses.cost_ratios import cost_ratio_note
from sweeplens.analyses.coverage import coverage_of, listed, series_of, settings_unknown, with_config
from sweeplens.analyses.run_costs import RunCosts, machine_of, run_costs
from sweeplens.analyses.values_at_budget import at_budget
from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.frames.events import WALL_TIME, Event, event_column
from sweeplens.frames.goals import goal_of
from sweeplens.frames.grouping import free_names, group_hparams, is_task, keyed, task_hparams
from sweeplens.frames.reduction import parse_reduce, reduce_runs, runs_lacking

__all__ = ["cost"]

_ALIKE = 1.02
_SLOW = 1.5  # times the usual seconds a step
_HOUR = 3600.0
_NAMED = 4
_TAKEN = ("run_id", "n", "mean", "reached", "front", "value", "steps", "seconds", "gpu_hours", "speed", "group")


class _Asked(Struct, frozen=True):
    """The question with names resolved. ``keys``: hyperparameters of a setting; ``tasks``: those that name the task."""

    metric: str
    goal: str
    keys: tuple[str, ...]
    tasks: tuple[str, ...]
    threshold: float | None
    reduce: str


def cost(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metric: str,
    *,
    goal: str = "",
    reduce: str,
    threshold: float | None = None,
    hparams: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    replicates: Sequence[str] = (),
    tasks: Sequence[str] = (),
) -> Answer:
    """Returns one row a setting, best first: n, mean of the metric, mean costs, whether it is on the front; table ``runs`` has
    a row for each run. Raises UnknownNameError, AmbiguousGoalError.
    """
    asked, everyone = series_of(metric, series), runs
    runs, lost = (runs, ()) if runs.height == 1 or settings_unknown(runs) else with_config(runs)
    named = task_hparams(runs, tasks)
    keys = [*named, *(k for k in group_hparams(runs, hparams, replicates) if k not in named)]
    runs, keys = free_names(runs, keys, (*_TAKEN, *series["metric"].unique().to_list()))
    of_task = tuple(k for k in keys if is_task(k, tasks))
    ask = _Asked(metric, goal_of(metric, goal, goals), tuple(keys), of_task, threshold, reduce)
    costs = run_costs(runs, series, points)
    reduced = reduce_runs(asked, points, parse_reduce(reduce), goals=goals, goal=ask.goal)
    table = keyed(runs, keys).join(costs.table, on="run_id", how="left", maintain_order="left")
    table = table.join(reduced.values.select("run_id", "value"), on="run_id", how="inner", maintain_order="left")
    table, units = _with_reached(table, ask, series, points, costs)
    cut = coverage_of(runs, asked.filter(pl.col("run_id").is_in(table["run_id"].implode()))).marked
    groups = _grouped(table.with_columns(cut=pl.col("run_id").is_in(list(cut))), ask, costs, units)
    notes = (
        *_totals(costs, table.height),
        *_never_reached(table, ask, units),
        *_front_note(groups, ask, costs),
        *cost_ratio_note(everyone, costs.table, tasks, replicates),
        *_pace_notes(table.filter(pl.col("run_id").is_in(list(cut)).not_()), runs, asked, points, ask),
    )
    left = (*lost, *runs_lacking([metric], runs, series), *reduced.left_out)
    return Answer(groups, Basis(runs_used=table.height, left_out=left, points=reduced.points), notes, {"runs": table})


def _never_reached(table: pl.DataFrame, ask: _Asked, units: Sequence[str]) -> list[str]:
    """Returns a note where no run went past the threshold, with the best value that one has."""
    if not units or not table.height or not all(table[unit].is_null().all() for unit in units):
        return []
    best = table["value"].min() if ask.goal == "lower" else table["value"].max()
    side = "below" if ask.goal == "lower" else "above"
    return [f"No run has {ask.metric} {side} {ask.threshold:g}: the best result is {best:.5g}."]


def _with_reached(
    table: pl.DataFrame, ask: _Asked, series: pl.DataFrame, points: PointSource, costs: RunCosts
) -> tuple[pl.DataFrame, list[str]]:
    """Adds for each unit that is logged the cost until the metric went past the threshold; returns these columns too."""
    if ask.threshold is None:
        return table, []
    how = "first_below" if ask.goal == "lower" else "first_above"
    units = {"steps": ""} | ({} if costs.table["seconds"].is_null().all() else {"seconds": WALL_TIME})
    for unit, counter in (units | {c: c for c in costs.counters}).items():
        event = Event(f"to_{unit}", ask.metric, how, ask.threshold, counter)
        table = table.join(event_column(event, series, points), on="run_id", how="left", maintain_order="left")
    return table, [c for c in table.columns if c.startswith("to_")]


def _grouped(table: pl.DataFrame, ask: _Asked, costs: RunCosts, units: Sequence[str]) -> pl.DataFrame:
    known = [c for c in ("steps", "seconds", "gpu_hours", *costs.counters) if table[c].null_count() < table.height]
    middle = [pl.col(u).cast(pl.Float64).fill_null(float("inf")).median().alias(u) for u in units]
    reached = [pl.col(units[0]).count().alias("reached")] if units else []
    by = list(ask.keys) or [pl.lit("all runs").alias("group")]
    ended = pl.col("cut").not_()
    means = [pl.coalesce(pl.col(c).filter(ended).mean(), pl.col(c).mean()).alias(c) for c in known]
    aggregates = [pl.len().alias("n"), pl.col("value").mean().alias("mean"), *means]
    groups = table.group_by(by, maintain_order=True).agg(*aggregates, *reached, *middle)
    finite = [pl.when(pl.col(u).is_finite()).then(pl.col(u)).alias(u) for u in units]
    worse = pl.col("mean") * (1 if ask.goal == "lower" else -1)
    about = (pl.col(costs.axis).log() / math.log(_ALIKE)).round()  # costs that hardly differ are equal
    groups = groups.with_columns(*finite, worse=worse).sort(about, "worse", nulls_last=True)
    before = pl.col("worse").cum_min().shift(1)
    before = before.over(ask.tasks) if ask.tasks else before
    front = before.is_null() | (pl.col("worse") < before)
    return groups.with_columns(front=front).sort(*ask.tasks, "worse").drop("worse")


def _totals(costs: RunCosts, with_value: int) -> list[str]:
    """Returns what all runs cost together, also those without a value, and which costs were not logged."""
    table = costs.table
    hours = cast("float", table["seconds"].sum()) / _HOUR
    runs = count_of(table.height, "run")
    runs += f" ({table.height - with_value} without a value)" if with_value < table.height else ""
    parts = [runs, count_of(int(table["steps"].sum()), "step")]
    parts += [f"{hours:,.3g} h of wall time"] if hours else []
    parts += [f"{table['gpu_hours'].sum():,.4g} GPU-hours"] if table["gpu_hours"].sum() else []
    parts += [f"{table[c].sum():,.4g} {c}" for c in costs.counters]
    lacking = table["seconds"].null_count()
    whole = lacking == table.height
    missing = "Wall time is not logged" + ("" if whole else f" in {share_of(lacking, table.height, 'run')}")
    told = [f"In all: {', '.join(parts)}."]
    told += [f"{missing}: costs are compared by {costs.axis}."] if lacking else []
    if not whole and table["gpu_hours"].null_count() == table.height:
        told.append("GPU-hours are not logged, and no setting tells the number of GPUs.")
    if costs.paused:
        told.append(f"Pauses do not count, in {listed(costs.paused)}.")
    return told


def _front_note(groups: pl.DataFrame, ask: _Asked, costs: RunCosts) -> list[str]:
    """Returns the settings that give the best metric for their cost, cheapest first."""
    if groups.height < 2 or ask.tasks:
        return []
    front = groups.filter("front").sort(costs.axis)
    shown = [
        f"{_label(row, ask.keys)} ({row['mean']:.5g} for {_amount(row[costs.axis], costs.axis)})"
        for row in front.iter_rows(named=True)
    ]
    others = groups.height - front.height
    dearer = (
        f"; {count_of(others, 'other')} {verb(others, 'costs', 'cost')} as much or more for no better value"
        if others
        else ""
    )
    more = f"; and {front.height - _NAMED} more" if front.height > _NAMED else ""
    return [f"Front of {ask.metric} against {costs.axis}: {'; '.join(shown[:_NAMED])}{more}{dearer}."]


def _amount(value: float | None, axis: str) -> str:
    unit = axis.removesuffix("s") if value == 1 and axis in ("steps", "seconds") else axis
    return "-" if value is None else f"{value:,.4g} {unit}"


def _label(row: Mapping[str, object], keys: Sequence[str]) -> str:
    return ", ".join(f"{k}={row[k]}" for k in keys) or "all runs"


def _pace_notes(
    table: pl.DataFrame, runs: pl.DataFrame, asked: pl.DataFrame, points: PointSource, ask: _Asked
) -> list[str]:
    """Returns which runs were slow for their setting, on which machines, and whether another setting leads at equal wall time."""
    timed = table.filter((pl.col("seconds") > 0) & (pl.col("steps") > 0))
    if timed.height < 2:
        return []
    pace = timed.with_columns(pace=pl.col("seconds") / pl.col("steps"))
    usual = pl.col("pace").median().over(list(ask.keys)) if ask.keys else pl.col("pace").median()
    slow = (
        pace.with_columns(times=pl.col("pace") / usual).filter(pl.col("times") > _SLOW).sort("times", descending=True)
    )
    notes = [_slow_note(slow, runs)] if slow.height else []
    return [*notes, *_depends_note(table, asked, points, ask)]


def _slow_note(slow: pl.DataFrame, runs: pl.DataFrame) -> str:
    """Names the slow runs of each machine, the machine with most of them first."""
    machine = machine_of(runs)
    place = runs.select("run_id", machine=pl.col(machine).cast(pl.String) if machine else pl.lit(None, pl.String))
    joined = slow.join(place, on="run_id", how="left", maintain_order="left")
    by_machine = joined.group_by("machine", maintain_order=True).agg(pl.col("run_id", "times")).sort(
        pl.col("run_id").list.len(), descending=True, maintain_order=True
    )  # fmt: skip
    named = [
        f"{listed(ids)}{f' on {name}' if name else ''} ({_span(times)} times the usual seconds a step)"
        for name, ids, times in by_machine.iter_rows()
    ]
    unknown = "" if machine else "; machines are not logged"
    return f"Slow for their setting: {listed(named)}{unknown}."


def _span(times: Sequence[float]) -> str:
    low, high = f"{min(times):.2g}", f"{max(times):.2g}"
    return low if low == high else f"{low} to {high}"


def _depends_note(table: pl.DataFrame, asked: pl.DataFrame, points: PointSource, ask: _Asked) -> list[str]:
    """Returns whether the leading setting of each task is the same at the wall time that all runs of the task reached."""
    if not ask.keys or ask.keys == ask.tasks:
        return []
    told: list[str] = []
    parts = table.partition_by(ask.tasks, as_dict=True) if ask.tasks else {(): table}
    for task, part in parts.items():
        found = at_budget(asked, points, WALL_TIME, part["run_id"].to_list())
        if found is None:
            continue
        first = _leader(part, "value", ask)
        then = _leader(part.drop("value").join(found.values, on="run_id"), "value", ask)
        place = f"{', '.join(map(str, task))}: at" if task else "At"
        verdict = f"{first} leads too" if first == then else f"{then} leads, not {first}"
        told.append(f"{place} equal wall time ({found.budget:,.4g} s) {verdict}.")
    return told


def _leader(table: pl.DataFrame, value: str, ask: _Asked) -> str:
    keys = [k for k in ask.keys if k not in ask.tasks]
    means = table.group_by(keys, maintain_order=True).agg(pl.col(value).mean())
    return _label(means.sort(value, descending=ask.goal == "higher").row(0, named=True), keys)
