"""Standard streams of the command line: open, UTF-8 on all of them, and stdout kept for the protocol or the answer."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

__all__ = ["discard_stdout", "divert_stdout", "open_closed_streams", "restore_stdout", "use_utf8"]


def open_closed_streams() -> None:
    """Opens streams that the caller closed (`>&-`), so that no other file gets their descriptors.

    Reading ends at once, writing to stderr is lost, and writing to stdout is the usual OSError.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, io.TextIOWrapper(io.FileIO(descriptor, mode), line_buffering=name == "stderr"))


def use_utf8() -> None:
    """Sets UTF-8 on every stream, whatever the locale."""
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def divert_stdout() -> int:
    """Redirects stdout to stderr; returns a descriptor of the former stdout."""
    wire = os.dup(1)
    os.dup2(2, 1)
    return wire


def restore_stdout(wire: int) -> None:
    """Undoes `divert_stdout`."""
    sys.stdout.flush()
    os.dup2(wire, 1)
    os.close(wire)


def discard_stdout() -> None:
    """Discards everything written to stdout from now on, and its buffer."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
