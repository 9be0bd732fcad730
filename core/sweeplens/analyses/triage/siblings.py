"""A run that differs from the repetitions of its own setting by more than they differ among themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from sweeplens.analyses.triage.scene import Finding, Scene, number
from sweeplens.frames import hparam_columns
from sweeplens.grouping import group_hparams, keyed

__all__ = ["outlier"]

_LEAST = 4  # runs of one setting
_CHANCE = 0.0005  # of one sibling lying so far out on one side by luck


def outlier(scene: Scene) -> Iterator[Finding]:
    """The last value of a main metric lies ``sibling_deviations`` from the mean of the other seeds of its setting.

    At least four runs of one setting; the distance must also be one that Student's t gives a chance below 0.05 % on one side,
    and 1 % of the level. Runs that ended long before the others are left to other detectors. medium: worse; low: better.
    """
    table = _settings(scene)
    if table is None:
        return
    for _, rows in table.group_by("setting", "metric", maintain_order=True):
        if rows.height >= _LEAST:
            yield from _odd_ones(rows, scene.thresholds.sibling_deviations)


def _settings(scene: Scene) -> pl.DataFrame | None:
    """run_id, metric, setting, value, w_last, run_last of runs that went about as far as their siblings."""
    if not hparam_columns(scene.runs) or not scene.main:
        return None
    by = group_hparams(scene.runs, (), scene.replicates)
    setting = keyed(scene.runs, by).select(
        "run_id", setting=pl.struct(by).rank("dense") if by else pl.lit(1, dtype=pl.UInt32)
    )
    finite = scene.series.filter(pl.col("metric").is_in(scene.main) & pl.col("last").is_finite())
    table = finite.join(setting, on="run_id").sort("setting", "metric", "run_id")
    usual = pl.col("run_last").median().over("setting", "metric")
    return table.filter(pl.col("run_last") >= scene.thresholds.early_stop_share * usual)


def _odd_ones(rows: pl.DataFrame, deviations: float) -> Iterator[Finding]:
    values = rows["w_last"].to_numpy()
    n = len(values) - 1
    limit = max(deviations, _quantile(n - 1) * (1 + 1 / n) ** 0.5)
    for i in range(n + 1):
        others = np.delete(values, i)
        mean, spread = float(others.mean()), float(others.std(ddof=1))
        away = float(values[i]) - mean
        if abs(away) <= limit * spread or abs(away) <= 0.01 * abs(mean):
            continue
        yield _finding(
            rows.row(i, named=True), rows["last"].gather([j for j in range(n + 1) if j != i]).to_list(), away, spread
        )


def _finding(row: dict[str, object], others: Sequence[float], away: float, spread: float) -> Finding:
    mean = sum(others) / len(others)
    far = f"{abs(away) / spread:.3g} deviations away" if spread else "all alike"
    text = (
        f"{number(float(str(row['last'])))} where {len(others)} siblings have {number(mean)} ± {number(spread)} ({far})"
    )
    return Finding(
        str(row["run_id"]),
        "outlier",
        "medium" if away > 0 else "low",
        str(row["metric"]),
        int(str(row["last_step"])),
        text,
    )


def _quantile(df: int) -> float:
    from scipy.special import stdtrit  # loaded only where there are siblings

    return float(stdtrit(df, 1 - _CHANCE))
