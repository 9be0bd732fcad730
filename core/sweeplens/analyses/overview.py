"""The first call: what a colleague would say of these folders in twenty lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import polars as pl

from sweeplens.analyses.listing import list_metrics
from sweeplens.analyses.summary import summarize, varying
from sweeplens.answers import Answer, Basis
from sweeplens.frames import hparam_columns
from sweeplens.goals import known_goal, main_metrics
from sweeplens.grouping import group_hparams

if TYPE_CHECKING:
    from sweeplens.analyses.triage.screening import Options

__all__ = ["overview"]

_CONSTANTS = 8
_WORST = 5
_FIRST_CALL_POINTS = 2_000_000


def overview(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    *,
    goals: Mapping[str, str] | None = None,
    main: Sequence[str] = (),
    replicates: Sequence[str] = (),
    triage: Options | None = None,
) -> Answer:
    """Topic and text, a row each; ``varying``, ``metrics`` and ``best`` as tables of their own.

    ``triage``: what a diagnosis needs to say what broke; without it only values that are not finite are told.
    """
    vary = varying(runs, replicates)
    metrics = list_metrics(runs, series, goals=goals)
    leading = [
        m for m in main_metrics(series["metric"].unique().to_list(), main, goals) if known_goal(m, goals) != "unknown"
    ]
    best = _best_groups(runs, series, points, leading, goals, replicates)
    rows = [
        ("runs", _by_status(runs)),
        ("formats", ", ".join(f"{n} {f}" for f, n in _counts(runs, "format"))),
        ("varies", _vary_text(vary.table, runs.height) or "nothing"),
        ("constant", _constants(runs, vary.table["hparam"].to_list())),
        (
            "metrics",
            "; ".join(_metric_line(r, runs.height) for r in metrics.table.head(20).iter_rows(named=True)) or "none",
        ),
        *((f"best {r['metric']}", _best_line(r)) for r in best.iter_rows(named=True)),
        *(_broken(runs, series, points, triage) if triage else [("not finite", _nonfinite(series))]),
        ("still running", _running(runs)),
    ]
    table = pl.DataFrame([r for r in rows if r[1]], schema={"topic": pl.String, "text": pl.String}, orient="row")
    basis = Basis(runs_used=runs.height, points=int(series["n_logged"].sum()))
    return Answer(table, basis, tables={"varying": vary.table, "metrics": metrics.table, "best": best})


def _best_groups(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: pl.LazyFrame,
    metrics: Sequence[str],
    goals: Mapping[str, str] | None,
    replicates: Sequence[str],
) -> pl.DataFrame:
    """The best group of each metric by the mean of the runs' last values: metric, goal, group, n, mean, interval."""
    schema = {
        "metric": pl.String,
        "goal": pl.String,
        "group": pl.String,
        "n": pl.Int64,
        "mean": pl.Float64,
        "ci95_low": pl.Float64,
        "ci95_high": pl.Float64,
    }
    rows: list[tuple[object, ...]] = []
    by = group_hparams(runs, (), replicates) if runs.height else []
    for metric in metrics:
        goal = known_goal(metric, goals)
        groups = summarize(runs, series, points, by, [metric], goals=goals, replicates=replicates).table
        if not groups.height:
            continue
        top = groups.sort("mean", descending=goal == "higher").row(0, named=True)
        label = ", ".join(f"{h}={top[h]}" for h in by) or "all runs"
        rows.append((metric, goal, label, top["n"], top["mean"], top["ci95_low"], top["ci95_high"]))
    return pl.DataFrame(rows, schema=schema, orient="row")


def _counts(runs: pl.DataFrame, column: str) -> list[tuple[str, int]]:
    return runs[column].value_counts(sort=True).rows() if runs.height else []


def _by_status(runs: pl.DataFrame) -> str:
    parts = ", ".join(f"{n} {status}" for status, n in _counts(runs, "status"))
    return f"{runs.height}: {parts}" if parts else "0"


