"""`LineBuffer`: reads one file after another in pieces that are small enough for the processor's cache."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from io import BytesIO

from sweeplens.errors import SourceLimitError
from sweeplens.safe_open import SourceFile
from sweeplens.source_limits import LINE_BYTES

__all__ = ["LineBuffer"]

_BYTES = 1 << 19


class LineBuffer:
    """A buffer for a part of a file. ``text[:held]`` are the bytes that are not parsed yet.

    The buffer grows when a line does not fit.
    """

    def __init__(self) -> None:
        self._make(bytearray(_BYTES))
        self.held = 0
        self._left = 0

    def _make(self, data: bytearray) -> None:
        self._data = data
        self.text = (ctypes.c_char * len(data)).from_buffer(data)

    def open(self, stream: SourceFile | BytesIO, begin: int, end: int) -> None:
        """Starts to read these bytes of a file, and fills the buffer."""
        stream.seek(begin)
        self._stream, self._left, self.held = stream, max(0, end - begin), 0
        self.fill()

    def fill(self) -> bool:
        """Appends more bytes; returns False where the file has no more.

        Raises EOFError where the file is shorter than it was, SourceLimitError where a line is too long.
        """
        if not self._left:
            return False
        if self.held == len(self._data):
            if self.held > LINE_BYTES:
                raise SourceLimitError(f"a line of more than {LINE_BYTES >> 20} MB")
            self._make(self._data + bytes(self.held))
        with memoryview(self._data) as view:
            count = self._stream.readinto(view[self.held : self.held + self._left])
        if not count:
            raise EOFError(f"the file is {self._left} bytes shorter than it was")
        self._left -= count
        self.held += count
        return True

    def drop(self, count: int) -> None:
        """Removes so many bytes from the front."""
        self._data[: self.held - count] = self._data[count : self.held]
        self.held -= count

    def copy(self, begin: int, end: int) -> bytes:
        """Returns a copy of a part of the held bytes."""
        return bytes(self._data[begin:end])

    def lines(self) -> Iterator[bytes]:
        """Yields the held bytes line by line; the last line may be incomplete."""
        at = 0
        while 0 <= at < self.held:
            end = self._data.find(b"\n", at, self.held)
            yield self.copy(at, end if end >= 0 else self.held)
            at = end + 1 or self.held
