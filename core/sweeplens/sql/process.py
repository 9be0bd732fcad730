"""The processes that answer SQL: started when needed, kept warm for the next query, and ended with this process.

    reply = ask_process(SqlQuestion(...))    the rows, or the error that the child reports

A child holds the tables that it was last given, so that a second query over the same data sends the text only. Everything goes
through its stdin and stdout: no file is written. A child ends when its stdin closes, which happens however this process ends;
on Linux the kernel ends it as well. One that passes a bound, crashes, or is still at a query that nobody waits for is killed.
"""

from __future__ import annotations

import atexit
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
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import polars as pl
from msgspec import Struct

from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError

__all__ = ["ChildReply", "SqlQuestion", "ask_process", "start_early"]

_LOOK = 0.05  # seconds between looks whether somebody still waits
_START_SECONDS = 60.0
_GRACE = 2.0  # seconds that a child may take to notice its own bound
_MOST_KEPT = 2  # idle children
_MOST_REPLY = 256 << 20
_OVERFLOWN = (0xC00000FD,) if sys.platform == "win32" else (-signal.SIGSEGV, -signal.SIGBUS)
_LENGTH = struct.Struct(">Q")
_MEMORY, _TIME = 71, 72  # exit codes of the child
_NARROW = "Select fewer columns, filter by run_id and metric, or aggregate."


class SqlQuestion(Struct, frozen=True):
    """A query that was checked, what it can read, and what it may take. ``points`` is None where it reads none."""

    query: str
    runs: pl.DataFrame
    series: pl.DataFrame
    points: pl.LazyFrame | None
    rows: int
    seconds: float
    megabytes: int


class ChildReply(Struct, frozen=True):
    """What a child says: ``begun``, ``rows`` with an IPC file, ``error`` with its type and words, ``large`` with a size."""

    kind: str
    words: str = ""
    error: str = ""
    size: int = 0
    last: bool = False  # the child ends after it
    body: bytes = b""


class ChildEnd(Struct, frozen=True):
    """A child that ended while it was asked: its exit code, and the end of what it wrote to stderr."""

    code: int
    words: str


def ask_process(question: SqlQuestion) -> ChildReply:
    """The rows or the error of a query. Raises LimitError where it passed a bound, and what a checkpoint raises."""
    child, keep = _pool.take(), False
    try:
        reply = child.ask(question)
        keep = not reply.last
    finally:  # whatever ended the wait, a child that did not reply may still be at work
        _pool.put_back(child, keep=keep)
    if reply.kind == "large":
        raise LimitError(f"The answer would have {reply.size >> 20} MB, at most 64 MB are given. {_NARROW}")
    return reply


def start_early() -> None:
    """Start a child in the background where none is idle."""
    _pool.start_early()


