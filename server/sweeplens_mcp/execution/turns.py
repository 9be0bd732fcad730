"""Which of the waiting work comes next, so that nobody's work waits behind all of somebody else's.

    Turns    queues of work by tenant; tenants take turns, and none has more than its share at work

A tenant is whoever must not starve another: a grant, or everybody together where nobody says who they are. Not for threads:
the event loop alone uses it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting work by tenant. ``share``: how many pieces of a tenant may be at work at the same time."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._at_work: dict[str, int] = {}

    def waiting(self, tenant: str) -> int:
        """How many pieces of a tenant wait."""
        return len(self._waiting.get(tenant, ()))

    def held(self, tenant: str) -> int:
        """How many pieces of a tenant wait or are at work."""
        return self.waiting(tenant) + self._at_work.get(tenant, 0)

    def add(self, tenant: str, piece: T) -> None:
        """A piece waits for its tenant's turn."""
        self._waiting.setdefault(tenant, deque()).append(piece)

    def drop(self, piece: T) -> None:
        """A piece waits no more, for no tenant."""
        for tenant in [tenant for tenant, pieces in self._waiting.items() if piece in pieces]:
            self._waiting[tenant].remove(piece)
            self._tidy(tenant)

    def begin(self) -> tuple[str, T] | None:
        """The next piece, which is at work from now on, and its tenant; None when none may begin."""
        for tenant, pieces in self._waiting.items():
            if not tenant or self._at_work.get(tenant, 0) < self._share:
                piece = pieces[0]
                self.drop(piece)
                self._at_work[tenant] = self._at_work.get(tenant, 0) + 1
                if tenant in self._waiting:
                    self._waiting.move_to_end(tenant)
                return tenant, piece
        return None

    def end(self, tenant: str) -> None:
        """A piece of a tenant is at work no more."""
        self._at_work[tenant] -= 1
        if not self._at_work[tenant]:
            del self._at_work[tenant]

    def _tidy(self, tenant: str) -> None:
        if not self._waiting[tenant]:
            del self._waiting[tenant]
