"""What a reader is: two verbs over frozen nouns.

    claim(folder)          which files of this folder are mine? Names first, then content (`folder.head`): at most the
                           first 4 kB of a file are looked at, and only of files whose name makes them likely. A text
                           log may begin with much that is none: `folder.sample` takes pieces of at most 64 kB in all.
    read(source, resume)   those files -> runs, points, problems. With a `Resume` from an earlier reading, only what
                           was appended since; without one, everything.

`discover.py` walks folders and offers each to every reader in the order of `READERS`; the first claim on a file wins.
A reader never walks, never opens a file that its source does not name, never writes, never executes, never unpickles.
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
    "READING_SCHEMA",
    "SAMPLE_BYTES",
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

HEAD_BYTES = 4096  # of a file, while it is not known whose it is
SAMPLE_BYTES = 1 << 16  # of a file that is named like a text log, likewise

READING_SCHEMA: dict[str, pl.DataType] = {k: v for k, v in POINTS_SCHEMA.items() if k != "seq"}
"""The columns of `Reading.points`: rows of one (run_id, metric) stand in the order in which they were logged."""


class FileStat(Struct, frozen=True):
    """A file as the walk saw it."""

    path: str  # absolute
    size: int
    mtime_ns: int
    inode: int
    changed_ns: int = 0  # ctime: tells that content changed though size and mtime were set back (0 where unknown)


class Folder(Protocol):
    """A folder as a reader sees it: names first, then heads. `folders.Folder` is the one that the walk makes."""

    @property
    def path(self) -> str:
        """Absolute."""
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
        """Its files by name."""
        ...

    @property
    def folders(self) -> Mapping[str, Folder]:
        """Its folders by name."""
        ...

    @property
    def taken(self) -> Mapping[str, str]:
        """File name -> name of the reader that has it already."""
        ...

    def free(self, *suffixes: str) -> list[str]:
        """Names of files that nobody has claimed, sorted, with one of the suffixes (compressed copies included)."""
        ...

    def head(self, name: str) -> bytes:
        """The first 4 kB of a file at a relative path, decompressed; empty when it cannot be read."""
        ...

    def sample(self, name: str) -> bytes:
        """Pieces of a file at a relative path, decompressed, of whole lines where it has lines: its beginning, and some from
        its middle and its end; at most 64 kB in all. A file that was looked at so and that nobody claimed is offered again
        when it changes."""
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

    Without files nothing is read: the claim only keeps what it owns, and what belongs to it, from other readers.
    """

    files: tuple[str, ...]  # the main file first; sidecars too: a change in any of them is a change of the source
    copies: tuple[str, ...] = ()  # files known to hold the same data again: named in the answer, never read
    owns: tuple[str, ...] = ()  # subfolders that belong to this claim and are offered to nobody else ("*": all)
    is_folder: bool = True  # True: the folder is the run, and a second claim on it by another reader is a copy
    belongs: tuple[str, ...] = ()  # files that are its own and hold no points (locks, artifacts): never read by anybody
    copy_of: str = ""  # a file of another folder that holds the same: the claim is read only where that file is not


class Source(Struct, frozen=True):
    """A claim that was granted: what is read as a whole, and by whom. Paths are as the system gives them."""

    reader: str
    root: str  # absolute
    path: str  # absolute; the folder, or the main file where the claim is not a folder: the source's identity
    files: tuple[FileStat, ...]
    copies: tuple[str, ...] = ()
    copy_of: str = ""  # as in the claim, absolute
    signs: tuple[FileStat, ...] = ()  # files beside it that may say how the run ended (`sources.signs`)

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the source: reader and path, as text."""
        return self.reader, self.path if self.path.isascii() else _unlike(self.path)

    @property
    def relative(self) -> str:
        """The path below the root with ``/``; the root's own name for the root itself. As text."""
        tail = self.path[len(self.root) :].strip("/\\").replace("\\", "/")
        return plain_text(tail or self.root.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])

    def file(self, name: str) -> FileStat | None:
        """The file of this source with this name (last path component), if there is one."""
        return next((f for f in self.files if f.path.replace("\\", "/").rsplit("/", 1)[-1] == name), None)


def _unlike(path: str) -> str:
    """A path as text that no other path becomes: one that must be written out begins with NUL, which no path holds."""
    text = plain_text(path)
    return path if text == path else "\0" + plain_text(path.replace("\\", "\\\\"))


class RunRecord(Struct, frozen=True):
    """What is known of a run besides its points. On a resumed reading, fields that are empty leave the earlier ones."""

    id: str  # made unique by ingest
    name: str = ""
    group: str = ""
    status: str = ""  # one of frames.STATUSES, or "" where the format does not say: then ingest tells from time
    created_at: datetime | None = None
    updated_at: datetime | None = None  # ingest falls back on the newest mtime
    parent: str = ""
    tags: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = field(default_factory=dict[str, object])  # nested as it was written
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    non_scalar: Mapping[str, int] = field(default_factory=dict[str, int])  # values that are no numbers, by name


class Problem(Struct, frozen=True):
    """Something in a file that could not be read. ``torn`` is a last line that may still be completed."""

    file: str
    reason: str
    line: int | None = None  # from 1
    column: int | None = None  # from 1
    kind: Literal["malformed", "torn", "warning"] = "malformed"
    run_id: str = ""
    excerpt: str = ""


class Resume(Struct, frozen=True):
    """Where a later reading of the same source goes on: bytes of the main file that were read, and what is needed."""

    offset: int
    state: Mapping[str, object] = field(default_factory=dict[str, object])  # JSON values only
    lines: int = 0  # lines before the offset, so that problems name the right line


class Reading(Struct, frozen=True):
    """What one reading of a source gave."""

    runs: tuple[RunRecord, ...]
    points: pl.DataFrame  # READING_SCHEMA
    problems: tuple[Problem, ...] = ()
    resume: Resume | None = None  # None: the source is read anew whenever it changes


class CombinedReading(Struct, frozen=True):
    """What a reading of some sources together gave. ``readings`` are by path of the source and hold no points."""

    readings: Mapping[str, Reading]
    points: pl.DataFrame  # frames.POINTS_SCHEMA but for names, which may be Enums of sorted text; sorted by metric
    series: pl.DataFrame  # frames.SERIES_SCHEMA


class Reader(Protocol):
    """One format. The docstring has the lines ``Producer:``, ``Files:``, ``Reads:``, ``Leaves:`` (docs/formats.md)."""

    name: str
    version: int  # raised when a reading of the same bytes changes: stores read such sources anew

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """The claims of this reader on a folder; none where it is not its format."""
        ...

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Read a source, or what was appended to it. Raises FormatError or OSError; ingest makes a problem of it."""
        ...


class BatchReader(Protocol):
    """A reader that can read clean sources together, faster than one by one, and with the same result."""

    name: str

    def goes_together(self, source: Source) -> bool:
        """Whether the source may be read together with others."""
        ...

    def read_many(self, sources: Sequence[Source], names: Mapping[str, str]) -> CombinedReading:
        """Those of the sources that can be read together; several threads may ask at once.

        ``names``: path of a source -> id of its only run.
        """
        ...
