"""`ServerState`: the database of a server. It is opened at the first call and loaded once for all waiting calls.

    ServerState.database(report)   the loaded database; the first load reports progress to every waiting call
    ServerState.for_caller()       the state for the current caller: this one, or one limited to the roots of the caller's grant
    ServerState.warm()             imports the library in the background, before the first call

The load runs in its own thread. It stops early if all waiting calls are cancelled or the server ends; the next call then
starts a new one. A failed load is not remembered, because the folder may exist by the next call.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct, field

from sweeplens.cancellation import StoppedError, cancellable
from sweeplens.errors import LimitError, RootError, SweeplensError
from sweeplens.panics import panics_as_errors
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.opening import open_database
from sweeplens_mcp.execution.tool_call import AnswerFunction, answer_here
from sweeplens_mcp.execution.worker_pool import WorkerPool
from sweeplens_mcp.grants import current_grant
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools.spec import ToolSpec

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens_mcp.execution.processes.pool import ProcessPool

__all__ = ["Report", "ServerState"]

Report = Callable[[float, float | None, str], Awaitable[None]]
"""Called with (done, total, text) from time to time while a call waits for the load."""

_log = logging.getLogger("sweeplens_mcp")
_MOST_GRANTS = 100
_LOOK_SECONDS = 0.02
_REPORT_SECONDS = 0.5


def limited_database(served: ExperimentDB, roots: Sequence[str]) -> ExperimentDB:
    """Opens a database of only those roots that lie within the served ones. Raises RootError, which names no root."""
    from sweeplens.experiment_db import ExperimentDB

    open_to_them = [within for root in roots if (within := served.root_within(root)) is not None]
    if not open_to_them:
        raise RootError(
            "This server serves none of the folders that your token allows: ask the person who issued the token."
        )
    return ExperimentDB(served.config, base_path=open_to_them)


class _LoadAbandonedError(StoppedError):
    """No call waits for this load any more."""


class _RunningLoad(Struct):
    """One running load, shared between its thread and the calls that wait for it."""

    waiting: int = 0
    stopped: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    progress: tuple[int, int, str] = (0, 0, "opening")
    database: ExperimentDB | None = None
    error: Exception | None = None

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Stores the progress; called by the reading thread."""
        self.check()
        self.progress = (done, total, what)

    def check(self) -> None:
        """Raises _LoadAbandonedError if no call waits for the load."""
        if self.stopped:
            raise _LoadAbandonedError

    def run(self, opener: Callable[[], ExperimentDB]) -> None:
        """Loads the database in the thread; the result or the error goes to the waiting calls."""
        try:
            with panics_as_errors(), cancellable(self.check):
                database = opener()
                database.load_experiments(progress=self.on_progress)
            self.database = database
        except (SweeplensError, _LoadAbandonedError) as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - the protocol's boundary: the waiting calls get the error
            _log.exception("the experiments could not be read")
            self.error = error
        finally:
            self.done.set()


def _warm_library(with_sql: bool) -> None:
    """Imports the library; over HTTP it also starts the process for SQL."""
    importlib.import_module("sweeplens.experiment_db")
    if with_sql:
        importlib.import_module("sweeplens.sql.pool").start_early()


