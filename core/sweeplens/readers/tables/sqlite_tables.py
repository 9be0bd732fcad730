"""Reads tables of metrics in SQLite databases that training scripts write, by the rules of rows of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import polars as pl
from msgspec.structs import replace

from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.sqlite import SqliteDatabase, databases_where, read_database
from sweeplens.readers.decoding.values import as_number, joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["SqliteTables"]

_COLUMN = re.compile(rb"[\"'`\[]?(\w+)[\"'`\]]?\s+(?:INT|REAL|NUM|FLOAT|DOUBLE|BIGINT|SMALLINT|DECIMAL)", re.IGNORECASE)
_VALUE = re.compile(
    r"(?i)loss|acc(?:uracy)?(?:$|_)|reward|return|^metric|^value$|score|error|rmse|mae|auc|bleu|perplexity|ppl|^lr$|learning_rate"
)
_OWN = ("sqlite_", "alembic_", "django_", "auth_")
_MOST_ROWS = 2_000_000
_MOST_TABLES = 16
_CHECKED = 200  # rows that tell which columns hold numbers


class SqliteTables:
    """Tables of metrics in databases of one's own.

    Producer: ``sqlite3``, pandas ``to_sql``, SQLAlchemy in any training loop
    Files: ``*.db``, ``*.sqlite``, ``*.sqlite3`` with a table that has a column of steps (``step``, ``epoch``, ``iteration``) and columns of numbers named like metrics, or ``value``; a config file beside it
    Reads: rows as in ``json_steps``, in the order in which they were inserted: wide tables, tables of one value a row, run columns, splits, times; further tables as ``<file>/<table>``
    Leaves: text, which is counted by name; other tables, views, computed columns
    """  # noqa: E501 - a line of docs/formats.md each

    name = "sqlite_tables"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims databases with such a table."""
        found = list(databases_where(folder, lambda schema: any(map(_may_be_log, schema.values()))))
        config = config_files(folder) if found else ()
        for claim in found:
            yield replace(claim, files=(*claim.files, *config))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every such table whole."""
        return read_database(source.files[0].path, lambda database: _extract(database, source))


def _may_be_log(text: bytes) -> bool:
    """Whether the columns of a CREATE statement are those of a log."""
    names = [name.decode("ascii", "replace") for name in _COLUMN.findall(text.partition(b"CREATE")[0][:2000])]
    return any(map(label_of, names)) and any(_VALUE.search(n) for n in names if not label_of(n))


def _extract(database: SqliteDatabase, source: Source) -> Reading:
    tables = [t for t in _tables(database) if _is_log(database, t)][:_MOST_TABLES]
    records: list[RunRecord] = []
    frames: list[pl.DataFrame] = []
    for table in tables:
        run = source.relative if table == tables[0] else f"{source.relative}/{table}"
        reader = RowReader(run)
        for row in _rows(database, table):
            reader.add(row)
        records += reader.records()
        frames.append(reader.frame())
    problems = list(database.problems)
    if not tables:
        problems.append(Problem(database.path, "its tables count no steps: not read as logs", kind="warning"))
    runs, broken = described_by(source, records)
    return Reading(runs, joined_points(frames), (*problems, *broken))


def _tables(database: SqliteDatabase) -> list[str]:
    rows = database.rows("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    return [str(name) for name, sql in rows if sql and not str(name).startswith(_OWN)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _names(database: SqliteDatabase, table: str) -> list[str]:
    return [str(row[1]) for row in database.rows(f"PRAGMA table_info({_quoted(table)})")]


def _is_log(database: SqliteDatabase, table: str) -> bool:
    """Whether a table has a column of steps and one of a measure, which hold numbers."""
    names = _names(database, table)
    rows = list(database.rows(f"SELECT * FROM {_quoted(table)} LIMIT {_CHECKED}"))
    numbers = {n for at, n in enumerate(names) if any(as_number(row[at]) is not None for row in rows)}
    return len(rows) > 1 and any(map(label_of, numbers)) and any(_VALUE.search(n) for n in numbers if not label_of(n))


def _rows(database: SqliteDatabase, table: str) -> Iterable[dict[str, Any]]:
    """Yields the rows without their empty cells, and without the key that counts them."""
    names = _names(database, table)
    left = {"id", "rowid", "index", "level_0"}
    for row in database.rows(f"SELECT * FROM {_quoted(table)} LIMIT {_MOST_ROWS}"):
        yield {n: v for n, v in zip(names, row, strict=True) if v is not None and n.lower() not in left}
