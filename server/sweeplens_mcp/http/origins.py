"""Web pages that may ask, where any Host is let in: the SDK checks both headers or none."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Origins"]


class Origins:
    """Answers 403 to a request from a web page that is not among ``allowed``; ``:*`` stands for any port."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app, self._allowed = app, tuple(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        origin = Headers(scope=scope).get("origin", "") if scope["type"] == "http" else ""
        if origin and not any(_fits(origin, rule) for rule in self._allowed):
            await Response("Invalid Origin header", status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _fits(origin: str, rule: str) -> bool:
    return origin == rule or (rule.endswith(":*") and origin.startswith(rule[:-1]))
