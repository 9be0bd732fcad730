"""Reads a folder by `discover` and `read`, as ingest does, for tests of readers; returns plain containers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sweeplens.readers import READERS
from sweeplens.readers.protocol import Problem, Reader, Reading, RunRecord, Source
from sweeplens.sources.discover import discover

__all__ = ["Found", "read_folder", "statistics"]


@dataclass(frozen=True, slots=True)
class Found:
    """All that the readers gave for a folder."""

    sources: tuple[Source, ...]
    readings: tuple[Reading, ...]
    refused: tuple[str, ...]

    @property
    def runs(self) -> dict[str, RunRecord]:
        """Runs by id."""
        return {r.id: r for reading in self.readings for r in reading.runs}

    @property
    def problems(self) -> list[Problem]:
        """All problems, in order."""
        return [p for reading in self.readings for p in reading.problems]

    def series(self, run: str, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of one series, as logged."""
        frames = [r.points.filter((pl.col("run_id") == run) & (pl.col("metric") == metric)) for r in self.readings]
        points = pl.concat(frames)
        return points["step"].to_list(), points["value"].to_list()

    def metrics(self, run: str) -> set[str]:
        """The names of a run's metrics."""
        return {m for r in self.readings for m in r.points.filter(pl.col("run_id") == run)["metric"].to_list()}


def read_folder(folder: Path, readers: Sequence[Reader] = READERS) -> Found:
    """Discover and read a folder."""
    found = discover([folder], readers)
    assert not found.problems
    by_name = {r.name: r for r in readers}
    return Found(found.sources, tuple(by_name[s.reader].read(s, None) for s in found.sources), found.refused)


def statistics(steps: list[int], values: list[float]) -> dict[str, float | int | None]:
    """A series in the words of the corpus' truth."""
    finite = [v for v in values if math.isfinite(v)]
    return {
        "n": len(values),
        "n_nan": sum(map(math.isnan, values)),
        "n_posinf": values.count(math.inf),
        "n_neginf": values.count(-math.inf),
        "first": values[0],
        "last": values[-1],
        "min": min(finite, default=None),
        "max": max(finite, default=None),
        "sum_finite": math.fsum(finite),
        "first_step": steps[0],
        "last_step": steps[-1],
        "max_step": max(steps),
        "n_unique_steps": len(set(steps)),
    }
