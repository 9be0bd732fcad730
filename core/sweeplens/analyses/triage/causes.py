"""Finds causes: a value or bound of one hyperparameter that affected runs share and healthy runs do not, with counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.frames.grouping import is_machine, keyed, settings_among, varying_hparams
from sweeplens.frames.many_columns import rank_codes, sorted_values

__all__ = ["shared_causes"]

_CONTRAST = 0.7  # share of the affected runs less the share of the healthy ones
_CHANCE = 0.05  # that random runs share any condition as much
_SHUFFLES = 999
_ROOM = 20_000_000  # bytes of conditions times runs; above this, Bonferroni replaces shuffles
_MOST = 2
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class _SharedCause(Struct, frozen=True):
    label: str
    counts: str
    contrast: float
    chance: float
    runs: bytes  # which of the affected and healthy runs have it


class _ValueOrder(Struct, frozen=True):
    """One hyperparameter: its values in order, the place among them of each run's (from 1; 0: it has none), how many there are.

    A condition is a stretch of these places: first each place alone, then from a place on, then up to a place.
    """

    values: pl.Series
    codes: Counts
    n_unique: int

    def conditions(self) -> tuple[Counts, Counts]:
        """Returns the first and last place of each condition. Bounds exist for numbers only, and not at the ends."""
        levels = len(self.values) + 1
        each, inner = np.arange(levels), np.arange(2, levels - 1)
        if not self.values.dtype.is_numeric():
            return each, each + 1
        return (
            np.concatenate([each, inner, np.ones_like(inner)]),
            np.concatenate([each + 1, np.full_like(inner, levels), inner + 1]),
        )

    def having(self, runs: Mask, low: Counts, high: Counts) -> Counts:
        """Returns how many of these runs meet each condition."""
        up_to = np.cumsum(np.bincount(self.codes[runs] + 1, minlength=len(self.values) + 2))
        return up_to[high] - up_to[low]

    def label(self, condition: int) -> str:
        """Returns the condition in words."""
        low, high = self.conditions()
        levels = len(self.values) + 1
        if condition < levels:
            return f"{self.values.name}={_text(self.values[condition - 1]) if condition else '(none)'}"
        if high[condition] == levels:
            return f"{self.values.name}>={_text(self.values[int(low[condition]) - 1])}"
        return f"{self.values.name}<={_text(self.values[int(high[condition]) - 2])}"


def _splits(columns: Sequence[pl.Series]) -> list[_ValueOrder]:
    values = sorted_values(columns)
    counts = [len(v) + (column.null_count() > 0) for v, column in zip(values, columns, strict=True)]
    return [_ValueOrder(*parts) for parts in zip(values, rank_codes(columns), counts, strict=True)]


def shared_causes(
    runs: pl.DataFrame, affected: Mapping[str, Sequence[str]], healthy: Sequence[str], replicates: Sequence[str]
) -> dict[str, str]:
    """Returns finding -> the condition its runs share, as ``optim.lr>=1: 3 of 3 affected, 0 of 9 healthy``; none: no entry.

    A condition counts when the affected runs have it more often by 70 points, and when as many runs drawn at random would find any
    condition, of all that were tried, as unlikely by Fisher's exact chance in fewer than 5 % of cases (999 draws with a fixed seed;
    Bonferroni where that would be too much work). Conditions met by the same runs are reported as one.
    """
    vary = varying_hparams(runs)
    settings = set(settings_among(runs, vary, [p for p in replicates if not p.startswith("!")]))
    names = [n for n in vary if is_machine(n) or n in settings]
    if not names or not healthy:
        return {}
    table = keyed(runs, names)
    well = table["run_id"].is_in(list(healthy)).to_numpy()
    ill = {finding: table["run_id"].is_in(list(ids)).to_numpy() & ~well for finding, ids in affected.items()}
    found: dict[str, list[_SharedCause]] = {finding: [] for finding in ill}
    splits = _splits([table[n] for n in names])
    for split in splits:
        for finding, mask in ill.items():
            cause = _cause(split, mask, well)
            found[finding] += [cause] if cause else []
    tried = _conditions(splits, table.height)
    bounds = {f: _bound(tried, mask, well) for f, mask in ill.items() if found[f]}
    kept = {f: [c for c in causes if c.chance <= bounds[f]] for f, causes in found.items() if causes}
    return {f: _described(causes) for f, causes in kept.items() if causes}


def _conditions(splits: Sequence[_ValueOrder], n_runs: int) -> Mask:
    """Returns every condition as a row of the runs that meet it; perfectly confounded conditions once."""
    rows: list[Mask] = []
    for split in splits:
        low, high = split.conditions()
        if len(low) * n_runs <= _ROOM:
            rows.append((split.codes >= low[:, None]) & (split.codes < high[:, None]))
    every = np.concatenate(rows) if rows else np.zeros((0, n_runs), dtype=np.bool_)
    if every.size > _ROOM:
        return every
    packed = np.packbits(every, axis=1)
    first = {packed[i].tobytes(): i for i in reversed(range(len(every)))}
    return every[sorted(first.values())]


def _bound(conditions: Mask, ill: Mask, well: Mask) -> float:
    """Returns the limit on p: in 95 % of random draws of the affected runs, no condition has a lower one."""
    runs = np.flatnonzero(ill | well)
    n_ill, tried = int(ill.sum()), max(len(conditions), 1)
    if conditions[:, runs].size * 4 > _ROOM or len(runs) * _SHUFFLES > _ROOM:
        return _CHANCE / tried
    having = conditions[:, runs].astype(np.float32)
    rng = np.random.default_rng(0)
    draws = np.zeros((len(runs), _SHUFFLES), dtype=np.float32)
    for i in range(_SHUFFLES):
        draws[rng.choice(len(runs), n_ill, replace=False), i] = 1
    shared = (having @ draws).astype(np.int64)
    totals = having.sum(axis=1).astype(np.int64)
    least = _chances(shared, totals[:, None], n_ill, len(runs)).min(axis=0)
    return float(np.sort(least)[int(_CHANCE * (_SHUFFLES + 1)) - 1]) * (1 - 1e-9)


def _chances(shared: Counts, totals: Counts, n_ill: int, total: int) -> NDArray[np.float64]:
    """Returns the p value of Fisher's exact test, one-sided, for each count."""
    from scipy.stats import hypergeom  # loaded only where a cause is looked for

    return np.asarray(hypergeom.sf(shared - 1, total, totals, n_ill), dtype=np.float64)


