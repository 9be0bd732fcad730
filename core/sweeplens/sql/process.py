"""`SqlProcess`: one child process that runs SQL, and the messages to and from it.

A child keeps the last tables, so a second query over the same data sends only its text. All data go through stdin and
stdout: no file is written. A child ends when its stdin closes, which happens however this process ends; on Linux the
kernel ends it as well. A child is killed if it exceeds a limit, crashes, or runs a query whose caller stopped waiting.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import polars as pl
from msgspec import Struct

from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError
from sweeplens.priority import niceness

__all__ = ["ADVICE", "GRACE", "ChildReply", "SqlProcess", "SqlRequest", "access_of_stores"]

_POLL_SECONDS = 0.05  # seconds between checks for cancellation
_START_SECONDS = 60.0
_REPLACE_SECONDS = 5.0
GRACE = 2.0  # seconds that a child may take to notice its own limit
_MAX_REPLY_BYTES = 256 << 20
_STACK_OVERFLOW_CODES = (0xC00000FD,) if sys.platform == "win32" else (-signal.SIGSEGV, -signal.SIGBUS)
_STORES = ("AWS_", "GOOGLE_", "AZURE_")
_LENGTH = struct.Struct(">Q")
_MEMORY, _TIME = 71, 72  # exit codes of the child
ADVICE = "Select fewer columns, filter by run_id and metric, or aggregate."


class SqlRequest(Struct, frozen=True):
    """A checked query with its tables and limits. ``points`` is None if it reads none. ``more``: tables of this query alone."""

    query: str
    runs: pl.DataFrame
    series: pl.DataFrame
    points: pl.LazyFrame | None
    rows: int
    seconds: float
    megabytes: int
    more: Mapping[str, pl.DataFrame] = {}


class ChildReply(Struct, frozen=True):
    """A child's reply: ``begun``, ``rows`` with an IPC file, ``error`` with type and message, or ``large`` with a size."""

    kind: str
    message: str = ""
    error: str = ""
    size: int = 0
    last: bool = False  # the child ends after it
    body: bytes = b""


class ChildEnd(Struct, frozen=True):
    """A child that ended during a query: its exit code, and the end of its stderr."""

    code: int
    message: str


class SqlProcess:
    """One child process. A separate thread starts it, exchanges messages and waits for its end; the caller polls for replies."""

    def __init__(self) -> None:
        self._outbox: queue.SimpleQueue[Sequence[bytes] | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[ChildReply | ChildEnd] = queue.SimpleQueue()
        self._runs = b""  # tables that the child has: a digest of the runs, the other two by identity
        self._series: Callable[[], pl.DataFrame | None] = lambda: None
        self._points: Callable[[], pl.LazyFrame | None] = lambda: None
        self._lock = threading.Lock()
        self.access, self.niceness = access_of_stores(), niceness()  # as they were at its start
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        # The kernel ends the child with the thread that started it, so this thread lives as long as the child.
        self._thread = threading.Thread(target=self._run_thread, name="sweeplens-sql", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the child can run a query."""
        return not self._ended and self._thread.is_alive() and (self._process is None or self._process.poll() is None)

    def run(self, request: SqlRequest) -> ChildReply:
        """Returns the reply to a query. Raises LimitError if the child ended."""
        job = {"kind": "query", "query": request.query, "limit": request.rows, "seconds": request.seconds}
        job |= {"megabytes": request.megabytes, "points": request.points is not None, "more": list(request.more)}
        more = [part for name, frame in request.more.items() for part in _table_messages(name, _ipc(frame))]
        self._outbox.put([*self._tables(request), *more, json.dumps(job).encode(), b""])
        end = time.monotonic() + _START_SECONDS
        while True:
            reply = self._wait_for_reply(end, request)
            if reply.kind != "begun":
                return reply
            end = time.monotonic() + request.seconds + GRACE

    def prepare(self) -> bool:
        """Waits until the child is ready for a query, but not for long. Returns whether it is."""
        self._outbox.put([json.dumps({"kind": "prepare"}).encode(), b""])
        with suppress(queue.Empty):
            return isinstance(self._inbox.get(timeout=_REPLACE_SECONDS), ChildReply)
        return False

    def end(self) -> None:
        """Kills the child, even during a query."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
        self._outbox.put(None)

    def join(self, seconds: float) -> None:
        """Waits until the child has ended."""
        self._thread.join(seconds)

    # ------------------------------------------------------------- caller

    def _tables(self, request: SqlRequest) -> list[bytes]:
        """Returns messages with the tables that the child does not have yet."""
        runs = _ipc(request.runs)
        digest, messages = hashlib.blake2b(runs).digest(), list[bytes]()
        if digest != self._runs:
            messages += _table_messages("runs", runs)
            self._runs = digest
        if self._series() is not request.series:
            messages += _table_messages("series", _ipc(request.series))
            self._series = weakref.ref(request.series)
        if request.points is not None and self._points() is not request.points:
            messages += _table_messages("points", _plan(request.points))
            self._points = weakref.ref(request.points)
        return messages

    def _wait_for_reply(self, end: float, request: SqlRequest) -> ChildReply:
        while True:
            checkpoint()
            if time.monotonic() > end:
                raise _limit_error(ChildEnd(_TIME, ""), request)
            try:
                reply = self._inbox.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(reply, ChildEnd):
                raise _limit_error(reply, request)
            return reply

    # -------------------------------------------------------- own thread

    def _run_thread(self) -> None:
        with _stderr_file() as stderr:
            process = self._start(stderr)
            if process is None:
                return
            try:
                self._serve(process)
            finally:
                process.kill()
                code = process.wait()
                _close(process)
                self._inbox.put(ChildEnd(code, _stderr_end(stderr)))

    def _start(self, stderr: IO[bytes] | None) -> subprocess.Popen[bytes] | None:
        script = Path(__file__).with_name("sandbox.py")
        command = [sys.executable, "-P", "-X", "faulthandler=0", str(script), str(os.getpid()), str(self.niceness)]
        with self._lock:
            if self._ended:
                return None
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.path.abspath(os.sep),  # noqa: PTH100
                    stderr=stderr or subprocess.DEVNULL,
                )  # fmt: skip
            except OSError as error:
                self._inbox.put(ChildEnd(1, f"it could not be started: {error}"))
        return self._process

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        """Sends messages and reads replies until this object or the child ends."""
        assert process.stdin
        assert process.stdout
        while (messages := self._outbox.get()) is not None:
            try:
                for message in messages:
                    process.stdin.write(_LENGTH.pack(len(message)))
                    process.stdin.write(message)
                process.stdin.flush()
                while not self._reply(process.stdout):
                    pass
            except (OSError, EOFError, ValueError):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)  # its exit code says why
                return

    def _reply(self, stream: IO[bytes]) -> bool:
        """Passes on one reply. Returns whether it was the last one to these messages."""
        head: dict[str, Any] = json.loads(_read_message(stream))
        self._inbox.put(ChildReply(**head, body=_read_message(stream)))
        return head["kind"] != "begun"


