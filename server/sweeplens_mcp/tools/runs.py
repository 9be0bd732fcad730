"""Tools that say what is there: the whole, the runs, one run."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import Columns, RunId, Runs, Sort, Where

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["get_run", "list_runs", "overview"]


def overview(db: "ExperimentDB", runs: Runs = (), where: Where = "") -> Answer:
    """Start here: what these experiments are, in twenty lines. Runs by status, which hyperparameters vary, metrics
    with goal and range, the best group of each main metric and what ties with it, what broke and what the broken runs
    share, what still runs, what is new since yesterday."""
    answer = db.overview(runs=runs, where=where)
    return replace(answer, tables={"best": answer.tables["best"]})  # what varies and the metrics stand in the lines


def list_runs(db: "ExperimentDB", runs: Runs = (), where: Where = "", columns: Columns = (), sort: Sort = "") -> Answer:
    """One row a run: status, steps, the hyperparameters that vary, last values of the main metrics. Newest first."""
    return db.list_runs(runs=runs, where=where, columns=columns, sort=sort)


def get_run(db: "ExperimentDB", run_id: RunId) -> Answer:
    """Everything known of one run: all hyperparameters, metadata, a summary of each series, problems in its files."""
    return db.get_run(run_id)
