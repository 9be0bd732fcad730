"""The tables that a query gets from files beside the runs: ``files``, ``lines``, and each table file under its quoted path.

    AuxiliaryFiles(roots, runs, sources, mask).tables(query)  -> the tables that the query names, and warnings about them
    .table_paths()                                            -> the paths of files that can be queried, for the nearest names

A name with ``*`` or ``?`` that is no file's is a pattern of paths: the tables of all files that it matches, as one
(`file_patterns`). Nothing is listed or opened unless a query names such a table. The content is read within limits, which the
warnings state.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import cast

import polars as pl
from msgspec import Struct

from sweeplens.cancellation import StoppedError
from sweeplens.errors import FormatError, InputError, LimitError, RefusedFileError
from sweeplens.panics import panics_as_errors
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import error_reason, is_system_error
from sweeplens.readers.protocol import Source
from sweeplens.safe_open import confined, open_file
from sweeplens.sources.unread_formats import unread_format
from sweeplens.sql.file_kinds import is_table_name
from sweeplens.sql.file_list import FILES_SCHEMA, LINES_SCHEMA, FileList, FileRoot, lines_of, list_files, with_texts
from sweeplens.sql.file_patterns import JoinedTables, is_pattern, matching
from sweeplens.sql.file_tables import read_table, row_limit
from sweeplens.sql.validate import mentions, quoted_names, reads_table, texts_in

__all__ = ["AuxiliaryFiles", "AuxiliaryTables", "file_names"]

_ALL_COLUMNS = re.compile(r"(?<!\()\*(?!\s*\))")  # not that of count(*)
Mask = Callable[[object], object]
_MOST_BYTES = 32 << 20  # of one table
_MOST_TABLES = 16
_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "site-packages", ".ipynb_checkpoints"}
)


class AuxiliaryTables(Struct, frozen=True):
    """Tables by name, and warnings about what they leave out."""

    frames: Mapping[str, pl.DataFrame]
    warnings: tuple[str, ...] = ()


def file_names(query: str) -> list[str]:
    """Returns the quoted names in a query that may be tables in files."""
    return [n for n in quoted_names(query) if is_table_name(n)]


class AuxiliaryFiles:
    """The files below the roots of a database. ``runs``: run_id, source and format; ``mask``: hides secrets in a value."""

    def __init__(
        self, roots: Sequence[FileRoot], runs: pl.DataFrame, sources: Sequence[Source], mask: Mask | None
    ) -> None:
        self._roots, self._runs, self._sources, self._mask = roots, runs, sources, mask
        self._listed: FileList | None = None

    def tables(self, query: str) -> AuxiliaryTables:
        """Returns the tables that a query names. Raises InputError for a file that is there and cannot be read as a table."""
        frames: dict[str, pl.DataFrame] = {}
        warnings: list[str] = []
        for name in file_names(query)[:_MOST_TABLES]:
            frame = self._table(name)
            if frame is None and is_pattern(name):
                frame = self._tables_of(name, warnings)
            if frame is not None:
                frames[name] = frame
                most = row_limit(frame.width)
                warnings += [f"{name}: only its first {most:,} rows are read"] * (frame.height >= most)
        if reads_table(query, "files") or reads_table(query, "lines"):
            frames |= self._file_frames(query, warnings)
        return AuxiliaryTables(frames, tuple(warnings))

    def listed(self) -> FileList:
        """Returns the files below the roots; looked up once."""
        self._listed = self._listed or list_files(self._roots, self._runs, self._sources)
        return self._listed

    def table_paths(self) -> list[str]:
        """Returns the paths of the files that can be queried."""
        return [p for p in self.listed().frame["path"].to_list() if is_table_name(p)]

    def _file_frames(self, query: str, warnings: list[str]) -> dict[str, pl.DataFrame]:
        files = self.listed()
        warnings += files.unread
        if files.cut:
            warnings.append(f"files: only the first {len(files.paths):,} files are listed")
        frame, left = files.frame, 0
        if mentions(query, "text") or reads_table(query, "lines") or _ALL_COLUMNS.search(query):
            frame, left = with_texts(files, self._wanted(query, files), self._masked_text)
        if left:
            warnings.append(
                f"files: the texts of {left:,} files are not loaded (too many): add a condition path = '...'"
            )
        assert frame.schema == pl.Schema(FILES_SCHEMA)
        lines = lines_of(frame) if reads_table(query, "lines") else pl.DataFrame(schema=LINES_SCHEMA)
        return {"files": frame, "lines": lines}

    def _wanted(self, query: str, files: FileList) -> frozenset[str]:
        """Returns the only paths whose texts a query can need: those that it names with ``path =``; empty for all."""
        words = set(query.lower().replace("(", " ").replace(")", " ").split())
        if {"like", "ilike", "or", "not", "regexp", "rlike", "union"} & words or "<>" in query or "!=" in query:
            return frozenset()
        return frozenset(texts_in(query)) & frozenset(files.frame["path"].to_list())

    def _masked_text(self, text: str) -> str:
        return str(self._mask(text)) if self._mask else text

    def _table(self, name: str) -> pl.DataFrame | None:
        """Returns the table in a file below the first root that has it; None if no root does."""
        relative = name.rpartition("#")[0] if "#" in name and not self._path_of(name) else name
        path = self._path_of(relative)
        if path is None:
            return None
        refused = unread_format(relative)
        if refused is not None:
            raise InputError(f"{name!r} is {refused.name}: {refused.remedy}.")
        return self._read(path, relative, name)

    def _tables_of(self, pattern: str, warnings: list[str]) -> pl.DataFrame | None:
        """Returns the tables of all files that a pattern matches, as one; None if it matches none."""
        files, _, number = pattern.partition("#")
        found = matching(files, self.listed())
        if not found:
            return None
        joined = JoinedTables(pattern, _MOST_BYTES)
        for file in filter(joined.has_room, found):
            try:
                joined.add(file, self._read(file.absolute, file.path, f"{file.path}#{number}" if number else file.path))
            except InputError as error:
                joined.refuse(file, error)
        warnings += joined.warnings()
        return joined.frame()

    def _read(self, path: str, relative: str, name: str) -> pl.DataFrame:
        try:
            with panics_as_errors():
                return self._without_secrets(read_table(self._content(path, relative), name))
        except (FormatError, RefusedFileError) as error:
            raise InputError(f"{plain_text(str(error))}.") from error
        except (InputError, StoppedError, LimitError):
            raise
        except Exception as error:  # the boundary around one source
            if is_system_error(error):
                raise
            raise InputError(f"{name!r} cannot be read: {error_reason(error)}.") from error

    def _path_of(self, relative: str) -> str | None:
        """Returns the absolute path of a file below a root; None if there is none, or the walk would not enter its folder."""
        parts = PurePosixPath(relative).parts
        if not parts or relative.startswith("/") or ".." in parts or "\0" in relative or _SKIPPED.intersection(parts):
            return None
        paths = (os.path.join(root.path, *parts) for root in self._roots)  # noqa: PTH118 - text in, text out
        return next((p for p in paths if os.path.isfile(p)), None)  # noqa: PTH113

    def _content(self, path: str, relative: str) -> bytes:
        with confined([root.path for root in self._roots]), open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > _MOST_BYTES:
                raise InputError(
                    f"{relative!r} has {size >> 20:,} MB: tables of at most {_MOST_BYTES >> 20} MB can be queried."
                )
            return stream.read(_MOST_BYTES)

    def _without_secrets(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Returns the table with secrets masked, by the names of columns and in texts."""
        mask = self._mask
        return frame if mask is None else pl.DataFrame([_without_secrets(c, mask) for c in frame.get_columns()])


def _without_secrets(column: pl.Series, mask: Mask) -> pl.Series:
    name = column.name
    if column.dtype != pl.String:
        hidden = mask({name: 1}) != {name: 1}
        return pl.Series(name, ["***"] * len(column)) if hidden else column
    new: dict[str, str] = {}
    for value in column.drop_nulls().unique().to_list():
        told = cast("Mapping[str, str]", mask({name: value}))[name]
        if told != value:
            new[value] = told
    return column.replace(new) if new else column
