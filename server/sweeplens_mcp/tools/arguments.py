"""The arguments that several tools share, each described once.

A single text may be passed instead of a list, and null for an optional argument means its default. Some clients strip bounds
and defaults from schemas, so the descriptions repeat what matters.
"""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, WithJsonSchema

__all__ = [
    "At",
    "BriefGoal",
    "BriefReduce",
    "BriefWhere",
    "By",
    "Columns",
    "Cursor",
    "Fresh",
    "Goal",
    "Hparams",
    "Limit",
    "MaxPoints",
    "MetricName",
    "Metrics",
    "OtherSide",
    "Patterns",
    "Reduce",
    "RunId",
    "Runs",
    "Side",
    "SomeMetrics",
    "Sort",
    "Texts",
    "Where",
    "X",
    "XMax",
    "XMin",
    "text_of_number",
]


def text_of_number(value: object) -> object:
    """Returns a number as the text that a person would write; other values unchanged. True and false are no numbers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        value = int(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _listed(value: object) -> object:
    """Wraps a single text or number in a list; numbers become texts."""
    value = text_of_number(value)
    if isinstance(value, str):
        return [value] if value else []
    return [text_of_number(item) for item in cast("list[object]", value)] if isinstance(value, list | tuple) else value


_LARGEST_WHOLE = 1e15  # beyond, a float has no exact units
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]

Runs = Annotated[Texts, Field(description="Ids or globs; empty: all.")]
Where = Annotated[
    str,
    Field(
        description="SQL condition on runs; names with . or / in double quotes: "
        '"optim.lr" > 1e-4 AND status = \'finished\' AND "val/acc.last" > 0.9. '
        'Events: "val/loss.first_below(4.0)" < 5000 (step), .first_above(x); "val/loss.first_below(4.0)@tokens" < 1e9, @wall_time; '
        "health: ok, suspect, broken; status: running, finished, failed, crashed, killed, pruned, waiting, unknown"
    ),
]
BriefWhere = Annotated[str, Field(description="As in list_runs.")]
Fresh = Annotated[bool, Field(description="Read the folders first.")]
MetricName = Annotated[str, Field(description="Metric name.")]
Metrics = Annotated[Texts, Field(description="Names or regular expressions; empty: the main metrics.")]
SomeMetrics = Annotated[Texts, Field(description="Metric names or regular expressions.")]
Patterns = Annotated[str, Field(description="Regular expression for metric names; empty: all.")]
RunId = Annotated[str, Field(description="Run id.")]
Hparams = Annotated[
    Texts, Field(description="Hyperparameters to group by; empty: all that vary, except replicates (seeds).")
]
Columns = Annotated[
    Texts,
    Field(
        description="Columns instead of the default ones: any that where knows, metadata.*, <metric>.last/.min/.max/.mean/.n_nan."
    ),
]
Sort = Annotated[str, Field(description="Column to sort by; a leading - is descending.")]
BriefGoal = Annotated[str, Field(description="lower or higher is better.")]
BriefReduce = Annotated[str, Field(description="As in rank_runs.")]
Reduce = Annotated[
    str,
    Field(
        description="How each run becomes one number: last_tenth (mean of the last tenth), last, first, best, min, max, mean, "
        "auc, at_step:N, at_step:common (the last step that all runs reached), last_k:K, at_best:METRIC."
    ),
]
Goal = Annotated[
    str,
    Field(description="lower or higher is better; empty: by the metric's name or configuration."),
]
By = Annotated[
    Literal["group", "run"],
    Field(description="group: rank groups of runs that differ only by seed; run: rank single runs."),
]
At = Annotated[
    str,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    Field(description="Rank by the values at a step, instead of reduce: a number, or common."),
]
Side = Annotated[
    str | tuple[str, ...],
    WithJsonSchema({"type": "string"}),
    Field(description="Run id, glob, or SQL condition as in where of list_runs."),
]
OtherSide = Annotated[
    str | tuple[str, ...], WithJsonSchema({"type": "string"}), Field(description="The other side, as a.")
]
X = Annotated[str, Field(description="x axis: step, wall_time (seconds) or any metric, such as epoch.")]
XMin = Annotated[float | None, Field(description="Smallest x to include.")]
XMax = Annotated[float | None, Field(description="Largest x to include.")]
MaxPoints = Annotated[
    int, Field(description="Maximum points per series, 2 to 10000. The default 50 is lowered if many series must fit.")
]
Limit = Annotated[int, Field(description="Rows; 0: what fits.")]
Cursor = Annotated[str, Field(description="next_cursor of the last answer.")]
