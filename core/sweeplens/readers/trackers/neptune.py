"""Reads the operations of Neptune's offline runs: one JSON object a line, until they are sent to the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["NeptuneOffline"]

_ASSIGNED = {"AssignString", "AssignFloat", "AssignInt", "AssignBool", "AssignDatetime"}
_OWN = ("sys", "monitoring", "source_code")
_Json = dict[str, Any]


class _NeptuneRun(Struct):
    """The operations of a run so far."""

    run: str
    points: PointBuffer = field(default_factory=PointBuffer)
    last: dict[str, int] = field(default_factory=dict[str, int])
    settings: _Json = field(default_factory=dict[str, Any])
    own: _Json = field(default_factory=dict[str, Any])
    final: _Json = field(default_factory=dict[str, Any])
    tags: list[str] = field(default_factory=list[str])
    counted: dict[str, int] = field(default_factory=dict[str, int])


class NeptuneOffline:
    """Runs with ``mode="offline"``, or not yet sent.

    Producer: Neptune (``neptune`` 0.x and 1.x)
    Files: ``data-<n>.log`` of operations in a folder of ``.neptune/offline/`` or ``.neptune/async/``
    Reads: every float series at its step with its time; assigned values below ``parameters`` as hyperparameters, other numbers as values at step 0; name, tags
    Leaves: hardware monitoring, console output, source code, files, which are counted
    """  # noqa: E501 - a line of docs/formats.md each

    name = "neptune_offline"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims the operations of a run."""
        names = [n for n in folder.free(".log") if n.startswith("data-") and folder.head(n).startswith(b'{"obj":')]
        if names:
            yield Claim(
                tuple(sorted(names, key=_number)), owns=("*",), belongs=("last_ack_version", "last_put_version")
            )

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all operations."""
        found = _NeptuneRun(source.relative)
        problems = ()
        for entry in source.files:
            lines = JsonLines(compression.line_pieces(entry.path), entry.path)
            for line in lines:
                if isinstance(line.value.get("obj"), dict):
                    _add(line.value["obj"], found)
            problems = (*problems, *lines.problems)
        return Reading((_record(found),), found.points.frame(), problems)


def _number(name: str) -> int:
    digits = name.removeprefix("data-").removesuffix(".log")
    return int(digits) if digits.isdigit() else 0


def _add(operation: _Json, found: _NeptuneRun) -> None:
    """Adds one operation."""
    kind, path = str(operation.get("type", "")), [str(p) for p in operation.get("path") or ()]
    name = "/".join(path)
    if kind == "LogFloats":
        if path[:1] != ["monitoring"]:
            _add_series(name, operation.get("values"), found)
    elif kind in _ASSIGNED:
        _assign(path, operation.get("value"), found)
    elif kind == "AddStrings" and name == "sys/tags":
        found.tags += [str(v) for v in operation.get("values") or ()]
    elif name and path[0] not in _OWN:
        found.counted[name] = found.counted.get(name, 0) + 1


def _add_series(name: str, values: object, found: _NeptuneRun) -> None:
    for entry in cast("list[_Json]", values) if isinstance(values, list) else ():
        value, said = as_number(entry.get("value")), as_step(entry.get("step"))
        if value is None:
            found.counted[name] = found.counted.get(name, 0) + 1
            continue
        step = found.last.get(name, -1) + 1 if said is None else said
        found.last[name] = step
        found.points.add(found.run, name, step, value, as_time(entry.get("ts")))


def _assign(path: list[str], value: object, found: _NeptuneRun) -> None:
    """Stores an assigned value: it is about the run, a hyperparameter, or a result."""
    if path[:1] == ["sys"]:
        found.own["/".join(path[1:])] = value
    elif path[:1] == ["monitoring"] or path[:1] == ["source_code"]:
        return
    elif len(path) > 1 and path[0].lower() in ("parameters", "params", "config", "hyperparameters", "hparams", "args"):
        found.settings["/".join(path[1:])] = value
    elif (number := as_number(value)) is not None and not isinstance(value, bool | str):
        found.final["/".join(path)] = number
    else:
        found.settings["/".join(path)] = value


def _record(found: _NeptuneRun) -> RunRecord:
    for name, value in found.final.items():
        found.points.add(found.run, name, 0, value)
    return RunRecord(
        found.run,
        name=str(found.own.get("name") or ""),
        created_at=as_time(found.own.get("creation_time")),
        tags=tuple(dict.fromkeys(found.tags)),
        hyperparameters=found.settings,
        metadata={k: v for k, v in found.own.items() if k in ("hostname", "custom_run_id", "description") and v},
        non_scalar=found.counted,
    )
