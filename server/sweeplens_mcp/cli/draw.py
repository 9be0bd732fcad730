"""`sweeplens plot` and `sweeplens report`: write charts and reports to files, without a client."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from sweeplens.errors import InputError, SweeplensError
from sweeplens.extras import is_installed, not_installed
from sweeplens.sources.given_roots import shown_root
from sweeplens_mcp.cli.call import typed
from sweeplens_mcp.cli.command_hints import as_commands
from sweeplens_mcp.cli.targets import check_target
from sweeplens_mcp.cli.terminal_images import IMAGE_SEQUENCES
from sweeplens_mcp.execution.arguments import checked_arguments, tool_arguments
from sweeplens_mcp.execution.opening import open_database
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import TOOLS

__all__ = ["PlotOptions", "plot_to_file", "report_to_file"]

_PLOT = next(spec for spec in TOOLS if spec.picture)


class PlotOptions(Struct, frozen=True):
    """``output``: a file whose suffix is the format; empty: none. ``inline``: show the chart in the terminal."""

    output: str = ""
    theme: str = "light"
    size: str = ""
    open: bool = False
    inline: str = ""


def plot_to_file(kind: str, values: Sequence[str], settings: Settings, options: PlotOptions) -> str:
    """Draws a chart and returns the text to print. ``values``: ``name=value`` as for the tool. Raises SweeplensError."""
    values = [f"metrics={v.removeprefix('metric=')}" if v.startswith("metric=") else v for v in values]
    arguments = {**typed(values, tool_arguments(_PLOT)), **({"kind": kind} if kind else {})}
    checked = checked_arguments(_PLOT, arguments)
    if not options.output and not options.inline:
        raise InputError(
            "No output: pass -o FILE (.png, .svg, .pdf, .html or .json), or --inline kitty, iterm or sixel."
        )
    chosen: dict[str, Any] = {name: value for name, value in checked.items() if value and name != "kind"}
    with _hints_for_shell(chosen, settings):
        database = open_database(settings)
        verb = check_target(Path(options.output), database.roots) if options.output else ""
        chosen.update(_size(options.size))
        database.load_experiments()
        chart = database.plot(checked["kind"], **chosen)
    words = f"{chart.title}\n{as_commands(chart.caption)}"
    if options.inline:
        words = f"{IMAGE_SEQUENCES[options.inline](chart.png(options.theme))}\n{words}"
    if options.output:
        path = chart.save(options.output, options.theme)
        words = f"{words}\n{verb} {path}"
        _show(path, wanted=options.open)
    return words


def report_to_file(output: str, settings: Settings, *, where: str = "", opened: bool = False) -> str:
    """Writes the report and returns the text to print. Raises SweeplensError."""
    from sweeplens.report import report_page, write_page
    from sweeplens_mcp.cli.command_hints import as_commands

    with _hints_for_shell({"where": where}, settings):
        database = open_database(settings)
        verb = check_target(Path(output), database.roots)
        database.load_experiments()
        page = report_page(database.pinned(), where=where, words=partial(as_commands, folders=_folders(settings)))
        path = write_page(output, page)
    _show(path, wanted=opened)
    lacking = "" if is_installed("vl_convert") else f"\nWithout charts: {not_installed('vl_convert')}"
    return f"{verb} {path} ({path.stat().st_size // 1000} kB; opens in any browser, without network){lacking}"


@contextmanager
def _hints_for_shell(values: Mapping[str, object], settings: Settings) -> Generator[None]:
    """Puts the message of an error into the words of commands."""
    try:
        yield
    except SweeplensError as error:
        from sweeplens_mcp.cli.command_hints import as_commands, with_shell_quotes

        raise InputError(as_commands(with_shell_quotes(error, values), _folders(settings))) from error


def _folders(settings: Settings) -> list[str]:
    return [shown_root(root) for root in settings.roots]


def _size(text: str) -> dict[str, int]:
    """Returns ``800x500`` as width and height."""
    if not text:
        return {}
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise InputError(f"--size {text!r} is not WIDTHxHEIGHT, as in 800x500.")
    return {"width": int(width), "height": int(height)}


def _show(path: Path, *, wanted: bool) -> None:
    if wanted and not webbrowser.open(path.resolve().as_uri()):
        print(f"sweeplens: no program was found to open {path}", file=sys.stderr)
