"""Limits connections: their number in total and per address, and the time that a client may be silent or not read.

    Limits                  the limits; `Limits.of_system` keeps them below the number of file descriptors
    Connections             the open connections; at the limit it closes the one that has been idle longest
    listening(...)          sockets that accept within the limits, and pause when these are reached
    bounded_protocol(...)   uvicorn's protocol with timeouts for a request's head, its body, and an answer that is not read

uvicorn limits requests but not connections, and its timeouts start after the first request. asyncio accepts until descriptors
run out, then retries two thousand times at once and logs each. The sockets and the protocol here prevent both. On Windows,
asyncio does not accept through the socket object; there, only the timeouts hold.
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
_PENDING = 16  # connections being closed while new ones are accepted
_TRIES = 64  # connections refused in a row before other work
_PAUSE_SECONDS = 0.5  # asyncio itself pauses for a second
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_log = logging.getLogger(__name__)


class Limits(Struct, frozen=True):
    """``exempt``: addresses of many clients (proxies). The seconds are timeouts for the parts of a request."""

    most: int
    of_an_address: int
    exempt: tuple[str, ...] = ()
    head_seconds: float = 10
    body_seconds: float = 60
    answer_seconds: float = 60

    @classmethod
    def of_system(cls, exempt: Collection[str] = ()) -> Limits:
        """Half of the file descriptors (raised as far as allowed) for connections; half of these per address."""
        most = min(_MOST_CONNECTIONS, _descriptors() // 2)
        return cls(most, max(1, most // 2), tuple(exempt))


class Connections:
    """The open connections. Those that wait for a request to start or to end are idle, in order of idle time.

    Connections without any request are closed first: a client that got an answer may send another request soon.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[int, _Connection] = {}
        self._of_address: Counter[str] = Counter()
        self._idle: OrderedDict[int, _Connection] = OrderedDict()
        self._between: OrderedDict[int, _Connection] = OrderedDict()  # idle after an answer
        self._closing: set[int] = set()

    def make_room(self) -> bool:
        """Whether one more connection may be accepted; at the limit an idle one is closed for it."""
        live = len(self._open) - len(self._closing)
        if live < self.limits.most:
            return True
        most = max(self._of_address, key=self._of_address.__getitem__)
        oldest = next((c for _, c in self._waiting()), None)
        return self._close_idle(most) or (oldest is not None and self._close_idle(oldest.address))

    def is_full(self) -> bool:
        """Whether too many connections are still being closed."""
        return len(self._open) >= self.limits.most + _PENDING

    def admit(self, connection: _Connection) -> bool:
        """Adds a new connection, unless its address is at its limit."""
        address = connection.address
        full = self._of_address[address] >= self.limits.of_an_address and address not in self.limits.exempt
        if full and not self._close_idle(address):
            return False
        self._open[connection.fileno()] = self._idle[connection.fileno()] = connection
        self._of_address[address] += 1
        return True

    def closed(self, descriptor: int) -> None:
        """Removes a closed connection."""
        connection = self._open.pop(descriptor, None)
        self._not_idle(descriptor)
        if connection is not None and descriptor not in self._closing:
            self._forget_address(connection.address)
        self._closing.discard(descriptor)

    def set_phase(self, descriptor: int, phase: str) -> None:
        """Sets what a connection waits for: the ``head`` or ``body`` of a request, an ``answer``, or the ``next`` request."""
        connection = self._open.get(descriptor)
        if connection is None or descriptor in self._closing:
            return
        self._not_idle(descriptor)
        if phase != "answer":
            (self._between if phase == "next" else self._idle)[descriptor] = connection

    def _waiting(self) -> Iterator[tuple[int, _Connection]]:
        yield from self._idle.items()
        yield from self._between.items()

    def _not_idle(self, descriptor: int) -> None:
        self._idle.pop(descriptor, None)
        self._between.pop(descriptor, None)

    def _close_idle(self, address: str) -> bool:
        """Closes the longest idle connection of an address. Returns whether there was one."""
        found = next(((d, c) for d, c in self._waiting() if c.address == address), None)
        if found is None:
            return False
        descriptor, connection = found
        self._not_idle(descriptor)
        self._closing.add(descriptor)
        self._forget_address(connection.address)
        with suppress(OSError):  # the client closed it first
            connection.shutdown(socket.SHUT_RDWR)
        return True

    def _forget_address(self, address: str) -> None:
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


