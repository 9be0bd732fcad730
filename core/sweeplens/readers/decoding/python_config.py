"""A configuration that is written as Python -> plain data, by reading its syntax tree. Nothing in it is ever run.

Literals, ``dict(...)``, ``list(...)``, ``tuple(...)``, signs, and names of numbers and short texts assigned before are data;
any other expression stays the text that it is in the file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, cast

from sweeplens.errors import FormatError

__all__ = ["MAX_CONFIG_CHARACTERS", "read_python_config"]

MAX_CONFIG_CHARACTERS = 1 << 20
_MAX_BRACES = 10_000  # Python's own parser takes a time that grows with the square of those in one f-string
_MAX_REPEATED = 200  # characters of what a name may stand for
_SEQUENCES = ("list", "tuple", "set")


def read_python_config(text: str) -> dict[str, Any]:
    """The names that a Python file assigns at its top level, as plain data. Raises FormatError for what is no Python."""
    if len(text) > MAX_CONFIG_CHARACTERS:
        raise FormatError(f"the configuration is longer than {MAX_CONFIG_CHARACTERS >> 20} MB: not read")
    if text.count("{") > _MAX_BRACES:
        raise FormatError(f"the configuration has more than {_MAX_BRACES:,} braces: not read")
    known: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            _assign(statement, known)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormatError(f"not a Python configuration: {error or type(error).__name__}") from error
    return {name: value for name, value in known.items() if not name.startswith("_")}


def _assign(statement: ast.stmt, known: dict[str, Any]) -> None:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    else:
        return
    for target in targets:
        if isinstance(target, ast.Name) and statement.value is not None:
            known[target.id] = _data(statement.value, known)


def _data(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """The data that an expression denotes; its text where it denotes none."""
    reading = _READINGS.get(type(node))
    found = reading(node, known) if reading else _NOTHING
    return ast.unparse(node) if found is _NOTHING else found


_NOTHING = object()


def _dict(node: Any, known: Mapping[str, Any]) -> Any:
    if any(key is None for key in node.keys):
        return _NOTHING
    return {str(_data(key, known)): _data(value, known) for key, value in zip(node.keys, node.values, strict=True)}


def _sequence(node: Any, known: Mapping[str, Any]) -> Any:
    return [_data(element, known) for element in node.elts]


def _call(node: Any, known: Mapping[str, Any]) -> Any:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == "dict" and all(k.arg for k in node.keywords) and len(node.args) < 2:
        first: Any = _data(node.args[0], known) if node.args else {}
        given = {k.arg: _data(k.value, known) for k in node.keywords}
        return cast("dict[str, Any]", first) | given if isinstance(first, dict) else _NOTHING
    if name in _SEQUENCES and len(node.args) == 1 and not node.keywords:
        inner: Any = _data(node.args[0], known)
        return cast("list[Any]", inner) if isinstance(inner, list) else _NOTHING
    if name == "float" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
        return _float(node.args[0].value)
    return _NOTHING


def _float(value: object) -> Any:
    try:
        return float(value) if isinstance(value, str | int | float) else _NOTHING
    except ValueError:
        return _NOTHING


def _signed(node: Any, known: Mapping[str, Any]) -> Any:
    value = _data(node.operand, known)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NOTHING
    if isinstance(node.op, ast.USub):
        return -value
    return value if isinstance(node.op, ast.UAdd) else _NOTHING


def _constant(node: Any, _: Mapping[str, Any]) -> Any:
    return node.value if isinstance(node.value, str | int | float | bool | None) else _NOTHING


def _name(node: Any, known: Mapping[str, Any]) -> Any:
    """What a name stands for; a long value stays a name, since a few that hold each other twice would grow without end."""
    value = known.get(node.id, _NOTHING)
    return (
        _NOTHING if isinstance(value, list | dict) or (isinstance(value, str) and len(value) > _MAX_REPEATED) else value
    )


_READINGS: dict[type[ast.expr], Callable[[Any, Mapping[str, Any]], Any]] = {
    ast.Constant: _constant,
    ast.Dict: _dict,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Set: _sequence,
    ast.Call: _call,
    ast.UnaryOp: _signed,
    ast.Name: _name,
}
