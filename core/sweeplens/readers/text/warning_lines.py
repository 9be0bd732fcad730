"""Finds the lines in which a program warns, in the first 256 kB and the last 64 kB of its printed log.

    warnings_of(path, begins)   each training of a file -> its warnings
    warnings_in(data)           the same of some bytes

A line warns by its level (``WARNING``, ``[W``, ``UserWarning:``) or by its words (`warning_words`), if it is no row of metrics.
Lines that differ in numbers and paths only are one warning, shown as it was first printed, with its count: ``... (12 times)``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from sweeplens.readers.decoding import compression
from sweeplens.readers.text.lines import cleaned
from sweeplens.readers.text.warning_words import HINTS, is_harmless, is_told_by_words

__all__ = ["COUNT", "joined_warnings", "warning_shape", "warnings_in", "warnings_of"]

_MOST = 20  # warnings of one training
_HEAD_BYTES, _TAIL_BYTES = 1 << 18, 1 << 16
_LONGEST = 2000  # characters of a line that is a message
_WORDS = 240  # characters of a message that are kept
_PLACE = 120  # characters at the start of a line in which its level stands
_BLOCK, _SMALL = 2048, 1 << 13  # characters: of a block of lines, and of a text that is searched in Python

COUNT = r" \(([0-9]{1,18}) times\)"
"""A pattern for the count at the end of a warning."""

_LEVEL = re.compile(
    r"(?<![\w./\-])(?:WARNING|WARN|ERROR|CRITICAL|FATAL)(?![\w./=\-]|\s*[:=|]?\s*[-+]?\.?\d[\d.]*\s*(?:$|[|,]))"
    r"|\b[A-Z]\w*Warning: |^\W{0,3}(?:\S+: )?[Ww]arning(?::| -) |(?i:\blevel=(?:warn(?:ing)?|error|critical|fatal)\b)"
    r"|(?:^|\s|:)\[[WEF](?:\d{4,8})?\s[^\]]*\]|^[WEF]\d{4,8}\s+\d\d:\d\d|\d: [WE] [a-z]"
)
_JSON_LEVEL = re.compile(
    r'"(?:level|levelname|severity|lvl|log_level)": ?"(?:warn(?:ing)?|error|critical|fatal)"', re.IGNORECASE
)
_JSON_MESSAGE = ("event", "message", "msg", "text")
_SENTENCE = re.compile(r"[a-z]{2,}.*\s\S*[A-Za-z]{2,}")
_CODE = re.compile(
    r'\s*(?:File ".*", line \d|raise |warnings\.warn|warn\(|log(?:ger|ging)?\.\w+\(|assert |return |self\.|#|\^|-{1,2}\w|Traceback )'  # noqa: E501
    r"|\s*(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)(?::|$)|Exception ignored in"
)
_PAIR = re.compile(
    r"""((?<![\w.])[A-Za-z_][\w.]*+|[)\]])["']?\s*[:=]?\s*[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf)%?(?=[\s,;|)}\]]|$)""",
    re.IGNORECASE,
)
_PROSE = frozenset(
    "of to at in than from with and or for after by is are was were over only all found first last about".split()
)
_PAIRS = 3  # names with numbers in a row of metrics
_PYTHON_PLACE = re.compile(r"^\S[^:]*\.py:\d+: (?=[A-Z])|^\S.*?:\d+: (?=[A-Z]\w*Warning: )")
_TIME = re.compile(
    r"^(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.,\d]*Z?\]?|\[?\d\d:\d\d:\d\d[.,\d]*\]?)\s*[-|]?\s*"
)
_SHAPE = r"""[^\s\[\]()'",;=]*[0-9/\\][^\s\[\]()'",;=]*"""
_PYTHON_SHAPE = re.compile(_SHAPE)
_SHAPE_CHARACTERS = 160


def warning_shape(text: pl.Expr) -> pl.Expr:
    """Returns messages with ``#`` in place of numbers, paths and names with digits: equal for prints of one statement."""
    return text.str.slice(0, _WORDS).str.replace_all(_SHAPE, "#").str.slice(0, _SHAPE_CHARACTERS)


def warnings_of(path: str, begins: Sequence[int] = ()) -> list[tuple[str, ...]]:
    """Returns the warnings of each training in a file. ``begins``: the first bytes of its second, third ... training."""
    pieces = _ends_of(path)
    if not begins:
        return [warnings_in(b"\n".join(data for _, data in pieces))]
    spans = zip((0, *begins), (*begins, 1 << 62), strict=True)
    return [warnings_in(b"\n".join(_within(piece, first, last) for piece in pieces)) for first, last in spans]


def joined_warnings(*logs: Iterable[str]) -> tuple[str, ...]:
    """Returns the warnings of several logs of one training; one that two logs have is named once, with the larger count."""
    found: dict[str, int] = {}
    for message, n in (_counted(w) for log in logs for w in log):
        found[message] = max(found.get(message, 0), n)
    return tuple(_with_count(m, n) for m, n in list(found.items())[:_MOST])


