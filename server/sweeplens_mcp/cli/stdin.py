"""Standard input that cannot hold the process: once the client has closed it, or a signal says so, the process ends.

    own_stdin()    from now on `sys.stdin` is the wire, descriptor 0 is the null device, and the end of input is watched

The SDK reads standard input in a thread that nothing interrupts, and stops reading while the client does not read the answers.
So the end is looked for beside it: a client that closed its end and takes no answers would otherwise hold the process.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import threading
from types import FrameType

__all__ = ["own_stdin"]

_PATIENCE_SECONDS = 2.0
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class _Wire(io.FileIO):
    """What the client writes. ``taken`` counts the reads; ``began`` is set at the first, ``ended`` at the end of input."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb")
        self.taken = 0
        self.began = threading.Event()
        self.ended = threading.Event()

    def readinto(self, buffer: memoryview, /) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read what is there. Nothing is the end."""
        self.began.set()
        count = super().readinto(buffer)
        self.taken += 1
        if count == 0:
            self.ended.set()
        return count


class _StdinBuffer(io.BufferedReader):
    """The wire as the SDK takes it: a descriptor of its own would be read past us."""

    def fileno(self) -> int:
        """None that could be taken over."""
        raise OSError("standard input is read through this object alone")


def own_stdin() -> None:
    """Take standard input, and end the process by a signal at once, by the end of input soon."""
    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    wire = _Wire(os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a device
        os.dup2(nothing.fileno(), 0)
    sys.stdin = io.TextIOWrapper(_StdinBuffer(wire), encoding="utf-8", errors="replace")
    threading.Thread(target=_watch, args=(wire, os.dup(1)), name="sweeplens-stdin", daemon=True).start()


def _end(number: int, _: FrameType | None) -> None:
    """End as a process does that a signal ended; what runs for this one ends with it."""
    os._exit(128 + number)


def _watch(wire: _Wire, answers: int) -> None:
    """End the process when the client has closed its end, and reads no answers or nothing more is read of what it wrote.

    ``answers``: the descriptor that leads to the client.
    """
    wire.began.wait()  # what is imported before takes its time
    _hung_up(wire)
    while True:
        taken = wire.taken
        wire.ended.wait(_PATIENCE_SECONDS)
        if wire.ended.is_set():
            threading.Event().wait(_PATIENCE_SECONDS)  # the usual end comes first, when it can
        if wire.ended.is_set() or wire.taken == taken or not _takes_answers(answers):
            os._exit(0)


def _takes_answers(answers: int) -> bool:
    """Whether the client makes room for answers within the patience: a full pipe that nobody reads stays full."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(answers, select.POLLOUT)
    return bool(poll.poll(_PATIENCE_SECONDS * 1000))


def _hung_up(wire: _Wire) -> None:
    """Wait until the client has closed its end of a pipe or socket; of a file, until it is read."""
    if not hasattr(select, "poll"):
        wire.ended.wait()
        return
    poll = select.poll()
    poll.register(wire.fileno(), getattr(select, "POLLRDHUP", 0))
    while not wire.ended.is_set() and not poll.poll(1000):
        pass
