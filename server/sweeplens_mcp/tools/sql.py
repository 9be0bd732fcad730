"""The tool for SQL queries, which answers questions that no other tool does."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sweeplens.answers import Answer

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["query_sql"]

_MOST_ROWS = 10_000


def query_sql(
    db: "ExperimentDB",
    query: Annotated[str, Field(description="SELECT statements, split by ;. Names with . or / in double quotes.")],
) -> Answer:
    """Read-only SQL (Polars): runs (also "<metric>.last"), series, points (run_id, metric, step, value), files (path,
    kind, run_id, text), lines (path, run_id, line, text); tables in files: FROM "a.csv",
    "*/b.json". Columns: experiments://schema."""
    return db.query_sql(query, limit=_MOST_ROWS)
