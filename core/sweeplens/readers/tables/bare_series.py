"""Tables without a header, one metric a file: ``0,1.5`` (step, value), or ``1,100,0.25`` (epoch, step, value).

The rule. Several files of a folder, or the files of a folder ``scalars/``, have only rows of the same two or three numbers, of
which the step is whole and never falls. The metric is the name of the file. A JSON file named after a measure
(``train_losses.json``) that holds one list of numbers is such a series too, at the places in the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import cast

import polars as pl

from sweeplens.counting import count_of
from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.settings_text import settings_in_text
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.values import PointBuffer, as_number, empty_reading_points, joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import (
    READING_SCHEMA,
    Claim,
    FileStat,
    Folder,
    Problem,
    Reading,
    Resume,
    RunRecord,
    Source,
)
from sweeplens.readers.text.names import COST, MEASURE

__all__ = ["BareSeries"]

_SCALARS, _TEXTS = "scalars", "texts"
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)"
_LIST = re.compile(
    rb"\s*\[\s*(?:(?:-?\d[\d.eE+-]*|NaN|-?Infinity|null)\s*,\s*){2}(?:-?\d[\d.eE+-]*|NaN|-?Infinity|null)\s*[,\]]"
)
_NAMED = b"epoch,step,"  # d3rlpy's tables of gradients have names of columns
_ROW = re.compile(rf"(?:(\d+),)?(\d+),{_NUMBER}", re.IGNORECASE)


class BareSeries:
    """Series without names: tables of two or three numbers a row, lists of numbers.

    Producer: TorchRL's ``CSVLogger``, d3rlpy's file adapter, ``json.dump(losses, file)``
    Files: ``scalars/**/<metric>.csv`` of ``step,value``; several ``<metric>.csv`` of ``epoch,step,value`` in one folder, and tables ``epoch,step,min,max,...`` of gradients beside them; ``<measure>.json`` with a list of numbers; a config beside them, ``texts/hparams*.txt``
    Reads: every value at its step, or at its place in a list, under the name of its file, of a table of gradients as ``<file>/<column>``
    Leaves: the epoch, which the step counts more finely
    """  # noqa: E501 - a line of docs/formats.md each

    name = "bare_series"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims the tables of a folder as one run."""
        below = folder.folders.get(_SCALARS)
        if below is not None:
            paths = [f"{_SCALARS}/{p}" for p, _ in below.tree() if p.endswith(".csv")]
            mine = [p for p in sorted(paths) if _columns(folder.head(p))]
            if mine:
                texts = [f"{_TEXTS}/{n}" for n in _texts_of(folder)]
                yield Claim((*mine, *texts, *config_files(folder)), owns=(_SCALARS,))
            return
        names = [n for n in folder.free(".csv") if n not in SETTINGS_NAMES]
        mine = [n for n in names if _columns(folder.head(n)) == 3]
        lists = [
            n
            for n in folder.free(".json")
            if n not in SETTINGS_NAMES and _is_measure(n) and _LIST.match(folder.head(n))
        ]
        if len(mine) > 1 or lists:
            tables = mine if len(mine) > 1 else []
            named = [n for n in names if folder.head(n).startswith(_NAMED)] if tables else []
            yield Claim((*tables, *named, *lists, *config_files(folder)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every table whole."""
        tables = [f for f in source.files if f.path.endswith(".csv")]
        lists = [f for f in source.files if plain_name(f.path).endswith(".json") and _is_measure(f.path)]
        problems: list[Problem] = []
        frames = [_read(f, source.relative, problems) for f in tables]
        frames += [_read_list(f, source.relative, problems) for f in lists]
        settings: dict[str, object] = {}
        for entry in source.files:
            if entry.path.replace("\\", "/").rsplit("/", 2)[-2:-1] == [_TEXTS]:
                settings |= settings_in_text(compression.read_config_text(entry.path))
        runs, broken = described_by(source, [RunRecord(source.relative, hyperparameters=settings)])
        return Reading(runs, joined_points(frames), (*problems, *broken))


def _texts_of(folder: Folder) -> Iterator[str]:
    texts = folder.folders.get(_TEXTS)
    return (n for n in sorted(texts.files) if n.startswith("hparams")) if texts is not None else iter(())


def _columns(head: bytes) -> int:
    """Returns how many numbers each row has; 0 where a table is another one."""
    lines = head.decode("utf-8", "replace").split("\n")
    whole = [line.strip() for line in (lines[:-1] or lines) if line.strip()]
    found = [_ROW.fullmatch(line) for line in whole]
    if not found or None in found or len({m[1] is None for m in found if m}) != 1:
        return 0
    steps = [int(m[2]) for m in found if m]
    return (2 if found[0] is None or found[0][1] is None else 3) if steps == sorted(steps) else 0


def _is_measure(name: str) -> bool:
    """Whether a file is named after a measure: ``val_acc.json``, not ``eval_times.json``."""
    stem = PurePath(plain_name(name)).stem.replace("losses", "loss")
    return bool(MEASURE.search(stem)) and not COST.search(stem)


def _read_list(entry: FileStat, run: str, problems: list[Problem]) -> pl.DataFrame:
    """Returns the points of a list of numbers; other values in it are a problem."""
    values = decode(compression.read_plain(entry.path))
    if not isinstance(values, list):
        raise FormatError(f"{entry.path} is no list of numbers any more")
    points, lost = PointBuffer(), 0
    for step, value in enumerate(cast("list[object]", values)):
        number = as_number(value)
        if number is not None:
            points.add(run, PurePath(plain_name(entry.path)).stem, step, number)
        else:
            lost += value is not None
    if lost:
        problems.append(Problem(entry.path, f"{lost} values in the list are not numbers: left out"))
    return points.frame()


def _metric(path: str) -> str:
    """Returns the name of a series: its path below ``scalars/``, or the name of its file."""
    plain = path.replace("\\", "/")
    below = plain.rpartition(f"/{_SCALARS}/")[2] if f"/{_SCALARS}/" in plain else PurePath(plain).name
    return below.removesuffix(".csv")


def _read(entry: FileStat, run: str, problems: list[Problem]) -> pl.DataFrame:
    """Returns the points of one table, with or without names of columns."""
    data = compression.read_plain(entry.path)
    if not data.startswith(_NAMED):
        return _read_rows(entry, data, run, problems)
    plan = ColumnPlan("step", prefix=f"{_metric(entry.path)}/", leave=frozenset({"epoch"}))
    header = read_header(entry.path, ",")
    table = read_table(entry.path, header, plan, run) if header is not None else TableReading()
    problems += table.problems
    return table.points


def _read_rows(entry: FileStat, data: bytes, run: str, problems: list[Problem]) -> pl.DataFrame:
    """Returns the points of a table without names; a row that is no such row is a problem, an unfinished last one waits."""
    whole = data[: data.rfind(b"\n") + 1].decode("utf-8", "replace")
    if len(whole) < len(data):
        problems.append(Problem(entry.path, "the last row has no newline: it is read when it is complete", kind="torn"))
    lines = pl.Series("row", whole.split("\n"), dtype=pl.String).str.strip_chars()
    rows = pl.DataFrame({"row": lines, "line": pl.int_range(1, len(lines) + 1, eager=True)}).filter(pl.col("row") != "")
    good = rows.filter(pl.col("row").str.contains(rf"(?i)^(?:\d+,)?\d+,{_NUMBER}$"))
    bad = rows.filter(~pl.col("row").is_in(good["row"].implode()))
    if bad.height:
        text = f"{count_of(bad.height, 'row')} without a step and a value: left out"
        problems.append(Problem(entry.path, text, line=bad["line"][0]))
    if good.is_empty():
        return empty_reading_points()
    cells = good["row"].str.split(",")
    return pl.DataFrame(
        {
            "run_id": pl.repeat(run, good.height, dtype=pl.String, eager=True),
            "metric": pl.repeat(_metric(entry.path), good.height, dtype=pl.String, eager=True),
            "step": cells.list.get(-2).cast(pl.Int64, strict=False).fill_null(0),
            "value": cells.list.get(-1).str.to_lowercase().cast(pl.Float64, strict=False),
            "wall_time": pl.repeat(None, good.height, dtype=READING_SCHEMA["wall_time"], eager=True),
        }
    ).filter(pl.col("value").is_not_null())
