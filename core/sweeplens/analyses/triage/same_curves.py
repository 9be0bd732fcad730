"""Detectors for curves that are equal but should differ: settings never applied, seeds never used, and curves that are an
exact multiple or shift of another run's curve.

Curves are compared by their statistics (length, first, last, extremes with their steps, mean, deviation), which the series frame
has to the last digit: no point is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import is_validation
from sweeplens.counting import count_of
from sweeplens.frames.grouping import is_replicate, keyed, settings_among, varying_hparams
from sweeplens.frames.many_columns import rank_codes

__all__ = ["exact_curves", "multiples", "never_applied", "same_end"]

_EXACT = ("metric", "n", "first_step", "last_step", "first", "last", "min", "max", "min_step", "max_step", "mean")
_LEAST = 5  # points
_LONG = 10
_IDLE = re.compile(
    "log|save|print|output|worker|device|name|path|dir|folder|debug|verbose|resume|wandb|comment|tag|checkpoint"
)
_DIGITS = 1e9
_MEET, _MEET_SHARE = 5, 0.02  # values at which several runs end, in one metric, that are not chance


def never_applied(context: DetectionContext) -> Iterator[Finding]:
    """medium: runs with other settings (``not_applied``) or only other seeds (``seed_not_used``) logged the same values of all
    metrics with a goal, to the last digit; one row a run."""
    varying = settings_among(context.runs, varying_hparams(context.runs), ())
    series = _moving(context)
    if not varying or not series.height:
        return
    series = _printed(series)
    shared = series.filter(pl.col("print").is_duplicated())["run_id"].unique()  # others share no curve with any run
    prints = series.filter(pl.col("run_id").is_in(shared.implode())).group_by("run_id").agg(
        print=pl.col("print").sort().implode().hash(0).first(), metrics=pl.len()
    )  # fmt: skip
    alike = prints.filter(pl.col("print").is_duplicated()).sort("run_id")
    if not alike.height:
        return
    runs = keyed(context.runs.filter(pl.col("run_id").is_in(alike["run_id"].to_list())), varying)
    codes = rank_codes(
        [runs[n] for n in varying]
    )  # one table for all groups: a call of Polars a group and column is slow
    rows = {run: row for row, run in enumerate(runs["run_id"])}
    for _, group in alike.group_by("print", maintain_order=True):
        own = sorted(rows[run] for run in group["run_id"])
        differs = (codes[:, own] != codes[:, own[:1]]).any(axis=1).tolist()
        differing = [n for n, differ in zip(varying, differs, strict=True) if differ]
        yield from _equal(context, runs.select("run_id", *differing)[own], differing, group["metrics"][0])


def exact_curves(context: DetectionContext) -> pl.DataFrame:
    """Returns the long series with a goal that change, with ``print``: equal where curves are equal to the last digit."""
    return _printed(_moving(context).filter(pl.col("n") >= _LONG))


def _printed(series: pl.DataFrame) -> pl.DataFrame:
    mean = pl.col("mean").cast(pl.Float32)  # sums over the same values may differ in the last digit
    parts = [mean if name == "mean" else pl.col(name) for name in _EXACT]
    return series.with_columns(print=pl.struct(parts).hash(0))


def _equal(context: DetectionContext, runs: pl.DataFrame, differing: Sequence[str], metrics: int) -> Iterator[Finding]:
    seeds = [n for n in differing if is_replicate(runs, n, context.replicates)]
    settings = [n for n in differing if n not in seeds and not _idle(n)]
    kind, names = ("not_applied", settings) if settings else ("seed_not_used", seeds)
    if not names:
        return  # copies of one run: answers warn of these elsewhere
    told = "; ".join(
        f"{n} is {listed([str(v) for v in runs[n].unique(maintain_order=True).to_list()])}" for n in names[:3]
    )
    ids = runs["run_id"].to_list()
    text = (
        f"{told}, but all {metrics} metrics with a goal are equal to the last digit in {len(ids)} runs ({listed(ids)})"
    )
    yield from (Finding(run, kind, "medium", "", None, text) for run in ids)


def _idle(hparam: str) -> bool:
    """Returns whether a hyperparameter cannot change the logged values."""
    return _IDLE.search(hparam.lower()) is not None


def multiples(context: DetectionContext) -> Iterator[Finding]:
    """medium: a curve is an exact multiple or shift of another run's in the same metric, over ten points or more; one row a run."""
    series = _moving(context).filter((pl.col("n") >= _LONG) & (pl.col("std") > 1e-9 * pl.col("mean").abs()))
    shape = [
        ((((pl.col(c) - pl.col("mean")) / pl.col("std")) * _DIGITS / 1000).round() + 0.0).alias(f"s_{c}")  # no -0.0
        for c in ("first", "last", "min", "max")
    ]
    series = series.with_columns(shape).filter(
        (pl.col("s_first") + pl.col("s_last")).abs() > 1
    )  # any straight line is a multiple and shift of any other
    key = [
        "metric",
        "n",
        "first_step",
        "last_step",
        "min_step",
        "max_step",
        *(f"s_{c}" for c in ("first", "last", "min", "max")),
    ]
    series = series.filter(pl.struct(key).hash(0).is_duplicated())  # few are left, and what follows takes longer
    alike = series.filter((pl.len().over(key) > 1) & (pl.struct("mean", "std").n_unique().over(key) > 1)).sort(
        "metric", "run_id"
    )
    seen: set[str] = set()
    for _, group in alike.group_by(key, maintain_order=True):
        first = group.row(0, named=True)
        for row in group.iter_rows(named=True):
            other = group.row(1, named=True) if row["run_id"] == first["run_id"] else first
            if row["run_id"] not in seen and not _copy(row, other):
                seen.add(row["run_id"])
                yield Finding(
                    row["run_id"], "multiple", "medium", row["metric"], row["first_step"], _affine(row, other)
                )


