"""Display of answers and databases: one line as `repr`, text by `print`, a table in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sweeplens.counting import count_of, share_of
from sweeplens.visible_text import visible, visible_lines

if TYPE_CHECKING:
    import polars as pl

__all__ = ["answer_html", "answer_line", "answer_text", "flat", "html_list"]

_COLUMNS = 6
_ROWS, _WIDTH = 40, 120  # of a table as text


def answer_line(kind: str, height: int, columns: Sequence[str], used: tuple[int, int], tables: Iterable[str]) -> str:
    """Returns one line: rows, columns, runs used of the matching ones, and the further tables."""
    shown = ", ".join(columns[:_COLUMNS]) + (", ..." if len(columns) > _COLUMNS else "")
    more = ", ".join(tables)
    return (
        f"<{kind}: {count_of(height, 'row')} of {shown or 'nothing'}; "
        f"{share_of(*used, 'run')}{f'; tables: {more}' if more else ''}>"
    )


def answer_text(
    notes: Sequence[str], table: pl.DataFrame, tables: Mapping[str, pl.DataFrame], basis: Sequence[str]
) -> str:
    """Returns notes, table and basis as text for `print`; further tables are named. Control characters of logs are escaped."""
    import shutil

    from sweeplens.text_table import text_table

    prose = table.columns == ["topic", "text"]
    room = shutil.get_terminal_size((_WIDTH, _ROWS)).columns
    body = (
        "\n".join(f"{topic}: {text}" for topic, text in table.iter_rows()) if prose else text_table(table, room, _ROWS)
    )
    more = [f".tables[{name!r}]: {count_of(frame.height, 'row')}" for name, frame in tables.items() if frame.width]
    parts = ("\n".join(notes), body, "\n".join((*more, *basis)))
    return "\n".join(map(visible, "\n\n".join(filter(None, parts)).split("\n")))


def answer_html(
    notes: Sequence[str], table: pl.DataFrame, tables: Mapping[str, pl.DataFrame], basis: Sequence[str]
) -> str:
    """Returns notes, tables and their basis as HTML. Texts of logs are escaped."""
    from html import escape

    parts = [f"<p>{escape(visible_lines(note))}</p>" for note in notes]
    parts.append(_table_html(table))
    for name, frame in tables.items():
        if frame.width:
            parts.append(f"<details><summary>{escape(visible_lines(name))}</summary>{_table_html(frame)}</details>")
    parts += [f"<small>{escape(visible_lines(line))}</small><br>" for line in basis]
    return f"<div>{''.join(parts)}</div>"


def _table_html(frame: pl.DataFrame) -> str:
    """Returns Polars' own table, which escapes names and texts."""
    return visible_lines(frame._repr_html_())  # pyright: ignore[reportPrivateUsage]


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns a frame for CSV: lists and objects as JSON text, everything else unchanged."""
    import polars as pl

    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(
        pl.Series(name, [None if v is None else _json(v) for v in frame[name]], pl.String) for name in nested
    )


def _json(value: object) -> str:
    import polars as pl

    plain = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(plain, ensure_ascii=False, default=str)


def html_list(title: str, lines: Iterable[str]) -> str:
    """Returns a title and a list as HTML."""
    from html import escape

    items = "".join(f"<li>{escape(visible_lines(line))}</li>" for line in lines)
    return f"<div><b>{escape(visible_lines(title))}</b><ul>{items}</ul></div>"
