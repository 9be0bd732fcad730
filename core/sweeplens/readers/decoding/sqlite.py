"""SQLite files of other programs, recognised by their tables and read without leaving a trace or standing in the way.

    databases(folder, tables)      claims for the databases of a folder that have these tables with these columns
    read_database(path, extract)   runs `extract` on a consistent view of the file; damage becomes a problem

Recognition reads the schema's own pages, without SQLite and its locks. Reading never creates a file beside the user's:
a database that nobody has open is read as `immutable`, and once more when it changed meanwhile; a live WAL is joined
through the shared memory that its writer made; a WAL or journal left by a crash is recovered in a temporary copy.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, field

from sweeplens.errors import FormatError, RefusedFileError
from sweeplens.readers.decoding.sqlite_checks import HeldFile, plain_only
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem
from sweeplens.safe_open import open_buffered, open_file
from sweeplens.source_limits import PIECE_BYTES

__all__ = ["SqliteDatabase", "databases", "read_database"]

T = TypeVar("T")
Tables = Mapping[str, Sequence[str]]

MAGIC = b"SQLite format 3\0"
_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3")
_CREATE = re.compile(rb"CREATE TABLE\s+(?:IF NOT EXISTS\s+)?[\"'`\[]?(\w+)[\"'`\]]?\s*\(", re.IGNORECASE)
_MAX_SCHEMA_PAGES = 256
_WAL_SCHEMA_BYTES = 1 << 20
_MAX_COPY = 4 << 30
_MAX_CELL = 64 << 20
_LOCK_FREE_FROM = 64 << 20  # larger databases are read without a lock, which would keep their writer waiting
_BUSY_SECONDS = 0.5
_TICK = 1000  # virtual machine instructions between looks at the clock; one may take as long as its cell is large
_BATCH = 20_000
_PRAGMAS = ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0")


def databases(folder: Folder, tables: Tables) -> Iterator[Claim]:
    """A claim for each free database of the folder that has all of these tables, each with these columns."""
    for name in folder.free(*_SUFFIXES):
        entry = folder.files[name]
        if not name.endswith(_SUFFIXES) or not folder.head(name).startswith(MAGIC):
            continue
        wal = folder.files.get(f"{name}-wal")
        schema = _schema(entry, wal)
        if all(t in schema and all(c.encode() in schema[t] for c in columns) for t, columns in tables.items()):
            files = (name, f"{name}-wal") if wal else (name,)
            yield Claim(files, is_folder=False, belongs=_beside(folder, name))


def _beside(folder: Folder, name: str) -> tuple[str, ...]:
    """What SQLite and the database's owner keep beside it while they work."""
    names = (f"{name}-shm", f"{name}-journal", f"{name}.lock", f"{name.rpartition('.')[0]}.lock")
    return tuple(n for n in names if n in folder.files)


@lru_cache(maxsize=1024)
def _schema(entry: FileStat, wal: FileStat | None) -> dict[str, bytes]:
    """The tables of a database -> the bytes that follow their names in its schema; empty when it cannot be read."""
    try:
        with open_buffered(entry.path) as stream:
            text = b"".join(_schema_pages(stream.read, stream.seek))
        if wal:
            with open_file(wal.path) as stream:
                text += stream.read(_WAL_SCHEMA_BYTES)
    except OSError:
        return {}
    return {m[1].decode("ascii", "replace").lower(): text[m.end() : m.end() + 4000] for m in _CREATE.finditer(text)}


def _schema_pages(read: Callable[[int], bytes], seek: Callable[[int], int]) -> Iterator[bytes]:
    """The pages of the table that holds the schema, whose root is page 1; as many as are bounded, each once."""
    header = read(100)
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    if size < 512 or size & (size - 1):
        return
    waiting, seen = [1], set[int]()
    while waiting and len(seen) < _MAX_SCHEMA_PAGES:
        number = waiting.pop(0)
        if number in seen or number < 1:
            continue
        seen.add(number)
        seek((number - 1) * size)
        page = read(size)
        yield page
        waiting += _children(page, 100 if number == 1 else 0)


def _children(page: bytes, at: int) -> list[int]:
    """The page numbers that an interior page of a table points to; none for a leaf or for damage."""
    if page[at : at + 1] != b"\x05":
        return []
    count = int.from_bytes(page[at + 3 : at + 5], "big")
    cells = [int.from_bytes(page[c : c + 2], "big") for c in range(at + 12, min(at + 12 + 2 * count, len(page) - 1), 2)]
    return [*(int.from_bytes(page[c : c + 4], "big") for c in cells), int.from_bytes(page[at + 8 : at + 12], "big")]


