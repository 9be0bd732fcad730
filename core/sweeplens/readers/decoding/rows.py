"""Rows as training loops write them -> points and what they say about their run.

A row is one JSON object or one line of a table. Its keys fall into: the axis (`step` before its rivals), the time, the run
that it belongs to, a split that prefixes its metrics, what it says about the run (config, status), and metrics: every other
number. Nested names are joined with a dot. Whatever is no number is counted under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time, status_of
from sweeplens.readers.protocol import RunRecord

__all__ = ["AXES", "CONFIG_KEYS", "ROW_WORDS", "RUN_KEYS", "TIME_KEYS", "RowReader", "axis_of"]

AXES = ("step", "global_step", "_step", "steps", "iteration", "iter", "itr", "training_iteration", "num_updates", "update",
        "n_iter", "Step", "iterations", "epoch", "Epoch", "train_step", "timestep", "timesteps", "env_step", "env_steps",
        "num_timesteps", "total_timesteps", "total_steps")  # fmt: skip
TIME_KEYS = ("timestamp", "_timestamp", "wall_time", "time", "ts", "datetime", "created_at", "date")
RUN_KEYS = ("run_id", "run", "trial_id", "run_name", "job_id")
_SPLITS = ("split", "mode", "phase", "stage", "subset")
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


def axis_of(row: Mapping[str, object]) -> str:
    """The key of a row that is its axis; "" when there is none."""
    return next((a for a in AXES if a in row and as_step(row[a]) is not None), "")


class _RunProgress(Struct):
    """What is remembered of one run while its rows go by."""

    record: RunRecord
    axis: str = ""
    last_step: int = -1
    counts: dict[str, int] = field(default_factory=dict[str, int])  # occurrences of a metric that has no axis
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])


class RowReader:
    """Rows in, points and records out. One instance reads one file, or goes on with it from a saved `state`."""

    def __init__(self, run_id: str, state: Mapping[str, Any] | None = None) -> None:
        self._home = run_id
        self._tracks: dict[str, _RunProgress] = {}
        self.points = PointBuffer()
        for run, saved in (state or {}).items():
            self._tracks[run] = _RunProgress(
                _remembered(run, saved.get("said", {})),
                saved["axis"],
                saved["last_step"],
                dict(saved["counts"]),
                dict(saved["non_scalar"]),
            )

    def state(self) -> dict[str, Any]:
        """What a later reading needs, as JSON values."""
        return {
            run: {
                "axis": t.axis,
                "last_step": t.last_step,
                "counts": t.counts,
                "non_scalar": t.non_scalar,
                "said": described_by_row(t.record),
            }
            for run, t in self._tracks.items()
        }

    def records(self) -> list[RunRecord]:
        """What the rows said about each run, in order of appearance."""
        return [replace(t.record, non_scalar=dict(t.non_scalar)) for t in self._tracks.values()]

    def axis_alone(self) -> str:
        """The axis at which every row of the run that the file is named after stood, if there was no other run; else ""."""
        track = self._tracks.get(self._home)
        return track.axis if track and len(self._tracks) == 1 and not track.counts else ""

    def passed(
        self, last_step: int, non_scalar: Mapping[str, int], first: datetime | None, last: datetime | None
    ) -> None:
        """Rows of that run, at that axis, went by without `add`: where they ended, what was no number, their times."""
        track = self._tracks[self._home]
        track.last_step = last_step
        for name, count in non_scalar.items():
            track.non_scalar[name] = track.non_scalar.get(name, 0) + count
        created, updated = track.record.created_at or first, track.record.updated_at
        newest = max(filter(None, (updated, last)), default=None)
        track.record = replace(track.record, created_at=created, updated_at=newest)

    def add(self, row: dict[str, Any]) -> None:
        """Take one row."""
        run = next(
            (str(row[k]) for k in RUN_KEYS if isinstance(row.get(k), str | int) and not isinstance(row.get(k), bool)),
            self._home,
        )
        track = self._tracks.get(run)
        if track is None:
            track = self._tracks[run] = _RunProgress(RunRecord(run))
        rest = {k: v for k, v in row.items() if k not in RUN_KEYS}
        wall = self._time(rest)
        rest = self._about(track, rest, wall)
        step, fixed = self._step(track, rest)
        split = next((str(rest.pop(k)) for k in _SPLITS if isinstance(rest.get(k), str)), "")
        inner = rest.pop("metrics", None)
        if isinstance(inner, dict):
            nested = cast("dict[str, Any]", inner)
            wall = wall or self._time(nested)
            rest = {**rest, **nested}
        elif inner is not None:
            rest["metrics"] = inner
        self._metrics(track, f"{split}/" if split else "", rest, (step, fixed), wall)

    def _time(self, row: dict[str, Any]) -> datetime | None:
        for key in TIME_KEYS:
            if key in row and (wall := as_time(row[key])) is not None:
                del row[key]
                return wall
        return None

    def _step(self, track: _RunProgress, row: dict[str, Any]) -> tuple[int, bool]:
        """The row's step, and whether it is one: a row without an axis stands where its run last was."""
        axis = axis_of(row)
        if axis and (not track.axis or AXES.index(axis) <= AXES.index(track.axis)):
            track.axis = axis
            track.last_step = cast("int", as_step(row.pop(axis)))
            return track.last_step, True
        return track.last_step, bool(track.axis)

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

    def _metrics(
        self, track: _RunProgress, prefix: str, row: Mapping[str, Any], at: tuple[int, bool], wall: datetime | None
    ) -> None:
        step, fixed = at
        for key, value in row.items():
            name = key if prefix and key.startswith(prefix) else prefix + key
            number = as_number(value)
            if number is not None:
                if not fixed:
                    step = track.counts[name] = track.counts.get(name, -1) + 1
                self.points.add(track.record.id, name, step, number, wall)
            elif isinstance(value, dict):
                self._metrics(track, f"{name}.", cast("dict[str, Any]", value), at, wall)
            else:
                track.non_scalar[name] = track.non_scalar.get(name, 0) + 1


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
