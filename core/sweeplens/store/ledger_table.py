"""The ledger as a table: what any engine may want to know of a source in columns, the whole entry packed beside it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.store.ledger import Entry
from sweeplens.store.pack import pack_entry

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


def ledger_rows(entries: Sequence[Entry]) -> pl.DataFrame:
    """One row for each entry; made by column, in half of the time that rows take."""
    columns: dict[str, list[object]] = {
        "reader": [e.source.reader for e in entries],
        "reader_version": [e.version for e in entries],
        "path": [e.source.path for e in entries],
        "bytes_read": [_bytes_read(e) for e in entries],
        "wanted": [[r.id for r in e.records] for e in entries],
        "run_ids": [list(e.ids) for e in entries],
        "problems": [len(e.problems) for e in entries],
        "entry": [pack_entry(e) for e in entries],
    }
    known = pl.DataFrame(columns, schema={name: LEDGER_SCHEMA[name] for name in columns})
    return known.with_columns(_files(entries)).select(*LEDGER_SCHEMA)


def _files(entries: Sequence[Entry]) -> pl.Series:
    """The files of each source, as the walk saw them."""
    flat = [(i, f.path, f.size, f.mtime_ns, str(f.inode)) for i, e in enumerate(entries) for f in e.source.files]
    table = pl.DataFrame(flat, schema={"entry": pl.Int64(), **_FILE}, orient="row")
    grouped = table.group_by("entry", maintain_order=True).agg(pl.struct(*_FILE).alias("files"))
    every = pl.DataFrame({"entry": range(len(entries))}, schema={"entry": pl.Int64()})
    files = every.join(grouped, on="entry", how="left", maintain_order="left")["files"]
    return files.fill_null(pl.Series([[]], dtype=LEDGER_SCHEMA["files"])) if files.null_count() else files


def _bytes_read(entry: Entry) -> int:
    return sum(m.offset for m in entry.marks.values()) or sum(f.size for f in entry.source.files)
