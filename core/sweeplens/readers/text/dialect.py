"""How a program prints numbers and dates that others print otherwise: ``0,95`` or ``.95`` for 0.95, ``26.11.2026 14:03:11``,
``[  200] loss 0.5`` for step 200.

    dialect_of(text)     -> the dialect of a log, judged by its beginning and its middle
    rewritten(text, d)   -> the same lines with decimal points, dates in ISO 8601, and a name before such steps

A log has decimal commas if several named values have one and hardly any has a point; numbers may begin with their point.
``1,234`` alone decides nothing: it may be one thousand. In dates with slashes, a number above 12 tells the day from the month;
where there is none, times are not read. A number alone in brackets before named values is the step if it goes forward from line
to line and no line has a count with a name; of the ranks of a job it does not.
"""

from __future__ import annotations

import re
from itertools import pairwise

from msgspec import Struct

__all__ = ["PLAIN", "LogDialect", "dialect_of", "rewritten"]

_LOOKED_AT = 1 << 15  # bytes at the beginning, and as many in the middle
_LEAST = 3  # values with a comma
_COMMA = re.compile(
    rb"(?:[A-Za-z)\]\x80-\xff]\s*[:=]\s*|[A-Za-z\x80-\xff] +|\|\s*)"
    rb"[-+]?(?![1-9]\d{0,2},\d{3}(?!\d))\d+,\d+(?:[eE][-+]?\d+)?(?=%?(?:[\s;|)\]]|, |$))"
)
_BARE = re.compile(rb"(?:[A-Za-z)\]\x80-\xff]\s*[:=]\s*|[A-Za-z\x80-\xff] +|\|\s*|\t)[-+]?\.\d")
_BARE_POINT = re.compile(rb"(?<![\w.)\]/\\])\.(?=\d)")
_POINT = re.compile(rb"(?:[A-Za-z)\]\x80-\xff]\s*[:=]\s*|[A-Za-z\x80-\xff] +|\|\s*)[-+]?\d+\.\d+(?!\d|,\d)")
_GROUPED = re.compile(rb"(?<![\d,.])(\d{1,3}(?:\.\d{3})+),(?=\d)")
_DECIMAL = re.compile(rb"(?<![\d,])(\d+),(\d+)(?!,?\d)")
_DATE = re.compile(rb"(?<![\d.])(\d\d?)([./])(\d\d?)\2((?:19|20)\d\d)[ T,]+(?=\d?\d:\d\d)")
_STEP = re.compile(rb"^[ \t]*\[ *(\d{1,15})\][ :]+(?=[A-Za-z][^\n]*?[ =:]-?\d+[.,]\d)", re.MULTILINE)
_NAMED_COUNT = re.compile(
    rb"(?i)^[ \t]*\[ *\d+\].*?(?<![\w.])(?:epoch|iter|iteration|step|global_step|update|episode)s?['\"]?\s*[:=#]?\s*[\[(]?\s*\d",
    re.MULTILINE,
)

# What is looked for first, from its rarest character on, because the patterns above are slow:
_ANY_COMMA = re.compile(rb",(?<=\d,)\d")
_ANY_BARE = re.compile(rb"\.(?<=[^\d]\.)\d")
_ANY_DATE = (re.compile(rb"\.\d\d?\.(?:19|20)\d\d"), re.compile(rb"/\d\d?/(?:19|20)\d\d"))


class LogDialect(Struct, frozen=True):
    """How numbers and dates are printed."""

    comma: bool = False
    bare: bool = False  # no digit before the point
    step: bool = False  # a number in brackets at the front of a line is the step
    days: str = ""  # ``day`` or ``month``: the first number of a date that does not begin with the year


PLAIN = LogDialect()


def dialect_of(text: bytes) -> LogDialect:
    """Returns the dialect of a log."""
    middle = len(text) // 2
    near = text if len(text) < 2 * _LOOKED_AT else text[:_LOOKED_AT] + text[middle : middle + _LOOKED_AT]
    is_bare = bool(_ANY_BARE.search(near)) and len(_BARE.findall(near)) >= _LEAST
    return LogDialect(_has_commas(near), is_bare, _has_steps(near), _order_of(near))


def _has_commas(text: bytes) -> bool:
    if not _ANY_COMMA.search(text):
        return False
    commas = len(_COMMA.findall(text))
    return commas >= _LEAST and commas > 4 * len(_POINT.findall(text))


def _has_steps(text: bytes) -> bool:
    if b"]" not in text or not _STEP.search(text) or _NAMED_COUNT.search(text):
        return False
    steps = [int(step) for step in _STEP.findall(text)]
    forward = sum(later >= earlier for earlier, later in pairwise(steps))
    return len(set(steps)) >= _LEAST and 2 * len(set(steps)) > len(steps) and forward >= 0.9 * (len(steps) - 1)


def _order_of(text: bytes) -> str:
    found = _DATE.findall(text) if any(p.search(text) for p in _ANY_DATE) else []
    if not found:
        return ""
    if any(mark == b"." or int(first) > 12 for first, mark, _, _ in found):
        return "day"
    return "month" if any(int(second) > 12 for _, _, second, _ in found) else ""


def rewritten(text: bytes, dialect: LogDialect) -> bytes:
    """Returns the lines with decimal points, dates in ISO 8601, and names of steps."""
    if dialect.days:
        day, month = (1, 3) if dialect.days == "day" else (3, 1)
        text = _DATE.sub(lambda m: b"%s-%02d-%02d " % (m[4], int(m[month]), int(m[day])), text)
    if dialect.bare:
        text = _BARE_POINT.sub(b"0.", text)
    if dialect.comma:
        text = _GROUPED.sub(lambda m: m[1].replace(b".", b"") + b",", text)
        text = _DECIMAL.sub(rb"\1.\2", text)
    if dialect.step:
        text = _STEP.sub(rb"step \1, ", text)
    return text
