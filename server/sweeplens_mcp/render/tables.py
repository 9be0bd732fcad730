"""Renders rows of cells as text: an aligned table, or comma-separated lines if an aligned table would be much longer.

Numbers are aligned to the right, words to the left. The choice depends on length alone, so equal rows give equal text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from sweeplens_mcp.render.cells import Cell, show

__all__ = ["TextTable", "table_text"]

_TOO_WIDE, _FREE = 1.25, 200  # maximum length of an aligned table compared with commas: factor, or extra bytes


class TextTable(Struct, frozen=True):
    """Cells to show. ``words`` names non-finite numbers: (row, column) -> nan, inf or -inf."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: Mapping[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])


def table_text(table: TextTable) -> str:
    """The table as text without a final newline; empty for a table without columns."""
    if not table.columns:
        return ""
    shown = [[show(c, table.words.get((i, j), "")) for j, c in enumerate(row)] for i, row in enumerate(table.rows)]
    lines = [list(table.columns), *shown]
    commas = "\n".join(",".join(_quoted(text) for text in line) for line in lines)
    aligned = _aligned(lines, [_is_number(table, j) for j in range(len(table.columns))])
    return aligned if len(aligned) <= max(_TOO_WIDE * len(commas), len(commas) + _FREE) else commas


def _aligned(lines: list[list[str]], numbers: list[bool]) -> str:
    widths = [max(len(line[j]) for line in lines) for j in range(len(numbers))]
    return "\n".join(_line(line, widths, numbers) for line in lines)


def _line(line: list[str], widths: list[int], numbers: list[bool]) -> str:
    padded = (t.rjust(w) if n else t.ljust(w) for t, w, n in zip(line, widths, numbers, strict=True))
    return "  ".join(padded).rstrip()


def _is_number(table: TextTable, column: int) -> bool:
    values = [row[column] for row in table.rows if row[column] is not None]
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"') else text
