"""Server-sent events: a page learns that data changed, and asks for itself again.

The changes are those of resource subscriptions: one task looks for all listeners, and a caller with a limited grant hears of its
own roots only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.subscriptions import ServerEvent
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from sweeplens_mcp.grants import current_grant_key
from sweeplens_mcp.http.ui.site import HEADERS
from sweeplens_mcp.protocol.subscriptions import ChangeFeed, ChangeListener, check_addresses

__all__ = ["EventStreams"]

_MOST_STREAMS = 64  # of one grant
_ALIVE_SECONDS = 15.0
_ALL = "experiments://runs"


class EventStreams:
    """The streams of one server."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed
        self._open: Counter[str] = Counter()

    async def stream(self, request: Request) -> Response:
        """`GET /ui/events`: an event each time that the runs change, or the one run that is named, since a moment."""
        grant, run = current_grant_key(), request.query_params.get("run", "")
        if self._open[grant] >= _MOST_STREAMS:
            said = "Too many pages follow changes: close some of them."
            return PlainTextResponse(said, HTTPStatus.SERVICE_UNAVAILABLE, HEADERS | {"Retry-After": "30"})
        address = f"{_ALL}/{quote(run, safe='')}" if run else _ALL
        check_addresses([address])
        send, receive = anyio.create_memory_object_stream[None](1)
        listener = self._feed.listener(_teller(send), [address])
        if (since := _moment(request.query_params.get("since", ""))) is not None:
            listener.wanted[address] = since
        return StreamingResponse(self._told(grant, listener, receive), 200, HEADERS, "text/event-stream")

    async def _told(
        self, grant: str, listener: ChangeListener, receive: MemoryObjectReceiveStream[None]
    ) -> AsyncIterator[str]:
        end = self._feed.add(listener)
        self._open[grant] += 1
        try:
            yield "retry: 5000\n\n"
            while True:
                changed = False
                with anyio.move_on_after(_ALIVE_SECONDS):
                    await receive.receive()
                    changed = True
                yield "event: changed\ndata: runs\n\n" if changed else ": nothing changed\n\n"
        finally:
            end()
            self._open[grant] -= 1
            receive.close()


def _teller(send: MemoryObjectSendStream[None]) -> Callable[[ServerEvent], None]:
    """Puts one event into the stream; a second one before the first is read adds nothing."""

    def tell(_: ServerEvent) -> None:
        if not send.statistics().current_buffer_used and send.statistics().open_receive_streams:
            send.send_nowait(None)

    return tell


def _moment(text: str) -> datetime | None:
    """Seconds since 1970 as a moment; None for anything else."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
