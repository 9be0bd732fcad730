"""The request of a chart, one value for all kinds, checked once, and what every kind derives from it.

PlotRequest       the arguments of `ExperimentDB.plot`, as data
Metric            a metric with its goal and its name for display
asked_metrics     the metrics that a request names, else the main ones
reading_of        the reduction of runs to numbers, in words
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from msgspec import Struct

from sweeplens.argument_types import checked_argument
from sweeplens.charts.labels import DisplayNames, printed
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.goals import AskedGoal, goal_of, main_metrics
from sweeplens.frames.reduction import DEFAULT_REDUCE, SHORT, parse_reduce
from sweeplens.frames.schemas import hparam_columns
from sweeplens.frames.selection import check_range, select_metrics

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = [
    "MOST_POINTS",
    "Metric",
    "PlotKeywords",
    "PlotRequest",
    "asked_metrics",
    "names_of",
    "reading_of",
    "request_of",
    "swept_hparams",
]

MOST_POINTS = 5_000
"""The largest number of points in one chart."""
_LOG = ("", "x", "y", "xy", "none")
_SIZES = (200, 4000)
_COLUMNS = {DEFAULT_REDUCE: DEFAULT_REDUCE, "last": "last_finite", "min": "min", "max": "max", "mean": "mean"}


class PlotKeywords(TypedDict, total=False):
    """The keyword arguments of `ExperimentDB.plot` and `Answer.plot`, for type checkers; `PlotRequest` says what they mean."""

    metrics: str | Sequence[str]
    hparams: str | Sequence[str]
    runs: str | Sequence[str]
    where: str
    x: str
    group: str
    smooth: float
    log: Literal["", "x", "y", "xy", "none"]
    goal: AskedGoal
    reduce: str
    x_min: float | None
    x_max: float | None
    a: str | Sequence[str]
    b: str | Sequence[str]
    width: int
    height: int


class PlotRequest(Struct, frozen=True):
    """``group``: ``run`` (single runs), ``all``, or a hyperparameter; ``log``: x, y, xy or none, empty: as the values ask.

    ``reduce``: how a run becomes one number; empty: as the analyses do.
    ``x_min``, ``x_max``: of curves. ``hparams`` of a comparison: one alone, and its levels are compared.
    ``a`` and ``b``: the sides of a comparison. ``smooth``: weight of the moving average, 0 to below 1.
    """

    metrics: tuple[str, ...] = ()
    hparams: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    where: str = ""
    x: str = ""
    group: str = ""
    smooth: float = 0.0
    log: str = ""
    goal: AskedGoal = ""
    reduce: str = ""
    x_min: float | None = None
    x_max: float | None = None
    a: str | tuple[str, ...] = ""
    b: str | tuple[str, ...] = ""
    width: int = 800
    height: int = 500

    @property
    def reading(self) -> str:
        """Returns the reduction for a chart of an analysis: the default of the analyses unless another is requested."""
        return self.reduce or DEFAULT_REDUCE

    def check(self) -> None:
        """Raises InputError for a request that no kind can draw."""
        if not 0 <= self.smooth < 1:
            raise InputError(f"smooth {self.smooth:g} is not a weight: pass 0 (none) up to 0.99.")
        if self.log not in _LOG:
            raise InputError(f"log {self.log!r} is not known: pass x, y, xy or none; empty: chosen from the values.")
        if self.goal:
            goal_of("the metric", self.goal)
        check_range(self.x_min, self.x_max)
        for name, size in (("width", self.width), ("height", self.height)):
            if not _SIZES[0] <= size <= _SIZES[1]:
                raise InputError(f"{name} {size} is not between {_SIZES[0]} and {_SIZES[1]} pixels.")

    @property
    def narrow(self) -> bool:
        """Returns whether there is no room for a legend beside the chart."""
        return self.width < 600


def request_of(options: Mapping[str, Any]) -> PlotRequest:
    """Returns a request from a caller's arguments: one name as a text, several as any sequence. Raises InputError."""
    known = PlotRequest.__struct_fields__
    for name in options:
        if name not in known:
            raise UnknownNameError.of("argument", name, known, hint=f"plot takes {', '.join(known)}.")
    kinds = {name: getattr(kind, "__forward_arg__", "") for name, kind in PlotKeywords.__annotations__.items()}
    given = {k: checked_argument(k, kinds.get(k, ""), v) for k, v in options.items() if v is not None}
    return PlotRequest(**{k: _normal(k, v) for k, v in given.items()})


