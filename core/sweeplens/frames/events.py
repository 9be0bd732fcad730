"""Event columns of runs: the step at which a metric did something, or what another series was at that step.

val/loss.first_below(4.0)          the first step with a value below 4.0; null if there is none
val/acc.first_above(0.9)           the first step with a value above 0.9
val/loss.min_step                  as in the series frame; also max_step, first_step, last_step ...
val/loss.first_below(4.0)@tokens   the value of series ``tokens`` at that step (its last finite value up to there)
val/loss.last_step@wall_time       seconds from the run's first point to that step
val/loss.min_step@test/acc         test accuracy at the best validation step

parse_event(name, metrics)             the event that a column names; None if it names none
event_column(event, series, points)    run_id and the column, for runs in which it happened
event_series(event, series, points)    the same as rows of a series frame, so that runs can be ranked and compared by it
event_goal(event, goals)               whether lower or higher is better
near_events(name, metrics)             the columns that were probably meant
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Literal

import polars as pl
from msgspec import Struct

from sweeplens.engines.protocol import PointSource
from sweeplens.engines.reductions import Crossing, LastUpToStep, SecondsToStep
from sweeplens.errors import InputError, nearest
from sweeplens.frames.goals import outcome_goal
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound
from sweeplens.frames.schemas import SERIES_SCHEMA

__all__ = ["WALL_TIME", "Event", "event_column", "event_goal", "event_series", "near_events", "parse_event"]

WALL_TIME = "wall_time"
_CROSSINGS = ("first_below", "first_above")
_STEPS = tuple(name for name in SERIES_SCHEMA if name.endswith("step"))
_AT = "@"
_CALLED = re.compile(r"(?P<metric>.+)\.(?P<how>\w+)\((?P<level>[^()]*)\)", re.DOTALL)
_NEAR = 5


class Event(Struct, frozen=True):
    """What happened: ``how`` is first_below, first_above or a step of the series frame. ``counter``: read at that step."""

    name: str
    metric: str
    how: str
    level: float = math.nan
    counter: str = ""


def parse_event(name: str, metrics: Collection[str]) -> Event | None:
    """Returns the event that a column names; None if it names none of these metrics. Raises InputError for a bad number."""
    whole = _at_step(name, name, metrics)
    if whole is not None:
        return whole
    for at in (m.start() for m in re.finditer(_AT, name)):
        found, counter = _at_step(name, name[:at], metrics), name[at + 1 :]
        if found is not None and (counter == WALL_TIME or counter in metrics):
            return Event(name, found.metric, found.how, found.level, counter)
    return None


def _at_step(name: str, text: str, metrics: Collection[str]) -> Event | None:
    """Returns the event of a column without a counter."""
    called = _CALLED.fullmatch(text)
    if called and called["how"] in _CROSSINGS and called["metric"] in metrics:
        return Event(name, called["metric"], called["how"], _level(called["how"], called["level"]))
    metric, _, how = text.rpartition(".")
    return Event(name, metric, how) if metric in metrics and how in _STEPS else None


def _level(how: str, text: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise InputError(f"{how}({text[:40]}) needs a number in its brackets, as in {how}(0.5).")
    return level


def event_column(event: Event, series: pl.DataFrame, points: PointSource) -> pl.DataFrame:
    """Returns run_id and a column of the event's name. ``points``: as they were logged."""
    steps = _steps(event, series.filter(pl.col("metric") == event.metric), points)
    if not event.counter:
        return steps.rename({"best_step": event.name})
    own = select_points(points, runs=steps["run_id"].to_list())
    if event.counter == WALL_TIME:
        return own.reduce(SecondsToStep(event.metric, steps)).rename({"seconds": event.name})
    of_counter = series.filter((pl.col("metric") == event.counter) & pl.col("run_id").is_in(steps["run_id"].implode()))
    stand = standing(select_points(own, metrics=[event.counter]), rewound(of_counter))
    return stand.reduce(LastUpToStep(steps)).select("run_id", pl.col("value").alias(event.name))


def _steps(event: Event, rows: pl.DataFrame, points: PointSource) -> pl.DataFrame:
    """Returns run_id and best_step, the step of the event; points are read only of runs in which it happened."""
    if event.how not in _CROSSINGS:
        return rows.select("run_id", best_step=pl.col(event.how)).drop_nulls()
    below = event.how == "first_below"
    happened = rows.filter(pl.col("min") < event.level if below else pl.col("max") > event.level)
    own = select_points(points, runs=happened["run_id"].to_list(), metrics=[event.metric])
    return standing(own, rewound(happened)).reduce(Crossing(event.level, below))


def event_series(event: Event, series: pl.DataFrame, points: PointSource) -> pl.DataFrame:
    """Returns rows of a series frame, one for each run that logged the event's metric: one value, or none if it never happened."""
    ids = series.filter(pl.col("metric") == event.metric).select("run_id")
    value = pl.col(event.name).cast(pl.Float64)
    found = ids.join(event_column(event, series, points), on="run_id", how="left", maintain_order="left")
    happened = value.is_not_null().cast(pl.Int64)
    same = dict.fromkeys(("first", "last", "min", "max", "mean", "last_finite"), value)
    steps = {c: pl.lit(0) for c in _STEPS if c != "first_nonfinite_step"}
    counts = {"n": happened, "n_logged": happened, "n_nan": pl.lit(0), "n_inf": pl.lit(0), "rewinds": pl.lit(0)}
    rows = found.with_columns(metric=pl.lit(event.name), **same, **steps, **counts)
    empty = [pl.lit(None).alias(c) for c in SERIES_SCHEMA if c not in rows.columns]
    return rows.with_columns(empty).select(*SERIES_SCHEMA).cast(SERIES_SCHEMA)  # pyright: ignore[reportArgumentType]


def event_goal(event: Event, goals: Mapping[str, str] | None = None) -> Literal["lower", "higher"]:
    """Returns the goal of the metric that is read at the event; otherwise sooner and cheaper is better: lower."""
    known = outcome_goal(event.counter, goals) if event.counter else "unknown"
    return "higher" if known == "higher" else "lower"


def near_events(name: str, metrics: Collection[str]) -> list[str]:
    """Returns the event columns that were probably meant by an unknown name; none if it has not their form."""
    text, at, counter = name.rpartition(_AT) if _AT in name and ")" in name else (name, "", "")
    called = _CALLED.fullmatch(text)
    if called is None:
        text, at, counter = name.rpartition(_AT)
        metric, _, how = text.rpartition(".")
        steps = [how] if how in _STEPS else nearest(how, _STEPS)
        return _combined(metric, [f".{s}" for s in steps], counter, metrics) if at and steps else []
    hows = [called["how"]] if called["how"] in _CROSSINGS else nearest(called["how"], _CROSSINGS) or list(_CROSSINGS)
    ends = [f".{how}({called['level']})" for how in hows]
    return _combined(called["metric"], ends, counter if at else "", metrics)


def _combined(metric: str, ends: list[str], counter: str, metrics: Collection[str]) -> list[str]:
    """Returns each near metric with each end and each near counter."""
    of = [metric] if metric in metrics else nearest(metric, metrics)
    counters = [f"@{c}" for c in ([counter] if counter in metrics else nearest(counter, [*metrics, WALL_TIME]))]
    return [m + e + c for m in of for e in ends for c in (counters if counter else [""])][:_NEAR]