class ServerState:
    """The objects that all calls share: the database, the cache of answers with more pages, the workers."""

    def __init__(
        self,
        opener: Callable[[], ExperimentDB],
        worker_pool: WorkerPool | None = None,
        workers: ProcessPool | None = None,
    ) -> None:
        self.answer_cache = AnswerCache()
        self.worker_pool = worker_pool or WorkerPool()
        self._workers = workers
        self._opener = opener
        self._limited: dict[tuple[str, ...], ServerState] = {}
        self._lock = threading.Lock()
        self._database: ExperimentDB | None = None
        self._load: _RunningLoad | None = None
        self._failed = ""  # the error of the last load, if it was an unexpected one
        self._retry: threading.Thread | None = None
        self._warmed = False

    @classmethod
    def of(
        cls, source: Settings | ExperimentDB, worker_pool: WorkerPool | None = None, workers: ProcessPool | None = None
    ) -> ServerState:
        """Returns the state of a server with these settings, or over an open database."""
        if isinstance(source, Settings):
            return cls(lambda: open_database(source), worker_pool, workers)
        return cls(lambda: source, worker_pool, workers)

    async def database(self, report: Report | None = None) -> ExperimentDB:
        """Returns the loaded database. Raises the error of opening or loading it."""
        while self._database is None:
            load = self._current_load()
            try:
                await self._wait(load, report)
            finally:
                self._stop_waiting(load)
            self._finish(load)
        return self._database

    @property
    def failure(self) -> str:
        """Why the last load failed; empty if it succeeded or there was none yet."""
        return self._database.failure if self._database is not None else self._failed

    def try_again(self) -> None:
        """Starts a new load in the background, unless one is running."""
        with self._lock:
            if self._retry is not None and self._retry.is_alive():
                return
            self._retry = threading.Thread(target=self._load_again, name="sweeplens-retry", daemon=True)
            self._retry.start()

    def for_caller(self) -> ServerState:
        """Returns the state for the current caller. A grant limited to some roots has its own database: nothing is shared."""
        grant = current_grant()
        if grant is None or not grant.roots:
            return self
        if grant.roots not in self._limited:
            while len(self._limited) >= _MOST_GRANTS:
                self._limited.pop(next(iter(self._limited)))
            self._limited[grant.roots] = ServerState(
                lambda: limited_database(self._opener(), grant.roots), self.worker_pool, self._workers
            )
        return self._limited[grant.roots]

    def answer_function(self, spec: ToolSpec) -> AnswerFunction:
        """Returns the function that computes a tool's answers: in the calling thread, or in a worker process."""
        return self._workers.ask if self._workers and spec.heavy and spec.in_process else answer_here

    def warm(self) -> None:
        """Starts importing the library in the background, once."""
        if not self._warmed:
            self._warmed = True
            if self._workers:
                self._workers.warm()
            threading.Thread(target=_warm_library, args=(self._workers is not None,), daemon=True).start()

    def close(self) -> None:
        """Stops a running load, and the workers."""
        self.worker_pool.close()
        if self._workers:
            self._workers.close()
        with self._lock:
            if self._load is not None:
                self._load.stopped = True

    def _load_again(self) -> None:
        database = self._database
        try:
            if database is not None:
                database.refresh()
                return
            load = self._current_load()
            load.done.wait()
            self._stop_waiting(load)
            self._finish(load)
        except SweeplensError as error:
            _log.info("the experiments still cannot be read: %s", error)

    def _current_load(self) -> _RunningLoad:
        """Returns the running load, or starts one."""
        with self._lock:
            if self._load is None or self._load.stopped:
                self._load = _RunningLoad()
                threading.Thread(
                    target=self._load.run, args=(self._opener,), name="sweeplens-load", daemon=True
                ).start()
            self._load.waiting += 1
            return self._load

    def _stop_waiting(self, load: _RunningLoad) -> None:
        with self._lock:
            load.waiting -= 1
            load.stopped = load.stopped or (load.waiting == 0 and not load.done.is_set())

    async def _wait(self, load: _RunningLoad, report: Report | None) -> None:
        reported, reported_at = -1, anyio.current_time()
        while not load.done.is_set():
            await anyio.sleep(_LOOK_SECONDS)
            done, total, what = load.progress
            if (
                report and done > reported and anyio.current_time() - reported_at >= _REPORT_SECONDS
            ):  # the protocol wants growing values
                reported, reported_at = done, anyio.current_time()
                await report(done, total or None, f"reading {what}")

    def _finish(self, load: _RunningLoad) -> None:
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
    from sweeplens.readers.boundary import error_reason

    why = error_reason(error) if error is not None else "it ended unexpectedly"
    return f"The experiments could not be read ({why}); the server's log says more. The next call tries again."
