"""A faster `place_rows` on columns, for the usual case: epochs never fall, and only counts restart.

The result equals that of `place_rows`, which is used for all other blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sweeplens.readers.text.axis import MOST_COUNT, UNNAMED, AxisRow, AxisState, KeyTraits, StepCount, place_rows

__all__ = ["placed_columns"]

_MOST_EVENTS = 20_000  # restarts of counts in one block
_Floats = NDArray[np.float64]


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
    frame = _with_traits(axes, traits)
    odd = pl.any_horizontal(
        (pl.col("epoch").abs() < MOST_COUNT).not_() | pl.col("epoch").is_nan(),
        (pl.col("fine").abs() < MOST_COUNT).not_() | pl.col("fine").is_nan(),
        pl.col("positional"),
        pl.col("eval") & pl.col("fine").is_not_null(),
    )
    if frame.select(odd.fill_null(value=False).any()).item():
        return None
    epochs = frame["epoch"].fill_null(strategy="forward").fill_null(state.epoch if state.epoch is not None else np.nan)
    known = epochs.to_numpy()
    if (np.diff(known, prepend=state.epoch if state.epoch is not None else np.nan) < 0).any():
        return None
    own = frame["fine"].is_not_null()
    counts = _steps(frame.filter(own), known[own.to_numpy()], state)
    if counts is None:
        return None
    return _joined(frame, own, epochs, counts, state)


def _with_traits(axes: pl.DataFrame, traits: Mapping[int, KeyTraits]) -> pl.DataFrame:
    about = pl.DataFrame(
        {
            "key": list(traits),
            "inner": [t.inner for t in traits.values()],
            "named": [t.named for t in traits.values()],
            "eval": [t.eval for t in traits.values()],
            "positional": [t.positional and t.metrics for t in traits.values()],
            "metrics": [t.metrics for t in traits.values()],
            "split": [t.split for t in traits.values()],
        },
        schema_overrides={"key": pl.Int64},
    )
    return axes.join(about, on="key", maintain_order="left")


def _steps(rows: pl.DataFrame, epochs: _Floats, state: AxisState) -> NDArray[np.int64] | None:
    """Returns the steps of rows with a count; None where a count falls and the epoch does not explain it."""
    if not rows.height:
        return np.empty(0, np.int64)
    named = rows["named"]
    if named.n_unique() > 1:
        return None
    name = "" if named[0] else UNNAMED
    counts = rows["fine"].abs().to_numpy()
    totals = rows["total"].fill_null(0.0).to_numpy()
    inner = rows["inner"].to_numpy()
    track = state.counts.get(name) or StepCount(first=float(counts[0]))
    before = np.concatenate(([track.last if track.last is not None else -1.0], counts[:-1]))
    before_epochs = np.concatenate(([track.epoch if track.epoch is not None else np.nan], epochs[:-1]))
    moved = (epochs != before_epochs) & ~(np.isnan(epochs) & np.isnan(before_epochs))
    again = inner & moved & (totals > 0) & (before >= totals) & (counts >= before)
    events = np.flatnonzero((counts < before) | again)
    if len(events) > _MOST_EVENTS:
        return None
    added = np.zeros(rows.height)
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
    track.last, track.base = float(counts[-1]), float(bases[-1])
    track.epoch = None if np.isnan(epochs[-1]) else float(epochs[-1])
    track.total = cast("float | None", rows["total"][-1])
    state.counts[name] = track
    return (bases + counts).astype(np.int64)


def _joined(
    frame: pl.DataFrame, own: pl.Series, epochs: pl.Series, steps: NDArray[np.int64], state: AxisState
) -> pl.DataFrame:
    """Returns the steps of all rows: by their count, by the last count before them, or by the epoch before any count."""
    at = np.cumsum(own.to_numpy()) - 1  # the place of the last count
    first = state.step if state.is_fine and state.step is not None else None
    fine = pl.Series(np.concatenate((steps, [0]))[at], dtype=pl.Int64)
    seen = pl.Series(at >= 0)
    coarse = (
        epochs.fill_nan(None).cast(pl.Int64) if first is None else pl.Series([first]).new_from_index(0, frame.height)
    )
    headers = pl.when(~pl.col("metrics")).then(pl.col("split"))
    under = frame.select(headers.fill_null(strategy="forward").fill_null(state.split))[:, 0]
    step = pl.DataFrame({"seen": seen, "fine": fine, "coarse": coarse}).select(
        pl.when(pl.col("seen")).then(pl.col("fine")).otherwise(pl.col("coarse"))
    )[:, 0]
    run = state.run
    known = epochs.drop_nans()
    if len(known):
        state.epoch = cast("float", known[-1])
        state.first_epoch = cast("float", known[0]) if state.first_epoch is None else state.first_epoch
    if len(steps):
        state.step, state.is_fine = int(steps[-1]), True
    state.split = cast("str", under[-1])
    state.has_rows = state.has_rows or bool(frame["metrics"].any())
    return pl.DataFrame(
        [
            pl.repeat(run, frame.height, dtype=pl.Int64, eager=True).alias("run"),
            step.alias("step"),
            own.alias("own"),
            under.alias("under"),
        ]
    )
