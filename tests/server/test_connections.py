"""Limits on connections: half-open ones, and clients that send or read nothing, do not disturb other clients."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.processes import until

from sweeplens.errors import ConfigError
from sweeplens_mcp.http.connections import Connections, Limits, listening
from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import bounded_server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio accepts past the socket there")
DESCRIPTORS = 256
HALF = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def _small(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _large(_: Request) -> Response:
    return PlainTextResponse("x" * 50_000_000)


async def _body(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@contextmanager
def bounded(limits: Limits) -> Iterator[int]:
    """The port of a small application that is served within limits."""
    routes = [Route("/", _small), Route("/large", _large), Route("/body", _body, methods=["POST"])]
    connections = Connections(limits)
    sockets = listening("127.0.0.1", 0, connections)
    server = bounded_server(Starlette(routes=routes), HttpOptions(), connections)
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    port = int(sockets[0].getsockname()[1])
    thread.start()
    until(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(15)


@contextmanager
def held(port: int, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that sent something and wait."""
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            found.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            with contextlib.suppress(OSError):  # it may be closed by then
                found[-1].sendall(sent)
        yield found
    finally:
        for connection in found:
            connection.close()


def _closed(connection: socket.socket, seconds: float) -> bool:
    """Whether the server closes a connection in time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize("sent", [b"", b"P", HALF, HALF + b"Content-Length: 9\r\n\r\n{"])
def test_idle_connections_are_closed_for_connections_with_requests(sent: bytes) -> None:
    with bounded(Limits(20, 10)) as port, held(port, 60, sent):
        for _ in range(5):
            assert httpx2.get(f"http://127.0.0.1:{port}/", timeout=5).text == "ok"


@pytest.mark.parametrize(
    "sent", [b"", b"P", HALF, HALF + b"Content-Length: 9\r\n\r\n{", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"]
)
def test_a_request_that_is_not_ended_in_time_ends_its_connection(sent: bytes) -> None:
    with bounded(Limits(20, 10, head_seconds=0.5, body_seconds=0.5)) as port, held(port, 1, sent) as (connection,):
        assert _closed(connection, 5)


def test_a_request_that_comes_byte_by_byte_has_no_more_time_than_others() -> None:
    with bounded(Limits(20, 10, head_seconds=1)) as port, held(port, 1, b"") as (connection,):
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in HALF * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - began < 5


def test_an_unread_answer_ends_its_connection() -> None:
    asked = b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with bounded(Limits(20, 10, answer_seconds=0.5)) as port, held(port, 1, asked) as (connection,):
        time.sleep(2)
        connection.settimeout(10)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1 << 20):
                received += len(part)
        assert received < 50_000_000


def test_a_slow_but_steady_body_and_a_connection_that_is_used_again_are_served() -> None:
    with bounded(Limits(20, 10, head_seconds=0.5, body_seconds=5)) as port, held(port, 1, b"") as (connection,):
        head = HALF.replace(b"/mcp", b"/body") + b"Content-Length: 3\r\n\r\n"
        for _ in range(2):
            connection.sendall(head)
            for byte in b"abc":
                time.sleep(0.3)
                connection.sendall(bytes([byte]))
            answer = b""
            while not answer.endswith(b"\r\n\r\n3"):
                answer += connection.recv(65_536)
            time.sleep(0.7)  # longer than a head may take: between two requests the keep-alive counts


def test_a_server_says_that_it_serves_only_when_its_port_is_open(tmp_path: Path) -> None:
    with bounded(Limits(20, 10)) as port:
        command = [sys.executable, "-m", "sweeplens_mcp", "serve", str(tmp_path), "--http", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert "serving on" not in done.stderr
    assert f"Port {port} of 127.0.0.1 cannot be opened" in done.stderr


def test_a_port_in_use_is_an_error_of_one_sentence() -> None:
    with (
        bounded(Limits(20, 10)) as port,
        pytest.raises(ConfigError, match=f"Port {port} of 127.0.0.1 cannot be opened"),
    ):
        listening("127.0.0.1", port, Connections(Limits(20, 10)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_three_hundred_half_open_connections_against_256_descriptors_leave_the_server_alive_and_idle(
    sweep: Path, tmp_path: Path
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard == resource.RLIM_INFINITY or hard > DESCRIPTORS
    with _few_descriptors(sweep, tmp_path / "log") as (pid, port), held(port, 300, HALF):
        began, used = time.monotonic(), _processor_seconds(pid)
        for _ in range(10):
            assert httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
            time.sleep(0.2)
        assert _processor_seconds(pid) - used < 0.5 * (time.monotonic() - began)
        assert len((tmp_path / "log").read_text(encoding="utf-8").splitlines()) < 50


@contextmanager
def _few_descriptors(root: Path, log: Path) -> Iterator[tuple[int, int]]:
    """The process and port of a server that may have few descriptors."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    serve = f"exec {sys.executable} -m sweeplens_mcp serve --http --port {port} --root '{root}'"
    with log.open("wb") as stderr:
        process = subprocess.Popen(["bash", "-c", f"ulimit -n {DESCRIPTORS}; {serve}"], stderr=stderr)
    try:
        until(lambda: _answers(port), 60)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100
