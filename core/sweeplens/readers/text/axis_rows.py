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


def axis_rows(groups: Sequence[TemplateRows], keys: Mapping[LineTemplate, int]) -> AxisColumns:
    """Returns one row for each line of the groups; ``keys`` are those of the templates."""
    parts = [_of_group(group, keys[group.template]) for group in groups]
    if not parts:
        none = KnownNumbers.of_none(0)
        return AxisColumns(np.zeros(0, np.int64), np.zeros(0, np.int64), none, none, none)
    return _of_bars(_of_boxes(parts[0] if len(parts) == 1 else _in_order(parts), keys), keys)


def _of_group(group: TemplateRows, key: int) -> AxisColumns:
    template, lines = group.template, group.lines.to_numpy()
    fine = _numbers(group, template.fine)
    if template.fine_scale != 1.0:
        fine = KnownNumbers(fine.values * template.fine_scale, fine.known)
    numbers = (_numbers(group, template.epoch), fine, _numbers(group, template.total))
    return AxisColumns(lines, np.full(len(lines), key, np.int64), *numbers)


def _numbers(group: TemplateRows, place: int | None) -> KnownNumbers:
    return KnownNumbers.of_none(len(group.lines)) if place is None else group.tokens.known_numbers(place)


def _in_order(parts: Sequence[AxisColumns]) -> AxisColumns:
    """Returns the rows of several groups in the order of their lines."""
    lines = np.concatenate([p.line for p in parts])
    order = np.argsort(lines, kind="stable")
    columns = [[getattr(p, name) for p in parts] for name in ("epoch", "fine", "total")]
    numbers = (
        KnownNumbers(np.concatenate([n.values for n in c])[order], np.concatenate([n.known for n in c])[order])
        for c in columns
    )
    return AxisColumns(lines[order], np.concatenate([p.key for p in parts])[order], *numbers)


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


def _shared(
    numbers: KnownNumbers, boxed: _Flags, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> KnownNumbers:
    """Gives the rows of each box the greatest number of any of them; other rows keep theirs."""
    mine = numbers.known & boxed
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
