"""Reads the record framing of W&B and SwanLab: a 7-byte file header, then 32 KiB blocks of chunks with checksums.

A chunk is crc32 (of type and data), length, type (1 whole, 2 first, 3 middle, 4 last), data; it never crosses a block.
A length is valid only within its block. A chunk with a wrong checksum ends the reading, with a problem that gives the position.
`offset` is always the start of the next record, where a later reading can continue.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from sweeplens.readers.protocol import Problem
from sweeplens.source_limits import RECORD_BYTES

__all__ = ["FILE_HEADER", "BlockRecords"]

FILE_HEADER = 7
_BLOCK = 32 * 1024
_AT_ONCE = 32 * _BLOCK
_CHUNK = struct.Struct("<IHB")
_SEED = [zlib.crc32(bytes([kind])) for kind in range(5)]
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class BlockRecords:
    """Iterates over the records of an open file from an offset. Afterwards `problem` says why it ended early, if it did."""

    def __init__(self, stream: IO[bytes], file: str, ident: bytes, offset: int = 0) -> None:
        self._stream = stream
        self._file = file
        self._ident = ident
        self.offset = offset
        self.problem: Problem | None = None

    def __iter__(self) -> Iterator[bytes]:
        if self.offset < FILE_HEADER and not self._header():
            return
        parts: list[bytes] = []
        size = 0
        for kind, data, after in self._chunks():
            if (kind in (_MIDDLE, _LAST)) != bool(parts):
                self._stop(after - _CHUNK.size - len(data), "a part of a record without its beginning or end")
                return
            if kind == _WHOLE:
                self.offset = after
                yield data
                continue
            parts.append(data)
            size += len(data)
            if size > RECORD_BYTES:
                self._stop(self.offset, f"a record of more than {RECORD_BYTES >> 20} MB")
                return
            if kind == _LAST:
                self.offset = after
                yield b"".join(parts)
                parts, size = [], 0
        if parts and self.problem is None:
            self._torn("the last record is not complete")

    def problems(self, broken: int) -> list[Problem]:
        """Returns the problems after the iteration; ``broken``: count of records that could not be decoded."""
        lost = [Problem(self._file, f"{broken} records cannot be decoded: left out")] if broken else []
        return lost if self.problem is None else [*lost, self.problem]

    def _header(self) -> bool:
        self._stream.seek(0)
        head = self._stream.read(FILE_HEADER)
        if len(head) == FILE_HEADER and head.startswith(self._ident):
            self.offset = FILE_HEADER
            return True
        if self._ident.startswith(head[: len(self._ident)]):
            self._torn("the file is empty" if not head else "the file header is not complete")
        else:
            self._stop(0, f"does not start with {self._ident.decode()}")
        return False

    def _chunks(self) -> Iterator[tuple[int, bytes, int]]:
        """Yields (type, data, position after it) of every valid chunk; an invalid chunk sets `problem`."""
        start = self.offset - self.offset % _BLOCK
        skip = self.offset - start
        self._stream.seek(start)
        while buffer := self._stream.read(_AT_ONCE):
            for at in range(0, len(buffer), _BLOCK):
                yield from self._block(buffer[at : at + _BLOCK], start + at, skip)
                skip = 0
                if self.problem is not None:
                    return
            start += len(buffer)

    def _block(self, block: bytes, start: int, at: int) -> Iterator[tuple[int, bytes, int]]:
        """Yields the chunks of one block, from a position in it."""
        size, unpack, crc32 = len(block), _CHUNK.unpack_from, zlib.crc32
        while size - at >= _CHUNK.size:
            crc: int
            length: int
            kind: int
            crc, length, kind = unpack(block, at)
            begin = at + _CHUNK.size
            at = begin + length
            data = block[begin:at]
            if not _WHOLE <= kind <= _LAST or at > size or crc32(data, _SEED[kind]) != crc:
                self._broken(block, start, begin - _CHUNK.size, (kind, length))
                return
            yield kind, data, start + at
        if size < _BLOCK and at < size:
            self._torn("the last record is not complete")

    def _broken(self, block: bytes, start: int, at: int, header: tuple[int, int]) -> None:
        """Sets the reason why a chunk is invalid: cut off by the end of the file, never written, or damaged."""
        kind, length = header
        end = at + _CHUNK.size + length
        if not any(block[at:]):
            self._torn("ends in zero bytes")
        elif not _WHOLE <= kind <= _LAST:
            self._stop(start + at, f"record type {kind} does not exist")
        elif end > _BLOCK:
            self._stop(start + at, f"a length of {length} bytes exceeds its block")
        elif end > len(block):
            self._torn("the last record is not complete")
        else:
            self._stop(start + at, "wrong checksum")

    def _torn(self, reason: str) -> None:
        self.problem = Problem(self._file, f"{reason} (byte {self.offset})", kind="torn")

    def _stop(self, at: int, reason: str) -> None:
        self.problem = Problem(self._file, f"{reason} at byte {at}: the file is read up to there")
