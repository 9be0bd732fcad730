"""Chooses the hyperparameters that pair repetitions of two sides: those in which runs of both sides have partners.

Repetitions may have several names (``fold`` and ``seed``). A fold is a block by its nature: both sides are measured on the same
validation cases. A seed is one only where values correlate. Values of the metric play no part in the choice of names.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.triage.pairs import words
from sweeplens.frames.many_columns import value_sets

__all__ = ["is_fold", "shared_names"]

_DATA = frozenset("fold folds kfold cv split splits bootstrap subject".split())


def is_fold(replicate: str) -> bool:
    """Whether the name of a repetition says which data the run is measured on."""
    return bool(_DATA & set(words(replicate)))


def shared_names(table: pl.DataFrame, names: Sequence[str], within: Sequence[str]) -> list[str]:
    """Returns those of the names in which runs of both sides have partners within the cells of ``within``.

    ``table``: side, and all of these columns. Names without a value that both sides share are left out first. Then one after the
    other goes, that without which most runs have a partner (of equal ones, the one with most values), until half of the runs of
    the smaller side have one.
    """
    of_sides = [table.filter(pl.col("side") == side) for side in "ab"]
    one, other = (value_sets([t[n] for n in names]) for t in of_sides)
    kept = [n for n, ours, theirs in zip(names, one, other, strict=True) if (ours & theirs) - {None}]
    enough = min(t.height for t in of_sides)
    while len(kept) > 1 and _n_partnered(table, [*within, *kept]) < enough:
        fewer = {n: _n_partnered(table, [*within, *(k for k in kept if k != n)]) for n in kept}
        kept.remove(max(kept, key=lambda n: (fewer[n], table[n].n_unique())))
    return kept


def _n_partnered(table: pl.DataFrame, names: Sequence[str]) -> int:
    """Returns the number of runs in cells with runs of both sides."""
    cells = (
        table.drop_nulls(names).group_by(names).agg(pl.col("side").n_unique().alias("sides"), pl.len().alias("runs"))
    )
    return int(cells.filter(pl.col("sides") == 2)["runs"].sum())
