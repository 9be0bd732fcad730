"""The table of the commands that answer a question. It imports nothing, so that help and completion are fast."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["QUESTIONS", "QuestionCommand", "command_for"]


class QuestionCommand(Struct, frozen=True):
    """A command, its tool, and the tool's arguments that are positional.

    ``instead``: the option that replaces these arguments: then all positional words are folders. ``example``: for the help.
    """

    name: str
    tool: str
    help: str
    positionals: tuple[str, ...] = ()
    instead: str = ""
    example: str = ""


QUESTIONS: tuple[QuestionCommand, ...] = (
    QuestionCommand("overview", "overview", "what these experiments are, in twenty lines", example="sweep"),
    QuestionCommand(
        "ls", "list_runs", "one row a run", example="sweep --where \"status = 'finished'\" --sort=-val/acc.last"
    ),
    QuestionCommand("show", "get_run", "everything known of one run", ("run_id",), example="lr0.3_bs64_s0 sweep"),
    QuestionCommand("metrics", "list_metrics", "one row a metric", example="sweep --pattern acc"),
    QuestionCommand(
        "curves",
        "query_metrics",
        "points of metrics, downsampled",
        ("metrics",),
        example="val/acc sweep --runs 'lr0.3*' --x epoch",
    ),
    QuestionCommand(
        "summarize",
        "summarize_by_hparams",
        "statistics of each group of runs",
        example="sweep --hparams optim.lr --metrics val/acc",
    ),
    QuestionCommand("varying", "find_varying_hparams", "the hyperparameters that vary", example="sweep"),
    QuestionCommand(
        "rank",
        "rank_runs",
        "best first by a metric, and which tie with the best",
        ("metric",),
        example="val/acc sweep --hparams optim.lr --limit 5",
    ),
    QuestionCommand(
        "compare",
        "compare_runs",
        "two sets of runs, or the levels of --hparam",
        ("a", "b"),
        "hparam",
        example="'lr0.1_*' 'lr0.3_*' sweep, or sweeplens compare --hparam optim.lr sweep",
    ),
    QuestionCommand(
        "effects", "hparam_effects", "which hyperparameters matter for a metric", ("metric",), example="val/acc sweep"
    ),
    QuestionCommand(
        "suggest", "suggest_runs", "which runs to make next", ("metric",), example="val/acc sweep --budget 12"
    ),
    QuestionCommand(
        "cost",
        "run_costs",
        "what results cost in steps, time and tokens",
        ("metric",),
        example="val/acc sweep",
    ),
    QuestionCommand(
        "checkpoints",
        "best_checkpoints",
        "which checkpoint of each run to keep",
        ("metric",),
        example="val/acc sweep",
    ),
    QuestionCommand("diagnose", "diagnose_runs", "what went wrong in which run", example="sweep"),
    QuestionCommand(
        "news", "whats_new", "what happened in the last 24 hours, or since a cursor", example="sweep --watch"
    ),
    QuestionCommand(
        "sql",
        "query_sql",
        "rows of a SELECT over runs, series, points, files",
        ("query",),
        example="'SELECT status, count(*) FROM runs GROUP BY status' sweep",
    ),
)


def command_for(tool: str) -> str:
    """Returns the command of a tool; empty if there is none."""
    return next((question.name for question in QUESTIONS if question.tool == tool), "")
