"""Makes the lines of `sweeplens doctor`: which files are read, which not, and why."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sweeplens.counting import count_of
from sweeplens.errors import RootError
from sweeplens.extras import missing_extras
from sweeplens.native.library import is_compiled
from sweeplens.sources.given_roots import shown_root
from sweeplens_mcp.cli.command_hints import with_folders
from sweeplens_mcp.cli.file_report import file_reports, lines, summary
from sweeplens_mcp.execution.opening import open_database
from sweeplens_mcp.render.cells import clean, clip
from sweeplens_mcp.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["report"]

_MOST = 10
_PACKAGES = ("sweeplens", "mcp", "polars", "pydantic")


def report(settings: Settings, *, files: bool = False) -> Iterator[str]:
    """Returns versions, roots, runs by format and status, problems, duplicate files, files by reader or reason.

    ``files``: a line for every file. Raises RootError, ConfigError.
    """
    yield f"Python {platform.python_version()}, " + ", ".join(f"{p} {version(p)}" for p in _PACKAGES)
    if not is_compiled():
        yield (
            "JSON lines and text logs are read slowly: the compiled reader is missing; install sweeplens again with a C compiler"
            " or ziglang"
        )
    yield from (f"Not installed: {sentence}" for sentence in missing_extras())
    database = open_database(settings)
    yield from (f"Root {root}" for root in map(clean, database.root_names))
    yield from _read(database, [shown_root(root) for root in settings.roots], files=files)


def _read(database: ExperimentDB, folders: Sequence[str], *, files: bool) -> Iterator[str]:
    try:
        loaded = database.load_experiments()
    except RootError as error:
        yield clean(with_folders(str(error), folders))
        yield from _files(database, {}, each=files)
        return
    yield f"Store: {clean(database.store)}"
    if engine := database.engine:
        yield f"Engine: {clean(engine)}"
    yield (
        f"Read {count_of(loaded.n_runs, 'run')}, {count_of(loaded.n_points, 'point')} in "
        f"{count_of(loaded.n_files, 'file')}, {loaded.seconds:.2f} s"
    )
    view = database.view()
    runs = view.runs
    yield "Formats: " + ", ".join(f"{n} {name}" for name, n in Counter(runs["format"].to_list()).most_common())
    yield "Status: " + ", ".join(f"{n} {name}" for name, n in Counter(runs["status"].to_list()).most_common())
    lines = [_problem(row) for row in database.problems.iter_rows(named=True)]
    yield from _counted("Problems", lines)
    yield from _counted("Written more than once, counted once", list(_duplicates(runs)))
    yield from _files(database, view.snapshot.job_logs, each=files)


def _files(database: ExperimentDB, logs: Mapping[str, str], *, each: bool) -> Iterator[str]:
    """Returns files by reader or reason. ``logs``: path -> run, as in `file_reports`; ``each``: also a line for every file."""
    reports = list(file_reports(database.roots, logs))
    yield f"Files: {len(reports)}"
    yield from summary(reports)
    if each:
        yield from lines(reports)


def _problem(row: dict[str, object]) -> str:
    line = f":{row['line']}" if row["line"] else ""
    return clip(f"{row['file']}{line}: {row['reason']}", 300)


def _duplicates(runs: pl.DataFrame) -> Iterator[str]:
    """Returns runs that several files hold: the file that was read, and the others."""
    if "metadata.also_in" not in runs.columns:
        return
    duplicated = runs.select("run_id", "format", "metadata.also_in").drop_nulls()
    for run, reader, others in duplicated.iter_rows():
        names = (str(other).removeprefix(f"{run}/") for other in json.loads(others))
        yield clip(clean(f"{run}: read by {reader}; duplicates: {', '.join(names)}"), 300)


def _counted(title: str, lines: list[str]) -> Iterator[str]:
    """Returns a title with the count, then the first few."""
    yield f"{title}: {len(lines) or 'none'}"
    yield from (f"  {line}" for line in lines[:_MOST])
    if len(lines) > _MOST:
        yield f"  and {len(lines) - _MOST} more" + (
            f" like *{Path(lines[-1]).suffix}" if Path(lines[-1]).suffix else ""
        )
