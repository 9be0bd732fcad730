"""Reports columns whose values look like numbers but cannot be read as numbers, so that none is lost without a warning."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweeplens.readers.protocol import Problem

__all__ = ["looks_like_number", "unread_columns"]

_NUMBERS = re.compile(r"[-+]?\d+(?:[.,:]\d+)*\s*(?:[a-zA-Z]{1,3}(?:/[a-zA-Z]{1,4})?|%)?")


def looks_like_number(text: str) -> bool:
    """Whether a text is a number with a unit, or numbers with colons: ``3.4it/s``, ``0:05:12``, ``1.2k``."""
    return len(text) <= 40 and _NUMBERS.fullmatch(text.strip()) is not None


def unread_columns(file: str, examples: Mapping[str, str]) -> list[Problem]:
    """Returns a problem for each such column, with an example."""
    return [
        Problem(file, f"{name} was not read: values such as {text!r} are not plain numbers", kind="warning")
        for name, text in sorted(examples.items())
        if looks_like_number(text)
    ]
