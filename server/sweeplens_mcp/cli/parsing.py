"""An argument parser with errors of one sentence on stderr, and exit code 2; an unknown option gets the nearest ones."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

__all__ = ["CommandListFormatter", "SentenceParser", "parser_of", "unknown_option", "unrecognized"]

_MEANT = {
    **dict.fromkeys(("filter", "condition", "query", "match", "if", "status", "select"), ("--where",)),
    **dict.fromkeys(("since", "after", "from", "from_cursor", "last"), ("--cursor",)),
    **dict.fromkeys(
        ("n", "top", "top_k", "head", "max", "count", "rows", "num"), ("--limit", "--budget", "--max-points")
    ),
    **dict.fromkeys(("order", "order_by", "sort_by", "sorted", "orderby"), ("--sort",)),
    **dict.fromkeys(
        ("group_by", "groupby", "group", "by", "hparam", "params", "param"), ("--hparams", "--hparam", "--by")
    ),
    **dict.fromkeys(("dir", "folder", "path", "base_path", "data", "logdir", "experiments"), ("--root",)),
    **dict.fromkeys(("out", "file", "save", "to", "export"), ("--output",)),
    **dict.fromkeys(("csv", "markdown", "table", "type"), ("--format",)),
    **dict.fromkeys(("direction", "mode", "objective"), ("--goal",)),
    **dict.fromkeys(("follow", "live", "f"), ("--watch",)),
    **dict.fromkeys(("run", "id", "ids", "name", "run_id"), ("--runs",)),
    **dict.fromkeys(("metric", "y", "keys"), ("--metrics", "--pattern")),
    **dict.fromkeys(("xaxis", "x_axis"), ("--x",)),
}
"""Words of other tools for options, with the options that are meant, the first that a command has."""
_COMMANDS_WIDTH = 17  # the longest command, its indentation, and the space after it


class SentenceParser(argparse.ArgumentParser):
    """Like argparse, but without the usage before each error."""

    def error(self, message: str) -> NoReturn:
        """Exits with the sentence."""
        option = re.match(r"unrecognized arguments: (-\S+)(?!.*With `call`)", message)
        message = unknown_option(self, option[1]).removesuffix(".") if option else message
        self.exit(2, f"sweeplens: {message} (see {self.prog} --help)\n")


def unknown_option(parser: argparse.ArgumentParser, word: str) -> str:
    """Returns the error for an option that a command does not have, with what was meant."""
    from sweeplens.errors import nearest  # not needed by most calls

    actions = parser._actions  # pyright: ignore[reportPrivateUsage]
    known = [option for action in actions for option in action.option_strings]
    name = word.partition("=")[0]
    if name == "--json":
        return "No option --json: --format json prints JSON."
    typed = name.lstrip("-").replace("-", "_")
    words = [action.dest for action in actions if not action.option_strings]
    own = {dest.rstrip("s"): dest for dest in words if dest != "folders"}
    if typed.rstrip("s") in own:
        shown = own[typed.rstrip("s")].upper().removesuffix("_ID")
        return f"No option {name}: {shown} is a word of its own: {parser.prog} {shown} DIR"
    meant = next((option for option in _MEANT.get(typed, ()) if option in known), "")
    long = [option for option in known if option.startswith("--")]
    near = [meant] if meant else nearest(f"--{name.lstrip('-')}", long)
    return f"No option {name}." + (f" Nearest: {', '.join(near)}." if near else "")


def unrecognized(rest: Sequence[str]) -> str:
    """Returns argparse's sentence for words that are left over: the options among them, if there are some."""
    return f"unrecognized arguments: {' '.join([word for word in rest if word.startswith('-')] or rest)}"


def parser_of(top: argparse.ArgumentParser, command: str) -> argparse.ArgumentParser:
    """Returns the parser of one command."""
    choices: list[Any] = [action.choices for action in top._actions if action.nargs == argparse.PARSER]  # pyright: ignore[reportPrivateUsage]
    return choices[0].get(command, top) if choices else top


class CommandListFormatter(argparse.HelpFormatter):
    """Help with a list of commands, each on a line of its own: argparse measures them without their indentation."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_COMMANDS_WIDTH)
        self._action_max_length = _COMMANDS_WIDTH
