"""HEAD: the one file that names what belongs together, replaced in one step; and the lock that writers take, never readers."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Generator
from pathlib import Path

from msgspec import MsgspecError, Struct, field, json

from sweeplens.errors import StoreError

__all__ = ["SCHEMA", "FileName", "Head", "fresh_id", "fresh_name", "locked", "read_head", "stamp_of", "write_head"]

SCHEMA = 1
"""Raised whenever what is stored changes its form: a store of another schema is built anew."""


class FileName(Struct, frozen=True):
    """One Parquet file of a table, named relative to the store."""

    path: str
    rows: int
    size: int
    low: str = ""  # the least and the greatest run id
    high: str = ""


class Head(Struct, frozen=True):
    """One version of the whole store."""

    readers: dict[str, int]
    roots: list[str]
    tables: dict[str, list[FileName]]
    versions: dict[str, int]  # of the Delta tables
    walk: str
    view: str  # the runs frame as it is in memory, one column a hyperparameter
    data_version: str
    young: list[list[str]]
    retired: dict[str, float]  # files that are no longer named, and when they ceased to be
    schema: int = SCHEMA
    id: str = field(default_factory=lambda: fresh_id())
    written: float = field(default_factory=time.time)

    @property
    def files(self) -> list[str]:
        """Every file that this version needs."""
        return [f.path for files in self.tables.values() for f in files] + [self.walk, self.view]


class _Form(Struct):
    """All that is asked of a HEAD before it is known which schema it has."""

    schema: int = 0


def fresh_id() -> str:
    """A name that nobody has."""
    return uuid.uuid4().hex


def fresh_name(folder: str, ending: str) -> str:
    """A file name that nobody has."""
    return f"{folder}/{fresh_id()}{ending}"


def stamp_of(place: Path) -> tuple[int, int, int] | None:
    """What tells whether HEAD is another one than before; None without one."""
    try:
        info = (place / "HEAD").stat()
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns, info.st_size


def read_head(place: Path) -> Head | None:
    """HEAD; None without one. Raises StoreError where it is damaged or of another schema."""
    try:
        said = (place / "HEAD").read_bytes()
        schema = json.decode(said, type=_Form).schema
        if schema != SCHEMA:
            raise StoreError(f"The store {str(place)!r} has schema {schema}, this version has {SCHEMA}.")
        return json.decode(said, type=Head)
    except FileNotFoundError:
        return None
    except (OSError, MsgspecError) as error:
        raise StoreError(f"HEAD of the store {str(place)!r} cannot be read: {error}.") from error


def write_head(place: Path, head: Head) -> None:
    """Put a new HEAD in the place of the old one, in one step."""
    fresh = place / f"HEAD.{head.id}"
    try:
        with fresh.open("wb") as stream:
            stream.write(json.encode(head))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(place / "HEAD")
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(place: Path, name: str, *, wait: float = 0.0) -> Generator[bool]:
    """Whether this process holds the lock meanwhile. The system frees it when a process ends, however it ends."""
    with (place / name).open("a+b") as stream:
        until = time.monotonic() + wait
        held = _try_lock(stream.fileno())
        while not held and time.monotonic() < until:
            time.sleep(0.02)
            held = _try_lock(stream.fileno())
        try:
            yield held
        finally:
            if held:
                _unlock(stream.fileno())


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
