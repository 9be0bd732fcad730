"""Tools about metrics: a list of them, and their curves."""

from typing import TYPE_CHECKING

from sweeplens.answers import Answer, LazyAnswer
from sweeplens_mcp.tools.arguments import BriefWhere, MaxPoints, Patterns, Runs, SomeMetrics, X, XMax, XMin

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["FEWEST_POINTS", "USUAL_POINTS", "list_metrics", "points_for_one_page", "query_metrics"]

USUAL_POINTS, FEWEST_POINTS = 50, 10
_POINT_BYTES, _SHARE = 28, 0.7  # bytes of one point at full precision; the share of an answer for points


def list_metrics(db: "ExperimentDB", runs: Runs = (), where: BriefWhere = "", pattern: Patterns = "") -> Answer:
    """One row per metric: number of runs and points, first and last step, goal (lower, higher, unknown),
    number of NaN or infinite values."""
    return db.list_metrics(runs=runs, where=where, pattern=pattern)


def query_metrics(
    db: "ExperimentDB",
    metrics: SomeMetrics,
    runs: Runs = (),
    where: BriefWhere = "",
    x: X = "step",
    x_min: XMin = None,
    x_max: XMax = None,
    max_points: MaxPoints = USUAL_POINTS,
) -> LazyAnswer:
    """Curves of each run and metric as pairs of x and value, downsampled for display; the shape is kept. To compare
    numbers, use rank_runs or compare_runs, which use all points."""

    def by_default(n_series: int) -> int:
        return min(USUAL_POINTS, points_for_one_page(n_series, db.config.max_answer_bytes))

    most = by_default if max_points == USUAL_POINTS else max_points
    return db.scan_curves(metrics, runs=runs, where=where, x=x, x_min=x_min, x_max=x_max, max_points=most)


def points_for_one_page(n_series: int, budget: int) -> int:
    """Points per series with which all series fit on one page, but at least `FEWEST_POINTS`: fewer do not show a shape."""
    return max(FEWEST_POINTS, int(_SHARE * budget / (_POINT_BYTES * max(n_series, 1))))
