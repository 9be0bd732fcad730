"""Values of a frame -> cells of an answer: what JSON can hold, what a terminal can show, no longer than asked.

clean(text)        control characters and terminal escapes become visible (`\\x1b`), so that a log cannot speak
clip(text, limit)  a long text is cut and says how long it was
cell(value, limit) any value of a frame as JSON; not finite is None, and `kind` has the word for it
show(cell)         a cell as text: floats at 5 significant digits, None as `-`
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

__all__ = ["Cell", "cell", "clean", "clip", "kind", "show"]

Scalar = str | int | float | bool | None
Cell = Scalar | list[Scalar]

# C0, DEL, C1, line separators, marks that reorder text, byte-order mark, and halves of a surrogate pair
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def clean(text: str) -> str:
    """The text with every character that could steer a terminal, or reorder a line, written out."""
    return _UNSAFE.sub(_written_out, text)


def clip(text: str, limit: int) -> str:
    """Cleaned and clipped; what will be cut is not even looked at."""
    return clean(text) if len(text) <= limit else f"{clean(text[:limit])}… ({len(text)} characters)"


def kind(value: object) -> str:
    """``nan``, ``inf`` or ``-inf`` for a number that is not finite, else nothing."""
    if not isinstance(value, float) or math.isfinite(value):
        return ""
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def cell(value: object, limit: int) -> Cell:
    """A value of a frame as JSON can hold it. A list keeps as many items as ``limit`` characters allow."""
    if isinstance(value, (list, tuple)):
        return _items(value, limit)  # pyright: ignore[reportUnknownArgumentType]
    return _scalar(value, limit)


def show(value: Cell, word: str = "") -> str:
    """A cell as text; ``word`` stands in for a number that is not finite."""
    if value is None:
        return word or "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(show(item) for item in value)
    return str(value)


def _written_out(match: re.Match[str]) -> str:
    char = match.group()
    return _NAMED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")


def _scalar(value: object, limit: int) -> Scalar:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return clip(_text(value), limit)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds") + ("Z" if value.tzinfo else "")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _items(values: Sequence[object], limit: int) -> list[Scalar]:
    kept: list[Scalar] = []
    room = limit
    for position, value in enumerate(values):
        item = kind(value) or _scalar(value, limit)
        room -= len(str(item)) + 2
        if room < 0 and kept:
            return [*kept, f"… {len(values) - position} more"]
        kept.append(item)
    return kept
