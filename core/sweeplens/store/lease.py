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

from sweeplens.store.bucket import Bucket, Version
from sweeplens.store.place import TakenError, UnreachableError

__all__ = ["LEASE_SECONDS", "leased"]

log = logging.getLogger("sweeplens.store")

LEASE_SECONDS = 60.0
"""As long as others wait with their writing when the one who has it is killed."""


class _Lease(Struct):
    owner: str = ""
    until: float = 0.0


@contextlib.contextmanager
def leased(bucket: Bucket, name: str) -> Generator[bool]:
    """Whether this process has the lease meanwhile."""
    mine = _take(bucket, name)
    try:
        yield mine is not None
    finally:
        if mine is not None:
            _free(bucket, name, mine)


def _take(bucket: Bucket, name: str) -> Version | None:
    try:
        said, before = bucket.get(name, large=False)
        if _stands(said):
            return None
    except FileNotFoundError:
        before = None
    fresh = _Lease(uuid.uuid4().hex, time.time() + LEASE_SECONDS)
    try:
        return bucket.put_after(name, json.encode(fresh), before)
    except TakenError:  # another was faster
        return None


def _stands(said: bytes) -> bool:
    try:
        left = json.decode(said, type=_Lease).until - time.time()
    except MsgspecError:  # not ours: nobody has it
        return False
    return 0 < left <= LEASE_SECONDS


def _free(bucket: Bucket, name: str, mine: Version) -> None:
    try:
        bucket.put_after(name, json.encode(_Lease()), mine)
    except (TakenError, UnreachableError) as error:  # it ran out and is another's, or will run out
        log.info("The lease %s was not given back: %s", name, error)
