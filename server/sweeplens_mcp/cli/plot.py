"""`sweeplens plot [KIND] [DIR ...]`: the arguments of the tool as options, and where the picture goes.

Words without a name are the kind, folders, and ``name=value`` as `sweeplens call plot` takes them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from sweeplens.errors import InputError
from sweeplens.sources.given_roots import is_root
from sweeplens_mcp.cli.answering import spec_named
from sweeplens_mcp.cli.command_hints import quoted
from sweeplens_mcp.cli.draw import PlotOptions, plot_to_file
from sweeplens_mcp.cli.missing_quotes import check_condition
from sweeplens_mcp.cli.parsing import SentenceParser
from sweeplens_mcp.cli.questions import add_option, option_values, parsed_words
from sweeplens_mcp.cli.word_order import check_words_of_plot
from sweeplens_mcp.execution.arguments import tool_arguments
from sweeplens_mcp.settings import Settings

__all__ = ["main", "plot_parser"]

_TOOL = "plot"


def main(arguments: Sequence[str]) -> int:
    """Draw a picture and say what it shows. Raises SweeplensError with a sentence."""
    given, rest = parsed_words(plot_parser(), arguments)
    words: list[str] = [*given.words, *rest]
    if given.where:
        odd = [word for word in words[1:] if not is_root(word)]
        named: list[str] = given.metrics or []
        metrics = [part for word in named for part in ("--metrics", word)]
        typed = [*(word for word in words if word not in odd), *metrics, "-o", given.output or "FILE"]
        check_condition(given.where[-1], odd, " ".join(map(quoted, ["sweeplens", "plot", *typed])))
    kind = words.pop(0) if words and "=" not in words[0] and not is_root(words[0]) else ""
    pairs = [word for word in words if "=" in word and not is_root(word)]
    folders = [word for word in words if word not in pairs]
    check_words_of_plot(kind, folders, given.metrics or [])
    for name, value in option_values(given, tool_arguments(spec_named(_TOOL))).items():
        if name == "kind" and kind:
            raise InputError(f"The kind is given twice: {kind} and --kind {value}.")
        pairs.append(f"{name}={json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value}")
    options = PlotOptions(given.output, given.theme, given.size, given.open, given.inline)
    print(plot_to_file(kind, pairs, Settings((*folders, *given.root)), options))
    return 0


def plot_parser() -> argparse.ArgumentParser:
    """The arguments of the command, with help."""
    spec = spec_named(_TOOL)
    parser = SentenceParser(
        prog="sweeplens plot", description=spec.description, allow_abbrev=False,
        usage="sweeplens plot [KIND] [DIR ...] -o FILE [OPTION ...]",
        epilog="example: sweeplens plot curves sweep --metrics val/acc --hparams optim.lr -o curves.png",
    )  # fmt: skip
    parser.add_argument("words", nargs="*", metavar="KIND, DIR", help="curves, ranking, ...; folders of experiments")
    picture = parser.add_argument_group("the picture")
    for argument in tool_arguments(spec):
        add_option(picture, argument)
    file_group = parser.add_argument_group("the file")
    file_group.add_argument(
        "-o", "--output", default="", metavar="FILE", help="ends with .png, .svg, .pdf, .html or .json"
    )
    file_group.add_argument("--theme", default="light", metavar="THEME", help="light or dark")
    file_group.add_argument("--size", default="", metavar="WxH", help="in pixels; default 800x500")
    file_group.add_argument("--open", action="store_true", help="show the file")
    file_group.add_argument(
        "--inline", choices=("kitty", "iterm", "sixel"), default="", help="show it in a terminal of this kind"
    )
    file_group.add_argument(
        "--root", action="append", default=[], metavar="DIR", help="a folder of experiments, as DIR"
    )
    return parser
