"""Matches clients' patterns (regular expressions, LIKE patterns and globs) with limits on length, time and memory.

Regular expressions are those of Rust. For a pattern that does not compile, InputError gives the reason in one sentence,
without the rest of the engine's message. Callers with several patterns pass one `PatternTime` for all of them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.pattern_search import PatternTime, found, regex_search

__all__ = ["check_length", "check_regex", "is_glob", "match_glob", "match_regex", "no_match", "regex_reason"]

_MOST_CHARACTERS = 1_000
_SHOWN_CHARACTERS = 200  # of a name
_SHOWN_PARTS = 5  # of several names in one text
_MOST_BRACKETS = 50  # in a glob: matching each unclosed one scans up to the end


def is_glob(pattern: str) -> bool:
    """Whether a text contains a wildcard of a glob."""
    return any(character in pattern for character in "*?[")


def match_glob(pattern: str, names: Sequence[str], time: PatternTime | None = None) -> list[str]:
    """Returns the names that a glob matches. Raises InputError if it is too long or takes too long."""
    if len(pattern) > _MOST_CHARACTERS or pattern.count("[") > _MOST_BRACKETS:
        raise InputError(
            f"Pattern {_clipped(pattern)} is too long for a glob: at most {_MOST_CHARACTERS:,} characters "
            f"and {_MOST_BRACKETS} brackets."
        )
    matches = re.compile(fnmatch.translate(pattern)).match

    def search(texts: pl.Series) -> pl.Series:
        return pl.Series([matches(text) is not None for text in texts], dtype=pl.Boolean)

    series = pl.Series("name", names, dtype=pl.String)
    return series.filter(found(series, search, time or PatternTime())).to_list()


def match_regex(
    pattern: str, names: Sequence[str], what: str = "Pattern", time: PatternTime | None = None
) -> list[str]:
    """Returns the names in which a regular expression is found. Raises InputError if it does not compile or takes too long."""
    check_length(pattern, what)
    series = pl.Series("name", names, dtype=pl.String)
    try:
        return series.filter(found(series, regex_search(pattern), time or PatternTime())).to_list()
    except PolarsError as error:
        raise _regex_error(pattern, what, str(error)) from error


def check_regex(pattern: str, what: str = "Pattern", time: PatternTime | None = None) -> None:
    """Raises InputError for a regular expression that does not compile."""
    match_regex(pattern, [""], what, time)


def check_length(pattern: str, what: str) -> None:
    """Raises InputError for a pattern that is too long."""
    if len(pattern) > _MOST_CHARACTERS:
        raise InputError(
            f"{what} {_clipped(pattern)} has {len(pattern):,} characters, at most {_MOST_CHARACTERS:,} are allowed."
        )


def regex_reason(message: str) -> str:
    """Returns why a regular expression does not compile, from the engine's message; empty for other messages."""
    if "exceeds size limit" in message:
        return "it becomes too large when compiled (large repetitions multiply)"
    found = re.search(r"^error: (.+)$", message, re.M) if "regex parse error" in message else None
    return found[1].strip().rstrip(".") if found else ""


def _regex_error(pattern: str, what: str, message: str) -> InputError:
    reason = regex_reason(message) or "the engine does not accept it"
    return InputError(
        f"{what} {_clipped(pattern)} is not a regular expression: {reason}. Pass a name, or escape characters with '\\'."
    )


def _clipped(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:80]}...")


def no_match(kind: str, pattern: str, known: Sequence[str], hint: str) -> UnknownNameError:
    """Returns the error for a name that matches nothing: a list in one text, the beginning of names, or a wrong name."""
    parts = [part.strip() for part in pattern.split(",")]
    exact = set(known)
    if len(parts) > 1 and any(part in exact for part in parts):
        shown = ", ".join(repr(part) for part in parts[:_SHOWN_PARTS]) + ", ..." * (len(parts) > _SHOWN_PARTS)
        return UnknownNameError(
            f"No {kind} {pattern[:_SHOWN_CHARACTERS]!r}: pass several names as a list, as in [{shown}]. {hint}"
        )
    begun = sum(name.startswith(pattern) for name in known) if pattern and not is_glob(pattern) else 0
    if begun:
        hint = f"The glob {f'{pattern}*'!r} matches {begun}. {hint}"
    return UnknownNameError.of(kind, pattern, known, hint=hint)
