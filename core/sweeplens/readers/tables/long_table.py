"""Reads tables with a metric's name and one value in each row: ``step, metric, value``, ``run, tag, step, value``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.axis_names import folded, label_of, rank_of
from sweeplens.readers.decoding.axis_points import hides_values
from sweeplens.readers.decoding.delimited.cells import TableHeader, cell_number, header_of, sample
from sweeplens.readers.decoding.delimited.own_tables import is_own_table
from sweeplens.readers.decoding.delimited.plan import has_plain_name
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.row_keys import RUN_KEYS, TIME_KEYS
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import as_time
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import HEAD_BYTES, Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["LongTable"]

_SUFFIXES = (".csv", ".tsv", ".txt", ".log")
_NAMES = ("metric", "metric_name", "metrics", "tag", "name", "key", "variable", "measure", "scalar")
_VALUES = ("value", "val", "metric_value", "y", "score", "scalar_value")
_RUNS = (*RUN_KEYS, "run_name", "runid", "experiment", "exp", "trial")
_TIMES = (*TIME_KEYS, "wall_time", "walltime")


class LongTable:
    """Tables with one value in each row.

    Producer: ``tbparse``, pandas ``melt``, database exports, hand-written loops
    Files: ``*.csv``, ``*.tsv``, ``*.txt``, ``*.log`` with a column of metric names, one of values and one of steps; a config file beside them
    Reads: every value at its step, under its name; a column of run names separates runs; times
    Leaves: other columns
    """  # noqa: E501 - a line of docs/formats.md each

    name = "long_table"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files whose header has these columns, with values of the right kind in the first rows."""
        mine = [n for n in folder.free(*_SUFFIXES) if _plan(folder.head(n)) is not None]
        config = config_files(folder) if mine else ()
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1 and has_plain_name(name))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole table: new rows may be anywhere in it."""
        path = source.files[0].path
        header, plan = read_header(path), _plan(compression.head(path, HEAD_BYTES))
        if header is None or plan is None:
            raise FormatError(f"{path} is not a table of metrics and values any more")
        table = _table(path, header, plan, source.relative)
        found = table.points["run_id"].unique(maintain_order=True).to_list() or [source.relative]
        records, broken = described_by(source, [RunRecord(run) for run in found])
        return Reading(records, table.points, (*table.problems, *broken))


def _table(path: str, header: TableHeader, plan: ColumnPlan, run: str) -> TableReading:
    """Reads the points, named by metric. Where steps would hide values, each metric's values are counted instead."""
    value = next(
        n for n in header.names if n and n not in plan.leave and n not in (plan.axis, plan.time, plan.run, plan.split)
    )
    table = read_table(path, header, plan, run)
    key = ["run_id", "metric"]
    named = pl.col("metric").str.strip_suffix(f"/{value}")
    points = table.points.with_columns(named.alias("metric"))
    if plan.axis and (table.is_fractional or _has_constant_steps(points)) and hides_values(points):
        points = points.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over(key).alias("step"))
    table.points = points
    return table


def _has_constant_steps(points: pl.DataFrame) -> bool:
    """Whether every metric has only one step."""
    return points.group_by("run_id", "metric").agg(pl.col("step").n_unique().alias("n"))["n"].max() == 1


def _plan(head: bytes) -> ColumnPlan | None:
    """Returns the roles of the columns; None where the table does not hold metric names and values."""
    header = header_of(head) if b"al" in head and not is_own_table(head) else None
    if header is None:
        return None
    rows = sample(head, header)
    plain = {n: folded(n) for n in header.names if n}
    name = _first(plain, _NAMES, rows, header, numbers=False)
    value = _first({n: p for n, p in plain.items() if n != name}, _VALUES, rows, header, numbers=True)
    axes = sorted(
        (n for n in plain if label_of(n) and _are_numbers(n, rows, header)), key=lambda n: rank_of(label_of(n))
    )
    if not rows or not name or not value or not axes:
        return None
    run = next(
        (n for n, p in plain.items() if p in _RUNS and n not in (name, value, axes[0]) and all(n in r for r in rows)),
        "",
    )
    time = next(
        (n for n, p in plain.items() if p in _TIMES and any(as_time(r.get(n)) or _is_time(r.get(n, "")) for r in rows)),
        "",
    )
    leave = frozenset(header.names) - {name, value, axes[0], run, time}
    return ColumnPlan(axis=axes[0], time=time, run=run, split=name, leave=leave)


def _first(
    plain: Mapping[str, str],
    words: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    header: TableHeader,
    *,
    numbers: bool,
) -> str:
    """Returns the first column with one of these names whose cells all are numbers, or all are not."""
    fits = [n for w in words for n, p in plain.items() if p == w and _are_numbers(n, rows, header) == numbers]
    return next((n for n in fits if all(n in r for r in rows) or numbers), "")


def _are_numbers(column: str, rows: Sequence[Mapping[str, str]], header: TableHeader) -> bool:
    cells = [r[column] for r in rows if column in r]
    return bool(cells) and all(cell_number(c, header.separator) is not None for c in cells)


def _is_time(cell: str) -> bool:
    value = cell_number(cell, "")
    return value is not None and as_time(value) is not None
