"""Formats an answer for a person or a program: a table on a terminal, stable text, CSV, JSON or Markdown.

    Output.of(format, file, color)      the requested output. Raises InputError
    formatted(answer, spec, ...)        the answer as text of the format
    beside_data(answer, ...)            notes and basis, for stderr where the format is CSV
    write(text, output)                 writes the text to stdout or to the file

The default is a table on a terminal and, in a pipe or a file, the text that clients get, without a limit on its length: aligned
columns, or commas if those are much shorter. Programs ask for CSV or JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.answers import Answer, reworded
from sweeplens.display import flat
from sweeplens.errors import InputError
from sweeplens_mcp.render.answers import PageRequest, reply
from sweeplens_mcp.render.basis import basis_json, basis_text
from sweeplens_mcp.render.cells import cell, kind, show
from sweeplens_mcp.tools import ToolSpec

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FORMATS", "Output", "beside_data", "formatted", "write"]

Format = Literal["table", "text", "csv", "json", "md"]
FORMATS: tuple[Format, ...] = ("table", "text", "csv", "json", "md")
_OTHER_KINDS = frozenset(".xls .xlsx .ods .parquet .feather .pdf .png .svg .html .tsv .yaml .yml .toml .pkl".split())
_NO_LIMIT = 1 << 50
_MARKDOWN = re.compile(r"(`[^`]*`)|[*_<]")  # code, which stays, and signs of Markdown
_CELL = 10_000  # characters of a cell without a limit on width


class Output(Struct, frozen=True):
    """The destination of an answer, its format, and whether it has colours."""

    format: Format
    file: Path | None
    has_color: bool

    @classmethod
    def of(cls, format: str, file: str, color: str) -> Output:
        """Returns the requested output; by default the format follows the file's suffix."""
        is_terminal = not file and sys.stdout.isatty()
        chosen = format or _format_of(file) or ("table" if is_terminal or color == "always" else "text")
        if chosen not in FORMATS:
            raise InputError(f"No format {chosen!r}: one of {', '.join(FORMATS)}.")
        wanted = color == "always" or (color == "auto" and is_terminal and not os.environ.get("NO_COLOR"))
        return cls(chosen, Path(file) if file else None, wanted)


def write(text: str, output: Output) -> None:
    """Writes the result of `formatted`. Raises OSError."""
    if output.file is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        output.file.write_text(text, encoding="utf-8", newline="\n")


def formatted(answer: Answer, spec: ToolSpec, limit: int, output: Output, hint: Callable[[str], str] = str) -> str:
    """Returns the answer as text of the format, with a final newline. ``hint``: puts calls as commands, except in JSON."""
    if output.format == "table":
        from sweeplens_mcp.cli.terminal_table import terminal_text

        return terminal_text(answer, spec, limit, has_color=output.has_color, hint=hint)
    answer, closing = _without_cursor(_first_rows(answer, limit), spec)
    if output.format == "csv":
        return flat(reworded(answer, hint).table).write_csv()
    if output.format == "json":
        rendered = reply(answer, PageRequest(_NO_LIMIT, closing=closing), spec.renderer)
        return json.dumps(rendered.structured, ensure_ascii=False) + "\n"
    answer = reworded(answer, hint)
    if output.format == "md":
        return "\n\n".join(_markdown(answer)) + "\n"
    text = reply(answer, PageRequest(_NO_LIMIT, closing=closing), spec.renderer).text
    return text.replace(f'the same call with cursor="{closing}"', f"the same command with --cursor {closing}") + "\n"


def beside_data(answer: Answer, limit: int, output: Output, hint: Callable[[str], str] = str) -> str:
    """Returns the notes and the basis for stderr where the format holds data alone; empty for the other formats."""
    if output.format != "csv":
        return ""
    answer = reworded(_first_rows(answer, limit), hint)
    return "\n".join([*answer.notes, *_basis_lines(answer)]) + "\n"


def _basis_lines(answer: Answer) -> list[str]:
    return basis_text(basis_json(answer.basis, _NO_LIMIT)).splitlines()


def _without_cursor(answer: Answer, spec: ToolSpec) -> tuple[Answer, str]:
    """Returns the answer without the table of the next cursor, which news have."""
    if not spec.news:
        return answer, ""
    rest = {name: table for name, table in answer.tables.items() if name != "cursor"}
    return replace(answer, tables=rest), str(answer.tables["cursor"]["cursor"][0])


def _first_rows(answer: Answer, limit: int) -> Answer:
    """Cuts the main table to its first rows, and says so in the basis."""
    height = answer.table.height
    if not limit or height <= limit:
        return answer
    warnings = (f"rows 1 to {limit} of {height}", *answer.basis.warnings)
    return replace(answer, table=answer.table.head(limit)).resting_on(warnings=warnings)


def _markdown(answer: Answer) -> Iterator[str]:
    yield from answer.notes
    yield markdown_table(answer.table)
    for name, frame in answer.tables.items():
        if frame.width:
            yield f"### {name}"
            yield markdown_table(frame)
    yield from (_MARKDOWN.sub(lambda sign: sign[1] or f"\\{sign[0]}", line) for line in _basis_lines(answer))


def markdown_table(frame: pl.DataFrame) -> str:
    """Returns a table in GitHub's Markdown; numbers are aligned to the right."""
    names = [_in_markdown(name) for name in frame.columns]
    rules = ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]
    rows = (" | ".join(_in_markdown(show(cell(v, _CELL), kind(v))) for v in row) for row in frame.iter_rows())
    return "\n".join(f"| {line} |" for line in (" | ".join(names), " | ".join(rules), *rows))


def _in_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _format_of(file: str) -> str:
    """Returns the format that a file's name asks for; empty without a file. Raises InputError for a kind that is not written."""
    suffix = Path(file).suffix.lower()
    if suffix in _OTHER_KINDS:
        raise InputError(
            f"No answer is written as {suffix}: name a file with .csv, .json, .md or .txt, or pass --format."
        )
    return {".csv": "csv", ".json": "json", ".md": "md"}.get(suffix, "text" if file else "")
