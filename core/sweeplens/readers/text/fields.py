"""Splits a printed line into fields: a number and the words that name it.

Each number of the line is first replaced by one character that holds its kind and its index; everything else stays text. Fields
have the forms ``name: 1``, ``name=1``, ``| name 1 |``, ``Name 1 (1.5)``, ``name: [1, 2]``, ``Epoch [1/20]``, ``[1][50/900]``.
"""

from __future__ import annotations

import re
from itertools import zip_longest

from msgspec import Struct

from sweeplens.readers.text.lines import HOLE
from sweeplens.readers.text.names import EPOCHS, UNIT, fine_rank, split_of_word

__all__ = [
    "CLOCK",
    "DATE",
    "MAX_NUMBERS",
    "NUM",
    "LineField",
    "fields_of",
    "marked_line",
    "place_of",
]

NUM, DATE, CLOCK = "\ue000-\ue3ff", "\ue400-\ue7ff", "\ue800-\uebff"  # numbers, dates, times of day and durations
_FIRST = {"n": 0xE000, "d": 0xE400, "h": 0xE800}
MAX_NUMBERS = 1024
_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|NOTICE|TRACE|SUCCESS)"
_LEVELS = re.compile(rf"^(?:[\[(]?{_LEVEL}\b[\])]?[\s:|\-]*)+")
_SECTION = re.compile(
    r"(?i)(?:^|[\s\[(|,;:>*-])(train(?:ing)?|valid(?:ation)?|val|test(?:ing)?|eval(?:uation)?|dev)"
    r"(?: \w+){0,2}(?:\]|\)?:|\s\||\s-)(?=[\s\w]|$)"
)
_HARD = re.compile(r"[,;|\t\{\}]|\s[-–—•>*]+\s|[\)\]]+[\s:,]*")
_TIGHT = re.compile(r"[:=]\s*[\[\(<]?\s*$")
_TEXT_ONLY = re.compile(r"\s*[A-Za-z][\w/]*\s*[|,;]")  # ``val: n/a |``
_GROUP = re.compile(r"([A-Za-z][\w.-]*)\s?[\[{(][^\[\]{}()]*$")
_GLUED_UNIT = re.compile(r"(?:[mun]?s|secs?|min|hr?|d|[kKMGT]i?B?|B)(?=[\s,;|)]|$)(?!\s*[:=]\S)")
_COUNTED_NEXT = re.compile(r"\s+(?:images|samples|tokens|items|examples)\s+")  # ``loss 0.5 tokens 1200``
_NOUN = re.compile(r" [A-Za-z]+, ?")
_NOUN_NEXT = re.compile(r" [A-Za-z]+(?:,|\s*$)")
_EDGE = " \t:=[(<{*#>|-–•~\"'`"


class LineField(Struct):
    """A number of a line and the words before it."""

    label: str
    place: int
    tight: bool  # joined by ``:`` or ``=``
    before: str  # the text after the number before it
    after: str
    total: int | None = None
    kind: str = "n"
    section: str = ""  # the last split named before it
    at: int = 0  # its position in the line
    whole: bool = False  # printed without a point
    group: str = ""  # the word before the bracket that it is in: ``tot_loss`` in ``tot_loss[loss=1.3``


def marked_line(shape: str, tokens: list[str]) -> str:
    pieces = shape.split(HOLE)
    signs = (chr(_FIRST[_kind(t)] + i) for i, t in enumerate(tokens))
    return pieces[0] + "".join(sign + piece for sign, piece in zip(signs, pieces[1:], strict=True))


def _kind(token: str) -> str:
    if len(token) > 4 and token[4] in "-/" and token[:4].isdigit():
        return "d"
    return "h" if ":" in token else "n"


def place_of(sign: str) -> int:
    return (ord(sign) - 0xE000) % MAX_NUMBERS


def _may_be_total(token: str, count: LineField) -> bool:
    """Whether a number after ``/`` is a total: whole, or behind an axis (``Epoch: 0.5/4.0``); not ``D(G(z)): 0.6 / 0.01``."""
    word = count.label.lower()
    return "." not in token or not count.tight or word in EPOCHS or fine_rank(word) is not None


