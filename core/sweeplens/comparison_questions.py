"""`ComparisonQuestions`: how `ExperimentDB` compares two sides, or the levels of a hyperparameter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl
from msgspec.structs import replace

from sweeplens.answers import Answer
from sweeplens.cost_questions import CostQuestions
from sweeplens.frames.reduction import DEFAULT_REDUCE
from sweeplens.frames.selection import select_metrics
from sweeplens.view import View, axis_of, copied_runs, duplicate_warnings, python_call

if TYPE_CHECKING:
    from sweeplens.analyses.comparison import ComparisonOptions

__all__ = ["ComparisonQuestions"]

_FEWEST = 4  # runs below which what else differs is not counted
_MOST_POINTS = 1_000_000  # with more, the overview leaves comparisons to compare_runs
_OF_SIDES = "of the sides"  # some of them may be left out of each metric
_TOLD = 5  # facts in the overview


class ComparisonQuestions(CostQuestions):
    """Answers to `compare`, without their pictures."""

    def _comparison_options(self, view: View, reduce: str, axis: str, threshold: float | None) -> ComparisonOptions:
        from sweeplens.analyses.comparison import ComparisonOptions

        return ComparisonOptions(
            reduce=reduce, axis=axis_of(axis, view, "axis"), threshold=threshold, goals=self._goals(view),
            main=self.config.main_metrics, replicates=self.config.replicate_hparams, tasks=self.config.task_hparams,
            equal_within=self.config.equal_within,
        )  # fmt: skip

    def _at_common_rung(
        self, view: View, a: str | Sequence[str], b: str | Sequence[str], options: ComparisonOptions
    ) -> ComparisonOptions:
        """Returns options that read runs of a search with rungs at the first one, which all reached; unless steps are asked for.

        Last values would hold trials that were stopped early against full runs, and those survived because they were good.
        """
        from sweeplens.analyses.rungs import ends_vary, rungs_of
        from sweeplens.analyses.sides import select_sides

        if options.reduce != DEFAULT_REDUCE or options.axis != "step" or not ends_vary(view.series):
            return options
        runs = select_sides(view.runs, view.series, a, b, view.more).runs_of(view.runs) if a or b else view.runs
        rungs = rungs_of(runs, view.series.join(runs.select("run_id"), on="run_id", how="semi"))
        if rungs is None:
            return options
        if not rungs.all_logged(view.series, self._main(view)):
            return options
        told = (
            f"Runs end on rungs of a search, at steps {rungs.counted()}: all are compared at the first, step {rungs.ends[0]}, "
            "since those that went on were chosen as the best so far (reduce='last': the last values, after unequal training)."
        )
        return replace(options, reduce=f"at_step:{rungs.ends[0]}", opening=(told,))

    def _compared_levels(
        self, view: View, hparam: str, metrics: Sequence[str], options: ComparisonOptions, where: str
    ) -> tuple[Answer, list[str]]:
        """Returns the comparison of the levels of a hyperparameter, and the metrics compared. ``where``: that of the view."""
        from sweeplens.analyses.comparison import compare
        from sweeplens.analyses.level_comparison import compare_levels, levels_of_hparam
        from sweeplens.analyses.sides import Sides

        names = select_metrics(metrics, view.metrics) if metrics else []
        main = [*names] or self._main(view)
        known = replace(options, named=[hparam], matched_only=True, metrics_named=bool(names))

        def between(sides: Sides, labels: tuple[str, str]) -> Answer:
            return compare(view.runs, view.series, view.points, sides, main, replace(known, labels=labels))

        answer = compare_levels(view.runs, hparam, between, tables_of="" if names else "".join(main[:1]))
        levels, base = levels_of_hparam(view.runs, hparam)
        sides = _named_levels(hparam, {base: levels[base], **levels})
        answer = self._with_side_differences(answer, view, sides, known)
        used = view.runs.filter(pl.col(hparam).is_not_null())["run_id"].to_list()
        doubles = duplicate_warnings(view, main) + view.run_warnings(
            used, _compared(answer), place=_OF_SIDES, equal_steps="at_step" in options.reduce
        )
        axis = "" if options.axis == "step" else options.axis
        python = python_call(
            metrics=metrics, reduce=options.reduce, axis=axis, threshold=options.threshold, where=where
        )
        return self._with_basis(answer, view, f"db.compare(hparam={hparam!r}, {python})", doubles=doubles), main

    def _compared_sides(
        self,
        view: View,
        a: str | Sequence[str],
        b: str | Sequence[str],
        metrics: Sequence[str],
        options: ComparisonOptions,
        where: str,
    ) -> Answer:
        """Returns the comparison of two sides. ``where``: that of the view."""
        from sweeplens.analyses.comparison import compare
        from sweeplens.analyses.sides import defining, named_in, select_sides

        names = select_metrics(metrics, view.metrics) if metrics else ()
        sides = select_sides(view.runs, view.series, a, b, view.more)
        known = replace(options, named=defining(view.runs, sides, named_in(view.runs, a, b)))
        answer = compare(view.runs, view.series, view.points, sides, names, known)
        answer = self._with_side_differences(answer, view, {"a": sides.a, "b": sides.b}, known)
        doubles = duplicate_warnings(view, names or view.metrics, runs=sides.both) + view.run_warnings(
            sides.both, _compared(answer), place=_OF_SIDES, equal_steps="at_step" in options.reduce
        )
        axis = "" if options.axis == "step" else options.axis
        python = python_call(
            metrics=metrics, reduce=options.reduce, axis=axis, threshold=options.threshold, where=where
        )
        return self._with_basis(
            answer, view, f"db.compare({a!r}, {b!r}, {python})", matched=len(sides.both), doubles=doubles, metrics=names,
            runs=sides.both,
        )  # fmt: skip

    def _measured_differently(self, view: View, used: Sequence[str]) -> tuple[str, ...]:
        """Warns of settings of the measurement that differ among the runs that are used."""
        from sweeplens.analyses.measured_differently import measured_differently

        runs = view.runs.filter(pl.col("run_id").is_in(list(used)))
        return measured_differently(runs, self.config.task_hparams, self.config.replicate_hparams)

    def _studied(self, view: View) -> list[tuple[str, str]]:
        """Returns topics and texts on the hyperparameter that these runs study: its matched differences, and what else differs."""
        from sweeplens.analyses.level_comparison import levels_of_hparam
        from sweeplens.analyses.studied import studied_hparam, studied_rows

        options = self._comparison_options(view, DEFAULT_REDUCE, "step", None)
        name = studied_hparam(view.runs, options.tasks, options.replicates)
        if not name or int(view.series["n_logged"].sum()) > _MOST_POINTS:
            return []
        rows = list(
            studied_rows(
                view.runs, view.series, view.points, name, tasks=options.tasks, replicates=options.replicates,
                main=options.main, goals=options.goals,
            )
        )  # fmt: skip
        levels, base = levels_of_hparam(view.runs, name)
        unlike = self._side_differences(
            view, _named_levels(name, {base: levels[base], **levels}), replace(options, named=[name])
        )
        told = unlike["text"].head(_TOLD).to_list() if rows else []
        return [*rows, *([("unlike", "; ".join(told))] if told else [])]

    def _with_side_differences(
        self, answer: Answer, view: View, sides: Mapping[str, Sequence[str]], options: ComparisonOptions
    ) -> Answer:
        """Returns the answer with the table ``unlike``: what else differs between the sides."""
        found = self._side_differences(view, sides, options)
        return replace(answer, tables={**({"unlike": found} if found.height else {}), **answer.tables})

    def _side_differences(
        self, view: View, sides: Mapping[str, Sequence[str]], options: ComparisonOptions
    ) -> pl.DataFrame:
        from sweeplens.analyses.side_differences import SideFacts, side_differences
        from sweeplens.analyses.task_plan import main_metric_of_runs
        from sweeplens.frames.grouping import task_hparams

        names = pl.Enum(list(sides))  # in order
        of_run = pl.concat(
            pl.DataFrame({"run_id": ids}, schema={"run_id": pl.String}).with_columns(side=pl.lit(side, names))
            for side, ids in sides.items()
        )
        if of_run.height < _FEWEST:
            return pl.DataFrame(schema={"what": pl.String, "text": pl.String})
        runs, series = view.runs, view.series
        if of_run.height < runs.height:
            own = pl.col("run_id").is_in(of_run["run_id"].implode())
            runs, series = runs.filter(own), series.filter(own)
        table = main_metric_of_runs(runs, series, options.tasks, options.main, options.goals)
        table = table.join(of_run, on="run_id").sort("side", "run_id")
        findings = view.health.known_findings() if view.health else None
        facts = SideFacts(
            table, runs, series, options.named, options.replicates, task_hparams(runs, options.tasks), findings,
            copied_runs(view),
        )  # fmt: skip
        return side_differences(facts)


def _compared(answer: Answer) -> list[str]:
    """Returns the metrics of a comparison, those of single tasks among them."""
    tables = [answer.table, *(t for name, t in answer.tables.items() if name == "by_task")]
    return sorted({m for t in tables if "metric" in t.columns for m in t["metric"].to_list()})


def _named_levels(hparam: str, levels: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Returns levels with names that cannot be taken for counts: ``dropout=0`` where a level is no word."""
    is_clear = all(re.match(r"[^\W\d_]{2}", level) and level not in ("True", "False", "None") for level in levels)
    return dict(levels) if is_clear else {f"{hparam}={level}": ids for level, ids in levels.items()}
