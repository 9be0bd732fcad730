"""Runs a command at a terminal of its own; records its screen, and the time of its first output."""

from __future__ import annotations

import contextlib
import os
import re
import select
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

__all__ = ["TerminalRun", "at_terminal"]

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class TerminalRun(Struct, frozen=True):
    """What a command wrote to its terminal, escapes included, and its exit code."""

    raw: str
    code: int
    seconds: float

    @property
    def text(self) -> str:
        """Returns the text on the terminal, without escapes and erased text."""
        lines = self.raw.replace("\r\n", "\n").split("\n")
        return "\n".join(_ESCAPES.sub("", line.rpartition("\r")[2]) for line in lines)


def at_terminal(
    command: Sequence[str],
    *,
    columns: int = 80,
    keys: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60,
    folder: Path | None = None,
) -> TerminalRun:
    """Run `sweeplens ...` at a terminal, in a folder. ``keys``: what is typed once a text has been shown."""
    import fcntl
    import pty
    import termios

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        os.chdir(folder or Path.cwd())
        inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        os.execve(
            sys.executable,
            [sys.executable, "-m", "sweeplens_mcp", *command],
            {**inherited, "TERM": "xterm", **(environment or {})},
        )
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    began, shown = time.monotonic(), b""
    waiting = dict(keys or {})
    while time.monotonic() - began < seconds:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        shown += part
        for text in [t for t in waiting if t.encode() in shown]:
            os.write(terminal, waiting.pop(text).encode())
        if not part:
            break
    taken = time.monotonic() - began
    if taken >= seconds:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return TerminalRun(shown.decode(errors="replace"), code, taken)
