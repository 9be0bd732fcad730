"""A lock where no system frees one: an object that says until when somebody has it, put only where it is free or ran out.

It keeps writers apart; what they write rests on HEAD alone. So clocks that disagree do no harm: a lease that ends further
ahead than one may last is nobody's.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Generator

from msgspec import MsgspecError, Struct, json

from sweeplens.store.backends.backend import BackendUnreachableError, HeadMovedError
from sweeplens.store.backends.object_client import ObjectClient, ObjectVersion

__all__ = ["LEASE_SECONDS", "HeldLease", "leased"]

log = logging.getLogger("sweeplens.store")

LEASE_SECONDS = 60.0
"""As long as others wait with their writing when the one who has it is killed."""


class Lease(Struct):
    """Who has it until when; an empty one was given back."""

    owner: str = ""
    until: float = 0.0

    def stands(self) -> bool:
        """Whether nobody else may have it yet."""
        return 0 < self.until - time.time() <= LEASE_SECONDS


class HeldLease(Struct, frozen=True):
    """A lease that was taken."""

    version: ObjectVersion
    inherited: bool  # whether the one before never gave it back: perhaps it still writes


@contextlib.contextmanager
def leased(bucket: ObjectClient, name: str) -> Generator[HeldLease | None]:
    """The lease, where this process has it meanwhile."""
    held = _take(bucket, name)
    try:
        yield held
    finally:
        if held is not None:
            _free(bucket, name, held.version)


def _take(bucket: ObjectClient, name: str) -> HeldLease | None:
    last, before = _read(bucket, name)
    if last.stands():
        return None
    fresh = Lease(uuid.uuid4().hex, time.time() + LEASE_SECONDS)
    try:
        return HeldLease(bucket.put_after(name, json.encode(fresh), before), inherited=bool(last.owner))
    except HeadMovedError:  # another was faster
        return None


def _read(bucket: ObjectClient, name: str) -> tuple[Lease, ObjectVersion | None]:
    try:
        said, version = bucket.get(name, large=False)
    except FileNotFoundError:
        return Lease(), None
    try:
        return json.decode(said, type=Lease), version
    except MsgspecError:  # not ours: nobody has it
        return Lease(), version


def _free(bucket: ObjectClient, name: str, mine: ObjectVersion) -> None:
    try:
        bucket.put_after(name, json.encode(Lease()), mine)
    except (HeadMovedError, BackendUnreachableError) as error:  # it ran out and is another's, or will run out
        log.info("The lease %s was not given back: %s", name, error)
