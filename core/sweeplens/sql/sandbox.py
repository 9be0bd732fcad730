"""A process that answers queries: it sees three tables, cannot open a file while it plans, and is bounded.

Started as a script with the process id of its parent. Messages come on stdin and go out on stdout, each a length of 8 bytes and
so many bytes, in pairs of a JSON head and a body (`sql_process`). It imports nothing of sweeplens, and writes no file.

It ends when its stdin closes or its parent is gone; on Linux the kernel sees to that even while the interpreter is busy. A
thread watches memory and time of each query, the kernel's timer stops what that thread cannot. Exit codes say which bound.
"""

from __future__ import annotations

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
_LOOK = 0.02
_RESULT_BYTES = 64 << 20
_HELD_BYTES = 512 << 20  # grown by more than this, the process is not kept for another query
_LENGTH = struct.Struct(">Q")
_DEATH_SIGNAL, _NAME = 1, 15  # PR_SET_PDEATHSIG, PR_SET_NAME: what `ps` shows
_POINTS = {"run_id": pl.String, "metric": pl.String, "step": pl.Int64, "value": pl.Float64}  # where none were sent


def main(parent: int) -> None:
    """Answer queries until nobody can ask any more."""
    _end_with(parent)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox), daemon=True).start()
    _Answerer(replies, parent).serve(inbox)


def _end_with(parent: int) -> None:
    """Let this process end with its parent, and leave a terminal's or service manager's signals to the parent."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _control(_DEATH_SIGNAL, signal.SIGKILL if sys.platform != "win32" else 0)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if os.getppid() != parent:
            os._exit(0)


def _control(option: int, value: int | bytes) -> None:
    """Linux' prctl; nothing elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _listen(stream: BinaryIO, inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    """Take messages as they come; the end of the stream is the end of the process, whatever it is at."""
    while True:
        head, body = _message(stream), _message(stream)
        inbox.put((json.loads(head), body))


def _message(stream: BinaryIO) -> bytes:
    length = stream.read(_LENGTH.size)
    body = stream.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else None
    if body is None:
        os._exit(0)
    return body


class _Answerer:
    """The tables that were sent, and the answers to queries over them."""

    def __init__(self, replies: BinaryIO, parent: int) -> None:
        self._replies = replies
        self._tables: dict[str, pl.LazyFrame] = {}
        self._watch = _Watch(parent)

    def serve(self, inbox: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
        """Take tables and answer queries, one after the other."""
        while True:
            head, body = inbox.get()
            if head["kind"] == "table":
                self._tables[head["name"]] = _table(head["name"], body)
                continue
            self._reply({"kind": "begun"})
            self._watch.begin(head["megabytes"], head["seconds"])
            reply, rows = self._answered(head["query"], head["limit"])
            last = self._watch.end() > _HELD_BYTES
            self._reply({**reply, "last": last}, rows)
            if last:
                os._exit(0)

    def _answered(self, query: str, limit: int) -> tuple[dict[str, Any], bytes]:
        points = self._tables.get("points", pl.LazyFrame(schema=_POINTS))
        try:
            frame = _answer(query, {**self._tables, "points": points}, limit)
            if frame.estimated_size() > _RESULT_BYTES:
                return {"kind": "large", "size": int(frame.estimated_size())}, b""
            buffer = io.BytesIO()
            frame.write_ipc(buffer)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, TypeError) as error:
            return {"kind": "error", "error": type(error).__name__, "words": str(error)[:4000]}, b""
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
    """One row more than the limit, so that a cut can be seen."""
    ours = _scans(frames["points"])
    with _NoFiles():
        plan = pl.SQLContext(frames=frames, eager=False).execute(query)
        foreign = _scans(plan) - ours
    if foreign:
        raise ValueError("the query scans something that is not one of its tables")
    return plan.head(limit + 1).collect(engine="streaming")


def _scans(frame: pl.LazyFrame) -> set[str]:
    """What a plan reads beside frames in memory."""
    return {line.strip() for line in frame.explain(optimized=False).splitlines() if " SCAN [" in line}


class _NoFiles:
    """Within this block no file can be opened, where the system lets a process give that up."""

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


class _Watch:
    """Ends the process when a query makes it grow by more than its memory, or lasts longer than its time."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._held = _memory()
        self._before = self._most = 0
        self._end = 0.0  # no query is running
        threading.Thread(target=self._look, daemon=True).start()

    def begin(self, megabytes: int, seconds: float) -> None:
        """A query begins."""
        _control(_NAME, b"sweeplens-query")
        _bound_address_space(megabytes)
        self._before, self._most = self._held(), megabytes << 20
        if sys.platform != "win32":  # the kernel ends what holds the interpreter; the thread says it in words
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        self._end = time.monotonic() + seconds

    def end(self) -> int:
        """A query ended; the bytes by which the process grew."""
        self._end = 0.0
        _control(_NAME, b"sweeplens-idle")
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        return self._held() - self._before

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK)
            end = self._end
            if end and self._held() - self._before > self._most:
                os._exit(MEMORY)
            if end and time.monotonic() > end:
                os._exit(TIME)
            if sys.platform != "win32" and os.getppid() != self._parent:
                os._exit(0)


def _bound_address_space(megabytes: int) -> None:
    """A coarse bound for what grows faster than one looks; engines reserve more than they use, hence the margin.

    Soft limits only, and none above what was set for this process from outside.
    """
    if sys.platform == "linux":
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        wanted = size + (3 * megabytes + 1024 << 20)
        given = [limit for limit in _GIVEN_SPACE if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *given]), _GIVEN_SPACE[1]))


def _given_space() -> tuple[int, int]:
    """The limits on address space with which this process was started."""
    if sys.platform == "linux":
        import resource

        return resource.getrlimit(resource.RLIMIT_AS)
    return (-1, -1)


_GIVEN_SPACE = _given_space()


def _memory() -> Callable[[], int]:
    """What tells the bytes that this process holds for itself."""
    if sys.platform == "linux":
        statm, page = os.open("/proc/self/statm", os.O_RDONLY), os.sysconf("SC_PAGE_SIZE")

        def held() -> int:
            resident, shared = os.pread(statm, 200, 0).split()[1:3]
            return (int(resident) - int(shared)) * page

        return held
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

    def held() -> int:
        counters = Counters(cb=ctypes.sizeof(Counters))
        library.GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), ctypes.sizeof(counters))
        return int(counters.size6)  # what the process has committed

    return held


if __name__ == "__main__":
    main(int(sys.argv[1]))
