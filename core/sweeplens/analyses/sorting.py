"""Sorts the rows of an answer by a column, as a caller names it.

sort_key(sort, known)      the column and whether it descends: ``-mean`` and ``mean desc`` descend
sort_table(table, sort)    the table in that order, nulls last
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from sweeplens.errors import UnknownNameError

__all__ = ["sort_key", "sort_table"]

_DIRECTION = re.compile(r"(?P<name>.+?)\s+(?P<way>asc|desc)(?:ending)?\s*", re.IGNORECASE | re.DOTALL)
_MOST_NAMED = 40


def sort_key(sort: str, known: Sequence[str], *, hint: str = "") -> tuple[str, bool]:
    """Returns the column and whether it descends. Raises UnknownNameError with the nearest columns."""
    if sort in known:
        return sort, False
    name, descends = sort.removeprefix("-").strip(), sort.startswith("-")
    worded = _DIRECTION.fullmatch(name)
    if name not in known and worded:
        name, descends = worded["name"].removeprefix("-"), worded["way"].lower() == "desc"
    name = name if name in known else name.strip("\"'`")
    if name not in known:
        raise UnknownNameError.of("column to sort by", name, known, hint=hint or _named(known))
    return name, descends


def sort_table(table: pl.DataFrame, sort: str, *, hint: str = "") -> pl.DataFrame:
    """Returns the rows in order of a column; unchanged if ``sort`` is empty. Raises UnknownNameError."""
    if not sort:
        return table
    name, descends = sort_key(sort, table.columns, hint=hint)
    return table.sort(name, descending=descends, nulls_last=True, maintain_order=True)


def _named(known: Sequence[str]) -> str:
    more = len(known) - _MOST_NAMED
    return f"The answer has {', '.join(known[:_MOST_NAMED])}{f' and {more} more' if more > 0 else ''}."
