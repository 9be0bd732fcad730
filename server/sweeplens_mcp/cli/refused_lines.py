"""Answers lines from a client that are no messages, where the SDK is silent and the client would wait forever.

    refused(line)             the reply to a line that the SDK cannot read as a message; None for a message
    serve_with_refusals(...)  serves over stdio, and sends these replies in the order of their lines

JSON nested deeper than about 200 levels, an integer of thousands of digits and a raw control character are such lines, whatever
else they hold. The id is taken from the beginning or the end of the line, where clients write it; without one it is null.
"""

from __future__ import annotations

import json
import re
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from mcp.server.stdio import stdio_server
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter
from msgspec import Struct
from pydantic import ValidationError
from pydantic_core import from_json

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

__all__ = ["RefusedLine", "refused", "serve_with_refusals"]

_FIELD = rb'"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"'
_ID = rb'"id"\s*:\s*(-?\d{1,18}(?!\d)|"(?:[^"\\\x00-\x1f]|\\.){0,200}")'
_ID_AT_START = re.compile(rb"\s*\{\s*(?:" + _FIELD + rb"\s*,\s*){0,2}" + _ID)
_ID_AT_END = re.compile(rb"[,{]\s*" + _ID + rb"\s*(?:,\s*" + _FIELD + rb"\s*){0,2}\}\s*$")
_ENDS = 1024  # bytes at each end of a line in which its id is looked for


class RefusedLine(Struct, frozen=True):
    """A line that is no message; ``reply`` is None for a blank line, and for a response to nothing that was asked."""

    reply: JSONRPCError | None


def refused(line: bytes) -> RefusedLine | None:
    """Returns what a line that is no message gets; None for a message."""
    try:
        jsonrpc_message_adapter.validate_json(line.decode("utf-8", "replace"), by_name=False)
    except ValidationError as error:
        return RefusedLine(_reply(line, error) if line.strip() else None)
    return None


def _reply(line: bytes, error: ValidationError) -> JSONRPCError | None:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        reason = first["msg"].removeprefix("Invalid JSON: ")
        return _error(_id_in(line), PARSE_ERROR, f"This line is not JSON that can be read: {reason}.")
    given: Any = from_json(line.decode("utf-8", "replace"))
    if isinstance(given, dict) and "method" not in given and ("result" in given or "error" in given):
        return None
    held = cast("dict[str, object]", given).get("id") if isinstance(given, dict) else None
    known = held if isinstance(held, str | int) and not isinstance(held, bool) else None
    place = ".".join(map(str, first["loc"][1:])) or "message"
    return _error(known, INVALID_REQUEST, f"This line is no JSON-RPC 2.0 message: {place}: {first['msg']}.")


def _id_in(line: bytes) -> int | str | None:
    """Returns the id that stands at the beginning or the end of a line that is no JSON."""
    found = _ID_AT_START.match(line[:_ENDS]) or _ID_AT_END.search(line[-_ENDS:])
    if found is None:
        return None
    try:
        known: int | str = json.loads(found[1])
    except ValueError:  # an escape that JSON does not know, or half of a letter
        return None
    return known


def _error(known: int | str | None, code: int, message: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=known, error=ErrorData(code=code, message=message))


async def serve_with_refusals(server: MCPServer[Any], lines: deque[RefusedLine]) -> None:
    """Serves over stdio until the client closes its end. ``lines``: those that were refused, as they are read."""
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # as the SDK advises for such methods
    async with stdio_server() as (messages, replies):
        await lowlevel.run(_Answered(messages, replies, lines), replies, lowlevel.create_initialization_options())


class _Answered:
    """Messages from the client. Each line that is none is answered when the SDK reports it."""

    def __init__(
        self,
        messages: ReadStream[SessionMessage | Exception],
        replies: WriteStream[SessionMessage],
        lines: deque[RefusedLine],
    ) -> None:
        self._messages, self._replies, self._lines = messages, replies, lines

    @property
    def last_context(self) -> object:
        """The context of the sender of the last message, which the SDK asks for."""
        return getattr(self._messages, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """Returns the next message, or the error of a line that is none, which is answered."""
        item = await self._messages.receive()
        if isinstance(item, Exception):
            await self._answer()
        return item

    async def _answer(self) -> None:
        from mcp.shared.message import SessionMessage

        reply = self._lines.popleft().reply if self._lines else None
        if reply is not None:
            await self._replies.send(SessionMessage(reply))

    async def aclose(self) -> None:
        """Closes the messages."""
        await self._messages.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        from anyio import EndOfStream

        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()
