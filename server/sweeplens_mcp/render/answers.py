"""Renders an answer as a tool's result in two channels, text and structured content, each complete and within its bytes.

    reply(answer, page)     one page in both channels, cut between rows, and the row where the next page starts

The limit holds by construction: basis and notes are shortened to a share each; then the page takes the largest number of rows
with which both channels, as they will be sent, fit. If not even one row fits, cells are clipped, then columns are dropped from
the right, until one does. The answer says what was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.counting import count_of, share_of, verb
from sweeplens_mcp.render.basis import basis_json, basis_text, json_size
from sweeplens_mcp.render.cells import Cell, cell, clean, clip, kind, show
from sweeplens_mcp.render.tables import TextTable, table_text

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "MIN_BUDGET",
    "PageRequest",
    "Renderer",
    "ToolReply",
    "render_overview",
    "render_series",
    "render_tables",
    "reply",
]

MIN_BUDGET = 2_000
_BASIS_SHARE, _NOTES_SHARE = 0.3, 0.4
_CELLS = (400, 120, 30)  # maximum characters of a cell, tried in this order
_LINES = (1500, *_CELLS)  # the same where cells are sentences
_TEXTS = (6000, 2500, *_CELLS)  # the same where an answer has few rows, so that a long text takes no room from others
_FEW_ROWS = 3
_SOME_ROWS = 100  # that are tried with whole texts first
_STRETCH = 2  # longer sequences of non-finite points are shown by their ends


class AnswerRow(Struct, frozen=True):
    """A row of one of the answer's tables; ``words``: nan, inf or -inf by column."""

    table: int
    cells: list[Cell]
    words: dict[int, str]


class SeriesSummary(Struct, frozen=True):
    """A whole series: its number of points, and its shape as a sparkline."""

    points: int
    spark: str = ""
    log: bool = False  # whether the sparkline has a log scale


class PageRequest(Struct, frozen=True):
    """Which part of an answer to render, and in how many bytes."""

    budget: int
    start: int = 0  # counted over the rows of all tables, the main one first
    limit: int = 0  # maximum rows; 0: as many as fit
    cursor: Callable[[int], str] | None = None  # makes the cursor for a row; None: the answer has one page
    closing: str = ""  # the cursor after the last page: later news start there
    all_tables: bool = True  # False: only the rows of the main table


class ToolReply(Struct, frozen=True):
    """The two channels, and the row where the next page starts (None: this is the last page).

    A chart is a PNG in ``image`` with text and no structured content.
    """

    structured: dict[str, object] | None
    text: str
    next_row: int | None
    image: bytes = b""


class PreparedAnswer(Struct, frozen=True):
    """The answer with its tables in order, and the part of each row that will be shown."""

    answer: Answer
    page: PageRequest
    chars: int
    columns: int
    tables: tuple[tuple[str, pl.DataFrame], ...]
    total: int  # rows of all tables together
    before: int = 0  # rows before the first row of the tables
    rows: list[AnswerRow] = field(default_factory=list[AnswerRow])
    whole: Mapping[tuple[str, str], SeriesSummary] = field(
        default_factory=dict[tuple[str, str], SeriesSummary]
    )  # by run and metric

    def names(self, table: int) -> list[str]:
        """Names of the columns that are shown of a table."""
        return [clip(c, self.chars) for c in self.tables[table][1].columns[: self.columns]]

    def shown(self, n: int) -> Iterator[tuple[str, TextTable]]:
        """The tables of a page with ``n`` rows: those with rows on it, and on the first page also empty ones."""
        before = 0
        for index, (name, frame) in enumerate(self.tables):
            rows = [row for row in self.rows[:n] if row.table == index]
            empty = not frame.height and self.page.start == 0 and before <= n
            before += frame.height
            if rows or empty or index == 0:
                words = {(i, j): w for i, row in enumerate(rows) for j, w in row.words.items()}
                yield name, TextTable(self.names(index), [row.cells for row in rows], words)


