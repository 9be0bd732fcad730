"""The commands that answer a question: `sweeplens overview | ls | show RUN | rank METRIC | compare A B | ...`.

`QUESTIONS` is the table: a command, its tool, and the tool's arguments that are positional. Options and their help come from
the tool's arguments, so a command cannot differ from its tool. Folders come last: `sweeplens ls sweep`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import cast

from sweeplens.answers import Answer
from sweeplens.errors import InputError, RootError, SweeplensError, UnknownNameError
from sweeplens.sources.given_roots import is_root, shown_root
from sweeplens_mcp.cli.answering import row_limit, spec_named, whole_answer
from sweeplens_mcp.cli.call import converted
from sweeplens_mcp.cli.output import FORMATS, Output, beside_data, formatted, write
from sweeplens_mcp.cli.parsing import SentenceParser, unknown_option
from sweeplens_mcp.cli.progress import ProgressLine
from sweeplens_mcp.cli.question_names import QUESTIONS, QuestionCommand
from sweeplens_mcp.cli.run_folders import several_runs, with_run_id
from sweeplens_mcp.cli.targets import check_target
from sweeplens_mcp.cli.word_order import check_words, forgotten_word, with_named_words
from sweeplens_mcp.execution.arguments import ToolArgument, tool_arguments
from sweeplens_mcp.execution.opening import open_database
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import ToolSpec

__all__ = ["add_option", "main", "option_values", "parsed_words", "question_parser"]

_ALWAYS = "fresh"  # a command reads the folders first in any case
_WATCH_SECONDS = 2.0


def main(name: str, arguments: Sequence[str]) -> int:
    """Answers one question. Raises SweeplensError."""
    question = next(q for q in QUESTIONS if q.name == name)
    spec = spec_named(question.tool)
    parser = question_parser(question)
    options = _parsed(parser, question, arguments)
    values = option_values(options, tool_arguments(spec))
    output = Output.of(options.format, options.output, options.color)
    if question.positionals == ("run_id",):
        with_run_id(options)
        values["run_id"] = options.run_id
    settings = Settings((*options.folders, *options.root))
    hint = partial(_as_commands, folders=[shown_root(root) for root in settings.roots])
    try:
        if options.watch is None:
            verb, answer = _first_answer(spec, values, settings, output)
            limit = row_limit(values)
            write(formatted(answer, spec, limit, output, hint), output)
            sys.stderr.write(beside_data(answer, limit, output, hint))
            if verb:
                print(f"{verb} {output.file}", file=sys.stderr)
            return 0
        from sweeplens_mcp.cli.watching import watch

        return watch(spec, values, settings, output, options.watch, hint)
    except SweeplensError as error:
        if isinstance(error, UnknownNameError) and getattr(options, "run_folder", ""):
            raise several_runs(options.run_folder) from error
        raise InputError(_message(error, question, values, settings)) from error


def _message(error: SweeplensError, question: QuestionCommand, values: dict[str, object], settings: Settings) -> str:
    """Returns the message of an error in the words of commands, as they are typed in a shell."""
    words = [_typed_word(values[name]) for name in question.positionals if values.get(name)]
    missing = forgotten_word(words, question) if not settings.roots and isinstance(error, RootError) else ""
    if missing:
        return missing
    from sweeplens_mcp.cli.command_hints import as_option, quoted, with_shell_quotes

    def typed(name: str, text: str) -> str:
        return quoted(text) if name in question.positionals else as_option(name, text)

    text = with_shell_quotes(error, values, typed)
    return _as_commands(text, [shown_root(root) for root in settings.roots])


def _typed_word(value: object) -> str:
    return ",".join(cast("list[str]", value)) if isinstance(value, list) else str(value)


def _as_commands(text: str, folders: Sequence[str]) -> str:
    from sweeplens_mcp.cli.command_hints import as_commands  # it compiles patterns, which few answers need

    return as_commands(text, folders)


def question_parser(question: QuestionCommand) -> argparse.ArgumentParser:
    """Returns the parser of a command's arguments."""
    spec = spec_named(question.tool)
    parser = SentenceParser(
        prog=f"sweeplens {question.name}", description=spec.description, allow_abbrev=False,
        epilog=_escaped(f"example: sweeplens {question.name} {question.example}"),
    )  # fmt: skip
    known = {argument.name: argument for argument in tool_arguments(spec)}
    for name in question.positionals:
        shown = name.upper().removesuffix("_ID")
        text = _escaped(known[name].description)
        is_optional = bool(question.instead) or not known[name].is_required
        parser.add_argument(name, nargs="?" if is_optional else None, metavar=shown, help=text)
    parser.add_argument(
        "folders", nargs="*", default=[], metavar="DIR", help="folders of experiments (default: the configured ones)"
    )
    options = parser.add_argument_group("the question")
    for argument in known.values():
        if argument.name not in (*question.positionals, _ALWAYS) and (argument.name != "cursor" or spec.news):
            add_option(options, argument)
    _add_output_options(parser.add_argument_group("the answer"))
    return parser


def _first_answer(spec: ToolSpec, values: dict[str, object], settings: Settings, output: Output) -> tuple[str, Answer]:
    """Returns the answer, and whether the file is new or replaced; empty without a file."""
    with ProgressLine(sys.stderr, "opening the experiments") as progress:
        database = open_database(settings)
        verb = check_target(output.file, database.roots) if output.file is not None else ""
        database.load_experiments(progress=progress.update)
        progress.show("working out the answer")
        return verb, whole_answer(spec, database, values)


