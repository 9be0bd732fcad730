"""Answers of tools as sections of a page, and what a page needs to find out which of them changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

import msgspec

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.errors import SweeplensError

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.charts import Chart
    from sweeplens.report import ReportTable, Section
    from sweeplens_mcp.tools.spec import ToolResult

__all__ = ["ShownSection", "address", "digest_of", "made_section", "shown", "table_with_links"]

_RUN = "run_id"


class ShownSection(msgspec.Struct, frozen=True):
    """``digest``: equal as long as the section shows the same."""

    section: Section
    digest: str


def shown(sections: Sequence[Section]) -> list[ShownSection]:
    """The sections that show something, each with its digest."""
    return [ShownSection(s, digest_of(s)) for s in sections if not s.is_empty]


def digest_of(part: msgspec.Struct) -> str:
    """Equal for what shows the same."""
    return hashlib.sha256(msgspec.json.encode(part)).hexdigest()[:16]


def made_section(
    name: str,
    title: str,
    answer: ToolResult | SweeplensError | None = None,
    charts: Sequence[ToolResult | SweeplensError] = (),
    captions: Mapping[str, str] | None = None,
) -> Section:
    """A section; ``captions``: the tables of the answer that it shows ("" the first), and what they are called."""
    from msgspec.structs import replace

    from sweeplens.report import SectionPlan, section_of

    drawn = cast("Sequence[Chart | SweeplensError]", charts)
    found = answer.whole() if isinstance(answer, LazyAnswer) else cast("Answer | SweeplensError | None", answer)
    section = section_of(SectionPlan(name, title), found, drawn)
    if not isinstance(found, Answer):
        return section
    frames = {"": found.table, **found.tables}
    named = captions if captions is not None else {"": title}
    tables = [table_with_links(text, frames[key]) for key, text in named.items() if key in frames]
    return replace(section, tables=[table for table in tables if table.rows])


def table_with_links(title: str, frame: pl.DataFrame) -> ReportTable:
    """A frame as a table; each run in a column ``run_id`` is a link to its page."""
    from msgspec.structs import replace

    from sweeplens.report import table_of

    table = table_of(title, frame)
    if _RUN not in frame.columns:
        return table
    at, runs = frame.columns.index(_RUN), frame[_RUN].to_list()
    rows = [
        [*row[:at], replace(row[at], link=address("run", id=run)), *row[at + 1 :]]
        for row, run in zip(table.rows, runs, strict=False)
    ]
    return replace(table, rows=rows)


def address(page: str = "", **query: object) -> str:
    """The address of a page of ours; empty values are left out."""
    asked = urlencode({name: value for name, value in query.items() if value not in ("", None, 0)}, doseq=True)
    return "/ui" + (f"/{page}" if page else "") + (f"?{asked}" if asked else "")
