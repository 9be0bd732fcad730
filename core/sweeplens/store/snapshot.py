"""`Snapshot`: the immutable data that one call sees."""

from __future__ import annotations

from collections.abc import Callable, Hashable
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
    """The frames of one version. ``points`` is a lazy frame of the points as they were logged.

    ``version`` is computed from paths, sizes and times of the files, so two processes over the same files have the same one.
    """

    version: str = "0"
    runs: pl.DataFrame = field(default_factory=lambda: runs_frame(()))
    series: pl.DataFrame = field(default_factory=empty_series)
    points: pl.LazyFrame = field(default_factory=lambda: empty_points().lazy())
    problems: tuple[Problem, ...] = ()
    sources: tuple[Source, ...] = ()
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # of the store itself; every answer shows them
    _seen: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Returns every metric that was logged, sorted; computed once."""
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

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns what ``make`` returned for this key in this version of the data; computed once."""
        if key not in self._seen:
            self._seen[key] = make()
        return self._seen[key]

    def known(self, key: Hashable) -> bool:
        """Whether `cached` has a result for this key."""
        return key in self._seen

    def once(self, look: Callable[[pl.DataFrame], T]) -> T:
        """Returns a function's result for the series; computed once."""
        if look.__name__ not in self._seen:
            self._seen[look.__name__] = look(self.series)
        return self._seen[look.__name__]
