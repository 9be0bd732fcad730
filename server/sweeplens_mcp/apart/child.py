"""A worker process: `python -m sweeplens_mcp.apart.child DESCRIPTOR`, one end of a pipe whose other end is the server's.

It ends when the server does, whatever it is at. It leaves signals to the server, so that a terminal's Ctrl-C or a service
manager's SIGTERM lets calls in flight finish, and gives way to whoever else wants the processor. An error that nobody
foresaw goes to the log and ends the process: the server answers the call with an error, and starts another.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection

from sweeplens.answers import Answer
from sweeplens.errors import LimitError, SweeplensError
from sweeplens.experiment_db import ExperimentDB
from sweeplens.ingest import Progress
from sweeplens.interrupt import listening
from sweeplens.store import Snapshot
from sweeplens_mcp.apart.jobs import Done, Held, Job, Stop
from sweeplens_mcp.logs import log_to_stderr
from sweeplens_mcp.tools import TOOLS

__all__ = ["main"]

_NICENESS = 10
_TOOLS = {spec.name: spec for spec in TOOLS}


class _Fixed(ExperimentDB):
    """A database of one snapshot, which somebody else keeps fresh."""

    def __init__(self, held: Held) -> None:
        self.config, self.roots, self.lazy = held.config, held.roots, True
        self._snapshot = held.snapshot

    def refresh(self, progress: Progress | None = None) -> Snapshot:
        """The snapshot that was handed over."""
        return self._snapshot


class _Child:
    """The process: one thread listens, the main thread works."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[Held | Job] = queue.SimpleQueue()
        self._unwanted = 0  # jobs up to this number
        threading.Thread(target=self._listen, name="sweeplens-listen", daemon=True).start()

    def serve(self) -> None:
        """Answer questions until the server ends."""
        database: ExperimentDB | None = None
        while True:
            message = self._inbox.get()
            if isinstance(message, Held):
                database = _Fixed(message)
            elif database is not None:
                self._connection.send(Done(message.number, self._answered(message, database)))

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Stop):
                    self._unwanted = max(self._unwanted, message.number)
                else:
                    self._inbox.put(message)
        except (EOFError, OSError):
            os._exit(0)  # the server is gone: nobody waits for anything

    def _answered(self, job: Job, database: ExperimentDB) -> Answer | SweeplensError:
        def check() -> None:
            if self._unwanted >= job.number:
                raise LimitError("Nobody waits for this answer any more.")

        try:
            with listening(check):
                return _TOOLS[job.tool].function(database, **job.arguments)
        except SweeplensError as error:
            return error


def main(descriptor: int) -> None:
    """Serve over a pipe."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    os.nice(_NICENESS)
    log_to_stderr()
    _Child(Connection(descriptor)).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
