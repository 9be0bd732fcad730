"""Cooperative cancellation: long work calls `checkpoint()` in its loops; the caller wraps it in `cancellable(check)`.

The caller decides when to cancel: ``check`` raises the exception that ends the work, or returns. Outside of
`cancellable`, a checkpoint only costs a lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["StoppedError", "cancellable", "checkpoint"]

_check: ContextVar[Callable[[], None] | None] = ContextVar("sweeplens_interrupt", default=None)


class StoppedError(Exception):
    """Raised by ``check``, or by a load's ``progress``, to end the work. It is not a failure."""


def checkpoint() -> None:
    """Calls the current ``check``, which raises if the work is cancelled."""
    check = _check.get()
    if check is not None:
        check()


@contextmanager
def cancellable(check: Callable[[], None]) -> Generator[None]:
    """Makes every `checkpoint` inside, in this thread, call ``check``."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)
