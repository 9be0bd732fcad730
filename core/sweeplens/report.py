"""Makes the report of a sweep, one page: overview, curves, ranking, effects, findings, problems, with charts and sortable tables.

The page needs no network and no server. If an analysis fails (the goal of a metric is unknown), its section holds the message
of the error, and the other sections stay. Without the renderer the page has tables only, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from msgspec import Struct

from sweeplens.answers import Answer, reworded
from sweeplens.charts.labels import printed
from sweeplens.charts.page import ChartOnPage, on_page, theme_data
from sweeplens.charts.rendering import can_render, javascript, renderer_hint
from sweeplens.charts.request import PlotRequest, asked_metrics
from sweeplens.counting import share_of
from sweeplens.errors import InputError, SweeplensError
from sweeplens.pages import made_page

if TYPE_CHECKING:
    from sweeplens.charts import Chart
    from sweeplens.experiment_db import ExperimentDB

__all__ = [
    "PLAN",
    "ReportCell",
    "ReportTable",
    "Section",
    "SectionPlan",
    "cell_of",
    "problems_section",
    "report_metrics",
    "report_page",
    "section_of",
    "table_of",
    "write_page",
]

T = TypeVar("T")

_MOST_ROWS = 300
_CELL = 200  # characters


class ReportCell(Struct, frozen=True):
    """``number``: the key by which the column sorts, if the cell is a number. ``link``: an address on the same server."""

    text: str
    number: float | None
    link: str = ""


class ReportTable(Struct, frozen=True):
    """A table as the page shows it."""

    title: str
    columns: list[str]
    rows: list[list[ReportCell]]


class Section(Struct, frozen=True):
    """A part of the report."""

    id: str
    title: str
    notes: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    charts: Sequence[ChartOnPage] = ()
    basis: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.notes or self.tables or self.charts)


class SectionPlan(Struct, frozen=True):
    """The questions of a section: a method of `ExperimentDB`, and kinds of charts. ``about``: the number of metrics it covers."""

    id: str
    title: str
    ask: str = ""
    charts: tuple[str, ...] = ()
    about: int = 0
    caption: str = ""


PLAN = (
    SectionPlan("overview", "Overview", "overview", caption="What is there"),
    SectionPlan("curves", "Curves", charts=("curves",), about=2),
    SectionPlan("ranking", "Ranking", "rank", ("ranking",), about=1),
    SectionPlan("effects", "What it depends on", "effects", ("importance",), about=1),
    SectionPlan("broke", "What broke", "diagnose", ("timeline",), caption="Findings"),
    SectionPlan("runs", "Runs", "list_runs"),
)
"""The sections of a report, in their order; the problems in files come last."""


def report_page(
    db: ExperimentDB, *, runs: Sequence[str] = (), where: str = "", words: Callable[[str], str] = str
) -> str:
    """Returns the page about these runs, of one version of the data. Raises SweeplensError if there are no such runs.

    ``words``: puts calls that answers advise into the form of their reader, as commands for a shell.
    """
    db.view(runs, where)  # a selection that fails is an error of the page, not of a section
    metrics = report_metrics(db, runs=runs, where=where)
    selected = {"runs": tuple(runs), "where": where}
    sections = [_planned(db, plan, metrics, selected, words) for plan in PLAN]
    roots = ", ".join(name.rstrip("/").rpartition("/")[2] for name in db.root_names)
    drawn = can_render()
    return made_page(
        "report.html",
        bundle=javascript() if drawn else "",
        title=f"Experiments in {printed(roots)}",
        made=f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from version {db.refresh().version} of {', '.join(db.root_names)}.",
        missing="" if drawn else f"Without charts: the renderer is not installed. {renderer_hint()}",
        sections=[s for s in [*sections, problems_section(db.problems)] if not s.is_empty],
        themes=theme_data(),
    )


def report_metrics(db: ExperimentDB, *, runs: Sequence[str] = (), where: str = "") -> list[str]:
    """Returns the metrics of a report, the main one first; empty if these runs logged none."""
    from sweeplens.frames.goals import main_metrics

    table = db.list_metrics(runs=runs, where=where).table
    known = dict(table.select("metric", "n_runs").iter_rows())
    if not known:
        return []
    first = asked_metrics(db, PlotRequest(runs=tuple(runs), where=where), 1)[0].name
    return list(
        dict.fromkeys([first, *main_metrics(known, db.config.main_metrics, db.config.metric_goals, counts=known)])
    )


def section_of(
    plan: SectionPlan, answer: Answer | SweeplensError | None, charts: Sequence[Chart | SweeplensError]
) -> Section:
    """Returns a section from an answer and charts; an error becomes its message."""
    failed = [str(found) for found in (*charts, answer) if isinstance(found, SweeplensError)]
    notes, tables, basis = list(dict.fromkeys(failed)), [], ""
    if isinstance(answer, Answer):
        notes += answer.notes
        tables = [table_of(plan.caption or plan.title, answer.table)] if answer.table.height else []
        basis = _basis(answer)
    shown = [on_page(chart) for chart in charts if not isinstance(chart, SweeplensError)]
    return Section(plan.id, plan.title, notes, tables, shown, basis)


def problems_section(problems: pl.DataFrame) -> Section:
    """Returns the section about lines that could not be read."""
    return section_of(
        SectionPlan("problems", "Problems in files", caption="Lines that could not be read"), Answer(problems), ()
    )


def write_page(path: str | Path, page: str) -> Path:
    """Writes the page to a file. Raises InputError."""
    place = Path(path)
    try:
        place.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The report cannot be written to {str(place)!r}: {error.strerror or error}.") from error
    return place


def _planned(
    db: ExperimentDB,
    plan: SectionPlan,
    metrics: Sequence[str],
    selected: Mapping[str, Any],
    words: Callable[[str], str],
) -> Section:
    """Returns a section of the plan, computed from the database."""
    if plan.about and not metrics:
        return Section(plan.id, plan.title)
    about = list(metrics[: plan.about])
    charts = [_tried(partial(db.plot, kind, metrics=about, **selected)) for kind in plan.charts]
    named = about if plan.ask else []
    answer = _tried(partial(getattr(db, plan.ask), *named, **selected)) if plan.ask else None
    return section_of(plan, reworded(answer, words) if isinstance(answer, Answer) else answer, charts)


def _tried(ask: Callable[[], T]) -> T | SweeplensError:
    try:
        return ask()
    except SweeplensError as error:
        return error


def _basis(answer: Answer) -> str:
    basis = answer.basis
    left = "".join(f"; left out {entry.n} ({entry.reason})" for entry in basis.left_out)
    warned = "".join(f"; {warning}" for warning in basis.warnings)
    return (
        f"{share_of(basis.runs_used, basis.runs_matched, 'run')}{left}{warned}; Python: {basis.python}"
        if basis.python
        else ""
    )


def table_of(title: str, frame: pl.DataFrame) -> ReportTable:
    """Returns the first rows of a frame as a table."""
    cut = f"{title} (the first {_MOST_ROWS} of {frame.height:,})" if frame.height > _MOST_ROWS else title
    rows = [[cell_of(v) for v in row] for row in frame.head(_MOST_ROWS).iter_rows()]
    return ReportTable(cut, [printed(c, _CELL) for c in frame.columns], rows)


def cell_of(value: object) -> ReportCell:
    """Returns a value as a cell."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ReportCell(printed(value), float(value) if math.isfinite(value) else None)
    if isinstance(value, datetime):
        return ReportCell(f"{value:%Y-%m-%d %H:%M:%S}", value.timestamp())
    if value is None:
        return ReportCell("-", None)
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple | pl.Series) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return ReportCell(printed(text, _CELL) if text else "", None)
