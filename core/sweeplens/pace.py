"""Long work stops when nobody waits for it any more.

Whoever runs an analysis on somebody's behalf says how to find out (`watched`); analyses and ingest ask now and then
(`checkpoint`), between chunks that take well under a second. In a script nobody watches, and a checkpoint does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

from sweeplens.errors import LimitError

__all__ = ["AbandonedError", "checkpoint", "watched"]


class AbandonedError(LimitError):
    """Nobody waits for this answer any more."""


_abandoned: ContextVar[Callable[[], bool] | None] = ContextVar("abandoned", default=None)


def checkpoint() -> None:
    """Go on, unless the answer is no longer wanted: then AbandonedError is raised."""
    abandoned = _abandoned.get()
    if abandoned is not None and abandoned():
        raise AbandonedError("The call was cancelled: nobody waits for its answer any more.")


@contextmanager
def watched(abandoned: Callable[[], bool]) -> Generator[None]:
    """Within this block, checkpoints ask ``abandoned()``."""
    token = _abandoned.set(abandoned)
    try:
        yield
    finally:
        _abandoned.reset(token)
