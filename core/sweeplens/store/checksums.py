"""Checksums of the store's files: made when a file is written, kept in HEAD, compared when a process first uses the file."""

from __future__ import annotations

import io
import zlib

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import TableFile

__all__ = ["intact", "sum_of"]

_PIECE = 1 << 20


def sum_of(stream: io.RawIOBase | io.BufferedIOBase) -> int:
    """The checksum of what is left in a stream, in bounded memory."""
    piece = memoryview(bytearray(_PIECE))
    crc = 0
    while size := stream.readinto(piece):
        crc = zlib.crc32(piece[:size], crc)
    return crc


def intact(data: bytes, file: TableFile, where: str) -> bytes:
    """The same bytes, where they are those that were written. Raises StoreError."""
    if len(data) != file.size or zlib.crc32(data) != file.checksum:
        raise StoreError(f"{where!r} is damaged: its size or its checksum is not what it was when it was written.")
    return data
