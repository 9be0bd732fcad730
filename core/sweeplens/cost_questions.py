"""`CostQuestions`: the questions of `ExperimentDB` about costs and about checkpoints."""

from __future__ import annotations

from sweeplens.answers import Answer
from sweeplens.argument_types import checks_arguments
from sweeplens.errors import InputError
from sweeplens.experiment_data import ExperimentData
from sweeplens.frames.goals import AskedGoal
from sweeplens.frames.reduction import DEFAULT_REDUCE
from sweeplens.view import Names, View, as_names, duplicate_warnings, python_call

__all__ = ["CostQuestions"]


@checks_arguments
class CostQuestions(ExperimentData):
    """Methods that answer what results cost, and which checkpoint of a run to keep."""

    def cost(
        self,
        metric: str = "",
        *,
        threshold: float | None = None,
        goal: AskedGoal = "",
        reduce: str = DEFAULT_REDUCE,
        hparams: Names = (),
        runs: Names = (),
        where: str = "",
    ) -> Answer:
        """Returns each setting's metric beside its steps, wall time, GPU-hours and counters; by default of the first main metric.

        ``threshold``: also the cost until the metric goes past it. Raises UnknownNameError, AmbiguousGoalError, InputError.
        """
        from sweeplens.analyses.cost import cost

        view = self.view(runs, where).with_runs().by_task(self.config.task_hparams)
        metric = metric or self._first_main(view)
        answer = cost(
            view.runs, view.series, view.points, metric, goal=goal, reduce=reduce, threshold=threshold,
            hparams=as_names(hparams), goals=self._goals(view), replicates=self.config.replicate_hparams,
            tasks=self.config.task_hparams,
        )  # fmt: skip
        options = python_call(threshold=threshold, goal=goal, reduce=reduce, hparams=hparams, runs=runs, where=where)
        doubles = (*duplicate_warnings(view, [metric], answer), *view.broken_warning(view.used(answer)))
        return self._with_basis(answer, view, f"db.cost({metric!r}, {options})", doubles=doubles, metrics=[metric])

    def checkpoints(self, metric: str = "", *, goal: AskedGoal = "", runs: Names = (), where: str = "") -> Answer:
        """Returns each run's best step against its last step, what stopping early would have saved, and what a test metric is at
        the best step; by default of the first main metric. Raises UnknownNameError, AmbiguousGoalError, InputError.
        """
        from sweeplens.analyses.checkpoints import checkpoints

        view = self.view(runs, where).with_runs()
        metric = metric or self._first_main(view)
        answer = checkpoints(view.runs, view.series, view.points, metric, goal=goal, goals=self._goals(view))
        arguments = ", ".join(filter(None, [repr(metric), python_call(goal=goal, runs=runs, where=where)]))
        doubles = duplicate_warnings(view, [metric], answer)
        return self._with_basis(answer, view, f"db.checkpoints({arguments})", doubles=doubles, metrics=[metric])

    def _first_main(self, view: View) -> str:
        """Returns the first main metric. Raises InputError if there is none."""
        found = self._main(view)
        if not found:
            raise InputError("No main metric is known here: pass metric=...; list_metrics shows all.")
        return found[0]
