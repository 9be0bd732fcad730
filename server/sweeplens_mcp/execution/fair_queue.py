"""`FairQueue`: the next call is of the grant that used the workers least, so no grant's calls wait behind all calls of another.

Each grant has a queue, and at most ``share`` of its calls run at a time. A grant is named by its key (`grants.current_grant_key`);
without authentication all calls have the key "". Use is the seconds of workers that a grant took, and half of it is forgotten every
thirty seconds. Grants with about the same use take turns. A grant that used much more than the others runs one call at a time, and
in the background. Not thread-safe: only the event loop uses it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

__all__ = ["FairQueue", "StartedCall"]

T = TypeVar("T")
_HALF_LIFE_SECONDS = 30.0
_LITTLE_SECONDS = 2.0  # grants with less use are alike
_MUCH_SECONDS = 8.0
_MUCH_TIMES = 4.0  # as much as other grants use on average
_FORGOTTEN_SECONDS = 0.01


class StartedCall(Struct, Generic[T], frozen=True):
    """A call that starts now. ``background``: its grant used much more than others, who should not wait for it."""

    grant: str
    call: T
    background: bool
    began: float


class _UsedSeconds(Struct):
    """Seconds of workers that a grant took, as they count at a time."""

    seconds: float
    at: float

    def now(self, now: float) -> float:
        return self.seconds * 0.5 ** ((now - self.at) / _HALF_LIFE_SECONDS)


class FairQueue(Generic[T]):
    """Waiting calls by grant. ``share``: how many calls of one grant may run at the same time."""

    def __init__(self, share: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.share, self._clock = share, clock
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._at_work: dict[str, int] = {}
        self._used: dict[str, _UsedSeconds] = {}

    def waiting(self, grant: str) -> int:
        """Number of waiting calls of a grant."""
        return len(self._waiting.get(grant, ()))

    def held(self, grant: str) -> int:
        """Number of waiting and running calls of a grant."""
        return self.waiting(grant) + self._at_work.get(grant, 0)

    def add(self, grant: str, call: T) -> None:
        """Adds a call to its grant's queue."""
        self._waiting.setdefault(grant, deque()).append(call)

    def drop(self, call: T) -> None:
        """Removes a call from every queue."""
        for grant in [grant for grant, calls in self._waiting.items() if call in calls]:
            self._waiting[grant].remove(call)
            self._tidy(grant)

    def begin(self) -> StartedCall[T] | None:
        """Takes the next call out of its queue and counts it as running; None if no call may start."""
        now = self._clock()
        ready = [grant for grant in self._waiting if self._may_run(grant, now)]
        if not ready:
            return None
        grant = min(ready, key=lambda grant: self._rank(grant, now))
        call = self._waiting[grant][0]
        self.drop(call)
        self._at_work[grant] = self._at_work.get(grant, 0) + 1
        if grant in self._waiting:
            self._waiting.move_to_end(grant)
        return StartedCall(grant, call, self._used_much(grant, now), now)

    def end(self, started: StartedCall[T]) -> None:
        """Counts one running call of a grant less, and its time as used."""
        grant, now = started.grant, self._clock()
        self._at_work[grant] -= 1
        if not self._at_work[grant]:
            del self._at_work[grant]
        self._used[grant] = _UsedSeconds(self._use(grant, now) + max(0.0, now - started.began), now)
        self._forget(now)

    def _may_run(self, grant: str, now: float) -> bool:
        running = self._at_work.get(grant, 0)
        return not grant or not running or (running < self.share and not self._used_much(grant, now))

    def _use(self, grant: str, now: float) -> float:
        used = self._used.get(grant)
        return used.now(now) if used else 0.0

    def _rank(self, grant: str, now: float) -> int:
        """The same number for about the same use."""
        return int(self._use(grant, now) / _LITTLE_SECONDS).bit_length()

    def _used_much(self, grant: str, now: float) -> bool:
        """Whether a grant used much more than the average other one; never if it is alone."""
        others = [used.now(now) for name, used in self._used.items() if name != grant]
        own = self._use(grant, now)
        return bool(others) and own > max(_MUCH_SECONDS, _MUCH_TIMES * sum(others) / len(others))

    def _forget(self, now: float) -> None:
        """Forgets grants that have used next to nothing lately."""
        for grant in [key for key, used in self._used.items() if used.now(now) < _FORGOTTEN_SECONDS]:
            del self._used[grant]

    def _tidy(self, grant: str) -> None:
        if not self._waiting[grant]:
            del self._waiting[grant]
