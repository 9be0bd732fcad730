"""Limits the length of texts and lists in arguments, so that one client cannot delay the others."""

from __future__ import annotations

from typing import cast

from sweeplens.errors import InputError

__all__ = ["LONGEST_TEXT", "MOST_ENTRIES", "check_size"]

LONGEST_TEXT = 20_000
MOST_ENTRIES = 1_000


def check_size(name: str, value: object) -> None:
    """Raises InputError for an argument that is too long."""
    entries = cast("list[object]", value) if isinstance(value, list) else [value]
    if len(entries) > MOST_ENTRIES:
        raise InputError(
            f"Argument {name!r} has {len(entries):,} entries: pass at most {MOST_ENTRIES:,}; "
            "use a glob or where= to select many runs."
        )
    longest = max((len(entry) for entry in entries if isinstance(entry, str)), default=0)
    if longest > LONGEST_TEXT:
        raise InputError(
            f"Argument {name!r} holds a text of {longest:,} characters: pass at most {LONGEST_TEXT:,}; "
            "use a glob or where= to select many runs."
        )