Renderer = Callable[[PreparedAnswer, int], tuple[dict[str, object], str]]
"""Renders the first n rows of a prepared answer: structured content and text."""


def reply(answer: Answer | LazyAnswer, page: PageRequest, renderer: Renderer | None = None) -> ToolReply:
    """Renders one page of an answer; ``renderer`` is tables by default. Of a `LazyAnswer` only the main table has pages."""
    lazy = isinstance(answer, LazyAnswer)
    page = replace(page, budget=max(page.budget, MIN_BUDGET), all_tables=renderer is not render_series and not lazy)
    without_rows = _prepare_lazy(answer, page) if lazy else _prepare(answer, page)
    draw = renderer or render_tables
    best = _with_whole_texts(without_rows, draw)
    if best is not None:
        return best
    cells = _TEXTS if without_rows.total <= _FEW_ROWS else _CELLS
    for chars, columns in _shorter_forms(without_rows.answer, _LINES if renderer is render_overview else cells):
        prepared = _with_rows(without_rows, chars, columns)
        n = _largest(len(prepared.rows), lambda n, s=prepared: _fits(_page(s, n, draw), page.budget))
        if n >= min(1, len(prepared.rows)):
            best = _page(prepared, _at_series_end(prepared, n) if draw is render_series else n, draw)
            break
    assert best is not None, "one clipped cell always fits in the smallest budget"
    return best


def _with_whole_texts(without_rows: PreparedAnswer, draw: Renderer) -> ToolReply | None:
    """Returns a page with all rows and long texts whole, where they are few enough to fit; else None."""
    if draw is not render_tables or not _FEW_ROWS < without_rows.total <= _SOME_ROWS:
        return None
    widest = max(frame.width for _, frame in without_rows.tables)
    for chars in _TEXTS[:2]:
        prepared = _with_rows(without_rows, chars, max(widest, 1))
        n = len(prepared.rows)
        if n == without_rows.total - without_rows.page.start and _fits(
            made := _page(prepared, n, draw), without_rows.page.budget
        ):
            return made
    return None


