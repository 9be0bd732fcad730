"""`View`, the data of one version that a call of `ExperimentDB` uses, and the warnings and sentences of its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.health import RunHealth, broken_warning, scale_warnings, source_warning
from sweeplens.analyses.rungs import rung_warning
from sweeplens.answers import Answer
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.polars_points import PolarsEngine
from sweeplens.engines.protocol import Engine, PointSource
from sweeplens.errors import LOAD_FAILED, InputError
from sweeplens.frames.events import event_goal, event_series, parse_event
from sweeplens.frames.lineage import sources_of
from sweeplens.frames.metadata_tasks import with_task
from sweeplens.frames.path_settings import PATH
from sweeplens.frames.run_columns import NOTHING_MORE, RunColumns
from sweeplens.frames.schemas import CONTINUES
from sweeplens.frames.selection import select_axis
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import error_reason
from sweeplens.readers.decoding.axis_names import is_pace_metric, label_of
from sweeplens.readers.protocol import Problem
from sweeplens.sources.run_scores import REPORTS
from sweeplens.sql.unread_logs import below_root, unread_trackers
from sweeplens.store import Snapshot
from sweeplens.store.runs_frame import LEFT_OUT

__all__ = [
    "Names",
    "View",
    "as_names",
    "as_paths",
    "axis_of",
    "continued",
    "contradicted",
    "copied_runs",
    "duplicate_warnings",
    "left_out_warning",
    "load_failed",
    "nothing_found",
    "of_runs",
    "overwritten",
    "python_call",
    "read_from_names",
    "standing_problems",
    "unread",
]

_NAMED = 3  # files and hyperparameters that a warning names


class View(Struct, frozen=True):
    """The runs that a question selects, their series, and all points, of one version."""

    snapshot: Snapshot
    runs: pl.DataFrame
    series: pl.DataFrame
    problems: tuple[Problem, ...]
    emptied: str = ""  # why the condition holds for no run, if it does not
    more: RunColumns = NOTHING_MORE  # columns of runs that are computed when a question names them
    health: RunHealth | None = None  # of all runs of the version
    event_goals: Mapping[str, Literal["lower", "higher"]] = {}  # of events that are used as metrics
    engine: Engine = PolarsEngine()

    @property
    def points(self) -> PointSource:
        """All points of the version, as they were logged, held by the engine."""
        return self.engine.points(self.snapshot.stored, self.snapshot.points)

    @property
    def metrics(self) -> list[str]:
        """Returns the metrics that these runs logged, sorted."""
        if self.series is self.snapshot.series:
            return list(self.snapshot.metrics)
        return self.series["metric"].unique().sort().to_list()

    @property
    def is_whole(self) -> bool:
        """Whether this view holds all runs of its version, and no events as metrics."""
        return self.series is self.snapshot.series

    def with_events(self, names: Sequence[str]) -> View:
        """Returns this view with the event columns among the names as further metrics, one value a run."""
        metrics = frozenset(self.metrics)
        found = [e for n in dict.fromkeys(names) if n not in metrics and (e := parse_event(n, metrics))]
        if not found:
            return self
        rows = [event_series(event, self.series, self.points) for event in found]
        goals = {event.name: event_goal(event) for event in found}
        return replace(self, series=pl.concat([self.series, *rows]), event_goals=goals)

    def by_task(self, tasks: Sequence[str]) -> View:
        """Returns this view with the task among the hyperparameters, where only metadata names it."""
        return replace(self, runs=with_task(self.runs, tasks))

    def used(self, answer: Answer) -> list[str]:
        """Returns the runs that an answer of one metric uses."""
        left = {run for entry in answer.basis.left_out for run in entry.runs}
        return [run for run in self.runs["run_id"].to_list() if run not in left]

    def broken_warning(self, runs: Sequence[str], place: str = "used") -> tuple[str, ...]:
        """Warns that some of the runs behind an answer are broken, if that is known or quickly found out."""
        if not self.health or not runs:
            return ()
        return broken_warning(self.health.broken(runs), len(runs), place)

    def run_warnings(
        self, runs: Sequence[str], metrics: Sequence[str], *, place: str = "used", equal_steps: bool = False
    ) -> tuple[str, ...]:
        """Warns of broken runs behind an answer, of metrics that some of them log on another scale, and of rungs of a search."""
        own = self.series.filter(pl.col("metric").is_in(list(metrics)))
        return (
            *self.scale_warnings(runs, metrics),
            *self.source_warnings(runs),
            *(() if equal_steps else rung_warning(self.runs, own, runs)),
            *self.broken_warning(runs, place),
        )

    def scale_warnings(self, runs: Sequence[str], metrics: Sequence[str]) -> tuple[str, ...]:
        """Warns of metrics that some of the runs behind an answer log on another scale, if that is known or quickly found out."""
        findings = self.health.known_findings() if self.health and runs else None
        return () if findings is None else scale_warnings(findings, runs, metrics)

    def source_warnings(self, runs: Sequence[str]) -> tuple[str, ...]:
        """Warns of runs behind an answer whose source did not end well, if that is known or quickly found out."""
        findings = self.health.known_findings() if self.health and sources_of(self.runs) else None
        return () if findings is None else source_warning(findings, runs)

    def findings_elsewhere(self) -> pl.DataFrame | None:
        """Returns the findings of runs outside of this view, if runs of this view started from them and they are known."""
        ids = set(self.runs["run_id"].to_list())
        outside = {s for own in sources_of(self.runs).values() for s in own} - ids
        findings = self.health.known_findings() if self.health and outside else None
        return None if findings is None else findings.filter(pl.col("run_id").is_in(list(ids)).not_())

    def with_runs(self) -> View:
        """Returns this view. Raises InputError if its condition leaves no run, for questions that need runs."""
        if self.emptied:
            raise InputError(self.emptied)
        return self


def duplicate_warnings(
    view: View, metrics: Sequence[str] = (), answer: Answer | None = None, *, runs: Sequence[str] = ()
) -> tuple[str, ...]:
    """Warns of runs with the same curves, which count twice: in these metrics, or, without metrics, as runs.

    ``answer``: of one metric; runs that it left out do not count. ``runs``: instead of those of the view.
    """
    from sweeplens.analyses.duplicate_runs import counted_twice, find_duplicates

    found = view.snapshot.once(find_duplicates)
    if not found:
        return ()
    among = view.runs.filter(pl.col("run_id").is_in(list(runs))) if runs else view.runs
    counted = view.series.filter(pl.col("metric").is_in(list(metrics))) if metrics else None
    without = [run for entry in answer.basis.left_out for run in entry.runs] if answer else []
    return counted_twice(found, among, counted, without=without, conditions=not runs, series=view.series)


def copied_runs(view: View) -> list[str]:
    """Returns the runs that hold the curves of another run, without the first of each group."""
    from sweeplens.analyses.duplicate_runs import find_duplicates

    return [run for group in view.snapshot.once(find_duplicates) for run in group.runs[1:]]


def left_out_warning(runs: pl.DataFrame) -> tuple[str, ...]:
    """Warns if all runs together have too many hyperparameters."""
    if LEFT_OUT not in runs.columns:
        return ()
    without, values = runs.filter(pl.col(LEFT_OUT) > 0).height, int(runs[LEFT_OUT].sum())
    if not without:
        return ()
    return (
        f"{count_of(values, 'value')} in the configurations of {count_of(without, 'run')} {verb(values, 'is', 'are')} "
        f"left out: all runs together have too many "
        "hyperparameters, and those of most runs are kept.",
    )


def overwritten(view: View, metrics: Sequence[str] = (), runs: Sequence[str] = ()) -> tuple[str, ...]:
    """Warns if fewer values count than were logged and no resume explains it: in these metrics and runs, or in all.

    A resume goes back a few times and repeats less than half of the series. Counters, and values about a run's speed, are
    repeated in every row: counters are ignored, and values about speed too, unless ``metrics`` names them.
    """
    lost = pl.col("n_logged") - pl.col("n")
    suspicious = view.series.filter((lost > 0) & ((pl.col("rewinds") == 0) | (2 * lost > pl.col("n_logged"))))
    if suspicious.height and metrics:
        suspicious = suspicious.filter(pl.col("metric").is_in(list(metrics)))
    if suspicious.height and runs:
        suspicious = suspicious.filter(pl.col("run_id").is_in(list(runs)))
    told = suspicious.filter(
        [not label_of(m) and (bool(metrics) or not is_pace_metric(m)) for m in suspicious["metric"]]
    ).sort(lost, "run_id", "metric", descending=[True, False, False])
    if not told.height:
        return ()
    first = told.row(0, named=True)
    many, logged = int(told.select(lost.sum()).item()), int(told["n_logged"].sum())
    where = f"{first['metric']} of {first['run_id']}" + (
        f" and {told.height - 1} more series" if told.height > 1 else ""
    )
    return (
        f"{share_of(many, logged, 'logged value')} {verb(logged, 'does', 'do')} not count ({where}): a later value has the "
        f"same step, "
        "and no resume explains it",
    )


def continued(runs: pl.DataFrame) -> tuple[str, ...]:
    """Notes trainings that were resumed in another folder: each is one run."""
    told = runs.select("run_id", CONTINUES).drop_nulls() if CONTINUES in runs.columns else runs.head(0)
    if not told.height:
        return ()
    run_id, earlier = told.sort("run_id").row(0)
    n, before = told.height, [str(part) for part in json.loads(earlier)]
    return (
        f"{count_of(n, 'run')} {verb(n, 'was', 'were')} resumed in another folder and {verb(n, 'counts', 'count')} once, with the "
        f"curves joined: {', '.join(before)} {verb(len(before), 'is', 'are')} continued by {run_id}"
        f"{f', and {n - 1} more' if n > 1 else ''} (column {CONTINUES})",
    )


def standing_problems(
    problems: tuple[Problem, ...], snapshot: Snapshot, now: datetime, live_seconds: float
) -> tuple[Problem, ...]:
    """Keeps the problem of an incomplete last line only if its file has stopped growing."""
    if not any(p.kind == "torn" for p in problems):
        return problems
    touched = {plain_text(f.path): f.mtime_ns / 1e9 for s in snapshot.sources for f in s.files}
    limit = now.timestamp() - live_seconds
    return tuple(p for p in problems if p.kind != "torn" or touched.get(p.file, 0.0) < limit)


def of_runs(problems: Sequence[Problem], runs: pl.DataFrame) -> tuple[Problem, ...]:
    """Returns the problems of these runs, and those without a run."""
    ids = set(runs["run_id"]) if problems else set[str]()
    return tuple(p for p in problems if not p.run_id or p.run_id in ids)


def unread(problems: Sequence[Problem], roots: Sequence[Path]) -> tuple[str, ...]:
    """Warns of the number of lines that could not be read, if any; names the files where they are few."""
    malformed = [p for p in problems if p.kind == "malformed"]
    if not malformed:
        return ()
    lines: dict[str, list[int]] = {}
    for problem in malformed:
        lines.setdefault(problem.file, []).append(problem.line or 0)
    many = f"{count_of(len(malformed), 'malformed line')}"
    if len(lines) > _NAMED:
        file, found = next(iter(lines.items()))
        return (
            f"{many} in {len(lines)} files, the first in {_place(file, found[:1], roots)} (experiments://problems)",
        )
    return (
        f"{many} in {', '.join(_place(file, found, roots) for file, found in lines.items())} (experiments://problems)",
    )


def _place(file: str, lines: Sequence[int], roots: Sequence[Path]) -> str:
    """Returns a file with its first malformed line, and how many more it has."""
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return f"{below_root(file, roots)}{f':{lines[0]}' if lines[0] else ''}{more}"


def contradicted(problems: Sequence[Problem], metrics: Sequence[str]) -> tuple[str, ...]:
    """Warns of values in files beside the logs that the logs contradict: of these metrics, or of all."""
    told = [p for p in problems if p.kind == "warning" and p.reason.startswith(REPORTS)]
    told = [p for p in told if not metrics or any(f"its {m} ends at" in p.reason for m in metrics)]
    if not told:
        return ()
    runs = len({p.run_id for p in told})
    first = f"{told[0].file.replace(chr(92), '/').rsplit('/', 1)[-1]} of {told[0].run_id} {told[0].reason}"
    return (f"{count_of(runs, 'run')} {verb(runs, 'has', 'have')} a reported value that the log contradicts: {first}",)


def read_from_names(runs: pl.DataFrame) -> tuple[str, ...]:
    """Notes hyperparameters that were read from the names of runs."""
    names = [c for c in runs.columns if c.startswith(PATH) and runs[c].null_count() < runs.height]
    if not names:
        return ()
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return (f"{shown}: read from the names of runs, since no config tells them apart (names_as_settings=false: never)",)


def nothing_found(
    roots: Sequence[Path], snapshot: Snapshot, root_changes: Sequence[str] = (), names: Sequence[str] = ()
) -> str:
    """Returns a message that there are no experiments, and why.

    ``root_changes``: sentences about roots that changed; ``names``: of the roots, where they are no folders.
    """
    where = ", ".join(map(repr, names or map(str, roots)))
    seen = (
        f"{count_of(len(snapshot.refused), 'file')} there {verb(len(snapshot.refused), 'belongs', 'belong')} to no known format"
        if snapshot.refused
        else "there are no files"
    )
    text = (
        f"No experiments below {where}: {seen}. `sweeplens doctor --files` says why for each file; "
        "docs/formats.md lists the formats."
    )
    return " ".join((*root_changes, text, *(f"{t[0].upper()}{t[1:]}." for t in unread_trackers(snapshot, roots))))


def load_failed(error: BaseException, now: datetime, good: datetime | None) -> str:
    """Returns a warning that the folders could not be read, with the time of the snapshot that answers use meanwhile."""
    told = f"the last good snapshot, of {_utc_text(good)}" if good else "what an earlier process had read"
    return f"{LOAD_FAILED} {_utc_text(now)} ({error_reason(error)}): answers rest on {told}, until a reading succeeds"


def _utc_text(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}Z"


Names = str | Sequence[str]
"""A name, or several: a text is one name, never its letters."""


def as_names(names: Names) -> tuple[str, ...]:
    """Returns the names as a tuple; an empty text is no name."""
    return ((names,) if names else ()) if isinstance(names, str) else tuple(names)


def as_paths(base_path: str | Path | Sequence[str | Path] | None) -> list[str | Path]:
    if base_path is None:
        return []
    paths = cast("object", [base_path] if isinstance(base_path, str | Path) else base_path)
    if not isinstance(paths, Iterable) or isinstance(paths, Mapping | bytes):
        raise InputError(f"The folders are {base_path!r}: pass one path or a list of paths.")
    return list(cast("Iterable[str | Path]", paths))


def axis_of(axis: str, view: View, argument: str = "x") -> str:
    """Returns the x axis: step, wall_time, or the metric of this name. Raises UnknownNameError with the nearest."""
    return select_axis(axis, view.metrics, argument)


def python_call(**arguments: object) -> str:
    """Returns arguments as Python source, without empty ones."""
    return ", ".join(f"{k}={_source(v)}" for k, v in arguments.items() if v is not None and v not in ("", [], ()))


def _source(value: object) -> str:
    return repr(list(cast("Sequence[object]", value))) if isinstance(value, tuple) else repr(value)
