"""Lists of runs and metrics, and the details of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from sweeplens.analyses.sorting import sort_key, sort_table
from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of, share_of, verb
from sweeplens.errors import UnknownNameError, nearest
from sweeplens.frames.goals import known_goal, main_metrics, run_counts
from sweeplens.frames.grouping import folded, settings_among, two_valued
from sweeplens.frames.run_columns import NOTHING_MORE, RunColumns, all_columns, near_columns, with_run_columns
from sweeplens.frames.run_names import run_named, with_names
from sweeplens.frames.schemas import RUN_COLUMNS, hparam_columns
from sweeplens.frames.selection import select_metrics
from sweeplens.readers.protocol import Problem

__all__ = ["get_run", "list_metrics", "list_runs", "problems_frame"]

_MOST_HPARAMS = 16
_IDENTITY = ("run_id", "status", "n_steps", "updated_at")


def list_runs(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    *,
    columns: Sequence[str] = (),
    sort: str = "",
    main: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    more: RunColumns = NOTHING_MORE,
) -> Answer:
    """Returns one row a run, newest first: identity, hyperparameters with two values or more, last values of main metrics.

    ``columns`` replaces the last two: any column of the runs table, or ``<metric>.<statistic>``. ``sort`` is any of these
    columns too; one that is not shown is added.
    """
    hparams = settings_among(runs, two_valued(runs), ()) if not columns else []
    counts = run_counts(series) if not columns else {}
    metrics = main_metrics(counts, main, goals, counts=counts) if counts else []
    chosen = list(columns) or [*hparams[:_MOST_HPARAMS], *(f"{m}.last" for m in metrics)]
    order = _order(sort, runs, series, [*_IDENTITY, *chosen], more)
    hidden = len(hparams) - _MOST_HPARAMS
    notes = [
        f"{count_of(hidden, 'more hyperparameter')} {verb(hidden, 'varies', 'vary')}: find_varying_hparams names them, "
        f"columns=... shows them."
    ] * (hidden > 0)
    table = with_names(with_columns(runs, series, [*_IDENTITY, *chosen, *order], more), runs)
    ordered = sort_table(table, sort) if order else table.sort(["updated_at", "run_id"], descending=[True, False])
    notes += _nulls(ordered, [name for name in (*columns, *order) if name not in runs.columns])
    return Answer(ordered, Basis(runs_used=runs.height, points=0), tuple(notes))


def _order(sort: str, runs: pl.DataFrame, series: pl.DataFrame, shown: Sequence[str], more: RunColumns) -> list[str]:
    """Returns the column to sort by, if any. Raises UnknownNameError, with a metric's statistics for its bare name."""
    if not sort:
        return []
    bare = sort.removeprefix("-")
    if bare in with_run_columns(runs, series, [bare], more).columns:
        return [bare]
    known = near_columns(bare, runs, series, more) if set("(@") & set(bare) else all_columns(runs, series, more)
    hint = f"The answer has {', '.join(shown)}; experiments://schema lists all columns."
    if f"{bare}.last" in known and bare not in known:
        sign = "-" * sort.startswith("-")
        raise UnknownNameError(f"No column to sort by {bare!r}: it is a metric; write '{sign}{bare}.last'. {hint}")
    meant = nearest(bare.partition(" ")[0], series["metric"].unique().sort()) if "." not in bare else []
    if meant and not nearest(bare, runs.columns, n=1):
        raise UnknownNameError.of("column to sort by", bare, [], hint=f"Nearest: {_last_of(meant)}. {hint}")
    return [sort_key(sort, known, hint=hint)[0]]


def _last_of(metrics: Sequence[str]) -> str:
    return ", ".join(repr(f"{metric}.last") for metric in metrics)


def _nulls(table: pl.DataFrame, computed: Sequence[str]) -> list[str]:
    """Returns a sentence for each event column without a value in some runs: it never happened, or nothing was logged for it."""
    reason = {True: "no time was logged up to there, or it never happened", False: "it never happened there"}
    counts = {n: table[n].null_count() for n in dict.fromkeys(computed) if n.endswith(")") or "@" in n}
    return [
        f"{n} is null in {share_of(k, table.height, 'run')}: {reason[n.endswith('@wall_time')]}."
        for n, k in counts.items()
        if k
    ]


def with_columns(
    runs: pl.DataFrame, series: pl.DataFrame, columns: Sequence[str], more: RunColumns = NOTHING_MORE
) -> pl.DataFrame:
    """Returns these columns of runs, computed ones included. Raises UnknownNameError."""
    table = with_run_columns(runs, series, columns, more)
    for name in columns:
        if name not in table.columns:
            raise _no_column(name, runs, series, more)
    return table.select(list(dict.fromkeys(columns)))


