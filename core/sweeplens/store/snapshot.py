"""`Snapshot`: what one call sees, whole and unchanging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import polars as pl
from msgspec import Struct, field

from sweeplens.frames.schemas import empty_points, empty_series
from sweeplens.readers.protocol import Problem, Source
from sweeplens.sources.log_names import looks_like_log
from sweeplens.store.runs_frame import runs_frame

__all__ = ["Snapshot"]

T = TypeVar("T")


class Snapshot(Struct, frozen=True, eq=False):
    """The frames of one version. ``points`` are as they were logged, lazily.

    ``version`` is made of what was read (paths, sizes, times), so that two processes over the same files name it alike.
    """

    version: str = "0"
    runs: pl.DataFrame = field(default_factory=lambda: runs_frame(()))
    series: pl.DataFrame = field(default_factory=empty_series)
    points: pl.LazyFrame = field(default_factory=lambda: empty_points().lazy())
    problems: tuple[Problem, ...] = ()
    sources: tuple[Source, ...] = ()
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # of the store itself: what every answer must say
    _seen: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that was logged, sorted; looked up once."""
        if "metrics" not in self._seen:
            self._seen["metrics"] = tuple(self.series["metric"].unique().sort())
        return self._seen["metrics"]

    @property
    def unread_logs(self) -> tuple[str, ...]:
        """Absolute paths of files that look like logs and that no reader took; looked up once."""
        if "unread_logs" not in self._seen:
            self._seen["unread_logs"] = tuple(
                p for p in self.refused if looks_like_log(p.replace("\\", "/").rsplit("/", 1)[-1])
            )
        return self._seen["unread_logs"]

    def once(self, look: Callable[[pl.DataFrame], T]) -> T:
        """What a function finds in the series; looked up once."""
        if look.__name__ not in self._seen:
            self._seen[look.__name__] = look(self.series)
        return self._seen[look.__name__]
