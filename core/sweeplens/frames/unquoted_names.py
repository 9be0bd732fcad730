"""Finds names of columns that stand in a condition or a query without the double quotes that they need.

    unquoted_names(text, columns, metrics)    these names with their positions, in order; none inside quotes or comments
    with_quotes(text, names)                  the text with double quotes around them
    spelled_at(text, at)                      the name with dots and slashes that was typed at a position

A parser splits such a name: ``val_acc.last`` is a column of a table, ``val/acc`` a division, ``lr-Adam`` a difference.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from sweeplens.frames.run_columns import RUN_STATISTICS

__all__ = ["UnquotedName", "spelled_at", "unquoted_names", "with_quotes"]

_NO_NAMES = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/""", re.S)
_SPELLED = re.compile(r"[^\W\d][\w$]*(?:[./][^\W\d][\w$]*)*")
_STATISTIC = re.compile(r"\.(\w+)(?![\w$(])")
_GOES_ON = re.compile(r"[\w$]|\.\w")
_IS_DIVIDED = re.compile(r"/[^\W\d]")
_BEGAN_BEFORE = re.compile(r"[\w$./]$")
_OF_TABLE = re.compile(r"(?<![\w$./])[^\W\d]\w*\.$")


class UnquotedName(Struct, frozen=True):
    """A column that was meant, and the part of the text that stands for it."""

    name: str
    at: int
    end: int


def unquoted_names(
    text: str, columns: Collection[str], metrics: Iterable[str], *, has_tables: bool = False
) -> list[UnquotedName]:
    """Returns the longest names that need quotes; a bare metric is meant as its last value.

    ``has_tables``: a name may follow that of its table, as in ``r.val/acc``.
    """
    bare = _NO_NAMES.sub(lambda quoted: "\0" * len(quoted[0]), text)
    known = set(metrics)
    found = [
        name
        for column in {*columns, *known}
        for name in _standing(column, bare, is_metric=column in known, is_column=column in columns)
        if not _BEGAN_BEFORE.search(bare, 0, name.at) or (has_tables and _OF_TABLE.search(bare, 0, name.at))
    ]
    chosen: list[UnquotedName] = []
    for name in sorted(found, key=lambda name: (name.at, -name.end)):
        if not chosen or name.at >= chosen[-1].end:
            chosen.append(name)
    return chosen


def with_quotes(text: str, names: Iterable[UnquotedName]) -> str:
    """Returns the text with each name, in the order of positions, in double quotes."""
    parts: list[str] = []
    done = 0
    for name in names:
        parts += [text[done : name.at], '"', name.name.replace('"', '""'), '"']
        done = name.end
    return "".join([*parts, text[done:]])


def spelled_at(text: str, at: int) -> str:
    """Returns the name that was typed at a position, with its dots and slashes; empty if none begins there."""
    match = _SPELLED.match(text, at)
    return match[0] if match else ""


def _standing(name: str, bare: str, *, is_metric: bool, is_column: bool) -> Iterator[UnquotedName]:
    """Yields the places where a name stands as a whole, except that of a column which needs no quotes."""
    at = bare.find(name) if name else -1
    while at >= 0:
        end = at + len(name)
        statistic = _STATISTIC.match(bare, end) if is_metric else None
        if statistic and statistic[1] in RUN_STATISTICS:
            yield UnquotedName(name + statistic[0], at, statistic.end())
        elif not _GOES_ON.match(bare, end) and not ("/" in name and _IS_DIVIDED.match(bare, end)):
            if not is_column:
                yield UnquotedName(f"{name}.last", at, end)
            elif not name.isidentifier():
                yield UnquotedName(name, at, end)
        at = bare.find(name, end)
