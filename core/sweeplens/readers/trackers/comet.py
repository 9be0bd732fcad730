"""Reads the archives of Comet's offline experiments: a zip file with ``experiment.json`` and one message a line."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.safe_open import open_buffered

__all__ = ["CometOffline"]

_ABOUT, _MESSAGES = "experiment.json", "messages.json"
_MOST_BYTES = 512 << 20  # of the unpacked messages
_MOST_LINE = 16 << 20
_AUTOMATIC = frozenset({"curr_step", "curr_epoch"})


class _Experiment(Struct):
    """What the messages said so far."""

    points: PointBuffer = field(default_factory=PointBuffer)
    settings: dict[str, object] = field(default_factory=dict[str, object])
    others: dict[str, object] = field(default_factory=dict[str, object])
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    last: dict[str, int] = field(default_factory=dict[str, int])  # metric -> its last step
    broken: int = 0


class CometOffline:
    """Archives of offline experiments.

    Producer: Comet (``OfflineExperiment``)
    Files: ``*.zip`` with ``experiment.json`` and ``messages.json``
    Reads: every metric at its step with its time, as ``<context>_<name>`` in a context (``train``); parameters; name, tags, other values; start and end
    Leaves: images, texts, histograms, system metrics, code, which are not scalars of the experiment
    """  # noqa: E501 - a line of docs/formats.md each

    name = "comet_offline"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims archives that begin with such a member."""
        for name in folder.free(".zip"):
            head = folder.head(name)
            if head.startswith(b"PK\x03\x04") and (_ABOUT.encode() in head[:200] or _MESSAGES.encode() in head[:200]):
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole archive: it is written once, when the experiment ends."""
        path, run = source.files[0].path, source.relative.removesuffix(".zip")
        found = _Experiment()
        try:
            with open_buffered(path) as stream, zipfile.ZipFile(stream) as archive:
                about = _about(archive)
                for line in _lines(archive):
                    _add_message(line, run, found)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
            raise FormatError(f"{path} is no archive of an offline experiment: {error}") from error
        problems = [Problem(path, f"{found.broken} messages cannot be read: left out")] if found.broken else []
        return Reading((_record(run, path, about, found),), found.points.frame(), tuple(problems))


def _about(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Returns the description of the experiment; {} where it is missing or damaged."""
    if _ABOUT not in archive.namelist() or archive.getinfo(_ABOUT).file_size > _MOST_LINE:
        return {}
    try:
        found = json.loads(archive.read(_ABOUT))
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _lines(archive: zipfile.ZipFile) -> Iterator[bytes]:
    if archive.getinfo(_MESSAGES).file_size > _MOST_BYTES:
        raise SourceLimitError(f"messages of more than {_MOST_BYTES >> 20} MB: not read")
    with archive.open(_MESSAGES) as stream:
        while line := stream.readline(_MOST_LINE):
            if line.strip():
                yield line


def _add_message(line: bytes, run: str, found: _Experiment) -> None:
    """Adds the content of one message."""
    try:
        message = cast("dict[str, Any]", decode(line))
        kind, payload = message["type"], message["payload"]
        if kind == "metric_msg":
            _metric(payload, run, found)
        elif kind == "parameter_msg":
            setting = payload["param"] if "param" in payload else payload["params"]  # the latter holds a list
            if setting["paramName"] not in _AUTOMATIC:
                _put(found.settings, str(setting["paramName"]).split("|"), setting["paramValue"])
        elif kind == "log_other":
            found.others[str(payload["key"])] = payload["value"]
    except (ValueError, TypeError, LookupError):
        found.broken += 1


def _metric(payload: dict[str, Any], run: str, found: _Experiment) -> None:
    metric = payload["metric"]
    context = payload.get("context")
    name = f"{context}_{metric['metricName']}" if context else str(metric["metricName"])
    value = as_number(metric["metricValue"])
    if value is None:
        found.non_scalar[name] = found.non_scalar.get(name, 0) + 1
        return
    said = as_step(metric.get("step"))
    step = found.last.get(name, -1) + 1 if said is None else said
    found.last[name] = step
    found.points.add(run, name, step, value, as_time(payload.get("local_timestamp")))


def _put(target: dict[str, object], keys: list[str], value: object) -> None:
    """Sets a value at a path of keys; where a part of it is a value already, under the joined name."""
    for key in keys[:-1]:
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            target["|".join(keys)] = value
            return
        target = cast("dict[str, object]", inner)
    target[keys[-1]] = value


def _record(run: str, path: str, about: dict[str, Any], found: _Experiment) -> RunRecord:
    """The run as its messages and the description tell it."""
    tags = about.get("tags")
    others = {k: v for k, v in found.others.items() if isinstance(v, str | int | float) and k not in ("Name",)}
    kept = {k: about[k] for k in ("project_name", "workspace", "offline_id") if about.get(k)}
    hidden = ("offline_experiment", "hasNestedParams")
    return RunRecord(
        run,
        status="failed" if about.get("customer_error_reported") else "finished" if about.get("stop_time") else "",
        name=str(found.others.get("Name") or PurePath(path).stem),
        created_at=as_time(about.get("start_time")),
        updated_at=as_time(about.get("stop_time")),
        tags=tuple(map(str, cast("list[object]", tags))) if isinstance(tags, list) else (),
        hyperparameters=found.settings,
        metadata={**kept, **{k: v for k, v in others.items() if k not in hidden}},
        non_scalar=found.non_scalar,
    )