def access_of_stores() -> dict[str, str]:
    """Returns the variables that say how an object store is reached: a child has those of its start."""
    return {name: value for name, value in os.environ.items() if name.startswith(_STORES)}


def _limit_error(end: ChildEnd, request: SqlRequest) -> LimitError:
    """Returns the error for a child that ended early: the limit it exceeded, or its last message."""
    output = end.message.lower()
    if end.code == _TIME or (sys.platform != "win32" and end.code == -signal.SIGALRM):
        return LimitError(f"The query was stopped after {request.seconds:g} s (query_seconds). {ADVICE}")
    if end.code in _STACK_OVERFLOW_CODES or "stack overflow" in output or "overflowed its stack" in output:
        return LimitError(
            "The query is nested too deeply, or a chain of operators in it is too long: its process "
            "ran out of stack. Shorten it, for example with IN (...) instead of many OR."
        )
    if end.code == _MEMORY or "alloc" in output or (sys.platform != "win32" and end.code == -signal.SIGKILL):
        return LimitError(
            f"The query needed more than {request.megabytes} MB (query_megabytes) and was stopped. {ADVICE}"
        )
    reason = end.message.strip().splitlines()[-1] if end.message.strip() else f"exit code {end.code}"
    return LimitError(f"The query could not be completed: {reason}. {ADVICE}")


def _table_messages(name: str, data: bytes) -> list[bytes]:
    """Returns the message that sends a table to the child."""
    return [json.dumps({"kind": "table", "name": name}).encode(), data]


def _ipc(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()


def _plan(points: pl.LazyFrame) -> bytes:
    """Serializes a plan: file scans stay scans, frames in memory are included."""
    buffer = io.BytesIO()
    points.serialize(buffer)
    return buffer.getvalue()


def _read_message(stream: IO[bytes]) -> bytes:
    """Reads one message of the child. Raises EOFError if the child ended."""
    (length,) = _LENGTH.unpack(_read_exactly(stream, _LENGTH.size))
    if length > _MAX_REPLY_BYTES:
        raise ValueError(f"a reply of {length} bytes")
    return _read_exactly(stream, length)


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _stderr_file() -> IO[bytes] | nullcontext[None]:
    """Opens an unnamed file for the child's stderr; None if the temporary folder is full or missing."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return nullcontext()


def _stderr_end(stderr: IO[bytes] | None) -> str:
    if stderr is None:
        return ""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 500))
    return stderr.read().decode("utf-8", "replace")


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # unsent data, because the child ended
                stream.close()
