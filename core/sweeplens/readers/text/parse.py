"""Parses text into rows and points, for a whole text log, a part of it, or a sample.

`TextParser.feed` takes whole lines. Its state, which is JSON, holds what it needs from earlier lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.readers.text.axis import AxisState, KeyTraits
from sweeplens.readers.text.axis_columns import AxisColumns, PlacedColumns, placed_columns
from sweeplens.readers.text.axis_rows import axis_rows
from sweeplens.readers.text.blocks import LineGroup, LineKind, TextBlock, block_of
from sweeplens.readers.text.columns import column_template, header_names
from sweeplens.readers.text.dialect import PLAIN, LogDialect, dialect_of, rewritten
from sweeplens.readers.text.field_values import ValueField
from sweeplens.readers.text.lines import HOLE, bare_shape, tokens_of
from sweeplens.readers.text.template_rows import (
    TemplateRows,
    constant,
    in_order,
    key_of,
    once_before_rows,
    rival_counts,
    rows_of,
    times,
    value_numbers,
    without_axis,
)
from sweeplens.readers.text.templates import LineTemplate, may_be_row, template_of

__all__ = ["ParsedLogText", "TextParser"]

_EVALS = frozenset({"val", "valid", "test", "eval", "dev"})
_MOST_SHAPES = 200_000  # that are cached
_MOST_NAMES = 1000  # whose columns are kept
_MOST_PARTS = 64  # different names of one shape
_TAIL = 4096  # characters that are kept of a text
_ABOVE = 3  # lines above a row of numbers that may be its header


class ParsedLogText(Struct):
    """The result of parsing some lines."""

    axes: AxisColumns  # of all rows
    points: pl.DataFrame  # line, run, metric, step, value, wall_time
    templates: dict[int, LineTemplate]
    unplaced: int = 0  # rows before the first step
    unread: int = 0  # values that are not numbers
    first_unread: int = -1
    lines: int = 0  # ends of lines


class _Sections(Struct, frozen=True):
    """The section of a box for each line up to the last one that begins a section, as a place in a list; the first one is for
    what is before the first line."""

    at: NDArray[np.int64]
    names: list[str]

    def of(self, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the sections of some lines."""
        return self.at[np.minimum(lines + 1, len(self.at) - 1)]


class _RowColumns(Struct, frozen=True):
    """The rows of a group: their lines, and the split above each as a place in a list."""

    lines: NDArray[np.int64]
    under: NDArray[np.int64]
    splits: list[str]


