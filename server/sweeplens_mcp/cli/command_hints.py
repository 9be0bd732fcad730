"""Puts calls of tools, as answers and errors name them, into the form of commands for a person at a terminal.

    as_commands(text, folders)    `rank_runs(metric="val/acc")` as `sweeplens rank val/acc sweep`, `goal="max"` as `--goal max`
    with_shell_quotes(error, ...)    the message of an error about quotes, which a shell would remove, with what can be pasted

``folders`` are those that were typed, so that the command can be pasted. Text that only looks like a call is left as it is.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from sweeplens.errors import QuotesError, SweeplensError
from sweeplens_mcp.cli.question_names import QUESTIONS, QuestionCommand
from sweeplens_mcp.execution.arguments import tool_arguments
from sweeplens_mcp.tools import TOOLS

__all__ = ["as_commands", "as_option", "quoted", "with_folders", "with_shell_quotes"]

_BY_TOOL = {question.tool: question for question in QUESTIONS}
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_CALL = re.compile(rf"(?<![\w./-])({'|'.join(_BY_TOOL)})(\((?:{_QUOTED}|[^()\"'])*\))?(?![\w/(-])")
_PROBLEMS = "experiments://problems"
_SCHEMA = re.compile(r"experiments://schema lists all(?: columns(?: of conditions)?)?")
_COLUMNS = "SELECT * FROM runs LIMIT 1"
_QUOTING = re.compile(r"\b(double|single) quotes", re.IGNORECASE)
_CONDITIONS = {"double": '"optim.lr" > 0.01', "single": "status = 'finished'"}
_NAME_ALONE = re.compile(r"[\w$./@:-]+")
_DOCTOR = re.compile(r"`sweeplens doctor((?: --files)?)`")
_QUERY = 'SELECT "optim.lr" FROM runs'


def as_commands(text: str, folders: Sequence[str] = ()) -> str:
    """Returns the text with calls of tools, arguments and resources as commands and options."""
    parts: list[str] = []
    end = 0
    for match in _CALL.finditer(text):
        command = _command(_BY_TOOL[match[1]], match[2] or "", folders)
        if command:
            parts += [_as_options(text[end : match.start()]), f"`{command}`"]
            end = match.end()
    parts.append(_as_options(text[end:]))
    problems = _shown("doctor", *folders)
    columns = f"{_shown('sql', _COLUMNS, *folders)} shows the columns, {_shown('metrics', *folders)} the metrics"
    return with_folders(_SCHEMA.sub(lambda _: columns, "".join(parts).replace(_PROBLEMS, problems)), folders)


def with_folders(text: str, folders: Sequence[str]) -> str:
    """Returns the text with the folders in advice to call the doctor, so that it can be pasted."""
    return _DOCTOR.sub(lambda match: _shown("doctor", *folders, *match[1].split()), text)


def _shown(*words: str) -> str:
    return f"`{' '.join(map(quoted, ['sweeplens', *words]))}`"


def as_option(name: str, text: str) -> str:
    """Returns an argument of a tool with its value as the words of a command: ``--where '"lr" > 1'``."""
    return f"{_option(name)} {quoted(text)}"


def with_shell_quotes(
    error: SweeplensError, values: Mapping[str, object], typed: Callable[[str, str], str] = as_option
) -> str:
    """Returns the message of an error of a command; advice about quotes comes with quotes around it for the shell.

    ``values``: the arguments of the tool. ``typed``: how an argument and its value are typed.
    """
    text = str(error)
    if isinstance(error, QuotesError) and _NAME_ALONE.fullmatch(error.condition.strip()):
        compared = error.corrected if " " in error.corrected else f"{error.corrected} > 0.01"
        return (
            f"The condition is only {error.condition}: without quotes around the whole, a shell splits it at spaces and takes > "
            f"and < for files. Write, with the value that is meant: {typed('where', compared)}"
        )
    if isinstance(error, QuotesError) and error.corrected:
        name = next((name for name, value in values.items() if value == error.condition), "")
        return text.removesuffix(error.corrected) + (typed(name, error.corrected) if name else quoted(error.corrected))
    advice = _QUOTING.search(text)
    if advice is None:
        return text
    name, example = ("query", _QUERY) if "query" in values else ("where", _CONDITIONS[advice[1].lower()])
    return f"{text} A shell removes quotes, so put others around the whole: {typed(name, example)}"


def _command(question: QuestionCommand, call: str, folders: Sequence[str]) -> str:
    """Returns the command of a call, or of the name alone; empty if an argument is no value."""
    given = _given(call)
    if given is None:
        return ""
    if not call and question.positionals:
        return f"sweeplens {question.name}"
    words = [_typed(given.pop(name), name) for name in question.positionals if name in given]
    options = [word for name, value in given.items() for word in (_option(name), _typed(value, name))]
    return " ".join(map(quoted, ["sweeplens", question.name, *words, *folders, *options]))


def _given(call: str) -> dict[str, object] | None:
    if not call:
        return {}
    try:
        node = ast.parse(f"f{call}", mode="eval").body
        keywords = node.keywords if isinstance(node, ast.Call) and not node.args else None
        return None if keywords is None else {k.arg: ast.literal_eval(k.value) for k in keywords if k.arg}
    except (SyntaxError, ValueError):
        return None


def _as_options(text: str) -> str:
    """Returns ``where="lr > 1"`` as ``--where "lr > 1"``: only arguments of tools, and only with a quoted value or ``...``."""
    return _argument_pattern().sub(lambda m: f"{_option(m[1])} {_word(m[2])}", text)


@cache
def _argument_pattern() -> re.Pattern[str]:
    names = {argument.name for spec in TOOLS for argument in tool_arguments(spec)}
    return re.compile(rf"(?<![\w./-])({'|'.join(sorted(names, key=len, reverse=True))})=({_QUOTED}|\.\.\.)")


def _word(value: str) -> str:
    return "..." if value == "..." else quoted(str(ast.literal_eval(value)))


def quoted(word: str) -> str:
    """Returns a word as a shell takes it, in double quotes where it holds single ones."""
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _typed(value: object, name: str) -> str:
    """Returns a value as it is typed; ``...`` as a placeholder."""
    if value is ...:
        return name.upper()
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)
