"""The database that a server answers from: opened at the first need, loaded once for all who wait.

    State.database(report)   the database, loaded; a cold load reports progress to everyone who waits for it
    State.mine()             the state of whoever asks: this one, or one that sees only the roots of the caller's grant
    State.warm()             import the library in the background, while the client still shakes hands

The load runs in a thread of its own. It ends early when everyone who waited has been cancelled, or at the server's end;
the next call then starts it anew. A load that failed is not remembered: a folder may be there by then.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct, field

from sweeplens.cancellation import StoppedError, cancellable
from sweeplens.errors import LimitError, RootError, SweeplensError
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.tool_call import Ask, answer_here
from sweeplens_mcp.execution.worker_pool import WorkerPool
from sweeplens_mcp.grants import current_grant
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools.spec import ToolSpec

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens_mcp.execution.processes.pool import ProcessPool

__all__ = ["Report", "ServerState", "open_database"]

Report = Callable[[float, float | None, str], Awaitable[None]]
"""(done, total, what): awaited now and then by a call that waits."""

_log = logging.getLogger("sweeplens_mcp")
_MOST_GRANTS = 100
_LOOK_SECONDS = 0.02
_REPORT_SECONDS = 0.5


def open_database(settings: Settings) -> ExperimentDB:
    """The database of these settings; imports the library. Raises RootError or ConfigError."""
    from sweeplens.config import AnalysisConfig
    from sweeplens.experiment_db import ExperimentDB

    return ExperimentDB(AnalysisConfig(), base_path=list(settings.roots) or None)


def limited_database(served: ExperimentDB, roots: Sequence[str]) -> ExperimentDB:
    """A database of these roots alone, as far as they lie within what is served. Raises RootError, which names no root."""
    from sweeplens.experiment_db import ExperimentDB

    wanted = [Path(root).resolve() for root in roots]
    open_to_them = [w for w in wanted if any(w.is_relative_to(root) for root in served.roots)]
    if not open_to_them:
        raise RootError("None of the folders that your token may see is served here: ask whoever gave it to you.")
    return ExperimentDB(served.config, base_path=open_to_them)


class _LoadAbandonedError(StoppedError):
    """Nobody waits for this load any more."""


class _RunningLoad(Struct):
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
            raise _LoadAbandonedError

    def run(self, opener: Callable[[], ExperimentDB]) -> None:
        """The work of the thread: whatever happens is handed to those who wait."""
        try:
            database = opener()
            with cancellable(self.check):
                database.load_experiments(progress=self.seen)
            self.database = database
        except (SweeplensError, _LoadAbandonedError) as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - the door: whoever waits is told
            _log.exception("the experiments could not be read")
            self.error = error
        finally:
            self.done.set()


def _warm_library(with_sql: bool) -> None:
    """Import the library; a server for many also starts the process that answers SQL."""
    importlib.import_module("sweeplens.experiment_db")
    if with_sql:
        importlib.import_module("sweeplens.sql.process").start_early()


class ServerState:
    """What calls share: the database, the answers that were cut, the workers."""

    def __init__(
        self, opener: Callable[[], ExperimentDB], desk: WorkerPool | None = None, workers: ProcessPool | None = None
    ) -> None:
        self.shelf = AnswerCache()
        self.desk = desk or WorkerPool()
        self._workers = workers
        self._opener = opener
        self._limited: dict[tuple[str, ...], ServerState] = {}
        self._lock = threading.Lock()
        self._database: ExperimentDB | None = None
        self._load: _RunningLoad | None = None
        self._failed = ""  # what the last load ended with, where it ended unexpectedly
        self._retry: threading.Thread | None = None
        self._warmed = False

    @classmethod
    def of(
        cls, source: Settings | ExperimentDB, desk: WorkerPool | None = None, workers: ProcessPool | None = None
    ) -> ServerState:
        """The state of a server with these settings, or over a database that is open already."""
        if isinstance(source, Settings):
            return cls(lambda: open_database(source), desk, workers)
        return cls(lambda: source, desk, workers)

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

    @property
    def failure(self) -> str:
        """Why the experiments could not be read the last time; nothing where they could, or were not asked for yet."""
        return self._database.failure if self._database is not None else self._failed

    def try_again(self) -> None:
        """Have them read again in the background, unless that is under way."""
        with self._lock:
            if self._retry is not None and self._retry.is_alive():
                return
            self._retry = threading.Thread(target=self._try, name="sweeplens-retry", daemon=True)
            self._retry.start()

    def mine(self) -> ServerState:
        """The state of whoever asks. A grant that is limited to some roots has a database of its own: nothing is shared."""
        grant = current_grant()
        if grant is None or not grant.roots:
            return self
        if grant.roots not in self._limited:
            while len(self._limited) >= _MOST_GRANTS:
                self._limited.pop(next(iter(self._limited)))
            self._limited[grant.roots] = ServerState(
                lambda: limited_database(self._opener(), grant.roots), self.desk, self._workers
            )
        return self._limited[grant.roots]

    def asker(self, spec: ToolSpec) -> Ask:
        """Who works out the answers of a tool: the thread that asks, or a process of its own."""
        return self._workers.ask if self._workers and spec.heavy and spec.in_process else answer_here

    def warm(self) -> None:
        """Begin to import the library, once."""
        if not self._warmed:
            self._warmed = True
            if self._workers:
                self._workers.warm()
            threading.Thread(target=_warm_library, args=(self._workers is not None,), daemon=True).start()

    def close(self) -> None:
        """Stop a load that is still on its way, and the workers."""
        self.desk.close()
        if self._workers:
            self._workers.close()
        with self._lock:
            if self._load is not None:
                self._load.stopped = True

    def _try(self) -> None:
        database = self._database
        try:
            if database is not None:
                database.refresh()
                return
            load = self._join()
            load.done.wait()
            self._leave(load)
            self._settle(load)
        except SweeplensError as error:
            _log.info("the experiments still cannot be read: %s", error)

    def _join(self) -> _RunningLoad:
        """The load on its way, or a new one."""
        with self._lock:
            if self._load is None or self._load.stopped:
                self._load = _RunningLoad()
                threading.Thread(
                    target=self._load.run, args=(self._opener,), name="sweeplens-load", daemon=True
                ).start()
            self._load.waiting += 1
            return self._load

    def _leave(self, load: _RunningLoad) -> None:
        with self._lock:
            load.waiting -= 1
            load.stopped = load.stopped or (load.waiting == 0 and not load.done.is_set())

    async def _wait(self, load: _RunningLoad, report: Report | None) -> None:
        told, since = -1, anyio.current_time()
        while not load.done.is_set():
            await anyio.sleep(_LOOK_SECONDS)
            done, total, what = load.progress
            if report and done > told and anyio.current_time() - since >= _REPORT_SECONDS:  # the protocol: it grows
                told, since = done, anyio.current_time()
                await report(done, total or None, f"reading {what}")

    def _settle(self, load: _RunningLoad) -> None:
        error = load.error
        unexpected = load.database is None and not isinstance(error, SweeplensError | _LoadAbandonedError)
        with self._lock:
            if self._load is load:
                self._load = None
            self._database = self._database or load.database
            self._failed = _unread(error) if unexpected else self._failed if load.database is None else ""
        if isinstance(error, SweeplensError):
            raise error
        if unexpected:
            raise LimitError(_unread(error))


def _unread(error: BaseException | None) -> str:
    from sweeplens.readers.boundary import what_was_wrong

    why = what_was_wrong(error) if error is not None else "it ended unexpectedly"
    return f"The experiments could not be read ({why}); the server's log says more. The next call tries again."
