"""The framing of TensorBoard's event files: length, its checksum, data, its checksum; checksums are masked crc32c.

Every checksum is checked: google-crc32c (Apache-2.0, no dependencies, 0.1 us a call) makes that a tenth of the
reading; there is no fast crc32c without a wheel. A length is believed only when its own checksum holds and the file has
the bytes; a record that fails ends the file with a problem that says where. `offset` is always the start of the next
record, so a later reading can go on there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from typing import IO, cast

import google_crc32c

from sweeplens.readers.protocol import Problem

__all__ = ["TFRecords", "masked_crc32c"]

_AT_ONCE = 4 << 20
_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
_HEAD = 12
_FRAME = 16
_MASK = 0xA282EAD8
# The wheel ships no types.
_crc32c = cast("Callable[[bytes], int]", google_crc32c.value)  # pyright: ignore[reportUnknownMemberType]


def masked_crc32c(data: bytes) -> int:
    """The checksum that event files hold."""
    crc = _crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


class TFRecords:
    """The records of an open file of a known size, from an offset on. After the iteration, `problem` says what ended it early."""

    def __init__(self, stream: IO[bytes], file: str, size: int, offset: int = 0) -> None:
        self._stream = stream
        self._file = file
        self._size = size
        self._lengths: dict[bytes, int] = {}  # heads whose checksum held: few records differ in length
        self._wanted = 0
        self.offset = offset
        self.problem: Problem | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._stream.seek(self.offset)
        rest = b""
        while more := self._stream.read(max(_AT_ONCE, self._wanted)):
            buffer = rest + more
            used = yield from self._buffered(buffer)
            rest = buffer[used:]
            if self.problem is not None:
                return
        if rest:
            self._torn("the last record is not complete")

    def _buffered(self, buffer: bytes) -> Generator[bytes, None, int]:
        """The records that are whole in a buffer; returns the bytes that they took."""
        at, lengths, unpack = 0, self._lengths, _CRC.unpack_from
        while True:
            length = lengths.get(buffer[at : at + _HEAD])
            if length is None and (length := self._length(buffer, at)) is None:
                return at
            end = at + _FRAME + length
            if end > len(buffer):
                self._wanted = end - len(buffer)
                return at
            data = buffer[at + _HEAD : end - 4]
            crc = _crc32c(data)
            if ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF != unpack(buffer, end - 4)[0]:
                self._end("wrong checksum")
                return at
            self.offset += _FRAME + length
            at = end
            yield data

    def _length(self, buffer: bytes, at: int) -> int | None:
        """The length of the record at a position; None where the buffer ends too soon, or it cannot be (a problem)."""
        head = buffer[at : at + _HEAD]
        if len(head) < _HEAD:
            return None
        length: int = _LENGTH.unpack_from(head)[0]
        if masked_crc32c(head[:8]) != _CRC.unpack_from(head, 8)[0]:
            if any(buffer[at:]):
                self._end("wrong checksum of a length")
            else:
                self._torn("ends in zero bytes")
            return None
        if length > self._size - self.offset - _FRAME:
            self._torn("the last record is not complete")
            return None
        self._lengths[head] = length
        return length

    def _torn(self, reason: str) -> None:
        self.problem = Problem(self._file, f"{reason} (byte {self.offset})", kind="torn")

    def _end(self, reason: str) -> None:
        self.problem = Problem(self._file, f"{reason} at byte {self.offset}: the file is read up to there")
