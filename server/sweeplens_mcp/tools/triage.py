"""Tools that find problems in runs, and changes since an earlier answer."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import BriefWhere, Metrics, Runs

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["diagnose_runs", "whats_new"]


def diagnose_runs(db: "ExperimentDB", runs: Runs = (), where: BriefWhere = "", metrics: Metrics = ()) -> Answer:
    """Problems in runs: NaN, divergence, spikes, overfitting, level shifts, impossible losses, stalled and crashed runs,
    settings that the log contradicts; each with severity, metric, step, evidence, and a cause if several runs share one."""
    return db.diagnose(runs=runs, where=where, metrics=metrics)


def whats_new(
    db: "ExperimentDB",
    cursor: Annotated[str, Field(description="next_cursor of the last answer; empty: the last 24 hours.")] = "",
) -> Answer:
    """Changes since a cursor: runs that started, finished, stalled or failed, new best values with the previous ones, new
    problems. Similar events are grouped into one row. Pass next_cursor in the next call."""
    return db.whats_new(cursor)
