"""Finds the step of each row of a log, from the values in all rows and not from names alone.

A counter can be the axis when it holds whole numbers, is not the same in every row, and hides no value when it is the step.
Where every counter would hide values, its falls are examined. A counter that restarts in each epoch is continued over the
epochs. Where the training went back to a checkpoint the counter is kept, and the last value at a step wins. Values, times or
another counter decide which of the two happened. In all other logs (fractions of an epoch, a step that stays 0) the row's
position is the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import polars as pl
from msgspec import Struct

from sweeplens.readers.decoding.axis_names import EPOCHS, rank_of
from sweeplens.readers.decoding.step_resets import CounterLog, StepReset, went_back
from sweeplens.source_limits import check_time

__all__ = ["Placement", "place_rows"]

_FEW_HIDDEN = 0.25  # share of values: an axis that hides more of them is too coarse
_MANY_ROWS = 3  # fewer rows at the same step are one row that was written again
_EXACT = 2.0**53

How = Literal["axis", "joined", "rewound", "coarse", "rows"]


class Placement(Struct, frozen=True):
    """The step of each row, and how it was found.

    ``axis``: the label of the counter that gives the steps; "" where the row's position is the step.
    ``how``: ``axis``: the counter as it was written, no value is hidden; ``joined``: the counter restarted and was continued;
    ``rewound``: the training went back; ``coarse``: some values share a step; ``rows``: the row's position is the step.
    ``goes_on``: whether rows appended after the last step leave the earlier steps unchanged.
    """

    axis: str
    how: How
    steps: pl.Series  # Int64
    goes_on: bool = False


def place_rows(
    height: int, counters: Mapping[str, pl.Series], long: pl.DataFrame, walls: pl.Series | None = None
) -> Placement:
    """Finds the steps of the rows of one run.

    ``counters``: label -> a value for each row, null where the row has none. ``long``: row, metric, value of all other numbers.
    ``walls``: the time of each row in microseconds, null where it has none. One source may hold very many runs, so the time
    limit of the source is checked for each.
    """
    check_time()
    labels = sorted((c for c in counters if _is_whole(counters[c])), key=rank_of)
    moving = [c for c in labels if not _is_constant(counters[c])]
    steps = {c: _filled(counters[c]) for c in labels}
    for label in moving:
        if not _share_hidden(steps[label], long):
            return Placement(label, "axis", steps[label], goes_on=label == labels[0] and _rises(steps[label]))
    for label in moving:
        placed = _placed_by_falls(label, steps, counters, long, walls)
        if placed is not None:
            return placed
    for label in labels:
        share = _share_hidden(steps[label], long)
        if (share <= _FEW_HIDDEN and (_rises(steps[label]) or not share)) or height < _MANY_ROWS:
            how: How = "coarse" if share else "axis"
            return Placement(label, how, steps[label], goes_on=label == labels[0] and not share)
    return Placement("", "rows", pl.int_range(height, dtype=pl.Int64, eager=True))


def _is_whole(values: pl.Series) -> bool:
    """Whether a counter has values, all of them whole and exact."""
    known = values.drop_nulls()
    if not known.len():
        return False
    if known.dtype == pl.Int64:
        return True
    return bool(((known.floor() == known) & (known.abs() <= _EXACT)).all())


def _is_constant(values: pl.Series) -> bool:
    """Whether a counter has the same value in all rows."""
    known = values.drop_nulls()
    return known.len() > 1 and known.min() == known.max()


def _filled(values: pl.Series) -> pl.Series:
    """Returns a step for each row; a row without one has the step of the row before it."""
    whole = values if values.dtype == pl.Int64 else values.cast(pl.Int64)
    return whole.fill_null(strategy="forward").fill_null(strategy="backward")


def _rises(steps: pl.Series) -> bool:
    return not (steps.diff() < 0).any()


def _share_hidden(steps: pl.Series, long: pl.DataFrame, parts: pl.Series | None = None) -> float:
    """Returns the share of values hidden by another value of the same metric at the same step (in the same part)."""
    if not long.height:
        return 0.0
    rows = long["row"]
    key = long.select("metric", "value", step=steps.gather(rows))
    if parts is not None:
        key = key.with_columns(part=parts.gather(rows))
    distinct = key.unique()
    return (distinct.height - distinct.drop("value").n_unique()) / long.height


def _placed_by_falls(
    label: str,
    steps: Mapping[str, pl.Series],
    counters: Mapping[str, pl.Series],
    long: pl.DataFrame,
    walls: pl.Series | None,
) -> Placement | None:
    """Returns the placement by a counter if its falls explain the hidden values, else None."""
    epochs = next(
        (counters[c].cast(pl.Float64).fill_null(strategy="forward") for c in counters if c in EPOCHS - {label}), None
    )
    begins = _begins(counters[label], epochs)
    parts = _parts(begins, steps[label].len())
    if not begins or _share_hidden(steps[label], long, parts) > _FEW_HIDDEN:
        return None
    log = CounterLog(steps[label], epochs, walls, long)
    ends = [*begins[1:], steps[label].len()]
    resets = [StepReset(a, b, c) for a, b, c in zip([0, *begins], begins, ends, strict=False)]
    rewinds = went_back(resets, log)
    if all(rewinds):
        return Placement(label, "rewound", steps[label])
    return Placement(label, "joined", steps[label] + _offsets(steps[label], begins, rewinds, epochs).gather(parts))


def _begins(counter: pl.Series, epochs: pl.Series | None) -> list[int]:
    """Returns the rows where a counter restarts: it falls, or it stays while the epoch rises. Skips rows without it."""
    there = counter.is_not_null().arg_true()
    change = counter.gather(there).diff()
    again = change < 0
    if epochs is not None:
        again |= (change == 0) & (epochs.gather(there).diff() > 0)
    return there.filter(again.fill_null(value=False)).to_list()


def _parts(begins: Sequence[int], height: int) -> pl.Series:
    """Returns the number of the part that each row is in, from 0."""
    marks = pl.Series([0], dtype=pl.Int64).new_from_index(0, height)
    return marks.scatter(list(begins), 1).cum_sum() if begins else marks


def _offsets(steps: pl.Series, begins: Sequence[int], rewinds: Sequence[bool], epochs: pl.Series | None) -> pl.Series:
    """Returns the offset for the steps of each part, which continues a counter that restarted."""
    found, of_epoch = [0], dict[float | None, int]()
    edges = [0, *begins, steps.len()]
    for place, (begin, is_back) in enumerate(zip(begins, rewinds, strict=True)):
        epoch = epochs[begin] if epochs is not None else None
        before = steps.slice(edges[place], edges[place + 1] - edges[place])
        on = found[-1] + int(before[-1]) + _stride(before) - int(steps[begin])
        found.append(of_epoch.get(epoch, found[-1]) if is_back else on)
        of_epoch[epoch] = found[-1]
    return pl.Series(found, dtype=pl.Int64)


def _stride(steps: pl.Series) -> int:
    """Returns the most frequent rise of a counter from row to row."""
    rises = steps.diff().drop_nulls()
    usual = rises.filter(rises > 0).mode().min()
    return int(cast("int", usual)) if usual is not None else 1
