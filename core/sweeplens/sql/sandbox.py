"""The child process that runs queries: it has the tables that it is sent, cannot open files while it plans, and has limits.

It is started as a script with the process id of its parent and its own niceness. Messages come on stdin and go out on stdout, in
pairs of a JSON head and a body; each is a length of 8 bytes, then the data (see `process`). It imports nothing of sweeplens, and
writes no file.

It ends when its stdin closes or its parent is gone; on Linux the kernel ensures this even while the interpreter is busy. A
thread watches memory and time of each query; the kernel's timer stops what that thread cannot. The exit code names the limit.
"""

from __future__ import annotations

import errno
import io
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

MEMORY, TIME = 71, 72  # exit codes
_POLL_SECONDS = 0.02
_RESULT_BYTES = 64 << 20
_MAX_GROWTH_BYTES = 512 << 20  # after growing by more than this, the process is not kept for another query
_LENGTH = struct.Struct(">Q")
_DEATH_SIGNAL, _NAME = 1, 15  # PR_SET_PDEATHSIG, PR_SET_NAME: what `ps` shows
_STAYING = ("runs", "series", "points")  # tables that stay for the next query; others are of one query
_POINTS = {
    "run_id": pl.String,
    "metric": pl.String,
    "step": pl.Int64,
    "value": pl.Float64,
}  # the schema if no points were sent


def main(parent: int, niceness: int) -> None:
    """Answers queries until stdin closes."""
    _end_with_parent(parent)
    if hasattr(os, "nice"):
        os.nice(niceness)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that a library prints is not a reply
    inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, inbox), daemon=True).start()
    _QueryServer(replies, parent).serve(inbox)


