"""Words in another order than a command takes them, and a pattern that a shell expanded: errors that show the right command."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from sweeplens.errors import InputError, RootError
from sweeplens.sources.given_roots import given_root, is_root
from sweeplens_mcp.cli.command_hints import quoted
from sweeplens_mcp.cli.missing_quotes import check_condition, check_query, check_sides
from sweeplens_mcp.cli.question_names import QuestionCommand

__all__ = ["check_words", "check_words_of_plot", "forgotten_word", "with_named_words"]

_NO_RUNS = ("metric", "metrics", "query")
_NAMED = {"metrics": "Metrics", "runs": "Runs", "hparams": "Hyperparameters"}


def with_named_words(question: QuestionCommand, arguments: Sequence[str]) -> list[str]:
    """Returns the words of a command with ``--metric NAME``, the option of a positional word, as that word: the first ones."""
    named: dict[str, str] = {}
    rest = list(arguments)
    for name in question.positionals:
        option = f"--{name.replace('_', '-')}"
        at = next((i for i, word in enumerate(rest) if word == option or word.startswith(f"{option}=")), None)
        if at is None:
            continue
        _, equals, value = rest[at].partition("=")
        if not equals and at + 1 == len(rest):
            raise InputError(
                f"{option} needs a value: {name} is also a word of its own, sweeplens {question.name} {name.upper()} DIR"
            )
        named[name] = value if equals else rest[at + 1]
        del rest[at : at + (1 if equals else 2)]
    if named and len(named) < len(question.positionals):
        missing = next(name for name in question.positionals if name not in named)
        raise InputError(f"--{next(iter(named))} comes with --{missing}, or both as words: {_form(question)}")
    return [*named.values(), *rest] if list(named) == list(question.positionals) else rest


def _form(question: QuestionCommand) -> str:
    words = " ".join(name.upper().removesuffix("_ID") for name in question.positionals)
    return f"sweeplens {question.name} {words} DIR"


def check_words_of_plot(kind: str, folders: Sequence[str], metrics: Sequence[str]) -> None:
    """Refuses a word of `plot` beside a folder that is no folder itself: it was meant as a metric. Raises InputError."""
    odd = _no_folders(folders)
    if odd:
        named = shlex.quote(",".join([*metrics, *odd]))
        words = " ".join(shlex.quote(word) for word in folders if word not in odd)
        raise InputError(
            f"{odd[0]!r} is no folder. A metric comes with its option: "
            f"sweeplens plot {kind or 'KIND'} {words} --metrics {named} -o FILE"
        )


def _no_folders(folders: Sequence[str]) -> list[str]:
    """Returns the words that are no folders beside some that are; none if all are wrong, as a mistyped folder is."""
    odd = [word for word in folders if not is_root(word)]
    return odd if len(odd) < len(folders) else []


def _check_levels(options: argparse.Namespace, question: QuestionCommand) -> None:
    """Refuses levels as words beside the option that compares all levels; it shows how two of them are compared."""
    names: list[str] = (getattr(options, question.instead) if question.instead else None) or []
    odd = _no_folders(options.folders) if names else []
    if not odd:
        return
    hparam = names[0]
    folders = " ".join(shlex.quote(word) for word in options.folders if word not in odd)
    levels = " ".join(shlex.quote(f'"{hparam}" = {level}') for level in odd)
    two = f" Two of them: sweeplens {question.name} {levels} {folders}" if len(odd) == len(question.positionals) else ""
    raise InputError(
        f"--{question.instead} compares all levels, so {odd[0]!r} would be a folder, and is none. "
        f"All: sweeplens {question.name} {folders} --{question.instead} {hparam}.{two}"
    )


def check_words(options: argparse.Namespace, question: QuestionCommand, names: Sequence[str]) -> None:
    """Checks the words of a command. ``names``: the arguments of its tool. Raises InputError."""
    words = [word for name in question.positionals if (word := getattr(options, name))]
    _check_pieces(options, question, words)
    _check_pairs([*words, *options.folders], question, names)
    _check_levels(options, question)
    _check_nested([*options.folders, *options.root])
    if words and _is_folder_first(words[0], options.folders, question):
        _raise_for_order(words[0], options.folders, question)
    _check_folders(words, options.folders, question, names)


def _check_pieces(options: argparse.Namespace, question: QuestionCommand, words: Sequence[str]) -> None:
    """Refuses conditions and queries of which a shell made several words."""
    folders = [word for word in options.folders if is_root(word)]
    odd = [word for word in options.folders if not is_root(word)]
    command = " ".join(map(shlex.quote, ["sweeplens", question.name, *words, *folders]))
    where: list[str] = getattr(options, "where", None) or []
    if where:
        check_condition(where[-1], odd, command)
    if question.name == "sql":
        check_query(words[0], odd, folders[-1:])
    if question.instead and len(words) == len(question.positionals):
        check_sides([*words, *odd], f"sweeplens {question.name}", folders)


def _check_folders(
    words: Sequence[str], folders: Sequence[str], question: QuestionCommand, names: Sequence[str]
) -> None:
    """Refuses a word among folders that is none: it shows how metrics, runs and hyperparameters are named."""
    odd = [word for word in _no_folders(folders) if not _is_path(word)]
    if not odd:
        return
    real = [word for word in folders if word not in odd]
    forms = {name: _command_with(name, odd, words, real, question) for name in _NAMED if name in names}
    if question.positionals == ("run_id",):
        forms = {"": _shown(["sweeplens", question.name, odd[0], *real])}
    said = " ".join(f"{_NAMED.get(name, 'One run a command')}: {form}." for name, form in forms.items())
    raise InputError(f"{odd[0]!r} stands among the folders and is no folder. {said}".rstrip())


def _is_path(word: str) -> bool:
    """Returns whether a word that is no folder was meant as one: by its form, or because a folder has a similar name."""
    if word.startswith((".", "~", "/", "\\")) or "://" in word or not word.strip():
        return True
    try:
        given_root(word)
    except RootError as error:
        return not str(error).startswith(("No folder", f"Root {word!r} is a pattern")) or "Did you mean" in str(error)
    return True


def _command_with(
    name: str, odd: Sequence[str], words: Sequence[str], folders: Sequence[str], question: QuestionCommand
) -> str:
    """Returns the command with the words as the value of an argument, after those that it has already."""
    if name in question.positionals:
        return _shown(["sweeplens", question.name, ",".join([*words, *odd]), *folders])
    return _shown(["sweeplens", question.name, *words, *folders, f"--{name}", ",".join(odd)])


def _shown(words: Sequence[str]) -> str:
    return " ".join(map(quoted, words))


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


def _name_in(condition: str) -> str:
    """Returns the hyperparameter that a condition begins with: ``lr`` of ``lr=0.1``."""
    found = re.match(r'"?([\w./-]+?)"?\s*(?:[=<>!]|$)', condition)
    return found[1] if found else condition


def forgotten_word(words: Sequence[str], question: QuestionCommand) -> str:
    """Returns what is missing, if a folder stands in the place of another word, with the command; else nothing."""
    if not words or not is_root(words[-1]):
        return ""
    names = [name.upper().removesuffix("_ID") for name in question.positionals]
    folder = words[-1]
    command = _shown(["sweeplens", question.name, *words[:-1], *names[len(words) - 1 :], folder])
    other = _shown(
        ["sweeplens", question.name, f"--{question.instead}", *([_name_in(w) for w in words[:-1]] or ["NAME"]), folder]
    )
    either = f", or {other}" if question.instead else ""
    return f"{folder!r} is a folder, and stands in the place of {names[len(words) - 1]}: {command}{either}"


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
