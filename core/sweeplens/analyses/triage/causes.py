"""What affected runs share and healthy ones do not: a value, or a bound on a number, of one hyperparameter, with counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np
import polars as pl
from msgspec import Struct

from sweeplens.grouping import is_identifier, is_replicate, keyed, varying_hparams

__all__ = ["shared_causes"]

_CONTRAST = 0.7  # share of the affected runs less the share of the healthy ones
_CHANCE = 0.15  # of runs drawn at random sharing as much
_MOST = 2


class _Cause(Struct, frozen=True):
    label: str
    counts: str
    contrast: float
    chance: float
    runs: bytes  # which of the affected and healthy runs have it


def shared_causes(
    runs: pl.DataFrame, affected: Mapping[str, Sequence[str]], healthy: Sequence[str], replicates: Sequence[str]
) -> dict[str, str]:
    """finding -> what its runs share, as ``optim.lr>=1: 3 of 3 affected, 0 of 9 healthy``; nothing where nothing stands out.

    A condition counts when the affected runs have it more often by 70 points, and a draw of as many runs at random would
    share as much in fewer than 15 % of cases; for a single run, when no healthy one has it. Conditions that the very same
    runs have are told as one.
    """
    names = [n for n in varying_hparams(runs) if not is_replicate(n, replicates) and not is_identifier(runs, n)]
    if not names or not healthy:
        return {}
    table = keyed(runs, names)
    well = table["run_id"].is_in(list(healthy)).to_numpy()
    ill = {finding: table["run_id"].is_in(list(ids)).to_numpy() & ~well for finding, ids in affected.items()}
    found: dict[str, list[_Cause]] = {finding: [] for finding in ill}
    for name in names:
        for finding, mask in ill.items():
            cause = _cause(name, table[name], mask, well)
            found[finding] += [cause] if cause else []
    return {f: _told(causes) for f, causes in found.items() if causes}


def _told(causes: Sequence[_Cause]) -> str:
    """The strongest conditions in words, each with those that cannot be told from it."""
    same: dict[bytes, list[_Cause]] = {}
    for cause in sorted(causes, key=lambda c: (-c.contrast, c.chance)):
        same.setdefault(cause.runs, []).append(cause)
    return "; ".join(_one(group) for group in list(same.values())[:_MOST])


def _one(same: Sequence[_Cause]) -> str:
    first, *others = same
    more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
    twins = f", the same runs as {', '.join(c.label for c in others[:_MOST])}{more}" if others else ""
    return f"{first.label}{twins}: {first.counts}"


def _cause(name: str, column: pl.Series, ill: np.ndarray, well: np.ndarray) -> _Cause | None:
    """The best condition on one hyperparameter: a value held, or a bound where it is a number of three values or more."""
    n_ill, n_well = int(ill.sum()), int(well.sum())
    if not n_ill or not n_well or (n_ill == 1 and 2 * column.n_unique() > len(column)):
        return None  # a single run always has something of its own where values hardly repeat
    known = column.unique().sort()
    codes = column.rank("dense").fill_null(0).to_numpy().astype(int)
    levels = ["(none)", *(_text(v) for v in known.drop_nulls().to_list())]
    a, h = np.bincount(codes[ill], minlength=len(levels)), np.bincount(codes[well], minlength=len(levels))
    bounds = [(f"{name}={levels[i]}", i, i + 1) for i in range(len(levels))]
    if column.dtype.is_numeric() and len(levels) > 3:
        bounds += [(f"{name}>={levels[i]}", i, len(levels)) for i in range(2, len(levels) - 1)]
        bounds += [(f"{name}<={levels[i]}", 1, i + 1) for i in range(2, len(levels) - 1)]
    tries = [(label, int(a[i:j].sum()), int(h[i:j].sum()), i, j) for label, i, j in bounds]
    label, with_a, with_h, i, j = max(tries, key=lambda t: t[1] / n_ill - t[2] / n_well)
    contrast, chance = with_a / n_ill - with_h / n_well, _chance(with_a, n_ill, with_h, n_well)
    if contrast < _CONTRAST or chance >= _CHANCE or (n_ill == 1 and with_h):
        return None
    counts = f"{with_a} of {n_ill} affected, {with_h} of {n_well} healthy"
    runs = ((codes >= i) & (codes < j))[ill | well].tobytes()
    return _Cause(label, counts, contrast, chance, runs)


def _chance(with_a: int, n_ill: int, with_h: int, n_well: int) -> float:
    """Fisher's exact chance, one side, that as many of the affected share it."""
    having, total = with_a + with_h, n_ill + n_well
    ways = sum(comb(having, k) * comb(total - having, n_ill - k) for k in range(with_a, min(having, n_ill) + 1))
    return ways / comb(total, n_ill)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
