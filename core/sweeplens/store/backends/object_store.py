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

import polars as pl

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import FOLDERS, HeadStamp, TableFile
from sweeplens.store.backends.lease import HeldLease, leased
from sweeplens.store.backends.object_client import ObjectClient, ObjectVersion, RequestTimeouts

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
        """A folder for a while."""
        with tempfile.TemporaryDirectory(prefix="sweeplens-", ignore_cleanup_errors=True) as name:
            for folder in FOLDERS:
                Path(name, folder).mkdir()
            yield Path(name)

    def take_in(self, desk: Path, name: str) -> None:
        """Put a file, and free its room on this machine."""
        self._bucket.put_file(name, desk / name)
        (desk / name).unlink()

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """At once: each is a chain of requests."""
        with ThreadPoolExecutor(_AT_ONCE, "store") as pool:
            return list(pool.map(work, items))

    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return self._bucket.get(name)[0]

    def frames(self, names: Sequence[str]) -> list[pl.DataFrame]:
        """Small Parquet files as frames, got at once."""
        return [pl.read_parquet(data) for data in self.each(self.read, names)]

    def check(self, files: Sequence[TableFile]) -> None:
        """Whether every file is there in its size, by one listing."""
        sizes = self._sizes()
        for file in files:
            if sizes.get(file.path) != file.size:
                raise StoreError(f"{self.locate(file.path)!r} is gone or damaged.")

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether all files were there when they were last counted, which is now where that is a minute ago."""
        wanted = {path.removeprefix(f"{self.address}/") for path in paths}
        if not wanted or time.monotonic() - self._counted < _COUNTED_SECONDS:
            return True
        return wanted <= self._sizes().keys()

    def lost(self, paths: Iterable[str]) -> bool:
        """Not known between two looks."""
        return False

    def discard(self, names: Iterable[str]) -> None:
        """Nothing: a HEAD whose answer got lost may name them. Where it does not, they are swept when they are old."""

    def remove(self, names: Collection[str]) -> set[str]:
        """Remove objects, many in one request."""
        self._bucket.delete(names)
        return set(names)

    def written(self) -> Iterator[tuple[str, float]]:
        """The files of the tables and of the state."""
        for found in self._bucket.list():
            folder, slash, base = found.name.partition("/")
            if slash and folder in FOLDERS and "/" not in base:
                yield found.name, found.written

    def size(self) -> int:
        """The bytes of all objects."""
        return sum(found.size for found in self._bucket.list())

    def empty(self, folder: str) -> None:
        """Remove the objects below a folder."""
        self._bucket.delete([found.name for found in self._bucket.list(folder)])

    def _sizes(self) -> dict[str, int]:
        self._counted = time.monotonic()
        return {found.name: found.size for found in self._bucket.list("points")}
