"""`LocalBackend`: a store in a folder on a disk. HEAD is renamed into its place; the system frees a lock when a process ends."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import polars as pl

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import FOLDERS, HeadStamp, TableFile

__all__ = ["LocalBackend"]

T = TypeVar("T")
R = TypeVar("R")


class LocalBackend:
    """`Place` on a disk."""

    scan_options: Mapping[str, str | int] | None = None
    table_options: dict[str, str] | None = None
    pause: float = 0.05

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = str(path)

    def locate(self, name: str) -> str:
        """The path of a file."""
        return f"{self.address}/{name}"

    def prepare(self) -> None:
        """Make the folders; the lock shows whether files can be written."""
        for table in FOLDERS:
            (self.path / table).mkdir(parents=True, exist_ok=True)
        with self.lock("LOCK"):
            pass

    def vanished(self) -> bool:
        """Whether the folder is gone."""
        return not self.path.exists()

    def stamp(self) -> HeadStamp | None:
        """HEAD's inode, time and size."""
        try:
            info = (self.path / "HEAD").stat()
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns, info.st_size

    def replace_head(self, said: bytes, before: HeadStamp | None) -> HeadStamp:
        """Rename a new HEAD over the old one, which nobody else touches meanwhile: who writes has the lock."""
        del before
        fresh = self.path / f"HEAD.{uuid.uuid4().hex}"
        try:
            with fresh.open("wb") as stream:
                stream.write(said)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self.path / "HEAD")
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        return self.stamp() or ()

    @contextlib.contextmanager
    def lock(self, name: str) -> Generator[bool]:
        """Whether this process holds the lock meanwhile."""
        with (self.path / name).open("a+b") as stream:
            held = _try_lock(stream.fileno())
            try:
                yield held
            finally:
                if held:
                    _unlock(stream.fileno())

    def contested(self, stamp: HeadStamp | None) -> bool:
        """Never: a lock is held until it is given back."""
        return False

    def desk(self) -> contextlib.AbstractContextManager[Path]:
        """The place itself: files are made where they stay."""
        return contextlib.nullcontext(self.path)

    def take_in(self, desk: Path, name: str) -> None:
        """It is there already."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """At once: who commits to a disk waits for it too."""
        with ThreadPoolExecutor(len(FOLDERS), "store") as pool:
            return list(pool.map(work, items))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self.path / name).read_bytes()

    def frames(self, names: Sequence[str]) -> list[pl.DataFrame]:
        """Small Parquet files as frames."""
        return [pl.read_parquet(self.path / name) for name in names]

    def check(self, files: Sequence[TableFile]) -> None:
        """Whether every file has the size that it was written with, and an end of Parquet."""
        for file in files:
            if not _is_intact(self.locate(file.path), file.size):
                raise StoreError(f"{self.locate(file.path)!r} is damaged.")

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether every file is still there."""
        return all(map(os.path.exists, paths))

    def lost(self, paths: Iterable[str]) -> bool:
        """Whether any file is gone."""
        return not self.holds(paths)

    def discard(self, names: Iterable[str]) -> None:
        """A disk that refused did not replace HEAD: nobody names these files."""
        self.remove(list(names))

    def remove(self, names: Collection[str]) -> set[str]:
        """Remove files; a file that cannot be is tried again another time."""
        gone: set[str] = set()
        for name in names:
            with contextlib.suppress(OSError):
                (self.path / name).unlink(missing_ok=True)
                gone.add(name)
        return gone

    def written(self) -> Iterator[tuple[str, float]]:
        """The files of the tables; and new HEADs of processes that were killed, as old as can be: the writer has the lock."""
        for path in self.path.glob("HEAD.*"):
            yield path.name, 0.0
        for folder in FOLDERS:
            for path in (self.path / folder).iterdir():
                with contextlib.suppress(OSError):  # gone meanwhile
                    if path.is_file():
                        yield f"{folder}/{path.name}", path.stat().st_mtime

    def size(self) -> int:
        """The bytes of everything below the folder."""
        return sum(p.stat().st_size for p in self.path.rglob("*") if p.is_file())

    def empty(self, folder: str) -> None:
        """Remove the files directly below a folder, and have the folder."""
        for file in (self.path / folder).glob("*"):
            file.unlink()
        (self.path / folder).mkdir(parents=True, exist_ok=True)


def _is_intact(path: str, size: int) -> bool:
    """Whether a file has this size and an end of Parquet. Raises OSError without one."""
    with open(path, "rb") as stream:  # noqa: PTH123 - many files: Path is slow
        return stream.seek(-4, os.SEEK_END) + 4 == size and stream.read(4) == b"PAR1"


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
