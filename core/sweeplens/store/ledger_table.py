"""The ledger as a table: main facts about each source in columns for any engine, and the whole entry encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.plain_data import plain_text
from sweeplens.store.ledger import SourceEntry
from sweeplens.store.serialization import pack_entry

__all__ = ["LEDGER_SCHEMA", "ledger_rows"]

_FILE = {"path": pl.String(), "size": pl.Int64(), "mtime_ns": pl.Int64(), "inode": pl.String()}
LEDGER_SCHEMA = pl.Schema(
    {
        "reader": pl.String(),
        "reader_version": pl.Int64(),
        "path": pl.String(),
        "files": pl.List(pl.Struct(_FILE)),
        "bytes_read": pl.Int64(),
        "wanted": pl.List(pl.String()),
        "run_ids": pl.List(pl.String()),
        "problems": pl.Int64(),
        "entry": pl.Binary(),
    }
)


def ledger_rows(entries: Sequence[SourceEntry]) -> pl.DataFrame:
    """Returns one row per entry. The table is built by column, which takes half the time of rows."""
    columns: dict[str, list[object]] = {
        "reader": [e.source.reader for e in entries],
        "reader_version": [e.version for e in entries],
        "path": [e.key[1] for e in entries],
        "bytes_read": [_bytes_read(e) for e in entries],
        "problems": [len(e.problems) for e in entries],
        "entry": [pack_entry(e) for e in entries],
    }
    known = pl.DataFrame(columns, schema={name: LEDGER_SCHEMA[name] for name in columns})
    files = [[(plain_text(f.path), f.size, f.mtime_ns, str(f.inode)) for f in e.source.files] for e in entries]
    lists = (
        _lists("wanted", [[(r.id,) for r in e.records] for e in entries], {"wanted": pl.String()}),
        _lists("run_ids", [[(i,) for i in e.ids] for e in entries], {"run_ids": pl.String()}),
        _lists("files", files, _FILE),
    )
    return known.with_columns(lists).select(*LEDGER_SCHEMA)


def _lists(name: str, rows: Sequence[Sequence[tuple[object, ...]]], schema: Mapping[str, pl.DataType]) -> pl.Series:
    """Returns a column of lists of rows. It is built flat and then grouped, as one series per list is slow."""
    flat = [(i, *row) for i, some in enumerate(rows) for row in some]
    table = pl.DataFrame(flat, schema={"": pl.Int64(), **schema}, orient="row")
    value = pl.struct(*schema) if len(schema) > 1 else pl.col(*schema)
    grouped = table.group_by("", maintain_order=True).agg(value.alias(name))
    every = pl.DataFrame({"": range(len(rows))}, schema={"": pl.Int64()})
    lists = every.join(grouped, on="", how="left", maintain_order="left")[name]
    return lists.fill_null(pl.Series([[]], dtype=lists.dtype)) if lists.null_count() else lists


def _bytes_read(entry: SourceEntry) -> int:
    return sum(m.offset for m in entry.marks.values()) or sum(f.size for f in entry.source.files)
