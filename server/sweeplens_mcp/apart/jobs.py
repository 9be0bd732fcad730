"""What a server and its worker processes say to each other, pickled: both are this program, and nobody else is on the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeplens.answers import Answer
from sweeplens.config import AnalysisConfig
from sweeplens.errors import SweeplensError
from sweeplens.store import Snapshot

__all__ = ["Done", "Held", "Job"]


@dataclass(frozen=True, slots=True)
class Held:
    """What to answer from until told otherwise."""

    config: AnalysisConfig
    roots: tuple[Path, ...]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Job:
    """A question: a tool and its arguments."""

    number: int
    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a job. Work that ends unexpectedly ends the process instead."""

    number: int
    result: Answer | SweeplensError
