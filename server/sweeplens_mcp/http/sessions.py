"""Limits the sessions of the older protocol per grant, and cancels calls of clients that disconnect.

    Sessions    middleware between authentication and the SDK. If a grant opens too many sessions, it ends the least recently
                used one; if a client disconnects before its answer, it cancels the call. It does both by requests to the SDK

The SDK would let such a call continue, because a client could fetch the answer later from an event store. This server has no
event store, so the call would hold a worker for an answer that is never read.

The SDK takes a client or session that leaves in the middle of a request for a fault of its own: it logs a traceback and answers a
second time, or not to the end. Here that is one line at level info, and an answer that ends.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sweeplens_mcp.grants import grant_key_of
from sweeplens_mcp.settings import HTTP_PATH

__all__ = ["Sessions"]

_SESSION = MCP_SESSION_ID_HEADER.encode()
_LEFT = (ClientDisconnect, anyio.ClosedResourceError, anyio.BrokenResourceError)
_log = logging.getLogger(__name__)
_sdk_log = logging.getLogger("mcp.server.streamable_http")


class _Session(Struct):
    """A session of a grant: its number of requests in flight, and when the last one ended."""

    in_flight: int = 0
    used: float = 0.0


class _Request(Struct):
    """A request as seen by the middleware: its body, the answer's status and session, whether the answer is complete."""

    body: bytearray
    status: int = 0
    session: str = ""
    whole: bool = False

    def received(self, message: Message) -> None:
        """Records a message from the client."""
        if message["type"] == "http.request":
            self.body += message.get("body", b"")

    def sent(self, message: Message) -> None:
        """Records a message to the client."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = dict(cast("list[tuple[bytes, bytes]]", message.get("headers", [])))
            self.session = headers.get(_SESSION, b"").decode("latin-1")
        else:
            self.whole = not message.get("more_body", False)

    def call(self) -> str | int | None:
        """The JSON-RPC id in the body, if it has one."""
        try:
            asked: object = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        number = cast("dict[str, object]", asked).get("id") if isinstance(asked, dict) else None
        return number if isinstance(number, (str, int)) else None


class Sessions:
    """Middleware around the SDK's endpoint. ``most``: sessions per grant; ``idle_seconds``: after which the SDK ends one."""

    def __init__(
        self,
        app: ASGIApp,
        idle_seconds: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._idle, self._most, self._clock = app, idle_seconds, most, clock
        self._open: dict[str, OrderedDict[str, _Session]] = {}
        _sdk_log.addFilter(_is_fault)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and acts on how it was answered. A client or session that leaves meanwhile is no error."""
        try:
            await self._answer(scope, receive, send)
        except ClientDisconnect:
            _log.info("a client left in the middle of its request")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HTTP_PATH or _is_modern(scope):
            await self._app(scope, receive, send)
            return
        grant, session = _grant_key(scope), Headers(scope=scope).get(MCP_SESSION_ID_HEADER, "")
        sessions = self._open.setdefault(grant, OrderedDict())
        request = _Request(bytearray())
        try:
            if session or self._room(sessions):
                await self._pass_on(scope, receive, send, request, sessions.get(session))
                await self._after_answer(scope, session, request, sessions)
                await _complete(scope, receive, send, request)
            else:
                await _full()(scope, receive, send)
        finally:
            if not sessions and self._open.get(grant) is sessions:
                del self._open[grant]

    async def _after_answer(
        self, scope: Scope, session: str, request: _Request, sessions: OrderedDict[str, _Session]
    ) -> None:
        """Updates the sessions after a request, and cancels its call if the client disconnected."""
        ended = scope["method"] == "DELETE" and request.status < HTTPStatus.BAD_REQUEST
        if not session and request.session and request.status == HTTPStatus.OK:
            sessions[request.session] = _Session(used=self._clock())
            await self._make_room(scope, sessions)
        elif session in sessions and (ended or request.status == HTTPStatus.NOT_FOUND):
            del sessions[session]
        elif session in sessions:
            sessions.move_to_end(session)
        if session and scope["method"] == "POST" and request.status == HTTPStatus.OK and not request.whole:
            await self._cancel(scope, session, request)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, request: _Request, session: _Session | None
    ) -> None:
        async def receiving() -> Message:
            message = await receive()
            request.received(message)
            return message

        async def sending(message: Message) -> None:
            if not request.whole:
                await send(message)
                request.sent(message)

        if session:
            session.in_flight += 1
        try:
            await self._app(scope, receiving, sending)
        except _LEFT as error:
            _log.info("a client or its session left in the middle of a request: %s", type(error).__name__)
        finally:
            if session:
                session.in_flight -= 1
                session.used = self._clock()

    def _room(self, sessions: OrderedDict[str, _Session]) -> bool:
        """Whether one more session may be opened: the limit is not reached, or one without requests can be ended."""
        for name in [n for n, s in sessions.items() if not s.in_flight and self._clock() - s.used > self._idle]:
            del sessions[name]  # the SDK has ended it
        return len(sessions) < self._most or any(not s.in_flight for s in sessions.values())

    async def _make_room(self, scope: Scope, sessions: OrderedDict[str, _Session]) -> None:
        """Ends sessions beyond the limit, the least recently used first; the newest one stays."""
        unused = [name for name, session in list(sessions.items())[:-1] if not session.in_flight]
        for name in unused[: max(0, len(sessions) - self._most)]:
            del sessions[name]
            await self._send_request(scope, "DELETE", name)

    async def _cancel(self, scope: Scope, session: str, request: _Request) -> None:
        """Cancels the call of a request whose client disconnected, by the protocol's own notification."""
        if (call := request.call()) is not None:
            params = {"requestId": call, "reason": "The client disconnected."}
            message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
            await self._send_request(scope, "POST", session, json.dumps(message).encode())

    async def _send_request(self, scope: Scope, method: str, session: str, body: bytes = b"") -> None:
        """Sends a request to the SDK on behalf of a request's client."""
        given = {b"content-type", b"content-length", b"transfer-encoding", b"accept", _SESSION}
        headers = [(name, value) for name, value in scope["headers"] if name not in given] + [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"accept", b"application/json, text/event-stream"),
            (_SESSION, session.encode("latin-1")),
        ]
        reply = _Request(bytearray())
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            reply.sent(message)

        await self._app({**scope, "method": method, "headers": headers}, receive, send)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            _log.info("a session refused %s: %d", method, reply.status)


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether a record of the SDK is about anything else than a client or session that left."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(_LEFT)[1] is not None
    return not isinstance(error, _LEFT)


def _is_modern(scope: Scope) -> bool:
    """Whether a request is of a protocol version without sessions; the SDK decides in the same way."""
    version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
    return version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS


def _grant_key(scope: Scope) -> str:
    user = scope.get("user")
    return grant_key_of(user.access_token) if isinstance(user, AuthenticatedUser) else ""


async def _complete(scope: Scope, receive: Receive, send: Send, request: _Request) -> None:
    """Ends an answer that the SDK left open, or did not begin, because the session ended meanwhile."""
    if not request.status:
        gone = {"error": "session_ended", "error_description": "The session has ended: open another one."}
        await JSONResponse(gone, HTTPStatus.NOT_FOUND)(scope, receive, send)
    elif not request.whole:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _full() -> JSONResponse:
    return JSONResponse(
        {
            "error": "too_many_sessions",
            "error_description": "All your sessions are in use: end one, or wait for an answer.",
        },
        HTTPStatus.SERVICE_UNAVAILABLE,
        {"Retry-After": "10"},
    )
