"""A table as text that fits a width, for `print(answer)`.

Columns are chosen by `column_choice`, and those left out are named. Words are folded, numbers have five significant digits, rows
beyond the given number are counted. Control characters are escaped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from sweeplens.column_choice import GAP, ColumnWidth, chosen_columns
from sweeplens.counting import count_of
from sweeplens.visible_text import visible

if TYPE_CHECKING:
    import polars as pl

__all__ = ["text_table"]

_CELL = 300


def text_table(frame: pl.DataFrame, room: int, rows: int) -> str:
    """Returns the first rows of a frame as lines of at most ``room`` characters."""
    head = frame.head(rows)
    cells = [[_shown(value) for value in row] for row in head.iter_rows()]
    columns = [
        ColumnWidth(_plain(name), max((len(row[i]) for row in cells), default=0), dtype.is_numeric())
        for i, (name, dtype) in enumerate(frame.schema.items())
    ]
    kept, is_folded = chosen_columns(columns, room)
    headers = [columns[i].header(is_folded=is_folded).split("\n") for i in kept]
    widths = _widths([columns[i] for i in kept], headers, room)
    tallest = max(map(len, headers), default=0)
    lines = _lines([[""] * (tallest - len(h)) + h for h in headers], [columns[i] for i in kept], widths)
    for row in cells:
        folded = [textwrap.wrap(row[i], width) or [""] for i, width in zip(kept, widths, strict=True)]
        lines += _lines(folded, [columns[i] for i in kept], widths)
    return "\n".join([*lines, *_left_out(frame, head.height, kept)])


def _widths(columns: Sequence[ColumnWidth], headers: Sequence[Sequence[str]], room: int) -> list[int]:
    """Returns the width of each column; the widest ones of words are narrowed until all fit."""
    least = [max(map(len, header)) for header in headers]
    widths = [max(column.cells, low) for column, low in zip(columns, least, strict=True)]
    words = [i for i, column in enumerate(columns) if not column.is_number]
    while words and sum(widths) + GAP * (len(widths) - 1) > room:
        widest = max(words, key=lambda i: widths[i])
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    return widths


def _lines(cells: Sequence[Sequence[str]], columns: Sequence[ColumnWidth], widths: Sequence[int]) -> list[str]:
    """Returns the lines of one row whose cells may have several."""
    height = max(map(len, cells), default=0)
    padded = [[*cell, *[""] * (height - len(cell))] for cell in cells]
    return [
        (" " * GAP)
        .join(
            line[at].rjust(width) if column.is_number else line[at].ljust(width)
            for line, column, width in zip(padded, columns, widths, strict=True)
        )
        .rstrip()
        for at in range(height)
    ]


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%MZ}" if value.tzinfo else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, (list, tuple)):
        return _plain(", ".join(map(_shown, cast("Iterable[object]", value))))
    return _plain(str(value))


def _plain(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= _CELL else f"{shown[:_CELL]}..."


def _left_out(frame: pl.DataFrame, rows: int, kept: Sequence[int]) -> list[str]:
    names = ", ".join(_plain(name) for i, name in enumerate(frame.columns) if i not in kept)
    more = [f"... {count_of(frame.height - rows, 'more row')} in .table"] if frame.height > rows else []
    return [*more, *([f"Also in .table: {names}"] if names else [])]
