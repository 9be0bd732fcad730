"""The interface of a reader: two methods, and the frozen values that they take and return.

    claim(folder)          says which files of a folder have the reader's format, by their names, then by their content
                           (`folder.head`): only files with a likely name are opened, and at most their first 4 kB are
                           read. A text log may begin with other text: `folder.sample` reads up to 64 kB in pieces.
    read(source, resume)   turns those files into runs, points and problems. With a `Resume` from an earlier reading it
                           reads only what was appended since then; without one, everything.

`discover.py` walks folders and offers each to every reader in the order of `READERS`; the first claim on a file wins.
A reader never walks folders, never opens a file that its source does not name, never writes, executes or unpickles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import polars as pl
from msgspec import Struct, field

from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.plain_data import plain_text

__all__ = [
    "HEAD_BYTES",
    "LONG_HEAD_BYTES",
    "READING_SCHEMA",
    "SAMPLE_BYTES",
    "AppendReader",
    "AppendedReading",
    "Claim",
    "FileStat",
    "Folder",
    "Problem",
    "Reader",
    "Reading",
    "Resume",
    "RunRecord",
    "Source",
]

HEAD_BYTES = 4096  # of a file, read before a reader has claimed it
LONG_HEAD_BYTES = 1 << 18  # the same with a long first line of JSON
SAMPLE_BYTES = 1 << 16  # the same, for a file that is named like a text log

READING_SCHEMA: dict[str, pl.DataType] = {k: v for k, v in POINTS_SCHEMA.items() if k != "seq"}
"""The columns of `Reading.points`. Rows of one (run_id, metric) are in logged order."""


class FileStat(Struct, frozen=True):
    """A file as it was when the folders were walked."""

    path: str  # absolute
    size: int
    mtime_ns: int
    inode: int
    changed_ns: int = 0  # ctime: it shows a change even where size and mtime were set back (0: unknown)


class Folder(Protocol):
    """A folder as a reader sees it. `sweeplens.sources` implements it."""

    @property
    def path(self) -> str:
        """The absolute path."""
        ...

    @property
    def name(self) -> str:
        """The last component of the path."""
        ...

    @property
    def parent(self) -> Folder | None:
        """The folder above; None for the root."""
        ...

    @property
    def files(self) -> Mapping[str, FileStat]:
        """The files in it, by name."""
        ...

    @property
    def folders(self) -> Mapping[str, Folder]:
        """The folders in it, by name."""
        ...

    @property
    def taken(self) -> Mapping[str, str]:
        """File name -> name of the reader that has claimed it."""
        ...

    def free(self, *suffixes: str) -> list[str]:
        """The sorted names of unclaimed files with one of the suffixes (compressed copies included)."""
        ...

    def head(self, name: str) -> bytes:
        """The first 4 kB of a file at a relative path, decompressed, and a longer first line if it is JSON; empty when it
        cannot be read."""
        ...

    def sample(self, name: str) -> bytes:
        """Pieces of a file at a relative path, decompressed: its beginning, and parts of its middle and its end, at most 64 kB
        in all. Pieces are whole lines where the file has lines. A sampled file that no reader claims is offered again when
        it changes."""
        ...

    def find(self, relative: str) -> FileStat | None:
        """The file at a relative path with ``/``; ``..`` leads up, never above the root."""
        ...

    def child(self, relative: str) -> Folder | None:
        """The folder at a relative path with ``/``; ``..`` leads up, never above the root."""
        ...

    def tree(self, prefix: str = "") -> Iterator[tuple[str, FileStat]]:
        """Every file below this folder, as (relative path with ``/``, stat)."""
        ...


class Claim(Struct, frozen=True):
    """Files of one folder that are read together. Names are relative to the folder, with ``/``.

    A claim without files is not read. It only keeps the files and folders that it names from other readers.
    """

    files: tuple[str, ...]  # the main file first, then sidecars: a change in any of them changes the source
    copies: tuple[str, ...] = ()  # files that hold the same data: named in answers, never read
    owns: tuple[str, ...] = ()  # subfolders that no other reader sees ("*": all)
    is_folder: bool = True  # True: the folder is the run, and another reader's claim on it is a copy
    belongs: tuple[str, ...] = ()  # files without points (locks, artifacts) that no reader reads
    copy_of: str = ""  # a file of another folder with the same data: the claim is read only if that file is not


class Source(Struct, frozen=True):
    """A granted claim: files that one reader reads together. Paths are as the system gives them."""

    reader: str
    root: str  # absolute
    path: str  # absolute: the folder, or the main file where the claim is not a folder. Identifies the source
    files: tuple[FileStat, ...]
    copies: tuple[str, ...] = ()
    copy_of: str = ""  # as in the claim, absolute
    signs: tuple[FileStat, ...] = ()  # files beside it that may say how the run ended (`sources.signs`)

    @property
    def key(self) -> tuple[str, str]:
        """The source's identity: its reader and its path, as text."""
        return self.reader, self.path if self.path.isascii() else _unique_text(self.path)

    @property
    def relative(self) -> str:
        """The path below the root, with ``/``, as text; for the root itself its name."""
        tail = self.path[len(self.root) :].strip("/\\").replace("\\", "/")
        return plain_text(tail or self.root.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])

    def file(self, name: str) -> FileStat | None:
        """The file of this source with this name (last path component), if there is one."""
        return next((f for f in self.files if f.path.replace("\\", "/").rsplit("/", 1)[-1] == name), None)


