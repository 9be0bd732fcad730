"""Reads the log with the curves of a training for a source beside it that holds only its last values.

    log_claims(folder, without)        -> what other readers claim in a folder, the most certain first
    read_fuller_log(source, without)   -> the first of those logs that holds one run with several steps; None where none does

A tracker's summary says more about a run (its name, settings, machine) than the table or the printed log beside it, and less
of its course. The reader of the summary claims both, and reads the points of the log into its run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath

from msgspec import Struct

from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.decoding import compression
from sweeplens.readers.lazy_reader import ReaderIndex
from sweeplens.readers.protocol import (
    HEAD_BYTES,
    SAMPLE_BYTES,
    Claim,
    FileStat,
    Folder,
    Problem,
    Reader,
    Reading,
    Source,
)

__all__ = ["FullerLog", "log_claims", "read_fuller_log"]

_OTHERS = frozenset({"wandb", "wandb_summary", "unlogged"})  # readers of run directories, not of logs in them
_MOST_FILES = 64  # of a folder; one with more holds something else


class FullerLog(Struct, frozen=True):
    """The reading of a log, with the main file that it came from, and problems of logs that could not be read."""

    reading: Reading
    path: str
    problems: tuple[Problem, ...]


def log_claims(folder: Folder, without: Collection[str]) -> tuple[Claim, ...]:
    """Returns the claims of other readers on a folder, seen alone and without these files."""
    files = {n: f for n, f in folder.files.items() if n not in without and n not in folder.taken}
    alone = _LoneFolder(folder.path, files, folder.head, folder.sample)
    return tuple(claim for _, claim in _claims(alone))


def read_fuller_log(source: Source, without: Collection[str]) -> FullerLog | None:
    """Reads the logs among the files of a source until one holds a single run with several steps."""
    problems: list[Problem] = []
    for folder in _folders_of(source, without):
        for reader, claim in _claims(folder):
            part = _part(source, reader, folder, claim)
            reading = guarded(partial(reader.read, part, None), part.path, f"cannot be read as {reader.name}")
            if isinstance(reading, Failure):
                problems.append(reading.problem)
            elif len(reading.runs) == 1 and reading.points["step"].n_unique() > 1:
                return FullerLog(reading, part.files[0].path, tuple(problems))
    return None


class _LoneFolder:
    """A folder of some files that shows readers nothing around it. ``head_of``, ``sample_of``: content by name."""

    parent: Folder | None = None

    def __init__(
        self,
        path: str,
        files: Mapping[str, FileStat],
        head_of: Callable[[str], bytes] | None = None,
        sample_of: Callable[[str], bytes] | None = None,
    ) -> None:
        self.path = path
        self.files = files
        self.folders: Mapping[str, Folder] = {}
        self.taken: Mapping[str, str] = {}
        self._head_of = head_of
        self._sample_of = sample_of

    @property
    def name(self) -> str:
        """The last component of the path."""
        return PurePosixPath(self.path.replace("\\", "/")).name

    def free(self, *suffixes: str) -> list[str]:
        """The sorted names of files with one of the suffixes (compressed copies included)."""
        return [n for n in sorted(self.files) if compression.plain_name(n).endswith(suffixes)]

    def head(self, name: str) -> bytes:
        """The first bytes of a file; empty if it is not one of these."""
        if name not in self.files:
            return b""
        return self._head_of(name) if self._head_of else compression.head(self.files[name].path, HEAD_BYTES)

    def sample(self, name: str) -> bytes:
        """Pieces of a file; empty if it is not one of these."""
        if name not in self.files:
            return b""
        return self._sample_of(name) if self._sample_of else compression.sample(self.files[name].path, SAMPLE_BYTES)

    def find(self, relative: str) -> FileStat | None:
        """The file of this name; None for any other path."""
        return self.files.get(relative)

    def child(self, relative: str) -> Folder | None:
        """None: it shows no other folder."""
        return None

    def tree(self, prefix: str = "") -> Iterator[tuple[str, FileStat]]:
        """Every file, as (path with ``/``, stat)."""
        yield from ((prefix + n, f) for n, f in self.files.items())


def _claims(folder: _LoneFolder) -> Iterator[tuple[Reader, Claim]]:
    """Yields the claims on logs, in the order of the readers; a reader that fails on a file claims nothing."""
    from sweeplens.readers import READERS

    if not folder.files or len(folder.files) > _MOST_FILES:
        return
    for reader in ReaderIndex(r for r in READERS if r.name not in _OTHERS).candidates(folder):
        found = guarded(lambda r=reader: tuple(r.claim(folder)), folder.path, f"could not be examined as {reader.name}")
        if not isinstance(found, Failure):
            yield from ((reader, claim) for claim in found if claim.files and claim.files[0] in folder.files)


def _folders_of(source: Source, without: Collection[str]) -> Iterator[_LoneFolder]:
    """Yields the folders of a source's files, in the order in which the source names them."""
    homes: dict[str, dict[str, FileStat]] = {}
    for file in source.files:
        home, _, name = file.path.replace("\\", "/").rpartition("/")
        if name not in without:
            homes.setdefault(home, {})[name] = file
    yield from (_LoneFolder(home, files) for home, files in homes.items())


def _part(source: Source, reader: Reader, folder: _LoneFolder, claim: Claim) -> Source:
    files = tuple(folder.files[n] for n in claim.files if n in folder.files)
    return Source(reader.name, source.root, folder.path if claim.is_folder else files[0].path, files)
