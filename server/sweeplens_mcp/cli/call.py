"""The answer of one tool without a client: what `sweeplens call` prints, made by the very functions that serve."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sweeplens.errors import InputError, UnknownNameError
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.state import open_database
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.protocol.registration import argument_schema, checked_arguments, metadata
from sweeplens_mcp.render.answers import ToolReply
from sweeplens_mcp.render.cells import clean
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import TOOLS

__all__ = ["call_tool", "listed", "typed"]


def call_tool(name: str, values: Sequence[str], settings: Settings) -> ToolReply:
    """One answer. ``values`` are ``name=value`` as typed. Raises SweeplensError with a sentence."""
    spec = next((s for s in TOOLS if s.name == name), None)
    if spec is None:
        raise UnknownNameError.of(
            "tool", name, [s.name for s in TOOLS], hint=f"Tools: {', '.join(s.name for s in TOOLS)}."
        )
    known = metadata(spec)
    arguments = checked_arguments(spec, known, typed(values, argument_schema(known)))
    database = open_database(settings)
    database.load_experiments(progress=_tell if sys.stderr.isatty() else None)
    return answer_call(spec, database, arguments, AnswerCache())


def listed() -> str:
    """Each tool with the names of its arguments; those that may be left out stand in brackets."""
    lines: list[str] = []
    for spec in TOOLS:
        schema = argument_schema(metadata(spec))
        needed = schema.get("required", [])
        names = [f"{name}=" if name in needed else f"[{name}=]" for name in schema["properties"]]
        lines.append(f"{spec.name:<21} {' '.join(names)}")
    return "\n".join(lines)


def typed(values: Sequence[str], schema: Mapping[str, Any]) -> dict[str, object]:
    """``name=value`` texts as the schema's types: lists as ``a,b`` or JSON, numbers as numbers."""
    given: dict[str, object] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise InputError(
                f"{value!r} is not name=value; this tool takes {', '.join(schema['properties']) or 'nothing'}."
            )
        given[name] = _converted(name, text, schema["properties"].get(name, {}))
    return given


def _converted(name: str, text: str, expected: Mapping[str, Any]) -> object:
    kinds = [expected.get("type"), *(option.get("type") for option in expected.get("anyOf", ()))]
    if "array" in kinds:
        return _json(name, text) if text.startswith("[") else [part for part in text.split(",") if part]
    if "integer" in kinds or "number" in kinds:
        return _json(name, text)
    return text


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(f"Argument {name!r} is {text!r}, which is neither a number nor a JSON list.") from None


def _tell(done: int, total: int, what: str) -> None:
    print(f"\rreading {done} of {total}: {clean(what[:78])}"[:78].ljust(79), end="", file=sys.stderr, flush=True)
    if done >= total:
        print("\r" + " " * 79 + "\r", end="", file=sys.stderr, flush=True)
