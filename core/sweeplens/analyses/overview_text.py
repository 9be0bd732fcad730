"""Lines of the overview on hyperparameters and metrics: those that vary, those that are constant, and the range of each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import polars as pl

from sweeplens.analyses.coverage import listed
from sweeplens.counting import count_of, share_of
from sweeplens.frames.grouping import folded, identifiers, is_machine, varying_hparams
from sweeplens.frames.schemas import ENDED_WITH, hparam_columns

__all__ = ["MANY_RUNS", "constants_text", "ends_text", "metrics_text", "vary_text"]

_CONSTANTS, _HPARAMS, _METRICS = 8, 12, 20  # at most so many are named
_ENDS = 3
_VALUE = 40  # characters of a value
MANY_RUNS = 9
"""Runs: where no value repeats, every hyperparameter splits them alike."""


def vary_text(vary: pl.DataFrame, runs: pl.DataFrame, lost: int) -> str:
    """Lists each class of perfectly confounded hyperparameters once; run names and partly missing hyperparameters come last.

    ``lost``: the number of runs without any hyperparameter, reported elsewhere.
    """
    if not vary.height:
        return "nothing" if hparam_columns(runs) else "nothing: no run has hyperparameters"
    identify = identifiers(runs, vary["hparam"].to_list())
    names = [n for n in vary["hparam"].to_list() if n in identify]
    seen: set[str] = set(names)
    lines: list[str] = []
    for row in vary.filter(pl.col("n_values") > 1).iter_rows(named=True):
        if row["hparam"] not in seen:
            row["same_as"] = [] if row["n_values"] >= max(MANY_RUNS, runs.height - lost) else row["same_as"]
            seen |= {row["hparam"], *row["same_as"]}
            lines.append(_vary_line(row, lost))
    more = [f"and {len(lines) - _HPARAMS} more (find_varying_hparams)"] if len(lines) > _HPARAMS else []
    partly: dict[int, list[str]] = {}
    for row in vary.filter(pl.col("n_values") < 2, ~pl.col("hparam").is_in(list(seen))).iter_rows(named=True):
        partly.setdefault(runs.height - row["n_missing"], []).append(f"{row['hparam']} ({', '.join(row['values'])})")
    some = [f"in {share_of(n, runs.height, 'run')} only: {listed(names, _CONSTANTS)}" for n, names in partly.items()]
    machines, names = [n for n in names if is_machine(n)], [n for n in names if not is_machine(n)]
    named = [f"{listed(names)} identif{'ies' if len(names) == 1 else 'y'} single runs"] if names else []
    named += [f"{listed(machines)}: the machine, no setting"] if machines else []
    return "; ".join([*lines[:_HPARAMS], *more, *some, *named])


def _vary_line(row: Mapping[str, object], lost: int) -> str:
    values, same = cast("list[str]", row["values"]), cast("list[str]", row["same_as"])
    values = [v if len(v) <= _VALUE else f"{v[: _VALUE - 3]}..." for v in values]
    missing = cast("int", row["n_missing"]) - lost
    text = f"{row['hparam']} ({', '.join(values)})"
    text += " [replicate]" if row["replicate"] else ""
    text += f" [missing in {missing}]" if missing else ""
    return text + (f" [same split as {listed(same)}]" if same else "")


def constants_text(runs: pl.DataFrame) -> str:
    varying_names = set(varying_hparams(runs))
    names = [c for c in hparam_columns(runs) if c not in varying_names and runs[c].null_count() < runs.height]
    groups = list(folded(names).items())
    shown = ", ".join(
        f"{c}={runs[c].drop_nulls()[0]}" if own == [c] else f"{c}: {count_of(len(own), 'key')}"
        for c, own in groups[:_CONSTANTS]
    )
    return shown + (f", and {len(groups) - _CONSTANTS} more" if len(groups) > _CONSTANTS else "")


def ends_text(runs: pl.DataFrame) -> str:
    """Lists what programs printed on why they failed or were killed, the most frequent first; numbers and paths may differ."""
    column = f"metadata.{ENDED_WITH}"
    if column not in runs.columns:
        return ""
    kinds = pl.col(column).str.replace_all(r"'[^']*'|\S*/\S*|\d+", "_")
    said = runs.drop_nulls(column).group_by(kinds.alias("kind"), maintain_order=True).agg(pl.first(column), n=pl.len())
    rows = said.sort("n", descending=True, maintain_order=True).select(column, "n").iter_rows()
    return listed([f"{words} ({count_of(n, 'run')})" for words, n in rows], _ENDS)


def metrics_text(table: pl.DataFrame, series: pl.DataFrame, main: Sequence[str], n_runs: int) -> str:
    """Lists metrics, grouped by coverage, the main ones first, each with its goal and range."""
    ends = series.group_by("metric").agg(low=pl.col("min").min(), high=pl.col("max").max())
    first = pl.col("metric").replace_strict(
        {m: i for i, m in enumerate(main)}, default=len(main), return_dtype=pl.Int64
    )
    shown = table.join(ends, on="metric", how="left").sort(first, pl.col("goal") == "unknown", "metric")
    spans: dict[str, list[str]] = {}
    for row in shown.head(_METRICS).iter_rows(named=True):
        cover = "" if row["n_runs"] == n_runs else f" in {share_of(row['n_runs'], n_runs, 'run')}"
        spans.setdefault(f"steps {row['first_step']}-{row['last_step']}{cover}", []).append(_metric(row))
    parts = [f"{', '.join(names)}: {span}" for span, names in spans.items()]
    more = [f"and {table.height - _METRICS} more (list_metrics)"] if table.height > _METRICS else []
    return "; ".join([*parts, *more]) or "none"


def _metric(row: Mapping[str, object]) -> str:
    goal = "" if row["goal"] == "unknown" else f" ({row['goal']} is better)"
    low, high = row["low"], row["high"]
    return f"{row['metric']}{goal}" + (f" {low:.4g} to {high:.4g}" if low is not None and high is not None else "")
