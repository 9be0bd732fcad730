"""Charts: pure functions from answers to pictures, one file a kind. `CHARTS` is the list of kinds.

Each kind is a function from a database fixed to one version, and a request, to a `Chart`. It uses the public answers and draws
their numbers: nothing in a picture is computed here a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sweeplens.charts.chart import Chart
from sweeplens.charts.comparison import comparison
from sweeplens.charts.curves import curves
from sweeplens.charts.heatmap import heatmap
from sweeplens.charts.importance import importance
from sweeplens.charts.most_telling import most_telling
from sweeplens.charts.parallel import parallel
from sweeplens.charts.ranking import ranking
from sweeplens.charts.request import PlotRequest
from sweeplens.charts.scatter import scatter
from sweeplens.charts.timeline import timeline
from sweeplens.errors import UnknownNameError

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["CHARTS", "Chart", "PlotRequest", "draw_chart"]

CHARTS: dict[str, Callable[[ExperimentDB, PlotRequest], Chart]] = {
    "curves": curves,
    "ranking": ranking,
    "comparison": comparison,
    "scatter": scatter,
    "parallel": parallel,
    "heatmap": heatmap,
    "importance": importance,
    "timeline": timeline,
}


def draw_chart(db: ExperimentDB, kind: str, ask: PlotRequest) -> Chart:
    """Returns a chart of a kind; by default of the most informative kind for these runs. Raises SweeplensError."""
    ask.check()
    chosen = kind or most_telling(db, ask)
    if chosen not in CHARTS:
        raise UnknownNameError.of("kind of picture", kind, CHARTS, meaning="kind", hint=f"Kinds: {', '.join(CHARTS)}.")
    chart = CHARTS[chosen](db, ask)
    return replace(chart, spec={**chart.spec, "usermeta": {"kind": chosen, **chart.spec.get("usermeta", {})}})
