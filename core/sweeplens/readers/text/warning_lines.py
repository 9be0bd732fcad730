"""Finds the lines in which a program warns, in the first 256 kB and the last 64 kB of its printed log.

    warnings_of(path, begins)   each training of a file -> its warnings
    warnings_in(data)           the same of some bytes

A line warns by its level (``WARNING``, ``[W``, ``UserWarning:``) or by its words (`warning_words`), if it is no row of metrics.
Lines that differ in numbers and paths only are one warning, shown as it was first printed, with its count: ``... (12 times)``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

import polars as pl

from sweeplens.readers.decoding import compression
from sweeplens.readers.text.lines import cleaned
from sweeplens.readers.text.warning_words import HINTS, is_harmless, is_told_by_words

__all__ = ["counted_warning", "joined_warnings", "warning_shape", "warnings_in", "warnings_of"]

_MOST = 20  # warnings of one training
_HEAD_BYTES, _TAIL_BYTES = 1 << 18, 1 << 16
_LONGEST = 2000  # characters of a line that is a message
_WORDS = 240  # characters of a message that are kept
_PLACE = 120  # characters at the start of a line in which its level stands
_SMALL = 4096  # characters up to which a search by Python is faster

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
    r"""[A-Za-z_)\]]["']?\s*[:=]?\s*[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf)%?(?=[\s,;|)}\]]|$)""", re.IGNORECASE
)
_PAIRS = 3  # names with numbers in a row of metrics
_PYTHON_PLACE = re.compile(r"^\S.*?:\d+: (?=[A-Z]\w*Warning: )")
_TIME = re.compile(
    r"^(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.,\d]*Z?\]?|\[?\d\d:\d\d:\d\d[.,\d]*\]?)\s*[-|]?\s*"
)
_SHAPE = r"""[^\s\[\]()'",;=]*[\d/\\][^\s\[\]()'",;=]*"""
_SHAPE_CHARACTERS = 160
_COUNT = re.compile(r" \((\d{1,18}) times\)$")


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
    for message, n in (counted_warning(w) for log in logs for w in log):
        found[message] = max(found.get(message, 0), n)
    return tuple(_with_count(m, n) for m, n in list(found.items())[:_MOST])


def counted_warning(warning: str) -> tuple[str, int]:
    """Returns the message of a warning, and how often it was printed."""
    found = _COUNT.search(warning)
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
    if b"\0" in data or not _may_warn(text):
        return ()
    line = pl.col("line").str.strip_chars_end()
    lines = pl.DataFrame({"line": text.split("\n")}).filter(
        line.str.contains(_ANY_HINT), line.str.len_bytes() <= _LONGEST
    )
    alike = lines.group_by(warning_shape(line).alias("shape"), maintain_order=True).agg(pl.first("line"), n=pl.len())
    found: dict[str, int] = {}
    for first, n in alike.select("line", "n").iter_rows():
        if message := _message(first):
            found[message] = found.get(message, 0) + n
    return tuple(_with_count(m, n) for m, n in list(found.items())[:_MOST])


_ANY_HINT = "|".join(map(re.escape, HINTS))


def _may_warn(text: str) -> bool:
    """Whether a text holds a word of any warning."""
    if len(text) <= _SMALL:
        return any(hint in text for hint in HINTS)
    return bool(pl.Series([text]).str.contains(_ANY_HINT)[0])


def _message(line: str) -> str:
    """Returns the message of a line that warns; "" for any other line."""
    if line.startswith("{"):
        line = _json_message(line)
    has_level = bool(_LEVEL.search(line[:_PLACE]))
    if not line or _CODE.match(line) or not _SENTENCE.search(line) or is_harmless(line):
        return ""
    if not has_level and (len(_PAIR.findall(line)) >= _PAIRS or not is_told_by_words(line)):
        return ""
    message = _TIME.sub("", _PYTHON_PLACE.sub("", line.strip()))
    return message if len(message) <= _WORDS else f"{message[: _WORDS - 3]}..."


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
