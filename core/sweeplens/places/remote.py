"""The interface of a place that is not a folder, and what its files may be called.

    files()           one listing of everything below the address; raises PlaceError if the place cannot be read
    read(file, ...)   the bytes of a listed file, or of a part of it; raises ChangedFileError if it is another file by now

Everything that a place returns is untrusted: `safe_name` decides whether a name can be a path below the mirror.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from sweeplens.errors import FormatError

__all__ = ["ChangedFileError", "PlaceListing", "Remote", "RemoteFile", "safe_name"]

_MOST_PART = 255  # bytes of one component of a path, on every usual file system
_MOST_NAME = 1024
_MOST_DEPTH = 60  # the walk enters 64 folders
_RESERVED = frozenset("\0\\:") if os.name == "nt" else frozenset("\0")


class ChangedFileError(FormatError):
    """A file changed between the listing and the reading: the next refresh reads it."""


class RemoteFile(Struct, frozen=True, array_like=True):
    """A file of a listing. Two equal values have equal content; ``version``: what the place says of the content."""

    name: str  # below the address, with ``/``
    size: int  # -1: not known until it is read
    mtime: float  # seconds
    version: str = ""


class PlaceListing(Struct, frozen=True):
    """A place that other machines can read with credentials of their own: its mirror here, and the files of the last refresh."""

    folder: str
    url: str
    shown: str  # the same without secrets
    files: Mapping[str, RemoteFile]


class Remote(Protocol):
    """A place. ``address`` is without secrets; ``folder_name``: of the folder that the answers' names begin in."""

    address: str
    folder_name: str
    concurrency: int  # requests at the same time; 1: files are read in the order of the listing
    reads_parts: bool  # whether reading the end of a file spares reading its beginning
    notes: tuple[str, ...]  # sentences on what the last listing left out

    def files(self) -> Sequence[RemoteFile]:
        """Returns all files. Raises PlaceError."""
        ...

    def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yields a file from ``start`` to ``end``. Raises PlaceError, ChangedFileError."""
        ...

    def close(self) -> None:
        """Frees what a refresh holds open; the next one opens it again."""
        ...


def safe_name(name: str) -> bool:
    """Whether a name from a place can be a path below the mirror on this system."""
    parts = name.split("/")
    if len(parts) > _MOST_DEPTH or len(name) > _MOST_NAME:
        return False
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError:
        return False
    return all(
        part not in (b"", b".", b"..") and len(part) <= _MOST_PART for part in encoded
    ) and not _RESERVED.intersection(name)
