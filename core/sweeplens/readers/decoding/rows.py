"""Rows as training loops write them -> points and what they say about their run.

A row is one JSON object. Its keys fall into: counters, one of which is the axis (`axis` tells which, from all rows), the time,
the run that it belongs to, a split that prefixes its metrics, what it says about the run (config, status), and metrics: every
other number. A row may be one value with its name (``{"metric": "loss", "value": 0.5}``). Nested names are joined with a dot.
Numbers in quotes are numbers; whatever is none is counted under its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.axis import place_rows
from sweeplens.readers.decoding.axis_names import COUNTED, WEAK, folded, is_aside, label_of, rank_of
from sweeplens.readers.decoding.values import (
    PointBuffer,
    as_step,
    as_time,
    first_of_ratio,
    micros_of,
    number_in,
    status_of,
)
from sweeplens.readers.protocol import RunRecord

__all__ = [
    "AXES",
    "CONFIG_KEYS",
    "LONG_NAMES",
    "ROW_WORDS",
    "RUN_KEYS",
    "SPLIT_KEYS",
    "TIME_KEYS",
    "RowReader",
    "axis_of",
    "counter_of",
    "exact_label",
    "is_sure",
    "named_value",
]

AXES = ("step", "global_step", "_step", "steps", "iteration", "iter", "itr", "training_iteration", "num_updates", "update",
        "n_iter", "Step", "iterations", "epoch", "Epoch", "train_step", "timestep", "timesteps", "env_step", "env_steps",
        "num_timesteps", "total_timesteps", "total_steps")  # fmt: skip
TIME_KEYS = ("timestamp", "_timestamp", "wall_time", "time", "ts", "datetime", "created_at", "date")
RUN_KEYS = ("run_id", "run", "trial_id", "run_name", "job_id")
SPLIT_KEYS = ("split", "mode", "phase", "stage", "subset")
_NAMES_OF_METRICS = ("metric", "tag", "name", "key", "metric_name", "variable")
LONG_NAMES = frozenset(_NAMES_OF_METRICS)
"""Keys with which a row may be one value and its name."""
CONFIG_KEYS = ("config", "hyperparameters", "hparams", "hyperparams", "params", "args")
_CONFIG_EVENTS = frozenset({"config", "hparams", "hyperparameters", "params", "args", "setup"})
_STATUS_KEYS = ("status", "state")
_TALK = frozenset({"event", "level", "logger", "message", "msg", "type", "name", "tags", "group", "project", "lineno", "func_name",
                   "exception", "error", "host", "pid"})  # fmt: skip
ROW_WORDS = frozenset({*RUN_KEYS, *_STATUS_KEYS, *_TALK, "metrics"})
"""Keys with which a row says more than numbers at a step."""
_ENDS = {
    "run_end": "finished",
    "run_failed": "failed",
    "finished": "finished",
    "end": "finished",
    "failed": "failed",
    "crash": "failed",
}


_WRAPPERS = ("metrics", "data", "values", "scalars")
_UNSURE = frozenset({*COUNTED, *WEAK})
_AGAIN = "its rows do not go on from where they ended: it is read again whole"


def axis_of(row: Mapping[str, object]) -> str:
    """The key of a row that is surely its axis, by its name; "" when there is none."""
    return next((a for a in AXES if a in row and as_step(row[a]) is not None), "")


def counter_of(row: Mapping[str, object]) -> str:
    """The key of a row that is the surest of its counters by name, and holds a whole number; "" when there is none."""
    known = [(rank_of(label), k) for k, v in row.items() if (label := exact_label(k)) and as_step(v) is not None]
    return min(known)[1] if known else ""


def is_sure(key: str) -> bool:
    """Whether a counter's name is one that is hardly used outside of logs."""
    return label_of(key) not in _UNSURE


def exact_label(key: str) -> str:
    """The known name of a counter whose whole key it is, or the first half of ``global_step/max_steps``; "" for any other key."""
    label = label_of(key)
    if label and ("/" not in key or folded(key) == label):
        return label
    return "" if label else label_of(key.partition("/")[0])


class _Counter(Struct):
    """A counter as rows had it: its values by row, and the metrics that it would be if it is not the axis."""

    values: dict[int, int | float] = field(default_factory=dict[int, "int | float"])
    metrics: set[str] = field(default_factory=set[str])


class _RunProgress(Struct):
    """What is remembered of one run while its rows go by."""

    record: RunRecord
    known: Mapping[str, Any] = field(
        default_factory=dict[str, Any]
    )  # what an earlier reading found: axis, last_step, rows
    rows: int = 0
    counters: dict[str, _Counter] = field(default_factory=dict[str, _Counter])  # by key
    walls: dict[int, int] = field(default_factory=dict[int, int])
    points: PointBuffer = field(default_factory=PointBuffer)  # their steps are rows
    counts: dict[str, int] = field(default_factory=dict[str, int])  # occurrences of a metric in a run without counters
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, str] = field(default_factory=dict[str, str])  # of text that is no number, by name


