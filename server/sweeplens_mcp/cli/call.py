"""Calls one tool without a client, for `sweeplens call`, by the same functions that the server uses."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from sweeplens.errors import InputError, UnknownNameError
from sweeplens_mcp.cli.progress import ProgressLine
from sweeplens_mcp.execution.arguments import ToolArgument, checked_arguments, tool_arguments
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.opening import open_database
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.render.answers import ToolReply
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import TOOLS

__all__ = ["argument_for", "arguments_of", "call_tool", "converted", "listed", "typed"]


def call_tool(name: str, values: Sequence[str], settings: Settings) -> ToolReply:
    """Returns one answer. ``values`` are ``name=value`` as typed. Raises SweeplensError."""
    spec = next((s for s in TOOLS if s.name == name), None)
    if spec is None:
        raise UnknownNameError.of(
            "tool", name, [s.name for s in TOOLS], hint=f"Tools: {', '.join(s.name for s in TOOLS)}."
        )
    arguments = checked_arguments(spec, typed(values, tool_arguments(spec)))
    with ProgressLine(sys.stderr, "opening the experiments") as progress:
        database = open_database(settings)
        database.load_experiments(progress=progress.update)
        try:
            return answer_call(spec, database, arguments, AnswerCache())
        except InputError as error:
            raise InputError(_with_shell_quotes(error, arguments)) from error


def _with_shell_quotes(error: InputError, arguments: Mapping[str, object]) -> str:
    from sweeplens_mcp.cli.command_hints import quoted, with_shell_quotes

    return with_shell_quotes(error, arguments, lambda name, text: quoted(f"{name}={text}"))


def listed() -> str:
    """Returns a line a tool with the names of its arguments; optional ones are in brackets."""
    lines: list[str] = []
    for spec in TOOLS:
        names = [f"{a.name}=" if a.is_required else f"[{a.name}=]" for a in tool_arguments(spec)]
        lines.append(f"{spec.name:<21} {' '.join(names)}")
    return "\n".join(lines)


def typed(values: Sequence[str], known: Sequence[ToolArgument]) -> dict[str, object]:
    """Converts ``name=value`` texts to the types of arguments: lists as ``a,b`` or JSON, numbers as numbers."""
    kinds = {argument.name: argument.kind for argument in known}
    converted_values: dict[str, object] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise InputError(f"{value!r} is not name=value; this tool takes {', '.join(kinds) or 'nothing'}.")
        if name in converted_values:
            raise InputError(f"{name}= is given twice: {_repetition_hint(name, kinds.get(name, 'text'))}")
        converted_values[name] = converted(name, text, kinds.get(name, "text"))
    return converted_values


def argument_for(option: str) -> str:
    """Returns the argument of a tool for an option of the other commands; empty if there is none."""
    name = option.lstrip("-").partition("=")[0].replace("-", "_")
    return name if any(a.name == name for spec in TOOLS for a in tool_arguments(spec)) else ""


def arguments_of(tool: str) -> list[str]:
    """Returns the names of a tool's arguments; none for another name."""
    return [a.name for spec in TOOLS if spec.name == tool for a in tool_arguments(spec)]


def _repetition_hint(name: str, kind: str) -> str:
    if name == "where":
        return "join the conditions with AND or OR in one where=."
    return f"write several values as {name}=a,b." if kind == "list" else "give one of them."


def converted(name: str, text: str, kind: str) -> object:
    """Returns a text as the value of an argument. Raises InputError."""
    if kind == "list":
        return _json(name, text) if text.startswith("[") else [part for part in text.split(",") if part]
    return _json(name, text) if kind == "number" else text


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(f"Argument {name!r} is {text!r}, which is neither a number nor a JSON list.") from None
