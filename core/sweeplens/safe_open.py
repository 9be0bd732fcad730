"""Opens only files and folders below the roots. All readers open files through this module.

    confined(roots)     inside, `open_file` opens only files that are really below one of these roots
    open_file(path)     opens a regular file and checks it afterwards; never waits for a writer (FIFO), never opens a device
    OpenFolder          opens a folder for scanning, never through a link; subfolders are opened relative to it

Any user with access to a folder can redirect a path between a check and an open. So the descriptor is checked: its type
by fstat, its path by the system (`/proc/self/fd`, F_GETPATH). If the system does not give the path, it is resolved after
the open, and must lead to the same file.

Links to files inside the root are followed, as in the walk; links to the outside are refused. Outside of `confined`, the
path comes from the caller of the library, and only the type of the file is checked.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from io import BufferedReader, FileIO
from typing import TYPE_CHECKING

from sweeplens.errors import LimitError, RefusedFileError
from sweeplens.source_limits import check_time

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "OpenFolder",
    "SourceFile",
    "check_place",
    "check_room",
    "confined",
    "open_buffered",
    "open_file",
    "place_of",
]

_BUFFER_BYTES = 1 << 16
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = _READ | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
_BY_DESCRIPTOR = os.scandir in os.supports_fd and os.open in os.supports_dir_fd
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_F_GETPATH = 50  # on macOS

_roots: ContextVar[tuple[str, ...]] = ContextVar("roots", default=())


class SourceFile(FileIO):
    """An open regular file. Its reads stop when the time limit of its source is exceeded."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads as FileIO does; also raises SourceLimitError."""
        check_time()
        return super().readinto(buffer) or 0


@contextmanager
def confined(roots: Iterable[str]) -> Generator[None]:
    """Inside, files that this thread opens with `open_file` must be below one of these absolute, resolved folders."""
    token = _roots.set(tuple(dict.fromkeys(roots)))
    try:
        yield
    finally:
        _roots.reset(token)


def open_file(path: str) -> SourceFile:
    """Opens a file for reading, unbuffered. Raises OSError, or RefusedFileError if it is not a regular file below a root."""
    descriptor = _open_descriptor(path)
    try:
        _check_kind(os.fstat(descriptor).st_mode, path)
        check_place(descriptor, path)
        return SourceFile(descriptor)
    except (OSError, RefusedFileError):
        os.close(descriptor)
        raise


def open_buffered(path: str) -> BufferedReader:
    """Opens a file as `open_file` does, with a buffer for reading line by line."""
    return BufferedReader(open_file(path), _BUFFER_BYTES)


class OpenFolder:
    """A folder that stays open while it and its subfolders are scanned. ``descriptor`` is None on systems that cannot scan by it.

    ``parent``: the open folder that contains it; without one, ``path`` is a root. Raises OSError, RefusedFileError for a link.
    """

    def __init__(self, path: str, parent: OpenFolder | None = None) -> None:
        self.path = path
        self.descriptor = _folder_descriptor(path, parent) if _BY_DESCRIPTOR else None
        if self.descriptor is None and os.path.realpath(path) != path:
            raise RefusedFileError(f"{path} is a link now: not entered")

    def scan(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Returns the entries; if scanned by descriptor, their ``path`` is only their name."""
        return os.scandir(self.path) if self.descriptor is None else os.scandir(self.descriptor)

    def close(self) -> None:
        """Closes the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _folder_descriptor(path: str, parent: OpenFolder | None) -> int:
    try:
        if parent is not None:
            return os.open(os.path.basename(path), _FOLDER, dir_fd=parent.descriptor)  # noqa: PTH119 - of many
        descriptor = os.open(path, _FOLDER)
    except OSError as error:
        check_room(error)
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.islink(path):  # noqa: PTH114 - of many
            raise RefusedFileError(f"{path} is a link now: not entered") from error
        raise
    if place_of(descriptor) not in (path, None):
        os.close(descriptor)
        raise RefusedFileError(f"{path} leads elsewhere through a link now: not entered")
    return descriptor


def _open_descriptor(path: str) -> int:
    """Returns a descriptor; a link is followed only if it leads below a root."""
    try:
        return os.open(path, _READ | _NO_LINK)
    except OSError as error:
        check_room(error)
        if error.errno not in (errno.ELOOP, getattr(errno, "EMLINK", errno.ELOOP)):
            raise
    real = os.path.realpath(path)
    if not _is_inside(real):
        raise _outside(path)
    return os.open(real, _READ | _NO_LINK)


def check_room(error: OSError) -> None:
    """Raises LimitError for too many open files, which is no fault of the file: until some are closed, none can be read."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise LimitError(
            f"{error.strerror}: experiments cannot be read. Raise the limit (`ulimit -n 1024` or more) and start again."
        ) from error


def _check_kind(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a file")
        raise RefusedFileError(f"{path} is now {kind}, not a regular file: not read")


def check_place(descriptor: int, path: str) -> None:
    """Raises RefusedFileError if an open file is outside the current roots."""
    if not _roots.get():
        return
    real = place_of(descriptor)
    if real is None:
        real = os.path.realpath(path)
        if not os.path.samestat(os.stat(real), os.fstat(descriptor)):  # noqa: PTH116 - of the resolved path, as it is
            raise RefusedFileError(f"{path} was replaced while it was opened: it is read at the next refresh")
    if not _is_inside(real):
        raise _outside(path)


def _outside(path: str) -> RefusedFileError:
    return RefusedFileError(f"{path} leads outside of the root through a link: not read")


def _is_inside(real: str) -> bool:
    roots = _roots.get()
    return not roots or any(real.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def place_of(descriptor: int) -> str | None:
    """Returns the real path of an open file; None if the system does not give it."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return os.fsdecode(fcntl.fcntl(descriptor, _F_GETPATH, bytes(1024)).rstrip(b"\0"))
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - thousands of files
    except (OSError, ImportError):
        return None