class RowReader:
    """Rows in, points and records out. One instance reads one file, or goes on with it from a saved `state`."""

    def __init__(self, run_id: str, state: Mapping[str, Any] | None = None) -> None:
        self._home = run_id
        self._tracks: dict[str, _RunProgress] = {}
        self._state: dict[str, Any] | None = None
        for run, saved in (state or {}).items():
            self._tracks[run] = _RunProgress(
                _remembered(run, saved.get("said", {})),
                saved,
                counts=dict(saved["counts"]),
                non_scalar=dict(saved["non_scalar"]),
            )

    def frame(self) -> pl.DataFrame:
        """The points of all rows, as `Reading.points`, at the steps that all rows together say.

        Raises FormatError where rows that were appended change what was said of those before them.
        """
        order = [(run, _placed(track)) for run, track in self._tracks.items()]
        state = {run: _state_of(self._tracks[run], axis, last) for run, (_, axis, last) in order}
        self._state = None if any(last is None for _, (_, _, last) in order) else state
        return pl.concat([points for _, (points, _, _) in order]) if order else PointBuffer().frame()

    def state(self) -> dict[str, Any] | None:
        """What a later reading needs, as JSON values; None where it must begin at the beginning. Asked after `frame`."""
        return self._state

    def records(self) -> list[RunRecord]:
        """What the rows said about each run, in order of appearance."""
        return [replace(t.record, non_scalar=dict(t.non_scalar)) for t in self._tracks.values()]

    def examples(self) -> dict[str, str]:
        """A value of each name under which text was no number."""
        return {name: text for track in self._tracks.values() for name, text in track.examples.items()}

    def axis_alone(self) -> tuple[str, int]:
        """The axis at which every row of the run that the file is named after stood, and the last step; "" if there is more."""
        track = self._tracks.get(self._home)
        alone = track is not None and len(self._tracks) == 1 and not track.counts
        return (track.known.get("axis", ""), track.known.get("last_step", 0)) if track and alone else ("", 0)

    def passed(
        self, last_step: int, non_scalar: Mapping[str, int], first: datetime | None, last: datetime | None
    ) -> None:
        """Rows of that run, at that axis, went by without `add`: where they ended, what was no number, their times."""
        track = self._tracks[self._home]
        for name, count in non_scalar.items():
            track.non_scalar[name] = track.non_scalar.get(name, 0) + count
        created, updated = track.record.created_at or first, track.record.updated_at
        newest = max(filter(None, (updated, last)), default=None)
        track.record = replace(track.record, created_at=created, updated_at=newest)
        self._state = {self._home: _state_of(track, track.known["axis"], last_step)}

    def add(self, row: dict[str, Any]) -> None:
        """Take one row."""
        run = next(
            (str(row[k]) for k in RUN_KEYS if isinstance(row.get(k), str | int) and not isinstance(row.get(k), bool)),
            self._home,
        )
        track = self._tracks.get(run)
        if track is None:
            track = self._tracks[run] = _RunProgress(RunRecord(run))
        rest = named_value({k: v for k, v in row.items() if k not in RUN_KEYS})
        wall = self._time(rest)
        rest = self._about(track, rest, wall)
        split = next((str(rest.pop(k)) for k in SPLIT_KEYS if isinstance(rest.get(k), str)), "")
        prefix = f"{split}/" if split else ""
        counters = _counters(rest)
        rest, wall = self._unwrapped(rest, wall)
        before = len(track.points)
        for key, value in counters.items():
            found = track.counters.setdefault(key, _Counter())
            found.values[track.rows] = value
            found.metrics.add(key if prefix and key.startswith(prefix) else prefix + key)
        self._metrics(track, prefix, rest, wall)
        if counters or len(track.points) > before:
            if wall is not None:
                track.walls[track.rows] = micros_of(wall)
            track.rows += 1

    def _unwrapped(self, rest: dict[str, Any], wall: datetime | None) -> tuple[dict[str, Any], datetime | None]:
        """The row with the object inside it that holds its metrics taken apart, and its time, which may lie in there."""
        key = next(
            (k for k in _WRAPPERS if isinstance(rest.get(k), dict) and (k == "metrics" or _is_alone(k, rest))), ""
        )
        if not key:
            return rest, wall
        nested = dict(cast("dict[str, Any]", rest[key]))
        wall = wall or self._time(nested)
        return {**{k: v for k, v in rest.items() if k != key}, **nested}, wall

    def _time(self, row: dict[str, Any]) -> datetime | None:
        for key in TIME_KEYS:
            if key in row and (wall := as_time(row[key])) is not None:
                del row[key]
                return wall
        return None

    def _about(self, track: _RunProgress, row: dict[str, Any], wall: datetime | None) -> dict[str, Any]:
        """Take out what the row says about its run; what is left are metrics and the axis."""
        record = track.record
        event = str(row.get("event") or row.get("type") or "")
        config = next((k for k in CONFIG_KEYS if isinstance(row.get(k), dict)), "")
        if config:
            record = replace(record, hyperparameters={**record.hyperparameters, **row.pop(config)})
        elif event in _CONFIG_EVENTS:
            record = replace(
                record,
                hyperparameters={
                    **record.hyperparameters,
                    **{k: v for k, v in row.items() if k not in ("event", "type")},
                },
            )
            row = {}
        status = next((status_of(row[k]) for k in _STATUS_KEYS if isinstance(row.get(k), str)), "") or _ENDS.get(
            event, ""
        )
        error = row.get("exception") or row.get("error")
        if isinstance(error, str):
            record = replace(record, metadata={**record.metadata, "error": error})
        if isinstance(row.get("name"), str):
            record = replace(record, name=row["name"])
        if isinstance(row.get("group"), str):
            record = replace(record, group=row["group"])
        track.record = replace(
            record,
            status=status or record.status,
            created_at=record.created_at or wall,
            updated_at=max(filter(None, (record.updated_at, wall)), default=None),
        )
        return {k: v for k, v in row.items() if k not in _STATUS_KEYS and not (k in _TALK and not isinstance(v, float))}

    def _metrics(self, track: _RunProgress, prefix: str, row: Mapping[str, Any], wall: datetime | None) -> None:
        for key, value in row.items():
            name = key if prefix and key.startswith(prefix) else prefix + key
            number = number_in(value)
            if number is None and isinstance(value, str) and exact_label(key):
                number = first_of_ratio(value)
            if number is not None:
                track.points.add(track.record.id, name, track.rows, number, wall)
            elif isinstance(value, dict):
                self._metrics(track, f"{name}.", cast("dict[str, Any]", value), wall)
            else:
                track.non_scalar[name] = track.non_scalar.get(name, 0) + 1
                if isinstance(value, str):
                    track.examples.setdefault(name, value)