def _counted(warning: str) -> tuple[str, int]:
    """Returns the message of a warning, and how often it was printed."""
    found = re.search(rf"{COUNT}$", warning)
    return (warning[: found.start()], int(found[1])) if found else (warning, 1)


def _with_count(message: str, n: int) -> str:
    return f"{message} ({n} times)" if n > 1 else message


def _within(piece: tuple[int, bytes], first: int, last: int) -> bytes:
    """Returns the part of a piece between two positions in the file."""
    at, data = piece
    return data[max(0, first - at) : max(0, last - at)]


def _ends_of(path: str) -> list[tuple[int, bytes]]:
    """Returns the whole lines at both ends of a file, each with its position; of a compressed file those at its beginning."""
    with compression.reading(path) as stream:
        head = stream.read(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES:
            return [(0, head)]
        pieces = [(0, head[: head.rfind(b"\n") + 1])]
        if compression.is_compressed(path):
            return pieces
        at = max(_HEAD_BYTES, stream.seek(0, 2) - _TAIL_BYTES)
        stream.seek(at)
        tail = stream.read(_TAIL_BYTES)
        begin = tail.find(b"\n") + 1
        return [*pieces, (at + begin, tail[begin:])]


def warnings_in(data: bytes) -> tuple[str, ...]:
    """Returns the warnings in the lines of a log, in order, each with its count."""
    text = cleaned(data).decode("utf-8", "replace")
    if "\0" in text:
        return ()
    found: dict[str, int] = {}
    near = text if len(text) <= _SMALL else _hinted_blocks(text)
    for line, n in _hinted_lines(near) if len(near) <= _SMALL else _many_hinted_lines(near):
        if message := _message(line):
            found[message] = found.get(message, 0) + n
    return tuple(_with_count(m, n) for m, n in list(found.items())[:_MOST])


def _hinted_blocks(text: str) -> str:
    """Returns those blocks of lines of a long text that hold a word of a warning."""
    blocks: list[str] = []
    at = 0
    while at < len(text):
        end = text.find("\n", at + _BLOCK) + 1 or len(text)
        blocks.append(text[at:end])
        at = end
    lines = pl.Series(blocks)
    return "".join(lines.filter(lines.str.contains(_ANY_HINT)))


def _hinted_lines(text: str) -> Iterator[tuple[str, int]]:
    """Yields the lines of a short text that hold a word of a warning: the first of those that are alike, and their number."""
    ends: set[int] = set()
    for hint in HINTS:
        at = text.find(hint)
        while at >= 0:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            ends.add(end)
            at = text.find(hint, end)
    lines: dict[str, list[str]] = {}
    for end in sorted(ends):
        line = text[text.rfind("\n", 0, end) + 1 : end].rstrip()
        if len(line) <= _LONGEST:
            lines.setdefault(_shape_of(line), []).append(line)
    return ((alike[0], len(alike)) for alike in lines.values())


def _many_hinted_lines(text: str) -> Iterator[tuple[str, int]]:
    """Yields the same of a long text."""
    line = pl.col("line").str.strip_chars_end()
    some = pl.DataFrame({"line": text.split("\n")}).filter(pl.col("line").str.contains(_ANY_HINT))
    short = some.select(line).filter(line.str.len_chars() <= _LONGEST)
    alike = short.group_by(warning_shape(line).alias("shape"), maintain_order=True).agg(pl.first("line"), n=pl.len())
    yield from alike.select("line", "n").iter_rows()


def _shape_of(line: str) -> str:
    return _PYTHON_SHAPE.sub("#", line[:_WORDS])[:_SHAPE_CHARACTERS]


_ANY_HINT = "|".join(map(re.escape, HINTS))


def _message(line: str) -> str:
    """Returns the message of a line that warns; "" for any other line."""
    if line.startswith("{"):
        line = _json_message(line)
    has_level = bool(_LEVEL.search(line[:_PLACE]))
    if not line or _CODE.match(line) or not _SENTENCE.search(line) or is_harmless(line):
        return ""
    if not has_level and (not is_told_by_words(line) or _is_row(line)):
        return ""
    message = _TIME.sub("", _PYTHON_PLACE.sub("", line.strip()))
    return message if len(message) <= _WORDS else f"{message[: _WORDS - 3]}..."


def _is_row(line: str) -> bool:
    """Whether a line has as many names with numbers as a row of metrics."""
    return sum(name.lower() not in _PROSE for name in _PAIR.findall(line)) >= _PAIRS


def _json_message(line: str) -> str:
    """Returns the level and the message of a log line in JSON, and its other texts; "" where its level is no warning."""
    if not _JSON_LEVEL.search(line):
        return ""
    try:
        fields = json.loads(line)
    except ValueError:
        return ""
    message = next((fields[n] for n in _JSON_MESSAGE if isinstance(fields.get(n), str)), "")
    return f"WARNING {message}" if message else ""
