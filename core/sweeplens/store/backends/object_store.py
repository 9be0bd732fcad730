"""`ObjectBackend`: a store below a URL of an object store. HEAD is replaced by a conditional put; correctness depends on it.

Requests are few: one per refresh, one listing when a HEAD is loaded, and none per call. Files are made on this machine
and uploaded whole.
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
)  # small files; deltalake has only a timeout of the whole request
_LISTING_SECONDS = 60.0  # how often it is checked that no file of HEAD was deleted
_PARALLEL = 8


class ObjectBackend:
    """`StoreBackend` on an object store."""

    scan_options: Mapping[str, str | int] | None = {**_SCANS.options, "max_retries": _SCANS.retries}
    table_options: dict[str, str] | None = {**_COMMITS.options, "max_retries": str(_COMMITS.retries)}  # noqa: RUF012
    file_mode: int = PRIVATE_FILE
    pause: float = 0.25

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = ObjectClient(address)
        self._listed_at = float("-inf")
        self._held: dict[str, HeldLease | None] = {}

    def locate(self, name: str) -> str:
        """Returns the URL of an object."""
        return f"{self.address}/{name}"

    def prepare(self) -> None:
        """Does nothing: an object needs no folder, and the first put shows whether writing works."""

    def vanished(self) -> bool:
        """Never: an empty store works as any other."""
        return False

    def stamp(self) -> HeadStamp | None:
        """Returns HEAD's entity tag and version."""
        version = self._client.head("HEAD")
        return None if version is None else (version.e_tag, version.version)

    def replace_head(self, data: bytes, before: HeadStamp | None) -> HeadStamp:
        """Puts HEAD if the current one has the stamp ``before``."""
        version = None if before is None else ObjectVersion(*cast("tuple[str | None, str | None]", before))
        put = self._client.put_after("HEAD", data, version)
        return put.e_tag, put.version

    @contextlib.contextmanager
    def lock(self, name: str) -> Generator[bool]:
        """Tries to take a lease, which expires if its process is killed."""
        with leased(self._client, name) as held:
            self._held[name] = held
            yield held is not None

    def contested(self, stamp: HeadStamp | None) -> bool:
        """Whether another process may write too: HEAD or the lease changed, or the previous lease was never released."""
        held = self._held.get("LOCK")
        return held is None or held.inherited or self._client.head("LOCK") != held.version or self.stamp() != stamp

    @contextlib.contextmanager
    def staging(self) -> Generator[Path]:
        """Yields a temporary folder. Raises TemporaryFolderError if it cannot be written."""
        try:
            with tempfile.TemporaryDirectory(prefix="sweeplens-", ignore_cleanup_errors=True) as name:
                for folder in FOLDERS:
                    Path(name, folder).mkdir(0o700)
                yield Path(name)
        except (BackendUnreachableError, HeadMovedError):
            raise
        except OSError as error:
            raise TemporaryFolderError(_no_space(error)) from error

    def add_file(self, staging: Path, name: str) -> str:
        """Uploads a file and deletes it on this machine. Returns its entity tag."""
        etag = self._client.put_file(name, staging / name)
        (staging / name).unlink()
        return etag

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Applies a function to each item in parallel: each makes several requests."""
        with ThreadPoolExecutor(_PARALLEL, "store") as pool:
            return list(pool.map(work, items))

    def read(self, name: str) -> bytes:
        """Returns the bytes of an object."""
        return self._client.get(name)[0]

    def contents(self, files: Sequence[TableFile]) -> list[bytes]:
        """Returns the bytes of small files, fetched in parallel."""
        return self.each(self._content, files)

    def check(self, files: Sequence[TableFile]) -> None:
        """Compares sizes and entity tags of all files with one listing. Raises StoreError if one differs."""
        found = self._listed()
        for file in files:
            there = found.get(file.path)
            if there is None or there.size != file.size or not _is_same(there.etag, file.etag):
                raise StoreError(f"{self.locate(file.path)!r} is gone or damaged.")

    def adopt(self, files: Sequence[TableFile]) -> None:
        """Compares sizes and entity tags with one listing."""
        self.check(files)

    def holds(self, paths: Iterable[str]) -> bool:
        """Whether all files were in the last listing; a listing older than a minute is repeated."""
        wanted = {path.removeprefix(f"{self.address}/") for path in paths}
        if not wanted or time.monotonic() - self._listed_at < _LISTING_SECONDS:
            return True
        return wanted <= self._listed().keys()

    def lost(self, paths: Iterable[str]) -> bool:
        """Never: this is unknown between two refreshes."""
        return False

    def discard(self, names: Iterable[str]) -> None:
        """Does nothing: a HEAD whose response was lost may name these files. Otherwise `sweep` removes them later."""

    def remove(self, names: Collection[str]) -> set[str]:
        """Removes objects of the store, many in one request."""
        own = {name for name in names if is_own_name(name)}
        self._client.delete(own)
        return own

    def written(self) -> Iterator[tuple[str, float]]:
        """Yields the files of the tables and of the state."""
        for found in self._client.list():
            if is_own_name(found.name):
                yield found.name, found.written

    def size(self) -> int:
        """Returns the bytes of all objects."""
        return sum(found.size for found in self._client.list())

    def empty(self, folder: str) -> None:
        """Removes the objects of a Delta log."""
        assert folder in [f"{table}/{LOG_FOLDER}" for table in TABLES]
        names = (found.name for found in self._client.list(folder))
        self._client.delete([n for n in names if is_log_name(n.removeprefix(f"{folder}/"))])

    def restrict_access(self, folder: str) -> None:
        """Does nothing: the object store's own rules decide about access."""

    def _content(self, file: TableFile) -> bytes:
        return intact(self.read(file.path), file, self.locate(file.path))

    def _listed(self) -> dict[str, ListedObject]:
        self._listed_at = time.monotonic()
        return {found.name: found for found in self._client.list("points")}


def _is_same(there: str, before: str) -> bool:
    """Whether an entity tag is unchanged, as far as the store gives one."""
    return not there or not before or there == before


def _no_space(error: OSError) -> str:
    return f"the folder for temporary files {tempfile.gettempdir()!r} accepts no files ({error}): free space there, or set TMPDIR"
