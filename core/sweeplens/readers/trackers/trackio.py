"""Reads Trackio's database of a project: one JSON object for each call of `log`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.point_columns import left_out, points_of_rows
from sweeplens.readers.decoding.sqlite import SqliteDatabase, databases, read_database
from sweeplens.readers.decoding.values import as_number, as_time, joined_points, micros_of
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

if TYPE_CHECKING:
    import polars as pl


__all__ = ["Trackio"]

_TABLES = {"metrics": ("run_name", "timestamp", "step", "metrics")}
_CHUNK = 100_000
_OTHER_FIELDS = ("_Group", "_Created", "_Username")


class Trackio:
    """Projects of Trackio.

    Producer: Trackio
    Files: ``<project>.db`` with the tables ``metrics`` and ``configs``
    Reads: every number of every log call, also NaN and infinities, with its step and time; configurations; the group, or
        the project if there is none; system metrics under ``system/``
    Leaves: images, tables, traces, alerts and artifacts, which are counted by name
    """

    name = "trackio"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims databases that have Trackio's table of metrics."""
        for claim in databases(folder, _TABLES):
            media = folder.child(f"media/{PurePath(claim.files[0]).stem}")
            own = tuple(n for n, _ in media.tree(f"media/{media.name}/")) if media else ()
            yield replace(claim, belongs=(*claim.belongs, *own))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all runs of the project."""
        return read_database(source.files[0].path, _extract)


class _PointLog(Struct):
    """Collects points, and counts of other values, while rows are read."""

    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    frames: list[pl.DataFrame] = field(default_factory=list["pl.DataFrame"])
    dropped: int = 0
    non_scalar: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    first: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    last: dict[str, int | None] = field(default_factory=dict[str, "int | None"])

    def add(self, run: str, name: str, step: Any, value: object, wall: int | None) -> None:
        """Adds one value; an object is added by part, unless it is media."""
        number = as_number(value)
        if number is not None:
            self.rows.append((run, name, step, number, wall))
            if len(self.rows) >= _CHUNK:
                self.flush()
        elif isinstance(value, dict) and "_type" not in value:
            for key, inner in cast("dict[str, object]", value).items():
                self.add(run, f"{name}.{key}", step, inner, wall)
        else:
            counts = self.non_scalar.setdefault(run, {})
            counts[name] = counts.get(name, 0) + 1

    def flush(self) -> None:
        """Converts rows to a frame, which needs a tenth of their memory."""
        frame, dropped = points_of_rows(self.rows)
        self.frames.append(frame)
        self.dropped += dropped
        self.rows.clear()


def _extract(database: SqliteDatabase) -> Reading:
    names = _RunNames()
    log = _PointLog()
    for table, prefix in (("metrics", ""), ("system_metrics", "system/")):
        _gather(database, table, prefix, names, log)
    configs = dict(_configs(database, names))
    project = PurePath(database.path).stem
    records = tuple(_record((run, name), configs.get(run, {}), log, project) for run, name in names.names.items())
    log.flush()
    lost = left_out(log.dropped, database.path, "the table metrics")
    return Reading(records, joined_points(log.frames), (*database.problems, *lost))


class _RunNames:
    """Gives ids to runs: their names; a second run with the same name gets the start of its key too."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # id -> name
        self._ids: dict[tuple[str, str], str] = {}

    def id(self, key: object, name: object) -> str:
        """Returns the id of a run. Tables of older databases have only names: their key is None."""
        text = str(name)
        if key is None:
            return text if text in self.names else self._new(text, text)
        known = self._ids.get((str(key), text))
        if known is None:
            known = self._ids[str(key), text] = self._new(
                text if text not in self.names else f"{text}@{str(key)[:8]}", text
            )
        return known

    def _new(self, run: str, name: str) -> str:
        self.names[run] = name
        return run


def _gather(database: SqliteDatabase, table: str, prefix: str, names: _RunNames, log: _PointLog) -> None:
    columns = database.columns(table)
    if not columns:
        return
    key, step = (c if c in columns else "NULL" for c in ("run_id", "step"))
    counts: dict[str, int] = defaultdict(int)
    query = f"SELECT rowid, {key}, run_name, {step}, timestamp, metrics FROM {table} ORDER BY rowid"
    for row, run_key, name, at, time, text in database.rows(query):
        run = names.id(run_key, name)
        moment = as_time(time)
        wall = micros_of(moment) if moment else None
        log.first.setdefault(run, wall)
        log.last[run] = wall or log.last.get(run)
        for metric, value in _object(database, text, f"row {row} of {table}").items():
            log.add(run, prefix + metric, counts[run] if at is None else at, value, wall)
        counts[run] += 1


def _configs(database: SqliteDatabase, names: _RunNames) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = database.columns("configs")
    if not columns:
        return
    key = "run_id" if "run_id" in columns else "NULL"
    for row, run_key, name, text in database.rows(f"SELECT rowid, {key}, run_name, config FROM configs ORDER BY rowid"):
        yield names.id(run_key, name), _object(database, text, f"row {row} of configs")


def _object(database: SqliteDatabase, text: Any, where: str) -> dict[str, Any]:
    """Decodes a JSON object, stored as text or bytes; any other value is a problem."""
    try:
        value = decode(
            text.encode("utf-8", "replace") if isinstance(text, str) else text if isinstance(text, bytes) else b""
        )
    except ValueError as error:
        database.problems.append(Problem(database.path, f"{where} is not JSON: {error}"))
        return {}
    if not isinstance(value, dict):
        database.problems.append(Problem(database.path, f"{where} is not a JSON object"))
        return {}
    return cast("dict[str, Any]", value)


def _record(about: tuple[str, str], config: Mapping[str, Any], log: _PointLog, project: str) -> RunRecord:
    run, name = about
    user = config.get("_Username")
    return RunRecord(
        run,
        name=name,
        group=str(config.get("_Group") or project),
        created_at=as_time(config.get("_Created")) or as_time(log.first.get(run)),
        updated_at=as_time(log.last.get(run)),
        hyperparameters={k: v for k, v in config.items() if k not in _OTHER_FIELDS},
        metadata={"project": project, **({"user": str(user)} if user else {})},
        non_scalar=log.non_scalar.get(run, {}),
    )
