"""Where long work can be stopped from outside: `checkpoint()` in its loops, `cancellable(check)` around it.

The library knows no cancellation of its own; whoever calls it says what to look at. ``check`` raises whatever shall end
the work, or returns. Outside of `cancellable` a checkpoint costs a lookup and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["StoppedError", "cancellable", "checkpoint"]

_check: ContextVar[Callable[[], None] | None] = ContextVar("sweeplens_interrupt", default=None)


class StoppedError(Exception):
    """Raised by ``check``, or by a load's ``progress``, to end the work: no failure of anything."""


def checkpoint() -> None:
    """End here if whoever asked no longer wants the answer."""
    check = _check.get()
    if check is not None:
        check()


@contextmanager
def cancellable(check: Callable[[], None]) -> Generator[None]:
    """Every `checkpoint` of the work within, in this thread, calls ``check``."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)
