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
    query: Annotated[str, Field(description="One SELECT statement; names with . or / in double quotes.")],
) -> Answer:
    """Read-only SQL (Polars dialect) over the tables runs (one column per hyperparameter), series (run_id, metric, n,
    last, min, max, mean, std, ...) and points (run_id, metric, step, value, wall_time). The resource
    experiments://schema lists all columns."""
    return db.query_sql(query, limit=_MOST_ROWS)
