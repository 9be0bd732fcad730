"""`PersistentStore`: a `MemoryStore` that starts from files outside this process and writes new data back to them.

What the folders say is always read first; the place only spares reading it again. So a refresh keeps what is new in memory,
and writes it when it is much or old enough; losing it costs reading it again. A process that finds that another one
wrote takes that over and reads what is missing. Nobody waits: who does not get the lock goes on from memory. A place that
takes nothing is tried again now and then; what is there already is read all the same. One that does not even answer is as
good as lost until it does: everything is read from the folders.

Layout of a place: ``HEAD`` (see `head`), the Delta tables ``points``, ``series``, ``runs`` and ``ledger``, and
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
from sweeplens.store.files import StoreContents, as_block, sweep, write_points, write_state
from sweeplens.store.head import Head, read_head, write_head
from sweeplens.store.ledger import Ledger
from sweeplens.store.ledger_table import LEDGER_SCHEMA, ledger_rows
from sweeplens.store.memory import MemoryStore
from sweeplens.store.names import fresh_id
from sweeplens.store.serialization import pack_walk, unpack_walk
from sweeplens.store.validation import CheckedLedger, check_frames, check_walk

__all__ = ["PersistentStore"]

log = logging.getLogger("sweeplens.store")

SPILL_ROWS = 300_000
WORTH_ROWS = 50_000
_WORTH_SHARE = 0.05
_WORTH_SECONDS = 30.0  # what is little waits so long
MUCH_SECONDS = 5.0  # what is much waits so long, except the first time
PATIENCE = 3.0  # seconds that a first reading waits for another process that is at it
REST_SECONDS = 30.0  # after a place refused or did not answer


class PersistentStore(MemoryStore):
    """Shared by all processes over the same roots."""

    def __init__(self, place: StoreBackend, roots: Sequence[Path]) -> None:
        super().__init__()
        self.place = place
        self._roots = [str(r) for r in roots]
        self._stamp: HeadStamp | None = None
        self._head: Head | None = None
        self._tried = float("-inf")
        self._spent = 0.0
        self._first = contextlib.ExitStack()
        self._lasting = pl.DataFrame(schema=LEDGER_SCHEMA)  # the ledger as it is in the place
        self._rests_until = float("-inf")
        self._away = False  # whether the place did not answer when it was last asked
        self._prepare()

    @contextlib.contextmanager
    def updating(self) -> Generator[None]:
        """Take over what is in the place where it is other than what this process knows; write what is worth it."""
        with contextlib.ExitStack() as self._first:
            self._begin()
            yield
            self._end()

    def spill(self, points: pl.DataFrame, *, ordered: bool = False) -> FileBlock | None:
        """Points of a large reading are written at once; None where they are few, or the place takes nothing."""
        if self._rests or points.height < SPILL_ROWS:
            return None
        expect_commit()
        try:
            return as_block(self.place, write_points(self.place, points, ordered=ordered))
        except (OSError, pl.exceptions.PolarsError) as error:
            self._give_up(error)
            return None

    def described(self) -> str:
        """Where the store is, how large and how old; or why there is none."""
        if self.warnings or self._head is None:
            return f"{self.place.address}: {self.warnings[0] if self.warnings else 'nothing is written yet'}"
        age = _duration(max(0.0, time.time() - self._head.written))
        try:
            size = f"{self.place.size() / 1e6:,.1f} MB"
        except BackendUnreachableError as error:
            size = f"size unknown ({error})"
        return f"{self.place.address}, {size}, written {age} ago"

    def lost(self) -> bool:
        """Whether files that the snapshot rests on are gone: somebody deleted the store."""
        return self.place.lost(self._files())

    def forget(self, error: StoreError) -> None:
        """Take nothing more from the place: everything is read from the folders, and then written."""
        log.warning("The store %s is built anew: %s", self.place.address, error)
        self._clear()

    # --------------------------------------------------------------- private

    @property
    def _rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def _files(self) -> Iterator[str]:
        return (b.path for b in self.blocks if isinstance(b, FileBlock))

    def _begin(self) -> None:
        if self._away and self._rests:
            return
        try:
            self._look()
        except BackendUnreachableError as error:
            self._go_on_without(error)

    def _look(self) -> None:
        stamp = self.place.stamp()
        if stamp is None and self.found is None:
            self._wait_for_others()
            stamp = self.place.stamp()
        if stamp != self._stamp or not self.place.holds(self._files()):
            self._take_over(stamp)
        if self._away:
            self._away = False
            self.warn()

    def _go_on_without(self, error: BackendUnreachableError) -> None:
        """Answer from memory: what lies in the place is read from the folders again, until the place answers."""
        self._away = True
        self._give_up(error)
        if any(self._files()):
            self._clear()
        self._stamp = None

    def _end(self) -> None:
        if self._rests or self.found is None or not (self._worth() or self._grown_up()):
            return
        began = time.monotonic()
        try:
            with self.place.lock("LOCK") as held:
                if held and self.place.stamp() == self._stamp:
                    self._write(self.found)
        except HeadMovedError as error:
            log.info("%s It is taken over at the next look.", error)
        except MemoryError:
            raise
        except (Exception, pl.exceptions.PanicException) as error:  # what cannot be kept is answered from memory
            log.debug("What could not be written", exc_info=True)
            if not self.place.vanished():  # else it was deleted while it was written: the next look builds it anew
                self._give_up(error)
        self._tried, self._spent = time.monotonic(), time.monotonic() - began

    def _write(self, found: Discovery) -> None:
        try:
            self._settle() if self._grown_up() else self._persist(found)
        except BackendUnreachableError:
            raise
        except (OSError, StoreError) as error:
            if self.place.contested(self._stamp):
                raise HeadMovedError(f"Another writes at the same time: {error}") from error
            raise

    def _prepare(self) -> None:
        try:
            self.place.prepare()
        except BackendUnreachableError as error:
            self._away = True
            self._give_up(error)
        except (OSError, StoreError) as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
        warning = f"{_trouble(self.place.address, error, away=self._away)}: every start reads all files again"
        if warning not in self.warnings:
            log.warning("%s", warning[:1].upper() + warning[1:])
        self.warn(warning)

    def _wait_for_others(self) -> None:
        """A first reading by several processes at once is done by one; the others wait a little for it."""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError, StoreError):  # a place that takes nothing has nobody to wait for
            while not self._is_first():
                if self.place.stamp() is not None or time.monotonic() > until:
                    return
                time.sleep(self.place.pause)

    def _is_first(self) -> bool:
        """Take the lock of the first reading until this look ends; False while another process has it."""
        with contextlib.ExitStack() as attempt:
            if attempt.enter_context(self.place.lock("FIRST")):
                self._first.enter_context(attempt.pop_all())
                return True
        return False

    def _take_over(self, stamp: HeadStamp | None) -> None:
        if stamp is None:
            self._prepare()
        try:
            head = read_head(self.place)
            if head is not None and head.readers != {r.name: r.version for r in all_readers()}:
                raise StoreError(f"The store {self.place.address!r} was read by other readers.")
            self._clear()
            if head is not None:
                with _uncollected():
                    self._load(head)
        except (BackendUnreachableError, MemoryError):
            raise
        except (Exception, pl.exceptions.PanicException) as error:  # whatever lies there: the folders are what counts
            log.warning("The store %s is built anew: %s", self.place.address, _said(error))
            log.debug("What was wrong with it", exc_info=True)
            self._clear()
        self._stamp = stamp

    def _clear(self) -> None:
        fresh = MemoryStore()
        self.remembered, self.ledger, self.blocks = fresh.remembered, Ledger(), []
        self.series, self.runs, self.found = fresh.series, fresh.runs, None
        self._problems, self._head, self._lasting = {}, None, self._lasting.clear()

    def _load(self, head: Head) -> None:
        """The state that a HEAD names. Raises when any of it is damaged."""
        if head.roots != self._roots:
            raise DamagedError("The store is of other folders.")
        series, ledger = head.tables["series"], head.tables["ledger"]
        self.place.check(head.tables["points"])
        walk, *tables = self.place.contents([head.walk, head.view, *series, *ledger])
        frames = iter([pl.read_parquet(data) for data in tables])
        self.runs, self.series = next(frames), pl.concat([next(frames) for _ in series])
        self._lasting = pl.concat(list(frames))
        check_frames(self.runs, self.series, self._lasting)
        self.remembered, self.found = unpack_walk(walk)
        check_walk(self.remembered, self.found, self._roots, head.readers)
        self.ledger = CheckedLedger(self._lasting, self.found.sources, int(head.data_version), head.young)
        self._problems = {e.key: e for e in self.ledger.troubled()}
        self.blocks, self._head = [as_block(self.place, name) for name in head.tables["points"]], head
        self._show(self.found)

    def _worth(self) -> bool:
        """Whether what is new is much, or has waited for long."""
        changed = len(self.ledger.changed)
        if not changed:
            return False
        if self._head is None:
            return True
        rows = sum(b.frame.height for b in self.blocks if isinstance(b, FrameBlock))
        much = rows >= WORTH_ROWS or changed >= max(20, _WORTH_SHARE * len(self.ledger))
        wait = MUCH_SECONDS if much else _WORTH_SECONDS
        return time.monotonic() - self._tried > max(wait, 20 * self._spent if wait else 0.0)

    def _grown_up(self) -> bool:
        """Whether nothing is new but that sources which could hide a change are old enough by now."""
        young = self._head.young if self._head else []
        return bool(young) and not self.ledger.young and not self.ledger.changed

    def _settle(self) -> None:
        """Say so in HEAD alone, so that no later start opens them again."""
        if self._head is not None:
            head = replace(self._head, young=[], id=fresh_id())
            self._head, self._stamp = write_head(self.place, head, self._stamp)

    def _persist(self, found: Discovery) -> None:
        """Write everything that is known, and take it for what is in the place."""
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
        head, self._stamp, blocks = write_state(self.place, state, self._head, self._stamp)
        self._head, self._lasting = head, state.ledger
        self.blocks = list[Block](blocks)
        self.ledger.changed.clear()
        sweep(self.place, head)
        self.warnings = ()
        self._show(found)

    def _packed(self) -> pl.DataFrame:
        """The ledger as a frame: rows that are written already, and those of sources that changed since."""
        changed = self.ledger.changed
        entries = [e for e in map(self.ledger.get, changed) if e is not None]
        rows = ledger_rows(entries)
        if not self._lasting.height:
            return rows
        keys = pl.DataFrame(list(changed), schema={"reader": pl.String, "path": pl.String}, orient="row")
        return pl.concat([self._lasting.join(keys, on=["reader", "path"], how="anti"), rows])


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """Many objects come to stay: looking again and again for garbage among them takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _trouble(where: str, error: BaseException, *, away: bool) -> str:
    if isinstance(error, UnsafeError):
        return f"the store {where!r} is not used ({error})"
    if isinstance(error, TemporaryFolderError):
        return f"nothing can be put into the store {where!r} now, as {error}"
    return f"the store {where!r} cannot be {'reached' if away else 'written'} ({_said(error)})"


def _said(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _duration(seconds: float) -> str:
    """Words for a length of time: 40 s, 3 min, 5 h, 12 days."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
