"""Reads SQLite files of other programs. It recognises them by their tables, writes nothing beside them and blocks no writer.

    databases(folder, tables)      claims the databases of a folder that have these tables with these columns
    read_database(path, extract)   runs `extract` on a consistent view of the file; damage becomes a problem

Recognition reads the pages of the schema without SQLite and its locks. Reading never creates a file beside the user's file:
a database without a writer is opened as `immutable`, and read again if it changed meanwhile; a WAL in use is read through the
shared memory of its writer; a WAL or journal left by a crash is recovered in a temporary copy.
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

from sweeplens.counting import count_of
from sweeplens.errors import FormatError, RefusedFileError
from sweeplens.readers.decoding.sqlite_checks import HeldFile, restrict_to_plain_tables
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem
from sweeplens.safe_open import open_buffered, open_file
from sweeplens.source_limits import PIECE_BYTES

__all__ = ["SqliteDatabase", "databases", "databases_where", "read_database"]

T = TypeVar("T")
Tables = Mapping[str, Sequence[str]]

MAGIC = b"SQLite format 3\0"
_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3")
_CREATE = re.compile(rb"CREATE TABLE\s+(?:IF NOT EXISTS\s+)?[\"'`\[]?(\w+)[\"'`\]]?\s*\(", re.IGNORECASE)
_MAX_SCHEMA_PAGES = 256
_WAL_SCHEMA_BYTES = 1 << 20
_MAX_COPY = 4 << 30
_MAX_CELL = 64 << 20
_LOCK_FREE_FROM = 64 << 20  # larger databases are read without a lock, which would block their writer for long
_BUSY_SECONDS = 0.5
_TICK = 1000  # virtual machine instructions between checks of the time; one with a large cell takes long
_BATCH = 20_000
_PRAGMAS = ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0")


def databases(folder: Folder, tables: Tables) -> Iterator[Claim]:
    """Claims each unclaimed database of the folder that has all of these tables, each with these columns."""

    def has_tables(schema: Mapping[str, bytes]) -> bool:
        return all(t in schema and all(c.encode() in schema[t] for c in columns) for t, columns in tables.items())

    return databases_where(folder, has_tables)


def databases_where(folder: Folder, accepts: Callable[[Mapping[str, bytes]], bool]) -> Iterator[Claim]:
    """Claims each unclaimed database of the folder whose schema is accepted: table -> the bytes after its name."""
    for name in folder.free(*_SUFFIXES):
        entry = folder.files[name]
        if not name.endswith(_SUFFIXES) or not folder.head(name).startswith(MAGIC):
            continue
        wal = folder.files.get(f"{name}-wal")
        if accepts(_schema(entry, wal)):
            files = (name, f"{name}-wal") if wal else (name,)
            yield Claim(files, is_folder=False, belongs=_companions(folder, name))


def _companions(folder: Folder, name: str) -> tuple[str, ...]:
    """Returns the files that SQLite and the writer keep beside the database while they work."""
    names = (f"{name}-shm", f"{name}-journal", f"{name}.lock", f"{name.rpartition('.')[0]}.lock")
    return tuple(n for n in names if n in folder.files)


@lru_cache(maxsize=1024)
def _schema(entry: FileStat, wal: FileStat | None) -> dict[str, bytes]:
    """Returns table -> the bytes after its name in the schema; {} when the file cannot be read."""
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
    """Yields the pages of the schema table, whose root is page 1: each page once, up to a limit."""
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
    """Returns the page numbers in an interior page of a table; [] for a leaf or a damaged page."""
    if page[at : at + 1] != b"\x05":
        return []
    count = int.from_bytes(page[at + 3 : at + 5], "big")
    cells = [int.from_bytes(page[c : c + 2], "big") for c in range(at + 12, min(at + 12 + 2 * count, len(page) - 1), 2)]
    return [*(int.from_bytes(page[c : c + 4], "big") for c in cells), int.from_bytes(page[at + 8 : at + 12], "big")]


class SqliteDatabase(Struct):
    """A consistent view of an open database. `problems` lists what could not be read."""

    path: str
    connection: sqlite3.Connection
    row_limit: int
    problems: list[Problem] = field(default_factory=list[Problem])

    def columns(self, table: str) -> frozenset[str]:
        """Returns the columns of a table; empty where the table does not exist."""
        return frozenset(str(row[1]).lower() for row in self.rows(f'PRAGMA table_info("{table}")'))

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yields the rows of a query, up to the first damage. Raises where another process holds a lock."""
        for batch in self.batches(query):
            yield from batch

    def batches(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yields the rows of a query in batches of some thousand."""
        count, end = 0, ""
        rows = self._run(query)
        while not end:
            batch: list[tuple[Any, ...]] = []
            try:
                batch.extend(islice(rows, _BATCH))  # rows before an error stay in the list
            except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError) as error:
                if _is_busy(error) or _needs_replacement(self, error):
                    raise
                end = _reason(error)
            count += len(batch)
            if count > self.row_limit:
                end = "more rows than a file of this size can hold"
            if batch:
                yield batch
            elif not end:
                return
        reason = f"the database is damaged: {end}; {count_of(count, 'row')} read of: {query[:80]}"
        self.problems.append(Problem(self.path, reason))

    def _run(self, query: str) -> Iterator[tuple[Any, ...]]:
        yield from self.connection.execute(query)


def read_database(path: str, extract: Callable[[SqliteDatabase], T]) -> T:
    """Returns the result of `extract` on the database. Raises FormatError when it is locked or cannot be opened.

    A damaged database is opened again in a mode that tolerates a bad schema and length, to read the rest.
    """
    failure, damage, orphaned = "", "", False
    for attempt in range(3):
        before = _stamp(path)
        mode = _open_mode(path, orphaned=orphaned, last=attempt == 2)
        try:
            with _opened(path, mode, damage) as database:
                result = extract(database)
        except RefusedFileError as error:
            failure = str(error)
            continue
        except (
            sqlite3.Error,
            UnicodeDecodeError,
        ) as error:  # sqlite3 decodes its messages, which quote the damaged text
            failure = _reason(error)
            damage = "" if _is_busy(error) else failure
            orphaned = _is_busy(error) and not _is_locked(error)
            continue
        if _stamp(path) == before or (mode == "shared" and (attempt == 2 or _size(f"{path}-wal"))):
            return result  # a WAL in use changes all the time, but the view that was read is consistent
        failure = "it changed during each of three attempts to read it"
    raise FormatError(f"the database cannot be read now: {failure}. It is read again when it changes.")


def _open_mode(path: str, *, orphaned: bool, last: bool) -> str:
    """Returns how to open a database: `shared` with its writers, `immutable` without any, `copy` to recover after a crash.

    A journal exists during every write. It is `orphaned` only when it blocks readers and no process holds a lock.
    """
    if _head(path, 20)[18:] == b"\x02\x02":
        if not _size(f"{path}-wal"):
            return "immutable"
        return "shared" if _size(f"{path}-shm") else "copy"
    if _head(f"{path}-journal", 1) > b"\0":
        return "copy" if orphaned else "shared"
    return "immutable" if _size(path) > _LOCK_FREE_FROM and not last else "shared"


@contextmanager
def _opened(path: str, mode: str, damage: str) -> Generator[SqliteDatabase]:
    if mode == "copy":
        with tempfile.TemporaryDirectory(prefix="sweeplens-") as folder:
            yield from _connected(path, _uri(_copied(path, folder)), damage)
        return
    flags = "?mode=ro&immutable=1" if mode == "immutable" else "?mode=ro&readonly_shm=1"
    uri = _uri(path) + (flags if mode == "immutable" or _size(f"{path}-shm") else "?mode=ro")
    with HeldFile(path) as held:
        yield from _connected(path, uri, damage, held)


def _connected(path: str, uri: str, damage: str, held: HeldFile | None = None) -> Iterator[SqliteDatabase]:
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    size = _size(path) + _size(f"{path}-wal")
    deadline = (
        time.monotonic() + 10 + size / (1 << 20)
    )  # a megabyte takes milliseconds: beyond this, SQLite is in an endless loop
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL)
        connection.text_factory = _decode_with_replacement if damage else str
        for pragma in (*_PRAGMAS, "writable_schema=ON") if damage else _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _TICK)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # begins the view that all queries read
        if held is not None:
            held.check()
        restrict_to_plain_tables(connection)
        found = [Problem(path, f"the database is damaged: {damage}; the readable part was read")] if damage else []
        yield SqliteDatabase(path, connection, size, found)
    finally:
        connection.close()


def _copied(path: str, folder: str) -> str:
    if _size(path) > _MAX_COPY:
        raise FormatError(
            f"a crashed process left a journal; a database over {_MAX_COPY >> 30} GB is too large to recover in a copy"
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


def _decode_with_replacement(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _needs_replacement(database: SqliteDatabase, error: BaseException) -> bool:
    """Whether text that is not UTF-8 stopped a query: the database is then read again with replacement characters."""
    return "decode to UTF-8" in str(error) and not database.problems


def _is_busy(error: BaseException) -> bool:
    name = str(getattr(error, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_READONLY"))


def _is_locked(error: BaseException) -> bool:
    return "locked" in str(error)


def _reason(error: BaseException) -> str:
    if _is_busy(error) and _is_locked(error):
        return "another process holds a lock on it"
    if "prohibited" in str(error) or "not authorized" in str(error):
        return f"{error}: views and computed values are not read"
    return "it is in an endless loop" if str(error) == "interrupted" else str(error) or type(error).__name__
