"""Formats an answer for a terminal: tables that fit its width, with colours if wanted.

This is the only module that imports rich, so a pipe and a server never load it. `column_choice` chooses the columns that fit;
the others are named below the table. Rows beyond `MOST_ROWS` are counted. Notes and warnings name commands, not tools.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeplens.answers import Answer
from sweeplens.column_choice import GAP, ColumnWidth, chosen_columns
from sweeplens.counting import count_of
from sweeplens_mcp.render.cells import cell, clean, clip, kind, show
from sweeplens_mcp.tools import ToolSpec

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MOST_ROWS", "terminal_text"]

MOST_ROWS = 50
_NARROWEST, _CELL, _NOTE = 40, 400, 2000
_IN_NOTES = ("summary", "looked_at")  # tables whose content the notes say
_CODE = re.compile(r"`[^`]+`")
_WORD = re.compile(r"(?:\"[^\"]*\"|'[^']*'|\S)+")
_CONTINUED = " \\"  # a shell joins the line with the next one
_SPACE = "\ue000"  # stands for the spaces of a command until lines are broken
_STYLES = {
    "finished": "green", "running": "cyan", "failed": "red", "crashed": "red", "killed": "red", "stalled": "yellow",
    "high": "bold red", "medium": "yellow", "low": "dim",
}  # fmt: skip


def terminal_text(
    answer: Answer,
    spec: ToolSpec,
    limit: int,
    *,
    has_color: bool,
    width: int = 0,
    hint: Callable[[str], str] = str,
) -> str:
    """Returns the answer as text for a terminal, with escape sequences. ``hint`` puts calls of tools as commands."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=has_color, no_color=not has_color, highlight=False, markup=False, emoji=False,
        color_system="standard" if has_color else None, width=max(width or Console().width, _NARROWEST),
    )  # fmt: skip
    for note in answer.notes:
        _print_sentence(console, clip(hint(note), _NOTE), "italic")
    is_prose = answer.table.columns == ["topic", "text"]
    tables = {"": answer.table} if is_prose else {"": answer.table, **answer.tables}
    for name, frame in tables.items():
        _print_gap(console, out)
        if name == "cursor" and spec.news:
            _print_sentence(console, f"For later news: {hint(_later_news(frame['cursor'][0]))}", "dim")
        elif is_prose:
            _print_prose(console, frame, hint)
        elif name not in _IN_NOTES and frame.width and (frame.height or not name):
            _print_table(console, name, frame, limit or MOST_ROWS)
    _print_gap(console, out)
    for line in answer.basis.lines():
        _print_sentence(console, clean(hint(line)), "dim")
    return out.getvalue().replace(_SPACE, " ")


def _unbroken(text: str, width: int) -> str:
    """Returns a text whose commands are one word each; one that is longer than a line continues after a backslash."""
    return _CODE.sub(lambda code: _in_lines(code[0], width).replace(" ", _SPACE), text)


def _in_lines(command: str, width: int) -> str:
    lines = [""]
    for word in _WORD.findall(command):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width - len(_CONTINUED) * (len(command) > width):
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return ("\n" if len(lines) > 1 else "") + f"{_CONTINUED}\n".join(lines)


def _longest_command(text: str) -> int:
    return max((len(code) for code in _CODE.findall(text)), default=0)


def _print_sentence(console: Console, text: str, style: str = "", topic: str = "") -> None:
    """Prints a sentence over the whole width."""
    console.print(Text((f"{topic}: " if topic else "") + _unbroken(text, console.width), style=style))


def _print_prose(console: Console, frame: pl.DataFrame, hint: Callable[[str], str]) -> None:
    """Prints topics beside sentences; from the first command that does not fit there, sentences have the whole width."""
    rows = [(_shown(topic), hint(_shown(text))) for topic, text in frame.iter_rows()]
    room = console.width - max((len(topic) for topic, _ in rows), default=0) - GAP
    beside = next((i for i, (_, text) in enumerate(rows) if _longest_command(text) > room), len(rows))
    table = Table(box=None, padding=(0, GAP, 0, 0), show_header=False, pad_edge=False)
    for topic, text in rows[:beside]:
        table.add_row(Text(topic), Text(_unbroken(text, room)))
    console.print(table)
    for topic, text in rows[beside:]:
        _print_sentence(console, text, topic=topic)


def _print_gap(console: Console, out: io.StringIO) -> None:
    """Prints an empty line between the parts of an answer."""
    if out.getvalue() and not out.getvalue().endswith("\n\n"):
        console.print()


def _later_news(cursor: str) -> str:
    return f'whats_new(cursor="{cursor}")'


def _print_table(console: Console, name: str, frame: pl.DataFrame, most: int) -> None:
    """Prints the first rows."""
    shown = frame.head(most)
    cells = [[_shown(value) for value in row] for row in shown.iter_rows()]
    widths = _widths(frame, cells)
    kept, is_folded = chosen_columns(widths, console.width)
    table = Table(
        title=name or None, title_justify="left", box=None, padding=(0, GAP, 0, 0), show_header=True,
        header_style="bold", pad_edge=False,
    )  # fmt: skip
    for position in kept:
        column = widths[position]
        table.add_column(
            Text(column.header(is_folded=is_folded)),
            justify="right" if column.is_number else "left", no_wrap=column.is_number, overflow="fold",
        )  # fmt: skip
    for row in cells:
        table.add_row(*(Text(row[i], style=_STYLES.get(row[i], "")) for i in kept))
    console.print(table)
    for line in _left_out(frame, shown.height, kept):
        console.print(Text(line, style="dim"))


def _shown(value: object) -> str:
    """Returns a value as text; a time to the minute."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%MZ}" if value.tzinfo else f"{value:%Y-%m-%d %H:%M}"
    return show(cell(value, _CELL), kind(value))


def _widths(frame: pl.DataFrame, cells: Sequence[Sequence[str]]) -> list[ColumnWidth]:
    return [
        ColumnWidth(clean(name), max((len(row[i]) for row in cells), default=0), dtype.is_numeric())
        for i, (name, dtype) in enumerate(frame.schema.items())
    ]


def _left_out(frame: pl.DataFrame, n_rows: int, kept: Sequence[int]) -> Iterator[str]:
    if n_rows < frame.height:
        yield f"{count_of(frame.height - n_rows, 'more row')}: --limit {frame.height}"
    if len(kept) < frame.width:
        names = ", ".join(clean(name) for i, name in enumerate(frame.columns) if i not in kept)
        yield f"Columns that do not fit: {names} (a wider terminal, or --format csv)"
