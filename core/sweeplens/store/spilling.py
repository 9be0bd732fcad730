"""Points of new readings on their way to disk: one frame is written while the next one is made, never more than one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

import polars as pl

from sweeplens.frames import POINTS_SCHEMA
from sweeplens.store.blocks import FileBlock
from sweeplens.store.memory import Change, MemoryStore

__all__ = ["Spilling"]

_WORTH_A_THREAD = 100_000  # rows


class Spilling:
    """Enters points in a change: as files where they are many and the store takes them, else as frames."""

    def __init__(self, store: MemoryStore, change: Change) -> None:
        self._store = store
        self._change = change
        self._stack = ExitStack()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: tuple[pl.DataFrame, Future[FileBlock | None]] | None = None

    def __enter__(self) -> Spilling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                self._settle()

    def keep(self, points: pl.DataFrame, *, ordered: bool = False) -> None:
        """Take points of new readings; names may be Enums where they are ``ordered``."""
        self._settle()
        if points.height < _WORTH_A_THREAD:
            self._enter(points, self._store.spill(points, ordered=ordered))
            return
        if self._pool is None:
            self._pool = self._stack.enter_context(ThreadPoolExecutor(1, "spill"))
        self._waiting = points, self._pool.submit(self._store.spill, points, ordered=ordered)

    def _settle(self) -> None:
        if self._waiting is not None:
            points, future = self._waiting
            self._waiting = None
            self._enter(points, future.result())

    def _enter(self, points: pl.DataFrame, file: FileBlock | None) -> None:
        if file is not None:
            self._change.files.append(file)
        elif points.height:
            self._change.points.append(points.cast(POINTS_SCHEMA))  # pyright: ignore[reportArgumentType]
