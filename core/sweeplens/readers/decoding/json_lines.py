"""Reads JSON lines, so that a bad line does not affect the others.

Each line is decoded by msgspec, or by the standard library where msgspec refuses it (NaN and Infinity literals). A line that
both refuse is a problem with line, column and reason. A last line without a newline counts if it is complete JSON; otherwise
its problem is ``torn``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from sweeplens.errors import SourceLimitError
from sweeplens.plain_data import plain_value
from sweeplens.readers.protocol import Problem
from sweeplens.source_limits import MAX_CONTAINERS

__all__ = ["JsonLine", "JsonLines", "peek"]

MAX_NESTING = 100
_BOM = b"\xef\xbb\xbf"
_EXCERPT = 80
_MOST = 20  # lines of a head that are parsed
_ENOUGH = 3  # with so many complete objects in a head, the cut one is not needed
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)|[{}\[\]]', re.DOTALL)
_VALUE = re.compile(r"\s*:\s*(\S?)")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_decode = msgspec.json.Decoder().decode


class JsonLine(Struct, frozen=True):
    """One object of a file and the number of its line, from 1."""

    number: int
    value: dict[str, Any]


class JsonLines:
    """Iterates over the objects of JSON lines. Afterwards `problems` lists what could not be read.

    ``data``: the bytes, or pieces of whole lines. A piece that exceeds a limit is a problem, and ends the iteration.

    ``consumed`` counts the bytes that a later reading can skip, ``number`` the lines in them.
    """

    def __init__(self, data: bytes | Iterable[bytes], file: str, *, first_line: int = 1) -> None:
        self._pieces = (data,) if isinstance(data, bytes) else data
        self._file = file
        self.number = first_line - 1
        self.consumed = 0
        self.problems: list[Problem] = []

    def __iter__(self) -> Iterator[JsonLine]:
        begin = 0
        try:
            for piece in self._pieces:
                yield from self._of(piece, begin)
                begin += len(piece)
        except SourceLimitError as error:
            self.problems.append(Problem(self._file, str(error), self.number + 1))

    def _of(self, data: bytes, begin: int) -> Iterator[JsonLine]:
        """Yields the objects of a piece that begins at a position."""
        if data.isspace() and data.endswith(b"\n"):
            self.consumed, self.number = begin + len(data), self.number + data.count(b"\n")
            return
        at = 0
        if self.number == 0 and data.startswith(_BOM):
            at = self.consumed = len(_BOM)
        while at < len(data):
            end = data.find(b"\n", at)
            torn = end < 0
            raw = data[at:] if torn else data[at:end]
            at = len(data) if torn else end + 1
            value = self._one(raw, torn=torn)
            if not torn or value is not None or not raw.strip():
                self.consumed = begin + at
            if value is not None:
                yield JsonLine(self.number, value)
            if torn and self.consumed == begin + at:
                self.number -= 1  # the next bytes, perhaps only a newline, belong to the same line

    def _one(self, raw: bytes, *, torn: bool) -> dict[str, Any] | None:
        self.number += 1
        if not raw.strip():
            return None
        try:
            value = decode(raw)
        except ValueError as error:
            self._problem(raw, error, torn=torn)
            if torn:
                self.number -= 1
            return None
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        self.problems.append(self._named(raw, f"a JSON {_kind(value)}, not an object"))
        return None

    def _problem(self, raw: bytes, error: ValueError, *, torn: bool) -> None:
        column = error.colno if isinstance(error, json.JSONDecodeError) else None
        if isinstance(error, UnicodeDecodeError):
            reason, column = f"not UTF-8: {error.reason}", error.start + 1
        elif torn:
            reason = "the last line is not complete"
        elif b"\0" in raw:
            reason, column = "holds NUL bytes", raw.index(b"\0") + 1
        else:
            reason = f"not JSON: {error.msg if isinstance(error, json.JSONDecodeError) else error}"
        self.problems.append(self._named(raw, reason, column=column, torn=torn))

    def _named(self, raw: bytes, reason: str, *, column: int | None = None, torn: bool = False) -> Problem:
        excerpt = raw[:_EXCERPT].decode("utf-8", "replace")
        return Problem(self._file, reason, self.number, column, "torn" if torn else "malformed", excerpt=excerpt)


def decode(raw: bytes) -> object:
    """Decodes one JSON value; NaN and Infinity are allowed. Raises ValueError, with a column where it is known."""
    if len(raw) > MAX_CONTAINERS and raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise ValueError(f"has more than {MAX_CONTAINERS:,} lists and objects: not read")
    try:
        value = _decode(raw)
    except (ValueError, msgspec.DecodeError, RecursionError):
        value = _decode_slowly(raw)
    if len(raw) > 2 * MAX_NESTING and raw.count(b"[") + raw.count(b"{") > MAX_NESTING and _too_deep(value):
        raise ValueError(f"nested deeper than {MAX_NESTING} levels")
    return value


def _decode_slowly(raw: bytes) -> object:
    try:
        value = json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_NESTING} levels") from None
    return plain_value(value) if _SURROGATE.search(raw) else value


def _too_deep(value: object) -> bool:
    """Whether lists and objects nest too deeply for recursive functions."""
    level = [value]
    for _ in range(MAX_NESTING):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, list | dict)]
    return bool(level)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def peek(head: bytes, *, most: int = _MOST) -> list[dict[str, Any]]:
    """Returns the first objects in a file's head; of a line that the head cuts off, the keys that begin in it.

    A key of a cut line gets ``{}``, ``[]``, 0 or None, by the first character of its value.
    """
    return [value for line, value in _peek(head) if line < most]


@lru_cache(maxsize=128)
def _peek(head: bytes) -> tuple[tuple[int, dict[str, Any]], ...]:
    """Returns line numbers and objects; cached, since many readers see the same head one after another."""
    found: list[tuple[int, dict[str, Any]]] = []
    lines = head.removeprefix(_BOM).split(b"\n")
    for index, raw in enumerate(lines[:_MOST]):
        text = raw.strip()
        if not text.startswith(b"{"):
            continue
        try:
            value = decode(text)
        except ValueError:
            if index == len(lines) - 1 and len(found) < _ENOUGH:
                found.append((index, _cut_object(text.decode("utf-8", "ignore"))))
            continue
        found.append((index, cast("dict[str, Any]", value)))
    return tuple(found)


def _cut_object(text: str) -> dict[str, Any]:
    """Returns the top-level keys of an object without its end, with an empty value of the right kind."""
    keys: dict[str, Any] = {}
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0][0] != '"':
            depth += 1 if token[0] in "{[" else -1
        elif depth == 1 and (value := _VALUE.match(text, token.end())):
            keys[token[0][1:-1]] = _placeholder(value[1])
    return keys


def _placeholder(begin: str) -> dict[str, Any] | list[Any] | int | None:
    """Returns an empty value of the kind that begins with this character."""
    if begin == "{":
        return {}
    if begin == "[":
        return []
    return 0 if begin and begin in "-0123456789" else None


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "text" if isinstance(value, str) else "null"
