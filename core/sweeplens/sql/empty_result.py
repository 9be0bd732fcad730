"""Says which condition of a query left no row.

The conditions of a plain query (one table, no join and no subquery) are those of `frames.conditions`, which gives the part
that excludes all rows and the values that exist instead. Of other queries it is said only that their conditions leave no row.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from sweeplens.errors import InputError
from sweeplens.frames.conditions import condition_mask, empty_reason
from sweeplens.sql.validate import word_positions

__all__ = ["why_no_row"]

_AFTER_WHERE = ("group", "order", "limit", "offset", "having", "qualify", "window")
_COMPLEX = ("join", "union", "intersect", "except", "with", "over")


def why_no_row(query: str, tables: Mapping[str, pl.DataFrame]) -> str:
    """Returns why a query without rows has none, in a sentence; empty if it has no condition."""
    words = word_positions(query)
    names = [word for word, _, _ in words]
    if "where" not in names:
        return "the query has no row" if "having" in names or "join" in names else ""
    plain = names.count("select") == names.count("from") == names.count("where") == 1 and not set(names) & {*_COMPLEX}
    table = names[names.index("from") + 1 : names.index("from") + 2] if plain else []
    if not table or table[0] not in tables:
        return "no row satisfies the conditions of the query; ask for count(*) with each of them alone"
    start = words[names.index("where")][2]
    ends = [at for word, at, _ in words if at > start and word in _AFTER_WHERE]
    return _reason(query[start : min(ends, default=len(query))].strip(), tables[table[0]], table[0])


def _reason(condition: str, frame: pl.DataFrame, table: str) -> str:
    nothing = frame.clear().with_columns(metric=pl.lit(""))
    keyed = frame if "run_id" in frame.columns else frame.with_columns(run_id=pl.lit(""))
    rows = "runs" if table == "runs" else f"rows of {table}"
    try:
        if condition_mask(condition, keyed, nothing).any():
            return ""
        return empty_reason(condition, keyed, nothing, rows=rows)
    except InputError:  # SQL that conditions do not have
        return f"no row of {table} satisfies {condition[:200]!r}"
