"""Reads series saved with TensorBoard's download button: `run-<run>-tag-<tag>.csv`, or the same as `.json`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import cast

import polars as pl

from sweeplens.counting import count_of
from sweeplens.errors import FormatError
from sweeplens.readers.decoding.compression import plain_name, read_plain
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time, joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["TensorBoardExport"]

_NAMES = ("Wall time", "Step", "Value")
_LIST = re.compile(
    rb"\s*\[\s*\[\s*1\d{9}(?:\.\d+)?\s*,\s*\d+(?:\.0)?\s*,\s*(?:-?\d|NaN|-?Infinity|\"(?:NaN|-?Infinity)\")"
)


class TensorBoardExport:
    """Downloaded series.

    Producer: TensorBoard's download button
    Files: ``run-<run>-tag-<tag>.csv`` with the columns ``Wall time``, ``Step``, ``Value``, or ``.json`` with a list of such rows; a config file beside them
    Reads: the files of one run as its series, each named by the tag in the file's name; times
    Leaves: a ``.json`` beside the ``.csv`` of the same series, which is a copy
    """  # noqa: E501 - a line of docs/formats.md each

    name = "tensorboard_export"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims the files of each run; a renamed file is a separate run."""
        runs: dict[str, list[str]] = {}
        for name in folder.free(".csv"):
            if b"Wall time" in folder.head(name)[:40] and _is_export(folder.head(name)):
                runs.setdefault(_parts(name)[0] or name, []).append(name)
        copies: dict[str, list[str]] = {}
        for name in folder.free(".json"):
            if _LIST.match(folder.head(name)):
                run = _parts(name)[0] or name
                known = {_parts(n) for n in runs.get(run, ())}
                (copies if _parts(name) in known else runs).setdefault(run, []).append(name)
        config = config_files(folder) if runs else ()
        for run, files in runs.items():
            yield Claim((*files, *config), copies=tuple(copies.get(run, ())), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every file whole: a download does not grow."""
        files = [source.files[0].path, *(f.path for f in source.files[1:] if _parts(f.path)[0])]
        run = _parts(files[0])[0]
        home = source.relative.rpartition("/")[0]
        run_id = (f"{home}/{run}" if home else run) if run else source.relative
        tables = [_series(path, run_id) for path in files]
        records, broken = described_by(source, [RunRecord(run_id, name=run)])
        problems = (p for t in tables for p in t.problems)
        return Reading(records, joined_points(t.points for t in tables), (*problems, *broken))


def _is_export(head: bytes) -> bool:
    header = header_of(head, ",")
    return header is not None and header.names == _NAMES


def _parts(path: str) -> tuple[str, str]:
    """Returns the run and the tag in a file's name; "" and the whole name of a renamed file."""
    stem = PurePath(plain_name(path)).stem
    run, mark, tag = stem.removeprefix("run-").partition("-tag-")
    return (run, tag) if mark and stem.startswith("run-") else ("", stem)


def _series(path: str, run_id: str) -> TableReading:
    if plain_name(path).endswith(".json"):
        return _from_list(path, run_id)
    header = read_header(path, ",")
    if header is None or header.names != _NAMES:
        return TableReading()
    table = read_table(path, header, ColumnPlan(axis="Step", time="Wall time"), run_id)
    table.points = table.points.with_columns(pl.lit(_parts(path)[1]).alias("metric"))
    return table


def _from_list(path: str, run_id: str) -> TableReading:
    """Reads a JSON list of rows: wall time, step and value."""
    try:
        rows = cast("list[object]", decode(read_plain(path)))
    except ValueError as error:
        raise FormatError(f"{path} is not complete JSON: {error}") from error
    points = PointBuffer()
    for row in rows:
        wall, step, value = (
            cast("list[object]", row) if isinstance(row, list) and len(cast("list[object]", row)) == 3 else (None,) * 3
        )
        at, number = as_step(step), as_number(value)
        if at is not None and number is not None:
            points.add(run_id, _parts(path)[1], at, number, as_time(wall))
    lost = len(rows) - len(points)
    return TableReading(
        points.frame(),
        problems=[Problem(path, f"{count_of(lost, 'row')} without a time, a step and a number")] if lost else [],
    )
