"""Reads saved settings as plain data: JSON, YAML, TOML, and text with ``key: value`` lines or a printed object.

    looks_like_settings   whether a file with a configuration's name is one, from its first 4 kB
    parse_settings        parses a whole file
    settings_in_text      parses text: a printed ``Namespace(...)``, a dictionary, ``key: value``, ``key=value``, ``--key=value``

It never runs code: a printed object is read from its syntax tree.
"""

from __future__ import annotations

import ast
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.python_config import MAX_CONFIG_CHARACTERS, read_python_config

__all__ = ["load_yaml", "looks_like_settings", "parse_settings", "settings_in_text", "value_in_text"]

_PRINTED = re.compile(r"[A-Za-z_][\w.]*\(")
_PAIR = re.compile(r"\s*(?:-{0,2})([A-Za-z_][\w./-]*)\s*(?::(?=\s|$)|=)\s*(.*?)\s*")
_DEFAULT = re.compile(r"\s+\[default:.*\]$")
_KEY_LINE = {
    "yaml": re.compile(r"""(?:["']?[\w./ -]+["']?\s*:(?:\s|$)|---|\.\.\.|%YAML)"""),
    "toml": re.compile(r"""(?:\[.*\]|["']?[\w. -]+["']?\s*=)"""),
}
_WORDS: dict[str, object] = {
    "true": True, "false": False, "none": None, "null": None, "nan": float("nan"), "inf": float("inf"),
    "-inf": float("-inf"),
}  # fmt: skip
_MOST_REPEATED = 0.2  # share of lines with a repeated key: logs repeat their names


def looks_like_settings(name: str, head: bytes) -> bool:
    """Whether the beginning of a file looks like settings, and not like rows of a log, a data set or prose."""
    kind = _kind(name)
    text = head.removeprefix(BOM_UTF8).decode("utf-8", "replace").strip()
    if kind == "json":
        return text.startswith("{") and not _are_lines(text)
    if kind == "text":
        return _is_settings_text(text)
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in " \t#-}]"]
    keys = sum(bool(_KEY_LINE[kind].match(line)) for line in lines)
    return 2 * keys > len(lines) or (kind == "yaml" and text.startswith("{"))


def parse_settings(name: str, data: bytes) -> object:
    """Parses the content of a configuration. Raises ValueError or FormatError where it cannot be read."""
    kind = _kind(name)
    if kind == "json":
        return decode(data.removeprefix(BOM_UTF8))
    text = data.decode("utf-8-sig")
    if kind == "yaml":
        return load_yaml(text)
    return _toml(text) if kind == "toml" else settings_in_text(text)


def load_yaml(text: str) -> object:
    """Parses YAML as dicts, lists, text, numbers and times only. Raises ValueError."""
    from sweeplens.readers.decoding.loose_yaml import load  # the parser takes as long to import as all readers

    return load(text)


def settings_in_text(text: str) -> dict[str, object]:
    """Parses settings that a program printed. Raises FormatError for text without settings."""
    text = text.strip()
    if text.startswith("{"):
        return _dictionary(text)
    if _PRINTED.match(text) and text.endswith(")"):
        return _printed(text)
    found: dict[str, object] = {}
    for key, value in _pairs(text):
        found.setdefault(key, value)
    if not found:
        raise FormatError("it has no `key: value` line")
    return found


def _kind(name: str) -> str:
    suffix = name.rpartition(".")[2].lower()
    return {"json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml", "flags": "yaml"}.get(
        suffix if "." in name.rpartition("/")[2] else name.rpartition("/")[2], "text"
    )


def _are_lines(text: str) -> bool:
    """Whether JSON text has one object in each line, so that it holds rows and not settings."""
    first, _, rest = text.partition("\n")
    return first.rstrip().endswith("}") and first != "{}" and rest.lstrip().startswith("{")


def _is_settings_text(text: str) -> bool:
    if text.startswith("{") or _PRINTED.match(text):
        return not _are_lines(text)
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    keys = [m[1] for line in lines if (m := _PAIR.fullmatch(line))]
    return 2 * len(keys) > len(lines) and len(keys) - len(set(keys)) <= _MOST_REPEATED * len(keys)


def _toml(text: str) -> object:
    import tomllib

    return tomllib.loads(text)


def _dictionary(text: str) -> dict[str, object]:
    try:
        found = decode(text.encode())
    except ValueError:
        found = _literal(text)
    if not isinstance(found, dict):
        raise FormatError("it is neither JSON nor a Python dictionary")
    return cast("dict[str, object]", found)


def _printed(text: str) -> dict[str, object]:
    """Returns the arguments of ``Namespace(lr=0.1, ...)``, or of any object that Python prints in this form."""
    found = read_python_config(f"inf = 1e999\nprinted = dict({text.partition('(')[2]}")["printed"]
    if not isinstance(found, dict):
        raise FormatError(f"not a printed object of the form {text.partition('(')[0]}(name=value, ...)")
    return cast("dict[str, object]", found)


def _pairs(text: str) -> Iterator[tuple[str, object]]:
    for line in text.splitlines():
        pair = _PAIR.fullmatch(line)
        if pair and not line.lstrip().startswith("#"):
            yield pair[1], value_in_text(_DEFAULT.sub("", pair[2]))


def value_in_text(text: str) -> object:
    """Parses a printed value: a word of Python or YAML, a number or a literal; else returns the text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    found = _literal(text) if text[:1] in "[({'\"" and text else text
    return list(cast("tuple[object, ...]", found)) if isinstance(found, tuple) else found


def _literal(text: str) -> object:
    """Parses a Python literal; returns other text unchanged."""
    if len(text) > MAX_CONFIG_CHARACTERS:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
