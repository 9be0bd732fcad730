"""What a server and its worker processes say to each other, pickled: both are this program, and nobody else is on the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from sweeplens.config import AnalysisConfig
from sweeplens.errors import SweeplensError
from sweeplens.store import Snapshot
from sweeplens_mcp.tools.spec import Made

__all__ = ["HeldSnapshot", "JobResult", "WorkerJob"]


class HeldSnapshot(Struct, frozen=True):
    """What to answer from until told otherwise."""

    config: AnalysisConfig
    roots: tuple[Path, ...]
    snapshot: Snapshot


class WorkerJob(Struct, frozen=True):
    """A question: a tool and its arguments."""

    number: int
    tool: str
    arguments: Mapping[str, object]


class JobResult(Struct, frozen=True):
    """What became of a job. Work that ends unexpectedly ends the process instead."""

    number: int
    result: Made | SweeplensError
