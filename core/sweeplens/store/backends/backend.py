"""`StoreBackend`: where the files of a store lie, and the few things that are done there. The rest of the store knows no more.

Two implementations: `LocalBackend` (a disk) and `ObjectBackend` (an object store). They promise alike: HEAD is replaced in one
step and never against a HEAD that its writer has not seen; whoever holds a lock is the only one who should write; names are
relative to the place, with slashes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct

from sweeplens.errors import StoreError

__all__ = [
    "BackendUnreachableError",
    "DamagedError",
    "HeadMovedError",
    "HeadStamp",
    "StoreBackend",
    "TableFile",
    "TemporaryFolderError",
    "UnsafeError",
]

T = TypeVar("T")
R = TypeVar("R")

HeadStamp = tuple[object, ...]
"""What tells one HEAD from another without reading it."""


class TableFile(Struct, frozen=True):
    """One file, named relative to the store, and how to tell whether it still is as it was written."""

    path: str
    rows: int
    size: int
    checksum: int
    low: str = ""  # the least and the greatest run id
    high: str = ""
    etag: str = ""  # what an object store called this content; empty where it gave no name, and on a disk


class HeadMovedError(StoreError):
    """Somebody else writes here. Nothing is wrong: their HEAD is taken over at the next look."""


class BackendUnreachableError(StoreError, OSError):
    """The place does not answer, or lets nobody in: what is there is neither known nor lost."""


class UnsafeError(BackendUnreachableError):
    """Other users could change what lies in the place: it is not used."""


class TemporaryFolderError(StoreError, OSError):
    """Files for the place could not be made in this machine's folder for temporary files; the place is well."""


class DamagedError(StoreError):
    """Something that was read from the place cannot be what this program wrote: it is read from the folders again."""


class StoreBackend(Protocol):
    """All methods that touch files raise OSError; those of an object store UnreachableError, which is one."""

    address: str  # a path or a URL, for people
    scan_options: Mapping[str, str | int] | None  # what Polars is told beside an address
    table_options: dict[str, str] | None  # the same for deltalake
    file_mode: int  # of files that are made at the desk
    pause: float  # seconds between two looks of who waits for another process

    def locate(self, name: str) -> str:
        """The path or URL of a file, as Polars and deltalake want it."""
        ...

    def prepare(self) -> None:
        """Make what must be there before anything is written. Raises OSError where that is known to be impossible."""
        ...

    def vanished(self) -> bool:
        """Whether somebody deleted the whole place."""
        ...

    def stamp(self) -> HeadStamp | None:
        """What tells whether HEAD is another one than before; None without one."""
        ...

    def replace_head(self, said: bytes, before: HeadStamp | None) -> HeadStamp:
        """Put a new HEAD in the place of the one with the stamp ``before``; its own stamp. Raises TakenError."""
        ...

    def lock(self, name: str) -> AbstractContextManager[bool]:
        """Whether this process holds a lock meanwhile. Never waits, and never outlives its process for long."""
        ...

    def contested(self, stamp: HeadStamp | None) -> bool:
        """Whether, while this process holds LOCK and takes HEAD to have this stamp, another may be writing all the same."""
        ...

    def desk(self) -> AbstractContextManager[Path]:
        """A folder on this machine with all of FOLDERS, in which files are made that the place then takes in."""
        ...

    def take_in(self, desk: Path, name: str) -> str:
        """Keep a file that was made at the desk, whole; what the place calls its content, if it has a name for that."""
        ...

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do the same with several, at once where waiting is the most of it."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        ...

    def contents(self, files: Sequence[TableFile]) -> list[bytes]:
        """The bytes of small files, as they were written. Raises StoreError."""
        ...

    def check(self, files: Sequence[TableFile]) -> None:
        """Raises StoreError or OSError unless all files are there as they were written."""
        ...

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether all of these files (as `locate` names them) are still there and the same, as far as is known at little cost."""
        ...

    def lost(self, paths: Iterable[str]) -> bool:
        """Whether any of these files is gone; asked at every call, hence only where that costs next to nothing."""
        ...

    def discard(self, names: Iterable[str]) -> None:
        """Remove what was written for a HEAD that did not come to be, where that is certain."""
        ...

    def remove(self, names: Collection[str]) -> set[str]:
        """Remove files that nobody needs; those of them that are gone now."""
        ...

    def written(self) -> Iterable[tuple[str, float]]:
        """The files directly below FOLDERS, and when each was written."""
        ...

    def size(self) -> int:
        """The bytes of everything that lies here."""
        ...

    def empty(self, folder: str) -> None:
        """Remove the files of a Delta log directly below its folder, and have the folder."""
        ...

    def close_to_others(self, folder: str) -> None:
        """Have a folder that leads nowhere else, and take the rights of other users from what a library wrote into it."""
        ...
