"""Converts values of a frame to cells that JSON can hold and a terminal can safely show, within a length.

clean(text)        invisible and control characters are escaped (`\\x1b`, `\\u200b`), so that logs cannot inject anything
cleaned(value)     the same for every string in lists and mappings, keys included
clip(text, limit)  cleaned; a long text is cut, and its length is added
csv_cell(text)     cleaned, and never a formula for a spreadsheet
markdown(text)     cleaned, with Markdown and HTML escaped
json_line(value)   JSON in which such characters are JSON's own escapes
cell(value, limit) any value of a frame as JSON; a non-finite number is None, and `kind` names it
show(cell)         a cell as text: floats with 5 significant digits, None as `-`
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import cast

from sweeplens.visible_text import visible as clean
from sweeplens.visible_text import visible_json

__all__ = ["Cell", "cell", "clean", "cleaned", "clip", "csv_cell", "json_line", "kind", "markdown", "show"]

Scalar = str | int | float | bool | None
Cell = Scalar | list[Scalar]

_LIST = 400  # characters of a list, also where texts may be longer
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms of the first four
_MARKUP = re.compile(
    r"\\(?=[!-/:-@\[-`{-~])|[`*\[<>&~$]|(?<!\w)_|_(?!\w)|://|(?<=www)\.|^(?:[#+=-]|\d+[.)])", re.IGNORECASE
)
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def cleaned(value: object) -> object:
    """Converts a value to JSON types, with every string in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(k)): cleaned(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(v) for v in cast("Sequence[object]", value)]
    return value if value is None or isinstance(value, (bool, int, float)) else clean(str(value))


def csv_cell(text: str) -> str:
    """Cleans text for a CSV file. A ``'`` is put before text that a spreadsheet would read as a formula, unless it is a number."""
    shown = clean(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) and not _is_number(shown) else shown


def markdown(text: str) -> str:
    """Cleans text and escapes Markdown, HTML and links."""
    return _MARKUP.sub(_as_text, clean(text))


def json_line(value: object) -> str:
    """Returns one line of JSON that is safe to show anywhere and decodes to the same value."""
    return visible_json(json.dumps(value, ensure_ascii=False))


def clip(text: str, limit: int) -> str:
    """Cleans text and cuts it to ``limit`` characters; the part that is cut is not processed."""
    return clean(text) if len(text) <= limit else f"{clean(text[:limit])}… ({len(text)} characters)"


def kind(value: object) -> str:
    """Returns ``nan``, ``inf`` or ``-inf`` for a non-finite number, else an empty string."""
    if not isinstance(value, float) or math.isfinite(value):
        return ""
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def cell(value: object, limit: int) -> Cell:
    """Converts a value of a frame to JSON types. A list keeps as many items as ``limit`` characters allow."""
    if isinstance(value, (list, tuple)):
        return _items(value, min(limit, _LIST))  # pyright: ignore[reportUnknownArgumentType]
    return _scalar(value, limit)


def show(value: Cell, word: str = "") -> str:
    """Returns a cell as text; ``word`` replaces None if the number is not finite."""
    if value is None:
        return word or "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(show(item) for item in value)
    return str(value)


def _as_text(match: re.Match[str]) -> str:
    characters = match.group()
    return _ENTITIES.get(characters) or (
        f"{characters[:-1]}\\{characters[-1]}" if characters[:-1].isdigit() else f"\\{characters}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
