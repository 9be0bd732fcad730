"""Columns whose values look like numbers and could not be read as such are named, so that none is missing without a word."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweeplens.readers.protocol import Problem

__all__ = ["looks_like_number", "unread_columns"]

_NUMBERS = re.compile(r"[-+]?\d+(?:[.,:]\d+)*\s*(?:[a-zA-Z]{1,3}(?:/[a-zA-Z]{1,4})?|%)?")


def looks_like_number(text: str) -> bool:
    """Whether a text is digits with a unit or with colons: ``3.4it/s``, ``0:05:12``, ``1.2k``."""
    return len(text) <= 40 and _NUMBERS.fullmatch(text.strip()) is not None


def unread_columns(file: str, examples: Mapping[str, str]) -> list[Problem]:
    """A problem for each of the columns, with a value as an example."""
    return [
        Problem(file, f"{name} was not read: its values are like {text!r}, which is no plain number", kind="warning")
        for name, text in sorted(examples.items())
        if looks_like_number(text)
    ]