def fields_of(body: str, tokens: list[str]) -> list[LineField]:
    """Returns the numbers of a line with the text around them; a total is joined to its count."""
    fields: list[LineField] = []
    section, end = "", 0
    marks = list(re.finditer(f"[{NUM}{DATE}{CLOCK}]", body))
    for mark, following in zip_longest(marks, marks[1:]):
        before = body[end : mark.start()]
        after = body[mark.end() : following.start()] if following else body[mark.end() :]
        end = mark.end()
        if _belongs_to(fields, mark.group(), before, after, tokens):
            continue
        label, tight = _label(before, fields[-1] if fields else None)
        section = _section_in(before, tight=tight) or section if mark is not marks[0] else ""
        field = LineField(
            label, place_of(mark.group()), tight, before, after, kind=_kind_of(mark.group()), section=section, at=mark.start(),
            whole=not re.search(r"[.eE]|nan|inf", tokens[place_of(mark.group())], re.IGNORECASE),
            group=_group(body[: mark.start()]),
        )  # fmt: skip
        if fields and _is_counted(fields[-1], field):
            field.label = ""
        fields.append(field)
    return fields


def _is_counted(last: LineField, field: LineField) -> bool:
    """Whether the word before a number is what the number before it counts: ``1 tree, 4 leaves``."""
    counts = last.whole and field.whole and not last.label and last.total is None
    return counts and bool(_NOUN.fullmatch(field.before)) and bool(_NOUN_NEXT.match(field.after))


def _belongs_to(fields: list[LineField], sign: str, before: str, after: str, tokens: list[str]) -> bool:
    """Whether a number is no field of its own: the total of the count before it, which it is joined to, or a third number."""
    last = fields[-1] if fields else None
    if last is None:
        return False
    if (
        last.total is None
        and last.kind == "n"
        and re.fullmatch(r"\s*(?:/|of|out of)\s*", before)
        and sign < DATE[0]
        and _may_be_total(tokens[place_of(sign)], last)
    ):
        last.total, last.after = place_of(sign), after
        return True
    return bool(re.fullmatch(r"\s*(?:/|of)\s*", before)) and (last.total is not None or sign >= DATE[0])


def _section_in(before: str, *, tight: bool) -> str:
    """Returns the last split named in the text before a number; "" where there is none."""
    named = [
        m
        for m in _SECTION.finditer(before)
        if (m.end() < len(before.rstrip()) or not tight or "]" in m.group()) and not _TEXT_ONLY.match(before, m.end())
    ]
    return split_of_word(named[-1][1]) if named else ""


def _kind_of(sign: str) -> str:
    return "n" if sign < DATE[0] else "d" if sign < CLOCK[0] else "h"


def _label(before: str, last: LineField | None) -> tuple[str, bool]:
    """Returns the words that name a number, and whether ``:`` or ``=`` joins them."""
    text = before
    if last is not None:
        counted = re.match(r"(?i)(?:st|nd|rd|th)?\s?(?:epoch|step|iter|batch)s?\b:?", text)
        unit = (counted if not last.label else None) or _GLUED_UNIT.match(text) or UNIT.match(text)
        unit = None if unit and last.label and _COUNTED_NEXT.fullmatch(text) else unit
        text = text[unit.end() :] if unit and unit.end() else text
    tight = bool(_TIGHT.search(text))
    text = text.rstrip(_EDGE)
    cut = 0
    for stop in _HARD.finditer(text):
        if stop.end() < len(text) and not _closes_name(text, stop):
            cut = stop.end()
    text = text[cut:]
    if tight:
        text = (
            re.split(r"(?<=[^\s]):\s+|=\s+", text)[-1]
            if not re.match(r"(?i)(?:test(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|train(?:ing)?)( set)?:", text)
            else text
        )
        text = text.split("=")[-1] if "=" in text else text
        opened = sum(map(text.count, "[{(")) > sum(map(text.count, "]})"))
        text = re.split(r"[\[{(](?=\w)", text)[-1] if opened else text
    else:
        text = re.split(r":\s+", text)[-1]
    text = re.sub(r"\s+", " ", text.strip(" \t:=[(<{*>|-–•~.!;,")).strip()
    text = re.sub(r"^[^\w#@(<]+", "", _LEVELS.sub("", text))
    text = text.rstrip("]") if "[" not in text else text
    return (text if re.search(r"[^\W\d_]|#", text) and not re.fullmatch(r"(?:it|s|ms)/\w+", text) else ""), tight


def _group(before: str) -> str:
    """Returns the word before the innermost open bracket; "" outside of brackets."""
    found = _GROUP.search(before)
    return found[1] if found else ""


def _closes_name(text: str, stop: re.Match[str]) -> bool:
    """Whether a closing bracket belongs to a name: ``time per iteration (ms)``, ``Epoch(train)``."""
    inner = stop.group().strip()
    at = text.rfind("(", 0, stop.start())
    return inner.startswith(")") and at >= 0 and stop.end() >= len(text.rstrip()) and at > 0
