"""Priority of the processes that work for a call. They never delay the short calls that the server answers itself.

    niceness()         of the processes that work for the current call
    in_background()    makes it the lowest one, for the rest of this context

A process keeps the priority that it started with, because most systems let nobody raise it again. So each pool keeps the
processes of different priorities apart.
"""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["NICENESS", "in_background", "niceness"]

NICENESS = 10
_LOWEST = 19
_niceness: ContextVar[int] = ContextVar("sweeplens_niceness", default=NICENESS)


def niceness() -> int:
    """The niceness of the processes that work for this context."""
    return _niceness.get()


def in_background() -> None:
    """Gives the processes of this context the lowest priority."""
    _niceness.set(_LOWEST)