class TextParser:
    """Parses one text log from its beginning, or from a saved state."""

    def __init__(
        self, path: str, state: dict[str, Any] | None = None, *, blocks: Callable[[bytes], TextBlock] = block_of
    ) -> None:
        self.path, self._block_of = path, blocks
        saved = state or {}
        self.axis = msgspec.convert(saved["axis"], AxisState) if "axis" in saved else AxisState()
        self.headers: dict[str, list[str]] = dict(saved.get("headers") or {})
        self.fine_names: set[str] = set(saved.get("fine_names") or ())
        self.coarse: dict[str, list[str]] = dict(
            saved.get("coarse") or {}
        )  # key of a template -> names that get a prefix
        self.positional: list[str] | None = saved.get(
            "positional"
        )  # keys of templates whose position is their only axis
        self.settings: list[str] = list(
            saved.get("settings") or ()
        )  # keys of templates that look like an axis but are a setting
        self.dialect = msgspec.convert(saved["dialect"], LogDialect) if "dialect" in saved else None
        self.above = str(saved.get("above") or "")  # the last lines that were read
        self.section = str(saved.get("section") or "")
        self.shapes: dict[str, int] = {}  # count of lines of each shape with a template
        self._shapes: dict[str, LineTemplate | None] = {}
        self._names: dict[str, pl.Series] = {}  # columns of one name
        self._no_rows: set[str] = set()  # shapes that cannot be those of rows
        self._keys: dict[LineTemplate, int] = {}

    def state(self) -> dict[str, Any]:
        """Returns the state for a later reading, as JSON values."""
        return {
            "axis": msgspec.to_builtins(self.axis),
            "dialect": msgspec.to_builtins(self.dialect or PLAIN),
            "headers": self.headers,
            "fine_names": sorted(self.fine_names),
            "coarse": self.coarse,
            "positional": self.positional or [],
            "section": self.section,
            "settings": self.settings,
            "above": self.above,
        }

    # -------------------------------------------------------------- lines to rows

    def feed(self, text: bytes) -> ParsedLogText:
        """Parses whole lines in UTF-8."""
        self.dialect = self.dialect or dialect_of(text)
        text = rewritten(text, self.dialect)
        block = self._block_of(text)
        groups = self._groups(block, text)
        templates = {self._keys.setdefault(g.template, len(self._keys)): g.template for g in groups}
        axes = axis_rows(groups, self._keys)
        if self.positional is None:
            self.settings = [*once_before_rows(groups), *rival_counts(groups)]
            self.positional = without_axis(axes, templates)
        alone = [k for k, t in templates.items() if key_of(t) in self.settings]
        axes = axes.of(~np.isin(axes.key, alone)) if alone else axes
        self.above = _last_of(text)
        parsed = self._placed(groups, axes, templates)
        parsed.lines = block.ends
        return parsed

    def _groups(self, block: TextBlock, text: bytes) -> list[TemplateRows]:
        """Returns the lines that have a template, by template."""
        of = np.full(len(block.kinds), -1, np.int64)
        at: dict[LineTemplate, int] = {}
        no_rows = self._shapes_of_no_rows(block.kinds)
        for i, kind in enumerate(block.kinds):
            if kind.shape not in no_rows and (found := self._template(kind, text)) is not None:
                of[i] = at.setdefault(found, len(at))
                if not found.is_split_header:
                    bare = bare_shape(kind.shape)
                    self.shapes[bare] = self.shapes.get(bare, 0) + kind.count
        groups: list[TemplateRows] = []
        for template, lines in zip(at, block.groups(of, len(at)) if at else (), strict=True):
            rows = TemplateRows(template, lines.lines, lines.tokens)
            groups += self._split_names(rows, lines, block.kinds) if template.parts else [rows]
        return [TemplateRows(g.template, g.lines, g.tokens.loaded(g.template.places)) for g in groups]

    def _shapes_of_no_rows(self, kinds: list[LineKind]) -> set[str]:
        """Returns the shapes that cannot be those of rows; those of earlier lines need no second look."""
        known = self._no_rows
        unknown = [k.shape for k in kinds if k.shape not in self._shapes and k.shape not in known]
        if unknown:
            known.update(pl.DataFrame({"shape": unknown}).filter(~may_be_row())["shape"].to_list())
        if len(known) >= _MOST_SHAPES:
            self._no_rows = set()
        return known

    def _template(self, kind: LineKind, text: bytes) -> LineTemplate | None:
        shape, first = kind.shape, kind.text
        if shape in self._shapes and not (self._shapes[shape] or LineTemplate()).columns:
            return self._shapes[shape]
        tokens = tokens_of(first)
        found = template_of(shape, tokens)
        if found is not None and found.columns:
            key, count = f"{'label ' * bool(found.label)}{len(found.columns)}", len(found.columns) + bool(found.label)
            if key not in self.headers:
                self.headers[key] = header_names(_lines_above(self.above, text, kind.line), count, first)
            found = column_template(self.headers[key], tokens, found, self.path)
        if len(self._shapes) < _MOST_SHAPES:
            self._shapes[shape] = found
        return found

    def _split_names(self, rows: TemplateRows, lines: LineGroup, kinds: list[LineKind]) -> list[TemplateRows]:
        """Splits lines whose names contain numbers: each combination of these numbers gets its own template."""
        places = rows.template.parts
        names = pl.select(pl.concat_str([pl.lit(rows.tokens.texts(p)) for p in places], separator="\x00")).to_series()
        named = pl.DataFrame({"shape": lines.shapes, "names": names}).with_row_index("row")
        groups: list[TemplateRows] = []
        for (shape, name), few in named.partition_by("shape", "names", maintain_order=True, as_dict=True).items():
            if name is None or len(groups) >= _MOST_PARTS:
                continue
            text = kinds[cast("int", shape)].shape
            at = few["row"].to_numpy().astype(np.int64)
            tokens = rows.tokens.of_line(int(at[0]), text.count(HOLE))
            kept = [i for i in range(len(tokens)) if i not in places]
            template = template_of(_filled(text, tokens, places), [tokens[i] for i in kept])
            if template is None or template.parts or template.columns:
                continue
            groups.append(TemplateRows(template, rows.lines[at], rows.tokens.lines(at).kept(kept)))
        return groups

    # -------------------------------------------------------------- rows to steps

    def _placed(
        self, groups: list[TemplateRows], axes: AxisColumns, templates: dict[int, LineTemplate]
    ) -> ParsedLogText:
        traits = {k: self._traits(t) for k, t in templates.items()}
        where = placed_columns(axes, traits, self.axis)
        self._name_coarse(axes, where, templates)
        parsed = ParsedLogText(axes, _no_points(), templates)
        sections = self._sections(groups)
        found = [p for g in groups if g.template.is_row for p in self._points(g, where, parsed, sections)]
        if found:
            parsed.points = in_order([frame for frame, _ in found], [names for _, names in found])
        return parsed

    def _traits(self, template: LineTemplate) -> KeyTraits:
        return KeyTraits(
            split=template.split,
            inner=template.inner,
            named=bool(template.fine_name),
            positional=key_of(template) in (self.positional or ()),
            metrics=bool(template.values),
            eval=template.split in _EVALS,
            passing=template.is_split_header,
        )

    def _name_coarse(self, axes: AxisColumns, where: PlacedColumns, templates: dict[int, LineTemplate]) -> None:
        """Gives a prefix to names in rows of whole epochs that finer rows have too: these measure different things."""
        for row in _first_rows(axes.key):
            template, own = templates[int(axes.key[row])], where.own[row]
            names = {v.name for v in template.values}
            mark = key_of(template)
            if own and mark not in self.coarse:
                self.fine_names |= names
            elif not own and mark not in self.coarse and template.values and not template.box:
                self.coarse[mark] = sorted(names & self.fine_names) if self.axis.is_fine else []

    def _sections(self, groups: list[TemplateRows]) -> _Sections | None:
        """Returns the sections of boxes, and the line at which each begins."""
        marks = [g for g in groups if g.template.section]
        if not marks and not self.section:
            return None
        lines = [g.lines.to_numpy() for g in marks]
        begins = np.zeros(max((int(some[-1]) for some in lines if len(some)), default=-1) + 2, np.int64)
        at = np.zeros(len(begins), np.int64)
        for i, some in enumerate(lines, 1):
            begins[some + 1], at[some + 1] = some + 1, i
        names = [self.section, *(g.template.section for g in marks)]
        found = _Sections(at[np.maximum.accumulate(begins)], names)
        self.section = names[int(found.at[-1])]
        return found

    def _points(
        self, group: TemplateRows, where: PlacedColumns, parsed: ParsedLogText, sections: _Sections | None
    ) -> Iterable[tuple[pl.DataFrame, list[str]]]:
        """Yields the points of each value of a template, and their names."""
        template = group.template
        rows, tokens = rows_of(group, parsed.axes, self._keys[template])
        has_step = where.placed[rows]
        if lost := len(has_step) - int(np.count_nonzero(has_step)):
            parsed.unplaced += lost
            placed = np.flatnonzero(has_step)
            rows = placed if isinstance(rows, slice) else rows[placed]
            tokens = tokens.lines(placed)
        base = _RowColumns(parsed.axes.line[rows], where.under[rows], where.splits)
        lines, walls = pl.Series("line", base.lines), times(tokens, template, len(base.lines)).alias("wall_time")
        runs, steps = pl.Series("run", where.run[rows]), pl.Series("step", where.step[rows])
        for value in _values(template, positional=key_of(template) in (self.positional or ())):
            column = value_numbers(tokens, value)
            names, metric = self._name_of(template, value, base, sections)
            point = pl.DataFrame([lines, runs, metric.alias("metric"), steps, column.alias("value"), walls])
            if missing := column.null_count():
                parsed.unread += missing
                at_line = cast("int", point.filter(pl.col("value").is_null())["line"].min())
                parsed.first_unread = at_line if parsed.first_unread < 0 else min(parsed.first_unread, at_line)
                point = point.filter(pl.col("value").is_not_null())
                names = point["metric"].unique().to_list()
            yield point, names if point.height else []

    def _name_of(
        self, template: LineTemplate, value: ValueField, base: _RowColumns, sections: _Sections | None
    ) -> tuple[list[str], pl.Series]:
        """Returns the name of a value in each row, and all its names: with the prefix of its rank, box or split."""
        own = f"epoch/{value.name}" if value.name in self.coarse.get(key_of(template), ()) else value.name
        if template.box and sections is not None:
            return self._one_of([f"{template.prefix}{s}{own}" for s in sections.names], sections.of(base.lines))
        own = template.prefix + own
        if not template.has_axis and not template.split and not template.box:
            return self._one_of([f"{s}/{own}" if s else own for s in base.splits], base.under)
        return [own], self._constant(own, len(base.lines))

    def _one_of(self, names: list[str], at: NDArray[np.int64]) -> tuple[list[str], pl.Series]:
        """Returns the name at a place for each row, and those that occur."""
        places: list[int] = np.flatnonzero(np.bincount(at)).tolist()
        if len(places) == 1:
            return [names[places[0]]], self._constant(names[places[0]], len(at))
        return list({names[i] for i in places}), pl.Series(names, dtype=pl.String).gather(at)

    def _constant(self, name: str, count: int) -> pl.Series:
        """Returns a column of one name. The columns of all parts of a log share their memory."""
        known = self._names.get(name)
        if known is None or len(known) < count:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            known = self._names[name] = constant(name, count, pl.String())
        return known.head(count)