# ------------------------------------------------------------------ parsing


def add_option(group: argparse._ArgumentGroup, argument: ToolArgument) -> None:  # pyright: ignore[reportPrivateUsage]
    """Adds the option for an argument of a tool."""
    shown = "" if argument.default in (None, "", 0, ()) else f" (default: {argument.default})"
    several = " Several: A,B, or the option again." if argument.kind == "list" else ""
    group.add_argument(
        f"--{argument.name.replace('_', '-')}",
        dest=argument.name,
        action="append",
        default=None,
        choices=argument.choices or None,
        metavar=None if argument.choices else argument.name.upper(),
        help=_escaped(_with_command_names(argument.description) + several + shown),
    )


def _with_command_names(description: str) -> str:
    """Returns the description with commands in the place of tools: ``As in list_runs.`` is no help in a shell."""
    for question in QUESTIONS:
        if question.tool in description.split(":")[0]:
            description = description.replace(question.tool, f"`sweeplens {question.name} --help`")
    return description


def _add_output_options(group: argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage]
    group.add_argument("--root", action="append", default=[], metavar="DIR", help="a folder of experiments, as DIR")
    group.add_argument(
        "--format",
        choices=FORMATS,
        default="",
        help="default: a table on a terminal; in a pipe or file the text for reading, with aligned columns or, for wide "
        "tables, commas. For cut, awk and pandas: csv",
    )
    group.add_argument(
        "-o", "--output", default="", metavar="FILE", help="write there; .csv, .json and .md name the format"
    )
    group.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="NO_COLOR is respected")
    group.add_argument(
        "--watch", nargs="?", type=_seconds, const=_WATCH_SECONDS, default=None, metavar="SECONDS",
        help="answer again whenever the folder changes, until Ctrl-C",
    )  # fmt: skip


def _parsed(parser: argparse.ArgumentParser, question: QuestionCommand, arguments: Sequence[str]) -> argparse.Namespace:
    """What was typed."""
    options, rest = parsed_words(parser, with_named_words(question, arguments))
    options.folders = [*options.folders, *rest]
    known = tool_arguments(spec_named(question.tool))
    if question.instead:
        _settle_positionals(options, question)
    else:
        _settle_optional(options, [a.name for a in known if a.name in question.positionals and not a.is_required])
    check_words(options, question, [a.name for a in known])
    return options


def parsed_words(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What was typed, and the words behind options, which argparse does not take by itself. Raises InputError."""
    options, rest = parser.parse_known_args(_with_dashed_values(parser, arguments))
    for word in rest:
        if word.startswith("-"):
            raise InputError(unknown_option(parser, word))
    return options, rest


def _settle_positionals(options: argparse.Namespace, question: QuestionCommand) -> None:
    """With the option that replaces the positional arguments, their words are folders; without it, all are needed."""
    words = [getattr(options, name) for name in question.positionals]
    shown = " and ".join(name.upper() for name in question.positionals)
    option = f"--{question.instead.replace('_', '-')} NAME"
    if getattr(options, question.instead):
        options.folders = [*filter(None, words), *options.folders]
        for name in question.positionals:
            setattr(options, name, None)
    elif not all(words):
        raise InputError(f"sweeplens {question.name} needs {shown} (run ids, globs or conditions), or {option}.")


def _settle_optional(options: argparse.Namespace, names: Sequence[str]) -> None:
    """A folder in the place of a word that may be left out is a folder: `sweeplens cost sweep`."""
    for name in names:
        word = getattr(options, name)
        if word and is_root(word):
            options.folders = [word, *options.folders]
            setattr(options, name, None)


def _with_dashed_values(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Returns ``--sort -x`` as ``--sort=-x``, because argparse would read the value as an option."""
    known = {option for action in parser._actions for option in action.option_strings}  # pyright: ignore[reportPrivateUsage]
    joined: list[str] = []
    for word in arguments:
        if word.startswith("-") and word not in known and word.partition("=")[0] not in known and joined:
            before = joined[-1]
            if before in known and before not in ("--watch", "-h", "--help") and not word.startswith("--"):
                joined[-1] = f"{before}={word}"
                continue
        joined.append(word)
    return joined


def option_values(options: argparse.Namespace, known: Sequence[ToolArgument]) -> dict[str, object]:
    """Returns the tool's arguments. An option with one value may be given once."""
    values: dict[str, object] = {}
    for argument in known:
        typed = getattr(options, argument.name, None)
        if typed is None:
            continue
        texts = [typed] if isinstance(typed, str) else cast("list[str]", typed)
        if argument.kind == "list":
            values[argument.name] = [part for text in texts for part in _list_of(argument.name, text)]
            continue
        option = f"--{argument.name.replace('_', '-')}"
        if len(texts) > 1:
            join = (
                "join the conditions with AND or OR in one --where" if argument.name == "where" else "give one of them"
            )
            raise InputError(f"{option} is given twice: {join}")
        values[argument.name] = converted(argument.name, texts[0], argument.kind)
    return values


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds. Folders come before --watch.") from None


def _list_of(name: str, text: str) -> list[object]:
    return cast("list[object]", converted(name, text, "list"))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
