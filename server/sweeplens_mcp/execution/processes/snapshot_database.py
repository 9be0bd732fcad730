"""`SnapshotDatabase`: a database over one snapshot, for worker processes. The server keeps the data fresh."""

from __future__ import annotations

from typing import Any

from sweeplens.answers import Answer
from sweeplens.engines.opening import open_engine
from sweeplens.experiment_db import ExperimentDB, View
from sweeplens.ingest.refresh import Progress
from sweeplens.store import Snapshot
from sweeplens_mcp.execution.processes.messages import HeldSnapshot

__all__ = ["SnapshotDatabase"]


class SnapshotDatabase(ExperimentDB):
    """Answers from the given snapshot and reads no folder."""

    def __init__(self, held: HeldSnapshot) -> None:
        self.config, self.roots, self.lazy = held.config, held.roots, True
        self.root_names = held.root_names
        self._snapshot = held.snapshot
        self._engine = open_engine(held.config.engine, keeps_files=held.config.cache != "memory")

    def refresh(self, progress: Progress | None = None) -> Snapshot:
        """Returns the given snapshot."""
        return self._snapshot

    def _with_plot(self, answer: Answer, view: View, kind: str, **known: Any) -> Answer:
        """Returns the answer unchanged: it goes to the server's process, which has its own database."""
        return answer
