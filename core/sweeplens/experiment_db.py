"""`ExperimentDB`: folders of experiments as one object. Each method delegates to a pure function over frames.

`ExperimentData` (`experiment_data.py`) reads the folders and keeps their frames; here are the questions. Each method imports
its analysis when it is called, so a script does not wait for imports that it does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import polars as pl
from msgspec.structs import replace

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.argument_types import checks_arguments
from sweeplens.attribute_names import no_attribute
from sweeplens.comparison_questions import ComparisonQuestions
from sweeplens.cost_questions import CostQuestions
from sweeplens.engines.polars_points import last_of_step
from sweeplens.frames.goals import AskedGoal
from sweeplens.frames.reduction import DEFAULT_REDUCE, rewound
from sweeplens.frames.selection import select_metrics
from sweeplens.lookup_questions import LookupQuestions
from sweeplens.view import Names, View, as_names, axis_of, duplicate_warnings, python_call

if TYPE_CHECKING:
    from sweeplens.charts import Chart
    from sweeplens.charts.request import PlotKeywords

__all__ = ["AskedGoal", "ChartKind", "ExperimentDB", "RankedBy", "View"]

RankedBy = Literal["group", "run"]
ChartKind = Literal["", "curves", "ranking", "comparison", "scatter", "parallel", "heatmap", "importance", "timeline"]


@checks_arguments
class ExperimentDB(ComparisonQuestions, LookupQuestions):
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

    if not TYPE_CHECKING:  # a type checker knows the methods

        def __getattr__(self, name: str) -> object:
            """Raises the error for an attribute that does not exist, with the nearest method."""
            if name.startswith("_") or hasattr(type(self), name):
                return object.__getattribute__(self, name)  # the error of a property stays
            raise AttributeError(no_attribute(type(self), name), name=name, obj=self)

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

    def overview(self, *, runs: Names = (), where: str = "", fresh: bool = False) -> Answer:
        """Returns an overview of all runs in about twenty lines. ``fresh``: reads new files first, however long that takes."""
        from sweeplens.analyses.overview import FIRST_CALL_POINTS, overview, with_line
        from sweeplens.sql.auxiliary_summary import files_line

        if fresh:
            self.load_experiments()
        view = self.view(runs, where).by_task(self.config.task_hparams)
        shared = partial(view.health.quick_diagnosis, FIRST_CALL_POINTS) if view.is_whole and view.health else None
        answer = overview(
            view.runs, view.series, view.points,
            goals=self._goals(view), main=self.config.main_metrics, replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams, triage=self._triage(view), diagnosis=shared,
            studied=self._studied(view),
        )  # fmt: skip
        answer = with_line(answer, "beside the runs", files_line(view.snapshot, self.roots) if view.is_whole else "")
        python = f"db.overview({python_call(runs=runs, where=where, fresh=fresh or None)})"
        doubles = (*self._measured_differently(view, view.runs["run_id"].to_list()), *duplicate_warnings(view))
        made = self._with_basis(answer, view, python, doubles=doubles)
        return self._with_plot(made, view, "", runs=runs, where=where)

    def list_runs(self, *, runs: Names = (), where: str = "", columns: Names = (), sort: str = "") -> Answer:
        """Returns one row a run: identity, the hyperparameters that vary, last values of the main metrics."""
        from sweeplens.analyses.listing import list_runs

        view = self.view(runs, where)
        answer = list_runs(
            view.runs, view.series, columns=as_names(columns), sort=sort, main=self.config.main_metrics,
            goals=self._goals(view), more=view.more,
        )  # fmt: skip
        python = f"db.list_runs({python_call(runs=runs, where=where, columns=columns, sort=sort)})"
        made = self._with_basis(answer, view, python, doubles=duplicate_warnings(view))
        return self._with_plot(made, view, "timeline", runs=runs, where=where)

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
        chosen: dict[str, Any] = {"runs": runs, "where": where, "x": x, "x_min": x_min, "x_max": x_max}
        answer = fixed.scan_curves(metrics, max_points=max_points, **chosen).whole()
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
        from sweeplens.analyses.bands import bands
        from sweeplens.analyses.curves import locate_curves, thin_curves

        view = self.view(runs, where).with_runs()
        names, x = select_metrics(as_names(metrics), view.metrics), axis_of(x, view)
        placed = locate_curves(view.runs, view.series, view.points, names, x=x, x_min=x_min, x_max=x_max)
        most = max_points if isinstance(max_points, int) else max_points(placed.series.height)
        options = python_call(
            runs=runs, where=where, x="" if x == "step" else x, x_min=x_min, x_max=x_max, max_points=most
        )
        answer = thin_curves(placed, most, notes=bands(view.runs, placed, self.config.replicate_hparams))
        return self._with_basis(answer, view, f"db.curves({list(as_names(metrics))!r}, {options})", metrics=names)

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
        names, x = select_metrics(metrics, view.metrics), axis_of(x, view)
        placed = locate_curves(view.runs, view.series, view.points, names, x=x, x_min=x_min, x_max=x_max)
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

        view = self.view(runs, where).with_events(as_names(metrics))
        names = select_metrics(as_names(metrics), view.metrics) if metrics else self._main(view)
        answer = summarize(
            view.runs, view.series, view.points, as_names(hparams), names,
            reduce=reduce, goals=self._goals(view), replicates=self.config.replicate_hparams, sort=sort,
        )  # fmt: skip
        options = python_call(metrics=names, reduce=reduce, runs=runs, where=where, sort=sort)
        doubles = duplicate_warnings(view, names)
        python = f"db.summarize_metrics({list(as_names(hparams))!r}, {options})"
        made = self._with_basis(answer, view, python, doubles=doubles, metrics=names)
        return self._with_plot(
            made, view, "heatmap", metrics=names, hparams=hparams, reduce=reduce, runs=runs, where=where
        )

    def diagnose(self, *, runs: Names = (), where: str = "", metrics: Names = ()) -> Answer:
        """Returns what went wrong in each run: finding, severity, evidence, and what affected runs have in common."""
        from sweeplens.analyses.triage.diagnosis import diagnose  # numpy loads with it

        view = self.view(runs, where)
        names = select_metrics(as_names(metrics), view.metrics) if metrics else ()
        if view.health is not None and view.is_whole and not names:
            answer = view.health.diagnosis()
        else:
            options, others = self._triage(view), view.findings_elsewhere()
            answer = diagnose(view.runs, view.series, view.points, options, metrics=names, elsewhere=others)
        python = f"db.diagnose({python_call(runs=runs, where=where, metrics=metrics)})"
        made = self._with_basis(answer, view, python, doubles=duplicate_warnings(view))
        return self._with_plot(made, view, "timeline", runs=runs, where=where)

    def rank(
        self, metric: str, *, goal: AskedGoal = "", reduce: str = DEFAULT_REDUCE, by: RankedBy = "group",
        runs: Names = (), where: str = "", at_step: str | int = "", hparams: Names = (), reviewed: bool = True,
    ) -> Answer:  # fmt: skip
        """Returns groups or runs in order, and which of them tie with the best.

        ``reviewed=False`` leaves out the notes on lucky values and on other analysis choices, which cost time.

        Raises UnknownNameError, AmbiguousGoalError, InputError. Method: `sweeplens.analyses.bests`.
        """
        from sweeplens.analyses.ranking import rank

        at_step = str(at_step)
        view = self.view(runs, where).with_runs().by_task(self.config.task_hparams).with_events([metric])
        answer = rank(
            view.runs, view.series, view.points, metric, goal=goal, reduce=reduce, by=by, at_step=at_step,
            hparams=as_names(hparams), goals=self._goals(view), replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams, pruned=bool(runs) or "status" in where, reviewed=reviewed,
        )  # fmt: skip
        options = python_call(goal=goal, reduce=reduce, by=by, runs=runs, where=where, at_step=at_step, hparams=hparams)
        equal = bool(at_step) or "at_step" in reduce
        about_runs = view.run_warnings(view.used(answer), [metric], equal_steps=equal)
        measured = self._measured_differently(view, view.used(answer))
        doubles = (*measured, *duplicate_warnings(view, [metric], answer), *about_runs)
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
        where: str = "",
    ) -> Answer:
        """Compares two sides (run ids, globs, conditions), or the levels of ``hparam``, matched on all else that varies.

        ``where`` narrows the runs of all sides or levels.

        Raises UnknownNameError, AmbiguousGoalError, InputError. Method: `sweeplens.analyses.verdicts` and `matching`.
        """
        from sweeplens.analyses.sides import check_sides

        check_sides(a, b, hparam)
        asked = as_names(metrics)
        view = self.view((), where).by_task(self.config.task_hparams).with_events(asked)
        options = self._at_common_rung(view, a, b, self._comparison_options(view, reduce, axis, threshold))
        if hparam:
            answer, main = self._compared_levels(view, hparam, asked, options, where)
            sides: dict[str, object] = {"hparams": [hparam], "metrics": main[:1]}
        else:
            answer = self._compared_sides(view, a, b, asked, options, where)
            sides = {"a": a, "b": b, "metrics": metrics}
        return self._with_plot(answer, view, "comparison", **sides, reduce=options.reduce, where=where)

    def effects(
        self, metric: str, *, goal: AskedGoal = "", reduce: str = DEFAULT_REDUCE, runs: Names = (), where: str = ""
    ) -> Answer:
        """Returns each hyperparameter's share of a metric's variance, its direction, and confounded hyperparameters.

        Raises UnknownNameError, AmbiguousGoalError, InputError. Method: `sweeplens.analyses.forest`.
        """
        from sweeplens.analyses.effects import effects

        view = self.view(runs, where).with_runs().by_task(self.config.task_hparams).with_events([metric])
        answer = effects(
            view.runs, view.series, view.points, metric, goal=goal, reduce=reduce,
            goals=self._goals(view), replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams,
        )  # fmt: skip
        options = python_call(goal=goal, reduce=reduce, runs=runs, where=where)
        doubles = (
            *self._measured_differently(view, view.used(answer)),
            *duplicate_warnings(view, [metric], answer),
            *view.run_warnings(view.used(answer), [metric], equal_steps="at_step" in reduce),
        )
        made = self._with_basis(answer, view, f"db.effects({metric!r}, {options})", doubles=doubles, metrics=[metric])
        return self._with_plot(
            made, view, "importance", metrics=[metric], goal=goal, reduce=reduce, runs=runs, where=where
        )

    def suggest(
        self, metric: str, budget: int = 8, *, goal: AskedGoal = "", runs: Names = (), where: str = ""
    ) -> Answer:
        """Which runs to make next with a budget of so many: why, what they could detect, and their settings."""
        from sweeplens.analyses.duplicate_runs import find_duplicates
        from sweeplens.analyses.suggestions import suggest

        view = self.view(runs, where)
        answer = suggest(
            view.runs, view.series, view.points, metric, budget=budget, goal=goal,
            goals=self.config.metric_goals, replicates=self.config.replicate_hparams,
            doubles=view.snapshot.once(find_duplicates),
        )  # fmt: skip
        python = f"db.suggest({metric!r}, {budget}, {python_call(goal=goal, runs=runs, where=where)})".replace(
            ", )", ")"
        )
        return self._with_basis(answer, view, python, doubles=duplicate_warnings(view, [metric], answer))

    def query_sql(self, query: str, *, limit: int = 1000) -> Answer:
        """Returns rows of one SELECT over ``runs``, ``series``, ``points``, ``files``, or of several, separated by ``;``.

        ``files`` has the files below the roots, with small texts; a table in a file is one by its path: ``"leaderboard.csv"``,
        and those of many files by a pattern: ``"*/eval.json"``, with columns path and run_id.
        Bounded in rows, time and memory.
        """
        from sweeplens.sql.query import QueryBounds, SqlTables, query_sql, start_early

        start_early()  # in parallel with the reading of the folders
        view = self.view()
        points = last_of_step(view.snapshot.points, rewound(view.series))
        tables = SqlTables(view.runs, view.series, points, view.more, self._auxiliary_files(view))
        bounds = QueryBounds(limit, self.config.query_seconds, self.config.query_megabytes)
        return self._with_basis(query_sql(query, tables, bounds), view, f"db.query_sql({query!r}, limit={limit})")

    # -------------------------------------------------------------- pictures

    def plot(self, kind: ChartKind = "", **options: Unpack[PlotKeywords]) -> Chart:
        """Draws a chart: curves, ranking, comparison, scatter, parallel, heatmap, importance, timeline; default: the most telling.

        ``options``: metrics, hparams, runs, where, x, group, smooth, log, goal, reduce, x_min, x_max, a, b, width, height, as
        `PlotRequest` says. Raises UnknownNameError for another name or kind.

        >>> db.plot("curves", metrics="val/acc", log="y").save("curves.png")  # doctest: +SKIP
        """
        from sweeplens.charts import draw_chart
        from sweeplens.charts.request import request_of

        ask = request_of(options)
        chart = draw_chart(self.pinned(), kind, ask)
        python = f"db.plot({', '.join(filter(None, [repr(chart.kind), python_call(**options)]))})"
        return replace(chart, basis=replace(chart.basis, python=python))

    def report(self, path: str | Path, *, runs: Names = (), where: str = "") -> Path:
        """Writes one self-contained page about these runs: overview, ranking, effects, curves, what broke, problems."""
        from sweeplens.report import report_page, write_page

        return write_page(path, report_page(self.pinned(), runs=as_names(runs), where=where))

    # ---------------------------------------------------- the names of the tools

    summarize_by_hparams = summarize
    find_varying_hparams = LookupQuestions.varying
    rank_runs = rank
    compare_runs = compare
    hparam_effects = effects
    diagnose_runs = diagnose
    run_costs = CostQuestions.cost
    best_checkpoints = CostQuestions.checkpoints
    suggest_runs = suggest

    # --------------------------------------------------------------- private

    def _with_plot(self, answer: Answer, view: View, kind: str, **known: Any) -> Answer:
        """Returns the answer with a plot function, which draws from the same version of the data on demand."""
        fixed = copy(self)
        fixed._pinned = view.snapshot
        return replace(answer, drawing=partial(fixed.plot, kind, **known))
