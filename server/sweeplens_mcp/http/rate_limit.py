"""Rate limits per client: a bucket that fills evenly, one for each grant, else for each address.

It stands behind authentication. A token that is right counts for its grant, however its header is spelled and however many
tokens the grant has; whoever shows none, or a wrong one, counts for the address. So guessed tokens open no buckets, and shut
out nobody who has a right one. The table of buckets is bounded; the one unused longest is forgotten first.
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from sweeplens_mcp.grants import tenant_of

__all__ = ["RateLimit"]

_BUCKETS = 10_000
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
        self._buckets: OrderedDict[tuple[str, str], _TokenBucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or not self._per_minute or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        wait = self._wait(_client(scope), float(self._per_minute))
        if wait <= 0:
            await self._app(scope, receive, send)
        else:
            await _refuse(send, math.ceil(wait))

    def _wait(self, key: tuple[str, str], per_minute: float) -> float:
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


def _client(scope: Scope) -> tuple[str, str]:
    """Whose bucket a request takes from."""
    user = scope.get("user")
    if isinstance(user, AuthenticatedUser):
        return "grant", tenant_of(user.access_token)
    return "address", scope["client"][0] if scope.get("client") else "unknown"


async def _refuse(send: Send, seconds: int) -> None:
    body = json.dumps(
        {"error": "rate_limited", "error_description": f"Too many calls: come back in {seconds} s."}
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", str(seconds).encode())]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
