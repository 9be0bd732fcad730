"""Collects what the lines of all templates say about the axis of a log, in the order of the log.

The lines of one box share their axis values. Of the states of a progress bar, the last one of each step is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sweeplens.readers.text.axis_columns import AxisColumns
from sweeplens.readers.text.known_numbers import KnownNumbers
from sweeplens.readers.text.template_rows import TemplateRows
from sweeplens.readers.text.templates import LineTemplate

__all__ = ["axis_rows"]

_Flags = NDArray[np.bool_]
_Integers = NDArray[np.int64]


def axis_rows(groups: Sequence[TemplateRows], keys: Mapping[LineTemplate, int]) -> AxisColumns:
    """Returns one row for each line of the groups; ``keys`` are those of the templates."""
    line, places = _in_order([g.lines.to_numpy() for g in groups])
    key = np.zeros(len(line), np.int64)
    for group, at in zip(groups, places, strict=True):
        key[at] = keys[group.template]
    epoch, fine, total = (
        _column(
            [(at, found) for g, at in zip(groups, places, strict=True) if (found := numbers(g)) is not None], len(line)
        )
        for numbers in (_epoch, _fine, _total)
    )
    return _of_bars(_of_boxes(AxisColumns(line, key, epoch, fine, total), keys), keys)


def _in_order(lines: Sequence[_Integers]) -> tuple[_Integers, list[_Integers | slice]]:
    """Returns the lines of all groups in their order, and where those of each group are among them."""
    if len(lines) == 1:
        return lines[0], [slice(None)]
    is_row = np.zeros(max((int(some[-1]) + 1 for some in lines if len(some)), default=0), np.bool_)
    for some in lines:
        is_row[some] = True
    place = np.cumsum(is_row) - 1
    return np.flatnonzero(is_row), [place[some] for some in lines]


def _column(parts: Sequence[tuple[_Integers | slice, KnownNumbers]], count: int) -> KnownNumbers:
    """Returns the numbers of the groups in one column; other rows have none."""
    if len(parts) == 1 and isinstance(parts[0][0], slice):
        return parts[0][1]
    column = KnownNumbers.of_none(count)
    for at, numbers in parts:
        column.values[at], column.known[at] = numbers.values, numbers.known
    return column


def _epoch(group: TemplateRows) -> KnownNumbers | None:
    return _numbers(group, group.template.epoch)


def _fine(group: TemplateRows) -> KnownNumbers | None:
    fine, scale = _numbers(group, group.template.fine), group.template.fine_scale
    return fine if fine is None or scale == 1.0 else KnownNumbers(fine.values * scale, fine.known)


def _total(group: TemplateRows) -> KnownNumbers | None:
    return _numbers(group, group.template.total)


def _numbers(group: TemplateRows, place: int | None) -> KnownNumbers | None:
    return None if place is None else group.tokens.known_numbers(place)


def _are(axes: AxisColumns, some: Sequence[int]) -> _Flags:
    """Whether the template of each row is one of some."""
    among = np.zeros(max(int(axes.key.max(initial=0)), *some) + 1, np.bool_)
    among[list(some)] = True
    return among[axes.key]


def _of_boxes(axes: AxisColumns, keys: Mapping[LineTemplate, int]) -> AxisColumns:
    """Gives all rows of one box the axis values that any of them has."""
    boxes = [k for t, k in keys.items() if t.box or t.pair]
    if not boxes or not (boxed := _are(axes, boxes)).any():
        return axes
    begins = ~boxed
    begins[0] = True
    begins[1:] |= np.diff(axes.line) != 1
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=len(begins))
    epoch, fine = (_shared(numbers, boxed, starts, lengths) for numbers in (axes.epoch, axes.fine))
    found = AxisColumns(axes.line, axes.key, epoch, fine, axes.total)
    loose = [k for t, k in keys.items() if t.pair and not t.sure]
    if not loose:
        return found
    return found.of(~_are(axes, loose) | epoch.known | fine.known)


def _shared(numbers: KnownNumbers, boxed: _Flags, starts: _Integers, lengths: NDArray[np.int64]) -> KnownNumbers:
    """Gives the rows of each box the greatest number of any of them; other rows keep theirs."""
    mine = numbers.known & boxed
    if not mine.any():
        return numbers
    most = np.fmax.reduceat(np.where(mine, numbers.values, np.nan), starts)
    known = np.logical_or.reduceat(mine, starts)
    values = np.where(boxed, np.repeat(most, lengths), numbers.values)
    return KnownNumbers(values, np.where(boxed, np.repeat(known, lengths), numbers.known))


def _of_bars(axes: AxisColumns, keys: Mapping[LineTemplate, int]) -> AxisColumns:
    """Keeps the last state of each step of a progress bar; of a Keras bar only the final state."""
    keras = [k for t, k in keys.items() if t.bar == "keras"]
    unfinished = [k for t, k in keys.items() if t.bar == "keras-unfinished"]
    tqdm = [k for t, k in keys.items() if t.bar == "tqdm"]
    axes = axes.of(~_are(axes, unfinished)) if unfinished else axes
    axes = _final(axes, keras) if keras else axes
    return axes.of(~(_are(axes, tqdm) & _come_again(axes))) if tqdm and len(axes.line) else axes


def _final(axes: AxisColumns, keras: Sequence[int]) -> AxisColumns:
    """Returns rows without the counts of Keras bars, and without the bars that are not full."""
    known = axes.fine.known & axes.total.known
    done = ~known | (axes.fine.values >= axes.total.values) | np.isnan(axes.fine.values)
    axes = axes.of(~_are(axes, keras) | done)
    fine = KnownNumbers(axes.fine.values, axes.fine.known & ~_are(axes, keras))
    return AxisColumns(axes.line, axes.key, axes.epoch, fine, axes.total)


def _come_again(axes: AxisColumns) -> _Flags:
    """Whether the next row has the same template and axis values."""
    again = np.zeros(len(axes.line), np.bool_)
    again[:-1] = axes.key[1:] == axes.key[:-1]
    for numbers in (axes.fine, axes.epoch):
        again[:-1] &= _same(numbers.of(np.arange(len(again) - 1)), numbers.of(np.arange(1, len(again))))
    return again


def _same(one: KnownNumbers, other: KnownNumbers) -> _Flags:
    """Whether numbers are the same; two that are not known are, and two NaN."""
    equal = (one.values == other.values) | (np.isnan(one.values) & np.isnan(other.values))
    return (one.known == other.known) & (equal | ~one.known)