def _described(causes: Sequence[_SharedCause]) -> str:
    """Returns the strongest conditions in words, each with those that the same runs meet."""
    same: dict[bytes, list[_SharedCause]] = {}
    for cause in sorted(causes, key=lambda c: (-c.contrast, c.chance)):
        same.setdefault(cause.runs, []).append(cause)
    return "; ".join(_one(group) for group in list(same.values())[:_MOST])


def _one(same: Sequence[_SharedCause]) -> str:
    first, *others = same
    more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
    twins = f", the same runs as {', '.join(c.label for c in others[:_MOST])}{more}" if others else ""
    return f"{first.label}{twins}: {first.counts}"


def _cause(split: _ValueOrder, ill: Mask, well: Mask) -> _SharedCause | None:
    """Returns the best condition on one hyperparameter: a value, or a bound if it is a number with three values or more."""
    n_ill, n_well = int(ill.sum()), int(well.sum())
    if not n_ill or not n_well or (n_ill == 1 and 2 * split.n_unique > len(split.codes)):
        return None  # if values hardly repeat, a single run always has one of its own
    low, high = split.conditions()
    some, others = (split.having(mask, low, high) for mask in (ill, well))
    contrasts = some / n_ill - others / n_well
    best = int(contrasts.argmax())
    with_a, with_h, contrast = int(some[best]), int(others[best]), float(contrasts[best])
    if contrast < _CONTRAST or (n_ill == 1 and with_h):
        return None
    chance = _chance(with_a, n_ill, with_h, n_well)
    if chance >= _CHANCE:
        return None  # not even as the only condition tried
    counts = f"{with_a} of {n_ill} affected, {with_h} of {n_well} healthy"
    runs = ((split.codes >= low[best]) & (split.codes < high[best]))[ill | well].tobytes()
    return _SharedCause(split.label(best), counts, contrast, chance, runs)


def _chance(with_a: int, n_ill: int, with_h: int, n_well: int) -> float:
    """Returns the p value of Fisher's exact test, one-sided, that so many affected runs share it."""
    having, total = with_a + with_h, n_ill + n_well
    ways = sum(comb(having, k) * comb(total - having, n_ill - k) for k in range(with_a, min(having, n_ill) + 1))
    return ways / comb(total, n_ill)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
