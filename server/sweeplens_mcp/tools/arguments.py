"""The arguments that tools share, each described once.

A list may be given as a single text; null means that an optional argument was not given. Clients strip bounds and
defaults from schemas, so what matters stands in the words.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

__all__ = [
    "At",
    "By",
    "Columns",
    "Cursor",
    "Goal",
    "Hparams",
    "Limit",
    "MaxPoints",
    "Metric",
    "Metrics",
    "Patterns",
    "Reduce",
    "RunId",
    "Runs",
    "SomeMetrics",
    "Sort",
    "Where",
    "X",
    "XMax",
    "XMin",
]


def _listed(value: object) -> object:
    """A single text as a list of one."""
    return [value] if isinstance(value, str) and value else value or []


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]

Runs = Annotated[Texts, Field(description="Run ids or globs; empty: all.")]
Where = Annotated[
    str,
    Field(
        description="SQL condition on runs; names with . or / in double quotes: "
        '"optim.lr" > 1e-4 AND status = \'finished\' AND "val/acc.last" > 0.9'
    ),
]
Metric = Annotated[str, Field(description="Metric name.")]
Metrics = Annotated[Texts, Field(description="Metric names or regular expressions; empty: the main ones.")]
SomeMetrics = Annotated[Texts, Field(description="Metric names or regular expressions.")]
Patterns = Annotated[str, Field(description="Regular expression on metric names; empty: all.")]
RunId = Annotated[str, Field(description="Run id.")]
Hparams = Annotated[
    Texts, Field(description="Hyperparameters to group by; empty: all that vary, replicates (seeds) aside.")
]
Columns = Annotated[
    Texts,
    Field(
        description="Instead of the usual columns: hyperparameters, metadata.*, <metric>.last/.min/.max/.mean/.n_nan."
    ),
]
Sort = Annotated[str, Field(description="Column to sort by; a leading - means descending.")]
Reduce = Annotated[
    str,
    Field(
        description="How each run becomes one number: last_tenth (mean), last, best, min, max, mean, auc, at_step:N "
        "(at_step:common: the last step all reached), last_k:K, at_best:METRIC."
    ),
]
Goal = Annotated[str, Field(description="lower or higher is better; empty: known from the name or configuration.")]
By = Annotated[
    Literal["group", "run"], Field(description="Rank groups of runs that differ by seed only, or single runs.")
]
At = Annotated[str, Field(description="Compare at a step: a number, or common; empty: no.")]
X = Annotated[str, Field(description="x axis: step, wall_time (seconds) or any metric, such as epoch.")]
XMin = Annotated[float | None, Field(description="From this x on.")]
XMax = Annotated[float | None, Field(description="Up to this x.")]
MaxPoints = Annotated[
    int, Field(description="Most points of each series, 2 to 10000; 50: fewer where many series are to fit.")
]
Limit = Annotated[int, Field(description="Most rows; 0: as many as fit.")]
Cursor = Annotated[str, Field(description="next_cursor, to go on; other arguments unchanged.")]
