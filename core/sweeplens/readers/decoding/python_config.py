"""Reads a configuration written in Python as plain data, from its syntax tree. It never runs any of the code.

Literals, ``dict(...)``, ``list(...)``, ``tuple(...)``, signs, and names assigned to numbers or short texts become data. Any
other expression stays text, as in the file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, cast

from sweeplens.errors import FormatError

__all__ = ["MAX_CONFIG_CHARACTERS", "read_python_config"]

MAX_CONFIG_CHARACTERS = 1 << 20
_MAX_BRACES = 10_000  # the time of Python's parser grows with the square of their number in one f-string
_MAX_REPEATED = 200  # characters of a text that a name may be replaced by
_SEQUENCES = ("list", "tuple", "set")


def read_python_config(text: str) -> dict[str, Any]:
    """Returns the top-level assignments of a Python file as plain data. Raises FormatError for text that is not Python."""
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
    """Returns the data of an expression; its text where it is not data."""
    convert = _CONVERTERS.get(type(node))
    found = convert(node, known) if convert else _NOT_DATA
    return ast.unparse(node) if found is _NOT_DATA else found


_NOT_DATA = object()


def _dict(node: Any, known: Mapping[str, Any]) -> Any:
    if any(key is None for key in node.keys):
        return _NOT_DATA
    return {str(_data(key, known)): _data(value, known) for key, value in zip(node.keys, node.values, strict=True)}


def _sequence(node: Any, known: Mapping[str, Any]) -> Any:
    return [_data(element, known) for element in node.elts]


def _call(node: Any, known: Mapping[str, Any]) -> Any:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == "dict" and all(k.arg for k in node.keywords) and len(node.args) < 2:
        first: Any = _data(node.args[0], known) if node.args else {}
        given = {k.arg: _data(k.value, known) for k in node.keywords}
        return cast("dict[str, Any]", first) | given if isinstance(first, dict) else _NOT_DATA
    if name in _SEQUENCES and len(node.args) == 1 and not node.keywords:
        inner: Any = _data(node.args[0], known)
        return cast("list[Any]", inner) if isinstance(inner, list) else _NOT_DATA
    if name == "float" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
        return _float(node.args[0].value)
    return _NOT_DATA


def _float(value: object) -> Any:
    try:
        return float(value) if isinstance(value, str | int | float) else _NOT_DATA
    except ValueError:
        return _NOT_DATA


def _signed(node: Any, known: Mapping[str, Any]) -> Any:
    value = _data(node.operand, known)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NOT_DATA
    if isinstance(node.op, ast.USub):
        return -value
    return value if isinstance(node.op, ast.UAdd) else _NOT_DATA


def _constant(node: Any, _: Mapping[str, Any]) -> Any:
    return node.value if isinstance(node.value, str | int | float | bool | None) else _NOT_DATA


def _name(node: Any, known: Mapping[str, Any]) -> Any:
    """Returns the value of a name. Long values stay names, since values that contain each other twice grow exponentially."""
    value = known.get(node.id, _NOT_DATA)
    return (
        _NOT_DATA
        if isinstance(value, list | dict) or (isinstance(value, str) and len(value) > _MAX_REPEATED)
        else value
    )


_CONVERTERS: dict[type[ast.expr], Callable[[Any, Mapping[str, Any]], Any]] = {
    ast.Constant: _constant,
    ast.Dict: _dict,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Set: _sequence,
    ast.Call: _call,
    ast.UnaryOp: _signed,
    ast.Name: _name,
}