class _Connection(socket.socket):
    """A connection that reports its closing to `Connections`."""

    def __init__(self, accepted: socket.socket, address: str, connections: Connections) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.address = address
        self._connections = connections

    def close(self) -> None:
        """Closes the connection."""
        if self.fileno() >= 0:
            self._connections.closed(self.fileno())
        super().close()


class _Listener(socket.socket):
    """A listening socket that accepts within the limits. At the limit it raises once, and asyncio pauses."""

    connections: Connections
    paused_until = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accepts a connection. Raises BlockingIOError if there is none for now, OSError at the limit."""
        for _ in range(_TRIES):
            if time.monotonic() < self.paused_until or self.connections.is_full():
                break
            if not self.connections.make_room():
                self.paused_until = time.monotonic() + _PAUSE_SECONDS
                raise OSError(errno.EMFILE, "the limit of connections is reached and none is idle")
            try:
                accepted, peer = super().accept()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self.paused_until = time.monotonic() + _PAUSE_SECONDS
                raise
            connection = _Connection(accepted, str(peer[0]), self.connections)
            if self.connections.admit(connection):
                return connection, peer
            _log.info("a connection is refused: its address is at its limit and none of its connections is idle")
            connection.close()
        raise BlockingIOError(errno.EAGAIN, "no connection is accepted for now")


def listening(host: str, port: int, connections: Connections) -> list[socket.socket]:
    """Opens sockets for each address of a host. Raises ConfigError."""
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
            f"Port {port} of {host} cannot be opened: {error.strerror or error}. Another server may use it: pass another "
            "--port or --host."
        ) from error
    return made


def _bind(listener: socket.socket, address: Any) -> None:
    if hasattr(socket, "SO_REUSEADDR") and socket.has_ipv6 and listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)


class _BoundedProtocol(H11Protocol):
    """uvicorn's protocol with timeouts for slow clients."""

    bounds: ClassVar[Connections]
    _phase = ""
    _answered = False
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timeout for the first request."""
        super().connection_made(transport)
        self._descriptor = int(transport.get_extra_info("socket").fileno())
        self._update_phase()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all timers."""
        super().connection_lost(exc)
        self._arm(0)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Updates the timeout after data from the client."""
        super().data_received(data)
        self._update_phase()

    def on_response_complete(self) -> None:
        """Updates the timeout after an answer."""
        self._answered = True
        super().on_response_complete()
        self._update_phase()

    def pause_writing(self) -> None:
        """Starts the timeout for an answer that is not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.bounds.limits.answer_seconds, self._close)

    def resume_writing(self) -> None:
        """Stops the timeout for an answer that is not read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _update_phase(self) -> None:
        """Sets the timeout for what the client must do next."""
        phase = self._expected()
        if phase == self._phase:
            return
        self._phase = phase
        limits = self.bounds.limits
        self._arm({"head": limits.head_seconds, "body": limits.body_seconds}.get(phase, 0))
        self.bounds.set_phase(self._descriptor, phase)

    def _expected(self) -> str:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return "body"
        if state is not h11.IDLE:
            return "answer"
        if self._answered and not self.conn.trailing_data[0]:
            return "next"  # uvicorn's keep-alive timeout covers this
        return "head"

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._close) if seconds else None

    def _close(self) -> None:
        _log.info("a connection is closed: its client took too long (%s)", self._phase)
        self.transport.abort()


def bounded_protocol(connections: Connections) -> type[H11Protocol]:
    """Makes the protocol class for these connections."""

    class Bounded(_BoundedProtocol):
        bounds = connections

    return Bounded


def _descriptors() -> int:
    """The limit of file descriptors, raised as far as the process is allowed to."""
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
