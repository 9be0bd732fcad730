"""Messages between a server and its worker processes. They are pickled: both ends are this program, and the pipe is private."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from sweeplens.config import AnalysisConfig
from sweeplens.errors import SweeplensError
from sweeplens.store import Snapshot
from sweeplens_mcp.tools.spec import ToolResult

__all__ = ["HeldSnapshot", "JobResult", "ReadyCheck", "WorkerJob"]


class HeldSnapshot(Struct, frozen=True):
    """The data to answer from until the next such message."""

    config: AnalysisConfig
    roots: tuple[Path, ...]
    root_names: tuple[str, ...]
    snapshot: Snapshot


class ReadyCheck(Struct, frozen=True):
    """A worker sends it back as soon as it can take a job."""


class WorkerJob(Struct, frozen=True):
    """A call: a tool and its arguments."""

    number: int
    tool: str
    arguments: Mapping[str, object]


class JobResult(Struct, frozen=True):
    """The result or error of a job. An unexpected error ends the process instead."""

    number: int
    result: ToolResult | SweeplensError