def named_value(row: dict[str, Any]) -> dict[str, Any]:
    """A row that holds one value and its name, as a row with that name; any other as it is."""
    inner = cast("dict[str, Any]", row["data"]) if isinstance(row.get("data"), dict) else {}
    whole = {**{k: v for k, v in row.items() if k != "data"}, **inner} if "value" in inner else row
    name = next((k for k in _NAMES_OF_METRICS if isinstance(whole.get(k), str)), "") if "value" in whole else ""
    if not name or number_in(whole["value"]) is None:
        return row
    kept = {
        k: v
        for k, v in whole.items()
        if k not in (name, "value") and (k in TIME_KEYS or k in SPLIT_KEYS or label_of(k))
    }
    return {**kept, whole[name]: whole["value"]}


def _counters(row: Mapping[str, Any]) -> dict[str, int | float]:
    """The counters among a row's keys, and their values."""
    found: dict[str, int | float] = {}
    for key, value in row.items():
        if not label_of(key) and not (isinstance(value, str) and exact_label(key)):
            continue
        step = as_step(value)
        number = step if step is not None else number_in(value)
        if isinstance(value, str) and number is None:
            number = first_of_ratio(value)
        if number is not None and not math.isnan(number):  # NaN says that there is none
            whole = as_step(number)
            found[key] = number if whole is None else whole
    return found


def _is_alone(key: str, row: Mapping[str, Any]) -> bool:
    """Whether there is nothing beside an object but counters: it holds the row's metrics."""
    return all(k == key or label_of(k) for k in row)


def _placed(track: _RunProgress) -> tuple[pl.DataFrame, str, int | None]:
    """The points of a run at their steps, its axis, and the last step; None where a later reading cannot go on."""
    points = track.points.frame()
    if not track.counters and not track.known.get("axis"):
        counted = pl.int_range(pl.len(), dtype=pl.Int64).over("metric")
        before = (
            pl.col("metric").replace_strict(track.counts, default=-1, return_dtype=pl.Int64)
            if track.counts
            else pl.lit(-1)
        )
        points = points.with_columns((counted + before + 1).alias("step"))
        ends = points.group_by("metric", maintain_order=True).agg(pl.col("step").last())
        track.counts.update(dict(ends.iter_rows()))
        return points, "", -1
    if track.known:
        return _gone_on(track, points)
    series, names = _series_of(track)
    placement = place_rows(track.rows, series, _long(points, names), _walls(track))
    steps = placement.steps
    last = int(steps[-1]) if placement.goes_on and len(steps) else None
    return _at(points, steps, names.get(placement.axis, set())), placement.axis, last


