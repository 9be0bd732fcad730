"""`ObjectBackend`: a store below a URL of an object store. HEAD is replaced by a conditional put, and that is what all rests on.

Nothing is asked of an object store but what needs an answer: one request a look, one listing where a HEAD is taken over, and
none a call. Files are made on this machine and put whole.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import (
    BackendUnreachableError,
    HeadMovedError,
    HeadStamp,
    TableFile,
    TemporaryFolderError,
)
from sweeplens.store.backends.lease import HeldLease, leased
from sweeplens.store.backends.object_client import ListedObject, ObjectClient, ObjectVersion, RequestTimeouts
from sweeplens.store.checksums import intact
from sweeplens.store.names import FOLDERS, LOG_FOLDER, TABLES, is_log_name, is_own_name
from sweeplens.store.within import PRIVATE_FILE

__all__ = ["SCHEMES", "ObjectBackend"]

T = TypeVar("T")
R = TypeVar("R")

SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
_SCANS = RequestTimeouts(silence=10, whole=600, retries=1)
_COMMITS = RequestTimeouts(
    silence=10, whole=10, retries=1
)  # small files; deltalake knows no other bound than that of the whole
_COUNTED_SECONDS = 60.0  # whether files were deleted under HEAD is looked up so often
_AT_ONCE = 8


class ObjectBackend:
    """`Place` on an object store."""

    scan_options: Mapping[str, str | int] | None = {**_SCANS.options, "max_retries": _SCANS.retries}
    table_options: dict[str, str] | None = {**_COMMITS.options, "max_retries": str(_COMMITS.retries)}  # noqa: RUF012
    file_mode: int = PRIVATE_FILE
    pause: float = 0.25

    def __init__(self, address: str) -> None:
        self.address = address
        self._bucket = ObjectClient(address)
        self._counted = float("-inf")
        self._held: dict[str, HeldLease | None] = {}

    def locate(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.address}/{name}"

    def prepare(self) -> None:
        """Nothing: an object needs no folder, and whether it can be put is seen when it is."""

    def vanished(self) -> bool:
        """A place that is empty is as good as another."""
        return False

    def stamp(self) -> HeadStamp | None:
        """HEAD's entity tag, or what else tells its content."""
        said = self._bucket.head("HEAD")
        return None if said is None else (said.e_tag, said.version)

    def replace_head(self, said: bytes, before: HeadStamp | None) -> HeadStamp:
        """Put HEAD where the one with the stamp ``before`` stands."""
        version = None if before is None else ObjectVersion(*cast("tuple[str | None, str | None]", before))
        put = self._bucket.put_after("HEAD", said, version)
        return put.e_tag, put.version

    @contextlib.contextmanager
    def lock(self, name: str) -> Generator[bool]:
        """A lease: it runs out when its process is killed."""
        with leased(self._bucket, name) as held:
            self._held[name] = held
            yield held is not None

    def contested(self, stamp: HeadStamp | None) -> bool:
        """Whether another writes too: its HEAD or its lease is there, or it had the lease before and never gave it back."""
        held = self._held.get("LOCK")
        return held is None or held.inherited or self._bucket.head("LOCK") != held.version or self.stamp() != stamp

    @contextlib.contextmanager
    def desk(self) -> Generator[Path]:
        """A folder for a while. Raises TemporaryFolderError where that folder takes nothing."""
        try:
            with tempfile.TemporaryDirectory(prefix="sweeplens-", ignore_cleanup_errors=True) as name:
                for folder in FOLDERS:
                    Path(name, folder).mkdir(0o700)
                yield Path(name)
        except (BackendUnreachableError, HeadMovedError):
            raise
        except OSError as error:
            raise TemporaryFolderError(_full(error)) from error

    def take_in(self, desk: Path, name: str) -> str:
        """Put a file, and free its room on this machine; its entity tag."""
        etag = self._bucket.put_file(name, desk / name)
        (desk / name).unlink()
        return etag

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """At once: each is a chain of requests."""
        with ThreadPoolExecutor(_AT_ONCE, "store") as pool:
            return list(pool.map(work, items))

    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return self._bucket.get(name)[0]

    def contents(self, files: Sequence[TableFile]) -> list[bytes]:
        """The bytes of small files, got at once."""
        return self.each(self._content, files)

    def check(self, files: Sequence[TableFile]) -> None:
        """Whether every file is there with the size and entity tag that it was put with, by one listing."""
        found = self._listed()
        for file in files:
            there = found.get(file.path)
            if there is None or there.size != file.size or not _is_same(there.etag, file.etag):
                raise StoreError(f"{self.locate(file.path)!r} is gone or damaged.")

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether all files were there when they were last counted, which is now where that is a minute ago."""
        wanted = {path.removeprefix(f"{self.address}/") for path in paths}
        if not wanted or time.monotonic() - self._counted < _COUNTED_SECONDS:
            return True
        return wanted <= self._listed().keys()

    def lost(self, paths: Iterable[str]) -> bool:
        """Not known between two looks."""
        return False

    def discard(self, names: Iterable[str]) -> None:
        """Nothing: a HEAD whose answer got lost may name them. Where it does not, they are swept when they are old."""

    def remove(self, names: Collection[str]) -> set[str]:
        """Remove objects of the store, many in one request."""
        own = {name for name in names if is_own_name(name)}
        self._bucket.delete(own)
        return own

    def written(self) -> Iterator[tuple[str, float]]:
        """The files of the tables and of the state."""
        for found in self._bucket.list():
            if is_own_name(found.name):
                yield found.name, found.written

    def size(self) -> int:
        """The bytes of all objects."""
        return sum(found.size for found in self._bucket.list())

    def empty(self, folder: str) -> None:
        """Remove the objects of a Delta log."""
        assert folder in [f"{table}/{LOG_FOLDER}" for table in TABLES]
        names = (found.name for found in self._bucket.list(folder))
        self._bucket.delete([n for n in names if is_log_name(n.removeprefix(f"{folder}/"))])

    def close_to_others(self, folder: str) -> None:
        """Nothing: who may read an object is settled by the store's own rules."""

    def _content(self, file: TableFile) -> bytes:
        return intact(self.read(file.path), file, self.locate(file.path))

    def _listed(self) -> dict[str, ListedObject]:
        self._counted = time.monotonic()
        return {found.name: found for found in self._bucket.list("points")}


def _is_same(there: str, before: str) -> bool:
    """Whether an entity tag is the one of before, as far as the store gives any."""
    return not there or not before or there == before


def _full(error: OSError) -> str:
    return f"the folder for temporary files {tempfile.gettempdir()!r} takes nothing ({error}): free some room there, or set TMPDIR"
