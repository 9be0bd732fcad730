"""Tools about what went wrong, and what happened since one last looked."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import Metrics, Runs, Where

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["diagnose_runs", "whats_new"]


def diagnose_runs(db: "ExperimentDB", runs: Runs = (), where: Where = "", metrics: Metrics = ()) -> Answer:
    """What went wrong: NaN, divergence, spikes, overfitting, level shifts, losses that cannot be right, stalled and crashed runs,
    settings that the log contradicts; each with severity, metric, step, evidence and a cause that several runs share. Says
    which detectors looked at what."""
    return db.diagnose(runs=runs, where=where, metrics=metrics)


def whats_new(
    db: "ExperimentDB",
    cursor: Annotated[str, Field(description="next_cursor of the last answer; empty: the last 24 hours.")] = "",
) -> Answer:
    """What happened since a cursor: runs that began, finished, stalled or failed, new bests with the value before, new
    problems; many alike are one row. next_cursor is for the next time one asks."""
    return db.whats_new(cursor)
