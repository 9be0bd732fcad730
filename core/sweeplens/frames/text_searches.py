"""Searches of one condition in the texts of a table: each result becomes a column, so the time of all of them is limited."""

from __future__ import annotations

import polars as pl

from sweeplens.frames.pattern_search import PatternTime, TextSearch, found

__all__ = ["TextSearches", "evaluated"]


class TextSearches:
    """A table that gets one column of true and false for each search of a condition."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table
        self.time = PatternTime()

    def column(self, texts: pl.Expr, search: TextSearch) -> pl.Expr:
        """Searches the texts that an expression gives, and returns the column of the results."""
        name = f"\0{self.table.width}"
        values = evaluated(self.table, texts)
        distinct = values.unique(maintain_order=True)
        held = found(distinct, search, self.time)
        results = pl.DataFrame({"text": distinct, name: held})
        joined = (
            values.rename("text")
            .to_frame()
            .join(results, on="text", how="left", nulls_equal=True, maintain_order="left")
        )
        self.table = self.table.with_columns(joined[name])
        return pl.col(name)


def evaluated(table: pl.DataFrame, expr: pl.Expr) -> pl.Series:
    """Returns the values of an expression, one for each row."""
    plan = table.lazy().select(pl.first().alias("\0row"), expr.alias("\0value"))
    # no optimizations: that of eager frames reduces some expressions over literals to a single row
    return plan.collect(optimizations=pl.QueryOptFlags.none())["\0value"]