def _first_rows(keys: NDArray[np.int64]) -> list[int]:
    """Returns the first row of each key, in order."""
    first = np.full(int(keys.max(initial=-1)) + 1, -1, np.int64)
    first[keys[::-1]] = np.arange(len(keys) - 1, -1, -1)
    return sorted(first[first >= 0].tolist())


def _values(template: LineTemplate, *, positional: bool) -> list[ValueField]:
    """Returns the values of a template, with its epoch where a finer count is the axis."""
    finer = positional or (template.fine is not None and not template.bar.startswith("keras"))
    if template.epoch is None or not template.values:
        return list(template.values)
    return (
        [*template.values, ValueField(template.epoch_name or "epoch", template.epoch)]
        if finer
        else list(template.values)
    )


def _filled(shape: str, tokens: list[str], places: tuple[int, ...]) -> str:
    pieces = shape.split(HOLE)
    return pieces[0] + "".join((tokens[i] if i in places else HOLE) + piece for i, piece in enumerate(pieces[1:]))


def _last_of(text: bytes) -> str:
    """Returns the last characters of a text."""
    return text[-4 * _TAIL - 4 :].decode("utf-8", "ignore")[-_TAIL:]


def _lines_above(earlier: str, text: bytes, line: int) -> list[str]:
    """Returns some lines above a line, also from the text before."""
    at = -1
    for _ in range(line):
        at = text.find(b"\n", at + 1)
    begin = max(0, at)
    near = text[max(0, begin - 4 * _TAIL - 4) : begin].decode("utf-8", "ignore")
    return (near[-_TAIL:] if len(near) > _TAIL else earlier + near).split("\n")[-_ABOVE:]


@cache
def _no_points() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "line": pl.Int64,
            "run": pl.Int64,
            "metric": pl.String,
            "step": pl.Int64,
            "value": pl.Float64,
            "wall_time": READING_SCHEMA["wall_time"],
        }
    )
