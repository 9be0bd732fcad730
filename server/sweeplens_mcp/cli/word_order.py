"""Words in another order than a command takes them, and a pattern that a shell expanded: errors that show the right command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from sweeplens.errors import InputError
from sweeplens_mcp.cli.question_names import QuestionCommand

__all__ = ["check_words"]

_NO_RUNS = ("metric", "metrics", "query")


def check_words(options: argparse.Namespace, question: QuestionCommand, names: Sequence[str]) -> None:
    """Checks the words of a command. ``names``: the arguments of its tool. Raises InputError."""
    words = [word for name in question.positionals if (word := getattr(options, name))]
    _check_pairs([*words, *options.folders], question, names)
    _check_nested([*options.folders, *options.root])
    if words and _is_folder_first(words[0], options.folders, question):
        _raise_for_order(words[0], options.folders, question)


def _is_folder_first(word: str, others: Sequence[str], question: QuestionCommand) -> bool:
    """Returns whether a folder stands where a metric or run is wanted; a run may have the name of its folder."""
    if not Path(word).is_dir():
        return False
    return question.positionals[0] in _NO_RUNS or (bool(others) and not Path(others[0]).exists())


def _check_pairs(words: Sequence[str], question: QuestionCommand, names: Sequence[str]) -> None:
    """Refuses ``name=value``, the form of `sweeplens call`."""
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in names:
            continue
        if name in question.positionals:
            raise InputError(f"{name} is a word of its own here: sweeplens {question.name} {shlex.quote(value)} DIR")
        raise InputError(f"name=value is the form of `sweeplens call`: here it is --{name.replace('_', '-')} {value!r}")


def _raise_for_order(folder: str, others: Sequence[str], question: QuestionCommand) -> None:
    needed = [name.upper().removesuffix("_ID") for name in question.positionals]
    meant = [shlex.quote(word) for word in others[: len(needed)]]
    shown = " ".join(meant if len(meant) == len(needed) else needed)
    raise InputError(
        f"{folder!r} is a folder, and folders come last: sweeplens {question.name} {shown} {shlex.quote(folder)}"
    )


def _check_nested(folders: Sequence[str]) -> None:
    """Refuses a folder inside another one: a shell makes both of a pattern without quotes."""
    real = [(text, Path(text).expanduser().resolve()) for text in folders if "://" not in text]
    for text, path in real:
        for above, parent in real:
            if path != parent and path.is_relative_to(parent):
                raise InputError(
                    f"The folder {text!r} lies inside {above!r}. If the shell made it from a pattern of runs, put the pattern in "
                    "quotes: 'lr0.1_*'."
                )
