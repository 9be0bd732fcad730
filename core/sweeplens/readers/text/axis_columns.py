"""A faster `place_rows` on columns, for the usual case: epochs never fall, and only counts restart.

The result equals that of `place_rows`, which is used for all other blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.readers.text.axis import MOST_COUNT, UNNAMED, AxisRow, AxisState, KeyTraits, StepCount, place_rows

__all__ = ["placed_columns"]

_MOST_EVENTS = 20_000  # restarts of counts in one block
_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]


def placed_columns(axes: pl.DataFrame, traits: dict[int, KeyTraits], state: AxisState) -> pl.DataFrame:
    """Returns ``run``, ``step``, ``own`` and ``under`` for rows with ``key``, ``epoch``, ``fine`` and ``total``."""
    found = _by_columns(axes, traits, state) if axes.height else None
    if found is not None:
        return found
    rows = [AxisRow(*r) for r in axes.select("key", "epoch", "fine", "total").iter_rows()]
    where = place_rows(rows, traits, state)
    return pl.DataFrame(
        where, schema={"run": pl.Int64, "step": pl.Int64, "own": pl.Boolean, "under": pl.String}, orient="row"
    )


def _by_columns(axes: pl.DataFrame, traits: Mapping[int, KeyTraits], state: AxisState) -> pl.DataFrame | None:
    has_epoch, own = axes["epoch"].is_not_null().to_numpy(), axes["fine"].is_not_null().to_numpy()
    epochs, counts = axes["epoch"].to_numpy(), axes["fine"].to_numpy()
    about = _traits_of(axes["key"].to_numpy(), traits)
    if _any_odd(epochs, has_epoch) or _any_odd(counts, own) or about.positional.any() or (about.eval & own).any():
        return None
    first = state.epoch if state.epoch is not None else np.nan
    known = _filled(epochs, has_epoch, first)
    if (np.diff(known, prepend=first) < 0).any():
        return None
    totals = axes["total"].fill_null(0.0).to_numpy()
    steps, ends = np.zeros(axes.height, np.int64), dict[str, StepCount]()
    for name, mine in ((name, np.flatnonzero(own & (about.named == (name == "")))) for name in ("", UNNAMED)):
        if not len(mine):
            continue
        found = _steps(_CountedRows(counts[mine], totals[mine], about.inner[mine], known[mine]), state.counts.get(name))
        if found is None:
            return None
        steps[mine], ends[name] = found
        ends[name].total = cast("float | None", axes["total"][int(mine[-1])])
    state.counts.update(ends)
    return _joined(about, (own, has_epoch), known, steps, state)


class _RowTraits(Struct):
    """The traits of each row."""

    inner: _Flags
    named: _Flags
    eval: _Flags
    positional: _Flags
    metrics: _Flags
    passing: _Flags
    splits: list[str]  # of each key
    keys: NDArray[np.int64]  # of each row, as places in ``splits``


def _traits_of(keys: NDArray[np.int64], traits: Mapping[int, KeyTraits]) -> _RowTraits:
    places = np.zeros(max(traits) + 1, np.int64)
    places[list(traits)] = np.arange(len(traits))
    at, kinds = places[keys], list(traits.values())
    flags = np.array(
        [(t.inner, t.named, t.eval, t.positional and t.metrics, t.metrics, t.passing) for t in kinds], np.bool_
    ).T
    inner, named, evals, positional, metrics, passing = (column[at] for column in flags)
    return _RowTraits(inner, named, evals, positional, metrics, passing, [t.split for t in kinds], at)


def _any_odd(numbers: _Floats, known: _Flags) -> bool:
    return bool((known & ~(np.abs(numbers) < MOST_COUNT)).any())


def _filled(numbers: _Floats, known: _Flags, first: float) -> _Floats:
    """Returns numbers with those that are not known as the last one before."""
    at = np.cumsum(known)
    return np.concatenate(([first], numbers[known]))[at]


class _CountedRows(Struct):
    """The rows of one count, and their epochs."""

    counts: _Floats
    totals: _Floats
    inner: _Flags
    epochs: _Floats


def _steps(rows: _CountedRows, known: StepCount | None) -> tuple[NDArray[np.int64], StepCount] | None:
    """Returns the steps of the rows and the state of the count; None where a count falls and the epoch does not explain it."""
    counts, totals, inner, epochs = np.abs(rows.counts), rows.totals, rows.inner, rows.epochs
    track = known or StepCount(first=float(counts[0]))
    before = np.concatenate(([track.last if track.last is not None else -1.0], counts[:-1]))
    before_epochs = np.concatenate(([track.epoch if track.epoch is not None else np.nan], epochs[:-1]))
    moved = (epochs != before_epochs) & ~(np.isnan(epochs) & np.isnan(before_epochs))
    again = inner & moved & (totals > 0) & (before >= totals) & (counts >= before)
    events = np.flatnonzero((counts < before) | again)
    if len(events) > _MOST_EVENTS:
        return None
    added = np.zeros(len(counts))
    for i in events:
        over = epochs[i] > before_epochs[i]
        if again[i]:
            added[i] = totals[i]
        elif over or inner[i] or epochs[i] == before_epochs[i]:
            length = totals[i] if totals[i] and totals[i] >= before[i] else before[i] + (1 if counts[i] < 1 else 0)
            added[i] = length * (max(1.0, epochs[i] - before_epochs[i]) if over and totals[i] else 1.0)
        else:
            return None
    bases = track.base + np.cumsum(added)
    epoch = None if np.isnan(epochs[-1]) else float(epochs[-1])
    return (bases + counts).astype(np.int64), StepCount(float(counts[-1]), track.first, float(bases[-1]), epoch)


def _joined(
    about: _RowTraits, axes: tuple[_Flags, _Flags], epochs: _Floats, steps: NDArray[np.int64], state: AxisState
) -> pl.DataFrame:
    """Returns the steps of all rows: by their count, by the last count before them, or by the epoch before any count.

    ``axes``: whether each row has a count, and whether it has an epoch.
    """
    own, has_epoch = axes
    at = np.cumsum(own)  # how many counts there were
    first = state.step if state.is_fine and state.step is not None else None
    fine = np.concatenate(([first or 0], steps[own]))[at]
    coarse = np.isnan(epochs)
    step = pl.Series(fine)
    if first is None and not at[0]:
        by_epoch = pl.Series(np.where(coarse, 0.0, epochs).astype(np.int64)).set(pl.Series(coarse), None)
        step = pl.select(pl.when(pl.Series(at > 0)).then(step).otherwise(by_epoch)).to_series()
    under = _splits_under(about, own | has_epoch, state)
    known = epochs[~coarse]
    if len(known):
        state.epoch = float(known[-1])
        state.first_epoch = float(known[0]) if state.first_epoch is None else state.first_epoch
    if at[-1]:
        state.step, state.is_fine = int(fine[-1]), True
    state.has_rows = state.has_rows or bool(about.metrics.any())
    run = pl.repeat(state.run, len(own), dtype=pl.Int64, eager=True)
    return pl.DataFrame([run.alias("run"), step.alias("step"), pl.Series("own", own), under.alias("under")])


def _splits_under(about: _RowTraits, has_axis: _Flags, state: AxisState) -> pl.Series:
    """Returns the split in the last line without values, for each row, and updates that of the state.

    A line that only names a split holds until a row with values has an axis of its own.
    """
    if about.metrics.all() and not state.is_passing:
        return pl.repeat(state.split, len(about.keys), dtype=pl.String, eager=True)
    none, before = len(about.splits), len(about.splits) + 1
    names = pl.Series([*about.splits, "", state.split], dtype=pl.String)
    passing = _filled(about.passing.astype(np.float64), ~about.metrics, float(state.is_passing)) > 0
    ends = about.metrics & has_axis & passing
    keys = np.where(ends, none, about.keys).astype(np.float64)
    at = _filled(keys, ends | ~about.metrics, float(before)).astype(np.int64)
    state.split = cast("str", names[int(at[-1])])
    state.is_passing = bool(passing[-1]) and at[-1] != none
    return names.gather(at)
