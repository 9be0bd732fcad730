"""`ExperimentDB`: folders of experiments as one object. Each method delegates to a pure function over frames.

Every call sees the files as they were at most ``config.refresh_seconds`` before. A call uses one snapshot throughout, so
calls from several threads do not see each other's data. Each method imports its analysis when it is called, so a script
does not wait for imports that it does not need.
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
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import polars as pl
from msgspec.structs import replace
from polars.exceptions import PanicException

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.cancellation import StoppedError
from sweeplens.config import AnalysisConfig, Goal
from sweeplens.display import html_list
from sweeplens.errors import InputError, RootError
from sweeplens.frames.goals import AskedGoal, main_metrics, told_goals
from sweeplens.frames.points import in_batches, select_points, standing
from sweeplens.frames.reduction import DEFAULT_REDUCE, rewound
from sweeplens.frames.selection import check_range, no_run_reason, select_axis, select_metrics, select_runs
from sweeplens.ingest.refresh import LoadReport, Progress, ingest
from sweeplens.plain_data import plain_text
from sweeplens.sources.discover import check_root
from sweeplens.sources.held_roots import HeldRoots
from sweeplens.store import Snapshot, open_store
from sweeplens.store.runs_frame import with_status
from sweeplens.view import (
    Names,
    View,
    as_names,
    as_paths,
    duplicate_warnings,
    load_failed,
    nothing_found,
    of_runs,
    overwritten,
    python_call,
    read_from_names,
    standing_problems,
    unread,
    unread_logs,
)

if TYPE_CHECKING:
    from sweeplens.analyses.triage.candidates import DiagnosisOptions
    from sweeplens.charts import Chart

__all__ = ["AskedGoal", "ExperimentDB", "RankedBy", "View"]

log = logging.getLogger("sweeplens")

RankedBy = Literal["group", "run"]
AnyAnswer = TypeVar("AnyAnswer", Answer, LazyAnswer)
_BATCH_ROWS = 100_000  # more are hardly faster, and each costs memory


class ExperimentDB:
    """Experiments below one folder or several.

    ``config``: the settings, or the folders in its place. ``base_path``: a folder or several; by default
    ``config.experiment_dir`` and ``config.roots``. ``lazy=False`` loads at once, ``lazy=True`` at the first question; the
    answers are the same. Raises RootError for a missing folder.

    >>> db = ExperimentDB("sweep")
    >>> db.rank("val/acc", goal="higher", where="status = 'finished'").table  # doctest: +SKIP

    Arguments that name several things (``runs``, ``metrics``, ``hparams``, ``columns``) take one name too. ``runs`` are ids or
    globs; ``where`` is a condition in SQL on the runs; ``reduce`` makes one number of a series: last, best, min, max, mean,
    at_step:N, last_k:K.
    """

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
        self.roots: tuple[Path, ...] = tuple(dict.fromkeys(check_root(p) for p in given))
        self._held = HeldRoots(self.roots)
        self._store = open_store(self.roots, self.config)
        self._lock = threading.Lock()
        self._seen = float("-inf")
        self._good: datetime | None = None  # when the folders were last read
        if not lazy:
            self.load_experiments()

    def __repr__(self) -> str:
        return f"<ExperimentDB of {', '.join(map(str, self.roots))}: {self._loaded()}>"

    def _repr_html_(self) -> str:
        return html_list("ExperimentDB", [*map(str, self.roots), self._loaded()])

    def _loaded(self) -> str:
        """What is known without looking at the folders."""
        if self._seen == float("-inf"):
            return "not read yet"
        snapshot = self._store.snapshot
        return f"{snapshot.runs.height:,} runs, {snapshot.series.height:,} series, data version {snapshot.version}"

    # ------------------------------------------------------------------ data

    def load_experiments(self, progress: Progress | None = None) -> LoadReport:
        """Reads new files now. Raises RootError if no reader finds a run."""
        with self._lock:
            report = self._load(progress)
        assert report is not None  # or it raised
        if not report.n_runs and not self._store.snapshot.sources:
            raise RootError(nothing_found(self.roots, self._store.snapshot, self._held.sentences))
        return report

    def refresh(self, progress: Progress | None = None) -> Snapshot:
        """Returns the current snapshot; one older than ``config.refresh_seconds`` is updated first.

        If the update fails, returns the last good snapshot with a warning; without one, raises the error.
        """
        if self._pinned is not None:
            return self._pinned
        if self._is_old():
            with self._lock:
                if self._is_old():
                    self._load(progress, keep=True)
        snapshot = self._store.snapshot
        if not snapshot.sources:
            raise RootError(nothing_found(self.roots, snapshot, self._held.sentences))
        said = (*((self.failure,) if self.failure else ()), *self._held.sentences)
        return replace(snapshot, warnings=(*said, *snapshot.warnings)) if said else snapshot

    def view(self, runs: Names = (), where: str = "") -> View:
        """Returns the runs selected by ids, globs and a condition, with their series, of one snapshot.

        Raises InputError and UnknownNameError for a condition that cannot be used.
        """
        runs = as_names(runs)
        snapshot = self.refresh()
        now = datetime.now(UTC)
        table = with_status(snapshot.runs, now=now, live_seconds=self.config.live_seconds)
        chosen = select_runs(table, snapshot.series, runs, where)
        series = snapshot.series
        if chosen.height < table.height:
            series = series.filter(pl.col("run_id").is_in(chosen["run_id"].to_list()))
        problems = standing_problems(snapshot.problems, snapshot, now, self.config.live_seconds)
        if chosen.height < table.height:
            problems = of_runs(problems, chosen)
        emptied = "" if chosen.height or not where.strip() else no_run_reason(table, snapshot.series, runs, where)
        return View(snapshot, chosen, series, problems, emptied)

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

    def lazy_query(self, raw: bool = False) -> pl.LazyFrame:
        """Returns points as a LazyFrame, read when it is collected. ``raw=True``: repeated steps too."""
        snapshot = self.refresh()
        return snapshot.points if raw else standing(snapshot.points, rewound(snapshot.series))

    def stream_metrics(self, *, raw: bool = False) -> Iterator[pl.DataFrame]:
        """Yields all points as DataFrames of whole runs, in bounded memory."""
        snapshot = self.refresh()
        twice = rewound(snapshot.series)
        for ids in in_batches(snapshot.runs["run_id"].to_list(), snapshot.series, _BATCH_ROWS):
            points = select_points(snapshot.points, runs=ids)
            batch = (points if raw else standing(points, twice)).collect(engine="streaming")
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
        chosen = select_points(view.snapshot.points, runs=ids, metrics=metrics, step_min=low, step_max=high)
        return (chosen if raw else standing(chosen, rewound(view.series))).collect()

    def summarize_metrics(
        self,
        hparams: Names = (),
        metrics: Names = (),
        reduce: str = "last",
        *,
        runs: Names = (),
        where: str = "",
        sort: str = "",
    ) -> pl.DataFrame:
        """Returns the table of `summarize`."""
        return self.summarize(hparams, metrics=metrics, reduce=reduce, runs=runs, where=where, sort=sort).table

    def find_varying(self, *, runs: Names = (), where: str = "") -> pl.DataFrame:
        """Returns the table of `varying`."""
        return self.varying(runs=runs, where=where).table

    # --------------------------------------------------------------- answers

    def overview(self, *, runs: Names = (), where: str = "") -> Answer:
        """Returns an overview of all runs in about twenty lines."""
        from sweeplens.analyses.overview import overview

        view = self.view(runs, where)
        answer = overview(
            view.runs, view.series, view.snapshot.points,
            goals=self._goals(view), main=self.config.main_metrics, replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams, triage=self._triage(view),
        )  # fmt: skip
        python = f"db.overview({python_call(runs=runs, where=where)})"
        made = self._with_basis(answer, view, python, doubles=duplicate_warnings(view))
        return self._with_plot(made, view, "", runs=runs, where=where)

    def list_runs(self, *, runs: Names = (), where: str = "", columns: Names = (), sort: str = "") -> Answer:
        """Returns one row a run: identity, the hyperparameters that vary, last values of the main metrics."""
        from sweeplens.analyses.listing import list_runs

        view = self.view(runs, where)
        answer = list_runs(
            view.runs,
            view.series,
            columns=as_names(columns),
            sort=sort,
            main=self.config.main_metrics,
            goals=self._goals(view),
        )
        python = f"db.list_runs({python_call(runs=runs, where=where, columns=columns, sort=sort)})"
        made = self._with_basis(answer, view, python, doubles=duplicate_warnings(view))
        return self._with_plot(made, view, "timeline", runs=runs, where=where)

    def get_run(self, run_id: str) -> Answer:
        """Returns everything known about one run. Raises UnknownNameError."""
        from sweeplens.analyses.listing import get_run

        view = self.view()
        answer = get_run(run_id, view.runs, view.series, view.problems)
        mine = replace(view, problems=of_runs(view.problems, view.runs.filter(pl.col("run_id") == run_id)))
        return self._with_basis(answer, mine, f"db.get_run({run_id!r})", matched=1, runs=[run_id])

    def list_metrics(self, *, runs: Names = (), where: str = "", pattern: str = "") -> Answer:
        """Returns one row a metric, with coverage, steps and goal."""
        from sweeplens.analyses.listing import list_metrics

        view = self.view(runs, where)
        view = view.with_runs() if pattern else view
        answer = list_metrics(
            view.runs,
            view.series,
            pattern=pattern,
            goals=self._goals(view),
            display=self.config.metric_display_names,
        )
        return self._with_basis(
            answer, view, f"db.list_metrics({python_call(runs=runs, where=where, pattern=pattern)})"
        )

    def curves(
        self,
        metrics: Names,
        *,
        runs: Names = (),
        where: str = "",
        x: str = "step",
        x_min: float | None = None,
        x_max: float | None = None,
        max_points: int | Callable[[int], int] = 50,
    ) -> Answer:
        """Returns curves for display, downsampled to ``max_points`` a series: all rows of `scan_curves`."""
        fixed = self.pinned()
        answer = fixed.scan_curves(
            metrics, runs=runs, where=where, x=x, x_min=x_min, x_max=x_max, max_points=max_points
        ).whole()
        chosen = {"runs": runs, "where": where, "x": x, "x_min": x_min, "x_max": x_max}
        return fixed._with_plot(answer, fixed.view(), "curves", metrics=metrics, group="run", **chosen)

    def scan_curves(
        self,
        metrics: Names,
        *,
        runs: Names = (),
        where: str = "",
        x: str = "step",
        x_min: float | None = None,
        x_max: float | None = None,
        max_points: int | Callable[[int], int] = 50,
    ) -> LazyAnswer:
        """Returns curves for display, each read and downsampled on demand. ``max_points`` may depend on the number of series."""
        from sweeplens.analyses.curves import locate_curves, thin_curves

        view = self.view(runs, where).with_runs()
        names = select_metrics(as_names(metrics), view.metrics)
        x = select_axis(x, view.metrics)
        placed = locate_curves(view.runs, view.series, view.snapshot.points, names, x=x, x_min=x_min, x_max=x_max)
        most = max_points if isinstance(max_points, int) else max_points(placed.series.height)
        options = python_call(
            runs=runs, where=where, x="" if x == "step" else x, x_min=x_min, x_max=x_max, max_points=most
        )
        return self._with_basis(
            thin_curves(placed, most), view, f"db.curves({list(as_names(metrics))!r}, {options})", metrics=names
        )

    def mean_curves(
        self, metrics: Sequence[str], *, by: str = "group", hparams: Sequence[str] = (), runs: Sequence[str] = (),
        where: str = "", x: str = "step", x_min: float | None = None, x_max: float | None = None,
        max_points: int | Callable[[int], int] = 100,
    ) -> Answer:  # fmt: skip
        """Returns curves of groups: mean over runs along an axis, 95 % interval, number of runs; ``by``: group, run or all.

        ``max_points`` of a curve may depend on the number of runs and metrics that are drawn.
        """
        from sweeplens.analyses.curves import locate_curves
        from sweeplens.analyses.mean_curves import mean_curves

        view = self.view(runs, where)
        names = select_metrics(metrics, view.metrics)
        x = select_axis(x, view.metrics)
        placed = locate_curves(view.runs, view.series, view.snapshot.points, names, x=x, x_min=x_min, x_max=x_max)
        answer = mean_curves(
            view.runs, view.series, placed, by=by, hparams=hparams, replicates=self.config.replicate_hparams,
            max_points=max_points,
        )  # fmt: skip
        options = python_call(
            by="" if by == "group" else by, hparams=hparams, runs=runs, where=where, x="" if x == "step" else x,
            x_min=x_min, x_max=x_max,
        )  # fmt: skip
        made = self._with_basis(
            answer, view, f"db.mean_curves({list(metrics)!r}, {options})", doubles=duplicate_warnings(view, names)
        )
        group = by if by != "group" else ""
        return self._with_plot(
            made, view, "curves", metrics=names, hparams=hparams, group=group, runs=runs, where=where, x=x, x_min=x_min,
            x_max=x_max,
        )  # fmt: skip

    def summarize(
        self,
        hparams: Names = (),
        *,
        metrics: Names = (),
        reduce: str = DEFAULT_REDUCE,
        runs: Names = (),
        where: str = "",
        sort: str = "",
    ) -> Answer:
        """Returns each group's statistics; by default of the main metrics, grouped by all hyperparameters that vary."""
        from sweeplens.analyses.summary import summarize

        view = self.view(runs, where)
        names = select_metrics(as_names(metrics), view.metrics) if metrics else self._main(view)
        answer = summarize(
            view.runs, view.series, view.snapshot.points, as_names(hparams), names,
            reduce=reduce, goals=self._goals(view), replicates=self.config.replicate_hparams, sort=sort,
        )  # fmt: skip
        options = python_call(metrics=names, reduce=reduce, runs=runs, where=where, sort=sort)
        doubles = duplicate_warnings(view, names)
        python = f"db.summarize_metrics({list(as_names(hparams))!r}, {options})"
        made = self._with_basis(answer, view, python, doubles=doubles, metrics=names)
        return self._with_plot(
            made, view, "heatmap", metrics=names, hparams=hparams, reduce=reduce, runs=runs, where=where
        )

    def varying(self, *, runs: Names = (), where: str = "") -> Answer:
        """Returns the hyperparameters that vary, their values, and which are perfectly confounded."""
        from sweeplens.analyses.summary import varying

        view = self.view(runs, where)
        answer = varying(view.runs, self.config.replicate_hparams)
        return self._with_basis(answer, view, f"db.find_varying({python_call(runs=runs, where=where)})")

    def diagnose(self, *, runs: Names = (), where: str = "", metrics: Names = ()) -> Answer:
        """Returns what went wrong in each run: finding, severity, evidence, and what affected runs have in common."""
        from sweeplens.analyses.triage.diagnosis import diagnose  # numpy loads with it

        view = self.view(runs, where)
        names = select_metrics(as_names(metrics), view.metrics) if metrics else ()
        answer = diagnose(view.runs, view.series, view.snapshot.points, self._triage(view), metrics=names)
        python = f"db.diagnose({python_call(runs=runs, where=where, metrics=metrics)})"
        made = self._with_basis(answer, view, python, doubles=duplicate_warnings(view))
        return self._with_plot(made, view, "timeline", runs=runs, where=where)

    def rank(
        self, metric: str, *, goal: AskedGoal = "", reduce: str = DEFAULT_REDUCE, by: RankedBy = "group",
        runs: Names = (), where: str = "", at_step: str | int = "", hparams: Names = (),
    ) -> Answer:  # fmt: skip
        """Returns groups or runs in order, and which of them tie with the best.

        Raises UnknownNameError, AmbiguousGoalError, InputError. Method: `sweeplens.analyses.bests`.
        """
        from sweeplens.analyses.ranking import rank

        at_step = str(at_step)
        view = self.view(runs, where).with_runs()
        answer = rank(
            view.runs, view.series, view.snapshot.points, metric, goal=goal, reduce=reduce, by=by, at_step=at_step,
            hparams=as_names(hparams), goals=self._goals(view), replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams, pruned=bool(runs) or "status" in where,
        )  # fmt: skip
        options = python_call(goal=goal, reduce=reduce, by=by, runs=runs, where=where, at_step=at_step, hparams=hparams)
        doubles = duplicate_warnings(view, [metric], answer)
        made = self._with_basis(answer, view, f"db.rank({metric!r}, {options})", doubles=doubles, metrics=[metric])
        group = "run" if by == "run" else ""
        how = f"at_step:{at_step}" if at_step else reduce
        return self._with_plot(
            made, view, "ranking", metrics=[metric], hparams=hparams, goal=goal, reduce=how, group=group, runs=runs,
            where=where,
        )  # fmt: skip

    def compare(
        self,
        a: str | Sequence[str] = (),
        b: str | Sequence[str] = (),
        *,
        hparam: str = "",
        metrics: Names = (),
        reduce: str = DEFAULT_REDUCE,
        axis: str = "step",
        threshold: float | None = None,
    ) -> Answer:
        """Compares two sides (run ids, globs, conditions), or the levels of ``hparam``, matched on all else that varies.

        Raises UnknownNameError, AmbiguousGoalError, InputError. Method: `sweeplens.analyses.verdicts` and `matching`.
        """
        from sweeplens.analyses.comparison import compare
        from sweeplens.analyses.level_comparison import compare_levels
        from sweeplens.analyses.sides import Sides, check_sides, named_in, select_sides

        check_sides(a, b, hparam)
        view = self.view()
        names = select_metrics(as_names(metrics), view.metrics) if metrics else ()
        along = select_axis(axis, view.metrics, "axis")

        def between(sides: Sides, named: Sequence[str], names: Sequence[str]) -> Answer:
            return compare(
                view.runs, view.series, view.snapshot.points, sides, names, reduce=reduce, axis=along, threshold=threshold,
                goals=self._goals(view), main=self.config.main_metrics, replicates=self.config.replicate_hparams,
                named=named, tasks=self.config.task_hparams, equal_within=self.config.equal_within,
            )  # fmt: skip

        options = python_call(metrics=metrics, reduce=reduce, axis="" if axis == "step" else axis, threshold=threshold)
        if hparam:
            main = names or self._main(view)
            answer = compare_levels(view.runs, hparam, lambda sides: between(sides, [hparam], main))
            doubles = duplicate_warnings(view, main)
            made = self._with_basis(answer, view, f"db.compare(hparam={hparam!r}, {options})", doubles=doubles)
            return self._with_plot(made, view, "comparison", hparams=[hparam], metrics=main[:1], reduce=reduce)
        sides = select_sides(view.runs, view.series, a, b)
        answer = between(sides, named_in(view.runs, a, b), names)
        doubles = duplicate_warnings(view, names or view.metrics, runs=sides.both)
        python = f"db.compare({a!r}, {b!r}, {options})"
        made = self._with_basis(
            answer, view, python, matched=len(sides.both), doubles=doubles, metrics=names, runs=sides.both
        )
        return self._with_plot(made, view, "comparison", a=a, b=b, metrics=metrics, reduce=reduce)

    def effects(
        self, metric: str, *, goal: AskedGoal = "", reduce: str = DEFAULT_REDUCE, runs: Names = (), where: str = ""
    ) -> Answer:
        """Returns each hyperparameter's share of a metric's variance, its direction, and confounded hyperparameters.

        Raises UnknownNameError, AmbiguousGoalError, InputError. Method: `sweeplens.analyses.forest`.
        """
        from sweeplens.analyses.effects import effects

        view = self.view(runs, where).with_runs()
        answer = effects(
            view.runs, view.series, view.snapshot.points, metric, goal=goal, reduce=reduce,
            goals=self._goals(view), replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams,
        )  # fmt: skip
        options = python_call(goal=goal, reduce=reduce, runs=runs, where=where)
        doubles = duplicate_warnings(view, [metric], answer)
        made = self._with_basis(answer, view, f"db.effects({metric!r}, {options})", doubles=doubles, metrics=[metric])
        return self._with_plot(
            made, view, "importance", metrics=[metric], goal=goal, reduce=reduce, runs=runs, where=where
        )

    def suggest(
        self, metric: str, budget: int = 8, *, goal: str = "", runs: Sequence[str] = (), where: str = ""
    ) -> Answer:
        """Which runs to make next with a budget of so many: why, what they could detect, and their settings."""
        from sweeplens.analyses.suggestions import suggest

        view = self.view(runs, where)
        answer = suggest(
            view.runs, view.series, view.snapshot.points, metric, budget=budget, goal=goal,
            goals=self.config.metric_goals, replicates=self.config.replicate_hparams,
        )  # fmt: skip
        python = f"db.suggest({metric!r}, {budget}, {python_call(goal=goal, runs=runs, where=where)})".replace(
            ", )", ")"
        )
        return self._with_basis(answer, view, python, doubles=duplicate_warnings(view, [metric], answer))

    def whats_new(self, cursor: str = "") -> Answer:
        """Returns news since a cursor, by default of the last 24 hours; the new cursor is table ``cursor``. Raises CursorError.

        A cursor has at most 40 characters; the state that it names is kept in the store.
        """
        from sweeplens.analyses.news import whats_new  # numpy loads with it
        from sweeplens.analyses.news_cursor import full_cursor, short_cursor

        view = self.view()
        since = full_cursor(cursor, self._store.kept_state)
        answer = whats_new(view.runs, view.series, view.snapshot.points, self._triage(view), since)
        short, identity, state = short_cursor(answer.tables["cursor"]["cursor"].item())
        self._store.keep_state(identity, state)
        answer = replace(answer, tables={**answer.tables, "cursor": pl.DataFrame({"cursor": [short]})})
        return self._with_basis(answer, view, "db.whats_new(cursor)" if cursor else "db.whats_new()")

    def query_sql(self, query: str, *, limit: int = 1000) -> Answer:
        """Returns rows of one SELECT over ``runs``, ``series`` and ``points``; bounded in rows, time and memory."""
        from sweeplens.sql.query import QueryBounds, SqlTables, query_sql, start_early

        start_early()  # in parallel with the reading of the folders
        view = self.view()
        tables = SqlTables(view.runs, view.series, standing(view.snapshot.points, rewound(view.series)))
        bounds = QueryBounds(limit, self.config.query_seconds, self.config.query_megabytes)
        return self._with_basis(query_sql(query, tables, bounds), view, f"db.query_sql({query!r}, limit={limit})")

    # -------------------------------------------------------------- pictures

    def plot(self, kind: str = "", **options: Any) -> Chart:
        """Draws a chart: curves, ranking, comparison, scatter, parallel, heatmap, importance, timeline; default: the most telling.

        ``options``: metrics, hparams, runs, where, x, group, smooth, log, goal, a, b, width, height, as `PlotRequest` says.
        """
        from sweeplens.charts import draw_chart
        from sweeplens.charts.request import request_of

        ask = request_of(options)
        chart = draw_chart(self.pinned(), kind, ask)
        python = f"db.plot({', '.join(filter(None, [repr(chart.kind), python_call(**options)]))})"
        return replace(chart, basis=replace(chart.basis, python=python))

    def report(self, path: str | Path, *, runs: Sequence[str] = (), where: str = "") -> Path:
        """Writes one self-contained page about these runs: overview, ranking, effects, curves, what broke, problems."""
        from sweeplens.report import report_page, write_page

        return write_page(path, report_page(self.pinned(), runs=runs, where=where))

    def pinned(self) -> ExperimentDB:
        """Returns a copy fixed to the current snapshot: later changes on disk do not affect its answers."""
        fixed = copy(self)
        fixed._pinned = self.refresh()
        return fixed

    # --------------------------------------------------------------- private

    def _load(self, progress: Progress | None, *, keep: bool = False) -> LoadReport | None:
        """Reads the folders once; None if that failed and ``keep`` allows the earlier snapshot to stay.

        After a failure every answer has a warning until a reading succeeds.
        """
        began = time.monotonic()
        try:
            self._held.look()
            report = ingest(self.roots, self._store, progress=progress)
        except (StoppedError, RootError):
            raise
        except (Exception, PanicException) as error:
            self.failure = load_failed(error, datetime.now(UTC), self._good)
            log.exception("Reading the folders failed")
            if not keep or not self._store.snapshot.sources:
                raise
            self._seen = began
            return None
        self._seen, self._good, self.failure = began, datetime.now(UTC), ""
        return report

    def _with_plot(self, answer: Answer, view: View, kind: str, **known: Any) -> Answer:
        """Returns the answer with a plot function, which draws from the same version of the data on demand."""
        fixed = copy(self)
        fixed._pinned = view.snapshot
        return replace(answer, drawing=partial(fixed.plot, kind, **known))

    def _is_old(self) -> bool:
        return time.monotonic() - self._seen > self.config.refresh_seconds or self._store.lost()

    def _triage(self, view: View) -> DiagnosisOptions:
        """Returns the options of a diagnosis of this view."""
        from sweeplens.analyses.triage.candidates import DiagnosisOptions

        config = self.config
        return DiagnosisOptions(
            config.thresholds, datetime.now(UTC), config.live_seconds, self._goals(view), config.main_metrics,
            config.replicate_hparams, frozenset(p.run_id for p in view.problems if p.kind == "torn"),
        )  # fmt: skip

    def _main(self, view: View) -> list[str]:
        return main_metrics(view.metrics, self.config.main_metrics, self._goals(view))

    def _goals(self, view: View) -> dict[str, Goal]:
        """Which values of a metric are better: what the configuration says, else the study that the runs belong to."""
        return {**told_goals(view.runs), **self.config.metric_goals}

    def _with_basis(
        self, answer: AnyAnswer, view: View, python: str, *, matched: int | None = None, doubles: Sequence[str] = (),
        metrics: Sequence[str] = (), runs: Sequence[str] = (),
    ) -> AnyAnswer:  # fmt: skip
        """Returns the answer with its basis: roots, version, runs matched, warnings, Python call."""
        emptied = (view.emptied,) if view.emptied else ()
        said = (*answer.basis.warnings, *overwritten(view, metrics, runs), *unread(view.problems, self.roots))
        named = read_from_names(view.runs)
        warnings = (*emptied, *view.snapshot.warnings, *doubles, *said, *named, *unread_logs(view.snapshot, self.roots))
        return answer.resting_on(
            roots=tuple(plain_text(str(r)) for r in self.roots),
            data_version=view.snapshot.version,
            runs_matched=view.runs.height if matched is None else matched,
            warnings=warnings,
            python=python,
        )
