"""Reads tables of metrics from no particular tool: a header with an axis, and columns of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.axis_points import hides_values, placed_points, shares_steps
from sweeplens.readers.decoding.delimited.cells import TableHeader, header_of, sample
from sweeplens.readers.decoding.delimited.own_tables import is_own_table
from sweeplens.readers.decoding.delimited.plan import (
    are_splits,
    has_plain_name,
    is_split,
    log_plan,
    may_have_axis,
    may_lack_axis,
    split_of,
)
from sweeplens.readers.decoding.delimited.table import ColumnPlan, TableReading, read_header, read_table
from sweeplens.readers.decoding.fact_names import is_report_of_one_row
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.table_settings import may_hold_settings, settings_of
from sweeplens.readers.decoding.unread_columns import unread_columns
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import HEAD_BYTES, Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["CsvMetrics", "metrics_table", "table_plan", "without_reports"]

_SUFFIXES = (".csv", ".tsv", ".txt", ".log", ".out", ".dat", ".tab")
_WIDE = 50  # separators in a header that is longer than a head


class CsvMetrics:
    """Tables that training scripts write.

    Producer: ``csv.writer``, pandas, any loop that writes a table
    Files: ``*.csv``, ``*.tsv``, ``*.txt``, ``*.log``, ``*.out``, ``*.dat`` whose header, perhaps after a ``#``, names a step, an iteration or an epoch, or that are named like a history; a config file beside them
    Reads: every number at its step, or at its row where there is no step; a column of run names separates runs; a column of splits, files ``train*``, ``val*``, or one table each in ``train/``, ``val/``, give prefixes; times
    Leaves: text, which is counted by column (text that is the same in all rows of a run is read as a setting); tables that are data sets rather than logs
    """  # noqa: E501 - a line of docs/formats.md each

    name = "csv_metrics"
    version = 9

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files whose header and first rows are those of a log."""
        mine = [n for n in folder.free(*_SUFFIXES) if table_plan(n, _beginning(folder, n)) is not None]
        mine = without_reports(mine, folder)
        below = () if mine else _in_folders(folder)
        config = config_files(folder) if mine or below else ()
        if below or are_splits(mine):
            yield Claim((*mine, *below, *config))
            return
        plain = [n for n in mine if has_plain_name(n)]
        for name in mine:
            yield Claim((name, *config), is_folder=plain == [name])

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all rows; of a single plain file that grew, the new rows."""
        names = [source.files[0].path, *(f.path for f in source.files[1:] if _is_table(f.path))]
        if len(names) > 1:
            tables = [metrics_table(path, source.relative, None, prefix=f"{_split(path)}/") for path in names]
        else:
            tables = [metrics_table(names[0], source.relative, resume)]
        settings = {} if resume else {run: found for t in tables for run, found in settings_of(t).items()}
        points = joined_points(t.points for t in tables)
        non_scalar = {k: n for t in tables for k, n in t.non_scalar.items()}
        after = tables[0].resume if len(tables) == 1 else None
        runs = points["run_id"].unique(maintain_order=True).to_list()
        ids = runs or ([] if resume and resume.state.get("several") else [source.relative])
        records, broken = described_by(
            source, [RunRecord(run, hyperparameters=settings.get(run, {}), non_scalar=non_scalar) for run in ids]
        )
        unread = (p for path, t in zip(names, tables, strict=True) for p in unread_columns(path, t.examples))
        return Reading(records, points, (*(p for t in tables for p in t.problems), *unread, *broken), after)


def without_reports(names: list[str], folder: Folder) -> list[str]:
    """Returns the tables without those that report the results of a log beside them in one row."""
    logs = [n for n in names if has_plain_name(n) or not is_report_of_one_row(n, folder.head(n))]
    return logs if logs or folder.taken else names


def _is_table(path: str) -> bool:
    name = compression.plain_name(path).replace("\\", "/").rsplit("/", 1)[-1]
    return name.endswith(_SUFFIXES) and name not in SETTINGS_NAMES


def _in_folders(folder: Folder) -> tuple[str, ...]:
    """Returns the tables of one training in a folder for each split (``train/metrics.csv``, ``val/metrics.csv``), if it is so."""
    found: list[str] = []
    for split, child in sorted(folder.folders.items()):
        if not is_split(split):
            continue
        heads = ((n, folder.head(f"{split}/{n}")) for n in child.free(*_SUFFIXES) if n not in SETTINGS_NAMES)
        tables = [n for n, head in heads if table_plan(n, head) is not None]
        if len(tables) != 1:
            return ()
        found.append(f"{split}/{tables[0]}")
    return tuple(found) if len(found) > 1 else ()


def _split(path: str) -> str:
    """Returns the split that a file, or its folder, is named after."""
    parts = path.replace("\\", "/").split("/")
    return split_of(parts[-2]) if is_split(parts[-2]) else split_of(parts[-1])


def _beginning(folder: Folder, name: str) -> bytes:
    """The first bytes of a file; more of them where a header of very many columns is longer."""
    head = folder.head(name)
    is_cut = len(head) >= HEAD_BYTES and b"\n" not in head and any(head.count(s) > _WIDE for s in (b",", b"\t", b";"))
    return folder.sample(name) if is_cut and may_have_axis(head) else head


def table_plan(name: str, head: bytes) -> ColumnPlan | None:
    """Returns the roles of a table's columns by its first rows; by its header alone if it has none and is named like a log."""
    if is_own_table(head):
        return None
    history = may_lack_axis(name)
    header = header_of(head) if history or may_have_axis(head) else None
    if header is None or not (history or log_plan(header, [], name)):  # names alone rule out most files
        return None
    rows = sample(head, header)
    return log_plan(header, rows, name) if rows or has_plain_name(name) else None


