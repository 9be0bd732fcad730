"""Finds a metric that was computed differently in some runs: their other curves are equal to the last digit, and this one is not.

Two runs of the same program with the same seed log the same losses. Where a score differs all along, its definition changed:
another normaliser, another evaluation set. Runs before and after such a change cannot be compared by that score.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import polars.selectors as cs

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.same_curves import exact_curves

__all__ = ["rescored"]

_EQUAL = 2  # curves that two runs share
_SHARE = 0.05  # of a curve's own deviation by which its mean must differ
_MOST_VALUES = 8  # of a setting or of metadata that may tell the two kinds of runs apart
_METRICS, _NAMES = 3, 2
_NAME, _VALUE = 80, 40  # characters
_IDENTITY = ("run_id", "name", "status", "format", "source", "group", "parent", "n_steps")


def rescored(context: DetectionContext) -> Iterator[Finding]:
    """medium: two curves or more, of ten points or more, are equal to the last digit in two runs, and the mean of another one with
    the same steps differs by 5 % of its deviation or more; one row for each later run."""
    curves = exact_curves(context)
    pairs = _same_training(curves, context.runs)
    if not pairs.height:
        return
    own = ["run_id", "metric", "n", "first_step", "last_step", "mean", "std", "print"]
    other = curves.select(pl.col("run_id").alias("other"), "metric", *(pl.col(c).alias(f"{c}_there") for c in own[2:]))
    both = pairs.join(curves.select(own), on="run_id").join(other, on=["other", "metric"])
    same_steps = [pl.col(c) == pl.col(f"{c}_there") for c in ("n", "first_step", "last_step")]
    apart = pl.col("mean") - pl.col("mean_there")
    differs = (pl.col("print") != pl.col("print_there")) & (apart.abs() >= _SHARE * pl.col("std_there"))
    found = both.filter(*same_steps, differs).with_columns(apart=apart).sort("run_id", "metric")
    told = _told_apart(context.runs, found)
    for (run_id, there), rows in found.group_by("run_id", "other", maintain_order=True):
        shifts = [f"{m} is {_shift(d)}" for m, d in rows.select("metric", "apart").rows()]
        text = (
            f"{listed(rows['equal'][0].to_list(), _METRICS)} are equal to the last digit in {there}, "
            f"but {listed(shifts, _METRICS)} on average: probably computed differently{told.get(str(run_id), '')}; "
            "do not compare the two"
        )
        yield Finding(str(run_id), "rescored", "medium", rows["metric"][0], rows["last_step"][0], text)


def _shift(apart: float) -> str:
    return f"{number(abs(apart))} {'higher' if apart > 0 else 'lower'}"


def _same_training(curves: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, other, equal: each run with the earliest one that has the same curves, and the metrics of these."""
    curves = curves.select("run_id", "metric", "print").filter(pl.col("print").is_duplicated())
    dated = curves.join(runs.select("run_id", "created_at"), on="run_id").sort("created_at", "run_id", nulls_last=True)
    first = pl.col("run_id").first().over("metric", "print")
    alike = dated.with_columns(other=first).filter(pl.col("run_id") != pl.col("other"))
    pairs = alike.group_by("run_id", "other").agg(equal=pl.col("metric").sort())
    return pairs.filter(pl.col("equal").list.len() >= _EQUAL)


def _told_apart(runs: pl.DataFrame, found: pl.DataFrame) -> dict[str, str]:
    """Returns for each run the settings and metadata with other values than in its pair, where no pair shares a value of them."""
    pairs = found.select("run_id", "other").unique(maintain_order=True)
    texts = runs.select("run_id", pl.col(_few_values(runs)).cast(pl.String))
    here = pairs.join(texts, on="run_id", maintain_order="left")
    there = pairs.join(texts.rename({"run_id": "other"}), on="other", maintain_order="left")
    words: dict[str, list[str]] = {run: [] for run in pairs["run_id"].to_list()}
    for name in texts.columns[1:]:
        own, others = here[name].to_list(), there[name].to_list()
        if None not in own and None not in others and not set(own) & set(others):
            for run, value, other in zip(here["run_id"].to_list(), own, others, strict=True):
                words[run].append(f"{name[:_NAME]} {value[:_VALUE]}, there {other[:_VALUE]}")
    return {run: f" ({'; '.join(said[:_NAMES])})" for run, said in words.items() if said}


def _few_values(runs: pl.DataFrame) -> list[str]:
    """Returns the settings and metadata with two to eight values."""
    kinds = (cs.string() | cs.boolean() | cs.numeric() | cs.categorical()) - cs.by_name(*_IDENTITY, require_all=False)
    counts = runs.select(kinds).select(pl.all().n_unique())
    return (
        [name for name, n in zip(counts.columns, counts.row(0), strict=True) if 2 <= n <= _MOST_VALUES]
        if counts.width
        else []
    )
