"""`ProcessPool`: the worker processes of a server.

    pool.ask(spec, database, arguments)    computes the answer in another process, from the database's current snapshot

If a call is cancelled, its worker is asked to stop, and killed if it does not stop at once. If a worker crashes, its call is
answered with an error and the next call gets a new worker. A worker keeps the last snapshot and gets a new one only when the
data have changed. Points stay on disk, where both processes read them. `replace_ended` starts a worker in place of a
killed one.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from multiprocessing.connection import Pipe
from typing import TYPE_CHECKING

from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError, SweeplensError
from sweeplens.priority import niceness

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens.store import Snapshot
    from sweeplens_mcp.execution.processes.messages import JobResult
    from sweeplens_mcp.tools.spec import ToolResult, ToolSpec

__all__ = ["ProcessPool"]

_LOOK_SECONDS = 0.02
_STOP_SECONDS = 0.25
_PREPARE_SECONDS = 5.0
_PORTABLE_POINTS = 1_000_000  # maximum points sent over the pipe, if points are kept in memory
_ended: ContextVar[int] = ContextVar("sweeplens_ended_workers", default=0)  # workers that ended after calls
_log = logging.getLogger(__name__)


class ProcessPool:
    """The worker processes of one server, one per concurrent call. `close` ends them."""

    def __init__(self) -> None:
        self._idle: list[_WorkerProcess] = []
        self._busy: set[_WorkerProcess] = set()
        self._lock = threading.Lock()
        self._open = True

    @staticmethod
    def possible() -> bool:
        """Whether this system can pass a pipe to a child process."""
        return os.name == "posix"

    def warm(self) -> None:
        """Starts one worker in advance."""
        with self._lock:
            if self._open and not self._idle and not self._busy:
                self._idle.append(_WorkerProcess())

    def ask(self, spec: ToolSpec, database: ExperimentDB, arguments: Mapping[str, object]) -> ToolResult:
        """Returns the answer of a tool. Raises the tool's error, or LimitError if the process crashed."""
        snapshot = database.refresh()
        if not _is_portable(database, snapshot):
            return spec.function(database, **arguments)
        held = (snapshot.version, *snapshot.warnings, *map(str, database.roots))
        worker = self._take_worker(held)
        try:
            worker.hold(held, database, snapshot)
            return worker.ask(spec.name, arguments)
        finally:
            if not self._put_back(worker):
                _ended.set(_ended.get() + 1)

    def replace_ended(self) -> None:
        """Starts a worker for each one that ended after a call of this context, and waits until it is ready."""
        while _ended.get() and self._open:
            _ended.set(_ended.get() - 1)
            worker = _WorkerProcess()
            with self._lock:
                self._busy.add(worker)
            worker.prepare()
            self._put_back(worker)

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            self._open = False
            for worker in self._busy:
                worker.kill()  # the thread that uses it closes its pipe
            idle = list(self._idle)
            self._idle.clear()
        for worker in idle:
            worker.end()

    def _take_worker(self, held: tuple[str, ...]) -> _WorkerProcess:
        """Takes an idle worker, preferably one with these data, or starts a new one."""
        with self._lock:
            if not self._open:
                raise LimitError("The server is shutting down: repeat the call when it is back.")
            self._end_crashed()
            own = [worker for worker in self._idle if worker.niceness == niceness()]
            worker = max(own, key=lambda w: w.holds == held) if own else _WorkerProcess()
            if own:
                self._idle.remove(worker)
            self._busy.add(worker)
            return worker

    def _end_crashed(self) -> None:
        for worker in [worker for worker in self._idle if not worker.alive]:
            self._idle.remove(worker)
            worker.end()

    def _put_back(self, worker: _WorkerProcess) -> bool:
        """Keeps a worker for the next call. Returns whether it still lives."""
        with self._lock:
            self._busy.discard(worker)
            if worker.alive and self._open:
                self._idle.append(worker)
                return True
        worker.end()
        return False


class _WorkerProcess:
    """One process and our end of its pipe. One thread uses it at a time; any thread may kill the process."""

    def __init__(self) -> None:
        self.niceness = niceness()
        self._connection, theirs = Pipe()
        command = [sys.executable, "-P", "-m", "sweeplens_mcp.execution.processes.worker"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(self.niceness)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._asked = 0
        self.holds: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether it can take a job. An idle worker sends nothing: if its pipe is readable, the pipe was closed."""
        return self._process.poll() is None and not self._connection.closed and not self._connection.poll()

    def hold(self, held: tuple[str, ...], database: ExperimentDB, snapshot: Snapshot) -> None:
        """Sends the worker a snapshot to answer from, unless it holds it already."""
        from sweeplens_mcp.execution.processes.messages import HeldSnapshot

        if self.holds != held:
            self._send(HeldSnapshot(database.config, database.roots, database.root_names, snapshot))
            self.holds = held

    def ask(self, tool: str, arguments: Mapping[str, object]) -> ToolResult:
        """Runs one job and returns its answer. Raises SweeplensError."""
        from sweeplens_mcp.execution.processes.messages import WorkerJob

        self._asked += 1
        self._send(WorkerJob(self._asked, tool, dict(arguments)))
        try:
            result = self._awaited().result
        except LimitError:  # from a checkpoint: the call was cancelled
            self._stop()
            raise
        if isinstance(result, SweeplensError):
            raise result
        return result

    def prepare(self) -> None:
        """Waits until the worker is ready for a job; ends it if that takes long."""
        from sweeplens_mcp.execution.processes.messages import ReadyCheck

        with suppress(EOFError, OSError):
            self._connection.send(ReadyCheck())
            if self._connection.poll(_PREPARE_SECONDS):
                self._connection.recv()
                return
        self.end()

    def kill(self) -> None:
        """Kills the process; the thread that waits for its answer notices."""
        self._process.kill()

    def end(self) -> None:
        """Kills the process and closes the pipe."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _awaited(self) -> JobResult:
        try:
            while not self._connection.poll(_LOOK_SECONDS):
                checkpoint()
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._crashed() from error

    def _stop(self) -> None:
        """Asks the worker to stop; kills it if it does not."""
        try:
            self._connection.send_bytes(b"stop %d" % self._asked)
            if self._connection.poll(_STOP_SECONDS):
                self._connection.recv()
                return
        except (EOFError, OSError):
            _log.debug("a worker ended before it could be stopped")
        self.end()

    def _send(self, message: object) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._crashed() from error

    def _crashed(self) -> LimitError:
        self.end()
        code = self._process.returncode
        _log.error("a worker process ended with exit code %s", code)
        return LimitError(
            "The worker process of this call crashed; the server's log says why. The next call gets a new one."
        )


def _is_portable(database: ExperimentDB, snapshot: Snapshot) -> bool:
    """Whether a snapshot can be sent: points on disk are sent as file names, points in memory as data."""
    return database.config.cache != "memory" or int(snapshot.series["n_logged"].sum()) <= _PORTABLE_POINTS