def _vary_text(vary: pl.DataFrame, n_runs: int) -> str:
    """Each class of hyperparameters that cannot be told apart once; those with a single value, which some runs lack, last."""
    rows = list(vary.iter_rows(named=True))
    told: set[str] = set()
    lines: list[str] = []
    for row in (r for r in rows if r["n_values"] > 1):
        if row["hparam"] not in told:
            told |= {row["hparam"], *row["same_as"]}
            lines.append(_vary_line(row))
    partly: dict[int, list[str]] = {}
    for row in (r for r in rows if r["hparam"] not in told):
        partly.setdefault(n_runs - row["n_missing"], []).append(f"{row['hparam']} ({', '.join(row['values'])})")
    return "; ".join([*lines, *(f"in {n} of {n_runs} runs only: {', '.join(names)}" for n, names in partly.items())])


def _vary_line(row: Mapping[str, object]) -> str:
    values, same = cast("list[str]", row["values"]), cast("list[str]", row["same_as"])
    text = f"{row['hparam']} ({', '.join(values)})"
    text += " [replicate]" if row["replicate"] else ""
    text += f" [missing in {row['n_missing']}]" if row["n_missing"] else ""
    return text + (f" [same split as {', '.join(same)}]" if same else "")


def _constants(runs: pl.DataFrame, varying_names: Sequence[str]) -> str:
    names = [c for c in hparam_columns(runs) if c not in varying_names]
    known = [(c, runs[c].drop_nulls()[0]) for c in names if runs[c].null_count() < runs.height]
    shown = ", ".join(f"{c}={v}" for c, v in known[:_CONSTANTS])
    return shown + (f", and {len(known) - _CONSTANTS} more" if len(known) > _CONSTANTS else "")


def _metric_line(row: Mapping[str, object], n_runs: int) -> str:
    cover = "" if row["n_runs"] == n_runs else f" in {row['n_runs']} of {n_runs} runs"
    goal = "" if row["goal"] == "unknown" else f" ({row['goal']} is better)"
    return f"{row['metric']}{goal}{cover}, steps {row['first_step']}-{row['last_step']}"


def _best_line(row: Mapping[str, object]) -> str:
    low, high = row["ci95_low"], row["ci95_high"]
    interval = f" [{low:.5g}, {high:.5g}]" if low is not None else ""
    return f"{row['group']}: mean of last values {row['mean']:.5g}{interval}, n={row['n']} ({row['goal']} is better)"


def _nonfinite(series: pl.DataFrame) -> str:
    bad = series.filter((pl.col("n_nan") + pl.col("n_inf")) > 0)
    ids = bad["run_id"].unique().sort().to_list()
    return (
        f"{len(ids)} runs hold NaN or infinite values: {', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''}"
        if ids
        else ""
    )


def _broken(runs: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, options: Options) -> list[tuple[str, str]]:
    """Findings by severity, then the worst of them; curves are looked at where there are not too many points for a first call."""
    from sweeplens.analyses.triage.diagnosis import diagnose  # numpy loads with it

    curves = int(series["n_logged"].sum()) <= _FIRST_CALL_POINTS
    found = diagnose(runs, series, points if curves else None, options)
    lines = [(f"{severity} findings", _counted(part)) for severity, part in _by_severity(found.tables["summary"])]
    grave = found.table.filter(pl.col("severity") == "high")
    worst = "; ".join(_finding_line(row) for row in grave.head(_WORST).iter_rows(named=True))
    more = f"; and {grave.height - _WORST} more (diagnose_runs)" if grave.height > _WORST else ""
    unseen = (
        "" if curves else "Curves were not looked at for divergence, overfitting, spikes and pace: diagnose_runs does."
    )
    return [*lines, ("worst", worst + more), ("not looked at", unseen)]


def _by_severity(summary: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(s, summary.filter(pl.col("severity") == s)) for s in ("high", "medium", "low")]


def _counted(summary: pl.DataFrame) -> str:
    parts = [
        f"{row['finding']} in {row['n_runs']} run{'s' * (row['n_runs'] > 1)}"
        + (f" ({row['shared_cause']})" if row["shared_cause"] else "")
        for row in summary.iter_rows(named=True)
    ]
    return "; ".join(parts)


def _finding_line(row: Mapping[str, object]) -> str:
    place = f" of {row['metric']}" if row["metric"] else ""
    step = f" at step {row['step']}" if row["step"] is not None else ""
    return f"{row['run_id']}: {row['finding']}{place}{step}"


def _running(runs: pl.DataFrame) -> str:
    ids = runs.filter(pl.col("status") == "running")["run_id"].sort().to_list()
    return f"{len(ids)}: {', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''}" if ids else ""
