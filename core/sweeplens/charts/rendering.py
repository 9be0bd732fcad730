"""Renders a specification as PNG, SVG or PDF, in a child process that can be stopped.

The renderer blocks the interpreter while it draws, and keeps some 200 MB. So it runs in a child process, which waits for the
next picture, ends after a minute without one, and is killed when the caller no longer waits (`checkpoint`).
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError, RenderError
from sweeplens.extras import how_to_install

__all__ = ["can_render", "javascript", "render", "renderer_hint"]

_LOOK_SECONDS = 0.05
_MOST_SECONDS = 60.0
_IDLE_SECONDS = 60.0


def renderer_hint() -> str:
    """Returns how to get the renderer, and what works without it."""
    return (
        f"To get it: {how_to_install('charts')} (the package vl-convert-python, which has no build for musl systems such as "
        "Alpine). Without it, charts are specifications: save as .json, or show them in a notebook."
    )


def can_render() -> bool:
    """Returns whether the renderer is installed."""
    return all(importlib.util.find_spec(name) for name in ("vl_convert", "PIL"))


def render(spec: dict[str, Any], form: str, *, scale: float = 1.0, most_bytes: int = 0) -> bytes:
    """Returns the image. ``most_bytes``: limit of a PNG, kept by fewer colours. Raises RenderError, LimitError."""
    return _rendered({"spec": spec, "form": form, "scale": scale, "most_bytes": most_bytes})


def javascript() -> str:
    """Returns Vega, Vega-Lite and Vega-Embed as one script. Raises RenderError."""
    return _rendered({"form": "javascript"}).decode()


def _rendered(job: dict[str, Any]) -> bytes:
    if not can_render():
        raise RenderError(f"This needs a renderer, which is not installed. {renderer_hint()}")
    return _RENDERER.ask(job)


class _RenderProcess:
    """The child process, one job at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None

    def ask(self, job: dict[str, Any]) -> bytes:
        """Returns the result of one job."""
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            checkpoint()
        whole = False
        try:
            content = self._run_job(job)
            whole = True
            return content
        finally:
            if not whole:  # a late result would be taken for that of the next job
                self.end()
            self._start_idle_timer()
            self._lock.release()

    def end(self) -> None:
        """Kills the process, also during a job."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _run_job(self, job: dict[str, Any]) -> bytes:
        if self._idle:
            self._idle.cancel()
        process = self._process = self._process if self._process and self._process.poll() is None else _started()
        answer: queue.SimpleQueue[tuple[bytes, bytes] | None] = queue.SimpleQueue()
        threading.Thread(target=_converse, args=(process, job, answer), name="sweeplens-render", daemon=True).start()
        reply = self._awaited(answer)
        if reply is None:
            raise RenderError("The process that draws pictures ended unexpectedly; the log says why.")
        status, content = reply
        if status != b"done":
            raise RenderError(f"The picture cannot be drawn: {content.decode(errors='replace')[:500]}")
        return content

    def _awaited(self, answer: queue.SimpleQueue[tuple[bytes, bytes] | None]) -> tuple[bytes, bytes] | None:
        for _ in range(int(_MOST_SECONDS / _LOOK_SECONDS)):
            try:
                return answer.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                checkpoint()
        raise LimitError(
            f"The picture took more than {_MOST_SECONDS:.0f} s to draw: ask for fewer runs or metrics, or again when this machine "
            "is less busy."
        )

    def _start_idle_timer(self) -> None:
        """Starts the timer that ends an idle process."""
        self._idle = threading.Timer(_IDLE_SECONDS, self._end_if_idle)
        self._idle.daemon = True
        self._idle.start()

    def _end_if_idle(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self.end()
            finally:
                self._lock.release()


def _started() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", str(Path(__file__).with_name("render_process.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _converse(
    process: subprocess.Popen[bytes], job: dict[str, Any], answer: queue.SimpleQueue[tuple[bytes, bytes] | None]
) -> None:
    """Sends a job and waits for its result; None if the process ends instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        answer.put(_received(process.stdout))
    except (OSError, ValueError):  # the pipe is closed, by the process or by `end`
        answer.put(None)


def _received(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    word, _, size = stream.readline().strip().partition(b" ")
    return (word, stream.read(int(size))) if size else None


_RENDERER = _RenderProcess()
atexit.register(_RENDERER.end)
