"""Middleware for requests of browsers to `/ui`: checks Host and Origin, and turns the cookie of a login into a bearer token.

The SDK checks these headers for its own endpoint only, and reads a token from a header that browsers do not send by
themselves. It runs before authentication, so that everything behind it knows the caller as it knows any client.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["COOKIE", "PATH", "BrowserChecks", "cookie_of"]

PATH = "/ui"
COOKIE = "sweeplens_token"


class BrowserChecks:
    """Refuses requests for other hosts and from other sites; passes the rest on, with the token of the cookie."""

    def __init__(self, app: ASGIApp, security: TransportSecuritySettings) -> None:
        self._app, self._hosts = app, TransportSecurityMiddleware(security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] != "http" or not (scope["path"] == PATH or scope["path"].startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return
        if _from_another_site(Request(scope)):
            await PlainTextResponse("Requests from other sites are refused.", 403)(scope, receive, send)
            return
        inner = {**scope, "headers": _as_of_a_client(Request(scope))}
        refused = await self._hosts.validate_request(Request(inner))
        await (refused or self._app)(inner, receive, send)


def cookie_of(token: str) -> str:
    """A token as the value of a cookie."""
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def _as_of_a_client(request: Request) -> list[tuple[bytes, bytes]]:
    """The headers without the Origin, which is this site's: the checks of MCP clients know no pages of our own. With the token."""
    headers = [(name, value) for name, value in request.headers.raw if name != b"origin"]
    token = _token(request.cookies.get(COOKIE, ""))
    if token and "authorization" not in request.headers:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    return headers


def _token(cookie: str) -> str:
    """The token in a cookie; "" for anything else, also for what no header can hold."""
    try:
        token = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return token if token.isprintable() else ""


def _from_another_site(request: Request) -> bool:
    """Whether a page of another site sent this; following a link from there is allowed."""
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("host", ""):
        return True
    elsewhere = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return elsewhere and request.headers.get("sec-fetch-mode", "") != "navigate"
