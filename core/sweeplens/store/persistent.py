"""`PersistentStore`: a `MemoryStore` that starts from files outside this process and writes new data back to them.

The folders are the truth; the store only saves reading them again. A refresh keeps new data in memory and writes it when
there is much of it or it is old enough; lost data is read again. A process that finds a newer HEAD of another process loads it
and reads only what is missing. Processes do not wait for each other: without the lock, a process continues from memory.
If a store cannot be written, writing is retried later; its content is still read. If a store does not respond, everything
is read from the folders until it responds.

Layout of a store: ``HEAD`` (see `head`), the Delta tables ``points``, ``series``, ``runs`` and ``ledger``, and
``state`` with the remembered walk and the runs frame as it is in memory.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from sweeplens.errors import StoreError
from sweeplens.panics import PanicException, panics_as_errors
from sweeplens.readers import all_readers
from sweeplens.sources.discover import Discovery
from sweeplens.store.backends.backend import (
    BackendUnreachableError,
    DamagedError,
    HeadMovedError,
    HeadStamp,
    StoreBackend,
    TemporaryFolderError,
    UnsafeError,
)
from sweeplens.store.blocks import Block, FileBlock, FrameBlock
from sweeplens.store.delta_tables import expect_commit
from sweeplens.store.files import StoreContents, as_block, keep_state, sweep, write_points, write_state
from sweeplens.store.head import Head, read_head, write_head
from sweeplens.store.ledger import Ledger
from sweeplens.store.ledger_table import LEDGER_SCHEMA, ledger_rows
from sweeplens.store.memory import MemoryStore
from sweeplens.store.names import fresh_id, name_of_state
from sweeplens.store.serialization import pack_walk, unpack_walk
from sweeplens.store.validation import CheckedLedger, check_frames, check_walk

__all__ = ["PersistentStore"]

log = logging.getLogger("sweeplens.store")

SPILL_ROWS = 300_000
MUCH_ROWS = 50_000
_MUCH_SHARE = 0.05
_LITTLE_SECONDS = 30.0  # how long little new data waits to be written
MUCH_SECONDS = 5.0  # how long much new data waits to be written, except the first time
FIRST_READING_WAIT_SECONDS = 3.0  # seconds that a first reading waits for another process that reads the same roots
RETRY_SECONDS = 30.0  # until a store that failed or did not respond is tried again


class PersistentStore(MemoryStore):
    """A store that all processes over the same roots share."""

    def __init__(self, backend: StoreBackend, roots: Sequence[Path]) -> None:
        super().__init__()
        self.backend = backend
        self._roots = [str(r) for r in roots]
        self._stamp: HeadStamp | None = None
        self._head: Head | None = None
        self._write_ended = float("-inf")
        self._write_seconds = 0.0
        self._first = contextlib.ExitStack()
        self._stored_ledger = pl.DataFrame(schema=LEDGER_SCHEMA)  # the ledger as it was last written
        self._paused_until = float("-inf")
        self._unreachable = False  # whether the store did not respond at the last request
        self._prepare()

    @contextlib.contextmanager
    def updating(self) -> Generator[None]:
        """Loads the store if another process changed it; afterwards writes new data that is due."""
        with contextlib.ExitStack() as self._first:
            self._before_refresh()
            yield
            self._after_refresh()

    def commit(self) -> None:
        """Writes new data now, whether or not they are due. Raises HeadMovedError if another process wrote meanwhile, OSError or
        StoreError if the store cannot be written.
        """
        if self.found is None or not self.ledger.changed:
            return
        with panics_as_errors(), self.backend.lock("LOCK") as held:
            if not held or self.backend.stamp() != self._stamp:
                raise HeadMovedError("Another process writes the store at the same time.")
            self._write(self.found)

    def spill(self, points: pl.DataFrame, *, ordered: bool = False) -> FileBlock | None:
        """Writes the points of a large reading at once. Returns None if they are few or the store cannot be written."""
        if self._is_paused or points.height < SPILL_ROWS:
            return None
        expect_commit()
        try:
            with panics_as_errors():
                return as_block(self.backend, write_points(self.backend, points, ordered=ordered))
        except (OSError, PanicException, pl.exceptions.PolarsError) as error:
            self._pause_writing(error)
            return None

    def keep_state(self, identity: str, state: bytes) -> None:
        """Keeps the state of a cursor for all processes; in memory alone if the store cannot be written."""
        super().keep_state(identity, state)
        if self._is_paused:
            return
        try:
            keep_state(self.backend, identity, state)
        except (OSError, StoreError) as error:
            log.warning("The state of a cursor is kept in memory alone: %s", error)

    def kept_state(self, identity: str) -> bytes | None:
        """Returns the state of a cursor that any process of this store keeps; None if there is none."""
        state = super().kept_state(identity)
        if state is not None:
            return state
        try:
            return self.backend.read(name_of_state(identity))
        except (OSError, StoreError):
            return None

    def described(self) -> str:
        """Returns the store's address, size and age, or why there is none."""
        if self.warnings or self._head is None:
            return f"{self.backend.address}: {self.warnings[0] if self.warnings else 'nothing is written yet'}"
        age = _duration(max(0.0, time.time() - self._head.written))
        try:
            size = f"{self.backend.size() / 1e6:,.1f} MB"
        except BackendUnreachableError as error:
            size = f"size unknown ({error})"
        return f"{self.backend.address}, {size}, written {age} ago"

    def lost(self) -> bool:
        """Whether files that the snapshot needs were deleted."""
        return self.backend.lost(self._files())

    def forget(self, error: StoreError) -> None:
        """Discards the loaded state, so that everything is read from the folders and written again."""
        self._warn_of_rebuilding(str(error))
        self._clear()

    # --------------------------------------------------------------- private

    @property
    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _files(self) -> Iterator[str]:
        return (b.path for b in self.blocks if isinstance(b, FileBlock))

    def _before_refresh(self) -> None:
        if self._unreachable and self._is_paused:
            return
        try:
            self._check_head()
        except BackendUnreachableError as error:
            self._continue_in_memory(error)

    def _check_head(self) -> None:
        stamp = self.backend.stamp()
        if stamp is None and self.found is None:
            self._wait_for_others()
            stamp = self.backend.stamp()
        if stamp != self._stamp or not self.backend.holds(self._files()):
            self._load_head(stamp)
        if self._unreachable:
            self._unreachable = False
            self.warn()

    def _continue_in_memory(self, error: BackendUnreachableError) -> None:
        """Continues in memory: what is in the store is read from the folders again until the store responds."""
        self._unreachable = True
        self._pause_writing(error)
        if any(self._files()):
            self._clear()
        self._stamp = None

    def _after_refresh(self) -> None:
        if self._is_paused or self.found is None or not (self._is_write_due() or self._none_young_any_more()):
            return
        began = time.monotonic()
        try:
            with panics_as_errors(), self.backend.lock("LOCK") as held:
                if held and self.backend.stamp() == self._stamp:
                    self._write(self.found)
        except HeadMovedError as error:
            log.info("%s The new HEAD is loaded at the next refresh.", error)
        except MemoryError:
            raise
        except Exception as error:  # the boundary around the store: what cannot be stored stays in memory
            log.debug("The store could not be written", exc_info=True)
            if not self.backend.vanished():  # else it was deleted meanwhile: the next refresh rebuilds it
                self._pause_writing(error)
        self._write_ended, self._write_seconds = time.monotonic(), time.monotonic() - began

    def _write(self, found: Discovery) -> None:
        try:
            self._clear_young() if self._none_young_any_more() else self._persist(found)
        except BackendUnreachableError:
            raise
        except (OSError, StoreError) as error:
            if self.backend.contested(self._stamp):
                raise HeadMovedError(f"Another process writes at the same time: {error}") from error
            raise

    def _prepare(self) -> None:
        try:
            self.backend.prepare()
        except BackendUnreachableError as error:
            self._unreachable = True
            self._pause_writing(error)
        except (OSError, StoreError) as error:
            self._pause_writing(error)

    def _pause_writing(self, error: BaseException) -> None:
        self._paused_until = time.monotonic() + RETRY_SECONDS
        warning = f"{_failure_text(self.backend.address, error, unreachable=self._unreachable)}: every start reads all files again"
        if warning not in self.warnings:
            log.warning("%s", warning[:1].upper() + warning[1:])
        self.warn(warning)

    def _wait_for_others(self) -> None:
        """Waits a few seconds if another process reads these roots for the first time."""
        until = time.monotonic() + FIRST_READING_WAIT_SECONDS
        with contextlib.suppress(OSError, StoreError):  # in a store that cannot be written, no other process is writing
            while not self._is_first():
                if self.backend.stamp() is not None or time.monotonic() > until:
                    return
                time.sleep(self.backend.pause)

    def _is_first(self) -> bool:
        """Takes the lock of the first reading until this refresh ends. Returns False while another process has it."""
        with contextlib.ExitStack() as attempt:
            if attempt.enter_context(self.backend.lock("FIRST")):
                self._first.enter_context(attempt.pop_all())
                return True
        return False

    def _load_head(self, stamp: HeadStamp | None) -> None:
        if stamp is None:
            self._prepare()
        try:
            head = read_head(self.backend)
            if head is not None and head.readers != {r.name: r.version for r in all_readers()}:
                raise StoreError(f"The store {self.backend.address!r} was written with other versions of the readers.")
            self._clear()
            if head is not None:
                with panics_as_errors(), _without_garbage_collection():
                    self._load(head)
        except (BackendUnreachableError, MemoryError):
            raise
        except Exception as error:  # the boundary around the store's content: the folders are the truth
            self._warn_of_rebuilding(_first_line(error))
            log.debug("The traceback of that error", exc_info=True)
            self._clear()
        self._stamp = stamp

    def _warn_of_rebuilding(self, reason: str) -> None:
        """Logs that the store is rebuilt, and names its address once."""
        address = self.backend.address
        why = reason.replace(f"The store {address!r}", "it").replace(f" of the store {address!r}", "")
        log.warning("The store%s is rebuilt: %s", "" if address in why else f" {address}", why)

    def _clear(self) -> None:
        fresh = MemoryStore()
        self.remembered, self.ledger, self.blocks = fresh.remembered, Ledger(), []
        self.series, self.runs, self.found = fresh.series, fresh.runs, None
        self._problems, self._head, self._stored_ledger = {}, None, self._stored_ledger.clear()

    def _load(self, head: Head) -> None:
        """Loads the state that a HEAD names. Raises an error if any of it is damaged."""
        if head.roots != self._roots:
            raise DamagedError("The store belongs to other folders.")
        series, ledger = head.tables["series"], head.tables["ledger"]
        self.backend.check(head.tables["points"])
        walk, *tables = self.backend.contents([head.walk, head.view, *series, *ledger])
        frames = iter([pl.read_parquet(data) for data in tables])
        self.runs, self.series = next(frames), pl.concat([next(frames) for _ in series])
        self._stored_ledger = pl.concat(list(frames))
        check_frames(self.runs, self.series, self._stored_ledger)
        self.remembered, self.found = unpack_walk(walk)
        check_walk(self.remembered, self.found, self._roots, head.readers)
        self.ledger = CheckedLedger(self._stored_ledger, self.found.sources, int(head.data_version), head.young)
        self._problems = {e.key: e for e in self.ledger.with_problems()}
        self.blocks, self._head = [as_block(self.backend, name) for name in head.tables["points"]], head
        self._show(self.found)

    def _is_write_due(self) -> bool:
        """Whether there is much new data, or it has waited long enough."""
        changed = len(self.ledger.changed)
        if not changed:
            return False
        if self._head is None:
            return True
        rows = sum(b.frame.height for b in self.blocks if isinstance(b, FrameBlock))
        much = rows >= MUCH_ROWS or changed >= max(20, _MUCH_SHARE * len(self.ledger))
        wait = MUCH_SECONDS if much else _LITTLE_SECONDS
        return time.monotonic() - self._write_ended > max(wait, 20 * self._write_seconds if wait else 0.0)

    def _none_young_any_more(self) -> bool:
        """Whether nothing is new, except that no source is young any more (see `is_young`)."""
        young = self._head.young if self._head else []
        return bool(young) and not self.ledger.young and not self.ledger.changed

    def _clear_young(self) -> None:
        """Writes only a HEAD without young sources, so that later starts do not open their files again."""
        if self._head is not None:
            head = replace(self._head, young=[], id=fresh_id())
            self._head, self._stamp = write_head(self.backend, head, self._stamp)

    def _persist(self, found: Discovery) -> None:
        """Writes all state, and remembers it as the store's content."""
        state = StoreContents(
            readers={r.name: r.version for r in all_readers()},
            roots=self._roots,
            blocks=self.blocks,
            series=self.series,
            runs=self.runs,
            ledger=self._packed(),
            walk=pack_walk(self.remembered),
            data_version=self.ledger.sum,
            young=sorted(self.ledger.young),
        )
        head, self._stamp, blocks = write_state(self.backend, state, self._head, self._stamp)
        self._head, self._stored_ledger = head, state.ledger
        self.blocks = list[Block](blocks)
        self.ledger.changed.clear()
        sweep(self.backend, head)
        self.warnings = ()
        self._show(found)

    def _packed(self) -> pl.DataFrame:
        """Returns the ledger as a frame: rows written earlier, and rows of sources that changed since."""
        changed = self.ledger.changed
        entries = [e for e in map(self.ledger.get, changed) if e is not None]
        rows = ledger_rows(entries)
        if not self._stored_ledger.height:
            return rows
        keys = pl.DataFrame(list(changed), schema={"reader": pl.String, "path": pl.String}, orient="row")
        return pl.concat([self._stored_ledger.join(keys, on=["reader", "path"], how="anti"), rows])


@contextlib.contextmanager
def _without_garbage_collection() -> Generator[None]:
    """Pauses garbage collection: many lasting objects are created, and scanning them takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _failure_text(where: str, error: BaseException, *, unreachable: bool) -> str:
    if isinstance(error, UnsafeError):
        return f"the store {where!r} is not used ({error})"
    if isinstance(error, TemporaryFolderError):
        return f"nothing can be added to the store {where!r} now, because {error}"
    return f"the store {where!r} cannot be {'reached' if unreachable else 'written'} ({_first_line(error)})"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _duration(seconds: float) -> str:
    """Formats a duration: 40 s, 3 min, 5 h, 12 days."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
