"""Sessions of the older protocol: each grant has a bounded number of them, and a call ends when its client goes.

    Sessions    stands behind authentication and before the SDK, which it asks as a client would: it ends the session of a
                grant that was unused longest where the grant opens one too many, and cancels the call of a request whose
                client disconnected before the answer

The SDK lets such a call go on, as its answer could be fetched later from a store of events. This server keeps no such store:
nobody would ever see the answer, while the call holds a worker.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sweeplens_mcp.grants import tenant_of
from sweeplens_mcp.settings import HTTP_PATH

__all__ = ["Sessions"]

_SESSION = MCP_SESSION_ID_HEADER.encode()
_log = logging.getLogger(__name__)


class _Session(Struct):
    """A session of a grant: how many of its requests are being answered, and when the last one ended."""

    in_flight: int = 0
    used: float = 0.0


class _Request(Struct):
    """What passes by of one request: its body, the answer's status and session, and whether the answer was whole."""

    body: bytearray
    status: int = 0
    session: str = ""
    whole: bool = False

    def took(self, message: Message) -> None:
        """A message from the client."""
        if message["type"] == "http.request":
            self.body += message.get("body", b"")

    def gave(self, message: Message) -> None:
        """A message to the client."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = dict(cast("list[tuple[bytes, bytes]]", message.get("headers", [])))
            self.session = headers.get(_SESSION, b"").decode("latin-1")
        else:
            self.whole = not message.get("more_body", False)

    def call(self) -> str | int | None:
        """The id of the call that the body asks for, if it asks for one."""
        try:
            asked: object = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        number = cast("dict[str, object]", asked).get("id") if isinstance(asked, dict) else None
        return number if isinstance(number, (str, int)) else None


class Sessions:
    """Middleware around the SDK's endpoint. ``most``: sessions of one grant; ``idle_seconds``: when the SDK ends one itself."""

    def __init__(
        self,
        app: ASGIApp,
        idle_seconds: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._idle, self._most, self._clock = app, idle_seconds, most, clock
        self._open: dict[str, OrderedDict[str, _Session]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and see what becomes of it."""
        if scope["type"] != "http" or scope["path"] != HTTP_PATH or _is_modern(scope):
            await self._app(scope, receive, send)
            return
        tenant, session = _tenant(scope), Headers(scope=scope).get(MCP_SESSION_ID_HEADER, "")
        mine = self._open.setdefault(tenant, OrderedDict())
        request = _Request(bytearray())
        try:
            if session or self._room(mine):
                await self._passed_on(scope, receive, send, request, mine.get(session))
            else:
                await _full()(scope, receive, send)
            await self._settle(scope, session, request, mine)
        finally:
            if not mine and self._open.get(tenant) is mine:
                del self._open[tenant]

    async def _settle(self, scope: Scope, session: str, request: _Request, mine: OrderedDict[str, _Session]) -> None:
        """What follows from how a request was answered."""
        ended = scope["method"] == "DELETE" and request.status < HTTPStatus.BAD_REQUEST
        if not session and request.session and request.status == HTTPStatus.OK:
            mine[request.session] = _Session(used=self._clock())
            await self._make_room(scope, mine)
        elif session in mine and (ended or request.status == HTTPStatus.NOT_FOUND):
            del mine[session]
        elif session in mine:
            mine.move_to_end(session)
        if session and scope["method"] == "POST" and request.status == HTTPStatus.OK and not request.whole:
            await self._cancel(scope, session, request)

    async def _passed_on(
        self, scope: Scope, receive: Receive, send: Send, request: _Request, session: _Session | None
    ) -> None:
        async def taking() -> Message:
            message = await receive()
            request.took(message)
            return message

        async def giving(message: Message) -> None:
            await send(message)
            request.gave(message)

        if session:
            session.in_flight += 1
        try:
            await self._app(scope, taking, giving)
        finally:
            if session:
                session.in_flight -= 1
                session.used = self._clock()

    def _room(self, mine: OrderedDict[str, _Session]) -> bool:
        """Whether one more session may be opened: there is room, or one that is not in use can make it."""
        for name in [n for n, s in mine.items() if not s.in_flight and self._clock() - s.used > self._idle]:
            del mine[name]  # the SDK has ended it
        return len(mine) < self._most or any(not s.in_flight for s in mine.values())

    async def _make_room(self, scope: Scope, mine: OrderedDict[str, _Session]) -> None:
        """End the sessions beyond the bound, those unused longest first; the newest one stays."""
        unused = [name for name, session in list(mine.items())[:-1] if not session.in_flight]
        for name in unused[: max(0, len(mine) - self._most)]:
            del mine[name]
            await self._ask(scope, "DELETE", name)

    async def _cancel(self, scope: Scope, session: str, request: _Request) -> None:
        """Cancel the call of a request whose client is gone, as a client does that stays."""
        if (call := request.call()) is not None:
            told = {"requestId": call, "reason": "The client disconnected."}
            message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": told}
            await self._ask(scope, "POST", session, json.dumps(message).encode())

    async def _ask(self, scope: Scope, method: str, session: str, body: bytes = b"") -> None:
        """Ask the SDK something on behalf of the client of a request."""
        given = {b"content-type", b"content-length", b"transfer-encoding", b"accept", _SESSION}
        headers = [(name, value) for name, value in scope["headers"] if name not in given] + [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"accept", b"application/json, text/event-stream"),
            (_SESSION, session.encode("latin-1")),
        ]
        heard = _Request(bytearray())
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            heard.gave(message)

        await self._app({**scope, "method": method, "headers": headers}, receive, send)
        if heard.status >= HTTPStatus.BAD_REQUEST:
            _log.info("a session did not take %s: %d", method, heard.status)


def _is_modern(scope: Scope) -> bool:
    """Whether a request is of the era without sessions; the SDK decides in the same way."""
    version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
    return version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS


def _tenant(scope: Scope) -> str:
    user = scope.get("user")
    return tenant_of(user.access_token) if isinstance(user, AuthenticatedUser) else ""


def _full() -> JSONResponse:
    return JSONResponse(
        {
            "error": "too_many_sessions",
            "error_description": "All sessions that you may have are in use: end one, or wait for an answer.",
        },
        HTTPStatus.SERVICE_UNAVAILABLE,
        {"Retry-After": "10"},
    )
