"""Reads trials of Ray Tune and RLlib: `result.json` (JSON lines), `params.json` and the experiment's state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, read_header, read_table
from sweeplens.readers.decoding.json_lines import JsonLines, decode, peek
from sweeplens.readers.decoding.sidecars import read_config
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time, status_of
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["RayTune"]

_RESULT, _TABLE, _PARAMS, _ERROR = "result.json", "progress.csv", "params.json", "error.txt"
_AXIS = "training_iteration"
_MAX_ERROR = 2000


class RayTune:
    """Trial folders of Ray.

    Producer: Ray Tune, RLlib, Ray Train
    Files: ``result.json`` (else ``progress.csv``), ``params.json``, ``error.txt``, ``../experiment_state-*.json``
    Reads: every number at its ``training_iteration``, nested names joined with ``.``; parameters; status, error and times
    Leaves: ``progress.csv`` and TensorBoard files, which repeat the results; pickles; lists and text, which are counted
    """

    name = "ray_tune"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a trial: results with Ray's axis, or the parameters of a trial without results."""
        free = set(folder.free(".json", ".csv", ".txt"))
        parent = folder.child("..")
        states = sorted(n for n in (parent.files if parent else ()) if n.startswith("experiment_state"))
        table = _TABLE in free and _AXIS in (h.names if (h := header_of(folder.head(_TABLE), ",")) else ())
        lines = _RESULT in free and any(_AXIS in row for row in peek(folder.head(_RESULT), most=3))
        started = _PARAMS in free and (bool(states) or _ERROR in free) and _is_empty(folder, _RESULT)
        if not (lines or table or started):
            return
        main = (_RESULT,) if lines or (not table and _RESULT in free) else (_TABLE,) if table else ()
        side = (*(n for n in (_PARAMS, _ERROR) if n in free), *(f"../{n}" for n in states[-1:]))
        yield Claim((*main, *side), copies=(_TABLE,) if table and main != (_TABLE,) else ())

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new results and the current sidecars."""
        if source.file(_RESULT) is None and source.file(_TABLE) is not None:
            return _from_table(source)
        trial = _RayTrial(source.relative, cast("dict[str, Any]", dict(resume.state) if resume else {}))
        problems: list[Problem] = []
        after = None
        if (main := source.file(_RESULT)) is not None:
            offset = resume.offset if resume else 0
            lines = JsonLines(
                compression.line_pieces(main.path, offset), main.path, first_line=resume.lines + 1 if resume else 1
            )
            for line in lines:
                trial.add(line.value)
            problems += lines.problems
            after = Resume(offset + lines.consumed, trial.state(), lines.number)
        record = _described(source, trial.record(), trial.done, problems)
        return Reading((record,), trial.points.frame(), tuple(problems), after)


class _RayTrial(Struct):
    """The state of one trial while its rows are read."""

    run: str
    saved: dict[str, Any]
    points: PointBuffer = field(default_factory=PointBuffer)
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    about: dict[str, Any] = field(default_factory=dict[str, Any])
    last: datetime | None = None

    def __post_init__(self) -> None:
        self.non_scalar = dict(self.saved.get("non_scalar", {}))

    @property
    def done(self) -> bool:
        return bool(self.saved.get("done"))

    def state(self) -> dict[str, Any]:
        """Returns the state for a later reading."""
        return {"non_scalar": self.non_scalar, "done": self.done, "step": self.saved.get("step", 0)}

    def record(self) -> RunRecord:
        return RunRecord(
            self.run, updated_at=self.last, hyperparameters=self.config, metadata=self.about, non_scalar=self.non_scalar
        )

    def add(self, row: dict[str, Any]) -> None:
        """Adds one result."""
        config = row.pop("config", None)
        self.config = cast("dict[str, Any]", config) if isinstance(config, dict) else self.config
        self.about = {k: row[k] for k in ("trial_id", "hostname") if isinstance(row.get(k), str)} or self.about
        step = as_step(row.get(_AXIS))
        self.saved["step"] = self.saved.get("step", 0) if step is None else step
        self.saved["done"] = row.get("done") is True
        wall = as_time(row.get("timestamp"))
        self.last = wall or self.last
        self._numbers("", row, wall)

    def _numbers(self, prefix: str, values: Mapping[str, Any], wall: datetime | None) -> None:
        for key, value in values.items():
            name = prefix + key
            number = as_number(value)
            if number is not None:
                self.points.add(self.run, name, self.saved["step"], number, wall)
            elif isinstance(value, dict) and value:
                self._numbers(f"{name}.", cast("dict[str, Any]", value), wall)
            else:
                self.non_scalar[name] = self.non_scalar.get(name, 0) + 1


def _is_empty(folder: Folder, name: str) -> bool:
    entry = folder.find(name)
    return entry is None or not entry.size


def _from_table(source: Source) -> Reading:
    """Reads a trial from ``progress.csv``, where ``result.json`` is missing."""
    entry = cast("FileStat", source.file(_TABLE))
    header = read_header(entry.path, ",")
    if header is None:
        raise FormatError(f"{entry.path} has no header")
    config = frozenset(n for n in header.names if n.startswith("config/"))
    table = read_table(entry.path, header, ColumnPlan(_AXIS, keep_axis=True, leave=config), source.relative)
    problems = list(table.problems)
    record = _described(source, RunRecord(source.relative, non_scalar=table.non_scalar), False, problems)
    return Reading((record,), table.points, tuple(problems))


def _described(source: Source, record: RunRecord, done: bool, problems: list[Problem]) -> RunRecord:
    """Returns the record with its parameters, experiment and status."""
    side = read_config(source.files, names=(_PARAMS,), unwrap=False)
    problems += [Problem(path, reason) for path, reason in side.problems]
    *_, experiment, trial = source.path.replace("\\", "/").rstrip("/").split("/")
    status, began = _from_state(source, trial, str(record.metadata.get("trial_id") or ""), problems)
    error = source.file(_ERROR)
    metadata = {**record.metadata, **({"error": _tail(error)} if error else {})}
    return RunRecord(
        id=record.id,
        name=trial,
        group=experiment,
        status=status or ("failed" if error else "finished" if done else ""),
        created_at=began,
        updated_at=record.updated_at,
        hyperparameters=side.hyperparameters or record.hyperparameters,
        metadata=metadata,
        non_scalar=record.non_scalar,
    )


def _tail(error: FileStat) -> str:
    return compression.read_plain(error.path)[-_MAX_ERROR:].decode("utf-8", "replace").strip()


def _from_state(source: Source, trial: str, trial_id: str, problems: list[Problem]) -> tuple[str, datetime | None]:
    """Returns status and start from the experiment's state. A state ``RUNNING`` may be stale: `store.runs_frame` then decides."""
    entry = next((f for f in source.files if "experiment_state" in f.path.rsplit("/", 1)[-1]), None)
    if entry is None:
        return "", None
    try:
        trials = _trials(entry)
    except (ValueError, RecursionError) as error:
        problems.append(Problem(entry.path, f"experiment state cannot be read: {error}"))
        return "", None
    found = trials.get(trial_id) or next((t for k, t in trials.items() if k and k in trial), ("", None))
    return (found[0] if found[0] != "running" else "", found[1])


@lru_cache(maxsize=8)
def _trials(entry: FileStat) -> dict[str, tuple[str, datetime | None]]:
    """Returns trial id -> status and start. Trials are JSON texts inside JSON; older versions have an object for each trial."""
    state = decode(compression.read_plain(entry.path))
    known = cast("dict[str, Any]", state) if isinstance(state, dict) else {}
    found: dict[str, tuple[str, datetime | None]] = {}
    for item in cast("list[Any]", known.get("trial_data") or known.get("checkpoints") or []):
        parts = [_object(p) for p in (cast("list[Any]", item) if isinstance(item, list) else [item])]
        merged = {k: v for part in parts for k, v in part.items()}
        found[str(merged.get("trial_id") or "")] = (status_of(merged.get("status")), as_time(merged.get("start_time")))
    return found


def _object(value: object) -> dict[str, Any]:
    loaded = json.loads(value) if isinstance(value, str) else value
    return cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}
