"""`--watch`: answers again whenever the data change, until Ctrl-C.

On a terminal the screen is drawn again; in a pipe each new answer follows after an empty line.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from sweeplens.errors import InputError
from sweeplens_mcp.cli.answering import row_limit, whole_answer
from sweeplens_mcp.cli.output import Output, formatted, write
from sweeplens_mcp.cli.progress import ProgressLine
from sweeplens_mcp.cli.targets import check_target
from sweeplens_mcp.execution.opening import open_database
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import ToolSpec

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["watch"]

_LEAST_SECONDS = 0.2
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def watch(
    spec: ToolSpec,
    values: dict[str, object],
    settings: Settings,
    output: Output,
    seconds: float,
    hint: Callable[[str], str] = str,
) -> int:
    """Answers until Ctrl-C, which is a normal end. Raises SweeplensError."""
    if not seconds >= _LEAST_SECONDS:
        raise InputError(f"--watch {seconds:g} is too often: pass {_LEAST_SECONDS:g} seconds or more.")
    database = open_database(settings)
    if output.file is not None:
        check_target(output.file, database.roots)
    try:
        with ProgressLine(sys.stderr, "opening the experiments") as progress:
            database.load_experiments(progress=progress.update)
        _repeat(database, spec, values, output, seconds, hint)
    except KeyboardInterrupt:
        return 0


def _repeat(
    database: ExperimentDB,
    spec: ToolSpec,
    values: dict[str, object],
    output: Output,
    seconds: float,
    hint: Callable[[str], str],
) -> NoReturn:
    gc.enable()  # this may run for days
    is_screen = output.file is None and sys.stdout.isatty()
    last = ""
    while True:
        answer = whole_answer(spec, database, values)
        text = formatted(answer, spec, row_limit(values), output, hint)
        if text != last:
            write(f"{_CLEAR}{text}" if is_screen else f"\n{text}" if last and output.file is None else text, output)
            last = text
        time.sleep(seconds)
        database.load_experiments()