def _unique_text(path: str) -> str:
    """A path as text, different for each path: an escaped path begins with NUL, which no path contains."""
    text = plain_text(path)
    return path if text == path else "\0" + plain_text(path.replace("\\", "\\\\"))


class RunRecord(Struct, frozen=True):
    """A run without its points. In a resumed reading an empty field keeps its earlier value."""

    id: str  # made unique by `store.ledger`
    name: str = ""
    group: str = ""
    status: str = ""  # one of frames.STATUSES; "" where the format has none: `store.runs_frame` decides
    created_at: datetime | None = None
    updated_at: datetime | None = None  # where it is None, `store.runs_frame` takes the newest mtime
    parent: str = ""
    tags: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = field(default_factory=dict[str, object])  # nested as it was written
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    non_scalar: Mapping[str, int] = field(
        default_factory=dict[str, int]
    )  # count of values that are not numbers, by name


class Problem(Struct, frozen=True):
    """A part of a file that could not be read. ``torn``: a last line that may still be completed."""

    file: str
    reason: str
    line: int | None = None  # from 1
    column: int | None = None  # from 1
    kind: Literal["malformed", "torn", "warning"] = "malformed"
    run_id: str = ""
    excerpt: str = ""


class Resume(Struct, frozen=True):
    """Where a later reading of the same source continues: the offset in the main file, and the reader's state."""

    offset: int
    state: Mapping[str, object] = field(default_factory=dict[str, object])  # JSON values only
    lines: int = 0  # lines before the offset, for line numbers in problems


class Reading(Struct, frozen=True):
    """The result of reading one source."""

    runs: tuple[RunRecord, ...]
    points: pl.DataFrame  # READING_SCHEMA
    problems: tuple[Problem, ...] = ()
    resume: Resume | None = None  # None: the whole source is read again whenever it changes


class CombinedReading(Struct, frozen=True):
    """The result of reading several sources together. ``readings`` are by path of the source and hold no points."""

    readings: Mapping[str, Reading]
    points: pl.DataFrame  # frames.POINTS_SCHEMA, where names may be Enums of sorted text; sorted by metric
    series: pl.DataFrame  # frames.SERIES_SCHEMA


class AppendedReading(Struct, frozen=True):
    """What was appended to several sources. ``readings`` are by path of the source and hold no points."""

    readings: Mapping[str, Reading]
    points: pl.DataFrame  # READING_SCHEMA


class Reader(Protocol):
    """One format. The docstring has the lines ``Producer:``, ``Files:``, ``Reads:``, ``Leaves:`` (docs/formats.md)."""

    name: str
    version: int  # increased when the same bytes give another reading: stores then read such sources again

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Returns this reader's claims on a folder; none where the folder does not hold its format."""
        ...

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads a source, or what was appended to it. Ingest turns a FormatError or an OSError into a problem."""
        ...


class BatchReader(Protocol):
    """A reader that can read clean sources together, faster than one at a time, with the same result."""

    name: str

    def is_batchable(self, source: Source) -> bool:
        """Whether the source may be read together with others."""
        ...

    def read_many(self, sources: Sequence[Source], names: Mapping[str, str]) -> CombinedReading:
        """Reads those sources that can be read together. Several threads may call this at once.

        ``names``: path of a source -> id of the one run in it.
        """
        ...


class AppendReader(BatchReader, Protocol):
    """A `BatchReader` that can also read together what was appended to several sources, with the same result as one by one."""

    def read_appended(
        self, sources: Sequence[Source], resumes: Mapping[str, Resume], names: Mapping[str, str]
    ) -> AppendedReading:
        """Reads the ends of those sources that can be read together.

        ``resumes``, ``names``: path of a source -> where its reading continues, and the id of the one run in it.
        """
        ...
