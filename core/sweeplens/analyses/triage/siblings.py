"""Detector for outliers: runs that differ from the repetitions of their setting more than these differ among themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.frames.grouping import group_hparams, keyed, runs_without_hparams
from sweeplens.frames.schemas import hparam_columns
from sweeplens.probability.student_t import t_quantile

__all__ = ["outlier"]

_LEAST = 4  # runs of one setting
_CHANCE = 0.0005  # chance that one sibling lies so far out on one side


def outlier(context: DetectionContext) -> Iterator[Finding]:
    """The last value of a main metric lies ``sibling_deviations`` from the mean of the other seeds of its setting.

    The deviation is the larger of that of its siblings and that of the runs of all other settings about their means. A setting
    needs at least four runs. The one-sided chance by Student's t must be below 0.05 %, and the distance at least 1 % of the
    level. Runs that ended long before the others are left to other detectors. medium: worse; low: better.
    """
    table = _settings(context)
    if table is None:
        return
    for row in _far(table, context.thresholds.sibling_deviations).iter_rows(named=True):
        yield _finding(row)


def _settings(context: DetectionContext) -> pl.DataFrame | None:
    """Returns run_id, metric, setting, value, w_last, run_last of runs about as long as their siblings."""
    if not hparam_columns(context.runs) or not context.main:
        return None
    runs = context.runs.filter(pl.col("run_id").is_in(runs_without_hparams(context.runs)).not_())
    by = group_hparams(runs, (), context.replicates)
    setting = keyed(runs, by).select(
        "run_id", setting=pl.struct(by).rank("dense") if by else pl.lit(1, dtype=pl.UInt32)
    )
    finite = context.series.filter(pl.col("metric").is_in(context.main) & pl.col("last").is_finite())
    table = finite.join(setting, on="run_id").sort("setting", "metric", "run_id")
    usual = pl.col("run_last").median().over("setting", "metric")
    return table.filter(pl.col("run_last") >= context.thresholds.early_stop_share * usual)


def _far(table: pl.DataFrame, deviations: float) -> pl.DataFrame:
    """Returns rows far from the mean of the others of their setting, with ``others``, ``mean``, ``spread``, ``away``."""
    own = ["setting", "metric"]
    centre = pl.col("w_last").mean().over(own)  # sums of squares about it lose no digits
    table = table.with_columns(centre=centre, others=pl.len().over(own) - 1).filter(pl.col("others") >= _LEAST - 1)
    off = pl.col("w_last") - pl.col("centre")
    shift = (off.sum().over(own) - off) / pl.col("others")
    squares = (off**2).sum().over(own) - off**2 - pl.col("others") * shift**2
    table = table.with_columns(
        mean=pl.col("centre") + shift,
        spread=(pl.max_horizontal(squares, pl.lit(0.0)) / (pl.col("others") - 1)).sqrt(),
        away=off - shift,
    )
    table = table.with_columns(spread=pl.max_horizontal("spread", _pooled(own)))
    limits = {n: max(deviations, _quantile(n - 1) * (1 + 1 / n) ** 0.5) for n in table["others"].unique().to_list()}
    limit = pl.col("others").replace_strict(limits, return_dtype=pl.Float64) if limits else pl.lit(deviations)
    far = (pl.col("away").abs() > limit * pl.col("spread")) & (pl.col("away").abs() > 0.01 * pl.col("mean").abs())
    return table.filter(far)


def _pooled(own: list[str]) -> pl.Expr:
    """Returns the deviation of the runs of all other settings about their means; 0 if none has two runs."""
    squares = (pl.col("w_last") - pl.col("centre")) ** 2
    free = 1 - 1 / (pl.col("others") + 1)  # degrees of freedom a run: those of n runs add up to n - 1
    apart = squares.sum().over("metric") - squares.sum().over(own)
    degrees = free.sum().over("metric") - free.sum().over(own)
    return pl.when(degrees > 0.5).then((apart / degrees).clip(0).sqrt()).otherwise(0.0)


def _finding(row: dict[str, Any]) -> Finding:
    mean = -row["mean"] if row["goal"] == "higher" else row["mean"]
    alike = row["spread"] <= 1e-9 * abs(mean)
    far = "all alike" if alike else f"{abs(row['away']) / row['spread']:.3g} deviations away"
    text = f"{number(row['last'])} where {row['others']} siblings have {number(mean)} ± {number(row['spread'])} ({far})"
    severity = "medium" if row["away"] > 0 else "low"
    return Finding(row["run_id"], "outlier", severity, row["metric"], row["last_step"], text)


def _quantile(df: int) -> float:
    return t_quantile(df, 1 - _CHANCE)
