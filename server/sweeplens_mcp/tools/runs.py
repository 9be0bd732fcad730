"""Tools that describe the experiments: all of them, a list of runs, one run."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sweeplens.answers import Answer
from sweeplens_mcp.tools.arguments import BriefWhere, Columns, Fresh, RunId, Runs, Sort, Where

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["get_run", "list_runs", "overview"]


def overview(db: "ExperimentDB", runs: Runs = (), where: BriefWhere = "", fresh: Fresh = False) -> Answer:
    """Call this first: a summary of the experiments in about twenty lines. Runs by status, hyperparameters that vary,
    metrics with goal and range, the best group by each main metric and ties, what failed and why, what is running,
    news of a day, and the next calls."""
    answer = db.overview(runs=runs, where=where, fresh=fresh)
    return replace(
        answer, tables={"best": answer.tables["best"]}
    )  # the summary lines already list what varies and the metrics


def list_runs(db: "ExperimentDB", runs: Runs = (), where: Where = "", columns: Columns = (), sort: Sort = "") -> Answer:
    """One row per run: status, steps, the hyperparameters that vary, last values of the main metrics. Newest first."""
    return db.list_runs(runs=runs, where=where, columns=columns, sort=sort)


def get_run(db: "ExperimentDB", run_id: RunId) -> Answer:
    """All details of one run: hyperparameters, metadata, a summary of each metric's series, problems in its files."""
    return db.get_run(run_id)
