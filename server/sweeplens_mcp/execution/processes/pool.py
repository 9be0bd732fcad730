"""The server's side of its worker processes.

    workers.ask(spec, database, arguments)    the answer, worked out in another process from the database's snapshot of now

A worker is told when nobody wants its answer any more; one that does not stop at once is ended, as is one that crashes: its
call is answered with an error, and the next call gets another. A worker holds the snapshot that it was last asked about, and is
sent another only when the data moved on. Points stay on disk, where both read them.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Pipe
from typing import TYPE_CHECKING

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError, SweeplensError

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens.store import Snapshot
    from sweeplens_mcp.execution.processes.messages import JobResult
    from sweeplens_mcp.tools.spec import ToolSpec

__all__ = ["ProcessPool"]

_LOOK_SECONDS = 0.02
_STOP_SECONDS = 0.25
_PORTABLE_POINTS = 1_000_000  # so many at most are sent along where the points are in memory
_log = logging.getLogger(__name__)


class ProcessPool:
    """Worker processes of one server; as many as ask at the same time. `close` ends them."""

    def __init__(self) -> None:
        self._idle: list[_WorkerProcess] = []
        self._busy: set[_WorkerProcess] = set()
        self._lock = threading.Lock()
        self._open = True

    @staticmethod
    def possible() -> bool:
        """Whether this system hands a pipe to a child as we do it."""
        return os.name == "posix"

    def warm(self) -> None:
        """Start one, before it is asked anything."""
        with self._lock:
            if self._open and not self._idle and not self._busy:
                self._idle.append(_WorkerProcess())

    def ask(self, spec: ToolSpec, database: ExperimentDB, arguments: Mapping[str, object]) -> Answer | LazyAnswer:
        """The answer of a tool. Raises what the tool raises, LimitError when the process crashed."""
        snapshot = database.refresh()
        if not _is_portable(database, snapshot):
            return spec.function(database, **arguments)
        held = (snapshot.version, *snapshot.warnings, *map(str, database.roots))
        worker = self._taken(held)
        try:
            worker.hold(held, database, snapshot)
            return worker.ask(spec.name, arguments)
        finally:
            self._put_back(worker)

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            self._open = False
            workers = [*self._idle, *self._busy]
            self._idle.clear()
        for worker in workers:
            worker.end()

    def _taken(self, held: tuple[str, ...]) -> _WorkerProcess:
        """An idle worker, best one that holds these data; else a new one."""
        with self._lock:
            if not self._open:
                raise LimitError("The server is going down: ask again when it is back.")
            self._idle.sort(key=lambda worker: worker.holds == held)
            while self._idle and not self._idle[-1].alive:
                self._idle.pop().end()  # it crashed while nobody asked it anything
            worker = self._idle.pop() if self._idle else _WorkerProcess()
            self._busy.add(worker)
            return worker

    def _put_back(self, worker: _WorkerProcess) -> None:
        with self._lock:
            self._busy.discard(worker)
            if worker.alive and self._open:
                self._idle.append(worker)
                return
        worker.end()


class _WorkerProcess:
    """One process and our end of its pipe. Used by one thread at a time; ended by any."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        command = [sys.executable, "-P", "-m", "sweeplens_mcp.execution.processes.worker", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._asked = 0
        self.holds: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether it can be asked. One that nobody asks has nothing to say: what can be read is the end of its pipe."""
        return self._process.poll() is None and not self._connection.closed and not self._connection.poll()

    def hold(self, held: tuple[str, ...], database: ExperimentDB, snapshot: Snapshot) -> None:
        """Let it answer from a snapshot from now on."""
        from sweeplens_mcp.execution.processes.messages import HeldSnapshot

        if self.holds != held:
            self._send(HeldSnapshot(database.config, database.roots, snapshot))
            self.holds = held

    def ask(self, tool: str, arguments: Mapping[str, object]) -> Answer | LazyAnswer:
        """The answer to one question. Raises SweeplensError."""
        from sweeplens_mcp.execution.processes.messages import WorkerJob

        self._asked += 1
        self._send(WorkerJob(self._asked, tool, dict(arguments)))
        try:
            result = self._awaited().result
        except LimitError:  # from a checkpoint: nobody waits any more
            self._stop()
            raise
        if isinstance(result, SweeplensError):
            raise result
        return result

    def end(self) -> None:
        """End the process, whatever it is at."""
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
        """Ask it to stop; end it when it does not."""
        try:
            self._connection.send_bytes(b"stop %d" % self._asked)
            if self._connection.poll(_STOP_SECONDS):
                self._connection.recv()
                return
        except (EOFError, OSError):
            _log.debug("a worker was gone before it could be stopped")
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
            "The process that worked on this call crashed; the server's log says why. Another takes its place."
        )


def _is_portable(database: ExperimentDB, snapshot: Snapshot) -> bool:
    """Whether a snapshot can be handed over: points on disk are named, points in memory go along."""
    return database.config.cache != "memory" or int(snapshot.series["n_logged"].sum()) <= _PORTABLE_POINTS
