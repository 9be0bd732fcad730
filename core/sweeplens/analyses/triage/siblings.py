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
    """Returns the last values of runs about as long as their siblings, with ``kind`` and ``cell``: numbers for the metric, and
    for the setting and metric together, by which rows are grouped faster than by texts."""
    if not hparam_columns(context.runs) or not context.main:
        return None
    runs = context.runs.filter(pl.col("run_id").is_in(runs_without_hparams(context.runs)).not_())
    by = group_hparams(runs, (), context.replicates)
    table = keyed(runs, by)
    settings = table.select(by).unique().with_row_index("setting") if by else pl.DataFrame()
    setting = table.join(settings, on=by, nulls_equal=True) if by else table.with_columns(setting=pl.lit(1))
    finite = context.series.filter(pl.col("metric").is_in(context.main) & pl.col("last").is_finite())
    metric = pl.col("metric").replace_strict({m: i for i, m in enumerate(context.main)}, return_dtype=pl.UInt32)
    values = finite.select("run_id", "metric", "goal", "last", "last_step", "run_last", "w_last", kind=metric)
    table = values.join(setting.select("run_id", "setting"), on="run_id", maintain_order="left")
    table = table.with_columns(cell=pl.col("setting") * len(context.main) + pl.col("kind"))
    table = table.join(table.group_by("cell").agg(usual=pl.col("run_last").median()), on="cell", maintain_order="left")
    return table.filter(pl.col("run_last") >= context.thresholds.early_stop_share * pl.col("usual"))


def _far(table: pl.DataFrame, deviations: float) -> pl.DataFrame:
    """Returns rows far from the mean of the others of their setting, with ``others``, ``mean``, ``spread``, ``away``."""
    centres = table.group_by("cell").agg(centre=pl.col("w_last").mean(), others=pl.len() - 1)
    centres = centres.filter(pl.col("others") >= _LEAST - 1)
    off = pl.col("w_last") - pl.col("centre")  # sums of squares about the mean lose no digits
    table = table.join(centres, on="cell", maintain_order="left").with_columns(off=off)
    off = pl.col("off")
    cells = table.group_by("cell").agg(pl.col("kind", "others").first(), off.sum().alias("sum"), squares=(off**2).sum())
    table = table.join(cells.select("cell", "sum", "squares", _pooled()), on="cell", maintain_order="left")
    shift = (pl.col("sum") - off) / pl.col("others")
    squares = pl.col("squares") - off**2 - pl.col("others") * shift**2
    table = table.with_columns(
        mean=pl.col("centre") + shift,
        spread=(pl.max_horizontal(squares, pl.lit(0.0)) / (pl.col("others") - 1)).sqrt(),
        away=off - shift,
    )
    table = table.with_columns(spread=pl.max_horizontal("spread", "pooled"))
    limits = {n: max(deviations, _quantile(n - 1) * (1 + 1 / n) ** 0.5) for n in table["others"].unique().to_list()}
    limit = pl.col("others").replace_strict(limits, return_dtype=pl.Float64) if limits else pl.lit(deviations)
    far = (pl.col("away").abs() > limit * pl.col("spread")) & (pl.col("away").abs() > 0.01 * pl.col("mean").abs())
    return table.filter(far)


def _pooled() -> pl.Expr:
    """Returns, for each setting and metric, the deviation of the runs of all other settings about their means; 0 without others.

    The degrees of freedom of n runs are n - 1.
    """
    squares, free = pl.col("squares"), pl.col("others")
    apart, degrees = squares.sum().over("kind") - squares, free.sum().over("kind") - free
    return pl.when(degrees > 0).then((apart / degrees).clip(0).sqrt()).otherwise(0.0).alias("pooled")


def _finding(row: dict[str, Any]) -> Finding:
    mean = -row["mean"] if row["goal"] == "higher" else row["mean"]
    alike = row["spread"] <= 1e-9 * abs(mean)
    far = "all alike" if alike else f"{abs(row['away']) / row['spread']:.3g} deviations away"
    text = f"{number(row['last'])} where {row['others']} siblings have {number(mean)} ± {number(row['spread'])} ({far})"
    severity = "medium" if row["away"] > 0 else "low"
    return Finding(row["run_id"], "outlier", severity, row["metric"], row["last_step"], text)


def _quantile(df: int) -> float:
    return t_quantile(df, 1 - _CHANCE)
