"""A process that answers one query and ends: it sees three tables, cannot open a file while it plans, and is bounded.

Started as a script with a folder: ``runs.arrow``, ``series.arrow``, ``points.plan`` (a serialised LazyFrame), ``job.json``. It
leaves ``result.arrow`` there, or ``error.json`` with the kind and the words of the error. It imports nothing of sweeplens.

A thread watches memory, time and whether its parent lives; on Linux the address space is bounded too. Exit codes say which bound.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

MEMORY, TIME = 71, 72  # exit codes
_LOOK = 0.02
_RESULT_BYTES = 64 << 20


def main(folder: Path) -> None:
    """Answer the query of ``job.json``."""
    job: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    runs, series = (pl.read_ipc((folder / f"{name}.arrow").read_bytes()) for name in ("runs", "series"))
    with (folder / "points.plan").open("rb") as plan:
        points = pl.LazyFrame.deserialize(plan)
    _watch(job["megabytes"], job["seconds"], job["parent"])
    try:
        frame = _answer(job["query"], {"runs": runs.lazy(), "series": series.lazy(), "points": points}, job["limit"])
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        (folder / "error.json").write_text(
            json.dumps({"kind": type(error).__name__, "words": str(error)}), encoding="utf-8"
        )
        return
    if frame.estimated_size() > _RESULT_BYTES:
        os._exit(MEMORY)
    frame.write_ipc(folder / "result.arrow")


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


def _watch(megabytes: int, seconds: float, parent: int) -> None:
    """End the process when it has grown by more than ``megabytes``, lasts longer than ``seconds``, or nobody waits for it."""
    _bound_address_space(megabytes)
    held = _memory()
    before, end = held(), time.monotonic() + seconds

    def look() -> None:
        while True:
            time.sleep(_LOOK)
            if held() - before > megabytes << 20:
                os._exit(MEMORY)
            if time.monotonic() > end or (sys.platform != "win32" and os.getppid() != parent):
                os._exit(TIME)

    threading.Thread(target=look, daemon=True).start()


def _bound_address_space(megabytes: int) -> None:
    """A coarse bound for what grows faster than one looks; engines reserve more than they use, hence the margin."""
    if sys.platform == "linux":
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (3 * megabytes + 1024 << 20), resource.RLIM_INFINITY))


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
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # no time for a tidy end: the folder holds the answer
