"""Patterns that clients send: regular expressions, LIKE patterns and globs, each bounded in length, time and memory.

Regular expressions are Rust's, which take linear time whatever the pattern. A pattern that does not compile is an InputError
in one sentence, without the engine's own words around it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from sweeplens.errors import InputError

__all__ = ["check_regex", "is_glob", "like_regex", "match_glob", "match_regex", "regex_reason"]

_MOST_CHARACTERS = 1_000
_MOST_BRACKETS = 50  # of a glob: each that is not closed is looked for up to the end


def is_glob(pattern: str) -> bool:
    """Whether a text holds a sign of a glob."""
    return any(sign in pattern for sign in "*?[")


def match_glob(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that a glob matches. Raises InputError for one that is too long."""
    if len(pattern) > _MOST_CHARACTERS or pattern.count("[") > _MOST_BRACKETS:
        raise InputError(
            f"Pattern {_clipped(pattern)} is too long for a glob: at most {_MOST_CHARACTERS:,} characters "
            f"and {_MOST_BRACKETS} brackets."
        )
    return fnmatch.filter(names, pattern)


def match_regex(pattern: str, names: Sequence[str], what: str = "Pattern") -> list[str]:
    """The names in which a regular expression is found. Raises InputError for one that does not compile."""
    check_length(pattern, what)
    series = pl.Series("name", names, dtype=pl.String)
    try:
        return series.filter(series.str.contains(pattern)).to_list()
    except PolarsError as error:
        raise _refused(pattern, what, str(error)) from error


def check_regex(pattern: str, what: str = "Pattern") -> None:
    """Raise InputError for a regular expression that does not compile."""
    match_regex(pattern, [""], what)


def check_length(pattern: str, what: str) -> None:
    """Raise InputError for a pattern that is longer than any name."""
    if len(pattern) > _MOST_CHARACTERS:
        raise InputError(
            f"{what} {_clipped(pattern)} has {len(pattern):,} characters, at most {_MOST_CHARACTERS:,} are allowed."
        )


def like_regex(pattern: str, escape: str = "") -> str:
    """A LIKE pattern (``%`` any text, ``_`` one character) as a regular expression for the whole text."""
    check_length(pattern, "LIKE pattern")
    parts: list[str] = []
    signs = iter(pattern)
    for sign in signs:
        if escape and sign == escape:
            parts.append(_literally(next(signs, sign)))
        else:
            parts.append({"%": ".*", "_": "."}.get(sign) or _literally(sign))
    return "^" + re.sub(r"(?:\.\*)+", ".*", "".join(parts)) + "$"


def regex_reason(words: str) -> str:
    """Why a regular expression does not compile, from the engine's message; empty where the message is about something else."""
    if "exceeds size limit" in words:
        return "it grows too large when it is compiled (large repetitions multiply)"
    found = re.search(r"^error: (.+)$", words, re.M) if "regex parse error" in words else None
    return found[1].strip().rstrip(".") if found else ""


def _refused(pattern: str, what: str, words: str) -> InputError:
    reason = regex_reason(words) or "the engine does not take it"
    return InputError(
        f"{what} {_clipped(pattern)} is no regular expression: {reason}. Pass a name, or escape signs with '\\'."
    )


def _literally(sign: str) -> str:
    """A character for itself."""
    return sign if sign.isalnum() else f"\\x{{{ord(sign):x}}}"


def _clipped(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:80]}...")
