"""Places the rows of a text log by columns: compiled, or row by row with `place_rows` where it is not compiled.

AxisColumns    the axis values of many rows, in the order of the log
placed_columns returns the run and the step of each of them
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.native.row_places import (
    COUNT_FIELDS,
    EVAL,
    INNER,
    METRICS,
    NAMED,
    PASSING,
    POSITIONAL,
    AxisBefore,
    placed_rows,
)
from sweeplens.readers.text.axis import MOST_COUNT, UNNAMED, AxisRow, AxisState, KeyTraits, StepCount, place_rows
from sweeplens.readers.text.known_numbers import KnownNumbers

__all__ = ["AxisColumns", "PlacedColumns", "placed_columns"]

_BITS = (INNER, NAMED, POSITIONAL, METRICS, EVAL, PASSING)
_Flags = NDArray[np.bool_]
_Integers = NDArray[np.int64]


class AxisColumns(Struct, frozen=True):
    """The axis values of rows: the number of the line, the key of its template, its epoch, count and planned total."""

    line: _Integers
    key: _Integers
    epoch: KnownNumbers
    fine: KnownNumbers
    total: KnownNumbers

    def of(self, rows: _Integers | _Flags) -> Self:
        """Returns the values of some rows."""
        numbers = (self.epoch.of(rows), self.fine.of(rows), self.total.of(rows))
        return type(self)(self.line[rows], self.key[rows], *numbers)

    def rows(self) -> list[AxisRow]:
        """Returns one object for each row."""
        columns = self.key.tolist(), self.epoch.listed(), self.fine.listed(), self.total.listed()
        return [AxisRow(*row) for row in zip(*columns, strict=True)]


class PlacedColumns(Struct, frozen=True):
    """The run and the step of each row; whether the row itself has the finest count; the split in the last line without values,
    as a place in ``splits``."""

    run: _Integers
    step: _Integers
    placed: _Flags  # whether there is a step
    own: _Flags
    under: _Integers
    splits: list[str]


def placed_columns(axes: AxisColumns, traits: dict[int, KeyTraits], state: AxisState) -> PlacedColumns:
    """Returns where the rows are, and updates the state."""
    total = axes.total
    usable = KnownNumbers(total.values, total.known & (np.abs(total.values) < MOST_COUNT))
    axes = AxisColumns(axes.line, axes.key, axes.epoch, axes.fine, usable)
    found = _compiled(axes, traits, state) if traits else None
    return found if found is not None else _by_rows(axes, traits, state)


def _by_rows(axes: AxisColumns, traits: dict[int, KeyTraits], state: AxisState) -> PlacedColumns:
    rows = place_rows(axes.rows(), traits, state)
    splits = list({split: None for _, _, _, split in rows})
    places = {split: i for i, split in enumerate(splits)}
    return PlacedColumns(
        run=np.array([run for run, _, _, _ in rows], np.int64),
        step=np.array([step or 0 for _, step, _, _ in rows], np.int64),
        placed=np.array([step is not None for _, step, _, _ in rows], np.bool_),
        own=np.array([own for _, _, own, _ in rows], np.bool_),
        under=np.array([places[split] for _, _, _, split in rows], np.int64),
        splits=splits,
    )


def _compiled(axes: AxisColumns, traits: Mapping[int, KeyTraits], state: AxisState) -> PlacedColumns | None:
    splits = list(dict.fromkeys(["", state.split, *(t.split for t in traits.values())]))
    names = list(dict.fromkeys(["", UNNAMED, *state.counts, *map(_count_of, traits.values())]))
    before = _before(state, splits.index(state.split))
    counts = np.array([_as_numbers(state.counts.get(name)) for name in names])
    numbers = [(n.values, n.known) for n in (axes.epoch, axes.fine, axes.total)]
    found = placed_rows(axes.key, numbers, _traits_of(traits, splits, names), before, counts, splits.index(""))
    if found is None:
        return None
    _update(state, before, splits)
    state.counts = {name: _as_count(row) for name, row in zip(names, counts.tolist(), strict=True) if row[-1]}
    return PlacedColumns(*found, splits)


def _count_of(kind: KeyTraits) -> str:
    """The name of the count in rows of one template."""
    return kind.split if kind.eval else "" if kind.named else UNNAMED


def _traits_of(traits: Mapping[int, KeyTraits], splits: Sequence[str], names: Sequence[str]) -> _Integers:
    found = np.zeros((max(traits) + 1, 3), np.int64)
    for key, t in traits.items():
        has = (t.inner, t.named, t.positional, t.metrics, t.eval, t.passing)
        bits = sum(bit for bit, is_set in zip(_BITS, has, strict=True) if is_set)
        found[key] = bits, splits.index(t.split), names.index(_count_of(t))
    return found


def _before(state: AxisState, split: int) -> AxisBefore:
    return AxisBefore(
        epoch=math.nan if state.epoch is None else state.epoch,
        first_epoch=math.nan if state.first_epoch is None else state.first_epoch,
        run=state.run,
        step=state.step or 0,
        position=state.position,
        has_step=state.step is not None,
        is_fine=state.is_fine,
        has_rows=state.has_rows,
        split=split,
        is_passing=state.is_passing,
    )


def _update(state: AxisState, after: AxisBefore, splits: Sequence[str]) -> None:
    state.epoch, state.first_epoch = _known(after.epoch), _known(after.first_epoch)
    state.run, state.position = after.run, after.position
    state.step = after.step if after.has_step else None
    state.is_fine, state.has_rows, state.is_passing = bool(after.is_fine), bool(after.has_rows), bool(after.is_passing)
    state.split = splits[int(after.split)]


def _as_numbers(count: StepCount | None) -> list[float]:
    if count is None:
        return [math.nan] * len(COUNT_FIELDS) + [0.0]
    values: list[float | None] = [getattr(count, name) for name in COUNT_FIELDS]
    return [*(math.nan if v is None else v for v in values), 1.0]


def _as_count(row: Sequence[float]) -> StepCount:
    last, first, base, epoch, total, _ = row
    return StepCount(_known(last), first, base, _known(epoch), _known(total))


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
