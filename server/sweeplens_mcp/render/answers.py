"""An answer of the library -> the two channels of a tool's result, each complete alone and within the budget.

    reply(answer, page)     one page in both channels, cut at a row's end, and the row where the next goes on

How the budget holds by construction: the basis and the notes have a share each and are shortened into it; then the
largest number of rows is taken with which both channels, as they will be sent, still fit. Where not even one row
fits, cells are clipped, and then columns left out from the right, until one does. What was cut is named in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.answers import Answer, LazyAnswer
from sweeplens_mcp.render.basis import basis_json, basis_text, json_size
from sweeplens_mcp.render.cells import Cell, cell, clean, clip, kind, show
from sweeplens_mcp.render.tables import TextTable, table_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MIN_BUDGET", "Draw", "PageRequest", "ToolReply", "draw_overview", "draw_series", "draw_tables", "reply"]

MIN_BUDGET = 2_000
_BASIS_SHARE, _NOTES_SHARE = 0.3, 0.4
_CELLS = (400, 120, 30)  # characters of a cell, tried in this order
_LINES = (1500, *_CELLS)  # where cells are lines of prose
_STRETCH = 2  # as many points in a row that are not finite are shown one by one


class AnswerRow(Struct, frozen=True):
    """A row of one of the answer's tables; ``words`` names by column what is not finite."""

    table: int
    cells: list[Cell]
    words: dict[int, str]


class SeriesSummary(Struct, frozen=True):
    """A series beyond the points that are shown: how many there are, and their course in a few signs."""

    points: int
    spark: str = ""
    log: bool = False  # whether the signs stand on a log scale


class PageRequest(Struct, frozen=True):
    """Which part of an answer is wanted, in how much room."""

    budget: int
    start: int = 0  # counted over the rows of all tables, the main one first
    limit: int = 0  # most rows; 0: as many as fit
    cursor: Callable[[int], str] | None = None  # the cursor that goes on at a row; None: the answer has one page
    closing: str = ""  # what the last page gives as its cursor: where news begin that come later
    all_tables: bool = True  # False: the rows are those of the main table only


class ToolReply(Struct, frozen=True):
    """The two channels, and the row where the next page starts (None: this was the last).

    A picture (a PNG in ``image``) has text beside it and no structured content.
    """

    structured: dict[str, object] | None
    text: str
    next_row: int | None
    image: bytes = b""


class PreparedAnswer(Struct, frozen=True):
    """The answer with its tables in order, as much of each row as will be shown."""

    answer: Answer
    page: PageRequest
    chars: int
    columns: int
    tables: tuple[tuple[str, pl.DataFrame], ...]
    total: int  # rows of all tables together
    before: int = 0  # rows that stand before those of the tables
    rows: list[AnswerRow] = field(default_factory=list[AnswerRow])
    whole: Mapping[tuple[str, str], SeriesSummary] = field(
        default_factory=dict[tuple[str, str], SeriesSummary]
    )  # by run and metric

    def names(self, table: int) -> list[str]:
        """The columns of a table that are shown."""
        return [clip(c, self.chars) for c in self.tables[table][1].columns[: self.columns]]

    def shown(self, n: int) -> Iterator[tuple[str, TextTable]]:
        """The tables of a page with ``n`` rows: those that have rows on it, and on the first page the empty ones."""
        before = 0
        for index, (name, frame) in enumerate(self.tables):
            rows = [row for row in self.rows[:n] if row.table == index]
            empty = not frame.height and self.page.start == 0 and before <= n
            before += frame.height
            if rows or empty or index == 0:
                words = {(i, j): w for i, row in enumerate(rows) for j, w in row.words.items()}
                yield name, TextTable(self.names(index), [row.cells for row in rows], words)


Draw = Callable[[PreparedAnswer, int], tuple[dict[str, object], str]]
"""A sheet and a number of rows -> the data of both channels."""


