"""HTTP requests to a server that may be hostile: limited in time and bytes, and sent to no other server.

    fetched(request, tls, most_bytes)    the body of the answer

A server that sends one byte now and then keeps every timeout of a socket waiting. So a timer closes the connection, whatever
arrives on it. A redirection is followed on the same host only, and credentials never follow one.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from threading import Timer
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["fetched"]

_SILENCE_SECONDS = 30.0
_MOST_SECONDS = 120.0  # of one answer


def fetched(request: Request, tls: SSLContext | None, most_bytes: int) -> bytes:
    """Returns the body. Raises urllib.error.URLError, http.client.HTTPException or OSError, also if it is too long or too slow."""
    watched = _Watched()
    opener = build_opener(_PlainHandler(watched), _TlsHandler(watched, tls), _SameHost())
    with watched.limited(), opener.open(request, timeout=_SILENCE_SECONDS) as reply:
        content: bytes = reply.read(most_bytes + 1)
    if watched.is_late:
        raise TimeoutError(f"no whole answer within {_MOST_SECONDS:.0f} s")
    if len(content) > most_bytes:
        raise HTTPException(f"an answer of more than {most_bytes >> 20} MB")
    return content


class _Watched:
    """The sockets of one request, which a timer closes."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.is_late = False

    def add(self, connection: HTTPConnection) -> None:
        """Takes the socket of a connection that was just made."""
        self._sockets.append(connection.sock)
        if self.is_late:
            self._end()

    @contextmanager
    def limited(self) -> Generator[None]:
        """Closes the connections if the work inside takes too long."""
        timer = Timer(_MOST_SECONDS, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, HTTPException) as error:
            if self.is_late:
                raise TimeoutError(f"no whole answer within {_MOST_SECONDS:.0f} s") from error
            raise
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.is_late = True
        for held in self._sockets:
            with contextlib.suppress(OSError):  # it is closed already
                socket.socket.shutdown(held, socket.SHUT_RDWR)  # of TLS too: its reader then ends


class _PlainHandler(HTTPHandler):
    """Opens connections that are watched."""

    def __init__(self, watched: _Watched) -> None:
        super().__init__()
        self._watched = watched

    def http_open(self, req: Request) -> HTTPResponse:
        """Sends a request."""
        watched = self._watched

        class WatchedConnection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                watched.add(self)

        return self.do_open(WatchedConnection, req)


class _TlsHandler(HTTPSHandler):
    """Opens connections over TLS that are watched."""

    def __init__(self, watched: _Watched, tls: SSLContext | None) -> None:
        super().__init__(context=tls)
        self._watched, self._tls = watched, tls

    def https_open(self, req: Request) -> HTTPResponse:
        """Sends a request."""
        watched = self._watched

        class WatchedTlsConnection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                watched.add(self)

        return self.do_open(WatchedTlsConnection, req, context=self._tls)


class _SameHost(HTTPRedirectHandler):
    """Follows a redirection on the same host; any other ends as the HTTPError of its code."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Returns the next request; None for another host or another protocol."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        same = (new.hostname, new.port) == (old.hostname, old.port)
        to_tls = (old.scheme, new.scheme, new.hostname, new.port) == ("http", "https", old.hostname, None)
        if not (same and new.scheme == old.scheme) and not to_tls:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)
