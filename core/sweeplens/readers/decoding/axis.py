"""At which step each row of a log stands, told from all of its rows and not from names alone.

A counter is an axis when it holds whole numbers, is not the same in every row, and no value would be lost if it were the step.
Where every counter would lose some, its falls are judged: a counter that begins again with each epoch goes on over the epochs;
one that went back to be trained again from a checkpoint stays as it is, and the last write stands. Values, times, or another
counter must say which of the two it was. What is left (fractions of an epoch, a step that stays at 0) is counted row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import polars as pl
from msgspec import Struct

from sweeplens.readers.decoding.axis_falls import CounterLog, Fall, judge
from sweeplens.readers.decoding.axis_names import EPOCHS, rank_of

__all__ = ["Placement", "place_rows"]

_FEW_LOST = 0.25  # of the values: an axis on which more of them fall together is too coarse
_MANY_ROWS = 3  # fewer that stand at the same step are one that was written again
_EXACT = 2.0**53

How = Literal["axis", "joined", "rewound", "coarse", "rows"]


class Placement(Struct, frozen=True):
    """The step of each row, and how it came about.

    ``axis``: the label of the counter that the steps come from, "" where rows are counted.
    ``how``: ``axis``: as it was written, and nothing is lost; ``joined``: it began again and goes on; ``rewound``: the training
    went back; ``coarse``: a few values fall together; ``rows``: the position in the log is the step.
    ``goes_on``: whether rows that are appended beyond the last step leave all this as it is.
    """

    axis: str
    how: How
    steps: pl.Series  # Int64
    goes_on: bool = False


def place_rows(
    height: int, counters: Mapping[str, pl.Series], long: pl.DataFrame, walls: pl.Series | None = None
) -> Placement:
    """The placement of the rows of one run.

    ``counters``: label -> a value for each row, null where the row has none. ``long``: row, metric, value of all that is no
    counter. ``walls``: the time of each row in microseconds, null where it has none.
    """
    labels = sorted((c for c in counters if _is_whole(counters[c])), key=rank_of)
    moving = [c for c in labels if not _is_constant(counters[c])]
    steps = {c: _filled(counters[c]) for c in labels}
    for label in moving:
        if not _share_lost(steps[label], long):
            return Placement(label, "axis", steps[label], goes_on=label == labels[0] and _rises(steps[label]))
    for label in moving:
        placed = _explained(label, steps, counters, long, walls)
        if placed is not None:
            return placed
    for label in labels:
        share = _share_lost(steps[label], long)
        if (share <= _FEW_LOST and (_rises(steps[label]) or not share)) or height < _MANY_ROWS:
            how: How = "coarse" if share else "axis"
            return Placement(label, how, steps[label], goes_on=label == labels[0] and not share)
    return Placement("", "rows", pl.int_range(height, dtype=pl.Int64, eager=True))


def _is_whole(values: pl.Series) -> bool:
    """Whether there are numbers, all of them whole and exact."""
    known = values.drop_nulls()
    if not known.len():
        return False
    if known.dtype == pl.Int64:
        return True
    return bool(((known.floor() == known) & (known.abs() <= _EXACT)).all())


def _is_constant(values: pl.Series) -> bool:
    """Whether a counter stays where it is."""
    known = values.drop_nulls()
    return known.len() > 1 and known.min() == known.max()


def _filled(values: pl.Series) -> pl.Series:
    """A step for each row: a row that has none stands where the one before it does."""
    whole = values if values.dtype == pl.Int64 else values.cast(pl.Int64)
    return whole.fill_null(strategy="forward").fill_null(strategy="backward")


def _rises(steps: pl.Series) -> bool:
    return not (steps.diff() < 0).any()


def _share_lost(steps: pl.Series, long: pl.DataFrame, parts: pl.Series | None = None) -> float:
    """The share of the values that another value of the same metric at the same step (of the same part) hides."""
    if not long.height:
        return 0.0
    rows = long["row"]
    key = long.select("metric", "value", step=steps.gather(rows))
    if parts is not None:
        key = key.with_columns(part=parts.gather(rows))
    told = key.unique()
    return (told.height - told.drop("value").n_unique()) / long.height


def _explained(
    label: str,
    steps: Mapping[str, pl.Series],
    counters: Mapping[str, pl.Series],
    long: pl.DataFrame,
    walls: pl.Series | None,
) -> Placement | None:
    """The placement by a counter whose falls explain what it would lose; None where they do not."""
    epochs = next(
        (counters[c].cast(pl.Float64).fill_null(strategy="forward") for c in counters if c in EPOCHS - {label}), None
    )
    begins = _begins(counters[label], epochs)
    parts = _parts(begins, steps[label].len())
    if not begins or _share_lost(steps[label], long, parts) > _FEW_LOST:
        return None
    log = CounterLog(steps[label], epochs, walls, long)
    ends = [*begins[1:], steps[label].len()]
    falls = [Fall(a, b, c) for a, b, c in zip([0, *begins], begins, ends, strict=False)]
    rewinds = judge(falls, log)
    if all(rewinds):
        return Placement(label, "rewound", steps[label])
    return Placement(label, "joined", steps[label] + _offsets(steps[label], begins, rewinds, epochs).gather(parts))


def _begins(counter: pl.Series, epochs: pl.Series | None) -> list[int]:
    """The rows at which a counter begins again: it falls, or it stays while the epoch rises. Rows without it do not count."""
    there = counter.is_not_null().arg_true()
    change = counter.gather(there).diff()
    again = change < 0
    if epochs is not None:
        again |= (change == 0) & (epochs.gather(there).diff() > 0)
    return there.filter(again.fill_null(value=False)).to_list()


def _parts(begins: Sequence[int], height: int) -> pl.Series:
    """The part of the log that each row lies in, from 0."""
    marks = pl.Series([0], dtype=pl.Int64).new_from_index(0, height)
    return marks.scatter(list(begins), 1).cum_sum() if begins else marks


def _offsets(steps: pl.Series, begins: Sequence[int], rewinds: Sequence[bool], epochs: pl.Series | None) -> pl.Series:
    """What is added to the steps of each part, so that a counter that began again goes on."""
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
    """By how much a counter usually rises from row to row."""
    rises = steps.diff().drop_nulls()
    usual = rises.filter(rises > 0).mode().min()
    return int(cast("int", usual)) if usual is not None else 1
