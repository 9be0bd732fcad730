"""Lists the files below the roots, with the reader and the run that each belongs to, and loads their texts, both within limits.

    list_files(roots, runs, sources)   -> `FileList`: a frame with one row a file, without texts
    with_texts(files, wanted, mask)    -> the frame with the column ``text``
    lines_of(frame)                    -> one row for each line of those texts

Files are found by the walk's rules and opened by `safe_open`: nothing outside of the roots is reached.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import polars as pl
from msgspec import Struct

from sweeplens.cancellation import checkpoint
from sweeplens.errors import RefusedFileError
from sweeplens.plain_data import plain_text
from sweeplens.readers.protocol import FileStat, Problem, Source
from sweeplens.safe_open import confined, open_file
from sweeplens.sources.walk import WalkLimit, walk
from sweeplens.sql.file_kinds import holds_text, is_printed, is_table_name, kind_of

__all__ = [
    "FILES_SCHEMA",
    "LINES_SCHEMA",
    "FileList",
    "FileRoot",
    "beginning_and_end",
    "lines_of",
    "list_files",
    "with_texts",
]

FILES_SCHEMA: dict[str, pl.DataType] = {
    "path": pl.String(), "root": pl.String(), "kind": pl.String(), "bytes": pl.Int64(), "modified": pl.Datetime("us", "UTC"),
    "read_by": pl.String(), "run_id": pl.String(), "text": pl.String(),
}  # fmt: skip
LINES_SCHEMA: dict[str, pl.DataType] = {
    "path": pl.String(),
    "run_id": pl.String(),
    "line": pl.Int64(),
    "text": pl.String(),
}
_MOST_FILES, _LIST_SECONDS = 100_000, 5.0
_TEXT_BYTES = 64 << 10  # of one file
_ALL_TEXTS, _TEXT_SECONDS = 48 << 20, 10.0
_ORDER = {kind: i for i, kind in enumerate(("notes", "output", "result", "table", "config", "script", "log"))}
_MOST_LINES = 1_000_000
_HIDDEN = "***"
Mask = Callable[[str], str]


class FileRoot(Struct, frozen=True):
    """A root: its folder, and the name under which answers show it."""

    path: str
    name: str


class FileList(Struct, frozen=True):
    """The files below the roots: a frame as `FILES_SCHEMA` without text, and their absolute paths in the same order."""

    frame: pl.DataFrame
    paths: tuple[str, ...]
    roots: tuple[str, ...]
    cut: bool = False  # whether there are more files than a list may have
    unread: tuple[str, ...] = ()  # why roots have no files: they are gone, or something else now


def list_files(roots: Sequence[FileRoot], runs: pl.DataFrame, sources: Sequence[Source]) -> FileList:
    """Returns the files below the roots in the order of the walk. ``runs``: run_id, source and format of every run."""
    limit = WalkLimit(_MOST_FILES, time.monotonic() + _LIST_SECONDS)
    readers, owners = _readers(runs, sources), _owners(runs, sources)
    rows: list[dict[str, Any]] = []
    paths: list[str] = []
    unread: list[str] = []
    for root in roots:
        problems: list[Problem] = []
        for relative, entry in walk(Path(root.path), problems, limit).tree():
            rows.append(_row(root, relative, entry, readers.get(entry.path, ""), owners))
            paths.append(entry.path)
        unread += [f"files of the root {root.name}: {p.reason}" for p in problems if p.file == plain_text(root.path)]
    frame = pl.DataFrame(rows, schema=FILES_SCHEMA)
    return FileList(frame, tuple(paths), tuple(r.path for r in roots), limit.cut, tuple(unread))


def _row(root: FileRoot, relative: str, entry: FileStat, reader: str, owners: Mapping[str, str]) -> dict[str, Any]:
    modified = datetime.fromtimestamp(max(0, min(entry.mtime_ns, 4 * 10**18)) / 1e9, UTC)
    return {
        "path": plain_text(relative), "root": root.name, "kind": kind_of(relative.rpartition("/")[2], read=bool(reader)),
        "bytes": entry.size, "modified": modified, "read_by": reader or None, "run_id": _owner(entry.path, root.path, owners),
        "text": None,
    }  # fmt: skip


def _readers(runs: pl.DataFrame, sources: Sequence[Source]) -> dict[str, str]:
    """Returns path -> reader, of the files that readers take; a table whose rows are no runs of their own is not taken."""
    found: dict[str, str] = {}
    with_runs = set(runs["source"])
    for source in sources:
        if is_table_name(source.path) and plain_text(source.path) not in with_runs:
            continue
        for path in (*(f.path for f in source.files), *source.copies):
            found.setdefault(path, source.reader)
    return found


def _owners(runs: pl.DataFrame, sources: Sequence[Source]) -> dict[str, str]:
    """Returns file or folder -> the only run in it; an empty id where there are several."""
    ids: dict[tuple[str, str], list[str]] = {}
    for run_id, source, reader in runs.select("run_id", "source", "format").iter_rows():
        ids.setdefault((reader, source), []).append(run_id)
    found: dict[str, str] = {}
    for source in sources:
        mine = ids.get((source.reader, plain_text(source.path)), [])
        run = mine[0] if len(mine) == 1 else ""
        home = (
            str(Path(source.files[0].path).parent)
            if source.files and source.path == source.files[0].path
            else source.path
        )
        for path in (source.files[0].path, home, *(s.path for s in source.signs)) if source.files else (home,):
            found[path] = run if found.get(path, run) == run else ""
    return found


def _owner(path: str, root: str, owners: Mapping[str, str]) -> str | None:
    """Returns the run of the nearest folder that has one; a run in the root itself has only the files directly there."""
    if path in owners:
        return owners[path] or None
    folder = home = os.path.dirname(path)  # noqa: PTH120 - of many
    while len(folder) >= len(root):
        if folder in owners and (folder == home or folder != root):
            return owners[folder] or None
        folder = os.path.dirname(folder)  # noqa: PTH120
        if folder == os.path.dirname(folder):  # noqa: PTH120 - the top of the file system
            break
    return None


def with_texts(files: FileList, wanted: frozenset[str], mask: Mask) -> tuple[pl.DataFrame, int]:
    """Returns the frame with texts, and how many are left out by the limits. ``wanted``: only of these paths; empty: of all.

    Texts of logs that hold rows of data (``metrics.jsonl``) are loaded only if wanted by path.
    """
    texts: list[str | None] = [None] * len(files.paths)
    room, until, left = _ALL_TEXTS, time.monotonic() + _TEXT_SECONDS, 0
    rows = files.frame.select("path", "bytes", "kind", "read_by").rows()
    asked = [i for i, row in enumerate(rows) if (row[0] in wanted if wanted else _is_scanned(row))]
    with confined(files.roots):
        for index in sorted(asked, key=lambda i: _ORDER.get(rows[i][2], len(_ORDER))):
            checkpoint()
            if room <= 0 or time.monotonic() > until:
                left += 1
                continue
            texts[index] = _text(files.paths[index], rows[index][1], mask)
            room -= len(texts[index] or "")
    return files.frame.with_columns(pl.Series("text", texts, dtype=pl.String)), left


def _is_scanned(row: tuple[str, int, str, str | None]) -> bool:
    """Whether a text is loaded that no condition names: of a log only what a program printed, not its tables of numbers."""
    path, _, kind, _ = row
    name = path.rpartition("/")[2]
    return is_printed(name) if kind == "log" else holds_text(name)


def _text(path: str, size: int, mask: Mask) -> str | None:
    """Returns the text of a file with secrets masked; None if it is binary or cannot be read."""
    name = PurePath(path.replace("\\", "/")).stem
    if mask(f"{name}=value") != f"{name}=value":
        return _HIDDEN
    try:
        data = beginning_and_end(path, size)
    except (OSError, RefusedFileError):
        return None
    if b"\0" in data[:4096]:
        return None
    return mask(plain_text(data.decode("utf-8", "replace")))


def beginning_and_end(path: str, size: int) -> bytes:
    """Returns the bytes of a file; of a large one its first and last 32 kB, with a note between them."""
    with open_file(path) as stream:
        if size <= _TEXT_BYTES:
            return stream.read(_TEXT_BYTES)
        half = _TEXT_BYTES // 2
        first = stream.read(half)
        stream.seek(-half, 2)
        last = stream.read(half)
    return b"%b\n... %d bytes left out ...\n%b" % (first, size - len(first) - len(last), last)


def lines_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns one row for each line of the texts: path, run_id, line (from 1), text."""
    texts = (
        frame.lazy()
        .filter(pl.col("text").is_not_null())
        .with_columns(pl.col("text").str.strip_suffix("\n").str.split("\n"))
    )
    numbered = texts.explode("text").with_columns(
        line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("root", "path")
    )
    return numbered.select(*LINES_SCHEMA).head(_MOST_LINES).collect()
