"""Splits the text of a query into its statements."""

from __future__ import annotations

from sweeplens.sql.validate import semicolons

__all__ = ["split_statements"]


def split_statements(query: str) -> list[str]:
    """Returns the statements between semicolons outside of quotes and comments, without empty ones; at least one."""
    ends = [*semicolons(query), len(query)]
    starts = [0, *(end + 1 for end in ends)]
    found = [query[start:end].strip() for start, end in zip(starts, ends, strict=False)]
    return [statement for statement in found if statement] or [query]