def reply(answer: Answer | LazyAnswer, page: PageRequest, draw: Draw | None = None) -> ToolReply:
    """One page of an answer. ``draw`` shows its rows: tables by default. Of a scroll the main table is paged through."""
    rolled = isinstance(answer, LazyAnswer)
    page = replace(page, budget=max(page.budget, MIN_BUDGET), all_tables=draw is not draw_series and not rolled)
    best: ToolReply | None = None
    opened = _unrolled(answer, page) if rolled else _opened(answer, page)
    for chars, columns in _ladder(opened.answer, _LINES if draw is draw_overview else _CELLS):
        sheet = _sheet(opened, chars, columns)
        n = _largest(len(sheet.rows), lambda n, s=sheet: _fits(_page(s, n, draw or draw_tables), page.budget))
        if n >= min(1, len(sheet.rows)):
            best = _page(sheet, _at_series_end(sheet, n) if draw is draw_series else n, draw or draw_tables)
            break
    assert best is not None, "one clipped cell always fits in the least budget"
    return best


def draw_tables(sheet: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Columns and rows; further tables under ``tables``."""
    tables = list(sheet.shown(n))
    data = _table_json(tables[0][1])
    if len(sheet.tables) > 1:
        data["tables"] = {name: _table_json(table) for name, table in tables[1:]}
    texts = [_titled(name, table) for name, table in tables if table.columns]
    return data, "\n".join(texts)


def draw_overview(sheet: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Topics as lines; the tables beside them are for programs, and shown as text on later pages only."""
    data, text = draw_tables(sheet, n)
    lines = [": ".join(map(show, row.cells)) for row in sheet.rows[:n] if row.table == 0]
    return data, "\n".join(lines) if sheet.page.start == 0 else text


def draw_series(sheet: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """One object for each run and metric; the rows are (run_id, metric, x, value)."""
    groups: dict[tuple[str, str], list[AnswerRow]] = {}
    for row in sheet.rows[:n]:
        groups.setdefault((str(row.cells[0]), str(row.cells[1])), []).append(row)
    series: list[dict[str, object]] = []
    lines: list[str] = []
    for (run, metric), rows in groups.items():
        whole = sheet.whole.get((run, metric)) or SeriesSummary(len(rows))
        series.append(_series_json(run, metric, whole.points, rows))
        lines.append(_series_text(run, metric, whole, rows))
    head = "run metric (points shown/points that exist) course of all points: x value; x value; ..."
    return {"series": series}, "\n".join([head, *lines])


def _opened(answer: Answer, page: PageRequest) -> PreparedAnswer:
    """The sheet of an answer that is there as a whole, with none of its rows yet."""
    tables = (("", answer.table), *(answer.tables.items() if page.all_tables else ()))
    return PreparedAnswer(answer, page, 0, 0, tables, sum(frame.height for _, frame in tables))


def _unrolled(scroll: LazyAnswer, page: PageRequest) -> PreparedAnswer:
    """The sheet of a scroll, with none of its rows yet: what could stand on the page is made, and nothing else."""
    answer = scroll.part(page.start, _most_rows(page, scroll.height, len(scroll.columns)))
    return PreparedAnswer(answer, page, 0, 0, (("", answer.table),), scroll.height, before=page.start)


def _sheet(opened: PreparedAnswer, chars: int, columns: int) -> PreparedAnswer:
    sheet, page = replace(opened, chars=chars, columns=columns), opened.page
    narrow = min((min(f.width, columns) for _, f in sheet.tables if f.height), default=1)
    rows = _rows(sheet, page.start - sheet.before, _most_rows(page, sheet.total, narrow))
    whole = {} if page.all_tables else _whole_series(sheet.answer)
    return replace(sheet, rows=list(_affordable(rows, page)), whole=whole)


def _most_rows(page: PageRequest, total: int, columns: int) -> int:
    """More rows of so many columns than this never fit, however short their cells."""
    return min(page.limit or total, page.budget // (2 + 3 * max(columns, 1)) + 1)


def _affordable(rows: Iterator[AnswerRow], page: PageRequest) -> Iterator[AnswerRow]:
    """Rows while they could fit by themselves, and one more; those of series stand in their names only once."""
    room = page.budget
    for row in rows:
        yield row
        room -= json_size(row.cells if page.all_tables else row.cells[2:])
        if room < 0:
            return


def _rows(sheet: PreparedAnswer, start: int, most: int) -> Iterator[AnswerRow]:
    for index, (_, frame) in enumerate(sheet.tables):
        if start >= frame.height:
            start -= frame.height
            continue
        part = frame.slice(start, most).select(frame.columns[: sheet.columns])
        for values in part.iter_rows():
            words = {j: word for j, v in enumerate(values) if (word := kind(v))}
            yield AnswerRow(index, [cell(v, sheet.chars) for v in values], words)
        most -= part.height
        start = 0


def _ladder(answer: Answer, cells: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Less and less of each row: shorter cells, then fewer columns."""
    widest = max(f.width for f in (answer.table, *answer.tables.values()))
    yield from ((chars, max(widest, 1)) for chars in cells)
    columns = widest // 2
    while columns >= 1:
        yield cells[-1], columns
        columns //= 2


def _page(sheet: PreparedAnswer, n: int, draw: Draw) -> ToolReply:
    data, table = draw(sheet, n)
    end = sheet.page.start + n
    cursor = sheet.page.cursor(end) if sheet.page.cursor and end < sheet.total else ""
    closing = "" if cursor else sheet.page.closing
    cut = _cut(sheet, n)
    basis = replace(sheet.answer.basis, warnings=(*cut, *sheet.answer.basis.warnings))
    drawn = basis_json(basis, int(sheet.page.budget * _BASIS_SHARE))
    notes = _notes(sheet)
    structured = {**data, "next_cursor": cursor or closing, **({"notes": notes} if notes else {}), "basis": drawn}
    more = [f'For the rest: the same call with cursor="{cursor}"'] if cursor else []
    more += [f'For what comes next: the same call with cursor="{closing}"'] if closing else []
    text = "\n".join(part for part in (*notes, table, *more, basis_text(drawn)) if part)
    return ToolReply(structured, text, end if cursor else None)


def _notes(sheet: PreparedAnswer) -> list[str]:
    """The notes that fit into their share, on the first page; the others are counted."""
    if sheet.page.start:
        return []
    room = sheet.page.budget * _NOTES_SHARE
    kept: list[str] = []
    for position, note in enumerate(sheet.answer.notes):
        text = clip(note, 600)
        room -= json_size(text) + 2
        if room < 100:
            return [*kept, f"({len(sheet.answer.notes) - position} more notes do not fit.)"]
        kept.append(text)
    return kept


def _cut(sheet: PreparedAnswer, n: int) -> list[str]:
    """What this page does not show."""
    start, total = sheet.page.start, sheet.total
    warnings = [f"rows {start + 1} to {start + n} of {total}"] if start or n < total else []
    if warnings and not sheet.page.cursor:
        warnings = [f"{total - n} of {total} rows do not fit; other tools show them"]
    widest = max((f for _, f in sheet.tables), key=lambda f: f.width)
    if widest.width > sheet.columns:
        warnings.append(f"{widest.width - sheet.columns} of {widest.width} columns do not fit: ask for fewer")
    return warnings


def _fits(made: ToolReply, budget: int) -> bool:
    return json_size(made.structured) <= budget and len(made.text.encode()) <= budget


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n up to ``most`` that fits; -1 when not even 0 does. Whatever is shorter than what fits, fits."""
    if fits(most):
        return most
    low, high = -1, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _at_series_end(sheet: PreparedAnswer, n: int) -> int:
    """The end of the last whole series within n rows; n itself when the first series is longer, or all is shown."""
    if sheet.page.start + n >= sheet.total:
        return n
    rows = sheet.rows
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
    """What each series is beyond the points shown, as far as the answer says."""
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
    """``x value`` of each point; a stretch that is not finite by its ends and how many of its points are shown."""
    for word, stretch in groupby(rows, lambda r: r.words.get(3, "")):
        same = list(stretch)
        first, last = show(_whole(same[0].cells[2])), show(_whole(same[-1].cells[2]))
        if word and len(same) > _STRETCH:
            yield f"{first} to {last} {word} ({len(same)} points)"
        else:
            yield from (f"{show(_whole(r.cells[2]))} {show(r.cells[3], word)}" for r in same)


def _whole(value: Cell) -> Cell:
    """A whole number without its decimal point, so that steps read as steps."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
