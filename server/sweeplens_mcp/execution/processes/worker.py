"""A worker process: `python -m sweeplens_mcp.execution.processes.worker DESCRIPTOR NICENESS`.

DESCRIPTOR is its end of a pipe. It reads from the pipe before it imports anything large, so the server never blocks on a write. It
ends when the server ends, even during a job. It ignores SIGINT and SIGTERM, so that calls in flight can finish after a terminal's
Ctrl-C or a service manager's SIGTERM. An unexpected error goes to the log and ends the process: the server answers the call with an
error and starts another worker.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from sweeplens_mcp.logs import log_to_stderr

if TYPE_CHECKING:
    from sweeplens.errors import SweeplensError
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens_mcp.execution.processes.messages import WorkerJob
    from sweeplens_mcp.tools.spec import ToolResult

__all__ = ["main"]

_STOP = b"stop "  # pickled messages never begin like this


class _WorkerLoop:
    """The process: one thread reads messages, the main thread runs jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._cancelled_up_to = 0  # jobs up to this number are cancelled
        threading.Thread(target=self._listen, name="sweeplens-listen", daemon=True).start()

    def serve(self) -> None:
        """Runs jobs until the server ends."""
        from sweeplens_mcp.execution.processes.messages import HeldSnapshot, JobResult, ReadyCheck, WorkerJob
        from sweeplens_mcp.execution.processes.snapshot_database import SnapshotDatabase

        database: ExperimentDB | None = None
        while True:
            message: object = pickle.loads(self._inbox.get())  # noqa: S301  # from the server that started this process
            if isinstance(message, HeldSnapshot):
                database = SnapshotDatabase(message)
            elif isinstance(message, ReadyCheck):
                self._connection.send(message)
            elif isinstance(message, WorkerJob) and database is not None:
                self._connection.send(JobResult(message.number, self._answered(message, database)))

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv_bytes()
                if message.startswith(_STOP):
                    self._cancelled_up_to = int(message.removeprefix(_STOP))
                else:
                    self._inbox.put(message)
        except (EOFError, OSError):
            os._exit(0)  # the server has ended

    def _answered(self, job: WorkerJob, database: ExperimentDB) -> ToolResult | SweeplensError:
        from sweeplens.cancellation import cancellable
        from sweeplens.errors import LimitError, SweeplensError
        from sweeplens_mcp.tools import PAGE_TOOLS, TOOLS

        def check() -> None:
            if self._cancelled_up_to >= job.number:
                raise LimitError("The call was cancelled: no caller waits for its answer.")

        try:
            with cancellable(check):
                spec = next(spec for spec in (*TOOLS, *PAGE_TOOLS) if spec.name == job.tool)
                return spec.function(database, **job.arguments)
        except SweeplensError as error:
            return error


def main(descriptor: int, niceness: int) -> None:
    """Runs the worker on its end of the pipe."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    os.nice(niceness)
    log_to_stderr()
    _WorkerLoop(Connection(descriptor)).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
