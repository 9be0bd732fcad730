"""Reads SwanLab run directories."""

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
from sweeplens.readers.decoding.wrapped_config import unwrapped
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trackers.record_folders import GRACE, loaded_beside, tracker_claims
from sweeplens.safe_open import open_buffered

__all__ = ["SwanLab"]

_IDENT, _VERSION = b":SWL", 2
_CONFIG, _ABOUT = "files/config.yaml", "files/swanlab-metadata.json"
_TIME, _START, _FINISH, _COLUMN, _SCALAR, _MEDIA = 2, 10, 11, 12, 13, 14
_STATES = {1: "finished", 2: "crashed", 3: "killed"}
_TEXTS = {1: "project", 2: "workspace", 5: "description", 8: "job_type", 10: "swanlab_run_id"}
_SYSTEM = 2  # the class of the tracker's own columns


class _SwanLabFacts(Struct):
    """The facts in the records besides points. All fields are JSON values: they are kept between readings."""

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
    """Run directories: ``run-<time>-<id>``.

    Producer: SwanLab 0.7 and later
    Files: ``run-<id>.swanlab``, and beside it ``files/config.yaml``, ``files/swanlab-metadata.json``
    Reads: every scalar at its step and time; config; name, group, job type, tags, description; start and end
    Leaves: media, which are counted by name; the hardware monitor's columns, console output
    """

    name = "swanlab"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims run directories in this folder, or the folder itself if it is one."""
        return tracker_claims(folder, ".swanlab", _IDENT, (_CONFIG, _ABOUT))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new records; a run that has ended is read again whole if it ever changes."""
        main = source.files[0]
        run = PurePosixPath(main.path.replace("\\", "/")).parent.name
        state = cast("Mapping[str, Any]", resume.state if resume else {})
        facts = _SwanLabFacts(**state.get("said", {}))
        points, problems = PointBuffer(), list[Problem]()
        offset = _read_records(main, resume.offset if resume else 0, run, points, facts, problems)
        record = _described(source, run, facts, problems)
        after = None
        if not record.status and not any(p.kind == "malformed" for p in problems):
            after = Resume(offset, {"said": to_builtins(facts)})
        return Reading((record,), points.frame(), tuple(problems), after)


def _read_records(
    main: FileStat, offset: int, run: str, points: PointBuffer, facts: _SwanLabFacts, problems: list[Problem]
) -> int:
    """Reads the records of a file from an offset; returns the offset after them."""
    broken = 0
    with open_buffered(main.path) as stream:
        version = stream.read(FILE_HEADER)[FILE_HEADER - 1 :]
        if version and version[0] != _VERSION:
            raise FormatError(f"{main.path} has version {version[0]} of SwanLab's format: only {_VERSION} is known")
        records = BlockRecords(stream, main.path, _IDENT, offset)
        for data in records:
            try:
                _add_record(data, run, points, facts)
            except WireError:
                broken += 1
    problems += records.problems(broken)
    return records.offset


def _add_record(data: bytes, run: str, points: PointBuffer, facts: _SwanLabFacts) -> None:
    """Adds one record."""
    for number, value in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == _SCALAR:
            _scalar(value, run, points, facts)
        elif number == _TIME and (when := as_timestamp(value)) is not None:
            facts.alive = max(facts.alive, when.timestamp())
        elif number == _START:
            _start(value, facts)
        elif number == _FINISH:
            end = dict(fields(value))
            facts.status = _STATES.get(as_signed(end.get(1, 0)), "")
            if error := as_text(end.get(2, b"")):
                facts.about["error"] = error
        elif number == _MEDIA:
            key = as_text(dict(fields(value)).get(1, b""))
            facts.non_scalar[key] = facts.non_scalar.get(key, 0) + 1
        elif number == _COLUMN:
            column = dict(fields(value))
            if column.get(1) == _SYSTEM:
                facts.system.append(as_text(column.get(3, b"")))


def _scalar(data: bytes, run: str, points: PointBuffer, facts: _SwanLabFacts) -> None:
    row = dict(fields(data))
    key = as_text(row.get(1, b""))
    value = row.get(5)
    if key in facts.system or not isinstance(value, bytes):
        return
    number = as_double(dict(fields(value)).get(1, 0))
    points.add(run, key, as_signed(row.get(2, 0)), number, as_timestamp(row.get(4, b"")) if 4 in row else None)


def _start(data: bytes, facts: _SwanLabFacts) -> None:
    tags: list[str] = []
    for number, value in fields(data):
        if number in _TEXTS and (text := as_text(value)):
            facts.about[_TEXTS[number]] = text
        elif number == 4:
            facts.name = as_text(value)
        elif number == 6:
            tags.append(as_text(value))
        elif number == 7:
            facts.group = as_text(value)
        elif number == 12 and (when := as_timestamp(value)) is not None:
            facts.began = when.timestamp()
    facts.tags = tags or facts.tags


def _described(source: Source, run: str, facts: _SwanLabFacts, problems: list[Problem]) -> RunRecord:
    """Returns the run's record, from its records and the files beside them."""
    config = loaded_beside(source, _CONFIG, problems)
    about = loaded_beside(source, _ABOUT, problems)
    alive = max(facts.alive, facts.began)
    return RunRecord(
        run,
        name=facts.name,
        group=facts.group,
        status=facts.status or ("crashed" if 0 < alive < time.time() - GRACE else ""),
        created_at=as_time(facts.began),
        updated_at=as_time(facts.alive),
        tags=tuple(facts.tags),
        hyperparameters=unwrapped(config),
        metadata={**_machine(about), **facts.about},
        non_scalar=facts.non_scalar,
    )


def _machine(about: Mapping[str, Any]) -> dict[str, object]:
    """Returns the command, commit and machine in the metadata file."""
    of = {"command": ("runtime", "command"), "git_commit": ("git", "commit"), "host": ("runtime", "hostname")}
    found: dict[str, object] = {}
    for name, (part, key) in of.items():
        inner = about.get(part)
        value = cast("dict[str, object]", inner).get(key) if isinstance(inner, dict) else None
        if isinstance(value, str) and value:
            found[name] = value
    return found
