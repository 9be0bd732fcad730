"""Turns rows that training loops write into points and the description of their run.

A row is one JSON object. Its keys are: counters, one of which is the axis (chosen from all rows by `axis`); the time; the run
that it belongs to; a split, which prefixes its metrics; facts about the run (config, status); and metrics, which are all other
numbers. A row may be one value with its name (``{"metric": "loss", "value": 0.5}``). Nested names are joined with a dot.
Numbers in quotes are numbers; other values are counted under their name.
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
from sweeplens.readers.decoding.axis_names import is_pace_metric, label_of
from sweeplens.readers.decoding.row_keys import (
    CONFIG_KEYS,
    RUN_KEYS,
    STATUS_KEYS,
    TEXT_KEYS,
    TIME_KEYS,
    exact_label,
    named_value,
    split_of_row,
)
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

__all__ = ["RowReader", "described_by_row"]

_CONFIG_EVENTS = frozenset({"config", "hparams", "hyperparameters", "params", "args", "setup"})
_ENDS = {
    "run_end": "finished",
    "run_failed": "failed",
    "finished": "finished",
    "end": "finished",
    "failed": "failed",
    "crash": "failed",
}
_WRAPPERS = ("metrics", "data", "values", "scalars")
_AXIS_CHANGED = "the new rows do not continue from the earlier ones: the file is read again from its start"


class _Counter(Struct):
    """The values of a counter by row, and the metric names that it has if it is not the axis."""

    values: dict[int, int | float] = field(default_factory=dict[int, "int | float"])
    metrics: set[str] = field(default_factory=set[str])


class _RunProgress(Struct):
    """The state of one run while its rows are read."""

    record: RunRecord
    known: Mapping[str, Any] = field(default_factory=dict[str, Any])  # from an earlier reading: axis, last_step, rows
    rows: int = 0
    counters: dict[str, _Counter] = field(default_factory=dict[str, _Counter])  # by key
    walls: dict[int, int] = field(default_factory=dict[int, int])
    points: PointBuffer = field(default_factory=PointBuffer)  # with the row's number as step
    counts: dict[str, int] = field(
        default_factory=dict[str, int]
    )  # values so far of each metric, in a run without counters
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, str] = field(default_factory=dict[str, str])  # text that is not a number, by name


class RowReader:
    """Collects rows and returns points and records. One instance reads one file, from its start or from a saved `state`."""

    def __init__(self, run_id: str, state: Mapping[str, Any] | None = None) -> None:
        self._file_run = run_id
        self._runs: dict[str, _RunProgress] = {}
        self._state: dict[str, Any] | None = None
        for run, saved in (state or {}).items():
            self._runs[run] = _RunProgress(
                _record_from_state(run, saved.get("said", {})),
                saved,
                counts=dict(saved["counts"]),
                non_scalar=dict(saved["non_scalar"]),
            )

    def frame(self) -> pl.DataFrame:
        """Returns the points of all rows, as `Reading.points`, at steps found from all rows.

        Raises FormatError where appended rows would change the steps of earlier rows.
        """
        order = [(run, _placed(progress)) for run, progress in self._runs.items()]
        state = {run: _state_of(self._runs[run], axis, last) for run, (_, axis, last) in order}
        self._state = None if any(last is None for _, (_, _, last) in order) else state
        return pl.concat([points for _, (points, _, _) in order]) if order else PointBuffer().frame()

    def state(self) -> dict[str, Any] | None:
        """Returns the state for a later reading, as JSON values; None where it must start again. Call it after `frame`."""
        return self._state

    def records(self) -> list[RunRecord]:
        """Returns the description of each run, in order of appearance."""
        return [replace(t.record, non_scalar=dict(t.non_scalar)) for t in self._runs.values()]

    def examples(self) -> dict[str, str]:
        """Returns name -> example, for names with text that is not a number."""
        return {name: text for progress in self._runs.values() for name, text in progress.examples.items()}

    def axis_alone(self) -> tuple[str, int]:
        """Returns the axis of all rows and the last step, if they all belong to the run named after the file; else ("", 0)."""
        progress = self._runs.get(self._file_run)
        alone = progress is not None and len(self._runs) == 1 and not progress.counts
        return (progress.known.get("axis", ""), progress.known.get("last_step", 0)) if progress and alone else ("", 0)

    def add_columns(
        self, last_step: int, non_scalar: Mapping[str, int], first: datetime | None, last: datetime | None
    ) -> None:
        """Takes the results of rows of that run and axis that were read as columns: last step, counts and times."""
        progress = self._runs[self._file_run]
        for name, count in non_scalar.items():
            progress.non_scalar[name] = progress.non_scalar.get(name, 0) + count
        created, updated = progress.record.created_at or first, progress.record.updated_at
        newest = max(filter(None, (updated, last)), default=None)
        progress.record = replace(progress.record, created_at=created, updated_at=newest)
        self._state = {self._file_run: _state_of(progress, progress.known["axis"], last_step)}

    def add(self, row: dict[str, Any]) -> None:
        """Adds one row."""
        run = next(
            (str(row[k]) for k in RUN_KEYS if isinstance(row.get(k), str | int) and not isinstance(row.get(k), bool)),
            self._file_run,
        )
        progress = self._runs.get(run)
        if progress is None:
            progress = self._runs[run] = _RunProgress(RunRecord(run))
        rest = named_value({k: v for k, v in row.items() if k not in RUN_KEYS})
        wall = self._take_time(rest)
        split = split_of_row(rest)
        rest = self._take_description(progress, rest, wall)
        prefix = f"{split}/" if split else ""
        counters = _counters(rest)
        rest, wall = self._unwrapped(rest, wall)
        before = len(progress.points)
        for key, value in counters.items():
            found = progress.counters.setdefault(key, _Counter())
            found.values[progress.rows] = value
            found.metrics.add(key if prefix and key.startswith(prefix) else prefix + key)
        self._metrics(progress, prefix, rest, wall)
        if counters or len(progress.points) > before:
            if wall is not None:
                progress.walls[progress.rows] = micros_of(wall)
            progress.rows += 1

    def _unwrapped(self, rest: dict[str, Any], wall: datetime | None) -> tuple[dict[str, Any], datetime | None]:
        """Merges the inner object that holds the metrics into the row; also returns the time, which may be in it."""
        key = next(
            (k for k in _WRAPPERS if isinstance(rest.get(k), dict) and (k == "metrics" or _is_alone(k, rest))), ""
        )
        if not key:
            return rest, wall
        nested = dict(cast("dict[str, Any]", rest[key]))
        wall = wall or self._take_time(nested)
        return {**{k: v for k, v in rest.items() if k != key}, **nested}, wall

    def _take_time(self, row: dict[str, Any]) -> datetime | None:
        for key in TIME_KEYS:
            if key in row and (wall := as_time(row[key])) is not None:
                del row[key]
                return wall
        return None

    def _take_description(self, progress: _RunProgress, row: dict[str, Any], wall: datetime | None) -> dict[str, Any]:
        """Moves the facts about the run from the row to its record; returns the rest of the row: metrics and axis."""
        record = progress.record
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
        status = next((status_of(row[k]) for k in STATUS_KEYS if isinstance(row.get(k), str)), "") or _ENDS.get(
            event, ""
        )
        error = row.get("exception") or row.get("error")
        if isinstance(error, str):
            record = replace(record, metadata={**record.metadata, "error": error})
        if isinstance(row.get("name"), str):
            record = replace(record, name=row["name"])
        if isinstance(row.get("group"), str):
            record = replace(record, group=row["group"])
        progress.record = replace(
            record,
            status=status or record.status,
            created_at=record.created_at or wall,
            updated_at=max(filter(None, (record.updated_at, wall)), default=None),
        )
        return {
            k: v for k, v in row.items() if k not in STATUS_KEYS and not (k in TEXT_KEYS and not isinstance(v, float))
        }

    def _metrics(self, progress: _RunProgress, prefix: str, row: Mapping[str, Any], wall: datetime | None) -> None:
        for key, value in row.items():
            name = key if prefix and key.startswith(prefix) else prefix + key
            number = number_in(value)
            if number is None and isinstance(value, str) and exact_label(key):
                number = first_of_ratio(value)
            if number is not None:
                progress.points.add(progress.record.id, name, progress.rows, number, wall)
            elif isinstance(value, dict):
                self._metrics(progress, f"{name}.", cast("dict[str, Any]", value), wall)
            else:
                progress.non_scalar[name] = progress.non_scalar.get(name, 0) + 1
                if isinstance(value, str):
                    progress.examples.setdefault(name, value)


def _counters(row: Mapping[str, Any]) -> dict[str, int | float]:
    """Returns the counters of a row and their values."""
    found: dict[str, int | float] = {}
    for key, value in row.items():
        if not label_of(key) and not (isinstance(value, str) and exact_label(key)):
            continue
        step = as_step(value)
        number = step if step is not None else number_in(value)
        if isinstance(value, str) and number is None:
            number = first_of_ratio(value)
        if number is not None and not math.isnan(number):  # NaN means no value
            whole = as_step(number)
            found[key] = number if whole is None else whole
    return found


def _is_alone(key: str, row: Mapping[str, Any]) -> bool:
    """Whether a row has only counters besides this object, which then holds its metrics."""
    return all(k == key or label_of(k) for k in row)


def _placed(progress: _RunProgress) -> tuple[pl.DataFrame, str, int | None]:
    """Returns the points of a run at their steps, its axis, and the last step (None: a later reading must start again)."""
    points = progress.points.frame()
    if not progress.counters and not progress.known.get("axis"):
        counted = pl.int_range(pl.len(), dtype=pl.Int64).over("metric")
        before = (
            pl.col("metric").replace_strict(progress.counts, default=-1, return_dtype=pl.Int64)
            if progress.counts
            else pl.lit(-1)
        )
        points = points.with_columns((counted + before + 1).alias("step"))
        ends = points.group_by("metric", maintain_order=True).agg(pl.col("step").last())
        progress.counts.update(dict(ends.iter_rows()))
        return points, "", -1
    if progress.known:
        return _placed_after_resume(progress, points)
    series, names = _series_of(progress)
    placement = place_rows(progress.rows, series, _long(points, names), _walls(progress))
    steps = placement.steps
    last = int(steps[-1]) if placement.goes_on and len(steps) else None
    return _at(points, steps, names.get(placement.axis, set())), placement.axis, last


def _placed_after_resume(progress: _RunProgress, points: pl.DataFrame) -> tuple[pl.DataFrame, str, int | None]:
    """Places appended rows at the known axis. Raises FormatError where they need another axis."""
    axis, last = progress.known.get("axis", ""), int(progress.known.get("last_step", -1))
    if not progress.rows:
        return points, axis, last
    series, names = _series_of(progress)
    placement = place_rows(progress.rows, series, _long(points, names), _walls(progress))
    steps = placement.steps
    begins = any(0 in progress.counters[key].values for key in progress.counters if exact_label(key) == axis)
    if not axis or placement.axis != axis or not placement.goes_on or not begins or int(steps[0]) <= last:
        raise FormatError(_AXIS_CHANGED)
    return _at(points, steps, names[axis]), axis, int(steps[-1])


def _series_of(progress: _RunProgress) -> tuple[dict[str, pl.Series], dict[str, set[str]]]:
    """Returns the counters of a run by label, with a value for each row, and the metric names of each.

    Names with a slash (``trainer/global_step``) are used only where no name without one holds whole numbers.
    """
    by_label: dict[str, list[_Counter]] = {}
    exact = {key: label for key in progress.counters if (label := exact_label(key))}
    chosen = (
        exact
        if any(_all_whole(progress.counters[key]) for key in exact)
        else {k: exact_label(k) or label_of(k) for k in progress.counters}
    )
    for key, label in chosen.items():
        by_label.setdefault(label, []).append(progress.counters[key])
    series = {label: _series(label, found, progress.rows) for label, found in by_label.items()}
    return series, {label: set[str]().union(*(c.metrics for c in found)) for label, found in by_label.items()}


def _all_whole(counter: _Counter) -> bool:
    return all(isinstance(v, int) for v in counter.values.values())


def _series(label: str, found: list[_Counter], rows: int) -> pl.Series:
    """Merges counters with the same label into one column; in each row the first counter with a value wins."""
    values: dict[int, int | float] = {}
    for counter in reversed(found):
        values.update(counter.values)
    whole = all(isinstance(v, int) for v in values.values())
    return pl.Series(
        label, [values.get(row) for row in range(rows)], dtype=pl.Int64 if whole else pl.Float64, strict=False
    )


def _long(points: pl.DataFrame, names: Mapping[str, set[str]]) -> pl.DataFrame:
    """Returns row, metric, value of the metrics that an axis must not hide: no counters, and no measures of speed."""
    counters = set[str]().union(*names.values())
    metrics = [m for m in points["metric"].unique() if m not in counters and not is_pace_metric(m)]
    kept = points.filter(pl.col("metric").is_in(metrics))
    return kept.select(pl.col("step").alias("row"), "metric", "value")


def _walls(progress: _RunProgress) -> pl.Series | None:
    """Returns the time of each row in microseconds; None where no row has one."""
    return (
        pl.Series([progress.walls.get(row) for row in range(progress.rows)], dtype=pl.Int64) if progress.walls else None
    )


def _at(points: pl.DataFrame, steps: pl.Series, axis: set[str]) -> pl.DataFrame:
    """Replaces row numbers by the steps of these rows, and leaves out the axis itself."""
    if points.height:
        points = points.with_columns(steps.gather(points["step"]).alias("step"))
    return points.filter(pl.col("metric").is_in(list(axis)).not_()) if axis else points


def _state_of(progress: _RunProgress, axis: str, last_step: int | None) -> dict[str, Any]:
    """Returns the state of a run for a later reading."""
    description = described_by_row(progress.record)
    return {
        "axis": axis,
        "last_step": last_step,
        "counts": progress.counts,
        "non_scalar": progress.non_scalar,
        "said": description,
    }


def described_by_row(record: RunRecord) -> dict[str, Any]:
    """Returns the fields of a record that are set, as JSON values."""
    fields: dict[str, Any] = {
        "name": record.name,
        "group": record.group,
        "status": record.status,
        "hyperparameters": record.hyperparameters,
        "metadata": record.metadata,
        "created_at": record.created_at and record.created_at.isoformat(),
        "updated_at": record.updated_at and record.updated_at.isoformat(),
    }
    return {k: v for k, v in fields.items() if v}


def _record_from_state(run: str, fields: Mapping[str, Any]) -> RunRecord:
    times = {k: datetime.fromisoformat(fields[k]) for k in ("created_at", "updated_at") if k in fields}
    known: dict[str, Any] = {**fields, **times}
    return RunRecord(run, **known)
