"""Rate limits per client: a bucket that fills evenly, one for each presented credential, else for each address.

An address as a whole has ten times one client's rate, so that many guessed tokens do not open many buckets. The table of
buckets is bounded; the one unused longest is forgotten first.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["RateLimit"]

_BUCKETS = 10_000
_ADDRESS_SHARE = 10
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class _TokenBucket(Struct):
    left: float
    at: float


class RateLimit:
    """Answers 429 with Retry-After when a client asks more than ``per_minute`` times a minute; 0: no limit."""

    def __init__(self, app: ASGIApp, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, _TokenBucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or not self._per_minute or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        wait = max(self._wait(key, rate) for key, rate in self._keys(scope))
        if wait <= 0:
            await self._app(scope, receive, send)
        else:
            await _refuse(send, math.ceil(wait))

    def _keys(self, scope: Scope) -> list[tuple[str, float]]:
        address = scope["client"][0] if scope.get("client") else "unknown"
        presented = Headers(scope=scope).get("authorization", "")
        if not presented:
            return [(address, float(self._per_minute))]
        holder = hashlib.sha256(presented.encode("latin-1", "replace")).hexdigest()
        return [(holder, float(self._per_minute)), (address, float(self._per_minute * _ADDRESS_SHARE))]

    def _wait(self, key: str, per_minute: float) -> float:
        """Take one call from a bucket: 0, or the seconds until there is one."""
        now = self._clock()
        bucket = self._buckets.pop(key, None) or _TokenBucket(per_minute, now)
        bucket.left = min(per_minute, bucket.left + (now - bucket.at) * per_minute / 60)
        bucket.at = now
        self._buckets[key] = bucket
        while len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) * 60 / per_minute
        bucket.left -= 1
        return 0.0


async def _refuse(send: Send, seconds: int) -> None:
    body = json.dumps(
        {"error": "rate_limited", "error_description": f"Too many calls: come back in {seconds} s."}
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", str(seconds).encode())]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
