"""Fair queues: tenants take turns, so one tenant's calls never wait behind all calls of another.

    Turns    one queue per tenant; no tenant runs more than its share of calls at a time

A tenant is a grant, or all callers together on a server without authentication. Not thread-safe: only the event loop uses it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting calls by tenant. ``share``: how many calls of one tenant may run at the same time."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._at_work: dict[str, int] = {}

    def waiting(self, tenant: str) -> int:
        """Number of waiting calls of a tenant."""
        return len(self._waiting.get(tenant, ()))

    def held(self, tenant: str) -> int:
        """Number of waiting and running calls of a tenant."""
        return self.waiting(tenant) + self._at_work.get(tenant, 0)

    def add(self, tenant: str, call: T) -> None:
        """Adds a call to its tenant's queue."""
        self._waiting.setdefault(tenant, deque()).append(call)

    def drop(self, call: T) -> None:
        """Removes a call from every queue."""
        for tenant in [tenant for tenant, calls in self._waiting.items() if call in calls]:
            self._waiting[tenant].remove(call)
            self._tidy(tenant)

    def begin(self) -> tuple[str, T] | None:
        """Takes the next call out of its queue and counts it as running; None if no call may start."""
        for tenant, calls in self._waiting.items():
            if not tenant or self._at_work.get(tenant, 0) < self._share:
                call = calls[0]
                self.drop(call)
                self._at_work[tenant] = self._at_work.get(tenant, 0) + 1
                if tenant in self._waiting:
                    self._waiting.move_to_end(tenant)
                return tenant, call
        return None

    def end(self, tenant: str) -> None:
        """Counts one running call of a tenant less."""
        self._at_work[tenant] -= 1
        if not self._at_work[tenant]:
            del self._at_work[tenant]

    def _tidy(self, tenant: str) -> None:
        if not self._waiting[tenant]:
            del self._waiting[tenant]
