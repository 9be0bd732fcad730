"""`StoreBackend`: the protocol through which a store reaches its files.

`LocalBackend` (a disk) and `ObjectBackend` (an object store) implement it, with the same promises: HEAD is replaced in one
step, and only if it is the HEAD that the writer saw; only the process that holds a lock should write; names are
relative to the store, with slashes.
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
"""Identifies a HEAD without reading it."""


class TableFile(Struct, frozen=True):
    """One file, relative to the store, with the facts that show whether it has changed since it was written."""

    path: str
    rows: int
    size: int
    checksum: int
    low: str = ""  # the smallest and the largest run id
    high: str = ""
    etag: str = ""  # the object store's tag for this content; empty if it gave none, and on a disk


class HeadMovedError(StoreError):
    """Another process wrote meanwhile. This is no fault: its HEAD is loaded at the next refresh."""


class BackendUnreachableError(StoreError, OSError):
    """The store does not respond or denies access: its content is unknown, but not lost."""


class UnsafeError(BackendUnreachableError):
    """Other users could change the store: it is not used."""


class TemporaryFolderError(StoreError, OSError):
    """Files for the store could not be made in this machine's temporary folder; the store itself works."""


class DamagedError(StoreError):
    """Content of the store cannot be what this program wrote: it is read from the folders again."""


class StoreBackend(Protocol):
    """Access to the files of a store. Methods raise OSError; those of an object store its subclass BackendUnreachableError."""

    address: str  # a path or a URL, for messages
    scan_options: Mapping[str, str | int] | None  # storage options for Polars
    table_options: dict[str, str] | None  # storage options for deltalake
    file_mode: int  # permissions of files made in the staging folder
    pause: float  # seconds between two checks while waiting for another process

    def locate(self, name: str) -> str:
        """Returns the path or URL of a file for Polars and deltalake."""
        ...

    def prepare(self) -> None:
        """Creates what writing needs. Raises OSError if writing is known to be impossible."""
        ...

    def vanished(self) -> bool:
        """Whether the whole store was deleted."""
        ...

    def stamp(self) -> HeadStamp | None:
        """Returns the stamp of the current HEAD; None without a HEAD."""
        ...

    def replace_head(self, data: bytes, before: HeadStamp | None) -> HeadStamp:
        """Replaces the HEAD that has the stamp ``before``. Returns the new stamp. Raises HeadMovedError."""
        ...

    def lock(self, name: str) -> AbstractContextManager[bool]:
        """Tries to take a lock; yields whether this process holds it. Never waits; the lock soon ends with its process."""
        ...

    def contested(self, stamp: HeadStamp | None) -> bool:
        """Whether another process may be writing although this one holds LOCK and last saw HEAD with this stamp."""
        ...

    def staging(self) -> AbstractContextManager[Path]:
        """Yields a staging folder on this machine with all of FOLDERS, for files that are then added to the store."""
        ...

    def add_file(self, staging: Path, name: str) -> str:
        """Adds a whole file from the staging folder to the store. Returns its entity tag, if there is one."""
        ...

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Applies a function to each item, in parallel if most of the time is waiting."""
        ...

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file. Raises FileNotFoundError."""
        ...

    def contents(self, files: Sequence[TableFile]) -> list[bytes]:
        """Returns the bytes of small files, checked. Raises StoreError if one is damaged."""
        ...

    def check(self, files: Sequence[TableFile]) -> None:
        """Raises StoreError or OSError unless all files exist undamaged."""
        ...

    def adopt(self, files: Sequence[TableFile]) -> None:
        """Checks files of points that other processes wrote, and counts them among those that exist. Raises as `check`."""
        ...

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether all of these files (named as by `locate`) still exist unchanged, as far as a cheap check shows."""
        ...

    def lost(self, paths: Iterable[str]) -> bool:
        """Whether any of these files is gone. Called at every call, so it only checks what costs almost nothing."""
        ...

    def discard(self, names: Iterable[str]) -> None:
        """Removes files written for a HEAD that certainly was not put."""
        ...

    def remove(self, names: Collection[str]) -> set[str]:
        """Removes unused files. Returns those that are gone now."""
        ...

    def written(self) -> Iterable[tuple[str, float]]:
        """Yields the files directly below FOLDERS, and when each was written."""
        ...

    def size(self) -> int:
        """Returns the total size in bytes."""
        ...

    def empty(self, folder: str) -> None:
        """Removes the files of a Delta log; its folder exists afterwards."""
        ...

    def restrict_access(self, folder: str) -> None:
        """Creates the folder if needed, refuses a link, and makes files that a library wrote in it private."""
        ...
