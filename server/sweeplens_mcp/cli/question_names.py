"""The table of the commands that answer a question. It imports nothing, so that help and completion are fast."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["QUESTIONS", "QuestionCommand", "command_for"]


class QuestionCommand(Struct, frozen=True):
    """A command, its tool, and the tool's arguments that are positional."""

    name: str
    tool: str
    help: str
    positionals: tuple[str, ...] = ()


QUESTIONS: tuple[QuestionCommand, ...] = (
    QuestionCommand("overview", "overview", "what these experiments are, in twenty lines"),
    QuestionCommand("ls", "list_runs", "one row a run"),
    QuestionCommand("show", "get_run", "everything known of one run", ("run_id",)),
    QuestionCommand("metrics", "list_metrics", "one row a metric"),
    QuestionCommand("curves", "query_metrics", "points of metrics, downsampled", ("metrics",)),
    QuestionCommand("summarize", "summarize_by_hparams", "statistics of each group of runs"),
    QuestionCommand("varying", "find_varying_hparams", "the hyperparameters that vary"),
    QuestionCommand("rank", "rank_runs", "best first by a metric, and which cannot be told from the best", ("metric",)),
    QuestionCommand("compare", "compare_runs", "two runs or sets of runs side by side", ("a", "b")),
    QuestionCommand("effects", "hparam_effects", "which hyperparameters matter for a metric", ("metric",)),
    QuestionCommand("suggest", "suggest_runs", "which runs to make next", ("metric",)),
    QuestionCommand("cost", "run_costs", "what results cost in steps, time and tokens", ("metric",)),
    QuestionCommand("checkpoints", "best_checkpoints", "which checkpoint of each run to keep", ("metric",)),
    QuestionCommand("diagnose", "diagnose_runs", "what went wrong in which run"),
    QuestionCommand("news", "whats_new", "what happened in the last 24 hours, or since a cursor"),
    QuestionCommand("sql", "query_sql", "rows of a SELECT over runs, series and points", ("query",)),
)


def command_for(tool: str) -> str:
    """Returns the command of a tool; empty if there is none."""
    return next((question.name for question in QUESTIONS if question.tool == tool), "")
