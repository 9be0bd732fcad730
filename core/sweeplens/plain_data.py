"""Converts text and values from files to data that frames, the store and JSON can hold.

plain_text(text)     lone surrogates (Latin-1 names of files, `\\udce9` in JSON) are escaped as `\\udce9`; all other text stays
plain_value(value)   only nested dicts with text keys, lists, text, numbers, booleans, None, dates and times

Data that are already plain are returned as the same object. Integers beyond the range of a float become text.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import cast

__all__ = ["MAX_DEPTH", "plain_mapping", "plain_text", "plain_value"]

MAX_DEPTH = 100
"""Deeper nested data are cut at this depth, so that recursive functions end."""

_FLOAT_BITS = 1023  # integers of up to this many bits fit in a float
_DECIMAL_BITS = 12_000  # Python does not print integers of more than 4,300 digits
_SIMPLE = frozenset({bool, float, type(None), datetime, date})


def plain_text(text: str) -> str:
    """Returns the text with each lone surrogate escaped: `caf\\udce9`."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def plain_mapping(value: Mapping[str, object]) -> dict[str, object]:
    """Converts a mapping as `plain_value` does."""
    plain = plain_value(value)
    assert isinstance(plain, dict)
    return cast("dict[str, object]", plain)


def plain_value(value: object, depth: int = 0) -> object:
    """Returns the value as plain data."""
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if kind is str:
        return plain_text(cast("str", value))
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[object, object]", value), depth)
    if isinstance(value, list | tuple | AbstractSet):
        return _items(cast("list[object]", value), depth)
    return _text_of(value)


def _integer(value: int) -> int | str:
    bits = value.bit_length()
    if bits <= _FLOAT_BITS:
        return value
    return str(value) if bits <= _DECIMAL_BITS else f"an integer of {bits} bits"


def _mapping(value: Mapping[object, object], depth: int) -> object:
    if depth >= MAX_DEPTH:
        return f"(nested deeper than {MAX_DEPTH} levels)"
    plain: dict[str, object] = {}
    same = isinstance(value, dict)
    for key, inner in value.items():
        name = key if type(key) is str and key.isascii() else _key(key)
        kind = type(inner)
        simple = kind in _SIMPLE or (kind is str and cast("str", inner).isascii())
        plain[name] = converted = inner if simple else plain_value(inner, depth + 1)
        same = same and converted is inner and name is key
    return cast("dict[str, object]", value) if same else plain


def _key(key: object) -> str:
    return plain_text(key) if type(key) is str else str(plain_value(key))


def _items(value: list[object], depth: int) -> object:
    if depth >= MAX_DEPTH:
        return f"(nested deeper than {MAX_DEPTH} levels)"
    plain = [plain_value(v, depth + 1) for v in value]
    same = isinstance(cast("object", value), list) and all(a is b for a, b in zip(plain, value, strict=True))
    return value if same else plain


def _text_of(value: object) -> str:
    """Returns any other object as text; bytes are decoded as UTF-8."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    return plain_text(str(value))
