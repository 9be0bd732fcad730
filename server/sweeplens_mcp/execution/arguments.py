"""The arguments of a tool: their JSON Schema, and what a caller gave checked against it.

    argument_schema(spec)            the input schema that clients see
    tool_arguments(spec)             the same for people: names, kinds and descriptions
    checked_arguments(spec, given)   the arguments, converted and complete

A tool's arguments are those of its function without the database, and those of paging. The server and the command line share
this module, which imports nothing of the protocol: `sweeplens call` starts in a third of the time.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin

from msgspec import Struct
from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from sweeplens.errors import InputError, UnknownNameError, nearest
from sweeplens.plain_data import plain_value
from sweeplens_mcp.execution.argument_limits import check_size
from sweeplens_mcp.render.cells import clip
from sweeplens_mcp.tools.arguments import Cursor, Limit, text_of_number
from sweeplens_mcp.tools.spec import ToolSpec

__all__ = ["ToolArgument", "argument_schema", "checked_arguments", "tool_arguments"]

_OF_RUNS = ("status", "health", "format", "group", "seed")  # columns that callers pass as arguments
_PAGING = (("limit", Limit, 0), ("cursor", Cursor, ""))
Schema = dict[str, Any]


class ToolArgument(Struct, frozen=True):
    """One argument as a person types it: a list, a number (or nothing), one of some words, or any text."""

    name: str
    kind: Literal["list", "number", "text"]
    description: str
    is_required: bool
    default: object = None
    choices: tuple[str, ...] = ()


def tool_arguments(spec: ToolSpec) -> list[ToolArgument]:
    """A tool's arguments without their JSON Schema, which takes longer to make than many an answer."""
    return [_argument(name, field) for name, field in _model(spec).model_fields.items()]


def _argument(name: str, field: FieldInfo) -> ToolArgument:
    parts = {field.annotation, get_origin(field.annotation), *get_args(field.annotation)}
    kind = "list" if tuple in parts else "number" if parts & {int, float} else "text"
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    default = None if field.is_required() else field.default
    return ToolArgument(name, kind, field.description or "", field.is_required(), default, choices)


def _names(spec: ToolSpec) -> list[str]:
    """The names of a tool's arguments, in order."""
    return list(_model(spec).model_fields)


def argument_schema(spec: ToolSpec) -> Schema:
    """The input schema that clients see: no titles, nothing that is true for everything."""
    return {**_plain_object(_model(spec).model_json_schema()), "additionalProperties": False}


def checked_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, converted and complete. Raises InputError with a sentence about what is wrong."""
    names = _names(spec)
    for name in arguments:
        if name not in names:
            raise _unknown_argument(spec, name, names, arguments[name])
    given = {k: v for k, v in arguments.items() if v is not None}
    for name, value in given.items():
        check_size(name, value)
    try:
        checked = _model(spec).model_validate(_as_typed(spec, given))
    except ValidationError as error:
        raise InputError(" ".join(_sentence(spec, dict(e)) for e in error.errors())) from error
    return {name: getattr(checked, name) for name in names}


@cache
def _model(spec: ToolSpec) -> type[BaseModel]:
    own = list(inspect.signature(spec.function).parameters.values())[1:]
    fields: dict[str, Any] = {p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in own}
    if spec.paged:
        fields |= {name: (kind, default) for name, kind, default in _PAGING}
    return create_model(f"{spec.name}Arguments", **fields)


def _unknown_argument(spec: ToolSpec, name: str, names: Sequence[str], value: object) -> UnknownNameError:
    """Returns the error for an argument that the tool lacks: the nearest, or a condition for what looks like one."""
    hint = f"{spec.name} takes {', '.join(names)}."
    if "where" in names and not nearest(name, names, meaning="argument"):
        condition = f"{name} = {_sql(value)}" if name in _OF_RUNS else "status = 'finished'"
        hint = f"A condition on runs is one text, as in where={json.dumps(condition)}. {hint}"
    return UnknownNameError.of("argument", name, names, hint=hint, meaning="argument")


def _as_typed(spec: ToolSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as their types have them, where there is one way to read them: a number, or a list of one, for a text.

    Some clients send a list as text that holds JSON: what is no text by its type is read. Half characters, which JSON can hold,
    are escaped as in the names of runs.
    """
    fields = _model(spec).model_fields
    read = {name: _text(value) if fields[name].annotation is str else _unquoted(value) for name, value in given.items()}
    return {name: plain_value(value) for name, value in read.items()}


def _text(value: object) -> object:
    entries = cast("list[object]", value) if isinstance(value, list) else [value]
    return text_of_number(entries[0]) if len(entries) == 1 else cast("object", value)


def _unquoted(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        read: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if isinstance(read, (str, int, float)) else read


def _sentence(spec: ToolSpec, error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{spec.name} needs the argument {name!r}."
    field = _model(spec).model_fields[name]
    given = error["input"]
    if error["type"] == "literal_error" and isinstance(given, str):
        choices = _argument(name, field).choices
        return str(UnknownNameError.of(name, given, choices, hint=_described(field), meaning=name))
    fractional = " (without a fraction)" if error["type"] == "int_from_float" else ""
    return (
        f"Argument {name!r} is {clip(repr(given), 80)}: it takes {_wanted(name, field)}{fractional}."
        f"{_instead(name, given)} {_described(field)}"
    ).strip()


def _wanted(name: str, field: FieldInfo) -> str:
    """The values that an argument takes, in words."""
    argument = _argument(name, field)
    if argument.choices:
        return " or ".join(map(repr, argument.choices))
    parts = {field.annotation, *get_args(field.annotation)}
    return {"list": "a list of texts", "text": "one text"}.get(
        argument.kind, "a whole number" if int in parts else "a number"
    )


def _instead(name: str, given: object) -> str:
    """What to write instead of conditions as an object, or of several texts for one."""
    if isinstance(given, dict):
        parts = [f'"{key}" = {_sql(value)}' for key, value in cast("dict[object, object]", given).items()]
        return f" Write a condition as text: where={' AND '.join(parts[:3])!r}."
    if not isinstance(given, list):
        return ""
    texts = [str(item) for item in cast("list[object]", given)]
    joined = clip(" AND ".join(texts), 200)
    return f" Join the conditions: {joined!r}." if name == "where" else f" Call once for each of the {len(texts)}."


def _sql(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def _described(field: FieldInfo) -> str:
    """The argument's description, which says what to pass."""
    return field.description or ""


def _plain_object(schema: Schema) -> Schema:
    """The schema without pydantic's titles; properties that are called ``title`` stay."""
    return {key: _plain(key, value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}


def _plain(key: str, value: object) -> object:
    if key == "properties" and isinstance(value, dict):
        return {name: _plain_object(part) for name, part in cast("dict[str, Schema]", value).items()}
    if isinstance(value, dict):
        return _plain_object(cast("Schema", value))
    if isinstance(value, list):
        return [_plain("", item) for item in cast("list[object]", value)]
    return value
