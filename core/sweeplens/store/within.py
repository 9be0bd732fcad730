"""Opens files below one folder, relative to its descriptor. No link is followed, neither below the folder nor in its place.

Where the platform cannot open relative to a descriptor (Windows), each component is checked before the file is opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator

from sweeplens.errors import StoreError

__all__ = ["PRIVATE_FILE", "PRIVATE_FOLDER", "make_folder", "names_in", "open_file", "remove_file"]

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600

_RELATIVE = {os.open, os.unlink, os.stat, os.mkdir} <= os.supports_dir_fd and os.scandir in os.supports_fd
_NOFOLLOW, _FOLDER = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_DIRECTORY", 0)
_PLAIN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | _NOFOLLOW


def open_file(base: str, name: str, flags: int = os.O_RDONLY, mode: int = PRIVATE_FILE) -> int:
    """Opens a regular file at a relative path with ``/``. Raises OSError, or StoreError for anything else."""
    with _parent(base, name) as (folder, last):
        descriptor = os.open(last, flags | _PLAIN, mode, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"'{base}/{name}' is not a regular file.")
    return descriptor


def make_folder(base: str, name: str, mode: int = PRIVATE_FOLDER) -> None:
    """Creates a folder if there is none. An existing folder loses other users' permissions that ``mode`` does not give."""
    with _parent(base, name) as (folder, last):
        with contextlib.suppress(FileExistsError):
            os.mkdir(last, mode, dir_fd=folder)
        info = os.stat(last, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            raise StoreError(f"'{base}/{name}' is not a folder.")
        if info.st_mode & 0o077 & ~mode and folder is not None:
            tighten(last, mode, folder)


def tighten(name: str, mode: int, folder: int) -> None:
    """Removes other users' permissions from a file or folder that an earlier version or another library created."""
    descriptor = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=folder)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def remove_file(base: str, name: str) -> None:
    """Removes a file; a missing file is no error. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), _parent(base, name) as (folder, last):
        os.unlink(last, dir_fd=folder)


def names_in(base: str, folder: str = "", *, mode: int | None = None) -> list[tuple[str, os.stat_result]]:
    """Returns the regular files in a folder. With ``mode``, each loses other users' permissions that it does not give."""
    found: list[tuple[str, os.stat_result]] = []
    with _parent(base, f"{folder}/-" if folder else "-") as (descriptor, last):
        for entry in os.scandir(os.path.dirname(last) if descriptor is None else descriptor):  # noqa: PTH120
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode):
                    found.append((entry.name, info))
                    if mode is not None and descriptor is not None and info.st_mode & 0o077 & ~mode:
                        tighten(entry.name, mode, descriptor)
    return found


@contextlib.contextmanager
def _parent(base: str, name: str) -> Generator[tuple[int | None, str]]:
    """Yields a descriptor of a name's folder and the last component, or None and the whole path without descriptors."""
    *above, last = name.split("/")
    if {"", ".", ".."} & {*above, last}:
        raise StoreError(f"{name!r} is not the name of a file of the store {base!r}.")
    if not _RELATIVE:
        yield None, _checked_path(base, [*above, last])
        return
    folder = os.open(base, os.O_RDONLY | _FOLDER | _PLAIN)
    try:
        for part in above:
            inner = os.open(part, os.O_RDONLY | _FOLDER | _PLAIN, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder, last
    finally:
        os.close(folder)


def _checked_path(base: str, parts: list[str]) -> str:
    path = base
    for part in ("", *parts):
        path = os.path.join(path, part) if part else path  # noqa: PTH118
        if os.path.islink(path):  # noqa: PTH114
            raise StoreError(f"{path!r} is a link.")
    return path