def _normal(name: str, value: Any) -> Any:
    if name in ("metrics", "hparams", "runs"):
        return (value,) if isinstance(value, str) else tuple(value)
    return tuple(value) if name in ("a", "b") and not isinstance(value, str) else value


class Metric(Struct, frozen=True):
    """``goal``: lower, higher or unknown. ``shown``: its name for display. ``reduce``: how runs become numbers, where asked.
    ``is_short``: no run has enough points for a mean of its last tenth."""

    name: str
    goal: str
    shown: str
    reduce: str = ""
    is_short: bool = False

    @property
    def column(self) -> str:
        """Returns the column of runs with the number that a run becomes. Raises InputError for a reduction without a column."""
        how = self.reduce or DEFAULT_REDUCE
        if how == "best":
            how = {"lower": "min", "higher": "max"}.get(self.goal, "last")
        if how not in _COLUMNS:
            raise InputError(f"This kind of picture takes reduce best or {', '.join(_COLUMNS)}, not {how!r}.")
        return f"{self.name}.{_COLUMNS[how]}"

    @property
    def reading(self) -> str:
        """Returns that number in words: ``mean of the last tenth``."""
        return reading_of(self, self.reduce or DEFAULT_REDUCE)


def reading_of(metric: Metric, reduce: str) -> str:
    """Returns the reduction of a run in words, for an axis: ``mean of the last tenth``."""
    how = parse_reduce(reduce)
    if how.how == "last_tenth" and metric.is_short:
        return "last value"
    if how.how == "best":
        return {"lower": "lowest", "higher": "highest"}.get(metric.goal, "last") + " value"
    step = "the last common step" if how.amount < 0 else f"step {how.amount}"
    words = {
        "last_tenth": "mean of the last tenth",
        "min": "lowest value",
        "max": "highest value",
        "mean": "mean",
        "auc": "mean height of the curve",
        "at_step": f"value at {step}",
        "last_k": f"mean of the last {how.amount} values",
        "at_best": f"value where {printed(how.metric)} is best",
    }
    return words.get(how.how, f"{how.how} value")


def names_of(db: ExperimentDB) -> DisplayNames:
    """Returns the display names of the configuration."""
    return DisplayNames(db.config.metric_display_names, db.config.hparam_display_names)


def asked_metrics(db: ExperimentDB, ask: PlotRequest, most: int) -> list[Metric]:
    """Returns at most so many of the requested metrics, in order. Raises UnknownNameError, InputError."""
    table = db.list_metrics(runs=ask.runs, where=ask.where).table
    known: list[str] = table["metric"].to_list()
    if not known:
        raise InputError("Nothing to draw: these runs logged no metric.")
    goals: dict[str, str] = dict(zip(known, table["goal"].to_list(), strict=True))
    names = _in_order(ask.metrics, known) or main_metrics(known, db.config.main_metrics, db.config.metric_goals, most=1)
    shown = names_of(db)
    longest = db.view(ask.runs, ask.where).series.select("metric", "n").group_by("metric").max()
    short = {metric: points < SHORT for metric, points in longest.iter_rows()}
    return [Metric(n, ask.goal or goals[n], shown.metric(n), ask.reduce, short[n]) for n in names[:most]]


def _in_order(patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(m for pattern in patterns for m in select_metrics([pattern], known)))


def swept_hparams(db: ExperimentDB, ask: PlotRequest, runs: pl.DataFrame) -> list[str]:
    """Returns the requested hyperparameters, else all that vary except replicates; one of each perfectly confounded class."""
    known = hparam_columns(runs)
    if ask.hparams:
        from sweeplens.frames.grouping import group_hparams

        return group_hparams(runs, [h for h in ask.hparams if h], db.config.replicate_hparams)
    table = db.varying(runs=ask.runs, where=ask.where).table
    chosen: list[str] = []
    for row in table.iter_rows(named=True):
        twin = any(name in chosen for name in row["same_as"])
        if not row["replicate"] and row["n_values"] > 1 and not twin and row["hparam"] in known:
            chosen.append(row["hparam"])
    return chosen
