"""Decodes a TensorProto with one number, as TF2 writes scalars."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sweeplens.readers.decoding.protobuf import as_double, as_float, as_signed, packed, spans, varint

__all__ = ["one_number"]

_BFLOAT16, _HALF = 14, 19
_CONTENT = {
    1: "<f",
    2: "<d",
    3: "<i",
    4: "<B",
    5: "<h",
    6: "<b",
    9: "<q",
    10: "<?",
    17: "<H",
    19: "<e",
    22: "<I",
    23: "<Q",
}
_DTYPE, _SHAPE, _RAW = 1, 2, 4
_FLOATS, _DOUBLES, _HALVES = 5, 6, 13
_WHOLE_NUMBERS = frozenset({7, 10, 11, 16, 17})


def one_number(data: bytes, at: int, end: int) -> tuple[float, int, str] | None:
    """Returns the number of a tensor with one element, the position of its bytes and their struct format; else None."""
    dtype = 0
    found: tuple[float, int, str] | None = None
    for number, kind, begin, stop in spans(data, at, end):
        if number == _DTYPE and kind == 0:
            dtype = varint(data, begin)[0]
        elif number == _SHAPE and kind == 2 and _elements(data, begin, stop) != 1:
            return None
        elif number == _RAW and kind == 2:
            found = _raw(data[begin:stop], dtype, begin)
        elif number in (_FLOATS, _DOUBLES, _HALVES) or number in _WHOLE_NUMBERS:
            found = _typed(data, number, kind, begin, stop, dtype)
    return found


def _elements(data: bytes, at: int, end: int) -> int:
    """Returns the product of the dimensions of a TensorShapeProto; 1 for a scalar."""
    product = 1
    for number, kind, begin, stop in spans(data, at, end):
        if number == 2 and kind == 2:
            sizes = [varint(data, b)[0] for n, k, b, _ in spans(data, begin, stop) if n == 1 and k == 0]
            product *= sizes[-1] if sizes else 0
    return product


def _raw(content: bytes, dtype: int, begin: int) -> tuple[float, int, str] | None:
    if dtype == _BFLOAT16 and len(content) == 2:
        return struct.unpack("<f", b"\0\0" + content)[0], begin, ""
    form = _CONTENT.get(dtype)
    if form is None or struct.calcsize(form) != len(content):
        return None
    return float(struct.unpack(form, content)[0]), begin, form


def _typed(data: bytes, number: int, kind: int, begin: int, end: int, dtype: int) -> tuple[float, int, str] | None:
    """Decodes a value in a typed field: ``float_val``, ``double_val``, ``half_val`` or one of the whole numbers."""
    if number in (_FLOATS, _DOUBLES) and kind != 0:
        width, form = (4, "<f") if number == _FLOATS else (8, "<d")
        if end - begin != width:
            return None
        bits = int.from_bytes(data[begin:end], "little")
        return (as_float(bits) if width == 4 else as_double(bits)), begin, form
    values = list(_varints(data, kind, begin, end))
    if len(values) != 1:
        return None
    if number == _HALVES:
        form, head = ("<e", b"") if dtype == _HALF else ("<f", b"\0\0")
        return struct.unpack(form, head + (values[0] & 0xFFFF).to_bytes(2, "little"))[0], begin, ""
    return float(as_signed(values[0]) if number in (7, 10) else values[0]), begin, ""


def _varints(data: bytes, kind: int, begin: int, end: int) -> Iterator[int]:
    if kind == 0:
        yield varint(data, begin)[0]
    elif kind == 2:
        yield from packed(data[begin:end])
