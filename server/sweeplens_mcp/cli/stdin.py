"""Ends the process when the client closes standard input, or at a signal.

    own_stdin()    replaces `sys.stdin` by an object that counts reads, descriptor 0 by the null device, and watches for the end

The SDK reads standard input in a thread that cannot be interrupted, and stops reading while the client does not read answers.
So a second thread watches for the end: otherwise a client that closed its end and reads no answers would block the exit.

Half of a surrogate pair in a message (``"caf\\udce9"``, which Python's `json.dumps` writes for a Latin-1 name) is replaced by
U+FFFD, as invalid UTF-8 is: the SDK cannot decode it, and would leave the request without a reply.
"""

from __future__ import annotations

import io
import os
import re
import select
import signal
import sys
import threading
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeplens_mcp.cli.refused_lines import RefusedLine

__all__ = ["own_stdin"]

_PATIENCE_SECONDS = 2.0
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class _CountedStdin(io.FileIO):
    """Input from the client. ``taken`` counts the reads; ``began`` is set at the first, ``ended`` at the end of input."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb")
        self.taken = 0
        self.began = threading.Event()
        self.ended = threading.Event()

    def readinto(self, buffer: memoryview, /) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Reads the available bytes; none is the end."""
        self.began.set()
        count = super().readinto(buffer)
        self.taken += 1
        if count == 0:
            self.ended.set()
        return count


class _StdinBuffer(io.BufferedReader):
    """The buffer that the SDK reads. It hides its descriptor, because the SDK would read that directly.

    ``refused``: the lines so far that are no messages.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.refused: deque[RefusedLine] = deque()

    def fileno(self) -> int:
        """Raises OSError, so that the SDK reads through this object."""
        raise OSError("standard input is read through this object alone")

    def read1(self, size: int = -1, /) -> bytes:
        """Returns the next line, without halves of surrogate pairs; a line without an end at the end of input."""
        from sweeplens_mcp.cli.refused_lines import refused  # imports the SDK

        line = self.readline()
        if _HALF.search(line):
            line = _ESCAPE.sub(_without_half, line)
        if line and (found := refused(line)) is not None:
            self.refused.append(found)
        return line


def _without_half(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["lone"] else escape[0]


def own_stdin() -> deque[RefusedLine]:
    """Takes standard input. A signal ends the process at once, the end of input soon after.

    Returns the list to which each line that is no message will be added when it is read.
    """
    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    stdin = _CountedStdin(os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a device
        os.dup2(nothing.fileno(), 0)
    buffer = _StdinBuffer(stdin)
    sys.stdin = io.TextIOWrapper(buffer, encoding="utf-8", errors="replace")
    threading.Thread(target=_watch, args=(stdin, os.dup(1)), name="sweeplens-stdin", daemon=True).start()
    return buffer.refused


def _end(number: int, _: FrameType | None) -> None:
    """Exits with the code of a process ended by a signal; child processes end with it."""
    os._exit(128 + number)


def _watch(stdin: _CountedStdin, answers: int) -> None:
    """Ends the process when the client has closed its end and reads no answers, or its input is no longer read.

    ``answers``: the descriptor of the output to the client.
    """
    stdin.began.wait()  # imports before the first read take time
    _hung_up(stdin)
    while True:
        taken = stdin.taken
        stdin.ended.wait(_PATIENCE_SECONDS)
        if stdin.ended.is_set():
            threading.Event().wait(_PATIENCE_SECONDS)  # the normal exit comes first, if possible
        if stdin.ended.is_set() or stdin.taken == taken or not _takes_answers(answers):
            os._exit(0)


def _takes_answers(answers: int) -> bool:
    """Returns whether the client reads answers within the time limit: a full pipe without a reader stays full."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(answers, select.POLLOUT)
    return bool(poll.poll(_PATIENCE_SECONDS * 1000))


def _hung_up(stdin: _CountedStdin) -> None:
    """Waits until the client has closed its end of a pipe or socket; for a file, until it is read."""
    if not hasattr(select, "poll"):
        stdin.ended.wait()
        return
    poll = select.poll()
    poll.register(stdin.fileno(), getattr(select, "POLLRDHUP", 0))
    while not stdin.ended.is_set() and not poll.poll(1000):
        pass