def metrics_table(path: str, run: str, resume: Resume | None, prefix: str = "") -> TableReading:
    """Reads one table from its beginning, or the new rows after an earlier reading. Raises FormatError if it is none."""
    header = read_header(path)
    if header is None:
        raise FormatError(f"{path} has no header")
    head = compression.head(path, HEAD_BYTES)  # as in the claim, so the decision stays the same while the table grows
    plan = log_plan(header, sample(head, header) if header.start < len(head) else [], path)
    if plan is None:
        raise FormatError(f"{path} is not a table of metrics any more: it has no axis that goes forward")
    plan = replace(plan, prefix=prefix)
    table = read_table(path, header, plan, run, resume)
    if plan.axis and _is_doubtful(table):
        if resume is not None:
            raise FormatError(
                "the new rows do not continue from the earlier ones: the file is read again from its start"
            )
        return _read_by_position(path, header, plan, run)
    if any(label_of(n) for n in header.names) and not plan.axis:
        return _read_by_position(path, header, plan, run)
    if table.resume and table.resume.offset >= HEAD_BYTES and not _may_have_settings(plan, table, resume):
        table.resume = replace(table.resume, state={**table.resume.state, "several": bool(plan.run)})
    else:
        table.resume = None
    return table


def _may_have_settings(plan: ColumnPlan, table: TableReading, resume: Resume | None) -> bool:
    """Whether columns may be settings, which only all rows show. A table that is read further after a resume has none."""
    return bool(plan.about) or (resume is None and may_hold_settings(table.points, several=bool(plan.run)))


def _is_doubtful(table: TableReading) -> bool:
    """Whether the axis that was chosen from the first rows would hide values of later rows."""
    if table.is_fractional:
        return True
    return not table.rises and (hides_values(table.points) or shares_steps(table.points))


def _read_by_position(path: str, header: TableHeader, plan: ColumnPlan, run: str) -> TableReading:
    """Reads the table with steps found from all of its rows. Such a table is read again whole when it grows."""
    table = read_table(path, header, replace(plan, axis=""), run)
    names = {*header.names, *cast("list[str]", table.resume.state["order"] if table.resume else ())}
    table.points, _ = placed_points(table.points, sorted(names - {plan.time, plan.run, plan.split}))
    table.resume = None
    return table
