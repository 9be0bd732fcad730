"""Checks the text of a query before it runs: one SELECT that reads only the tables that it is given.

    check_query(query)      raises InputError for anything but a plain SELECT
    mentions(query, name), reads_table(query, name)   whether a name occurs, whether it may be that of a table
    word_positions(query)   the words outside of quotes, in lower case, with their positions
    names_in(query)         every name that could be a column
    quoted_names(query), texts_in(query), semicolons(query)   parts of it

This is the first of three protections. The process that runs the query cannot open files while it plans, and refuses
a plan that scans anything but the given points.
"""

from __future__ import annotations

import re
from itertools import pairwise

from sweeplens.errors import InputError

__all__ = [
    "TABLES",
    "check_query",
    "mentions",
    "names_in",
    "quoted_names",
    "reads_table",
    "semicolons",
    "texts_in",
    "word_positions",
]

TABLES = ("runs", "series", "points", "files", "lines")
_MAX_CHARACTERS = 20_000
_MAX_TOKENS = 5_000
_MAX_DEPTH = 50
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
    """Raises InputError, with the reason, unless the query may run."""
    if len(query) > _MAX_CHARACTERS:
        raise InputError(f"The query has {len(query)} characters, at most {_MAX_CHARACTERS} are allowed.")
    found = _READERS.search(query)
    if found:
        raise InputError(f"{found.group()!r} cannot be used: a query can read only {_table_names()}.")
    tokens = _tokens(query)
    while tokens and tokens[-1] == ";":
        tokens.pop()
    words = [t.lower() for t in tokens]
    if not words or words[0] not in ("select", "with"):
        raise InputError(f"Only SELECT ... (or WITH ... SELECT ...) over {_table_names()} is allowed.")
    for word in words:
        if word in _REFUSED:
            raise InputError(
                f"{word.upper()} cannot be used: queries only read. Put a column of that name in double quotes."
            )
    _check_depth(words)
    _check_sources(words)


def _check_depth(words: list[str]) -> None:
    """Limits length and nesting, because the engine's parser is recursive."""
    if len(words) > _MAX_TOKENS:
        raise InputError(f"The query has {len(words):,} words and symbols, at most {_MAX_TOKENS:,} are allowed.")
    depth = 0
    for word in words:
        depth += (word in ("(", "case")) - (word in (")", "end"))
        if depth > _MAX_DEPTH:
            raise InputError(f"The query is nested more than {_MAX_DEPTH} levels deep.")


def _check_sources(words: list[str]) -> None:
    """Refuses a function or a text where a table is expected."""
    for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False):
        if before in ("from", "join") and after == "(" and word not in ("select", "lateral"):
            raise InputError(f"{word!r} cannot be selected from: a query can read only {_table_names()}.")
        if before in ("from", "join") and word.startswith("'"):
            raise InputError(f"A text cannot be selected from: a query can read only {_table_names()}.")


def mentions(query: str, name: str) -> bool:
    """Whether the query could read a table or column of this name."""
    return any(t.strip('"`').lower() == name.lower() for t in _tokens(query))


def reads_table(query: str, name: str) -> bool:
    """Whether the query could read a table of this name: it stands after FROM, JOIN or a comma."""
    tokens = [t.strip('"`').lower() for t in _tokens(query)]
    return any(b == name.lower() and a in ("from", "join", ",", "(") for a, b in pairwise(tokens))


def word_positions(query: str) -> list[tuple[str, int, int]]:
    """Returns the words outside of quotes and comments, in lower case, each with its start and its end."""
    found = _TOKEN.finditer(query)
    return [(m.group().lower(), m.start(), m.end()) for m in found if m.group()[0].isalpha() or m.group()[0] == "_"]


def names_in(query: str) -> list[str]:
    """Returns the words and quoted names of a query, unquoted, each once."""
    found = [t for t in _tokens(query) if t[0].isalpha() or t[0] in '_"`']
    return list(dict.fromkeys(t[1:-1].replace(t[0] * 2, t[0]) if t[0] in '"`' else t for t in found))


def quoted_names(query: str) -> list[str]:
    """Returns the quoted names of a query, unquoted, each once."""
    found = [t for t in _tokens(query) if t[0] in '"`']
    return list(dict.fromkeys(t[1:-1].replace(t[0] * 2, t[0]) for t in found))


def texts_in(query: str) -> list[str]:
    """Returns the texts in single quotes."""
    return [t[1:-1].replace("''", "'") for t in _tokens(query) if t[0] == "'"]


def semicolons(query: str) -> list[int]:
    """Returns the positions of semicolons outside of quotes and comments."""
    return [m.start() for m in _TOKEN.finditer(query) if m.group() == ";"]


def _tokens(query: str) -> list[str]:
    """Returns words, quoted names, texts and symbols, without comments and blanks."""
    return [t for t in _TOKEN.findall(query) if not t.isspace() and not t.startswith(("--", "/*"))]


def _table_names() -> str:
    return f"{', '.join(TABLES[:-1])} and {TABLES[-1]}, and tables in files by their quoted path"
