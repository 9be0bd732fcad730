"""Reads VisualDL's logs: records of a length (8 bytes) and a protobuf message, without checksums."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.protobuf import WireError, as_double, as_float, as_signed, as_text, fields
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import PointBuffer, as_time
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["VisualDL"]

_NAME = re.compile(r"vdlrecords\.\d+.*\.log")
_HEAD = 8
_STEP, _TAG, _TIME, _VALUE, _HPARAM, _TAG_VALUE = 1, 2, 3, 4, 13, 14
_META = "meta_data_tag"  # holds the name that the page shows
_Message = dict[int, list[int | bytes]]


class VisualDL:
    """Logs of ``LogWriter``.

    Producer: VisualDL (PaddlePaddle)
    Files: ``vdlrecords.<time>.log``, perhaps several in a folder, in the order of their times; a config file beside them
    Reads: scalars with step and time, those of ``add_scalars`` as ``<group>/<name>``; hyperparameters of ``add_hparams``
    Leaves: images, audio, histograms, text and curves, which are counted by tag
    """

    name = "visualdl"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims all records of a folder: they are one run."""
        names = [n for n in folder.files if n not in folder.taken and _NAME.fullmatch(n)]
        if names:
            yield Claim((*sorted(names), *config_files(folder)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every file whole."""
        points, counted, settings = PointBuffer(), dict[str, int](), dict[str, object]()
        problems: list[Problem] = []
        for entry in source.files:
            if _NAME.fullmatch(entry.path.replace("\\", "/").rsplit("/", 1)[-1]):
                problems += _read_file(entry.path, source.relative, points, counted, settings)
        record = RunRecord(source.relative, hyperparameters=settings, non_scalar=counted)
        runs, broken = described_by(source, [record])
        return Reading(runs, points.frame(), (*problems, *broken))


def _read_file(
    path: str, run: str, points: PointBuffer, counted: dict[str, int], settings: dict[str, object]
) -> Iterable[Problem]:
    data = compression.read_plain(path)
    at = 0
    while at + _HEAD <= len(data):
        end = at + _HEAD + int.from_bytes(data[at : at + _HEAD], "little")
        if end > len(data):
            break
        try:
            for number, value in fields(data[at + _HEAD : end]):
                if number == 1 and isinstance(value, bytes):
                    _add(_message(value), run, points, counted, settings)
        except WireError as error:
            return [Problem(path, f"damaged at byte {at}: {error}; what follows is not read")]
        at = end
    if at == len(data):
        return []
    return [Problem(path, "the last record is incomplete: it is read when it is complete", kind="torn")]


def _message(data: bytes) -> _Message:
    found: _Message = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def _add(value: _Message, run: str, points: PointBuffer, counted: dict[str, int], settings: dict[str, object]) -> None:
    """Adds one value of a record."""
    tag = as_text(value[_TAG][-1]) if _TAG in value else ""
    if _HPARAM in value:
        settings.update(_settings(cast("bytes", value[_HPARAM][-1])))
    elif _VALUE in value or _TAG_VALUE in value:
        step = as_signed(value[_STEP][-1]) if _STEP in value else 0
        time = as_time(as_signed(value[_TIME][-1]) / 1000) if _TIME in value else None
        name, number = (tag, value[_VALUE][-1]) if _VALUE in value else _one_of_group(tag, value[_TAG_VALUE][-1])
        points.add(run, name, step, as_float(number), time)
    elif tag and tag != _META:
        counted[tag] = counted.get(tag, 0) + 1


def _one_of_group(tag: str, data: int | bytes) -> tuple[str, int | bytes]:
    """Returns the name and the number of one value of ``add_scalars``; the number 0 is not written."""
    parts = _message(cast("bytes", data))
    own = as_text(parts[1][-1]) if 1 in parts else ""
    return f"{tag}/{own}", parts[2][-1] if 2 in parts else 0


def _settings(data: bytes) -> dict[str, object]:
    """Returns the hyperparameters of a message: each is a whole number, a number or a text, with a name."""
    found: dict[str, object] = {}
    for number, entry in fields(data):
        if number != 1 or not isinstance(entry, bytes):
            continue
        parts = dict(fields(entry))
        name = as_text(parts.get(4, b""))
        if 1 in parts:
            found[name] = as_signed(parts[1])
        elif 2 in parts:
            found[name] = as_double(parts[2])
        elif 3 in parts:
            found[name] = as_text(parts[3])
    return found