class SqlProcess:
    """One child. A thread of its own starts it, talks to it and waits for its end; the caller looks for replies."""

    def __init__(self) -> None:
        self._outbox: queue.SimpleQueue[Sequence[bytes] | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[ChildReply | ChildEnd] = queue.SimpleQueue()
        self._runs = b""  # what the child holds: a digest of the runs, and the other two by identity
        self._series: Callable[[], pl.DataFrame | None] = lambda: None
        self._points: Callable[[], pl.LazyFrame | None] = lambda: None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        # The kernel ends the child with the thread that started it, so this thread lives as long as the child.
        self._thread = threading.Thread(target=self._run, name="sweeplens-sql", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._ended and self._thread.is_alive() and (self._process is None or self._process.poll() is None)

    def ask(self, question: SqlQuestion) -> ChildReply:
        """The reply to a query. Raises LimitError where the child ended."""
        job = {"kind": "query", "query": question.query, "limit": question.rows, "seconds": question.seconds}
        job |= {"megabytes": question.megabytes}
        self._outbox.put([*self._tables(question), json.dumps(job).encode(), b""])
        end = time.monotonic() + _START_SECONDS
        while True:
            reply = self._awaited(end, question)
            if reply.kind != "begun":
                return reply
            end = time.monotonic() + question.seconds + _GRACE

    def end(self) -> None:
        """End the child, whatever it is at."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
        self._outbox.put(None)

    def join(self, seconds: float) -> None:
        """Wait until the child is gone."""
        self._thread.join(seconds)

    # ------------------------------------------------------------- caller

    def _tables(self, question: SqlQuestion) -> list[bytes]:
        """Messages with the tables that the child does not hold yet."""
        runs = _ipc(question.runs)
        digest, messages = hashlib.blake2b(runs).digest(), list[bytes]()
        if digest != self._runs:
            messages += _table("runs", runs)
            self._runs = digest
        if self._series() is not question.series:
            messages += _table("series", _ipc(question.series))
            self._series = weakref.ref(question.series)
        if question.points is not None and self._points() is not question.points:
            messages += _table("points", _plan(question.points))
            self._points = weakref.ref(question.points)
        return messages

    def _awaited(self, end: float, question: SqlQuestion) -> ChildReply:
        while True:
            checkpoint()
            if time.monotonic() > end:
                raise _passed(ChildEnd(_TIME, ""), question)
            try:
                reply = self._inbox.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if isinstance(reply, ChildEnd):
                raise _passed(reply, question)
            return reply

    # -------------------------------------------------------- own thread

    def _run(self) -> None:
        with _words_file() as words:
            process = self._started(words)
            if process is None:
                return
            try:
                self._serve(process)
            finally:
                process.kill()
                code = process.wait()
                _close(process)
                self._inbox.put(ChildEnd(code, _last_words(words)))

    def _started(self, words: IO[bytes] | None) -> subprocess.Popen[bytes] | None:
        script = Path(__file__).with_name("sandbox.py")
        command = [sys.executable, "-P", "-X", "faulthandler=0", str(script), str(os.getpid())]
        with self._lock:
            if self._ended:
                return None
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.path.abspath(os.sep),  # noqa: PTH100
                    stderr=words or subprocess.DEVNULL,
                )  # fmt: skip
            except OSError as error:
                self._inbox.put(ChildEnd(1, f"it could not be started: {error}"))
        return self._process

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        """Write what is to be sent and read the replies, until one of the two ends."""
        assert process.stdin
        assert process.stdout
        while (messages := self._outbox.get()) is not None:
            try:
                for message in messages:
                    process.stdin.write(_LENGTH.pack(len(message)))
                    process.stdin.write(message)
                process.stdin.flush()
                self._reply(process.stdout)
                self._reply(process.stdout)
            except (OSError, EOFError, ValueError):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE)  # its exit code says why
                return

    def _reply(self, stream: IO[bytes]) -> None:
        head: dict[str, Any] = json.loads(_frame(stream))
        self._inbox.put(ChildReply(**head, body=_frame(stream)))


class ProcessPool:
    """The children of this process that wait for a query."""

    def __init__(self) -> None:
        self._idle: list[SqlProcess] = []
        self._busy: set[SqlProcess] = set()
        self._lock = threading.Lock()

    def take(self) -> SqlProcess:
        """An idle child, or a new one."""
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.alive:
                    break
                child.end()
            else:
                child = SqlProcess()
            self._busy.add(child)
            return child

    def put_back(self, child: SqlProcess, *, keep: bool) -> None:
        """Keep a child for the next query, or end it where there are enough."""
        with self._lock:
            self._busy.discard(child)
            if keep and child.alive and len(self._idle) < _MOST_KEPT:
                self._idle.append(child)
                return
        child.end()

    def start_early(self) -> None:
        """Start a child where none is idle."""
        with self._lock:
            if not any(child.alive for child in self._idle):
                self._idle.append(SqlProcess())

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            children = [*self._idle, *self._busy]
            self._idle.clear()
        for child in children:
            child.end()
        for child in children:
            child.join(_GRACE)


_pool = ProcessPool()
_inherited: list[ProcessPool] = []


def _after_fork() -> None:
    """A forked process leaves its parent's children to the parent."""
    global _pool
    _inherited.append(_pool)  # so that nothing is closed here
    _pool = ProcessPool()


def _close_pool() -> None:
    _pool.close()


atexit.register(_close_pool)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _passed(end: ChildEnd, question: SqlQuestion) -> LimitError:
    """Which bound a child passed."""
    words = end.words.lower()
    if end.code == _TIME or (sys.platform != "win32" and end.code == -signal.SIGALRM):
        return LimitError(f"The query was stopped after {question.seconds:g} s (query_seconds). {_NARROW}")
    if end.code in _OVERFLOWN or "stack overflow" in words or "overflowed its stack" in words:
        return LimitError(
            "The query is nested too deeply, or a chain of operators in it is too long: the process that read it "
            "ran out of stack. Write it shorter, for example IN (...) instead of many OR."
        )
    if end.code == _MEMORY or "alloc" in words or (sys.platform != "win32" and end.code == -signal.SIGKILL):
        return LimitError(
            f"The query needed more than {question.megabytes} MB (query_megabytes) and was stopped. {_NARROW}"
        )
    reason = end.words.strip().splitlines()[-1] if end.words.strip() else f"exit code {end.code}"
    return LimitError(f"The query could not be run to its end: {reason}. {_NARROW}")


def _table(name: str, data: bytes) -> list[bytes]:
    """The message that gives the child a table."""
    return [json.dumps({"kind": "table", "name": name}).encode(), data]


def _ipc(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()


def _plan(points: pl.LazyFrame) -> bytes:
    """A plan: a scan stays a scan, frames in memory go along."""
    buffer = io.BytesIO()
    points.serialize(buffer)
    return buffer.getvalue()


def _frame(stream: IO[bytes]) -> bytes:
    """One message of the child. Raises EOFError where it ended."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > _MOST_REPLY:
        raise ValueError(f"a reply of {length} bytes")
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _words_file() -> IO[bytes] | nullcontext[None]:
    """A file without a name for the child's stderr; none where the temporary folder is full or missing."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return nullcontext()


def _last_words(words: IO[bytes] | None) -> str:
    if words is None:
        return ""
    words.seek(max(0, words.seek(0, os.SEEK_END) - 500))
    return words.read().decode("utf-8", "replace")


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what could not be written before the child ended
                stream.close()
