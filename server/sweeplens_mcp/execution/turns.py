"""Fair queues: the tenant that used the workers least has the next turn, so no tenant's calls wait behind all calls of another.

    Turns    one queue per tenant; no tenant runs more than its share of calls at a time

A tenant is a grant, or all callers together on a server without authentication. Use is the seconds of workers that a tenant
took, and half of it is forgotten every thirty seconds. Tenants with about the same use take turns. A tenant that used much more
than the others runs one call at a time, and in the background. Not thread-safe: only the event loop uses it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

__all__ = ["Turn", "Turns"]

T = TypeVar("T")
_HALF_LIFE_SECONDS = 30.0
_LITTLE_SECONDS = 2.0  # tenants with less use are alike
_MUCH_SECONDS = 8.0
_MUCH_TIMES = 4.0  # as much as other tenants use on average
_FORGOTTEN_SECONDS = 0.01


class Turn(Struct, Generic[T], frozen=True):
    """A call that starts now. ``background``: its tenant used much more than others, who should not wait for it."""

    tenant: str
    call: T
    background: bool
    began: float


class _Use(Struct):
    """Seconds of workers that a tenant took, as they count at a time."""

    seconds: float
    at: float

    def now(self, now: float) -> float:
        return self.seconds * 0.5 ** ((now - self.at) / _HALF_LIFE_SECONDS)


class Turns(Generic[T]):
    """Waiting calls by tenant. ``share``: how many calls of one tenant may run at the same time."""

    def __init__(self, share: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.share, self._clock = share, clock
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._at_work: dict[str, int] = {}
        self._used: dict[str, _Use] = {}

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

    def begin(self) -> Turn[T] | None:
        """Takes the next call out of its queue and counts it as running; None if no call may start."""
        now = self._clock()
        ready = [tenant for tenant in self._waiting if self._may_run(tenant, now)]
        if not ready:
            return None
        tenant = min(ready, key=lambda tenant: self._rank(tenant, now))
        call = self._waiting[tenant][0]
        self.drop(call)
        self._at_work[tenant] = self._at_work.get(tenant, 0) + 1
        if tenant in self._waiting:
            self._waiting.move_to_end(tenant)
        return Turn(tenant, call, self._used_much(tenant, now), now)

    def end(self, turn: Turn[T]) -> None:
        """Counts one running call of a tenant less, and its time as used."""
        tenant, now = turn.tenant, self._clock()
        self._at_work[tenant] -= 1
        if not self._at_work[tenant]:
            del self._at_work[tenant]
        self._used[tenant] = _Use(self._use(tenant, now) + max(0.0, now - turn.began), now)
        self._forget(now)

    def _may_run(self, tenant: str, now: float) -> bool:
        running = self._at_work.get(tenant, 0)
        return not tenant or not running or (running < self.share and not self._used_much(tenant, now))

    def _use(self, tenant: str, now: float) -> float:
        used = self._used.get(tenant)
        return used.now(now) if used else 0.0

    def _rank(self, tenant: str, now: float) -> int:
        """The same number for about the same use."""
        return int(self._use(tenant, now) / _LITTLE_SECONDS).bit_length()

    def _used_much(self, tenant: str, now: float) -> bool:
        """Whether a tenant used much more than the average other one; never if it is alone."""
        others = [used.now(now) for name, used in self._used.items() if name != tenant]
        own = self._use(tenant, now)
        return bool(others) and own > max(_MUCH_SECONDS, _MUCH_TIMES * sum(others) / len(others))

    def _forget(self, now: float) -> None:
        """Forgets tenants that have used next to nothing lately."""
        for tenant in [t for t, used in self._used.items() if used.now(now) < _FORGOTTEN_SECONDS]:
            del self._used[tenant]

    def _tidy(self, tenant: str) -> None:
        if not self._waiting[tenant]:
            del self._waiting[tenant]
