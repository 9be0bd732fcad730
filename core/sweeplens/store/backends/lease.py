"""A lock on an object store: an object with its owner and end, which is replaced only if it is free or expired.

It makes concurrent writers rare; correctness depends on HEAD alone. So wrong clocks do no harm: a lease whose end is
further away than its longest duration counts as free.
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
"""How long other writers wait after the owner of a lease was killed."""


class Lease(Struct):
    """The owner of a lease and its end; an empty lease was released."""

    owner: str = ""
    until: float = 0.0

    def is_held(self) -> bool:
        """Whether the lease is held now."""
        return 0 < self.until - time.time() <= LEASE_SECONDS


class HeldLease(Struct, frozen=True):
    """A lease that was taken."""

    version: ObjectVersion
    inherited: bool  # whether the previous owner never released it and may still write


@contextlib.contextmanager
def leased(client: ObjectClient, name: str) -> Generator[HeldLease | None]:
    """Takes the lease and releases it afterwards; yields None if another process has it."""
    held = _take(client, name)
    try:
        yield held
    finally:
        if held is not None:
            _free(client, name, held.version)


def _take(client: ObjectClient, name: str) -> HeldLease | None:
    last, before = _read(client, name)
    if last.is_held():
        return None
    fresh = Lease(uuid.uuid4().hex, time.time() + LEASE_SECONDS)
    try:
        return HeldLease(client.put_after(name, json.encode(fresh), before), inherited=bool(last.owner))
    except HeadMovedError:  # another process was faster
        return None


def _read(client: ObjectClient, name: str) -> tuple[Lease, ObjectVersion | None]:
    try:
        data, version = client.get(name, large=False)
    except FileNotFoundError:
        return Lease(), None
    try:
        return json.decode(data, type=Lease), version
    except MsgspecError:  # not a lease: it counts as free
        return Lease(), version


def _free(client: ObjectClient, name: str, mine: ObjectVersion) -> None:
    try:
        client.put_after(name, json.encode(Lease()), mine)
    except (HeadMovedError, BackendUnreachableError) as error:  # it expired and has another owner, or it will expire
        log.info("The lease %s was not released: %s", name, error)
