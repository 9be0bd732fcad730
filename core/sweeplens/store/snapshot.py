"""`Snapshot`: the immutable data that one call sees."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import polars as pl
from msgspec import Struct, field

from sweeplens.engines.protocol import StoredPoints
from sweeplens.frames.schemas import empty_points, empty_series
from sweeplens.readers.protocol import Problem, Source
from sweeplens.sources.log_names import looks_like_log
from sweeplens.sources.unread_formats import UnreadFormat, tracker_files
from sweeplens.store.runs_frame import runs_frame

__all__ = ["Snapshot"]

T = TypeVar("T")
_MOST_CACHED = 24


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
    job_logs: Mapping[str, str] = {}  # path of a printed log in another folder -> the run that it belongs to
    printed: frozenset[str] = frozenset()  # paths of files among ``refused`` that hold what a program printed, as text
    warnings: tuple[str, ...] = ()  # of the store itself; every answer shows them
    stored: StoredPoints = field(
        default_factory=StoredPoints
    )  # the files of ``points``, if an engine elsewhere reads them
    _seen: dict[str, Any] = field(default_factory=dict[str, Any])
    _cached: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])

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
            of_trackers = {p for paths in self.unread_trackers.values() for p in paths}
            named = (p for p in self.refused if looks_like_log(p.replace("\\", "/").rsplit("/", 1)[-1]))
            self._seen["unread_logs"] = tuple(p for p in named if p not in of_trackers)
        return self._seen["unread_logs"]

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns what ``make`` returned for this key in this version of the data; the latest results are kept."""
        if key in self._cached:
            return self._cached[key]
        made = make()
        self._cached[key] = made
        for old in list(self._cached)[:-_MOST_CACHED]:
            self._cached.pop(old, None)  # another thread may have dropped it
        return made

    def known(self, key: Hashable) -> bool:
        """Whether `cached` has a result for this key."""
        return key in self._cached

    @property
    def unread_trackers(self) -> dict[UnreadFormat, list[str]]:
        """Returns the files of trackers whose format is not read, by format; looked up once."""
        if "unread_trackers" not in self._seen:
            self._seen["unread_trackers"] = tracker_files(self.refused)
        return self._seen["unread_trackers"]

    def once(self, look: Callable[[pl.DataFrame], T]) -> T:
        """Returns a function's result for the series; computed once."""
        if look.__name__ not in self._seen:
            self._seen[look.__name__] = look(self.series)
        return self._seen[look.__name__]
