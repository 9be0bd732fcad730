"""Makes the report of a sweep, one page: overview, curves, ranking, effects, findings, problems, with charts and sortable tables.

The page needs no network and no server. If an analysis fails (the goal of a metric is unknown), its section holds the message
of the error, and the other sections stay. Without the renderer the page has tables only, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from msgspec import Struct

from sweeplens.answers import Answer
from sweeplens.charts.labels import printed
from sweeplens.charts.page import ChartOnPage, on_page, theme_data
from sweeplens.charts.rendering import HOW_TO_GET, can_render, javascript
from sweeplens.charts.request import PlotRequest, asked_metrics
from sweeplens.errors import InputError, SweeplensError
from sweeplens.pages import made_page

if TYPE_CHECKING:
    from sweeplens.charts import Chart
    from sweeplens.experiment_db import ChartKind, ExperimentDB

__all__ = ["report_page", "write_page"]

_MOST_ROWS = 300
_CELL = 200  # characters


class Cell(Struct, frozen=True):
    """``number``: the key by which the column sorts, if the cell is a number."""

    text: str
    number: float | None


class ReportTable(Struct, frozen=True):
    """A table as the page shows it."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]


class Section(Struct, frozen=True):
    """A part of the report."""

    id: str
    title: str
    notes: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    charts: Sequence[ChartOnPage] = ()
    basis: str = ""


def report_page(db: ExperimentDB, *, runs: Sequence[str] = (), where: str = "") -> str:
    """Returns the page about these runs, of one version of the data. Raises SweeplensError if there are no such runs."""
    db.view(runs, where)  # a selection that fails is an error of the page, not of a section
    metrics = _metrics(db, tuple(runs), where)
    metric = metrics[0] if metrics else ""
    drawn = can_render()

    def chart(kind: ChartKind, **options: Any) -> Callable[[], Chart]:
        return lambda: db.plot(kind, runs=runs, where=where, **options)

    ranked, explained = (
        _about(metric, lambda: db.rank(metric, runs=runs, where=where)),
        _about(metric, lambda: db.effects(metric, runs=runs, where=where)),
    )
    sections = [
        _section("overview", "Overview", lambda: db.overview(runs=runs, where=where), table="What is there"),
        _section("curves", "Curves", None, [chart("curves", metrics=metrics[:2])] if metric else []),
        _section("ranking", "Ranking", ranked, [chart("ranking", metrics=[metric])]),
        _section("effects", "What it depends on", explained, [chart("importance", metrics=[metric])]),
        _section("broke", "What broke", lambda: db.diagnose(runs=runs, where=where), [chart("timeline")], table="Findings"),
        _section("runs", "Runs", lambda: db.list_runs(runs=runs, where=where), table="Runs"),
        _section("problems", "Problems in files", lambda: Answer(db.problems), table="Lines that could not be read"),
    ]  # fmt: skip
    roots = ", ".join(root.name for root in db.roots)
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from version {db.refresh().version} of {', '.join(map(str, db.roots))}."
    return made_page(
        "report.html",
        bundle=javascript() if drawn else "",
        title=f"Experiments in {printed(roots)}",
        made=made,
        missing="" if drawn else f"Without charts: the renderer is not installed. {HOW_TO_GET}",
        sections=[s for s in sections if s.notes or s.tables or s.charts],
        themes=theme_data(),
    )


def write_page(path: str | Path, page: str) -> Path:
    """Writes the page to a file. Raises InputError."""
    place = Path(path)
    try:
        place.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The report cannot be written to {str(place)!r}: {error.strerror or error}.") from error
    return place


def _metrics(db: ExperimentDB, runs: tuple[str, ...], where: str) -> list[str]:
    from sweeplens.frames.goals import main_metrics

    known = db.list_metrics(runs=runs, where=where).table["metric"].to_list()
    if not known:
        return []
    first = asked_metrics(db, PlotRequest(runs=runs, where=where), 1)[0].name
    return list(dict.fromkeys([first, *main_metrics(known, db.config.main_metrics, db.config.metric_goals)]))


def _about(metric: str, ask: Callable[[], Answer]) -> Callable[[], Answer] | None:
    return ask if metric else None


def _section(
    name: str, title: str, ask: Callable[[], Answer] | None, charts: Sequence[Callable[[], Chart]] = (), table: str = ""
) -> Section:
    """Returns a section of an answer and its charts; an error becomes its message."""
    notes: list[str] = []
    shown: list[ChartOnPage] = []
    for draw in charts:
        try:
            shown.append(on_page(draw()))
        except SweeplensError as error:
            notes.append(str(error))
    if ask is None:
        return Section(name, title, notes, (), shown)
    try:
        answer = ask()
    except SweeplensError as error:
        return Section(name, title, list(dict.fromkeys([*notes, str(error)])), (), shown)
    tables = [_table(table or title, answer.table)] if answer.table.height else []
    return Section(name, title, [*notes, *answer.notes], tables, shown, _basis(answer))


def _basis(answer: Answer) -> str:
    basis = answer.basis
    left = "".join(f"; left out {entry.n} ({entry.reason})" for entry in basis.left_out)
    warned = "".join(f"; {warning}" for warning in basis.warnings)
    return f"{basis.runs_used} of {basis.runs_matched} runs{left}{warned}; {basis.python}" if basis.python else ""


def _table(title: str, frame: pl.DataFrame) -> ReportTable:
    cut = f"{title} (the first {_MOST_ROWS} of {frame.height:,})" if frame.height > _MOST_ROWS else title
    rows = [[_cell(v) for v in row] for row in frame.head(_MOST_ROWS).iter_rows()]
    return ReportTable(cut, [printed(c, _CELL) for c in frame.columns], rows)


def _cell(value: object) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(printed(value), float(value) if math.isfinite(value) else None)
    if isinstance(value, datetime):
        return Cell(f"{value:%Y-%m-%d %H:%M:%S}", value.timestamp())
    if value is None:
        return Cell("-", None)
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple | pl.Series) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return Cell(printed(text, _CELL), None)