def render_tables(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders columns and rows, and further tables under ``tables``."""
    tables = list(prepared.shown(n))
    data = _table_json(tables[0][1])
    if len(prepared.tables) > 1:
        data["tables"] = {name: _table_json(table) for name, table in tables[1:]}
    texts = [_titled(name, table) for name, table in tables if table.columns]
    return data, "\n".join(texts)


def render_overview(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders topics as lines. The tables are for programs; only later pages show them as text."""
    data, text = render_tables(prepared, n)
    lines = [": ".join(map(show, row.cells)) for row in prepared.rows[:n] if row.table == 0]
    return data, "\n".join(lines) if prepared.page.start == 0 else text


def render_series(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders one object per run and metric, from rows (run_id, metric, x, value)."""
    groups: dict[tuple[str, str], list[AnswerRow]] = {}
    for row in prepared.rows[:n]:
        groups.setdefault((str(row.cells[0]), str(row.cells[1])), []).append(row)
    series: list[dict[str, object]] = []
    lines: list[str] = []
    for (run, metric), rows in groups.items():
        whole = prepared.whole.get((run, metric)) or SeriesSummary(len(rows))
        series.append(_series_json(run, metric, whole.points, rows))
        lines.append(_series_text(run, metric, whole, rows))
    head = "run metric (points shown/all points) sparkline of all points: x value; x value; ..."
    return {"series": series}, "\n".join([head, *lines])


def _prepare(answer: Answer, page: PageRequest) -> PreparedAnswer:
    """Prepares a complete answer, without rows yet."""
    tables = (("", answer.table), *(answer.tables.items() if page.all_tables else ()))
    return PreparedAnswer(answer, page, 0, 0, tables, sum(frame.height for _, frame in tables))


def _prepare_lazy(answer_to_page: LazyAnswer, page: PageRequest) -> PreparedAnswer:
    """Prepares a `LazyAnswer`, without rows yet: only rows that could fit on the page are computed."""
    answer = answer_to_page.part(page.start, _most_rows(page, answer_to_page.height, len(answer_to_page.columns)))
    return PreparedAnswer(answer, page, 0, 0, (("", answer.table),), answer_to_page.height, before=page.start)


def _with_rows(without_rows: PreparedAnswer, chars: int, columns: int) -> PreparedAnswer:
    prepared, page = replace(without_rows, chars=chars, columns=columns), without_rows.page
    narrow = min((min(f.width, columns) for _, f in prepared.tables if f.height), default=1)
    rows = _rows(prepared, page.start - prepared.before, _most_rows(page, prepared.total, narrow))
    whole = {} if page.all_tables else _whole_series(prepared.answer)
    return replace(prepared, rows=list(_affordable(rows, page)), whole=whole)


def _most_rows(page: PageRequest, total: int, columns: int) -> int:
    """Upper bound on the rows of this width that fit, with the shortest cells possible."""
    return min(page.limit or total, page.budget // (2 + 3 * max(columns, 1)) + 1)


def _affordable(rows: Iterator[AnswerRow], page: PageRequest) -> Iterator[AnswerRow]:
    """Yields rows until they exceed the budget, the last one included. Names of series count once, so not here."""
    room = page.budget
    for row in rows:
        yield row
        room -= json_size(row.cells if page.all_tables else row.cells[2:])
        if room < 0:
            return


def _rows(prepared: PreparedAnswer, start: int, most: int) -> Iterator[AnswerRow]:
    for index, (_, frame) in enumerate(prepared.tables):
        if start >= frame.height:
            start -= frame.height
            continue
        part = frame.slice(start, most).select(frame.columns[: prepared.columns])
        for values in part.iter_rows():
            words = {j: word for j, v in enumerate(values) if (word := kind(v))}
            yield AnswerRow(index, [cell(v, prepared.chars) for v in values], words)
        most -= part.height
        start = 0


def _shorter_forms(answer: Answer, cells: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields (characters, columns) with less and less of each row: shorter cells, then fewer columns."""
    widest = max(f.width for f in (answer.table, *answer.tables.values()))
    yield from ((chars, max(widest, 1)) for chars in cells)
    columns = widest // 2
    while columns >= 1:
        yield cells[-1], columns
        columns //= 2


def _page(prepared: PreparedAnswer, n: int, renderer: Renderer) -> ToolReply:
    data, table = renderer(prepared, n)
    end = prepared.page.start + n
    cursor = prepared.page.cursor(end) if prepared.page.cursor and end < prepared.total else ""
    closing = "" if cursor else prepared.page.closing
    cut = _cut(prepared, n)
    basis = replace(prepared.answer.basis, warnings=(*cut, *prepared.answer.basis.warnings))
    drawn = basis_json(basis, int(prepared.page.budget * _BASIS_SHARE))
    notes = _notes(prepared)
    structured = {**data, "next_cursor": cursor or closing, **({"notes": notes} if notes else {}), "basis": drawn}
    more = [f'For the next page: the same call with cursor="{cursor}"'] if cursor else []
    more += [f'For later news: the same call with cursor="{closing}"'] if closing else []
    text = "\n".join(part for part in (*notes, table, *more, basis_text(drawn)) if part)
    return ToolReply(structured, text, end if cursor else None)


def _notes(prepared: PreparedAnswer) -> list[str]:
    """The notes of the first page that fit into their share, and a count of the others."""
    if prepared.page.start:
        return []
    room = prepared.page.budget * _NOTES_SHARE
    kept: list[str] = []
    for position, note in enumerate(prepared.answer.notes):
        text = clip(note, 600)
        room -= json_size(text) + 2
        if room < 100:
            return [*kept, f"({count_of(len(prepared.answer.notes) - position, 'more note')} left out for room.)"]
        kept.append(text)
    return kept


def _cut(prepared: PreparedAnswer, n: int) -> list[str]:
    """Warnings about the rows and columns that this page does not show."""
    start, total = prepared.page.start, prepared.total
    warnings = [f"rows {start + 1} to {start + n} of {total}"] if start or n < total else []
    if warnings and not prepared.page.cursor:
        warnings = [f"{share_of(total - n, total, 'row')} {verb(total, 'does', 'do')} not fit; other tools show them"]
    widest = max((f for _, f in prepared.tables), key=lambda f: f.width)
    if widest.width > prepared.columns:
        warnings.append(
            f"{widest.width - prepared.columns} of {widest.width} columns "
            f"{verb(widest.width - prepared.columns, 'does', 'do')} not fit: ask for fewer"
        )
    return warnings


def _fits(made: ToolReply, budget: int) -> bool:
    return json_size(made.structured) <= budget and len(made.text.encode()) <= budget


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n up to ``most`` that fits, -1 if not even 0 fits. If n fits, smaller ones do."""
    if fits(most):
        return most
    low, high = -1, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _at_series_end(prepared: PreparedAnswer, n: int) -> int:
    """End of the last whole series within n rows; n itself if the first series is longer or all rows are shown."""
    if prepared.page.start + n >= prepared.total:
        return n
    rows = prepared.rows
    after = n if n < len(rows) else n - 1
    ends = (i for i in range(after, 0, -1) if rows[i].cells[:2] != rows[i - 1].cells[:2])
    return next(ends, n)


def _table_json(table: TextTable) -> dict[str, object]:
    odd = [{"row": i, "column": table.columns[j], "kind": word} for (i, j), word in sorted(table.words.items())]
    data: dict[str, object] = {"columns": list(table.columns), "rows": [list(row) for row in table.rows]}
    return {**data, "nonfinite": odd} if odd else data


def _titled(name: str, table: TextTable) -> str:
    return table_text(table) if not name else f"{name}:{' none' if not table.rows else chr(10) + table_text(table)}"


def _whole_series(answer: Answer) -> dict[tuple[str, str], SeriesSummary]:
    """Summaries of the whole series, by run and metric, if the answer has them."""
    frame = answer.tables.get("series")
    rows = frame.iter_rows(named=True) if frame is not None else ()
    return {
        (clean(str(r["run_id"])), clean(str(r["metric"]))): SeriesSummary(
            int(r["n"]), str(r.get("spark") or ""), log=bool(r.get("log"))
        )
        for r in rows
    }


def _series_json(run: str, metric: str, points: int, rows: Sequence[AnswerRow]) -> dict[str, object]:
    return {
        "run_id": run,
        "metric": metric,
        "n": points,
        "x": [_whole(row.cells[2]) for row in rows],
        "value": [row.cells[3] for row in rows],
        "nonfinite": [row.words[3] for row in rows if 3 in row.words],
    }


def _series_text(run: str, metric: str, whole: SeriesSummary, rows: Sequence[AnswerRow]) -> str:
    spark = f" {whole.spark}{' (log)' * whole.log}" if whole.spark else ""
    return f"{run} {metric} ({len(rows)}/{whole.points}){spark}: {'; '.join(_pairs(rows))}"


def _pairs(rows: Sequence[AnswerRow]) -> Iterator[str]:
    """``x value`` of each point; a non-finite stretch is shown by its ends and its number of points."""
    for word, stretch in groupby(rows, lambda r: r.words.get(3, "")):
        points = list(stretch)
        first, last = show(_whole(points[0].cells[2])), show(_whole(points[-1].cells[2]))
        if word and len(points) > _STRETCH:
            yield f"{first} to {last} {word} ({count_of(len(points), 'point')})"
        else:
            yield from (f"{show(_whole(r.cells[2]))} {show(r.cells[3], word)}" for r in points)


def _whole(value: Cell) -> Cell:
    """Converts a whole float to int, so that steps have no decimal point."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
