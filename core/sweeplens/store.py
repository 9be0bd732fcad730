"""Runs, series and points between calls: `Snapshot` is what a call sees, whole and unchanging.

`MemoryStore` keeps everything in this process.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from sweeplens.frames import empty_points, empty_series
from sweeplens.readers.protocol import Problem, Resume, Source
from sweeplens.runs import RunRow, runs_frame

__all__ = ["MemoryStore", "Part", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one source gave: everything that ingest needs to go on with it or to drop it."""

    source: Source
    runs: tuple[RunRow, ...]
    series: pl.DataFrame
    points: pl.DataFrame
    problems: tuple[Problem, ...]
    resume: Resume | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The frames of one version. ``points`` are as they were logged, lazily."""

    version: str = "0"
    runs: pl.DataFrame = field(default_factory=lambda: runs_frame(()))
    series: pl.DataFrame = field(default_factory=empty_series)
    points: pl.LazyFrame = field(default_factory=lambda: empty_points().lazy())
    problems: tuple[Problem, ...] = ()
    sources: tuple[Source, ...] = ()
    refused: tuple[str, ...] = ()


class MemoryStore:
    """Parts by source, and the snapshot that they make together."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, str], Part] = {}
        self.snapshot = Snapshot()

    def commit(self, parts: dict[tuple[str, str], Part], problems: tuple[Problem, ...], refused: tuple[str, ...]) -> Snapshot:
        """Replace what is kept by these parts, in one step for whoever reads."""
        self.parts = parts
        kept = list(parts.values())
        self.snapshot = Snapshot(
            version=str(int(self.snapshot.version) + 1),
            runs=runs_frame([row for part in kept for row in part.runs]),
            series=pl.concat([empty_series(), *(p.series for p in kept)]),
            points=pl.concat([empty_points(), *(p.points for p in kept)], rechunk=False).lazy(),
            problems=(*problems, *(p for part in kept for p in part.problems)),
            sources=tuple(p.source for p in kept),
            refused=refused,
        )
        return self.snapshot
