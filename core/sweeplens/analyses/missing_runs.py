"""Runs without a value that share a level of a hyperparameter: they are not missing at random, so that shares may mislead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.levels import levels_of
from sweeplens.analyses.statistics import ALPHA
from sweeplens.frames.grouping import settings_among, varying_hparams

__all__ = ["failure_note", "tail_of_draws"]


def failure_note(runs: pl.DataFrame, used: Sequence[str], replicates: Sequence[str]) -> str:
    """Warns if runs without a value share a level significantly often, so that they are not missing at random."""
    lost = ~pl.col("run_id").is_in(list(used)) | pl.col("status").is_in(("failed", "crashed"))
    marked = runs.with_columns(lost=lost)
    n, gone = marked.height, int(marked["lost"].sum())
    names = settings_among(runs, varying_hparams(runs), replicates)
    if gone < 2 or gone == n or not names:
        return ""
    found: list[tuple[float, str, str, int, int]] = []
    for name in sorted(names):
        levels = levels_of(marked[name])
        counts = (
            pl.DataFrame({"code": levels.codes, "lost": marked["lost"]})
            .group_by("code")
            .agg(pl.len(), pl.col("lost").sum())
        )
        rows: list[tuple[int, int, int]] = counts.rows()
        for code, size, failed in rows:
            p = tail_of_draws(failed, size, gone, n) * len(levels.names) * len(names)
            found.append((p, name, levels.names[code], failed, size))
    p, name, level, failed, size = min(found)
    if p >= ALPHA:
        return ""
    return (
        f"Runs that failed or have no value are not missing at random: {failed} of {size} with {name}={level}, {gone - failed} of"
        f" {n - size} others (p {p:.2g}, corrected over levels)."
    )


def tail_of_draws(failed: int, size: int, gone: int, n: int) -> float:
    """Returns the probability that at least ``failed`` of ``size`` runs drawn from n are among the ``gone`` (hypergeometric)."""
    if failed * n <= size * gone:
        return 1.0  # no more than expected
    total, k = 0.0, failed
    while k <= min(size, gone):
        term = math.exp(_log_ways(gone, k) + _log_ways(n - gone, size - k) - _log_ways(n, size))
        total += term
        k += 1
        if term < 1e-16 * total:
            break
    return min(1.0, total)


def _log_ways(n: int, k: int) -> float:
    """Returns the log of n choose k; minus infinity where it is 0."""
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
