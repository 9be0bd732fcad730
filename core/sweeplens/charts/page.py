"""Charts within HTML pages: the data that a template needs, and the page of a single chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from sweeplens.charts.rendering import javascript
from sweeplens.charts.theme import THEMES, check_theme, config_of
from sweeplens.counting import share_of
from sweeplens.pages import as_data, made_page

if TYPE_CHECKING:
    from sweeplens.charts.chart import Chart

__all__ = ["ChartOnPage", "chart_page", "on_page", "theme_data"]


class ChartOnPage(Struct, frozen=True):
    """``data``: the specification without a theme, as JSON that can stand in a page."""

    title: str
    caption: str
    data: str
    basis: str


def on_page(chart: Chart) -> ChartOnPage:
    """Returns the data of a chart for templates."""
    spec = {k: v for k, v in chart.to_dict().items() if k not in ("config", "$schema")}
    basis = f"{share_of(chart.basis.runs_used, chart.basis.runs_matched, 'run')}; {chart.basis.python}"
    return ChartOnPage(chart.title, chart.caption, as_data(spec), basis)


def theme_data(only: str = "") -> str:
    """Returns the configurations of both themes as JSON; with ``only``, that one for both."""
    return as_data({name: config_of(only or name) for name in THEMES})


def chart_page(chart: Chart, theme: str) -> str:
    """Returns a page of one chart; ``light`` follows the browser's setting. Raises RenderError if the script is not installed."""
    check_theme(theme)
    return made_page(
        "chart.html",
        bundle=javascript(),
        title=chart.title,
        chart=on_page(chart),
        themes=theme_data("dark" if theme == "dark" else ""),
    )
