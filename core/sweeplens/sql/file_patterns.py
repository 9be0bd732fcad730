"""The tables of several files as one: ``FROM "*/results.json"`` has the rows of each file, with its ``path`` and ``run_id``.

    is_pattern(name)           whether the name of a table has a ``*`` or a ``?``
    matching(pattern, files)   -> the listed files that a pattern matches, in order of their paths
    JoinedTables(pattern)      adds one table after the other, within limits; `frame` joins them, `warnings` says what is left out

``*`` and ``?`` stand for characters of one folder's or file's name, ``**`` for any folders. A column that the files hold with
several types is text, unless all are numbers; a file without the column has no value in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import polars as pl
from msgspec import Struct

from sweeplens.cancellation import checkpoint
from sweeplens.counting import count_of, verb
from sweeplens.errors import InputError
from sweeplens.sql.file_list import FileList
from sweeplens.sql.file_tables import MOST_ROWS

__all__ = ["JoinedTables", "MatchedFile", "is_pattern", "matching"]

_MOST_FILES = 1000
_MOST_CELLS = 2_000_000
_OWN = ("path", "run_id")


class MatchedFile(Struct, frozen=True):
    """A file that a pattern matches: its path below the root, its absolute path, its size, and the run that it belongs to."""

    path: str
    absolute: str
    size: int
    run_id: str | None


def is_pattern(name: str) -> bool:
    """Whether the name of a table may be a pattern of paths."""
    return "*" in name or "?" in name


def matching(pattern: str, files: FileList) -> list[MatchedFile]:
    """Returns the listed files that a pattern matches, in order of their paths."""
    parts = [p.replace("[", "[[]") for p in pattern.split("/")]
    rows = zip(files.frame.select("path", "bytes", "run_id").iter_rows(), files.paths, strict=True)
    found = [MatchedFile(path, at, size, run) for (path, size, run), at in rows if _fits(path.split("/"), parts)]
    return sorted(found, key=lambda f: f.path)


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the names of a path fit the parts of a pattern. The work is bounded by the product of their numbers."""
    ends = {0}  # how many names the parts so far may have taken
    for part in parts:
        if part == "**":
            ends = set(range(min(ends), len(names) + 1)) if ends else ends
        else:
            ends = {at + 1 for at in ends if at < len(names) and fnmatchcase(names[at], part)}
    return len(names) in ends


class JoinedTables:
    """The tables of the files that a pattern matches. ``most_bytes``: of all files."""

    def __init__(self, pattern: str, most_bytes: int) -> None:
        self._pattern, self._room = pattern, most_bytes
        self._tables: list[pl.DataFrame] = []
        self._refused: list[tuple[MatchedFile, InputError]] = []
        self._left_out = self._rows = self._cells = 0

    def has_room(self, file: MatchedFile) -> bool:
        """Whether a file may still be read; one that may not is counted."""
        checkpoint()
        full = self._rows >= MOST_ROWS or self._cells >= _MOST_CELLS or len(self._tables) >= _MOST_FILES
        self._left_out += full or file.size > self._room
        return not full and file.size <= self._room

    def add(self, file: MatchedFile, table: pl.DataFrame) -> None:
        """Adds the table of a file; a column of it that is called like one of ours has another name."""
        self._room -= file.size
        self._rows += table.height
        self._cells += table.height * table.width
        renamed = table.rename({n: f"{n}_in_file" for n in _OWN if n in table.columns})
        own = (pl.lit(file.path).alias("path"), pl.lit(file.run_id, pl.String).alias("run_id"))
        self._tables.append(renamed.select(*own, pl.all()))

    def refuse(self, file: MatchedFile, error: InputError) -> None:
        """Notes a file that holds no table."""
        self._refused.append((file, error))

    def frame(self) -> pl.DataFrame:
        """Returns the rows of all files. Raises the error of the first file if none could be read."""
        if not self._tables and self._refused:
            raise self._refused[0][1]
        return joined(self._tables).head(MOST_ROWS)

    def warnings(self) -> list[str]:
        """Returns what is left out, in sentences."""
        said: list[str] = []
        if self._left_out:
            few = f"{count_of(self._left_out, 'file')} {verb(self._left_out, 'is', 'are')} not read (too much at once)"
            said.append(f"{self._pattern}: {few}: narrow the pattern")
        if self._refused:
            n, (_, first) = len(self._refused), self._refused[0]
            said.append(f"{self._pattern}: {count_of(n, 'file')} {verb(n, 'is', 'are')} left out: {first}")
        return said


def joined(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Returns the rows of all tables, with the columns of all; columns of several types as text, unless all are numbers."""
    kinds: dict[str, set[pl.DataType]] = {}
    for table in tables:
        for name, kind in table.schema.items():
            if kind != pl.Null:
                kinds.setdefault(name, set()).add(kind)
    mixed = {n for n, found in kinds.items() if len(found) > 1 and not all(k.is_numeric() for k in found)}
    told = [t.with_columns(pl.col(n).cast(pl.String) for n in t.columns if n in mixed) for t in tables]
    return pl.concat(told, how="diagonal_relaxed")
