"""`LocalBackend`: a store in a folder on a disk. HEAD is replaced by a rename; the system releases a lock when its process ends.

Only this user gets access to its files, and the folder is used only while other users can change neither it nor any folder
above it. Files are opened relative to the folder, without following links.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import BackendUnreachableError, HeadStamp, TableFile, UnsafeError
from sweeplens.store.backends.file_lock import try_lock, unlock
from sweeplens.store.checksums import intact, sum_of
from sweeplens.store.names import FOLDERS, LOG_FOLDER, TABLES, fresh_id, is_log_name, is_own_name
from sweeplens.store.trust import why_unsafe
from sweeplens.store.within import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, names_in, open_file, remove_file

__all__ = ["LocalBackend"]

T = TypeVar("T")
R = TypeVar("R")


_MAX_HEAD_BYTES = 256 << 20
_FEW_BYTES = 8 << 20  # below this, files are checked in one thread
_Identity = tuple[int, int, int]


class LocalBackend:
    """`StoreBackend` on a disk. ``shared``: other users may read and write it too, as far as the umask allows."""

    scan_options: Mapping[str, str | int] | None = None
    table_options: dict[str, str] | None = None
    pause: float = 0.05

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path
        self.address = str(path)
        self.shared = shared
        self.file_mode = 0o666 if shared else PRIVATE_FILE
        self._folder_mode = 0o777 if shared else PRIVATE_FOLDER
        self._checked: dict[str, _Identity] = {}

    def locate(self, name: str) -> str:
        """Returns the path of a file."""
        return f"{self.address}/{name}"

    def prepare(self) -> None:
        """Creates the folders; taking the lock shows whether files can be written."""
        self._require_safe()
        for folder in reversed([p for p in self.path.parents if not p.exists()]):
            folder.mkdir(self._folder_mode, exist_ok=True)
        make_folder(str(self.path.parent), self.path.name, self._folder_mode)
        self._require_safe()  # another user may have been faster
        for name in (*FOLDERS, *(f"{table}/{LOG_FOLDER}" for table in TABLES)):
            make_folder(self.address, name, self._folder_mode)
        with self.lock("LOCK"):
            pass

    def vanished(self) -> bool:
        """Whether the folder is gone."""
        return not self.path.exists()

    def stamp(self) -> HeadStamp | None:
        """Returns HEAD's inode, time and size. Raises UnsafeError."""
        self._require_safe()
        try:
            info = (self.path / "HEAD").lstat()
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns, info.st_size

    def replace_head(self, data: bytes, before: HeadStamp | None) -> HeadStamp:
        """Renames a new HEAD over the old one. No other process does so meanwhile: the writer has the lock."""
        del before
        fresh = f"HEAD.{fresh_id()}"
        try:
            with os.fdopen(self._create(fresh), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            (self.path / fresh).replace(self.path / "HEAD")
        except OSError:
            remove_file(self.address, fresh)
            raise
        return self.stamp() or ()

    @contextlib.contextmanager
    def lock(self, name: str) -> Generator[bool]:
        """Tries to take the lock; yields whether this process holds it."""
        with os.fdopen(open_file(self.address, name, os.O_RDWR | os.O_CREAT, self.file_mode), "r+b") as stream:
            held = try_lock(stream.fileno())
            try:
                yield held
            finally:
                if held:
                    unlock(stream.fileno())

    def contested(self, stamp: HeadStamp | None) -> bool:
        """Never: a lock is held until it is released."""
        return False

    def staging(self) -> contextlib.AbstractContextManager[Path]:
        """Returns the store itself: files are made in their final folder."""
        return contextlib.nullcontext(self.path)

    def add_file(self, staging: Path, name: str) -> str:
        """Remembers the identity of a file of points, which snapshots use; the file is in the store already."""
        if is_own_name(name, "points"):
            with contextlib.suppress(OSError):  # the commit fails then
                self._checked[self.locate(name)] = _identity(os.lstat(self.locate(name)))
        return ""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Applies a function to each item in parallel: commits wait for the disk too."""
        with ThreadPoolExecutor(len(FOLDERS), "store") as pool:
            return list(pool.map(work, items))

    def read(self, name: str) -> bytes:
        """Returns the bytes of a file."""
        with self._open(name) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > _MAX_HEAD_BYTES:
                raise StoreError(f"{self.locate(name)!r} is larger than {_MAX_HEAD_BYTES >> 20} MB.")
            return stream.read(size)

    def contents(self, files: Sequence[TableFile]) -> list[bytes]:
        """Returns the bytes of small files, checked."""
        return [self._content(file) for file in files]

    def check(self, files: Sequence[TableFile]) -> None:
        """Compares the checksum of every file, several at a time if they are large."""
        self._checked.clear()
        if sum(f.size for f in files) < _FEW_BYTES:
            for file in files:
                self._check(file)
        else:
            self.each(self._check, files)

    def adopt(self, files: Sequence[TableFile]) -> None:
        """Compares the checksum of every file, and remembers its identity."""
        self.each(self._check, files)

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether every file is still the one that was checked."""
        return all(map(self._is_same, paths))

    def lost(self, paths: Iterable[str]) -> bool:
        """Whether any file is gone or was replaced."""
        return not self.holds(paths)

    def discard(self, names: Iterable[str]) -> None:
        """Removes the files: after a disk error HEAD was not replaced, so no HEAD names them."""
        self.remove(list(names))

    def remove(self, names: Collection[str]) -> set[str]:
        """Removes files of the store; a file that cannot be removed is tried again later."""
        gone: set[str] = set()
        for name in filter(is_own_name, names):
            with contextlib.suppress(OSError, StoreError):
                remove_file(self.address, name)
                self._checked.pop(self.locate(name), None)
                gone.add(name)
        return gone

    def written(self) -> Iterator[tuple[str, float]]:
        """Yields the files of the tables, and HEADs that killed processes left; those get time 0, as the writer has the lock."""
        for name, _ in names_in(self.address):
            if is_own_name(name):
                yield name, 0.0
        for folder in FOLDERS:
            for name, info in names_in(self.address, folder):
                if is_own_name(f"{folder}/{name}"):
                    yield f"{folder}/{name}", info.st_mtime

    def size(self) -> int:
        """Returns the bytes of everything below the folder."""
        return sum(p.lstat().st_size for p in self.path.rglob("*") if p.is_file())

    def empty(self, folder: str) -> None:
        """Removes the files of a Delta log; its folder exists afterwards."""
        make_folder(self.address, folder, self._folder_mode)
        for name, _ in names_in(self.address, folder):
            if is_log_name(name):
                remove_file(self.address, f"{folder}/{name}")

    def restrict_access(self, folder: str) -> None:
        """Creates the folder if needed, refuses a link, and makes files that a library wrote there private."""
        make_folder(self.address, folder, self._folder_mode)
        if not self.shared:
            names_in(self.address, folder, mode=PRIVATE_FILE)

    # --------------------------------------------------------------- private

    def _require_safe(self) -> None:
        try:
            why = why_unsafe(self.address, shared=self.shared)
        except OSError as error:
            raise BackendUnreachableError(str(error)) from error
        if why:
            raise UnsafeError(why)

    def _create(self, name: str) -> int:
        return open_file(self.address, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.file_mode)

    def _open(self, name: str) -> io.FileIO:
        return io.FileIO(open_file(self.address, name), "rb")

    def _content(self, file: TableFile) -> bytes:
        with self._open(file.path) as stream:
            if os.fstat(stream.fileno()).st_size != file.size:
                raise StoreError(f"{self.locate(file.path)!r} is damaged: it has another size.")
            return intact(stream.read(file.size), file, self.locate(file.path))

    def _check(self, file: TableFile) -> None:
        with self._open(file.path) as stream:
            info = os.fstat(stream.fileno())
            if info.st_size != file.size or sum_of(stream) != file.checksum:
                raise StoreError(
                    f"{self.locate(file.path)!r} is damaged: its size or its checksum changed since it was written."
                )
        self._checked[self.locate(file.path)] = _identity(info)

    def _is_same(self, path: str) -> bool:
        known = self._checked.get(path)
        try:
            return known is not None and _identity(os.lstat(path)) == known
        except OSError:
            return False


def _identity(info: os.stat_result) -> _Identity:
    return info.st_ino, info.st_size, info.st_mtime_ns
