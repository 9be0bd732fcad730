"""What a call of `ExperimentDB` stands on and speaks with: its view of one version, and the sentences around it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import polars as pl
from msgspec import Struct

from sweeplens.answers import Answer
from sweeplens.errors import InputError
from sweeplens.frames.path_settings import PATH
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import what_was_wrong
from sweeplens.readers.decoding.axis_names import is_aside, label_of
from sweeplens.readers.protocol import Problem
from sweeplens.store import Snapshot

__all__ = [
    "Names",
    "View",
    "as_names",
    "as_paths",
    "duplicate_warnings",
    "load_failed",
    "nothing_found",
    "of_runs",
    "overwritten",
    "python_call",
    "read_from_names",
    "standing_problems",
    "unread",
    "unread_logs",
]

_NAMED = 3  # files and hyperparameters that a warning names


class View(Struct, frozen=True):
    """The runs that a question is about, their series, and all points, of one version."""

    snapshot: Snapshot
    runs: pl.DataFrame
    series: pl.DataFrame
    problems: tuple[Problem, ...]
    emptied: str = ""  # why the condition holds for no run, where it holds for none

    @property
    def metrics(self) -> list[str]:
        """The metrics that these runs logged, sorted."""
        if self.series is self.snapshot.series:
            return list(self.snapshot.metrics)
        return self.series["metric"].unique().sort().to_list()

    def with_runs(self) -> View:
        """This view. Raises InputError where its condition leaves no run, for questions that nothing could answer then."""
        if self.emptied:
            raise InputError(self.emptied)
        return self


def duplicate_warnings(
    view: View, metrics: Sequence[str] = (), answer: Answer | None = None, *, runs: Sequence[str] = ()
) -> tuple[str, ...]:
    """That runs which hold the same curves count twice, where they do: in these metrics, or, without any, as runs.

    ``answer``: of one metric, so that what it left out does not count. ``runs``: instead of those of the view.
    """
    from sweeplens.analyses.duplicate_runs import counted_twice, find_duplicates

    found = view.snapshot.once(find_duplicates)
    if not found:
        return ()
    among = view.runs.filter(pl.col("run_id").is_in(list(runs))) if runs else view.runs
    counted = view.series.filter(pl.col("metric").is_in(list(metrics))) if metrics else None
    without = [run for entry in answer.basis.left_out for run in entry.runs] if answer else []
    return counted_twice(found, among, counted, without=without, conditions=not runs)


def overwritten(view: View, metrics: Sequence[str] = (), runs: Sequence[str] = ()) -> tuple[str, ...]:
    """That fewer values count than were logged, where no resume explains it: in these metrics and runs, or in all.

    A resume goes back once or a few times and writes less than half of the series again. Counters are repeated in every row,
    and so is what tells of a run's pace: of that is only told where it is asked for.
    """
    lost = pl.col("n_logged") - pl.col("n")
    odd = view.series.filter((lost > 0) & ((pl.col("rewinds") == 0) | (2 * lost > pl.col("n_logged"))))
    if odd.height and metrics:
        odd = odd.filter(pl.col("metric").is_in(list(metrics)))
    if odd.height and runs:
        odd = odd.filter(pl.col("run_id").is_in(list(runs)))
    told = odd.filter([not label_of(m) and (bool(metrics) or not is_aside(m)) for m in odd["metric"]]).sort(
        lost, "run_id", "metric", descending=[True, False, False]
    )
    if not told.height:
        return ()
    first = told.row(0, named=True)
    many, logged = int(told.select(lost.sum()).item()), int(told["n_logged"].sum())
    where = f"{first['metric']} of {first['run_id']}" + (
        f" and {told.height - 1} more series" if told.height > 1 else ""
    )
    return (
        f"{many} of {logged} logged values do not count ({where}): a later value stands at the same step, "
        "and no resume explains it",
    )


def standing_problems(
    problems: tuple[Problem, ...], snapshot: Snapshot, now: datetime, live_seconds: float
) -> tuple[Problem, ...]:
    """A torn last line is a problem once its file has stopped growing."""
    if not any(p.kind == "torn" for p in problems):
        return problems
    touched = {plain_text(f.path): f.mtime_ns / 1e9 for s in snapshot.sources for f in s.files}
    limit = now.timestamp() - live_seconds
    return tuple(p for p in problems if p.kind != "torn" or touched.get(p.file, 0.0) < limit)


def of_runs(problems: Sequence[Problem], runs: pl.DataFrame) -> tuple[Problem, ...]:
    """The problems of these runs, and those that belong to no run."""
    ids = set(runs["run_id"]) if problems else set[str]()
    return tuple(p for p in problems if not p.run_id or p.run_id in ids)


def unread(problems: Sequence[Problem], roots: Sequence[Path]) -> tuple[str, ...]:
    """How many lines could not be read, in a sentence; none where all could."""
    malformed = [p for p in problems if p.kind == "malformed"]
    if not malformed:
        return ()
    file, line = Path(malformed[0].file), malformed[0].line
    place = f"{_below_root(str(file), roots)}{f':{line}' if line else ''}"
    many = f"{len(malformed)} malformed line{'s' * (len(malformed) > 1)}"
    return (f"{many}, the first in {place} (experiments://problems)",)


def unread_logs(snapshot: Snapshot, roots: Sequence[Path]) -> tuple[str, ...]:
    """That files look like logs and that no reader took them, in a sentence with the command that says why."""
    files = snapshot.unread_logs
    if not files:
        return ()
    named = ", ".join(_below_root(f, roots) for f in files[:_NAMED])
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    one = len(files) == 1
    return (
        f"{len(files)} file{'' if one else 's'} look{'s' if one else ''} like {'a log' if one else 'logs'} and "
        f"{'was' if one else 'were'} not read ({plain_text(named)}{more}): `sweeplens doctor --files` says why",
    )


def read_from_names(runs: pl.DataFrame) -> tuple[str, ...]:
    """That hyperparameters were read from the names of runs, in a sentence."""
    names = [c for c in runs.columns if c.startswith(PATH) and runs[c].null_count() < runs.height]
    if not names:
        return ()
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return (f"{shown}: read from the names of runs, since no config tells them apart (names_as_settings=false: never)",)


def _below_root(file: str, roots: Sequence[Path]) -> str:
    path = Path(file)
    root = next((r for r in roots if path.is_relative_to(r)), None)
    return (path.relative_to(root) if root else path).as_posix()


def nothing_found(roots: Sequence[Path], snapshot: Snapshot, become: Sequence[str] = ()) -> str:
    """That there are no experiments, and why; ``become``: what has become of roots that are no longer what they were."""
    where = ", ".join(repr(str(r)) for r in roots)
    seen = (
        f"{len(snapshot.refused)} files there belong to no known format" if snapshot.refused else "there are no files"
    )
    said = (
        f"No experiments below {where}: {seen}. `sweeplens doctor --files` says for each file why; "
        "docs/formats.md lists what is read."
    )
    return " ".join((*become, said))


def load_failed(error: BaseException, now: datetime, good: datetime | None) -> str:
    """That the folders could not be read as a whole, and of when the snapshot is that answers stand on meanwhile."""
    told = f"the last good snapshot, of {_moment(good)}" if good else "what an earlier process had read"
    return (
        f"the folders could not be read at {_moment(now)} ({what_was_wrong(error)}): answers stand on {told}, "
        "until a reading succeeds"
    )


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}Z"


Names = str | Sequence[str]
"""A name, or several: a text is one name, never its letters."""


def as_names(names: Names) -> tuple[str, ...]:
    """The names as a tuple; an empty text is none."""
    return ((names,) if names else ()) if isinstance(names, str) else tuple(names)


def as_paths(base_path: str | Path | Sequence[str | Path] | None) -> list[str | Path]:
    if base_path is None:
        return []
    return [base_path] if isinstance(base_path, str | Path) else list(base_path)


def python_call(**arguments: object) -> str:
    """Arguments as Python source, empty ones left out."""
    return ", ".join(f"{k}={_source(v)}" for k, v in arguments.items() if v is not None and v not in ("", [], ()))


def _source(value: object) -> str:
    return repr(list(cast("Sequence[object]", value))) if isinstance(value, tuple) else repr(value)
