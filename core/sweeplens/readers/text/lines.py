"""Cleans the lines of a text log, and finds the shape of each line.

Cleaning removes terminal colours; each state of a progress bar (``\\r``) becomes a line. The shape of a line is the line with one
character in place of every number, so lines printed by one statement share it. A shape is parsed once (`templates`), then the
numbers of all its lines are read by column.
"""

from __future__ import annotations

import re

import polars as pl

from sweeplens.native.line_scan import is_clean

__all__ = [
    "HOLE",
    "MAX_LINE",
    "NUMBERS",
    "bare_shape",
    "cleaned",
    "is_split_header",
    "line_frame",
    "shape_of",
    "split_header",
    "tokens_of",
]

HOLE = "\x01"
MAX_LINE = 1 << 16  # characters; longer lines are not rows
NUMBERS = (
    r"\d{4}[-/]\d\d[-/]\d\d(?:[ T_]+\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"  # a date and a time of day
    r"|\d+(?::\d\d){1,2}(?:\.\d+)?"  # a time of day or a duration
    r"|(?:[-+]|(?-u:\b))(?:[1-9]\d{0,2}(?:,\d{3})+(?-u:\b)(?:\.\d+)?|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
    r"|[-+]?(?i-u:\bnan\b|\binf\b|\binfinity\b)"
)
"""A Polars pattern for numbers, dates and times: the parts of a line that differ between prints of one statement."""
_BARS = re.compile(rb"\xe2\x94[\x82\x83]|\xe2\x95\x91")  # the bars of tables that rich prints
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_PYTHON = re.compile(NUMBERS.replace("(?-u:\\b)", "\\b").replace("(?i-u:", "(?i:"), re.ASCII)
_SPLIT_WORDS = "train(?:ing)?|valid(?:ation|ating)?|val|test(?:ing)?|eval(?:uation|uating)?|dev"
_SPLIT_HEADER = (
    r"^[^A-Za-z0-9|]*(?i-u:stage[._ ])?(?i-u:"
    + _SPLIT_WORDS
    + r")(?i-u:[ _-](?:set|results?|metrics|stats|phase|split|summary))?"
    r"[^A-Za-z0-9|]*$"
)
_MARKS = r"[:=\-*#\[\].<>~]"
MAX_HEADER = 64  # bytes of a line that only names a split
"""``Train:``, ``--- Validation results ---``, ``Stage.TEST``: the rows below are of this split."""
_PYTHON_HEADER = re.compile(
    rf"[^A-Za-z0-9|]*(?:stage[._ ])?({_SPLIT_WORDS})(?:[ _-](?:set|results?|metrics|stats|phase|split|summary))?[^A-Za-z0-9|]*",
    re.IGNORECASE | re.ASCII,
)
_PADDING = re.compile(r"%\|[^|]*\||[\s=>.━╸╺█▏▎▍▌▋▊▉#]+")
_MAY_HOLD_VALUE = r"\d|(?i)nan|^\s*\|"


def cleaned(data: bytes) -> bytes:
    """Returns text in UTF-8 without colours, with ``\\n`` after each line and each overwritten state of a line."""
    if is_clean(data):
        return data
    if b"\x1b" in data:
        data = _ANSI.sub(b"", data)
    if b"\x08" in data:
        data = re.sub(rb"\x08+", b"\n", data)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\xe2\x94" in data or b"\xe2\x95" in data:
        data = _BARS.sub(b"|", data)
    if b"\x01" in data:
        data = data.replace(b"\x01", b" ")
    return data if data.isascii() else data.decode("utf-8", "replace").encode()


def line_frame(text: str) -> pl.DataFrame:
    """Returns the lines that may hold a value: ``line`` (number from 0), ``text``, ``shape``."""
    lines = pl.Series("text", text.split("\n"), dtype=pl.String)
    frame = pl.DataFrame({"line": pl.int_range(len(lines), eager=True, dtype=pl.Int64), "text": lines})
    line = pl.col("text")
    may_hold = line.str.contains(_MAY_HOLD_VALUE) | is_split_header(line)
    some = frame.lazy().filter(may_hold, line.str.len_bytes() <= MAX_LINE)
    return some.with_columns(shape=pl.col("text").str.replace_all(NUMBERS, HOLE)).collect()


def is_split_header(text: pl.Expr) -> pl.Expr:
    """Whether lines only name a split."""
    return (text.str.len_bytes() <= MAX_HEADER) & text.str.contains(_SPLIT_HEADER) & text.str.contains(_MARKS)


def split_header(line: str) -> str:
    """Returns the word for a split in a line that only names one; "" for other lines."""
    found = _PYTHON_HEADER.fullmatch(line) if len(line.encode()) <= MAX_HEADER and re.search(_MARKS, line) else None
    return found[1] if found else ""


def bare_shape(shape: str) -> str:
    """Returns a shape without padding: blanks before numbers, and the filled part of progress bars."""
    return _PADDING.sub(" ", shape).replace(f" {HOLE}", HOLE)


def tokens_of(line: str) -> list[str]:
    """Returns the number texts that the shape of a line replaces."""
    return _PYTHON.findall(line)


def shape_of(line: str) -> str:
    """Returns the shape of one line."""
    return _PYTHON.sub(HOLE, line)
