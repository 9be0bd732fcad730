"""Safety checks for databases: SQLite opens the file that was checked, and reads plain tables without computations.

HeldFile                  keeps the database's file open while SQLite opens its path; `check` verifies that both are the same file
restrict_to_plain_tables  limits a connection to plain tables: no views, functions or recursion, no tables with computed columns
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from typing import Self

from sweeplens.errors import RefusedFileError
from sweeplens.safe_open import SourceFile, open_file

__all__ = ["HeldFile", "restrict_to_plain_tables"]

_FUNCTIONS = frozenset({"count"})
_COMPUTED = re.compile(r"\bAS\s*\(", re.IGNORECASE)
_MAX_TABLES = 10_000
_DESCRIPTORS = "/dev/fd"
_READING = frozenset({sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_TRANSACTION})


class HeldFile:
    """The checked file of a database, kept open while SQLite reads it by its path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: SourceFile = open_file(path)
        for tail in ("-wal", "-shm", "-journal"):
            _check_companion(f"{path}{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def check(self) -> None:
        """Raises RefusedFileError unless SQLite has opened the checked file and the path still leads to it."""
        mine = self._file.fileno()
        held, others = os.fstat(mine), _open_files()
        named = os.path.samestat(held, os.stat(self._path))  # noqa: PTH116 - of many
        if not named or (others and not any(os.path.samestat(held, i) for d, i in others.items() if d != mine)):
            raise RefusedFileError(f"{self._path} was replaced while it was opened: it is read at the next refresh")


def _check_companion(path: str) -> None:
    """Refuses links and special files in the place of SQLite's own files beside a database."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise RefusedFileError(f"{path} is not a regular file: the database beside it is not read")


def _open_files() -> dict[int, os.stat_result]:
    """Returns the regular files that this process has open; {} where the system does not list them."""
    try:
        named = [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208 - names
    except (OSError, ValueError):
        return {}
    found = ((d, _regular_stat(d)) for d in named)
    return {d: info for d, info in found if info is not None}


def _regular_stat(descriptor: int) -> os.stat_result | None:
    try:
        info = os.fstat(descriptor)
    except OSError:  # another thread closed it, or it belonged to the listing
        return None
    return info if stat.S_ISREG(info.st_mode) else None


def restrict_to_plain_tables(connection: sqlite3.Connection) -> None:
    """Limits the connection to plain tables, so that a file cannot start expensive computations.

    SQLite asks no permission for computed columns, so tables with such columns are found first and refused when they are read.
    """
    computed = frozenset(_computed_tables(connection))

    def permission(action: int, table: str | None, name: str | None, _database: str | None, within: str | None) -> int:
        """``within``: the view or trigger that reads."""
        allowed = action in _READING or (action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in _FUNCTIONS)
        refused = within is not None or (action == sqlite3.SQLITE_READ and table in computed)
        return sqlite3.SQLITE_OK if allowed and not refused else sqlite3.SQLITE_DENY

    connection.set_authorizer(permission)


def _computed_tables(connection: sqlite3.Connection) -> Iterator[str]:
    """Yields the names of tables with columns that are computed on reading."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchmany(_MAX_TABLES)
    for name, sql in rows:
        if not isinstance(sql, str) or not _COMPUTED.search(sql):
            continue
        quoted = str(name).replace('"', '""')
        if any(column[6] in (2, 3) for column in connection.execute(f'PRAGMA table_xinfo("{quoted}")')):
            yield str(name)
