"""The lines of one template: their values as columns, and what they say about the axis of a log."""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.readers.text.axis_columns import AxisColumns
from sweeplens.readers.text.field_values import ValueField
from sweeplens.readers.text.templates import LineTemplate
from sweeplens.readers.text.tokens import TokenColumns

__all__ = [
    "TemplateRows",
    "constant",
    "in_order",
    "key_of",
    "once_before_rows",
    "rival_counts",
    "rows_of",
    "times",
    "value_numbers",
    "without_axis",
]


class TemplateRows(Struct):
    """The lines of one template: their numbers, and their positions in the block."""

    template: LineTemplate
    lines: pl.Series
    tokens: TokenColumns


def times(tokens: TokenColumns, template: LineTemplate, count: int) -> pl.Series:
    if template.wall is None:
        return constant(None, count, READING_SCHEMA["wall_time"])
    return tokens.times(template.wall)


def constant(value: object, count: int, kind: pl.DataType) -> pl.Series:
    """Returns a column with the same value in each row."""
    return pl.Series([value], dtype=kind).new_from_index(0, count)


def value_numbers(tokens: TokenColumns, value: ValueField) -> pl.Series:
    found = tokens.numbers(value.place)
    if value.whole is not None:
        found = found / tokens.numbers(value.whole)
    return found * value.scale if value.scale != 1.0 else found


def rows_of(group: TemplateRows, axes: AxisColumns, key: int) -> tuple[NDArray[np.int64] | slice, TokenColumns]:
    """Returns which rows are of a group, and their tokens. Another group may have the same template."""
    lines = group.lines.to_numpy()
    if np.array_equal(lines, axes.line):
        return slice(None), group.tokens
    rows = np.flatnonzero(axes.key == key)
    some = axes.line[rows]
    if np.array_equal(lines, some):
        return rows, group.tokens
    at = np.searchsorted(lines, some)
    here = (at < len(lines)) & (lines[np.minimum(at, len(lines) - 1)] == some)
    return rows[here], group.tokens.lines(at[here])


def in_order(frames: list[pl.DataFrame], names: list[list[str]]) -> pl.DataFrame:
    """Returns points such that those of one metric are in the order of their lines. ``names``: the metrics of each frame."""
    points = pl.concat(frames)
    is_split = sum(map(len, names)) > len({n for some in names for n in some})
    return points.sort("line", maintain_order=True) if is_split else points


def key_of(template: LineTemplate) -> str:
    """Returns the key of a template in a state."""
    counted = (template.fine_name,) if template.fine_name and not template.values else ()
    places = str(template.epoch), str(template.fine)
    return "\x1f".join((template.prefix, template.split, *places, *counted, *(v.name for v in template.values)))


def without_axis(axes: AxisColumns, templates: dict[int, LineTemplate]) -> list[str]:
    """Returns templates without an axis that goes forward: fractional epochs, constant epochs, or only times."""
    mine = {k: t for k, t in templates.items() if t.is_row and t.fine is None and not t.box}
    if any(t.fine is not None and t.values and not t.bar.startswith("keras") for t in templates.values()):
        return []
    if not any(t.has_axis for t in templates.values()):
        return [key_of(t) for t in mine.values() if t.wall is not None]
    by_epoch = {
        k: pl.Series(axes.epoch.of(axes.key == k).listed(), dtype=pl.Float64)
        for k, t in mine.items()
        if t.epoch is not None
    }
    if any((epochs % 1 != 0).any() for epochs in by_epoch.values()):
        return [key_of(mine[k]) for k in by_epoch]
    still = {k for k, e in by_epoch.items() if len(e) > 2 and 2 * cast("int", (e.diff() == 0).sum()) >= len(e)}
    return [key_of(mine[k]) for k in still]


def once_before_rows(groups: list[TemplateRows]) -> list[str]:
    """Returns templates with an axis that occur once, before all repeated rows: these are settings.

    One with the names of repeated rows is their first row, with another prefix: ``rich`` prints a time only when it changes.
    """
    again = [g for g in groups if len(g.lines) > 2 and g.template.values and (g.template.has_axis or g.template.sure)]
    first = min((cast("int", g.lines.min()) for g in again), default=-1)
    repeated = {_names_in(g.template) for g in again}
    return [
        key_of(g.template)
        for g in groups
        if len(g.lines) == 1
        and g.template.has_axis
        and (g.template.values or g.template.header)
        and g.lines[0] < first
        and _names_in(g.template) not in repeated
    ]


def _names_in(template: LineTemplate) -> tuple[str, ...]:
    """Returns the names in the lines of a template, wherever their numbers are."""
    return (template.split, template.epoch_name, template.fine_name, *(v.name for v in template.values))


def rival_counts(groups: list[TemplateRows]) -> list[str]:
    """Returns templates that only count, by another name than the count that was printed before them: ``Total timesteps: 98304``
    below ``Learning iteration 1/1500``. Only one of them can be the axis."""
    counts = sorted((g for g in groups if g.template.fine is not None and len(g.lines) > 1), key=lambda g: g.lines[0])
    first = counts[0].template if counts else LineTemplate()
    rivals = [
        g.template
        for g in counts
        if not g.template.values and g.template.total is None and not g.template.box and not g.template.pair
    ]
    named = first.fine_name.lower()
    return [key_of(t) for t in rivals if not first.values and t.fine_name.lower() != named]
