"""The text of a query, before anything runs: one SELECT over runs, series and points, and nothing that could reach more.

    check_query(query)      raises InputError for what is no plain SELECT
    mentions(query, name)   whether a name occurs

This is the outer of three walls. The process that runs the query cannot open a file while it plans, and refuses a plan
that scans anything but our points.
"""

from __future__ import annotations

import re

from sweeplens.errors import InputError

__all__ = ["TABLES", "check_query", "mentions"]

TABLES = ("runs", "series", "points")
_MOST = 20_000
_MOST_TOKENS = 5_000
_MOST_DEPTH = 50
_READERS = re.compile(
    r"(?:read|scan)_(?:csv|parquet|ipc|ndjson|json|delta|iceberg|avro|excel|database|arrow|feather)", re.I
)
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|[A-Za-z_][\w$]*|\d[\w.]*|\s+|.", re.S
)
_REFUSED = frozenset({
    "create", "drop", "insert", "update", "delete", "truncate", "copy", "alter", "attach", "install", "load", "set", "pragma",
    "into", "call", "execute", "explain", "show", "describe", "recursive", "grant", "use", "merge", "vacuum", "export", "import",
})  # fmt: skip


def check_query(query: str) -> None:
    """Nothing, or InputError that says what cannot be asked."""
    if len(query) > _MOST:
        raise InputError(f"The query has {len(query)} characters, at most {_MOST} are allowed.")
    found = _READERS.search(query)
    if found:
        raise InputError(f"{found.group()!r} cannot be used: a query reads {_named()} and nothing else.")
    tokens = _tokens(query)
    while tokens and tokens[-1] == ";":
        tokens.pop()
    words = [t.lower() for t in tokens]
    if not words or words[0] not in ("select", "with"):
        raise InputError(f"Only SELECT ... (or WITH ... SELECT ...) is answered, over {_named()}.")
    if ";" in words:
        raise InputError("One statement at a time: leave out what follows the semicolon.")
    for word in words:
        if word in _REFUSED:
            raise InputError(
                f"{word.upper()} cannot be used: queries only read. A column of that name stands in double quotes."
            )
    _check_depth(words)
    _check_sources(words)


def _check_depth(words: list[str]) -> None:
    """A bound on what an engine that recurses is given to read."""
    if len(words) > _MOST_TOKENS:
        raise InputError(f"The query has {len(words):,} words and signs, at most {_MOST_TOKENS:,} are allowed.")
    depth = 0
    for word in words:
        depth += (word in ("(", "case")) - (word in (")", "end"))
        if depth > _MOST_DEPTH:
            raise InputError(f"The query is nested more than {_MOST_DEPTH} levels deep.")


def _check_sources(words: list[str]) -> None:
    """No function where a table belongs."""
    for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False):
        if before in ("from", "join") and after == "(" and word not in ("select", "lateral"):
            raise InputError(f"{word!r} cannot be selected from: a query reads {_named()} and nothing else.")
        if before in ("from", "join") and word.startswith("'"):
            raise InputError(f"A text cannot be selected from: a query reads {_named()} and nothing else.")


def mentions(query: str, name: str) -> bool:
    """Whether the query could read a table or column of this name."""
    return any(t.strip('"`').lower() == name.lower() for t in _tokens(query))


def _tokens(query: str) -> list[str]:
    """Words, quoted names, texts and signs; comments and blanks left out."""
    return [t for t in _TOKEN.findall(query) if not t.isspace() and not t.startswith(("--", "/*"))]


def _named() -> str:
    return f"{', '.join(TABLES[:-1])} and {TABLES[-1]}"
