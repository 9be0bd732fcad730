"""Bytes of a text log -> cleaned lines, and lines -> shapes.

A line is cleaned of colours and of what a terminal overwrote; each state of a progress bar (``\\r``) is a line of its own.
The shape of a line is the line with every number replaced by one sign, so that lines printed by one statement share it. A
shape is understood once (`fields`), then the numbers of all its lines are taken by column.
"""

from __future__ import annotations

import re

import polars as pl

__all__ = ["HOLE", "MAX_LINE", "NUMBERS", "bare_shape", "cleaned", "line_frame", "tokens_of"]

HOLE = "\x01"
MAX_LINE = 1 << 16  # characters; longer lines are no rows
NUMBERS = (
    r"\d{4}[-/]\d\d[-/]\d\d(?:[ T_]+\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"  # a date and a time of day
    r"|\d+(?::\d\d){1,2}(?:\.\d+)?"  # a time of day or a duration
    r"|(?:[-+]|(?-u:\b))(?:[1-9]\d{0,2}(?:,\d{3})+(?-u:\b)(?:\.\d+)?|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
    r"|[-+]?(?i-u:\bnan\b|\binf\b|\binfinity\b)"
)
"""Everything in a line that may change from one print of a statement to the next, as a pattern of Polars."""
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_PYTHON = re.compile(NUMBERS.replace("(?-u:\\b)", "\\b").replace("(?i-u:", "(?i:"), re.ASCII)
_FILLING = re.compile(r"%\|[^|]*\||[\s=>.━╸╺█▏▎▍▌▋▊▉#]+")
_WORTH = r"\d|(?i)nan|^\s*\|"


def cleaned(data: bytes) -> str:
    """Text without colours, with ``\\n`` after each line and after each state of a line that was overwritten."""
    if b"\x1b" in data:
        data = _ANSI.sub(b"", data)
    if b"\x08" in data:
        data = re.sub(rb"\x08+", b"\n", data)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\x01", b" ").decode("utf-8", "replace")


def line_frame(text: str) -> pl.DataFrame:
    """The lines that may hold a value: ``line`` (its number from 0), ``text``, ``shape``."""
    lines = pl.Series("text", text.split("\n"), dtype=pl.String)
    frame = pl.DataFrame({"line": pl.int_range(len(lines), eager=True, dtype=pl.Int64), "text": lines})
    some = frame.lazy().filter(pl.col("text").str.contains(_WORTH), pl.col("text").str.len_bytes() <= MAX_LINE)
    return some.with_columns(shape=pl.col("text").str.replace_all(NUMBERS, HOLE)).collect()


def bare_shape(shape: str) -> str:
    """A shape without what only fills a line: blanks before numbers, how far a bar is."""
    return _FILLING.sub(" ", shape).replace(f" {HOLE}", HOLE)


def tokens_of(line: str) -> list[str]:
    """The texts that stand where the shape of a line has its holes."""
    return _PYTHON.findall(line)
