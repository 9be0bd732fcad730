"""Replaces a user's file as a whole: atomically, with a backup, and with the same owner and permissions.

    current(path)               the file's content, links followed
    replace_text(file, text)    writes new content; returns the path of the backup, or None for a new file

At no moment can other users read more than before: the new file is created for its owner alone, and gets the old mode, owner
and attributes before it replaces the old one. A file with several hard links is written in place, so that the links stay.
Raises ConfigError if writing would change the owner or overwrite a change of another program.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from msgspec import Struct

from sweeplens.errors import ConfigError

__all__ = ["CurrentFile", "current", "replace_text"]

_PRIVATE = 0o600
_NEW = 0o666  # minus the umask, as for every new file


class CurrentFile(Struct, frozen=True):
    """The file behind ``path``. ``text`` is None if there is no file yet; ``status``: its state when it was read."""

    path: Path
    text: str | None = None
    status: os.stat_result | None = None


def current(path: Path) -> CurrentFile:
    """Returns the file that a path leads to. Raises ConfigError if it is not UTF-8 or not a regular file; OSError."""
    target = Path(os.path.realpath(path))
    try:
        with target.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return CurrentFile(target)
    try:
        return CurrentFile(target, content.decode("utf-8"), status)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{target} is not UTF-8 (byte {error.start})") from None


def replace_text(file: CurrentFile, text: str) -> Path | None:
    """Writes ``text`` and keeps the old content in a backup beside it."""
    content = text.encode("utf-8")
    if file.status is None:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        _created(file.path, content, _NEW).replace(file.path)
        return None
    _check_writable(file.path, file.status)
    backup = _backup(file)
    if file.status.st_nlink > 1:
        with file.path.open("r+b") as shared:
            shared.write(content)
            shared.truncate()
        return backup
    aside = _created(file.path, content, _PRIVATE)
    try:
        _copy_status(aside, file.path, file.status)
        _check_unchanged(file)
        aside.replace(file.path)
    finally:
        aside.unlink(missing_ok=True)
    return backup


def _check_writable(path: Path, status: os.stat_result) -> None:
    if not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise ConfigError(f"{path} is read-only")


def _check_unchanged(file: CurrentFile) -> None:
    now = file.path.stat()
    before = file.status
    if before and (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
        raise ConfigError(f"{file.path} was changed by another program in the meantime: try again")


def _backup(file: CurrentFile) -> Path:
    """Makes a copy beside the file, with the same readers."""
    name = next(n for n in _backup_names(file.path.name) if not file.path.with_name(n).exists())
    backup = file.path.with_name(name)
    descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "wb") as copy:
        copy.write((file.text or "").encode("utf-8"))
    if file.status:
        _copy_status(backup, file.path, file.status)
    return backup


def _backup_names(name: str) -> Iterator[str]:
    """Yields NAME.bak, NAME.bak2, NAME.bak3, ..."""
    yield f"{name}.bak"
    yield from (f"{name}.bak{number}" for number in count(2))


def _created(path: Path, content: bytes, mode: int) -> Path:
    """Creates a new file beside ``path`` and flushes it to the disk."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return aside


def _copy_status(new: Path, old: Path, status: os.stat_result) -> None:
    """Gives a file the owner, mode and attributes of another. Raises ConfigError if the owner cannot be kept."""
    new_status = new.stat()
    if hasattr(os, "chown") and (new_status.st_uid, new_status.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.chown(new, status.st_uid, status.st_gid)
        except PermissionError:
            new.unlink()
            raise ConfigError(f"{old} belongs to another user or group, which a new file could not keep") from None
    shutil.copystat(old, new)
    os.utime(new)
