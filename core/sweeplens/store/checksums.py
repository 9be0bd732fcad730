"""Checksums of the store's files: computed when a file is written, kept in HEAD, compared at the first use in a process."""

from __future__ import annotations

import io
import zlib

from sweeplens.errors import StoreError
from sweeplens.store.backends.backend import TableFile

__all__ = ["intact", "sum_of"]

_PIECE = 1 << 20


def sum_of(stream: io.RawIOBase | io.BufferedIOBase) -> int:
    """Returns the checksum of the rest of a stream, in bounded memory."""
    piece = memoryview(bytearray(_PIECE))
    crc = 0
    while size := stream.readinto(piece):
        crc = zlib.crc32(piece[:size], crc)
    return crc


def intact(data: bytes, file: TableFile, where: str) -> bytes:
    """Returns the bytes if they match the size and checksum of the file. Raises StoreError otherwise."""
    if len(data) != file.size or zlib.crc32(data) != file.checksum:
        raise StoreError(f"{where!r} is damaged: its size or its checksum changed since it was written.")
    return data
