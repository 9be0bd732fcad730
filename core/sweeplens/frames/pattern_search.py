"""Searches texts for a pattern in bounded time.

    PatternTime()                            the seconds that all patterns of one question may take together
    found(texts, search, time)               whether the search finds something in each text; null stays null
    regex_search(pattern)                    a search by a regular expression
    like_search(pattern, escape, ...)        a search by a LIKE pattern: ``%`` any text, ``_`` one character

Time is measured while patterns are compiled and matched, piece by piece. So neither the number of texts, nor their length, nor the
number of patterns can hold a thread. A LIKE pattern takes a time that is linear in the length of the text for each part
between two ``%``, because each part is matched at its first place and never tried again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import polars as pl

from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError

__all__ = ["PatternTime", "TextSearch", "found", "like_search", "regex_search"]

TextSearch = Callable[[pl.Series], pl.Series]
"""Texts to true or false for each."""

_PIECE_BYTES = 1 << 16  # the slowest regular expressions take 3 µs a byte, so a piece takes at most 0.2 s
_ANY, _ONE = "%", "_"


class PatternTime:
    """Counts the seconds that patterns took. The limit holds for all patterns of a question together."""

    most_seconds = 5.0

    def __init__(self) -> None:
        self._left = self.most_seconds

    def spend(self, since: float) -> None:
        """Subtracts the time since a moment. Raises InputError if none is left, and the error of a cancelled call."""
        checkpoint()
        self._left -= monotonic() - since
        if self._left < 0:
            raise InputError(
                f"The patterns of this question took more than {self.most_seconds:g} s, so the search was ended. Use simpler "
                "ones: without repetitions such as {0,99} inside of others, or fewer of them, or LIKE instead of '~'."
            )


def found(texts: pl.Series, search: TextSearch, time: PatternTime) -> pl.Series:
    """Returns whether a search finds something in each text; null for null. Raises InputError when the time is over."""
    pieces: list[pl.Series] = []
    for piece in _pieces(texts):
        began = monotonic()
        pieces.append(search(piece))
        time.spend(began)
    return pl.concat(pieces) if pieces else pl.Series([], dtype=pl.Boolean)


def regex_search(pattern: str) -> TextSearch:
    """Returns the search by a regular expression of Rust, which takes linear time. It must compile."""
    return lambda texts: texts.str.contains(pattern)


def like_search(pattern: str, escape: str = "", *, ignore_case: bool = False) -> TextSearch:
    """Returns the search by a LIKE pattern for the whole text."""
    tokens = list(_tokens(pattern, escape))
    wild = [i for i, (_, is_wild) in enumerate(tokens) if is_wild]
    literal = "".join(character for character, is_wild in tokens if not is_wild)
    if not ignore_case and not wild:
        return lambda texts: texts == literal
    if not ignore_case and wild == [len(tokens) - 1] and tokens[-1][0] == _ANY:
        return lambda texts: texts.str.starts_with(literal)
    if not ignore_case and len(wild) == 2 and wild == [0, len(tokens) - 1] and tokens[0] == tokens[-1] == (_ANY, True):
        return lambda texts: texts.str.contains(literal, literal=True)
    matches = re.compile(_in_parts(tokens), re.DOTALL | (re.IGNORECASE if ignore_case else 0)).fullmatch

    def search(texts: pl.Series) -> pl.Series:
        return pl.Series([None if text is None else matches(text) is not None for text in texts], dtype=pl.Boolean)

    return search


def _tokens(pattern: str, escape: str) -> Iterator[tuple[str, bool]]:
    """Yields each character of a LIKE pattern, and whether it is a wildcard."""
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            yield next(characters, character), False
        else:
            yield character, character in (_ANY, _ONE)


def _in_parts(tokens: Sequence[tuple[str, bool]]) -> str:
    """Returns a regular expression in which each part between two ``%`` is matched at its first place, without going back."""
    parts = [""]
    for token in tokens:
        if token == (_ANY, True):
            parts.append("")
        else:
            parts[-1] += "." if token == (_ONE, True) else re.escape(token[0])
    if len(parts) == 1:
        return parts[0]
    first, *between, last = parts
    return first + "".join(f"(?>.*?{part})" for part in between if part) + ".*" + last


def _pieces(texts: pl.Series) -> Iterator[pl.Series]:
    """Yields the texts in pieces of limited length; a longer text is a piece of its own."""
    ends = texts.str.len_bytes().fill_null(0).cum_sum()
    start, taken = 0, 0
    while start < len(texts):
        stop = max(start + 1, int(ends.search_sorted(taken + _PIECE_BYTES, side="right")))
        yield texts[start:stop]
        start, taken = stop, int(ends[stop - 1])
