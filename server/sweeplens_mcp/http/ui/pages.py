"""The pages of `/ui`. Each is made from answers of tools and works without a script, as text and tables.

report_of    the sections of `sweeplens report`, for a condition and a metric
runs_of      the table of runs: a condition, an order, a hundred rows a page
run_of       everything about one run
comparison_of   two runs beside each other
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import anyio
from msgspec import Struct, field
from starlette.datastructures import QueryParams

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.errors import InputError, SweeplensError, UnknownNameError
from sweeplens_mcp.http.ui.sections import ShownSection, address, digest_of, made_section, shown, table_with_links
from sweeplens_mcp.http.ui.ui_caller import UiCaller

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens.report import ReportTable, Section, SectionPlan
    from sweeplens_mcp.tools.spec import ToolResult

__all__ = ["Page", "RunsPage", "comparison_of", "report_of", "run_of", "runs_of"]

_TOOLS = {
    "overview": "overview",
    "rank": "rank_runs",
    "effects": "hparam_effects",
    "diagnose": "diagnose_runs",
    "list_runs": "list_runs",
}
_ROWS = 100
_SIDES = 2


class RunsPage(Struct, frozen=True):
    """One part of the table of runs. ``orders``: the address that sorts by each column, and how it is sorted now."""

    table: ReportTable
    runs: Sequence[str]
    orders: Sequence[tuple[str, str]]
    earlier: str = ""
    later: str = ""

    @property
    def digest(self) -> str:
        """Equal as long as the table shows the same."""
        return digest_of(self)


class Page(Struct, frozen=True):
    """What a template shows. ``said``: an error of the whole page, as a sentence. ``events``: where changes are told."""

    template: str
    title: str
    sections: Sequence[ShownSection] = ()
    said: str = ""
    status: int = 200
    where: str = ""
    metric: str = ""
    sort: str = ""
    metrics: Sequence[str] = ()
    runs: RunsPage | None = None
    events: str = ""
    began: float = field(default_factory=time.time)


async def report_of(caller: UiCaller, query: QueryParams) -> Page:
    """The report about the runs of a condition."""
    from sweeplens.report import PLAN, report_metrics

    where, metric = query.get("where", ""), query.get("metric", "")
    known = await caller.question("metrics", where, lambda db: report_metrics(db, where=where))
    page = Page("overview.html", "Report", where=where, metric=metric)
    if isinstance(known, SweeplensError):
        return _failed(page, known)
    about = list(dict.fromkeys([metric, *known])) if metric else known
    parts: dict[str, Section] = {}

    async def make(plan: SectionPlan) -> None:
        parts[plan.id] = await _planned(caller, plan, about, where)

    async with anyio.create_task_group() as group:
        for plan in PLAN:
            if not plan.about or about:
                group.start_soon(make, plan)
        parts["problems"] = await _problems(caller)
    found = [parts[name] for name in (*(p.id for p in PLAN), "problems") if name in parts]
    return _with(page, sections=shown(found), metrics=known, events=address("events"))


async def runs_of(caller: UiCaller, query: QueryParams) -> Page:
    """The table of runs."""
    where, sort = query.get("where", ""), query.get("sort", "")
    page = Page("runs.html", "Runs", where=where, sort=sort, events=address("events"))
    answer = await caller.tool("list_runs", where=where, sort=sort)
    if isinstance(answer, SweeplensError):
        return _failed(page, answer)
    first = int(query["from"]) if query.get("from", "").isdecimal() and len(query["from"]) < 10 else 0
    return _with(page, runs=_part_of_runs(cast("Answer | LazyAnswer", answer), first, where, sort))


async def run_of(caller: UiCaller, query: QueryParams) -> Page:
    """One run: what is known about it, its curves, its findings."""
    run = query.get("id", "")
    page = Page("sections.html", f"Run {run}", events=address("events", run=run))
    answer = await caller.tool("get_run", run_id=run)
    if isinstance(answer, SweeplensError):
        return _failed(page, answer, 404)
    curves = await caller.tool("plot", kind="curves", runs=[run], group="run")
    found = await caller.tool("diagnose_runs", runs=[run])
    about = {"run": "Run", "hyperparameters": "Hyperparameters", "metadata": "Metadata"}
    sections = [
        made_section("about", "What is known", answer, captions=about),
        made_section("curves", "Curves", charts=[curves]),
        made_section("broke", "What broke", found, captions={"": "Findings"}),
        made_section("metrics", "Metrics", _without_notes(answer), captions={"": "Metrics"}),
        made_section("problems", "Problems in files", _without_notes(answer), captions={"problems": "Lines"}),
    ]
    return _with(page, sections=shown([s for s in sections if s.tables or s.charts or s.notes]))


async def comparison_of(caller: UiCaller, query: QueryParams) -> Page:
    """Two runs, or two sides by conditions: ``run`` twice, or ``a`` and ``b``."""
    sides = query.getlist("run") or [query.get("a", ""), query.get("b", "")]
    page = Page("sections.html", "Comparison", events=address("events"))
    if len(sides) != _SIDES or not all(sides):
        return _failed(page, InputError(f"Tick two runs to compare them: {len([s for s in sides if s])} are ticked."))
    a, b = sides
    page = _with(page, title=f"{a} against {b}")
    answer = await caller.tool("compare_runs", a=a, b=b)
    if isinstance(answer, SweeplensError):
        return _failed(page, answer)
    chart = await caller.tool("plot", kind="comparison", a=a, b=b)
    captions = {"": "Metrics", "hyperparameters": "Hyperparameters that differ", "budget": "At an equal budget"}
    sections = [made_section("comparison", "Comparison", answer, [chart], captions)]
    return _with(page, sections=shown(sections))


async def _planned(caller: UiCaller, plan: SectionPlan, metrics: Sequence[str], where: str) -> Section:
    """A section of the report, asked through the tools."""
    about = list(metrics[: plan.about])
    named = {"metric": about[0]} if plan.about and plan.ask else {}
    charts = [await caller.tool("plot", kind=kind, metrics=about, where=where) for kind in plan.charts]
    answer = await caller.tool(_TOOLS[plan.ask], where=where, **named) if plan.ask else None
    return made_section(plan.id, plan.title, answer, charts, {"": plan.caption or plan.title})


async def _problems(caller: UiCaller) -> Section:
    from sweeplens.report import problems_section

    def asked(db: ExperimentDB) -> Section:
        return problems_section(db.problems)

    found = await caller.question("problems", "", asked)
    return made_section("problems", "Problems in files", found) if isinstance(found, SweeplensError) else found


def _part_of_runs(answer: Answer | LazyAnswer, first: int, where: str, sort: str) -> RunsPage:
    height = answer.height if isinstance(answer, LazyAnswer) else answer.table.height
    first = min(first, max(0, height - 1)) // _ROWS * _ROWS
    part = answer.part(first, _ROWS).table if isinstance(answer, LazyAnswer) else answer.table[first : first + _ROWS]
    title = f"Runs {first + 1:,} to {first + part.height:,} of {height:,}" if height else "No runs"
    earlier = address("runs", where=where, sort=sort, **{"from": first - _ROWS}) if first else ""
    later = address("runs", where=where, sort=sort, **{"from": first + _ROWS}) if first + _ROWS < height else ""
    orders = [_order(column, where, sort) for column in part.columns]
    return RunsPage(table_with_links(title, part), part["run_id"].to_list(), orders, earlier, later)


def _order(column: str, where: str, sort: str) -> tuple[str, str]:
    """Where the head of a column leads, and how the table is sorted by it."""
    now = {column: "ascending", f"-{column}": "descending"}.get(sort, "")
    return address("runs", where=where, sort=f"-{column}" if now == "ascending" else column), now


def _failed(page: Page, error: SweeplensError, unknown: int = 400) -> Page:
    """The page with an error; ``unknown``: the status where a name is not known."""
    status = unknown if isinstance(error, UnknownNameError) else 400 if isinstance(error, InputError) else 503
    return _with(page, said=str(error), status=status, events="")


def _without_notes(answer: ToolResult) -> Answer:
    return Answer(cast("Answer", answer).table, tables=cast("Answer", answer).tables)


def _with(page: Page, **known: object) -> Page:
    from msgspec.structs import replace

    return replace(page, **known)  # pyright: ignore[reportArgumentType]
