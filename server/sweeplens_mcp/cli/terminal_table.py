"""Formats an answer for a terminal: tables that fit its width, with colours if wanted.

This is the only module that imports rich, so a pipe and a server never load it. Columns are shown from the left while they fit;
the others are named below the table. Rows beyond `MOST_ROWS` are counted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeplens.answers import Answer
from sweeplens_mcp.render.cells import cell, clean, clip, kind, show
from sweeplens_mcp.tools import ToolSpec

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MOST_ROWS", "terminal_text"]

MOST_ROWS = 50
_NARROWEST, _CELL, _GAP = 40, 400, 2
_LEAST = 8  # a column of words may be folded down to this width
_STYLES = {
    "finished": "green", "running": "cyan", "failed": "red", "crashed": "red", "killed": "red", "stalled": "yellow",
    "high": "bold red", "medium": "yellow", "low": "dim",
}  # fmt: skip


def terminal_text(answer: Answer, spec: ToolSpec, limit: int, *, has_color: bool, width: int = 0) -> str:
    """Returns the answer as text for a terminal, with escape sequences."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=has_color, no_color=not has_color, highlight=False, markup=False, emoji=False,
        color_system="standard" if has_color else None, width=max(width or Console().width, _NARROWEST),
    )  # fmt: skip
    for note in answer.notes:
        console.print(clip(note, 2000), style="italic")
    for name, frame in (("", answer.table), *answer.tables.items()):
        if name == "cursor" and spec.news:
            console.print(Text(f"For later news: sweeplens news --cursor {frame['cursor'][0]}", style="dim"))
        elif frame.width and (frame.height or not name):
            _print_table(console, name, frame, limit or MOST_ROWS, is_prose=frame.columns == ["topic", "text"])
    for line in answer.basis.lines():
        console.print(Text(clean(line), style="dim"))
    return out.getvalue()


def _print_table(console: Console, name: str, frame: pl.DataFrame, most: int, *, is_prose: bool) -> None:
    shown = frame.head(most)
    cells = [[show(cell(v, _CELL), kind(v)) for v in row] for row in shown.iter_rows()]
    widths = [max([len(column), *(len(row[i]) for row in cells)]) for i, column in enumerate(frame.columns)]
    n_columns = len(widths) if is_prose else _fitting(widths, [d.is_numeric() for d in frame.dtypes], console.width)
    table = Table(
        title=name or None, title_justify="left", box=None, padding=(0, _GAP, 0, 0), show_header=not is_prose,
        header_style="bold", pad_edge=False,
    )  # fmt: skip
    for column, dtype in list(zip(frame.columns, frame.dtypes, strict=True))[:n_columns]:
        is_number = dtype.is_numeric()
        table.add_column(
            Text(clean(column)), justify="right" if is_number else "left", no_wrap=is_number, overflow="fold"
        )
    for row in cells:
        table.add_row(*(Text(text, style=_STYLES.get(text, "")) for text in row[:n_columns]))
    console.print(table)
    for line in _left_out(frame, shown.height, n_columns):
        console.print(Text(line, style="dim"))


def _fitting(widths: list[int], is_number: list[bool], room: int) -> int:
    """Returns how many columns fit from the left. Columns of words can be folded a little, numbers cannot."""
    used = 0
    for position, (width, number) in enumerate(zip(widths, is_number, strict=True)):
        used += (width if number else min(width, max(_LEAST, room // 3))) + _GAP
        if used - _GAP > room:
            return max(position, 1)
    return len(widths)


def _left_out(frame: pl.DataFrame, n_rows: int, n_columns: int) -> Iterator[str]:
    if n_rows < frame.height:
        yield f"{frame.height - n_rows:,} more rows: --limit {frame.height}"
    if n_columns < frame.width:
        names = ", ".join(clean(name) for name in frame.columns[n_columns:])
        yield f"Columns that do not fit: {names} (a wider terminal, or --format csv)"
