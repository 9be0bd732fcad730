"""`LookupQuestions`: the questions of `ExperimentDB` that look something up: a run, metrics, hyperparameters that vary, news."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from sweeplens.answers import Answer
from sweeplens.argument_types import checks_arguments
from sweeplens.experiment_data import ExperimentData
from sweeplens.frames.run_names import run_named
from sweeplens.view import Names, of_runs, python_call

__all__ = ["LookupQuestions"]


@checks_arguments
class LookupQuestions(ExperimentData):
    """Methods that say what there is, without a picture."""

    def get_run(self, run_id: str) -> Answer:
        """Returns everything known about one run, by its id or its display name. Raises UnknownNameError."""
        from sweeplens.analyses.listing import get_run

        view = self.view()
        run_id = run_named(view.runs, run_id)
        answer = get_run(run_id, view.runs, view.series, view.problems)
        mine = replace(view, problems=of_runs(view.problems, view.runs.filter(pl.col("run_id") == run_id)))
        return self._with_basis(answer, mine, f"db.get_run({run_id!r})", matched=1, runs=[run_id])

    def list_metrics(self, *, runs: Names = (), where: str = "", pattern: str = "") -> Answer:
        """Returns one row a metric, with coverage, steps and goal."""
        from sweeplens.analyses.listing import list_metrics

        view = self.view(runs, where)
        view = view.with_runs() if pattern else view
        answer = list_metrics(
            view.runs, view.series, pattern=pattern, goals=self._goals(view), display=self.config.metric_display_names
        )
        return self._with_basis(
            answer, view, f"db.list_metrics({python_call(runs=runs, where=where, pattern=pattern)})"
        )

    def varying(self, *, runs: Names = (), where: str = "") -> Answer:
        """Returns the hyperparameters that vary, their values, and which are perfectly confounded."""
        from sweeplens.analyses.summary import varying

        view = self.view(runs, where)
        answer = varying(view.runs, self.config.replicate_hparams)
        return self._with_basis(answer, view, f"db.find_varying({python_call(runs=runs, where=where)})")

    def whats_new(self, cursor: str = "") -> Answer:
        """Returns news since a cursor, by default of the last 24 hours; the new cursor is table ``cursor``. Raises CursorError.

        A cursor has at most 40 characters; the state that it names is kept in the store.
        """
        from sweeplens.analyses.news import whats_new  # numpy loads with it
        from sweeplens.analyses.news_cursor import full_cursor, short_cursor

        view = self.view()
        found = view.health.lasting_findings() if view.health is not None else None
        since = full_cursor(cursor, self._store.kept_state)
        answer = whats_new(view.runs, view.series, view.points, self._triage(view), since, found)
        short, identity, state = short_cursor(answer.tables["cursor"]["cursor"].item())
        self._store.keep_state(identity, state)
        answer = replace(answer, tables={**answer.tables, "cursor": pl.DataFrame({"cursor": [short]})})
        return self._with_basis(answer, view, "db.whats_new(cursor)" if cursor else "db.whats_new()")
