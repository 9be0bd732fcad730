"""What of a database is trusted: the file that was checked, plain tables, and no computation on behalf of the file.

HeldFile       the database's file stays open while SQLite opens its path; `check` says whether both are the same file
plain_only     from now on the connection reads plain tables: no views, functions or recursion, no table with computed columns
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

__all__ = ["HeldFile", "plain_only"]

_FUNCTIONS = frozenset({"count"})
_COMPUTED = re.compile(r"\bAS\s*\(", re.IGNORECASE)
_MAX_TABLES = 10_000
_DESCRIPTORS = "/dev/fd"
_READING = frozenset({sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_TRANSACTION})


class HeldFile:
    """The file of a database, checked as every file is, for as long as SQLite reads it by its path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: SourceFile = open_file(path)
        for tail in ("-wal", "-shm", "-journal"):
            _check_beside(f"{path}{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise RefusedFileError unless SQLite has opened the file that was checked, and its path still names it."""
        mine = self._file.fileno()
        held, others = os.fstat(mine), _open_files()
        named = os.path.samestat(held, os.stat(self._path))  # noqa: PTH116 - of many
        if not named or (others and not any(os.path.samestat(held, i) for d, i in others.items() if d != mine)):
            raise RefusedFileError(f"{self._path} was replaced while it was opened: it is read at the next look")


def _check_beside(path: str) -> None:
    """Refuse links and special files where SQLite keeps what belongs to the database."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise RefusedFileError(f"{path} is no regular file: the database beside it is not read")


def _open_files() -> dict[int, os.stat_result]:
    """The regular files that this process has open; none where the system does not say it."""
    try:
        named = [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208 - names
    except (OSError, ValueError):
        return {}
    found = ((d, _regular(d)) for d in named)
    return {d: info for d, info in found if info is not None}


def _regular(descriptor: int) -> os.stat_result | None:
    try:
        info = os.fstat(descriptor)
    except OSError:  # another thread closed it, or it was that of the listing
        return None
    return info if stat.S_ISREG(info.st_mode) else None


def plain_only(connection: sqlite3.Connection) -> None:
    """Let the connection read plain tables, and nothing that a file could make expensive.

    Computed columns are found here, as no permission reaches them; a database may have such tables beside those that are read.
    """
    computed = frozenset(_computed_tables(connection))

    def permission(action: int, table: str | None, name: str | None, _database: str | None, within: str | None) -> int:
        """``within``: the view or trigger on whose behalf something is read."""
        wanted = action in _READING or (action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in _FUNCTIONS)
        refused = within is not None or (action == sqlite3.SQLITE_READ and table in computed)
        return sqlite3.SQLITE_OK if wanted and not refused else sqlite3.SQLITE_DENY

    connection.set_authorizer(permission)


def _computed_tables(connection: sqlite3.Connection) -> Iterator[str]:
    """Names of the tables that have columns which are computed when they are read."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchmany(_MAX_TABLES)
    for name, sql in rows:
        if not isinstance(sql, str) or not _COMPUTED.search(sql):
            continue
        quoted = str(name).replace('"', '""')
        if any(column[6] in (2, 3) for column in connection.execute(f'PRAGMA table_xinfo("{quoted}")')):
            yield str(name)
