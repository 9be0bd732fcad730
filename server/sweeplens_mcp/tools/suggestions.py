"""The tool about what to run next."""

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import BriefWhere, Goal, MetricName, Runs

if TYPE_CHECKING:
    from sweeplens.experiment_db import AskedGoal, ExperimentDB

__all__ = ["suggest_runs"]

Budget = Annotated[int, Field(description="How many runs can be made, 1 to 200.")]


def suggest_runs(
    db: "ExperimentDB", metric: MetricName, budget: Budget = 8, goal: Goal = "", runs: Runs = (), where: BriefWhere = ""
) -> Answer:
    """Which runs to make next: seeds that decide ties, cells that break a confounding, ranges to extend, empty cells; each with
    its reason, the difference it could detect, and settings for a command line."""
    return db.suggest(metric, budget, goal=cast("AskedGoal", goal), runs=runs, where=where)
