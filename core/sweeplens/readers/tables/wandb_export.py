"""Reads charts exported from W&B's web page: a column of steps, and each run's value, minimum and maximum."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import polars as pl

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.delimited.cells import TableHeader, header_of
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["WandbExport"]

_AXES = re.compile(
    r"_?step|(?:trainer/)?global_step|.*step|epoch|relative time.*|wall time|_?runtime|_?timestamp", re.IGNORECASE
)
_BOUND = re.compile(r"__M(?:IN|AX)$")
_BETWEEN = " - "


class WandbExport:
    """Charts exported from W&B as tables.

    Producer: W&B's web page, the export button of a chart
    Files: ``*.csv`` with a column of steps and the columns ``<run> - <metric>``, ``... __MIN``, ``... __MAX`` for each run
    Reads: the value of each run at its step; where the first column holds times or fractions, the row's position is the step
    Leaves: ``__MIN`` and ``__MAX``, which repeat the value unless the chart shows groups
    """

    name = "wandb_export"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims all files of a folder with the columns of a chart: each holds another metric of the same runs."""
        mine = [
            n for n in folder.free(".csv") if b"__MIN" in folder.head(n) and _columns(header_of(folder.head(n), ","))
        ]
        if mine:
            yield Claim(tuple(mine), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole files: an export does not grow. A chart that was exported twice is read once."""
        home = source.relative.rpartition("/")[0]
        names: dict[str, str] = {}
        frames: list[pl.DataFrame] = []
        problems: list[Problem] = []
        known: set[tuple[str, str]] = set()
        for entry in source.files:
            table, columns = _chart(entry.path)
            new = {c: (run, metric) for c, (run, metric) in columns.items() if (run, metric) not in known}
            known.update(new.values())
            ids = {run: f"{home}/{run}" if home else run for run, _ in columns.values()}
            names |= {run_id: run for run, run_id in ids.items()}
            frames.append(_named(table.points, {c: (ids[run], metric) for c, (run, metric) in new.items()}))
            problems += table.problems
        records = tuple(RunRecord(run_id, name=run) for run_id, run in names.items())
        return Reading(records, joined_points(frames), tuple(problems))


def _chart(path: str) -> tuple[TableReading, Mapping[str, tuple[str, str]]]:
    """Reads the values of a chart by column; also returns the run and metric of each column."""
    header = read_header(path, ",")
    columns = _columns(header)
    if header is None or not columns:
        raise FormatError(f"{path} is not a W&B chart any more")
    axis = header.names[0]
    leave = frozenset(header.names) - {axis, *columns}
    table = read_table(path, header, ColumnPlan(axis=axis, leave=leave), "")
    if table.is_fractional:
        table = read_table(path, header, ColumnPlan(leave=leave | {axis}), "")
    return table, columns


def _named(points: pl.DataFrame, columns: Mapping[str, tuple[str, str]]) -> pl.DataFrame:
    """Returns the points with the run and the metric of their column; other columns are left out."""
    schema = {"metric": pl.String, "run": pl.String, "name": pl.String}
    names_frame = pl.DataFrame([(column, *names) for column, names in columns.items()], schema=schema, orient="row")
    joined = points.join(names_frame, on="metric", how="inner", maintain_order="left")
    return joined.select(pl.col("run").alias("run_id"), pl.col("name").alias("metric"), "step", "value", "wall_time")


def _columns(header: TableHeader | None) -> Mapping[str, tuple[str, str]]:
    """Returns column -> run and metric; empty where the header is not that of a chart."""
    if header is None or not _AXES.fullmatch(header.names[0]):
        return {}
    values = [n for n in header.names[1:] if not _BOUND.search(n)]
    bounds = {n for n in header.names[1:] if _BOUND.search(n)}
    whole = values and all(_BETWEEN in n for n in values) and bounds >= {f"{values[0]}__MIN", f"{values[0]}__MAX"}
    if not whole or any(_BOUND.sub("", n) not in values for n in bounds):
        return {}
    split_names = {n: tuple(n.rsplit(_BETWEEN, 1)) for n in values}
    return {
        n: (run, metric)
        for n, (run, metric) in split_names.items()
        if not (metric.startswith("_") and _AXES.fullmatch(metric))
    }
