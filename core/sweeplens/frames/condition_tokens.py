"""Splits the text of a condition into tokens, and makes the error for a place that cannot be parsed."""

from __future__ import annotations

import re

from msgspec import Struct

from sweeplens.errors import InputError
from sweeplens.frames.schemas import STATUSES

__all__ = ["Token", "syntax_error", "tokens_of"]

_SHOWN = 60
_TOKEN = re.compile(
    r"(?P<blank>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<text>'(?:[^']|'')*')"
    r'|(?P<quoted>"(?:[^"]|"")*"|`[^`]*`)'
    r"|(?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<sign><=>|!~\*|<>|!=|<=|>=|==|\|\||//|::|!~|~\*|[=<>+\-*/%(),.~])",
    re.S,
)
_BAD_SIGNS = {
    ";": "; leave it out: a condition is one expression",
    "[": "; write lists in round brackets, as in IN (1, 2)",
    "{": "; write comparisons, as in \"optim.lr\" = 0.1 AND status = 'finished'",
    "&": "; write AND",
    "|": "; write OR",
    "^": "; write POWER(x, 2)",
    "?": "; write the value itself",
    "$": "; write the value itself",
}
_HINT = (
    "Put names with dots or slashes in double quotes and text in single quotes: \"optim.lr\" > 1e-4 AND status = 'finished' "
    f"(a status is {', '.join(STATUSES[:-1])} or {STATUSES[-1]})."
)


class Token(Struct, frozen=True):
    """One token. ``kind`` is text, quoted, number, word, sign or end."""

    kind: str
    text: str
    at: int
    end: int

    @property
    def word(self) -> str:
        """Returns a word in lower case or a sign, for the grammar; empty for other tokens."""
        return self.text.lower() if self.kind in ("word", "sign") else ""

    @property
    def shown(self) -> str:
        """Returns the token as an error shows it."""
        return "the end" if self.kind == "end" else repr(self.text if len(self.text) <= 40 else f"{self.text[:40]}...")


def tokens_of(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise syntax_error(text, at, _bad_character(text[at]))
        kind = str(match.lastgroup)
        if kind != "blank":
            found.append(Token(kind, match.group(), at, match.end()))
        at = match.end()
    return [*found, Token("end", "", len(text), len(text))]


def syntax_error(text: str, at: int, reason: str) -> InputError:
    """Returns the error for a position; a long condition is shown only around that position."""
    start = max(0, at - _SHOWN // 2) if len(text) > 2 * _SHOWN else 0
    part = text[start : start + 2 * _SHOWN]
    shown = f"{'...' * (start > 0)}{part}{'...' * (start + len(part) < len(text))}"
    return InputError(f"Condition {shown!r} cannot be parsed at character {at + 1}: {reason}. {_HINT}")


def _bad_character(sign: str) -> str:
    """Returns why no token begins with a character."""
    if sign in "'\"`":
        return f"the quote {sign} is not closed"
    if sign in "‘’“”":
        return f"{sign!r} is a typographic quote; write ' or \""
    return f"{sign!r} is not allowed in a condition{_BAD_SIGNS.get(sign, '')}"
