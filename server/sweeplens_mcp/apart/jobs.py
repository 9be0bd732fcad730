"""What a server and its worker processes say to each other, pickled: both are this program, and nobody else is on the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from sweeplens.answers import Answer, Scroll
from sweeplens.config import AnalysisConfig
from sweeplens.errors import SweeplensError
from sweeplens.store import Snapshot

__all__ = ["Done", "Held", "Job"]


class Held(Struct, frozen=True):
    """What to answer from until told otherwise."""

    config: AnalysisConfig
    roots: tuple[Path, ...]
    snapshot: Snapshot


class Job(Struct, frozen=True):
    """A question: a tool and its arguments."""

    number: int
    tool: str
    arguments: Mapping[str, object]


class Done(Struct, frozen=True):
    """What became of a job. Work that ends unexpectedly ends the process instead."""

    number: int
    result: Answer | Scroll | SweeplensError
