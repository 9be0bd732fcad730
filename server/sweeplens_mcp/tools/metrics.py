"""Tools about metrics: which there are, and their curves."""

from typing import TYPE_CHECKING

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import MaxPoints, Patterns, Runs, SomeMetrics, Where, X, XMax, XMin

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["list_metrics", "query_metrics"]


def list_metrics(db: "ExperimentDB", runs: Runs = (), where: Where = "", pattern: Patterns = "") -> Answer:
    """One row a metric: runs and points that have it, first and last step, goal (lower, higher, unknown), values
    that are not finite."""
    return db.list_metrics(runs=runs, where=where, pattern=pattern)


def query_metrics(
    db: "ExperimentDB",
    metrics: SomeMetrics,
    runs: Runs = (),
    where: Where = "",
    x: X = "step",
    x_min: XMin = None,
    x_max: XMax = None,
    max_points: MaxPoints = 50,
) -> Answer:
    """Curves: for each run and metric the points x and value, few but true to the shape. For looking at only: numbers
    to compare come from summarize_by_hparams, rank_runs or compare_runs, which use all points."""
    return db.curves(metrics, runs=runs, where=where, x=x, x_min=x_min, x_max=x_max, max_points=max_points)
