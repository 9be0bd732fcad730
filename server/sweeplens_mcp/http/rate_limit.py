"""Rate limits per client by token bucket: one bucket per grant, or per address without a valid token.

It runs after authentication. Requests with a valid token count for its grant, whatever the header's spelling and the number of
tokens; all others count for their address. So guessed tokens create no buckets and block no valid client. The number of buckets
is bounded; the least recently used one is dropped first.
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

from sweeplens_mcp.grants import grant_key_of

__all__ = ["RateLimit"]

_BUCKETS = 10_000
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class _TokenBucket(Struct):
    left: float
    at: float


class RateLimit:
    """Answers 429 with Retry-After if a client sends more than ``per_minute`` requests a minute; 0: no limit."""

    def __init__(self, app: ASGIApp, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], _TokenBucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] != "http" or not self._per_minute or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        wait = self._wait(_client(scope), float(self._per_minute))
        if wait <= 0:
            await self._app(scope, receive, send)
        else:
            await _refuse(send, math.ceil(wait))

    def _wait(self, key: tuple[str, str], per_minute: float) -> float:
        """Takes one token from a bucket. Returns 0, or the seconds until there is one."""
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
    """The key of a request's bucket."""
    user = scope.get("user")
    if isinstance(user, AuthenticatedUser):
        return "grant", grant_key_of(user.access_token)
    return "address", scope["client"][0] if scope.get("client") else "unknown"


async def _refuse(send: Send, seconds: int) -> None:
    body = json.dumps(
        {"error": "rate_limited", "error_description": f"Too many calls: try again in {seconds} s."}
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", str(seconds).encode())]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
