"""SwanLab run directories."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, cast

from msgspec import Struct, field, to_builtins

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.leveldb_framing import FILE_HEADER, BlockRecords
from sweeplens.readers.decoding.protobuf import WireError, as_double, as_signed, as_text, as_timestamp, fields
from sweeplens.readers.decoding.values import PointBuffer, as_time
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trackers.record_folders import GRACE, loaded_beside, tracker_claims, unwrapped
from sweeplens.safe_open import open_buffered

__all__ = ["SwanLab"]

_IDENT, _VERSION = b":SWL", 2
_CONFIG, _ABOUT = "files/config.yaml", "files/swanlab-metadata.json"
_TIME, _START, _FINISH, _COLUMN, _SCALAR, _MEDIA = 2, 10, 11, 12, 13, 14
_STATES = {1: "finished", 2: "crashed", 3: "killed"}
_TEXTS = {1: "project", 2: "workspace", 5: "description", 8: "job_type", 10: "swanlab_run_id"}
_SYSTEM = 2  # the class of columns that the tracker adds itself


class _SwanLabFacts(Struct):
    """What the records said besides points. All fields are JSON values: it is carried from one reading to the next."""

    name: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list[str])
    about: dict[str, str] = field(default_factory=dict[str, str])
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    system: list[str] = field(default_factory=list[str])
    began: float = 0.0  # seconds since 1970
    alive: float = 0.0
    status: str = ""


class SwanLab:
    """One run a directory: ``run-<time>-<id>``.

    Producer: SwanLab 0.7 and later
    Files: ``run-<id>.swanlab``, beside ``files/config.yaml``, ``files/swanlab-metadata.json``
    Reads: every scalar at its step and time; config; name, group, job type, tags, description; begin and end
    Leaves: media, which are counted by name; the hardware monitor's columns, console output
    """

    name = "swanlab"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Run directories in this folder, or the folder itself if it is one."""
        return tracker_claims(folder, ".swanlab", _IDENT, (_CONFIG, _ABOUT))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """The records from where the last reading ended; a run that ended is read anew should it ever change."""
        main = source.files[0]
        run = PurePosixPath(main.path.replace("\\", "/")).parent.name
        state = cast("Mapping[str, Any]", resume.state if resume else {})
        said = _SwanLabFacts(**state.get("said", {}))
        points, problems = PointBuffer(), list[Problem]()
        offset = _read_records(main, resume.offset if resume else 0, run, points, said, problems)
        record = _described(source, run, said, problems)
        after = None
        if not record.status and not any(p.kind == "malformed" for p in problems):
            after = Resume(offset, {"said": to_builtins(said)})
        return Reading((record,), points.frame(), tuple(problems), after)


def _read_records(
    main: FileStat, offset: int, run: str, points: PointBuffer, said: _SwanLabFacts, problems: list[Problem]
) -> int:
    """Every record of a file from an offset on; the offset after them."""
    broken = 0
    with open_buffered(main.path) as stream:
        version = stream.read(FILE_HEADER)[FILE_HEADER - 1 :]
        if version and version[0] != _VERSION:
            raise FormatError(f"{main.path} has version {version[0]} of SwanLab's format: only {_VERSION} is known")
        records = BlockRecords(stream, main.path, _IDENT, offset)
        for data in records:
            try:
                _hear(data, run, points, said)
            except WireError:
                broken += 1
    problems += records.problems(broken)
    return records.offset


def _hear(data: bytes, run: str, points: PointBuffer, said: _SwanLabFacts) -> None:
    """Take one record."""
    for number, value in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == _SCALAR:
            _scalar(value, run, points, said)
        elif number == _TIME and (when := as_timestamp(value)) is not None:
            said.alive = max(said.alive, when.timestamp())
        elif number == _START:
            _start(value, said)
        elif number == _FINISH:
            end = dict(fields(value))
            said.status = _STATES.get(as_signed(end.get(1, 0)), "")
            if error := as_text(end.get(2, b"")):
                said.about["error"] = error
        elif number == _MEDIA:
            key = as_text(dict(fields(value)).get(1, b""))
            said.non_scalar[key] = said.non_scalar.get(key, 0) + 1
        elif number == _COLUMN:
            column = dict(fields(value))
            if column.get(1) == _SYSTEM:
                said.system.append(as_text(column.get(3, b"")))


def _scalar(data: bytes, run: str, points: PointBuffer, said: _SwanLabFacts) -> None:
    row = dict(fields(data))
    key = as_text(row.get(1, b""))
    value = row.get(5)
    if key in said.system or not isinstance(value, bytes):
        return
    number = as_double(dict(fields(value)).get(1, 0))
    points.add(run, key, as_signed(row.get(2, 0)), number, as_timestamp(row.get(4, b"")) if 4 in row else None)


def _start(data: bytes, said: _SwanLabFacts) -> None:
    tags: list[str] = []
    for number, value in fields(data):
        if number in _TEXTS and (text := as_text(value)):
            said.about[_TEXTS[number]] = text
        elif number == 4:
            said.name = as_text(value)
        elif number == 6:
            tags.append(as_text(value))
        elif number == 7:
            said.group = as_text(value)
        elif number == 12 and (when := as_timestamp(value)) is not None:
            said.began = when.timestamp()
    said.tags = tags or said.tags


def _described(source: Source, run: str, said: _SwanLabFacts, problems: list[Problem]) -> RunRecord:
    """The run as its records and the files beside them describe it."""
    config = loaded_beside(source, _CONFIG, problems)
    about = loaded_beside(source, _ABOUT, problems)
    alive = max(said.alive, said.began)
    return RunRecord(
        run,
        name=said.name,
        group=said.group,
        status=said.status or ("crashed" if 0 < alive < time.time() - GRACE else ""),
        created_at=as_time(said.began),
        updated_at=as_time(said.alive),
        tags=tuple(said.tags),
        hyperparameters=unwrapped(config),
        metadata={**_machine(about), **said.about},
        non_scalar=said.non_scalar,
    )


def _machine(about: Mapping[str, Any]) -> dict[str, object]:
    """What of the metadata file tells runs apart: command, commit, machine."""
    of = {"command": ("runtime", "command"), "git_commit": ("git", "commit"), "host": ("runtime", "hostname")}
    found: dict[str, object] = {}
    for name, (part, key) in of.items():
        inner = about.get(part)
        value = cast("dict[str, object]", inner).get(key) if isinstance(inner, dict) else None
        if isinstance(value, str) and value:
            found[name] = value
    return found
