"""`ExperimentData`: the data behind `ExperimentDB`. It reads the folders when needed and returns their frames.

A call that comes more than ``config.refresh_seconds`` after the last refresh starts another refresh in a thread beside
it, and waits for it for at most `PATIENCE_SECONDS`. A refresh that takes longer (a hundred thousand folders) is not waited for:
the answer rests on the last snapshot and says how old that is. With ``refresh_seconds=0`` each call refreshes first, and waits.
`load_experiments` always does. A call uses one snapshot throughout, so calls from several threads do not see each other's data.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import polars as pl
from msgspec.structs import replace

from sweeplens.analyses.health import HEALTH, RunHealth
from sweeplens.answers import Answer, LazyAnswer
from sweeplens.argument_types import checks_arguments
from sweeplens.cancellation import StoppedError
from sweeplens.config import AnalysisConfig, Goal
from sweeplens.counting import count_of
from sweeplens.display import html_list
from sweeplens.engines.opening import cluster_connection, open_engine
from sweeplens.engines.polars_points import last_of_step
from sweeplens.engines.protocol import Points
from sweeplens.errors import ConfigError, InputError, RootError, SweeplensError
from sweeplens.frames.goals import main_metrics, run_counts, told_goals
from sweeplens.frames.points import in_batches, select_points, standing
from sweeplens.frames.reduction import rewound
from sweeplens.frames.run_columns import LAST_STEP, RunColumns, last_steps
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.frames.selection import check_range, no_run_reason, select_metrics, select_runs
from sweeplens.ingest.background import BackgroundRefresh
from sweeplens.ingest.masking import masked
from sweeplens.ingest.refresh import LoadReport, Progress, ingest
from sweeplens.panics import panics_as_errors
from sweeplens.places.names import PlaceNames
from sweeplens.places.places import Places
from sweeplens.plain_data import plain_text
from sweeplens.sources.held_roots import HeldRoots
from sweeplens.sql.unread_logs import unread_logs
from sweeplens.store import PersistentStore, Snapshot, open_store
from sweeplens.store.runs_frame import with_status
from sweeplens.view import (
    Names,
    View,
    as_names,
    as_paths,
    continued,
    contradicted,
    left_out_warning,
    load_failed,
    nothing_found,
    of_runs,
    overwritten,
    read_from_names,
    standing_problems,
    unread,
)

if TYPE_CHECKING:
    from sweeplens.analyses.triage.candidates import DiagnosisOptions
    from sweeplens.sql.auxiliary_files import AuxiliaryFiles

__all__ = ["PATIENCE_SECONDS", "ExperimentData"]

log = logging.getLogger("sweeplens")

AnyAnswer = TypeVar("AnyAnswer", Answer, LazyAnswer)
PATIENCE_SECONDS = 0.5
"""The longest time that a question waits for a refresh of folders that were read before."""
_TOLD_SECONDS = 2.0  # the age of a snapshot from which on answers name it
_BATCH_ROWS = 100_000  # more are hardly faster, and each costs memory


@checks_arguments
class ExperimentData:
    """Folders as frames, and the settings of an analysis. `ExperimentDB` adds the questions."""

    failure: str = ""
    """Why the last reading of the folders failed as a whole, in a sentence; empty if it succeeded."""
    _pinned: Snapshot | None = None

    def __init__(
        self,
        config: AnalysisConfig | str | Path | Sequence[str | Path] | None = None,
        base_path: str | Path | Sequence[str | Path] | None = None,
        lazy: bool = True,
    ) -> None:
        if config is not None and not isinstance(config, AnalysisConfig):
            if base_path is not None:
                raise InputError(f"Folders are given twice: {config!r} and base_path={base_path!r}.")
            config, base_path = None, config
        self.config = config or AnalysisConfig()
        self.lazy = lazy
        given = as_paths(base_path) or [self.config.experiment_dir, *self.config.roots]
        self._places = Places(given, self.config)
        self.roots: tuple[Path, ...] = self._places.folders
        self.root_names: tuple[str, ...] = self._places.names
        self._held = HeldRoots(self.roots)
        self._engine = open_engine(self.config.engine, keeps_files=self.config.cache != "memory")
        self._store = open_store(self.roots, self.config)
        self._lock = threading.Lock()
        self._seen = float("-inf")
        self._good: datetime | None = None  # when the folders were last read
        self._background = BackgroundRefresh(self._read_changes)
        if not lazy:
            self.load_experiments()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self.root_names)}: {self._loaded()}>"

    def _repr_html_(self) -> str:
        return html_list(type(self).__name__, [*self.root_names, self._loaded()])

    def _loaded(self) -> str:
        """What is known without looking at the folders."""
        if self._seen == float("-inf"):
            return "not read yet"
        snapshot = self._store.snapshot
        return f"{count_of(snapshot.runs.height, 'run')}, {snapshot.series.height:,} series, data version {snapshot.version}"

    def load_experiments(self, progress: Progress | None = None) -> LoadReport:
        """Reads new files now. Raises RootError if no reader finds a run."""
        with self._lock:
            report = self._load(progress)
        assert report is not None  # or it raised
        if not report.n_runs and not self._store.snapshot.sources:
            raise RootError(nothing_found(self.roots, self._store.snapshot, self._root_sentences, self.root_names))
        return report

    def load_on_cluster(self, progress: Progress | None = None) -> LoadReport:
        """Reads new files on the executors of the cluster ``config.engine``, and writes the store once.

        Raises ConfigError without a cluster or a store, EngineError if a job fails, StoreError if the store cannot be written,
        RootError as `load_experiments`.
        """
        from sweeplens.ingest.cluster.load import ingest_on_cluster

        connection = cluster_connection(self.config.engine)
        store = self._store
        if not isinstance(store, PersistentStore):
            raise ConfigError(f"Executors write to a store, and there is none: {store.described()}.")
        with self._lock:
            read = partial(ingest_on_cluster, connection=connection, places=self._places.listings)
            report = self._load(progress, read=read)
        assert report is not None  # or it raised
        return report

    def root_within(self, wanted: str) -> str | None:
        """Returns the root for a folder or an address at or below one of the roots of this database; None for any other."""
        return self._places.within(wanted)

    def refresh(self, progress: Progress | None = None) -> Snapshot:
        """Returns the current snapshot. One older than ``config.refresh_seconds`` is updated, as the module says.

        If the update fails, returns the last good snapshot with a warning; without one, raises the error.
        """
        if self._pinned is not None:
            return self._pinned
        waits = self._must_wait()
        if self._is_old():
            if waits:
                self._read_changes(progress)
            else:
                self._background.finished(PATIENCE_SECONDS)
        snapshot = self._store.snapshot
        if not snapshot.sources:
            raise RootError(nothing_found(self.roots, snapshot, self._root_sentences, self.root_names))
        age = () if waits else self._age()  # what was just read is current, however long that took
        said = (*((self.failure,) if self.failure else ()), *age, *self._root_sentences)
        return replace(snapshot, warnings=(*said, *snapshot.warnings)) if said else snapshot

    def view(self, runs: Names = (), where: str = "") -> View:
        """Returns the runs selected by ids, globs and a condition, with their series, of one snapshot.

        Raises InputError and UnknownNameError for a condition that cannot be used.
        """
        runs = as_names(runs)
        snapshot = self.refresh()
        now = datetime.now(UTC)
        table = with_status(snapshot.runs, now=now, live_seconds=self.config.live_seconds)
        problems = standing_problems(snapshot.problems, snapshot, now, self.config.live_seconds)
        shown = PlaceNames(self.roots, self.root_names)
        table, problems = shown.in_runs(table), shown.in_problems(problems)
        whole = View(snapshot, table, snapshot.series, problems, engine=self._engine)
        health = RunHealth(snapshot, whole.points, table, lambda: self._triage(whole))
        more = RunColumns(whole.points, {HEALTH: health.table, LAST_STEP: partial(last_steps, snapshot.series)})
        chosen = select_runs(table, snapshot.series, runs, where, more)
        series = snapshot.series
        if chosen.height < table.height:
            series = series.filter(pl.col("run_id").is_in(chosen["run_id"].to_list()))
            problems = of_runs(problems, chosen)
        emptied = "" if chosen.height or not where.strip() else no_run_reason(table, snapshot.series, runs, where, more)
        return View(snapshot, chosen, series, problems, emptied, more, health, engine=self._engine)

    @property
    def runs_df(self) -> pl.DataFrame:
        """The runs frame.

        ``tags`` and ``null_hparams`` are lists, which CSV cannot hold: ``sweeplens.dataframes.flat(db.runs_df)`` makes them text.
        """
        return self.view().runs

    @property
    def series_df(self) -> pl.DataFrame:
        """The series frame: one row for each run and metric."""
        return self.view().series

    @property
    def problems(self) -> pl.DataFrame:
        """file, line, column, kind, reason, run_id, excerpt of everything that could not be read."""
        from sweeplens.analyses.listing import problems_frame

        return problems_frame(self.view().problems)

    @property
    def store(self) -> str:
        """Path, size and age of the store, formatted for display."""
        return self._store.described()

    @property
    def engine(self) -> str:
        """The cluster that scans points, and whether it answers; empty if this machine scans them."""
        return self._engine.described()

    def lazy_query(self, raw: bool = False) -> pl.LazyFrame:
        """Returns points as a LazyFrame, read when it is collected. ``raw=True``: repeated steps too.

        This machine scans them, also where ``config.engine`` names a cluster.
        """
        snapshot = self.refresh()
        return snapshot.points if raw else last_of_step(snapshot.points, rewound(snapshot.series))

    def stream_metrics(self, *, raw: bool = False) -> Iterator[pl.DataFrame]:
        """Yields all points as DataFrames of whole runs, in bounded memory."""
        snapshot = self.refresh()
        twice = rewound(snapshot.series)
        everything = self._engine.points(snapshot.stored, snapshot.points)
        for ids in in_batches(snapshot.runs["run_id"].to_list(), snapshot.series, _BATCH_ROWS):
            points = select_points(everything, runs=ids)
            batch = _fetched(points if raw else standing(points, twice), sparing=True)
            yield batch
            del batch  # frees it before the next one is read

    def query_metrics(
        self,
        metric_filter: str | Sequence[str] | None = None,
        run_filter: Names | None = None,
        step_range: tuple[int | None, int | None] | None = None,
        raw: bool = False,
    ) -> pl.DataFrame:
        """Returns points of metrics that match a name or regular expression, of these runs (ids or globs) and steps.

        Raises UnknownNameError for a metric or run that does not exist.
        """
        view = self.view(run_filter or ())
        patterns = [metric_filter] if isinstance(metric_filter, str) else list(metric_filter or ())
        metrics = select_metrics(patterns, view.metrics)
        low, high = step_range or (None, None)
        check_range(low, high, ("The first step", "the last step"))
        ids = view.runs["run_id"].to_list()
        chosen = select_points(view.points, runs=ids, metrics=metrics, step_min=low, step_max=high)
        return _fetched(chosen if raw else standing(chosen, rewound(view.series)))

    def pinned(self) -> Self:
        """Returns a copy fixed to the current snapshot: later changes on disk do not affect its answers."""
        fixed = copy(self)
        fixed._pinned = self.refresh()
        return fixed

    def _load(
        self, progress: Progress | None, *, keep: bool = False, read: Callable[..., LoadReport] = ingest
    ) -> LoadReport | None:
        """Reads the folders once; None if that failed and ``keep`` allows the earlier snapshot to stay.

        After a failure every answer has a warning until a reading succeeds.
        """
        began = time.monotonic()
        try:
            with panics_as_errors():
                self._places.refresh(progress)
                self._held.check()
                report = read(self.roots, self._store, progress=progress)
        except (StoppedError, RootError):
            raise
        except Exception as error:  # a load that fails as a whole is logged, and raised or told by every answer
            self.failure = load_failed(error, datetime.now(UTC), self._good)
            known = isinstance(error, SweeplensError | OSError)  # its words are enough
            log.error("Reading the folders failed: %s", plain_text(str(error)), exc_info=None if known else error)
            if not keep or not self._store.snapshot.sources:
                raise
            self._seen = began
            return None
        self._seen, self._good, self.failure = began, datetime.now(UTC), ""
        return report

    @property
    def _root_sentences(self) -> tuple[str, ...]:
        """Returns what the last refresh found about roots that changed, or could not be read whole."""
        return (*self._places.sentences, *self._held.sentences)

    def _read_changes(self, progress: Progress | None = None) -> None:
        """Reads the folders, unless another thread has just done so."""
        with self._lock:
            if self._is_old():
                self._load(progress, keep=True)

    def _must_wait(self) -> bool:
        """Whether an answer cannot rest on the last snapshot: there is none, its data are lost, or each call refreshes first."""
        return not self.config.refresh_seconds or self._seen == float("-inf") or self._store.lost()

    def _age(self) -> tuple[str, ...]:
        """Returns the sentence on the age of the snapshot, if it is older than promised."""
        seconds = time.monotonic() - self._seen
        if seconds <= max(self.config.refresh_seconds, _TOLD_SECONDS) or self.failure:
            return ()
        return (
            f"the folders are being read again beside this answer, which shows them as they were {seconds:.0f} s ago "
            "(overview with fresh=true, load_experiments or refresh_seconds=0 waits for them)",
        )

    def _is_old(self) -> bool:
        return time.monotonic() - self._seen > self.config.refresh_seconds or self._store.lost()

    def _auxiliary_files(self, view: View) -> AuxiliaryFiles:
        """Returns the files below the roots; nothing is looked up yet."""
        from sweeplens.sql.auxiliary_files import AuxiliaryFiles
        from sweeplens.sql.file_list import FileRoot

        names = self.root_names if len(self.root_names) == len(self.roots) else tuple(map(str, self.roots))
        roots = [FileRoot(str(path), plain_text(name)) for path, name in zip(self.roots, names, strict=True)]
        return AuxiliaryFiles(
            roots, view.snapshot.runs, view.snapshot.sources, None if self._store.shows_secrets else masked
        )

    def _main(self, view: View) -> list[str]:
        return main_metrics(view.metrics, self.config.main_metrics, self._goals(view), counts=run_counts(view.series))

    def _goals(self, view: View) -> dict[str, Goal]:
        """Which values of a metric are better: what the configuration says, else the study that the runs belong to."""
        return {**told_goals(view.runs), **view.event_goals, **self.config.metric_goals}

    def _triage(self, view: View) -> DiagnosisOptions:
        """Returns the options of a diagnosis of this view."""
        from sweeplens.analyses.triage.candidates import DiagnosisOptions

        config = self.config
        return DiagnosisOptions(
            config.thresholds, datetime.now(UTC), config.live_seconds, self._goals(view), config.main_metrics,
            config.replicate_hparams, frozenset(p.run_id for p in view.problems if p.kind == "torn"), config.task_hparams,
        )  # fmt: skip

    def _with_basis(
        self, answer: AnyAnswer, view: View, python: str, *, matched: int | None = None, doubles: Sequence[str] = (),
        metrics: Sequence[str] = (), runs: Sequence[str] = (),
    ) -> AnyAnswer:  # fmt: skip
        """Returns the answer with its basis: roots, version, runs matched, warnings, Python call."""
        emptied = (view.emptied,) if view.emptied else ()
        shown_roots = (*self.roots, *map(Path, self.root_names))
        said = (*answer.basis.warnings, *overwritten(view, metrics, runs), *unread(view.problems, shown_roots))
        named = (
            *contradicted(view.problems, metrics),
            *read_from_names(view.runs),
            *continued(view.runs),
            *left_out_warning(view.runs),
        )
        warnings = (
            *emptied,
            *self._engine.warnings,
            *view.snapshot.warnings,
            *doubles,
            *said,
            *named,
            *unread_logs(view.snapshot, self.roots),
        )
        return answer.resting_on(
            roots=tuple(map(plain_text, self.root_names)),
            data_version=view.snapshot.version,
            runs_matched=view.runs.height if matched is None else matched,
            warnings=warnings,
            python=python,
        )


def _fetched(points: Points, *, sparing: bool = False) -> pl.DataFrame:
    """Returns points with all their columns."""
    return points.fetch(list(POINTS_SCHEMA), sparing=sparing)
