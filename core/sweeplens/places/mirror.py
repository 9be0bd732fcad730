"""`Mirror`: a private folder that is kept equal to a place, so that the walk and every reader read it as any folder.

`refresh` lists the place once, fetches what changed, and removes what is gone. A file is replaced in one step; a log that only
grew is continued in its place, after its beginning and its last bytes were compared. Files that no reader may claim are holes
of the right size and time, so that names, sizes and times are those of the place.

What a refresh left is in ``index.json`` beside the files: a later process fetches only what changed since. If the place cannot
be reached, the files stay as they are, and `refresh` returns a sentence with the time of the last refresh that succeeded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from sweeplens.cancellation import StoppedError
from sweeplens.errors import PlaceError, SweeplensError
from sweeplens.places.remote import ChangedFileError, Remote, RemoteFile, safe_name
from sweeplens.places.wanted import grows_at_its_end, is_skipped, is_wanted
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import Failure, error_reason, guarded, is_system_error
from sweeplens.store.backends.file_lock import try_lock, unlock

__all__ = ["Mirror", "MirrorProgress"]

MirrorProgress = Callable[[int, int, str], None]
"""Called with (files fetched, files to fetch, name); it may raise to end the work."""

log = logging.getLogger("sweeplens.places")

_COMPARED = 4096  # bytes at each end of what is held, before a log is continued
_LOCK_SECONDS = 600.0
_MOST_UNKNOWN = 1 << 30  # bytes of a file whose size its place does not tell
_NAMED = 3


class _MirrorIndex(Struct):
    """The state of a mirror: the files of the last listing, those that were fetched, and the time of that refresh."""

    address: str = ""
    looked: float = 0.0
    files: dict[str, RemoteFile] = field(default_factory=dict[str, RemoteFile])
    fetched: set[str] = field(default_factory=set[str])


class _MirrorPlan(Struct):
    """What one refresh has to do."""

    fetch: list[RemoteFile] = field(default_factory=list[RemoteFile])
    holes: list[RemoteFile] = field(default_factory=list[RemoteFile])
    too_large: list[RemoteFile] = field(default_factory=list[RemoteFile])
    unusable: list[str] = field(default_factory=list[str])
    gone: list[str] = field(default_factory=list[str])


class Mirror:
    """The mirror of one place below ``home``, of at most ``most_bytes``."""

    def __init__(self, remote: Remote, home: Path, most_bytes: int) -> None:
        self.remote = remote
        self.folder = home / "files" / remote.folder_name
        self._home = home
        self._most_bytes = most_bytes
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "files").mkdir(exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self._checked = False

    def refresh(self, progress: MirrorProgress | None = None) -> tuple[str, ...]:
        """Makes the folder equal to the place. Returns sentences on what is missing or old.

        Raises PlaceError if the place cannot be reached and nothing is known of it from before.
        """
        with self._alone():
            index = self._index()
            done = guarded(lambda: self._looked(index, progress), self.remote.address, "it is not as it should be")
        if isinstance(done, Failure):
            done = PlaceError(f"{self.remote.address} cannot be read: {done.problem.reason}.")
        if not isinstance(done, PlaceError):
            return done
        if not index.looked:
            raise done
        return (f"{done} Answers show {self.remote.address} as it was at {_utc(index.looked)}.",)

    def listed(self) -> dict[str, RemoteFile]:
        """Returns the files of the last refresh by name, fetched or not."""
        with self._alone():
            return self._index().files

    # --------------------------------------------------------------- private

    def _looked(self, index: _MirrorIndex, progress: MirrorProgress | None) -> tuple[str, ...] | PlaceError:
        """Lists, fetches and removes. Returns what `refresh` does, or the error of a place that cannot be read."""
        try:
            plan = self._plan(self.remote.files(), index)
            failed = self._apply(plan, index, progress)
        except PlaceError as error:
            return error
        finally:
            self.remote.close()
        return (*self.remote.notes, *_sentences(self.remote.address, plan, failed, self._most_bytes))

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Waits until no other process changes this mirror."""
        until = time.monotonic() + _LOCK_SECONDS
        with (self._home / "LOCK").open("a+b") as stream:
            while not try_lock(stream.fileno()):
                if time.monotonic() > until:
                    raise PlaceError(
                        f"Another process has been reading {self.remote.address} for {_LOCK_SECONDS:.0f} s."
                    )
                time.sleep(0.05)
            try:
                yield
            finally:
                unlock(stream.fileno())

    def _index(self) -> _MirrorIndex:
        """Returns the state that the last refresh left; files that are not as it says are fetched again."""
        try:
            found = msgspec.json.decode((self._home / "index.json").read_bytes(), type=_MirrorIndex)
        except (OSError, msgspec.DecodeError):
            found = _MirrorIndex()
        if found.address != self.remote.address:
            found = _MirrorIndex(self.remote.address)
        if not self._checked:
            broken = [name for name, file in found.files.items() if not safe_name(name) or not self._holds(file)]
            for name in broken:
                del found.files[name]
            self._remove_strangers(found)
            self._checked = True
        return found

    def _holds(self, file: RemoteFile) -> bool:
        try:
            return self._path(file.name).lstat().st_size == file.size or file.size < 0
        except OSError:
            return False

    def _remove_strangers(self, index: _MirrorIndex) -> None:
        """Removes files that the index does not name: a process that was killed left them."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                if path.relative_to(self.folder).as_posix() not in index.files:
                    path.unlink()

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("/"))

    def _plan(self, listed: Sequence[RemoteFile], index: _MirrorIndex) -> _MirrorPlan:
        plan = _MirrorPlan()
        usable = {f.name: f for f in listed if safe_name(f.name)}
        plan.unusable = [f.name for f in listed if f.name not in usable]
        folders = {name[:at] for name in usable for at, sign in enumerate(name) if sign == "/"}
        for name in usable.keys() & folders:  # a file where others need a folder
            if usable.pop(name).size:
                plan.unusable.append(name)
        files = {n: f for n, f in usable.items() if not is_skipped(n)}
        plan.gone = [name for name in index.files if name not in files]
        wanted = {name for name, file in files.items() if is_wanted(file)}
        changed = [f for n, f in files.items() if index.files.get(n) != f or (n in wanted) != (n in index.fetched)]
        left = self._most_bytes - sum(max(0, files[n].size) for n in wanted if n in index.fetched)
        for file in sorted(changed, key=lambda f: f.size):
            if file.name not in wanted:
                plan.holes.append(file)
                continue
            left -= 0 if file.name in index.fetched else max(0, file.size)
            (plan.fetch if left >= 0 else plan.too_large).append(file)
        if self.remote.concurrency == 1:
            order = {name: at for at, name in enumerate(files)}
            plan.fetch.sort(key=lambda f: order[f.name])
        return plan

    def _apply(self, plan: _MirrorPlan, index: _MirrorIndex, progress: MirrorProgress | None) -> dict[str, str]:
        """Does what is planned. Returns the files that could not be fetched, with the reason."""
        changed = bool(plan.fetch or plan.holes or plan.gone or plan.too_large) or not index.looked
        failed: dict[str, str] = {}
        try:
            for name in (*plan.gone, *(f.name for f in plan.too_large)):
                self._remove(name, index)
            for file in plan.holes:
                self._make_hole(file)
                index.files[file.name] = file
                index.fetched.discard(file.name)
            self._fetch_all(plan.fetch, index, failed, progress)
            index.looked = time.time()
        finally:
            if changed or self.remote.concurrency > 1:
                self._save(index)
        return failed

    def _fetch_all(
        self, files: Sequence[RemoteFile], index: _MirrorIndex, failed: dict[str, str], progress: MirrorProgress | None
    ) -> None:
        """Fetches files, a few at the same time."""
        pool = ThreadPoolExecutor(max(1, min(self.remote.concurrency, len(files))), "sweeplens-fetch")
        running: dict[Future[None], RemoteFile] = {}
        pending = iter(files)
        done = 0
        try:
            while True:
                for file in pending:
                    running[pool.submit(self._fetch, file, index.files.get(file.name), file.name in index.fetched)] = (
                        file
                    )
                    if len(running) >= 2 * self.remote.concurrency:
                        break
                if not running:
                    return
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    file = running.pop(ended)
                    self._note(ended, file, index, failed)
                    done += 1
                    if progress is not None:
                        progress(done, len(files), f"{self.remote.address}: {plain_text(file.name)}")
        finally:
            pool.shutdown(cancel_futures=True)

    def _note(self, ended: Future[None], file: RemoteFile, index: _MirrorIndex, failed: dict[str, str]) -> None:
        """Records one fetched file. Raises what is no fault of the file, such as a full disk."""
        error = ended.exception()
        if error is None:
            index.files[file.name] = file
            index.fetched.add(file.name)
            return
        if isinstance(error, StoppedError) or is_system_error(error):
            raise error
        failed[file.name] = str(error) if isinstance(error, SweeplensError) else error_reason(error)
        known = isinstance(error, SweeplensError | OSError)  # its words are enough
        where = plain_text(file.name), self.remote.address, failed[file.name]
        log.info("%s of %s was not fetched: %s", *where, exc_info=None if known else error)

    def _fetch(self, file: RemoteFile, before: RemoteFile | None, is_fetched: bool) -> None:
        path = self._path(file.name)
        if (
            before is not None
            and is_fetched
            and self._may_continue(file, before)
            and self._continue(path, file, before)
        ):
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._home / f"part-{os.getpid()}-{abs(hash(file.name))}"
        try:
            with part.open("wb") as stream:
                size = _write(stream.write, self.remote.read(file), file.size)
            if size > _MOST_UNKNOWN if file.size < 0 else size != file.size:
                raise ChangedFileError(f"it has {size} bytes and not {file.size} any more: the next refresh reads it")
            _set_time(part, file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _may_continue(self, file: RemoteFile, before: RemoteFile) -> bool:
        return self.remote.reads_parts and file.size > before.size > 0 and grows_at_its_end(file.name)

    def _continue(self, path: Path, file: RemoteFile, before: RemoteFile) -> bool:
        """Appends what was added to a log. Returns False if it is not the old one and more."""
        with path.open("r+b") as stream:
            head = stream.read(_COMPARED)
            tail_at = max(0, before.size - _COMPARED)
            stream.seek(tail_at)
            tail = stream.read()
            if len(tail) != before.size - tail_at:
                return False
            if tail_at and b"".join(_bounded(self.remote.read(file, 0, _COMPARED), _COMPARED)) != head:
                return False
            added = b"".join(_bounded(self.remote.read(file, tail_at), file.size - tail_at))
            if not added.startswith(tail) or len(added) != file.size - tail_at:
                return False
            stream.write(added[len(tail) :])
        _set_time(path, file)
        return True

    def _make_hole(self, file: RemoteFile) -> None:
        path = self._path(file.name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with path.open("xb") as stream:
            stream.truncate(file.size)
        _set_time(path, file)

    def _remove(self, name: str, index: _MirrorIndex) -> None:
        index.files.pop(name, None)
        index.fetched.discard(name)
        path = self._path(name)
        if path.is_dir():  # a folder now stands where the file was
            return
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            while path.parent != self.folder:
                path = path.parent
                path.rmdir()

    def _save(self, index: _MirrorIndex) -> None:
        fresh = self._home / "index.json.new"
        fresh.write_bytes(msgspec.json.encode(index))
        fresh.replace(self._home / "index.json")


def _write(write: Callable[[bytes], object], parts: Iterable[bytes], most: int) -> int:
    """Writes parts of a file; never more than one part beyond ``most`` bytes. Returns how many bytes came."""
    size = 0
    for part in parts:
        write(part)
        size += len(part)
        if size > (most if most >= 0 else _MOST_UNKNOWN):
            break
    return size


def _bounded(parts: Iterable[bytes], most: int) -> Generator[bytes]:
    size = 0
    for part in parts:
        yield part
        size += len(part)
        if size > most:
            return


def _set_time(path: Path, file: RemoteFile) -> None:
    """Gives a file the time of the place, within what file systems hold."""
    seconds = max(0.0, min(file.mtime, 4e9))
    os.utime(path, (seconds, seconds))


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


def _sentences(address: str, plan: _MirrorPlan, failed: dict[str, str], most_bytes: int) -> Generator[str]:
    """Returns a sentence for each kind of file that a mirror lacks."""
    if failed:
        first = next(iter(failed.values())).rstrip(".")
        yield f"{len(failed)} files of {address} could not be fetched ({_some(failed)}): {first}. The next refresh tries again."
    if plan.too_large:
        named = f"{_some([f.name for f in plan.too_large])}; {sum(f.size for f in plan.too_large) / 1e6:,.0f} MB"
        yield (
            f"{len(plan.too_large)} files of {address} were not fetched ({named}): with them the copy on this machine would be"
            f" over mirror_megabytes={most_bytes >> 20}."
        )
    if plan.unusable:
        yield f"{len(plan.unusable)} files of {address} have names that no path can have ({_some(plan.unusable)}): not read."


def _some(names: Iterable[str]) -> str:
    shown = [plain_text(name)[-80:] for name in names]
    return ", ".join(shown[:_NAMED]) + (f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else "")
