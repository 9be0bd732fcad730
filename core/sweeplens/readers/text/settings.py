"""Finds hyperparameters in the text that a program printed before its first row.

It reads ``Namespace(a=1)``, dictionaries and JSON objects, blocks of at least three lines ``key: value`` or ``key = value``
(nested as in YAML), records ``{"key": "seed", "value": 3, ...}``, tables of ``| key | value |``, and one line with several
``key: value``. Text is parsed, never executed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.settings_text import load_yaml

__all__ = ["settings_in"]

_LEAST = 3  # lines of a block, pairs of a line
_MOST_TEXT = 1 << 16
_MOST_KEYS = 500
_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|NOTICE|I)"
_PREFIX = re.compile(
    rf"^\s*(?:\[[^\]]*\b{_LEVEL}\b[^\]]*\][ \t]?"
    rf"|(?:\S+ +){{0,3}}?(?:[-|] )?(?:[\w.\\/]+ [-|] )?\[?{_LEVEL}\]?(?:[: ]+[\w.]+:(?= |$)|:[\w.]+:|\s*[-:|] ?| )"
    r"|\[?\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d[\d,.]*\]?:? ?(?:[-|] )?|\(\w+ pid=\d+\) |\[?rank ?\d+\]?:? )"
)
_PAIR = re.compile(r"^(\s*)(?:--)?([A-Za-z_][\w.\-]*)\s*(:|=)\s*(\S.*)?$")
_ROW = re.compile(r"^\s*\|\s*([A-Za-z_][\w./\-]*)\s*\|\s*([^|]*\S)\s*\|\s*$")
_ITEM = re.compile(r"^\s*-\s+\S")
_RULE = re.compile(r"^[\s\-=+*#|_]*$")
_DEFAULT = re.compile(r"\s+\[default: [^\]]*\]\s*$")
_NAMED_VALUE = frozenset({"key", "value"})
_NEVER = frozenset({"http", "https", "warning", "error", "info", "debug", "note", "traceback", "file", "usage"})


def settings_in(text: str) -> dict[str, object]:
    """Returns the settings in a text, nested as printed."""
    found: dict[str, object] = {}
    text = text[:_MOST_TEXT]
    for values in (*_namespaces(text), *_objects(text), *_blocks(text), *_lists(text)):
        for key, value in values.items():
            if len(found) < _MOST_KEYS:
                found.setdefault(key, value)
    return found


def _balanced(text: str, begin: int) -> str:
    """Returns the text from an opening bracket to its closing one; "" where it is not closed."""
    depth, quote = 0, ""
    for at in range(begin, len(text)):
        sign = text[at]
        if quote:
            quote = "" if sign == quote and text[at - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth == 0:
                return text[begin : at + 1]
    return ""


def _namespaces(text: str) -> Iterator[dict[str, object]]:
    """Yields the arguments of ``Namespace(lr=0.1, device=device(type='cuda'))``; expressions stay text."""
    for match in re.finditer(r"\b(?:Namespace|\w*(?:Args|Arguments|Config|Params))\(", text):
        inside = _balanced(text, match.end() - 1)
        try:
            call = ast.parse(f"f{inside}", mode="eval").body if inside else None
        except (SyntaxError, ValueError, RecursionError):
            continue
        least = 1 if match.group().startswith("Namespace") else _LEAST
        if isinstance(call, ast.Call) and len(call.keywords) >= least:
            yield {k.arg: _plain(k.value) for k in call.keywords if k.arg}


def _plain(node: ast.expr) -> object:
    try:
        value = cast("object", ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return ast.unparse(node)
    if isinstance(value, tuple):
        return list(cast("tuple[object, ...]", value))
    return repr(value) if type(value) in (bytes, complex, set) else value


def _objects(text: str) -> Iterator[dict[str, object]]:
    """Yields dictionaries and JSON objects with at least three keys."""
    at = 0
    while (at := text.find("{", at)) >= 0:
        inside = _balanced(text, at)
        loaded = _object(inside) if inside.count(":") >= _LEAST else None
        if loaded is not None and len(loaded) >= _LEAST and not _is_row(loaded):
            yield _named_value(loaded) if loaded.keys() >= _NAMED_VALUE else loaded
        at += max(1, len(inside) if loaded is not None else 1)


def _named_value(record: dict[str, object]) -> dict[str, object]:
    """Returns the setting that a record states by its name, as MLPerf's loggers do; {} where it states no value."""
    key, value = record["key"], record["value"]
    return {key: value} if isinstance(key, str) and key and value is not None else {}


def _is_row(loaded: dict[str, object]) -> bool:
    """Whether an object is a row of a log: numbers with an epoch or a step."""
    return not {"epoch", "step", "iter", "iteration"}.isdisjoint(loaded) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in loaded.values()
    )


def _object(text: str) -> dict[str, object] | None:
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError):
        try:
            loaded = _plain(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    keys = cast("dict[object, object]", loaded) if isinstance(loaded, dict) else {}
    return {str(k): v for k, v in keys.items()} if keys and all(isinstance(k, str) for k in keys) else None


def _blocks(text: str) -> Iterator[dict[str, object]]:
    """Yields blocks of successive lines ``key: value``."""
    block: list[str] = []
    for line in (*text.split("\n"), "."):
        bare = _DEFAULT.sub("", _PREFIX.sub("", line, count=1)).rstrip()
        row = _ROW.match(bare)
        bare = f"{row[1]}: {row[2]}" if row else bare
        pair = _PAIR.match(bare)
        if (pair and pair[2].lower() not in _NEVER and not (pair[4] or "").startswith("//")) or (
            block and _ITEM.match(bare)
        ):
            block.append(bare)
        elif not _RULE.match(bare):
            if len(block) >= _LEAST:
                yield _block(block)
            block = []


def _block(lines: list[str]) -> dict[str, object]:
    """Parses a block as YAML if it is nested; else line by line."""
    pairs = [m for m in map(_PAIR.match, lines) if m]
    if all(m[3] == ":" for m in pairs) and len({len(m[1]) for m in pairs}) > 1:
        try:
            loaded = load_yaml("\n".join(lines))
        except (ValueError, RecursionError, FormatError):
            loaded = None
        if isinstance(loaded, dict):
            return {str(k): v for k, v in cast("dict[object, object]", loaded).items() if v is not None}
    return {m[2]: _scalar(m[4]) for m in pairs if m[4]}


def _lists(text: str) -> Iterator[dict[str, object]]:
    """Yields the pairs of lines like ``use_gpu: True, epochs: 20, model: sign``."""
    for line in text.split("\n"):
        bare = _PREFIX.sub("", line, count=1).strip()
        parts = [re.match(r"^\s*([A-Za-z_][\w.\-]*)\s*[:=]\s*([^,;]*\S)\s*$", p) for p in re.split(r"[,;]", bare)]
        pairs = [p for p in parts if p]
        if len(pairs) >= _LEAST and len(pairs) == len(parts):
            yield {p[1]: _scalar(p[2]) for p in pairs}


def _scalar(text: str) -> object:
    """Parses a printed value: number, boolean, list or text."""
    text = text.strip().rstrip(",")
    words: dict[str, object] = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
    if text in words:
        return words[text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
    return (
        _plain(ast.parse(text.strip(), mode="eval").body)
        if isinstance(value, int | float | list | tuple | dict | str)
        else text
    )