def _copy(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Returns whether two curves are equal but for rounding."""
    close = abs(row["mean"] - other["mean"]) <= 1e-6 * abs(row["mean"])
    return close and abs(row["std"] - other["std"]) <= 1e-6 * row["std"]


def _affine(row: dict[str, Any], other: dict[str, Any]) -> str:
    factor = row["std"] / other["std"]
    shift = row["mean"] - factor * other["mean"]
    plus = f" {'+' if shift > 0 else '-'} {number(abs(shift))}" if abs(shift) > 1e-6 * abs(row["mean"]) else ""
    return f"all {row['n']} points are {number(factor)} times those of {other['run_id']}{plus}"


def same_end(context: DetectionContext) -> Iterator[Finding]:
    """low: a training loss ends at exactly the value of another run, but their validation metrics differ; one row a run."""
    series = _moving(context)
    held = {m: is_validation(m) for m in series["metric"].unique().to_list()}
    validation = pl.col("metric").is_in([m for m, v in held.items() if v])
    train = series.filter(validation.not_() & (pl.col("goal") == "lower") & (pl.col("last_finite") != 0))
    train = train.filter(pl.col("last_finite").is_duplicated())
    ends = (
        series.filter(validation & pl.col("run_id").is_in(train["run_id"].implode()))
        .group_by("run_id")
        .agg(print=pl.col("last_finite").sort_by("metric").implode().hash(0).first())
    )
    key = ["metric", "last_step", "last_finite"]
    rows = train.join(ends, on="run_id").filter((pl.len().over(key) > 1) & (pl.col("print").n_unique().over(key) > 1))
    rows = rows.filter(
        (pl.col("last_finite") * 1e4).round() != pl.col("last_finite") * 1e4
    )  # not if few digits are logged
    meet = pl.col("last_finite").n_unique().over("metric")  # equal ends of many runs: few digits are logged
    rows = rows.filter(meet <= pl.max_horizontal(pl.lit(_MEET), _MEET_SHARE * context.runs.height))
    rows = rows.with_columns(runs=pl.len().over(key)).sort("run_id", "metric")
    for row in rows.unique("run_id", keep="first", maintain_order=True).iter_rows(named=True):
        text = (
            f"{row['last_finite']!r} at step {row['last_step']}, as in {count_of(row['runs'] - 1, 'other run')} whose "
            f"validation differs"
        )
        yield Finding(row["run_id"], "same_end", "low", row["metric"], row["last_step"], text)


def _moving(context: DetectionContext) -> pl.DataFrame:
    """Returns the series with a goal that change."""
    return context.series.filter(
        (pl.col("goal") != "unknown") & (pl.col("n_finite") >= _LEAST) & (pl.col("min") < pl.col("max"))
    )
