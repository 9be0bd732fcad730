"""`LineBuffer`: the bytes of one file after the other, some at a time, so that what is looked at stays near the processor."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from sweeplens.errors import SourceLimitError
from sweeplens.safe_open import SourceFile
from sweeplens.source_limits import LINE_BYTES

__all__ = ["LineBuffer"]

_BYTES = 1 << 19


class LineBuffer:
    """Room for some bytes of a file; ``text[:held]`` are those that nobody has looked at yet.

    A line that is longer than the room makes it larger.
    """

    def __init__(self) -> None:
        self._make(bytearray(_BYTES))
        self.held = 0
        self._left = 0

    def _make(self, data: bytearray) -> None:
        self._data = data
        self.text = (ctypes.c_char * len(data)).from_buffer(data)

    def open(self, stream: SourceFile, begin: int, end: int) -> None:
        """From now on these bytes of this file are read; some are held already."""
        stream.seek(begin)
        self._stream, self._left, self.held = stream, max(0, end - begin), 0
        self.fill()

    def fill(self) -> bool:
        """More bytes behind those that are held; False where the file has no more. Raises EOFError where it is shorter.

        SourceLimitError where a line is too long.
        """
        if not self._left:
            return False
        if self.held == len(self._data):
            if self.held > LINE_BYTES:
                raise SourceLimitError(f"a line of more than {LINE_BYTES >> 20} MB")
            self._make(self._data + bytes(self.held))
        with memoryview(self._data) as room:
            count = self._stream.readinto(room[self.held : self.held + self._left])
        if not count:
            raise EOFError(f"{self._left} bytes less than there were")
        self._left -= count
        self.held += count
        return True

    def drop(self, count: int) -> None:
        """So many bytes have been looked at."""
        self._data[: self.held - count] = self._data[count : self.held]
        self.held -= count

    def cut(self, begin: int, end: int) -> bytes:
        """A copy of some of what is held."""
        return bytes(self._data[begin:end])

    def lines(self) -> Iterator[bytes]:
        """What is held, line by line, the last perhaps cut."""
        at = 0
        while 0 <= at < self.held:
            end = self._data.find(b"\n", at, self.held)
            yield self.cut(at, end if end >= 0 else self.held)
            at = end + 1 or self.held
