"""Tools about sweeps: what varies, what it does, what is best, and whether a difference is real."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sweeplens.answers import Answer
from sweeplens.frames.reduction import DEFAULT_REDUCE
from sweeplens_mcp.tools.arguments import At, By, Goal, Hparams, Metric, Metrics, Reduce, Runs, Sort, Where

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["compare_runs", "find_varying_hparams", "hparam_effects", "rank_runs", "summarize_by_hparams"]

Axis = Annotated[str, Field(description="What is spent when budgets are compared: step, wall_time or a metric.")]
Threshold = Annotated[float | None, Field(description="Also say where each side first reached this value.")]
Level = Annotated[str, Field(description="Instead of a and b: compare this hyperparameter's levels.")]
Side = Annotated[str, Field(description="A run id, a glob, or a condition as in where.")]


def summarize_by_hparams(
    db: "ExperimentDB",
    hparams: Hparams = (),
    metrics: Metrics = (),
    reduce: Reduce = DEFAULT_REDUCE,
    runs: Runs = (),
    where: Where = "",
    sort: Sort = "",
) -> Answer:
    """Statistics of each group of runs with equal hyperparameters: n, mean, std, sem, 95 % interval, min, median, max.
    Each run counts once."""
    return db.summarize(hparams, metrics=metrics, reduce=reduce, runs=runs, where=where, sort=sort)


def find_varying_hparams(db: "ExperimentDB", runs: Runs = (), where: Where = "") -> Answer:
    """The hyperparameters that vary: their values, in how many runs they are missing, whether they mark replicates
    (seeds), and which split the runs alike and so cannot be told apart."""
    return db.varying(runs=runs, where=where)


def rank_runs(
    db: "ExperimentDB",
    metric: Metric,
    goal: Goal = "",
    reduce: Reduce = DEFAULT_REDUCE,
    by: By = "group",
    runs: Runs = (),
    where: Where = "",
    at_step: At = "",
    hparams: Hparams = (),
) -> Answer:
    """Best first, by one metric: n, mean, 95 % interval, the gap to the best, and whether the gap is real or a tie."""
    return db.rank(metric, goal=goal, reduce=reduce, by=by, runs=runs, where=where, at_step=at_step, hparams=hparams)


def compare_runs(
    db: "ExperimentDB",
    a: Side = "",
    b: Side = "",
    hparam: Level = "",
    metrics: Metrics = (),
    reduce: Reduce = DEFAULT_REDUCE,
    axis: Axis = "step",
    threshold: Threshold = None,
) -> Answer:
    """Two sets of runs, or the levels of a hyperparameter, matched on all else that varies: for each metric the
    difference, its 95 % interval, test, verdict in words, whether it holds, and the seeds needed."""
    return db.compare(a, b, hparam=hparam, metrics=metrics, reduce=reduce, axis=axis, threshold=threshold)


def hparam_effects(
    db: "ExperimentDB",
    metric: Metric,
    goal: Goal = "",
    reduce: Reduce = DEFAULT_REDUCE,
    runs: Runs = (),
    where: Where = "",
) -> Answer:
    """Which hyperparameters matter for a metric: importance with its interval, direction, best value, and what each is
    confounded with."""
    return db.effects(metric, goal=goal, reduce=reduce, runs=runs, where=where)