def _no_column(name: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns) -> UnknownNameError:
    """Returns the error for a column that does not exist; a metric's bare name has statistics."""
    if series.filter(pl.col("metric") == name).height:
        return UnknownNameError(
            f"No column {name!r}: it is a metric; use one of its statistics, as in '{name}.last' "
            "(last, min, max, mean, n_nan and others)."
        )
    known = near_columns(name, runs, series, more)
    return UnknownNameError.of("column", name, known, hint="experiments://schema lists all.")


def get_run(run_id: str, runs: pl.DataFrame, series: pl.DataFrame, problems: Sequence[Problem]) -> Answer:
    """Returns one row a series of the run; tables of identity, hyperparameters, metadata and problems.

    ``run_id`` may be its display name. Raises UnknownNameError for an unknown run.
    """
    run_id = run_named(runs, run_id)
    row = runs.filter(pl.col("run_id") == run_id)
    own = series.filter(pl.col("run_id") == run_id).drop("run_id").sort("metric")
    nulls = row["null_hparams"].to_list()[0]
    present = [c for c in hparam_columns(runs) if row[c].to_list()[0] is not None or c in nulls]
    meta = [c for c in runs.columns if c.startswith("metadata.") and row[c].to_list()[0] is not None]
    known = {c: row[c].to_list()[0] for c in RUN_COLUMNS if c != "null_hparams"}
    identity = {c: v for c, v in known.items() if v not in (None, "", [])}
    mine = [p for p in problems if p.run_id == run_id]
    tables = {
        "run": _pairs(identity),
        "hyperparameters": _pairs(_folded_values(row, present)),
        "metadata": _pairs({c.removeprefix("metadata."): row[c].to_list()[0] for c in meta}),
        "problems": problems_frame(mine),
    }
    basis = Basis(runs_used=1, points=int(own["n_logged"].sum()), warnings=tuple(_problem_line(p) for p in mine[:3]))
    return Answer(own, basis, tables=tables)


def _folded_values(row: pl.DataFrame, names: Sequence[str]) -> dict[str, object]:
    """Returns the values of a run's hyperparameters; for many under one parent, their number."""
    groups = folded(names)
    return {n: row[n].to_list()[0] if own == [n] else count_of(len(own), "key") for n, own in groups.items()}


def list_metrics(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    *,
    pattern: str = "",
    goals: Mapping[str, str] | None = None,
    display: Mapping[str, str] | None = None,
) -> Answer:
    """Returns one row a metric: numbers of runs and points, steps, goal, and number of non-finite values."""
    known = series["metric"].unique().sort().to_list()
    kept = series.filter(pl.col("metric").is_in(select_metrics([pattern] if pattern else [], known)))
    table = (
        kept.group_by("metric")
        .agg(
            n_runs=pl.len(),
            n_points=pl.col("n_logged").sum(),
            first_step=pl.col("first_step").min(),
            last_step=pl.col("last_step").max(),
            n_nonfinite=(pl.col("n_nan") + pl.col("n_inf")).sum(),
        )
        .sort("metric")
    )
    names = table["metric"].to_list()
    shown = display or {}
    table = table.with_columns(
        pl.Series("goal", [known_goal(n, goals) for n in names], dtype=pl.String),
        pl.Series("display_name", [shown.get(n, n) for n in names], dtype=pl.String),
    ).select("metric", "n_runs", "n_points", "first_step", "last_step", "goal", "n_nonfinite", "display_name")
    silent = runs.height - kept["run_id"].n_unique()
    notes = (f"{share_of(silent, runs.height, 'run')} logged none of these metrics.",) if silent else ()
    return Answer(table, Basis(runs_used=kept["run_id"].n_unique(), points=int(kept["n_logged"].sum())), notes)


def problems_frame(problems: Sequence[Problem]) -> pl.DataFrame:
    """Returns problems as a table: file, line, column, kind, reason, run_id, excerpt."""
    schema = {
        "file": pl.String, "line": pl.Int64, "column": pl.Int64, "kind": pl.String, "reason": pl.String,
        "run_id": pl.String, "excerpt": pl.String,
    }  # fmt: skip
    rows = [(p.file, p.line, p.column, p.kind, p.reason, p.run_id, p.excerpt) for p in problems]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _problem_line(problem: Problem) -> str:
    return f"{problem.file}{f':{problem.line}' if problem.line else ''}: {problem.reason}"


def _json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _pairs(values: Mapping[str, object]) -> pl.DataFrame:
    """Returns name and value as JSON text, which keeps the type visible."""
    texts = [_json(v) for v in values.values()]
    return pl.DataFrame({"name": list(values), "value": texts}, schema={"name": pl.String, "value": pl.String})