def _end_with_parent(parent: int) -> None:
    """Makes this process end with its parent, and ignore signals from a terminal or service manager."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _prctl(_DEATH_SIGNAL, signal.SIGKILL if sys.platform != "win32" else 0)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if os.getppid() != parent:
            os._exit(0)


def _prctl(option: int, value: int | bytes) -> None:
    """Calls prctl on Linux; does nothing elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _receive(stream: BinaryIO, inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    """Queues incoming messages; the process ends with the stream, even during a query."""
    while True:
        head, body = _message(stream), _message(stream)
        inbox.put((json.loads(head), body))


def _message(stream: BinaryIO) -> bytes:
    length = stream.read(_LENGTH.size)
    body = stream.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else None
    if body is None:
        os._exit(0)
    return body


class _QueryServer:
    """Holds the tables that were sent, and answers queries over them."""

    def __init__(self, replies: BinaryIO, parent: int) -> None:
        self._replies = replies
        self._tables: dict[str, pl.LazyFrame] = {}
        self._watch = _LimitWatch(parent)

    def serve(self, inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
        """Receives tables and answers queries, one after the other."""
        while True:
            head, body = inbox.get()
            if head["kind"] == "table":
                self._tables[head["name"]] = _table(head["name"], body)
                continue
            if head["kind"] == "prepare":
                self._reply({"kind": "ready"})
                continue
            self._reply({"kind": "begun"})
            self._watch.begin(head["megabytes"], head["seconds"])
            frames = {name: self._tables[name] for name in (*_STAYING, *head["more"]) if name in self._tables}
            self._tables = {name: frame for name, frame in self._tables.items() if name in _STAYING}
            reply, rows = self._answer_query(head["query"], head["limit"], frames, points=head["points"])
            last = self._watch.end() > _MAX_GROWTH_BYTES
            self._reply({**reply, "last": last}, rows)
            if last:
                os._exit(0)

    def _answer_query(
        self, query: str, limit: int, frames: dict[str, pl.LazyFrame], *, points: bool
    ) -> tuple[dict[str, Any], bytes]:
        # The points of an earlier query may name files that are gone: a query that reads no points must not look at them.
        frames = frames if points else {**frames, "points": pl.LazyFrame(schema=_POINTS)}
        try:
            frame = _answer(query, frames, limit)
            if frame.estimated_size() > _RESULT_BYTES:
                return {"kind": "large", "size": int(frame.estimated_size())}, b""
            buffer = io.BytesIO()
            frame.write_ipc(buffer)
        except OSError as error:
            kind = "refused" if error.errno == errno.EMFILE or "os error 24" in str(error) else "files"
            return {"kind": "error", "error": kind, "message": str(error)[:4000]}, b""
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError) as error:
            return {"kind": "error", "error": type(error).__name__, "message": str(error)[:4000]}, b""
        except MemoryError:
            os._exit(MEMORY)
        return {"kind": "rows"}, buffer.getvalue()

    def _reply(self, head: dict[str, Any], body: bytes = b"") -> None:
        for part in (json.dumps(head).encode(), body):
            self._replies.write(_LENGTH.pack(len(part)))
            self._replies.write(part)
        self._replies.flush()


def _table(name: str, data: bytes) -> pl.LazyFrame:
    return pl.LazyFrame.deserialize(io.BytesIO(data)) if name == "points" else pl.read_ipc(data).lazy()


def _answer(query: str, frames: dict[str, pl.LazyFrame], limit: int) -> pl.DataFrame:
    """Runs a query; returns at most one row more than the limit, which shows that rows were cut."""
    known_scans = _file_scans(frames["points"])
    with _NoFiles():
        plan = pl.SQLContext(frames=frames, eager=False).execute(query)
        other_scans = _file_scans(plan) - known_scans
    if other_scans:
        raise ValueError("the query scans data outside its tables")
    return plan.head(limit + 1).collect(engine="streaming")


def _file_scans(frame: pl.LazyFrame) -> set[str]:
    """Returns the file scans of a plan."""
    return {line.strip() for line in frame.explain(optimized=False).splitlines() if " SCAN [" in line}


class _NoFiles:
    """Within this block no file can be opened (not on Windows)."""

    def __enter__(self) -> None:
        self._limits: tuple[int, int] | None = None
        if sys.platform != "win32":
            import resource

            self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        if self._limits is not None and sys.platform != "win32":
            import resource

            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


class _LimitWatch:
    """Ends the process when a query exceeds its limit of memory or time."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._measure = _memory_meter()
        self._before = self._limit = 0
        self._end = 0.0  # 0: no query is running
        threading.Thread(target=self._watch_loop, daemon=True).start()

    def begin(self, megabytes: int, seconds: float) -> None:
        """Starts watching a query."""
        _prctl(_NAME, b"sweeplens-query")
        _limit_address_space(megabytes)
        self._before, self._limit = self._measure(), megabytes << 20
        if sys.platform != "win32":  # the kernel's timer works even if the interpreter is blocked
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        self._end = time.monotonic() + seconds

    def end(self) -> int:
        """Stops watching. Returns the bytes by which the process grew."""
        self._end = 0.0
        _prctl(_NAME, b"sweeplens-idle")
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        return self._measure() - self._before

    def _watch_loop(self) -> None:
        while True:
            time.sleep(_POLL_SECONDS)
            end = self._end
            if end and self._measure() - self._before > self._limit:
                os._exit(MEMORY)
            if end and time.monotonic() > end:
                os._exit(TIME)
            if sys.platform != "win32" and os.getppid() != self._parent:
                os._exit(0)


def _limit_address_space(megabytes: int) -> None:
    """Sets a coarse limit for memory that grows between two checks; it has a margin, as engines reserve more than they use.

    It changes the soft limit only, and stays within the limit with which this process was started.
    """
    if sys.platform == "linux":
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        wanted = size + (3 * megabytes + 1024 << 20)
        initial = [limit for limit in _INITIAL_LIMITS if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *initial]), _INITIAL_LIMITS[1]))


def _initial_limits() -> tuple[int, int]:
    """Returns the limits on address space with which this process was started."""
    if sys.platform == "linux":
        import resource

        return resource.getrlimit(resource.RLIMIT_AS)
    return (-1, -1)


_INITIAL_LIMITS = _initial_limits()


def _memory_meter() -> Callable[[], int]:
    """Returns a function that measures this process's own memory in bytes."""
    if sys.platform == "linux":
        statm, page = os.open("/proc/self/statm", os.O_RDONLY), os.sysconf("SC_PAGE_SIZE")

        def used() -> int:
            resident, shared = os.pread(statm, 200, 0).split()[1:3]
            return (int(resident) - int(shared)) * page

        return used
    return _windows_memory() if sys.platform == "win32" else _peak_memory()


def _peak_memory() -> Callable[[], int]:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _windows_memory() -> Callable[[], int]:
    assert sys.platform == "win32"
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", wintypes.DWORD),
            ("faults", wintypes.DWORD),
            *((f"size{i}", ctypes.c_size_t) for i in range(8)),
        )

    library, kernel = ctypes.WinDLL("psapi"), ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    library.GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD)

    def used() -> int:
        counters = Counters(cb=ctypes.sizeof(Counters))
        library.GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), ctypes.sizeof(counters))
        return int(counters.size6)  # committed memory

    return used


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
