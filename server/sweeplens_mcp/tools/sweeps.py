"""Tools about sweeps: which hyperparameters vary, their effects, the best setting, and whether differences are significant."""

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from sweeplens.answers import Answer
from sweeplens.frames.reduction_names import DEFAULT_REDUCE
from sweeplens_mcp.tools.arguments import (
    At,
    BriefReduce,
    BriefWhere,
    By,
    Goal,
    Hparams,
    MetricName,
    Metrics,
    OtherSide,
    Reduce,
    Runs,
    Side,
    Sort,
)

if TYPE_CHECKING:
    from sweeplens.experiment_db import AskedGoal, ExperimentDB

__all__ = ["compare_runs", "find_varying_hparams", "hparam_effects", "rank_runs", "summarize_by_hparams"]

Axis = Annotated[
    str, Field(description="Compare at an equal budget of: step, wall_time (seconds) or any metric, such as epoch.")
]
Threshold = Annotated[
    float | None, Field(description="Also report where on the axis each side first reached this value.")
]
Level = Annotated[str, Field(description="Hyperparameter whose levels are compared, instead of a and b.")]


def summarize_by_hparams(
    db: "ExperimentDB",
    hparams: Hparams = (),
    metrics: Metrics = (),
    reduce: BriefReduce = DEFAULT_REDUCE,
    runs: Runs = (),
    where: BriefWhere = "",
    sort: Sort = "",
) -> Answer:
    """Statistics for each group of runs with equal hyperparameters: n, mean, std, sem, 95 % confidence interval, min,
    median, max. Each run counts once. reduce=points pools all points."""
    return db.summarize(hparams, metrics=metrics, reduce=reduce, runs=runs, where=where, sort=sort)


def find_varying_hparams(db: "ExperimentDB", runs: Runs = (), where: BriefWhere = "") -> Answer:
    """Hyperparameters that vary between runs: their values, how many runs lack them, whether they mark replicates
    (seeds), and which are perfectly confounded (same_as: their effects cannot be separated)."""
    return db.varying(runs=runs, where=where)


def rank_runs(
    db: "ExperimentDB",
    metric: MetricName,
    goal: Goal = "",
    reduce: Reduce = DEFAULT_REDUCE,
    by: By = "group",
    runs: Runs = (),
    where: BriefWhere = "",
    at_step: At = "",
    hparams: Hparams = (),
) -> Answer:
    """Ranking by one metric, best first: n, mean, 95 % confidence interval, gap to the best, and whether the gap is
    significant or a tie."""
    asked = cast("AskedGoal", goal)
    return db.rank(metric, goal=asked, reduce=reduce, by=by, runs=runs, where=where, at_step=at_step, hparams=hparams)


def compare_runs(
    db: "ExperimentDB",
    a: Side = "",
    b: OtherSide = "",
    hparam: Level = "",
    metrics: Metrics = (),
    reduce: BriefReduce = DEFAULT_REDUCE,
    axis: Axis = "step",
    threshold: Threshold = None,
    where: BriefWhere = "",
) -> Answer:
    """Compares two sets of runs, or the levels of a hyperparameter, matched on all other hyperparameters that vary. Per
    metric: difference, 95 % confidence interval, test, verdict in words, robustness, number of seeds needed. Pass a and
    b, or hparam."""
    return db.compare(a, b, hparam=hparam, metrics=metrics, reduce=reduce, axis=axis, threshold=threshold, where=where)


def hparam_effects(
    db: "ExperimentDB",
    metric: MetricName,
    goal: Goal = "",
    reduce: BriefReduce = DEFAULT_REDUCE,
    runs: Runs = (),
    where: BriefWhere = "",
) -> Answer:
    """Which hyperparameters matter for a metric: importance with its interval, direction, best value, and the
    hyperparameters that each is confounded with."""
    return db.effects(metric, goal=cast("AskedGoal", goal), reduce=reduce, runs=runs, where=where)
