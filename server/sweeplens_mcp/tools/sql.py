"""The tool for questions that no other tool answers."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sweeplens.answers import Answer

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["query_sql"]

_MOST_ROWS = 10_000


def query_sql(
    db: "ExperimentDB",
    query: Annotated[str, Field(description="SELECT ...; names with dots or slashes in double quotes.")],
) -> Answer:
    """Read-only SQL (Polars) over runs (a column for each hyperparameter), series (run_id, metric, n, last, min, max,
    mean, std, ...) and points (run_id, metric, step, value, wall_time). experiments://schema lists the columns."""
    return db.query_sql(query, limit=_MOST_ROWS)
