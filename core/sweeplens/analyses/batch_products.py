"""Batch size and gradient accumulation as one setting: 128 x 2 trains like 256 x 1.

    with_batch_products     replaces both hyperparameters by their product, where runs of different factors then are equal

A run that ran out of memory is often repeated with half of the batch and two steps of accumulation. By its factors it would have
no counterpart among the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from sweeplens.readers.decoding.axis_names import folded

__all__ = ["with_batch_products"]

_BATCH = re.compile(
    r"(?:^|_)(?:train_)?(?:micro_)?(?:batch_?size|bs)(?:_per_(?:device|gpu))?$|(?:^|_)(?:micro|local)_batch$"
)
_ACCUMULATION = re.compile(r"(?:^|_)accum(?:ulat\w*)?(?:_|$)")
_EVALUATION = re.compile(r"(?:^|_)(?:eval|val|valid|validation|test)(?:_|$)")


def with_batch_products(runs: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, list[str], tuple[str, ...]]:
    """Returns the runs with the product as a column, the names with it in place of both factors, and the factors.

    Without exactly one batch size and one accumulation of whole numbers, and where the product makes no runs equal, all stay as
    they are, and there are no factors. A run without accumulation has 1.
    """
    batch = _whole(runs, [n for n in names if _BATCH.search(folded(n)) and not _EVALUATION.search(folded(n))])
    steps = _whole(runs, [n for n in names if _ACCUMULATION.search(folded(n))])
    product = f"{batch} x {steps}"
    if not batch or not steps or product in runs.columns:
        return runs, list(names), ()
    with_product = runs.with_columns(
        (pl.col(batch).cast(pl.Int64) * pl.col(steps).cast(pl.Int64).fill_null(1)).alias(product)
    )
    if with_product[product].n_unique() >= runs.select(batch, steps).n_unique():
        return runs, list(names), ()
    return with_product, [product if n == batch else n for n in names if n != steps], (batch, steps)


def _whole(runs: pl.DataFrame, names: Sequence[str]) -> str:
    """Returns the only one of these hyperparameters, if it has whole numbers; else an empty text."""
    return names[0] if len(names) == 1 and runs[names[0]].dtype.is_integer() else ""
