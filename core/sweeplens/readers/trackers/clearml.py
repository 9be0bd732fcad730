"""Reads ClearML's offline sessions: a folder or a zip file with ``task.json`` and lists of reported values in ``metrics.jsonl``."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from msgspec import Struct, field

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.readers.decoding.compression import read_config_bytes
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.safe_open import open_buffered

__all__ = ["ClearMLOffline"]

_TASK, _METRICS = "task.json", "metrics.jsonl"
_MOST_BYTES, _MOST_LINE = 512 << 20, 64 << 20  # unpacked; one line is what was reported between two flushes
_SCALAR = "training_stats_scalar"
_SINGLE = -(2**31)  # the iteration of `report_single_value`
_Json = dict[str, Any]


class _OfflineSession(Struct):
    """The values of a session."""

    run: str
    points: PointBuffer = field(default_factory=PointBuffer)
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    broken: int = 0


class ClearMLOffline:
    """Sessions that were run with ``Task.set_offline``.

    Producer: ClearML
    Files: ``offline-<id>/metrics.jsonl`` with ``task.json`` beside it, or ``offline-<id>.zip`` of both
    Reads: every scalar as ``<title>/<series>`` at its iteration with its time; parameters with their section before the name (except ``General``); name, project, tags
    Leaves: plots, images, console output, which are counted; a zip file beside its folder, which is a copy
    """  # noqa: E501 - a line of docs/formats.md each

    name = "clearml_offline"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a session's folder, and zip files whose folder is gone."""
        if {_TASK, _METRICS} <= folder.files.keys() and b'"offline' in folder.head(_METRICS) + folder.head(_TASK):
            yield Claim((_METRICS, _TASK), belongs=("log.jsonl",), owns=("*",))
        for name in folder.free(".zip"):
            head = folder.head(name)[:200] if name.startswith("offline-") else b""
            if not head.startswith(b"PK\x03\x04"):
                continue
            unpacked = folder.folders.get(name.removesuffix(".zip"))
            if unpacked is not None and _METRICS in unpacked.files:
                yield Claim((), copies=(name,), is_folder=False)
            elif any(member in head for member in (b"metrics.jsonl", b"task.json", b"log.jsonl")):
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole session: its files are small, and written again when it ends."""
        path = source.files[0].path
        session = _OfflineSession(source.relative.removesuffix(".zip"))
        try:
            with open_buffered(path) as stream:
                task = _read(stream, source, session)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
            raise FormatError(f"{path} is no offline session of ClearML: {error}") from error
        problems = (Problem(path, f"{session.broken} reports cannot be read: left out"),) if session.broken else ()
        return Reading((_record(session, task),), session.points.frame(), problems)


def _read(stream: IO[bytes], source: Source, session: _OfflineSession) -> _Json:
    """Adds all reports of a folder's file or of an archive; returns the description of the task."""
    if not source.files[0].path.endswith(".zip"):
        _add_lines(stream, session)
        entry = source.file(_TASK)
        return _object(read_config_bytes(entry.path)) if entry else {}
    with zipfile.ZipFile(stream) as archive:
        names = archive.namelist()
        if sum(archive.getinfo(n).file_size for n in (_TASK, _METRICS) if n in names) > _MOST_BYTES:
            raise SourceLimitError(f"an offline session of more than {_MOST_BYTES >> 20} MB: not read")
        if _METRICS in names:
            with archive.open(_METRICS) as member:
                _add_lines(member, session)
        return _object(archive.read(_TASK)) if _TASK in names else {}


def _object(data: bytes) -> _Json:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return cast("_Json", found) if isinstance(found, dict) else {}


def _add_lines(stream: IO[bytes], session: _OfflineSession) -> None:
    while line := stream.readline(_MOST_LINE):
        try:
            reports: object = decode(line) if line.strip() else []
        except ValueError:
            session.broken += 1
            continue
        for report in cast("list[Any]", reports) if isinstance(reports, list) else [reports]:
            _add(report, session)


def _add(report: object, session: _OfflineSession) -> None:
    """Adds one report: a scalar becomes a point, anything else is counted."""
    if not isinstance(report, dict):
        session.broken += 1
        return
    event = cast("_Json", report)
    title, series = str(event.get("metric", "")), str(event.get("variant", ""))
    name = f"{title}/{series}" if title and series and title != series else title or series
    value, step = as_number(event.get("value")), as_step(event.get("iter"))
    if event.get("type") != _SCALAR or value is None or step is None or not name:
        session.non_scalar[name] = session.non_scalar.get(name, 0) + 1
        return
    at = as_time((as_number(event.get("timestamp")) or 0) / 1000)
    session.points.add(session.run, series if step == _SINGLE else name, max(0, step), value, at)


def _record(session: _OfflineSession, task: _Json) -> RunRecord:
    tags = task.get("tags")
    return RunRecord(
        session.run,
        name=str(task.get("name") or ""),
        group=str(task.get("project_name") or ""),
        tags=tuple(map(str, cast("list[object]", tags))) if isinstance(tags, list) else (),
        hyperparameters=dict(_parameters(task.get("hyperparams"))),
        metadata={k: task[k] for k in ("project_name", "type", "id") if task.get(k)},
        non_scalar=session.non_scalar,
    )


def _parameters(sections: object) -> Iterator[tuple[str, object]]:
    """Yields the parameters of each section with their values as they were before they became text."""
    for section, entries in cast("_Json", sections).items() if isinstance(sections, dict) else ():
        for key, entry in cast("_Json", entries).items() if isinstance(entries, dict) else ():
            value = cast("_Json", entry).get("value") if isinstance(entry, dict) else entry
            kind = cast("_Json", entry).get("type") if isinstance(entry, dict) else ""
            yield (key if section == "General" else f"{section}/{key}"), _typed(value, str(kind))


def _typed(value: object, kind: str) -> object:
    """Returns a value that was stored as text."""
    if not isinstance(value, str):
        return value
    if kind == "bool":
        return value.lower() == "true"
    try:
        return {"int": int, "float": float}.get(kind, str)(value)
    except ValueError:
        return value
