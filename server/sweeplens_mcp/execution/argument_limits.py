"""How long a text and a list may be that a client sends: what is longer asks nothing, and would only keep others waiting."""

from __future__ import annotations

from typing import cast

from sweeplens.errors import InputError

__all__ = ["LONGEST_TEXT", "MOST_ENTRIES", "check_size"]

LONGEST_TEXT = 20_000
MOST_ENTRIES = 1_000


def check_size(name: str, value: object) -> None:
    """Raise InputError for an argument that is longer than any question."""
    entries = cast("list[object]", value) if isinstance(value, list) else [value]
    if len(entries) > MOST_ENTRIES:
        raise InputError(
            f"Argument {name!r} has {len(entries):,} entries: pass at most {MOST_ENTRIES:,}; a glob or where= names many runs."
        )
    longest = max((len(entry) for entry in entries if isinstance(entry, str)), default=0)
    if longest > LONGEST_TEXT:
        raise InputError(
            f"Argument {name!r} holds a text of {longest:,} characters: pass at most {LONGEST_TEXT:,}; "
            "a glob or where= names many runs."
        )
