"""The child processes that run SQL: started when needed, kept for the next query, and ended with this process.

    reply = run_in_process(SqlRequest(...))    the rows, or the error that the child reports

A server replaces a child that was ended before it gives the worker to another call (`replace_ended`): callers who leave in the
middle of a query pay for the new child themselves.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextvars import ContextVar

from sweeplens.errors import LimitError
from sweeplens.priority import niceness
from sweeplens.sql.process import ADVICE, GRACE, ChildReply, SqlProcess, SqlRequest, access_of_stores

__all__ = ["replace_ended", "run_in_process", "start_early"]

_MAX_IDLE = 4  # idle children


def run_in_process(request: SqlRequest) -> ChildReply:
    """Returns the rows or the error of a query. Raises LimitError if it exceeds a limit, and what `checkpoint` raises."""
    child, keep = _pool.take(), False
    try:
        reply = child.run(request)
        keep = not reply.last
    finally:  # a child that did not reply may still be working
        _pool.put_back(child, keep=keep)
    if reply.kind == "large":
        raise LimitError(f"The answer would have {reply.size >> 20} MB, at most 64 MB are allowed. {ADVICE}")
    return reply


def start_early() -> None:
    """Starts a child in the background if none is idle."""
    _pool.start_early()


def replace_ended() -> None:
    """Starts a child for each one that ended after a query of this context, and waits until it is ready."""
    _pool.replace_ended()


class SqlProcessPool:
    """The pool of child processes."""

    def __init__(self) -> None:
        self._idle: list[SqlProcess] = []
        self._busy: set[SqlProcess] = set()
        self._lock = threading.Lock()
        self._open = True

    def take(self) -> SqlProcess:
        """Returns an idle child, or a new one."""
        with self._lock:
            self._end_unusable()
            own = [child for child in self._idle if child.niceness == niceness()]
            child = own[-1] if own else SqlProcess()
            if own:
                self._idle.remove(child)
            self._busy.add(child)
            return child

    def put_back(self, child: SqlProcess, *, keep: bool) -> None:
        """Keeps a child for the next query, or ends it if there are enough."""
        self._put_back(child, keep=keep)
        if not keep:
            _ended.set(_ended.get() + 1)

    def replace_ended(self) -> None:
        """Replaces the children that ended after queries of this context."""
        while _ended.get() and self._open:
            _ended.set(_ended.get() - 1)
            child = SqlProcess()
            with self._lock:
                self._busy.add(child)
            self._put_back(child, keep=child.prepare())

    def _put_back(self, child: SqlProcess, *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(child)
            idle = sum(other.niceness == child.niceness for other in self._idle)
            if keep and child.alive and self._open and idle < _MAX_IDLE:
                self._idle.append(child)
                return
        child.end()

    def _end_unusable(self) -> None:
        """Ends idle children that crashed, or that reach object stores in another way than the environment says now."""
        for child in [child for child in self._idle if not child.alive or child.access != access_of_stores()]:
            self._idle.remove(child)
            child.end()

    def start_early(self) -> None:
        """Starts a child if none is idle."""
        with self._lock:
            if not any(child.alive for child in self._idle):
                self._idle.append(SqlProcess())

    def close(self) -> None:
        """Ends all children."""
        self._open = False
        with self._lock:
            children = [*self._idle, *self._busy]
            self._idle.clear()
        for child in children:
            child.end()
        for child in children:
            child.join(GRACE)


_ended: ContextVar[int] = ContextVar("sweeplens_ended_queries", default=0)  # children that ended after queries
_pool = SqlProcessPool()
_inherited: list[SqlProcessPool] = []


def _after_fork() -> None:
    """Gives a forked process a new pool: the old children belong to its parent."""
    global _pool
    _inherited.append(_pool)  # kept alive, so that nothing is closed here
    _pool = SqlProcessPool()


def _close_pool() -> None:
    _pool.close()


atexit.register(_close_pool)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
