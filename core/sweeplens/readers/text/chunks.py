"""Cuts a text log into parts of whole lines that can be read one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["PLAN_BYTES", "chunks_of"]

PLAN_BYTES = 1 << 18
"""The first bytes decide how rows without a count are placed. A shorter file is read again whole when it grows."""
_CHUNK_BYTES = 4 << 20
_BAR_STATE = re.compile(rb"%\|.*?\d+/\d+ \[")


def chunks_of(stream: Any, *, begin: int) -> Iterator[bytes]:
    """Yields whole lines, first the `PLAN_BYTES`, without cutting a box; then a last line without its newline."""
    kept, at = b"", begin
    while data := stream.read(PLAN_BYTES - at if at < PLAN_BYTES else _CHUNK_BYTES):
        at += len(data)
        end = _cut(data) if at >= PLAN_BYTES else 0
        if end and data.rfind(b"\n", 0, end - 1) >= 0:  # what was kept cannot move the cut, so it is copied once
            yield b"".join((kept, memoryview(data)[:end]))
            kept = data[end:]
            continue
        kept = kept + data
        end = _cut(kept) if at >= PLAN_BYTES else 0
        if end:
            yield kept[:end]
            kept = kept[end:]
    if kept:
        end = _cut(kept) if at >= PLAN_BYTES else kept.rfind(b"\n") + 1
        if end:
            yield kept[:end]
        if not kept.endswith(b"\n"):
            yield kept[max(end, kept.rfind(b"\n") + 1) :]


def _cut(data: bytes) -> int:
    """Returns where the last whole line ends, but before a box or progress bar states of one step, which may continue."""
    end = data.rfind(b"\n") + 1
    state = b""
    while end:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        line = data[begin:end]
        bar = _BAR_STATE.search(line) if b"\r" not in line else None
        if not line.lstrip().startswith((b"|", b"+-")) and (bar is None or state not in (b"", bar[0])):
            break
        state, end = (bar[0] if bar else state), begin
    return end
