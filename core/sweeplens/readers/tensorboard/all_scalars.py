"""Reads ``all_scalars.json``: what tensorboardX's ``export_scalars_to_json`` writes, all scalars of a writer in one file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["AllScalars"]

_HEAD = re.compile(rb'^\s*\{\s*"[^"\\]+"\s*:\s*\[\s*\[\s*1\d{9}(?:\.\d+)?\s*,\s*-?\d+\s*,\s*(?:-?\d|NaN|-?Infinity)')


class AllScalars:
    """All scalars of a writer in one JSON file.

    Producer: tensorboardX ``SummaryWriter.export_scalars_to_json``
    Files: ``*.json`` of ``{tag: [[time, step, value], ...]}``; a config file beside it
    Reads: every value with its step and time under its tag, without the writer's folder
    Leaves: nothing
    """

    name = "all_scalars"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files that begin so; one beside event files of the same folder is a copy of them."""
        mine = [n for n in folder.free(".json") if _HEAD.match(folder.head(n))]
        config = config_files(folder) if mine else ()
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole file: its writer replaces it each time."""
        path, run = source.files[0].path, source.relative
        try:
            value = decode(compression.read_plain(path))
        except ValueError as error:
            raise FormatError(f"{path} is not complete JSON: {error}") from error
        points, non_scalar = PointBuffer(), dict[str, int]()
        for tag, rows in cast("dict[str, Any]", value if isinstance(value, dict) else {}).items():
            name = _below(tag, path)
            for row in cast("list[Any]", rows if isinstance(rows, list) else []):
                point = _point(row)
                if point is None:
                    non_scalar[name] = non_scalar.get(name, 0) + 1
                else:
                    points.add(run, name, point[1], point[2], as_time(point[0]))
        records, problems = described_by(source, [RunRecord(run, non_scalar=non_scalar)])
        return Reading(records, points.frame(), problems)


def _below(tag: str, path: str) -> str:
    """The tag without the writer's folder, which ``add_scalars`` puts before it: that is the folder of the file."""
    folder = path.replace("\\", "/").rsplit("/", 2)[-2]
    return tag.rpartition(f"{folder}/")[2] if tag.startswith(f"{folder}/") or f"/{folder}/" in tag else tag


def _point(row: object) -> tuple[object, int, float] | None:
    """The time, step and value of a row; None where it has another form."""
    if not isinstance(row, list) or len(cast("list[object]", row)) != 3:
        return None
    time, step, value = cast("list[object]", row)
    at, number = as_step(step), as_number(value)
    return None if at is None or number is None else (time, at, number)
