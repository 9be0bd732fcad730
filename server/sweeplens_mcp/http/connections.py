"""Connections within bounds: so many in all and of one address, and none that says or takes nothing for long.

    Limits                  the bounds; `Limits.of_system` keeps them below the descriptors that the process may have
    Connections             who is connected; makes room by closing who waits longest without a request
    listening(...)          sockets that accept within the bounds, and pause where there is no room
    bounded_protocol(...)   uvicorn's protocol with timeouts for a request's head, its body, and an answer that nobody reads

uvicorn bounds requests but not connections, and its timeouts begin after a first request. asyncio accepts until descriptors
run out, then tries two thousand times at once and logs each. Both are told otherwise here, by the socket and by the protocol
that they are given. On Windows asyncio accepts past the socket; there, only the timeouts hold.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import h11
from msgspec import Struct
from uvicorn.protocols.http.h11_impl import H11Protocol

from sweeplens.errors import ConfigError

__all__ = ["Connections", "Limits", "bounded_protocol", "listening"]

_MOST_DESCRIPTORS = 65_536
_UNKNOWN_DESCRIPTORS = 1024
_MOST_CONNECTIONS = 10_000
_PENDING = 16  # connections that are being closed while new ones come
_TRIES = 64  # connections that are refused before anything else is done
_PAUSE_SECONDS = 0.5  # asyncio itself pauses for a second
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_log = logging.getLogger(__name__)


class Limits(Struct, frozen=True):
    """``exempt``: addresses that stand for many clients (proxies). Seconds: for what a client may take how long."""

    most: int
    of_an_address: int
    exempt: tuple[str, ...] = ()
    head_seconds: float = 10
    body_seconds: float = 60
    answer_seconds: float = 60

    @classmethod
    def of_system(cls, exempt: Collection[str] = ()) -> Limits:
        """Half of the descriptors for connections, once the process has as many as it may have; half of these an address."""
        most = min(_MOST_CONNECTIONS, _descriptors() // 2)
        return cls(most, max(1, most // 2), tuple(exempt))


class Connections:
    """Open connections. Those that wait for a request to begin or to end are idle, the one that is so for longest first.

    Room is made first by those that never asked anything: whoever was answered may be about to ask again.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[int, _Connection] = {}
        self._of_address: Counter[str] = Counter()
        self._idle: OrderedDict[int, _Connection] = OrderedDict()
        self._between: OrderedDict[int, _Connection] = OrderedDict()  # idle, and answered before
        self._closing: set[int] = set()

    def room(self) -> bool:
        """Whether one more may be accepted; who is idle makes room."""
        live = len(self._open) - len(self._closing)
        if live < self.limits.most:
            return True
        most = max(self._of_address, key=self._of_address.__getitem__)
        oldest = next((c for _, c in self._waiting()), None)
        return self._close_idle(most) or (oldest is not None and self._close_idle(oldest.address))

    def crowded(self) -> bool:
        """Whether those that make room have still to go."""
        return len(self._open) >= self.limits.most + _PENDING

    def admit(self, connection: _Connection) -> bool:
        """Take a new connection in, if its address has room."""
        address = connection.address
        full = self._of_address[address] >= self.limits.of_an_address and address not in self.limits.exempt
        if full and not self._close_idle(address):
            return False
        self._open[connection.fileno()] = self._idle[connection.fileno()] = connection
        self._of_address[address] += 1
        return True

    def left(self, descriptor: int) -> None:
        """A connection is closed."""
        connection = self._open.pop(descriptor, None)
        self._rouse(descriptor)
        if connection is not None and descriptor not in self._closing:
            self._forget_address(connection.address)
        self._closing.discard(descriptor)

    def note(self, descriptor: int, phase: str) -> None:
        """What a connection waits for from now on: the ``head`` or ``body`` of a request, an ``answer``, or the ``next`` one."""
        connection = self._open.get(descriptor)
        if connection is None or descriptor in self._closing:
            return
        self._rouse(descriptor)
        if phase != "answer":
            (self._between if phase == "next" else self._idle)[descriptor] = connection

    def _waiting(self) -> Iterator[tuple[int, _Connection]]:
        yield from self._idle.items()
        yield from self._between.items()

    def _rouse(self, descriptor: int) -> None:
        self._idle.pop(descriptor, None)
        self._between.pop(descriptor, None)

    def _close_idle(self, address: str) -> bool:
        """Close the connection of an address that is idle for longest; whether there is one."""
        found = next(((d, c) for d, c in self._waiting() if c.address == address), None)
        if found is None:
            return False
        descriptor, connection = found
        self._rouse(descriptor)
        self._closing.add(descriptor)
        self._forget_address(connection.address)
        with suppress(OSError):  # its client was faster
            connection.shutdown(socket.SHUT_RDWR)
        return True

    def _forget_address(self, address: str) -> None:
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


