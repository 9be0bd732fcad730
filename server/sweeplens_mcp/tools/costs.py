"""Tools about what results cost, and which checkpoint of a run to keep."""

from typing import TYPE_CHECKING, Annotated

from msgspec.structs import replace
from pydantic import Field

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import BriefWhere, Runs

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["best_checkpoints", "run_costs"]

MainMetric = Annotated[str, Field(description="Metric name; empty: the main metric.")]
Level = Annotated[float | None, Field(description="Also the cost until the metric passes this value.")]


def run_costs(
    db: "ExperimentDB", metric: MainMetric = "", threshold: Level = None, runs: Runs = (), where: BriefWhere = ""
) -> Answer:
    """What results cost, per setting: steps, wall time, GPU-hours, tokens where logged; the Pareto front of metric against
    cost; slow runs and machines; whether another setting leads at equal wall time."""
    answer = db.cost(metric, threshold=threshold, runs=runs, where=where)
    return replace(answer, tables={})  # single runs are rows of list_runs


def best_checkpoints(db: "ExperimentDB", metric: MainMetric = "", runs: Runs = (), where: BriefWhere = "") -> Answer:
    """What to keep, per run: best step against last step, what early stopping would have saved, and the test metric at
    the best validation step."""
    return db.checkpoints(metric, runs=runs, where=where)