def _gone_on(track: _RunProgress, points: pl.DataFrame) -> tuple[pl.DataFrame, str, int | None]:
    """Rows that were appended, at the axis that is known. Raises FormatError where they say otherwise."""
    axis, last = track.known.get("axis", ""), int(track.known.get("last_step", -1))
    if not track.rows:
        return points, axis, last
    series, names = _series_of(track)
    placement = place_rows(track.rows, series, _long(points, names), _walls(track))
    steps = placement.steps
    begins = any(0 in track.counters[key].values for key in track.counters if exact_label(key) == axis)
    if not axis or placement.axis != axis or not placement.goes_on or not begins or int(steps[0]) <= last:
        raise FormatError(_AGAIN)
    return _at(points, steps, names[axis]), axis, int(steps[-1])


def _series_of(track: _RunProgress) -> tuple[dict[str, pl.Series], dict[str, set[str]]]:
    """The counters of a run by label, as a value for each row, and the metrics that each would be otherwise.

    Names behind a slash (``trainer/global_step``) count where no name without one does.
    """
    by_label: dict[str, list[_Counter]] = {}
    exact = {key: label for key in track.counters if (label := exact_label(key))}
    chosen = (
        exact
        if any(_all_whole(track.counters[key]) for key in exact)
        else {k: exact_label(k) or label_of(k) for k in track.counters}
    )
    for key, label in chosen.items():
        by_label.setdefault(label, []).append(track.counters[key])
    series = {label: _series(label, found, track.rows) for label, found in by_label.items()}
    return series, {label: set[str]().union(*(c.metrics for c in found)) for label, found in by_label.items()}


def _all_whole(counter: _Counter) -> bool:
    return all(isinstance(v, int) for v in counter.values.values())


def _series(label: str, found: list[_Counter], rows: int) -> pl.Series:
    """One column of the values of counters with the same label; the first of them that has one in a row counts."""
    values: dict[int, int | float] = {}
    for counter in reversed(found):
        values.update(counter.values)
    whole = all(isinstance(v, int) for v in values.values())
    return pl.Series(
        label, [values.get(row) for row in range(rows)], dtype=pl.Int64 if whole else pl.Float64, strict=False
    )


def _long(points: pl.DataFrame, names: Mapping[str, set[str]]) -> pl.DataFrame:
    """row, metric, value of all that must not be lost: neither a counter nor a measure of the run's pace."""
    counters = set[str]().union(*names.values())
    metrics = [m for m in points["metric"].unique() if m not in counters and not is_aside(m)]
    kept = points.filter(pl.col("metric").is_in(metrics))
    return kept.select(pl.col("step").alias("row"), "metric", "value")


def _walls(track: _RunProgress) -> pl.Series | None:
    """The time of each row in microseconds; None where no row has one."""
    return pl.Series([track.walls.get(row) for row in range(track.rows)], dtype=pl.Int64) if track.walls else None


def _at(points: pl.DataFrame, steps: pl.Series, axis: set[str]) -> pl.DataFrame:
    """Points, whose steps are rows, at the steps of these; the axis itself is left out."""
    if points.height:
        points = points.with_columns(steps.gather(points["step"]).alias("step"))
    return points.filter(pl.col("metric").is_in(list(axis)).not_()) if axis else points


def _state_of(track: _RunProgress, axis: str, last_step: int | None) -> dict[str, Any]:
    """What is kept of a run for a later reading."""
    said = described_by_row(track.record)
    return {"axis": axis, "last_step": last_step, "counts": track.counts, "non_scalar": track.non_scalar, "said": said}


def described_by_row(record: RunRecord) -> dict[str, Any]:
    """What rows said about their run, as JSON values; what they did not say is left out."""
    said: dict[str, Any] = {
        "name": record.name,
        "group": record.group,
        "status": record.status,
        "hyperparameters": record.hyperparameters,
        "metadata": record.metadata,
        "created_at": record.created_at and record.created_at.isoformat(),
        "updated_at": record.updated_at and record.updated_at.isoformat(),
    }
    return {k: v for k, v in said.items() if v}


def _remembered(run: str, said: Mapping[str, Any]) -> RunRecord:
    times = {k: datetime.fromisoformat(said[k]) for k in ("created_at", "updated_at") if k in said}
    known: dict[str, Any] = {**said, **times}
    return RunRecord(run, **known)