class _Connection(socket.socket):
    """A connection that tells when it is closed."""

    def __init__(self, accepted: socket.socket, address: str, connections: Connections) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.address = address
        self._connections = connections

    def close(self) -> None:
        """Close it."""
        if self.fileno() >= 0:
            self._connections.left(self.fileno())
        super().close()


class _Listener(socket.socket):
    """A listening socket that accepts within bounds. Where there is no room it says so once, and asyncio pauses."""

    connections: Connections
    paused_until = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError where there is none for now, OSError where there is no room."""
        for _ in range(_TRIES):
            if time.monotonic() < self.paused_until or self.connections.crowded():
                break
            if not self.connections.room():
                self.paused_until = time.monotonic() + _PAUSE_SECONDS
                raise OSError(errno.EMFILE, "as many connections as this server takes are at work")
            try:
                accepted, peer = super().accept()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self.paused_until = time.monotonic() + _PAUSE_SECONDS
                raise
            connection = _Connection(accepted, str(peer[0]), self.connections)
            if self.connections.admit(connection):
                return connection, peer
            _log.info("a connection is refused: its address has as many as it may have, all at work")
            connection.close()
        raise BlockingIOError(errno.EAGAIN, "nothing is accepted for now")


def listening(host: str, port: int, connections: Connections) -> list[socket.socket]:
    """Sockets for each address of a host. Raises ConfigError."""
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = _Listener(family, kind, protocol)
            made.append(listener)
            listener.connections = connections
            _bind(listener, address)
    except OSError as error:
        for listener in made:
            listener.close()
        raise ConfigError(
            f"Port {port} of {host} cannot be opened: {error.strerror or error}. Another server may have it: give another "
            "--port or --host."
        ) from error
    return made


def _bind(listener: socket.socket, address: Any) -> None:
    if hasattr(socket, "SO_REUSEADDR") and socket.has_ipv6 and listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)


class _BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which closes a connection whose client takes too long."""

    bounds: ClassVar[Connections]
    _phase = ""
    _answered = False
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._descriptor = int(transport.get_extra_info("socket").fileno())
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        self._arm(0)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """It says something."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """It was answered."""
        self._answered = True
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """It does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.bounds.limits.answer_seconds, self._close)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look(self) -> None:
        """See what the client is expected to do now, and by when."""
        phase = self._expected()
        if phase == self._phase:
            return
        self._phase = phase
        limits = self.bounds.limits
        self._arm({"head": limits.head_seconds, "body": limits.body_seconds}.get(phase, 0))
        self.bounds.note(self._descriptor, phase)

    def _expected(self) -> str:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return "body"
        if state is not h11.IDLE:
            return "answer"
        if self._answered and not self.conn.trailing_data[0]:
            return "next"  # for which uvicorn's keep-alive has a timeout
        return "head"

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._close) if seconds else None

    def _close(self) -> None:
        _log.info("a connection is closed: its client took too long (%s)", self._phase)
        self.transport.abort()


def bounded_protocol(connections: Connections) -> type[H11Protocol]:
    """The protocol for these connections."""

    class Bounded(_BoundedProtocol):
        bounds = connections

    return Bounded


def _descriptors() -> int:
    """How many descriptors the process may have, raised as far as it may raise that itself."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _UNKNOWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else min(soft, _MOST_DESCRIPTORS)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        _log.info("the limit of descriptors stays at %d: %s", soft, error)
        return soft
    return wanted
