"""Checks the Origin header on servers that accept any Host, because the SDK checks both headers or none."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Origins"]


class Origins:
    """Answers 403 to a request with an Origin that is not in ``allowed``; ``:*`` matches any port."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app, self._allowed = app, tuple(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        origin = Headers(scope=scope).get("origin", "") if scope["type"] == "http" else ""
        if origin and not any(_fits(origin, rule) for rule in self._allowed):
            await Response("Invalid Origin header", status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _fits(origin: str, rule: str) -> bool:
    return origin == rule or (rule.endswith(":*") and origin.startswith(rule[:-1]))
