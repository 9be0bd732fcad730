"""The text of a query, before anything runs: one SELECT over runs, series and points, and nothing that could reach more.

    check_query(query)      raises InputError for what is no plain SELECT
    is_small(query)         whether it reads one of the small tables once, with functions known to give no more than they take
    mentions(query, name)   whether a name occurs

This is the outer of three walls. The process that runs the query cannot open a file while it plans, and refuses a plan
that scans anything but our points.
"""

from __future__ import annotations

import re
from itertools import pairwise

from sweeplens.errors import InputError

__all__ = ["TABLES", "check_query", "is_small", "mentions"]

TABLES = ("runs", "series", "points")
_MOST = 20_000
_READERS = re.compile(
    r"(?:read|scan)_(?:csv|parquet|ipc|ndjson|json|delta|iceberg|avro|excel|database|arrow|feather)", re.I
)
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|[A-Za-z_][\w$]*|\d[\w.]*|\s+|.", re.S
)
_UNUSUAL = re.compile(r"--|/\*|[`$\\]")  # what another tokenizer might read in another way
_REFUSED = frozenset({
    "create", "drop", "insert", "update", "delete", "truncate", "copy", "alter", "attach", "install", "load", "set", "pragma",
    "into", "call", "execute", "explain", "show", "describe", "recursive", "grant", "use", "merge", "vacuum", "export", "import",
})  # fmt: skip
_SMALL = frozenset({
    "count", "sum", "avg", "mean", "min", "max", "median", "stddev", "std", "variance", "var", "abs", "round", "floor", "ceil",
    "ln", "log", "log10", "log2", "exp", "sqrt", "lower", "upper", "length", "coalesce", "nullif", "first", "last", "in", "and",
    "or", "not", "where", "on", "by", "select", "as", "when", "then", "else", "case", "between", "like", "cast",
    "quantile_cont", "if",
})  # fmt: skip
_AFTER_FROM = frozenset({"where", "group", "order", "limit", "having", "offset"})
_ELSEWHERE = frozenset({"join", "union", "intersect", "except", "with", "over", "exclude"})


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
    _check_sources(words)


def _check_sources(words: list[str]) -> None:
    """No function where a table belongs."""
    for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False):
        if before in ("from", "join") and after == "(" and word not in ("select", "lateral"):
            raise InputError(f"{word!r} cannot be selected from: a query reads {_named()} and nothing else.")
        if before in ("from", "join") and word.startswith("'"):
            raise InputError(f"A text cannot be selected from: a query reads {_named()} and nothing else.")


def is_small(query: str) -> bool:
    """One SELECT from ``runs`` or ``series`` alone, whose every function is on the list of harmless ones."""
    if _UNUSUAL.search(query):
        return False
    tokens = _tokens(query)
    words = [t.lower() for t in tokens if t != ";"]
    if words.count("select") != 1 or words.count("from") != 1 or _ELSEWHERE & set(words):
        return False
    source = words[words.index("from") + 1 :]
    if not source or source[0] not in ("runs", "series") or (len(source) > 1 and source[1] not in _AFTER_FROM):
        return False
    calls = [a for a, b in pairwise(tokens) if b == "(" and re.match(r"[\w\"`\]]", a)]
    return all(c.lower() in _SMALL for c in calls)


def mentions(query: str, name: str) -> bool:
    """Whether the query could read a table or column of this name."""
    return any(t.strip('"`').lower() == name.lower() for t in _tokens(query))


def _tokens(query: str) -> list[str]:
    """Words, quoted names, texts and signs; comments and blanks left out."""
    return [t for t in _TOKEN.findall(query) if not t.isspace() and not t.startswith(("--", "/*"))]


def _named() -> str:
    return f"{', '.join(TABLES[:-1])} and {TABLES[-1]}"
