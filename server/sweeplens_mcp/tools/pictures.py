"""The tool that draws charts of the other tools' answers, with the main finding in words."""

from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field, WithJsonSchema

from sweeplens_mcp.tools.arguments import Runs, Texts
from sweeplens_mcp.tools.chart_id import arguments_of

if TYPE_CHECKING:
    from sweeplens.charts import Chart
    from sweeplens.experiment_db import ChartKind, ExperimentDB

__all__ = ["chart_data", "plot"]

Kind = Annotated[
    str,
    Field(
        description="curves, ranking, comparison, scatter, parallel, heatmap, importance, timeline; empty: chosen from the data."
    ),
]
PlotMetrics = Annotated[Texts, Field(description="Names or regular expressions; empty: the main metric.")]
PlotHparams = Annotated[Texts, Field(description="Hyperparameters; empty: those that vary.")]
PlotWhere = Annotated[str, Field(description="SQL condition, as in list_runs.")]
PlotX = Annotated[str, Field(description="step, wall_time or a metric; for scatter also a hyperparameter.")]
Group = Annotated[str, Field(description="run, all, or a hyperparameter; empty: by the hyperparameters that vary.")]
Smooth = Annotated[float, Field(description="Weight of the moving average, 0 to 0.99.")]
Log = Annotated[str, Field(description="Log axes: x, y, xy, none; empty: chosen from the values.")]
PlotSide = Annotated[
    str | tuple[str, ...],
    WithJsonSchema({"type": "string"}),
    Field(description="As in compare_runs."),
]
ChartId = Annotated[str, Field(description="The chart_id of a plot.")]


def plot(
    db: "ExperimentDB",
    kind: Kind = "",
    metrics: PlotMetrics = (),
    hparams: PlotHparams = (),
    runs: Runs = (),
    where: PlotWhere = "",
    x: PlotX = "",
    group: Group = "",
    smooth: Smooth = 0.0,
    log: Log = "",
    a: PlotSide = "",
    b: PlotSide = "",
) -> "Chart":
    """A chart of the runs (PNG) with its main finding in words."""
    options: dict[str, Any] = {"x": x, "group": group, "smooth": smooth, "log": log, "a": a, "b": b}
    given = {name: value for name, value in options.items() if value}
    return db.plot(cast("ChartKind", kind), metrics=metrics, hparams=hparams, runs=runs, where=where, **given)


def chart_data(db: "ExperimentDB", chart_id: ChartId) -> "Chart":
    """The data of a chart that plot drew, for the page that shows it."""
    asked = arguments_of(chart_id)
    return plot(db, **{name: getattr(asked, name) for name in asked.__struct_fields__})
