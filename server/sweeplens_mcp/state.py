"""The database that a server answers from: opened at the first need, loaded once for all who wait.

    State.database(report)   the database, loaded; a cold load reports progress to everyone who waits for it
    State.warm()             import the library in the background, while the client still shakes hands

The load runs in a thread of its own. It ends early when everyone who waited has been cancelled, or at the server's end;
the next call then starts it anew. A load that failed is not remembered: a folder may be there by then.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from sweeplens.errors import LimitError, SweeplensError
from sweeplens.interrupt import listening
from sweeplens_mcp.cursors import Shelf
from sweeplens_mcp.settings import Settings

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["Report", "State", "open_database"]

Report = Callable[[float, float | None, str], Awaitable[None]]
"""(done, total, what): awaited now and then by a call that waits."""

_LOOK_SECONDS = 0.02
_REPORT_SECONDS = 0.5


def open_database(settings: Settings) -> ExperimentDB:
    """The database of these settings; imports the library. Raises RootError or ConfigError."""
    from sweeplens.config import AnalysisConfig
    from sweeplens.experiment_db import ExperimentDB

    return ExperimentDB(AnalysisConfig(), base_path=list(settings.roots) or None)


class _AbandonedError(Exception):
    """Nobody waits for this load any more."""


@dataclass(slots=True)
class _Load:
    """One load on its way, as its thread and those who wait for it see it."""

    waiting: int = 0
    stopped: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    progress: tuple[int, int, str] = (0, 0, "opening")
    database: ExperimentDB | None = None
    error: Exception | None = None

    def seen(self, done: int, total: int, what: str) -> None:
        """Called by the reading thread as it goes on."""
        self.check()
        self.progress = (done, total, what)

    def check(self) -> None:
        """End the load when nobody waits for it."""
        if self.stopped:
            raise _AbandonedError

    def run(self, opener: Callable[[], ExperimentDB]) -> None:
        """The work of the thread: whatever happens is handed to those who wait."""
        try:
            database = opener()
            with listening(self.check):
                database.load_experiments(progress=self.seen)
            self.database = database
        except (SweeplensError, _AbandonedError) as error:
            self.error = error
        finally:
            self.done.set()


class State:
    """What calls share: the database, and the answers that were cut."""

    def __init__(self, opener: Callable[[], ExperimentDB]) -> None:
        self.shelf = Shelf()
        self._opener = opener
        self._lock = threading.Lock()
        self._database: ExperimentDB | None = None
        self._load: _Load | None = None
        self._warmed = False

    @classmethod
    def of(cls, source: Settings | ExperimentDB) -> State:
        """The state of a server with these settings, or over a database that is open already."""
        if isinstance(source, Settings):
            return cls(lambda: open_database(source))
        return cls(lambda: source)

    async def database(self, report: Report | None = None) -> ExperimentDB:
        """The database, loaded. Raises what opening or loading it raised."""
        while self._database is None:
            load = self._join()
            try:
                await self._wait(load, report)
            finally:
                self._leave(load)
            self._settle(load)
        return self._database

    def warm(self) -> None:
        """Begin to import the library, once."""
        if not self._warmed:
            self._warmed = True
            threading.Thread(target=importlib.import_module, args=("sweeplens.experiment_db",), daemon=True).start()

    def close(self) -> None:
        """Stop a load that is still on its way."""
        with self._lock:
            if self._load is not None:
                self._load.stopped = True

    def _join(self) -> _Load:
        """The load on its way, or a new one."""
        with self._lock:
            if self._load is None or self._load.stopped:
                self._load = _Load()
                threading.Thread(
                    target=self._load.run, args=(self._opener,), name="sweeplens-load", daemon=True
                ).start()
            self._load.waiting += 1
            return self._load

    def _leave(self, load: _Load) -> None:
        with self._lock:
            load.waiting -= 1
            load.stopped = load.stopped or (load.waiting == 0 and not load.done.is_set())

    async def _wait(self, load: _Load, report: Report | None) -> None:
        told, since = "", anyio.current_time()
        while not load.done.is_set():
            await anyio.sleep(_LOOK_SECONDS)
            done, total, what = load.progress
            if report and what != told and anyio.current_time() - since >= _REPORT_SECONDS:
                told, since = what, anyio.current_time()
                await report(done, total or None, f"reading {what}")

    def _settle(self, load: _Load) -> None:
        with self._lock:
            if self._load is load:
                self._load = None
            self._database = self._database or load.database
        if isinstance(load.error, SweeplensError):
            raise load.error
        if load.database is None and not isinstance(load.error, _AbandonedError):
            raise LimitError("Reading the experiments ended unexpectedly; the server's log says why. Try again.")