class SqliteDatabase(Struct):
    """An open database: one consistent view of it. What could not be read is in `problems`."""

    path: str
    connection: sqlite3.Connection
    row_limit: int
    problems: list[Problem] = field(default_factory=list[Problem])

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; empty when there is no such table."""
        return frozenset(str(row[1]).lower() for row in self.rows(f'PRAGMA table_info("{table}")'))

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, up to where the file is damaged; a lock held by somebody else raises instead."""
        for batch in self.batches(query):
            yield from batch

    def batches(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, some thousand at a time."""
        count, end = 0, ""
        rows = self._run(query)
        while not end:
            batch: list[tuple[Any, ...]] = []
            try:
                batch.extend(islice(rows, _BATCH))  # what came before an error stays in the list
            except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError) as error:
                if _is_busy(error) or _needs_forgiving(self, error):
                    raise
                end = _said(error)
            count += len(batch)
            if count > self.row_limit:
                end = "more rows than a file of this size can hold"
            if batch:
                yield batch
            elif not end:
                return
        said = f"the database is damaged: {end}; {count} rows were read of: {query[:80]}"
        self.problems.append(Problem(self.path, said))

    def _run(self, query: str) -> Iterator[tuple[Any, ...]]:
        yield from self.connection.execute(query)


def read_database(path: str, extract: Callable[[SqliteDatabase], T]) -> T:
    """What `extract` makes of the database. Raises FormatError when it is locked or cannot be opened at all.

    A damaged one is opened once more in a mode that forgives its schema and its length, for what can still be read.
    """
    failure, damage, orphaned = "", "", False
    for attempt in range(3):
        before = _stamp(path)
        way = _way(path, orphaned=orphaned, last=attempt == 2)
        try:
            with _opened(path, way, damage) as database:
                result = extract(database)
        except RefusedFileError as error:
            failure = str(error)
            continue
        except (sqlite3.Error, UnicodeDecodeError) as error:  # sqlite3 decodes its own messages, which quote the damage
            failure = _said(error)
            damage = "" if _is_busy(error) else failure
            orphaned = _is_busy(error) and not _is_locked(error)
            continue
        if _stamp(path) == before or (way == "shared" and (attempt == 2 or _size(f"{path}-wal"))):
            return result  # a live wal changes all the time, and what was read of it is one view all the same
        failure = "it changed again and again while it was read"
    raise FormatError(f"the database cannot be read now: {failure}. It is read again when it changes.")


def _way(path: str, *, orphaned: bool, last: bool) -> str:
    """How to open it: `shared` with its writers, `immutable` without any, `copy` to recover what a crash left.

    A journal is there whenever somebody writes; only when it keeps readers out without a lock is it `orphaned`.
    """
    if _head(path, 20)[18:] == b"\x02\x02":
        if not _size(f"{path}-wal"):
            return "immutable"
        return "shared" if _size(f"{path}-shm") else "copy"
    if _head(f"{path}-journal", 1) > b"\0":
        return "copy" if orphaned else "shared"
    return "immutable" if _size(path) > _LOCK_FREE_FROM and not last else "shared"


@contextmanager
def _opened(path: str, way: str, damage: str) -> Generator[SqliteDatabase]:
    if way == "copy":
        with tempfile.TemporaryDirectory(prefix="sweeplens-") as folder:
            yield from _connected(path, _uri(_copied(path, folder)), damage)
        return
    flags = "?mode=ro&immutable=1" if way == "immutable" else "?mode=ro&readonly_shm=1"
    uri = _uri(path) + (flags if way == "immutable" or _size(f"{path}-shm") else "?mode=ro")
    with HeldFile(path) as held:
        yield from _connected(path, uri, damage, held)


def _connected(path: str, uri: str, damage: str, held: HeldFile | None = None) -> Iterator[SqliteDatabase]:
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    size = _size(path) + _size(f"{path}-wal")
    deadline = time.monotonic() + 10 + size / (1 << 20)  # a megabyte takes milliseconds: beyond, it turns in a circle
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL)
        connection.text_factory = _forgiving if damage else str
        for pragma in (*_PRAGMAS, "writable_schema=ON") if damage else _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _TICK)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the view that all else reads
        if held is not None:
            held.check()
        plain_only(connection)
        found = [Problem(path, f"the database is damaged: {damage}; what can still be read was")] if damage else []
        yield SqliteDatabase(path, connection, size, found)
    finally:
        connection.close()


def _copied(path: str, folder: str) -> str:
    if _size(path) > _MAX_COPY:
        raise FormatError(
            f"a process that died left a journal, and over {_MAX_COPY >> 30} GB are too large to recover in a copy"
        )
    target = str(Path(folder) / "copy.db")
    for tail in ("", "-wal", "-journal"):
        if _size(f"{path}{tail}"):
            with open_file(f"{path}{tail}") as stream, Path(f"{target}{tail}").open("wb") as copy:
                shutil.copyfileobj(stream, copy, PIECE_BYTES)
    return target


def _uri(path: str) -> str:
    return Path(path).absolute().as_uri()


def _stamp(path: str) -> tuple[tuple[int, int], ...]:
    return tuple((_size(p), _mtime(p)) for p in (path, f"{path}-wal"))


def _head(path: str, size: int) -> bytes:
    try:
        with open_file(path) as stream:
            return stream.read(size)
    except FileNotFoundError:
        return b""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - asked often
    except OSError:
        return 0


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def _forgiving(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _needs_forgiving(database: SqliteDatabase, error: BaseException) -> bool:
    """Whether text that is no UTF-8 stopped a query: it is read again with what cannot be decoded replaced."""
    return "decode to UTF-8" in str(error) and not database.problems


def _is_busy(error: BaseException) -> bool:
    name = str(getattr(error, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_READONLY"))


def _is_locked(error: BaseException) -> bool:
    return "locked" in str(error)


def _said(error: BaseException) -> str:
    if _is_busy(error) and _is_locked(error):
        return "another process holds a lock on it"
    if "prohibited" in str(error) or "not authorized" in str(error):
        return f"{error}: views and computed values are not read"
    return "it turns in a circle" if str(error) == "interrupted" else str(error) or type(error).__name__
