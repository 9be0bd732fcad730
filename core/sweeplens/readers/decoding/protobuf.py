"""Decodes the wire format of protocol buffers, without message classes. Every length is checked against its message.

`fields` yields (number, value) in the order of the bytes: an int for a varint or a fixed-width number (its bits), bytes for
fields with a length. Callers know what the fields mean. A wrong length raises WireError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

__all__ = [
    "WireError",
    "as_double",
    "as_float",
    "as_signed",
    "as_text",
    "as_timestamp",
    "fields",
    "packed",
    "spans",
    "varint",
]

_LE64, _LE32 = struct.Struct("<Q"), struct.Struct("<I")
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WireError(ValueError):
    """Bytes that are not a protocol-buffer message."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns the number at a position, and the position after it."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise WireError("a number does not end")


def spans(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields every field between two positions: (number, kind, begin and end of its value). Kind is the wire type 0, 1, 2 or 5."""
    while at < end:
        key, at = varint(data, at)
        kind = key & 7
        begin = at
        if kind == 0:
            _, at = varint(data, at)
        elif kind == 2:
            size, begin = varint(data, at)
            at = begin + size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise WireError(f"unknown field kind {kind}")
        if at > end:
            raise WireError(f"a field of {at - begin} bytes where {end - begin} are left")
        yield key >> 3, kind, begin, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields every field of a message, as (number, value)."""
    for number, kind, begin, end in spans(data, 0, len(data)):
        if kind == 2:
            yield number, data[begin:end]
        elif kind == 0:
            yield number, varint(data, begin)[0]
        else:
            yield number, int.from_bytes(data[begin:end], "little")


def packed(value: int | bytes) -> Iterator[int]:
    """Yields the varints of a repeated field, packed or not."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        one, at = varint(value, at)
        yield one


def as_text(value: int | bytes) -> str:
    """Decodes a text field; bytes that are not UTF-8 become replacement characters."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def as_signed(value: int | bytes) -> int:
    """Decodes an int32 or int64 field."""
    if isinstance(value, bytes):
        raise WireError("bytes where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def as_double(value: int | bytes) -> float:
    """Decodes a double field from its bits."""
    if isinstance(value, bytes):
        raise WireError("bytes where a number belongs")
    return float(_DOUBLE.unpack(_LE64.pack(value))[0])


def as_float(value: int | bytes) -> float:
    """Decodes a float field from its bits."""
    if isinstance(value, bytes) or value >> 32:
        raise WireError("not a 32-bit number")
    return float(_FLOAT.unpack(_LE32.pack(value))[0])


def as_timestamp(value: int | bytes) -> datetime | None:
    """Decodes a google.protobuf.Timestamp; None where the time is outside the calendar."""
    seconds = nanos = 0
    for number, part in fields(value if isinstance(value, bytes) else b""):
        if number == 1:
            seconds = as_signed(part)
        elif number == 2:
            nanos = as_signed(part)
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        return None
