"""Parses text into rows and points, for a whole text log, a part of it, or a sample.

`TextParser.feed` takes whole lines. Its state, which is JSON, holds what it needs from earlier lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.readers.text.axis import AxisState, KeyTraits
from sweeplens.readers.text.axis_columns import placed_columns
from sweeplens.readers.text.blocks import LineGroup, block_of
from sweeplens.readers.text.columns import column_template, header_names
from sweeplens.readers.text.dialect import PLAIN, LogDialect, dialect_of, rewritten
from sweeplens.readers.text.field_values import ValueField
from sweeplens.readers.text.lines import HOLE, bare_shape, tokens_of
from sweeplens.readers.text.template_rows import (
    TemplateRows,
    in_order,
    key_of,
    numbers,
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
_MOST_PARTS = 64  # different names of one shape
_TAIL = 4096  # characters that are kept of a text
_ABOVE = 3  # lines above a row of numbers that may be its header


class ParsedLogText(Struct):
    """The result of parsing some lines."""

    rows: pl.DataFrame  # line, key, run, step
    points: pl.DataFrame  # line, run, metric, step, value, wall_time
    templates: dict[int, LineTemplate]
    unplaced: int = 0  # rows before the first step
    unread: int = 0  # values that are not numbers
    first_unread: int = -1


class TextParser:
    """Parses one text log from its beginning, or from a saved state."""

    def __init__(self, path: str, state: dict[str, Any] | None = None) -> None:
        self.path = path
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
        groups = self._groups(text)
        templates = {self._keys.setdefault(g.template, len(self._keys)): g.template for g in groups}
        axes = self._axes(groups)
        if self.positional is None:
            self.settings = [*once_before_rows(groups), *rival_counts(groups)]
            self.positional = without_axis(axes, templates)
        alone = [k for k, t in templates.items() if key_of(t) in self.settings]
        axes = axes.filter(~pl.col("key").is_in(alone)) if alone else axes
        self.above = _last_of(text)
        return self._placed(groups, axes, templates)

    def _groups(self, text: bytes) -> list[TemplateRows]:
        """Returns the lines that have a template, by template."""
        block = block_of(text)
        shapes = block.shapes()
        of = np.full(shapes.height, -1, np.int64)
        at: dict[LineTemplate, int] = {}
        for i, shape, first, line, count in (
            shapes.filter(may_be_row()).select("id", "shape", "text", "line", "count").iter_rows()
        ):
            if (found := self._template(shape, first, line, text)) is not None:
                of[i] = at.setdefault(found, len(at))
                if not found.is_split_header:
                    bare = bare_shape(shape)
                    self.shapes[bare] = self.shapes.get(bare, 0) + count
        groups: list[TemplateRows] = []
        for template, lines in zip(at, block.groups(of, len(at)) if at else (), strict=True):
            rows = TemplateRows(template, lines.lines, lines.tokens)
            groups += self._split_names(rows, lines, shapes["shape"]) if template.parts else [rows]
        return groups

    def _template(self, shape: str, first: str, line: int, text: bytes) -> LineTemplate | None:
        if shape in self._shapes and not (self._shapes[shape] or LineTemplate()).columns:
            return self._shapes[shape]
        tokens = tokens_of(first)
        found = template_of(shape, tokens)
        if found is not None and found.columns:
            key, count = f"{'label ' * bool(found.label)}{len(found.columns)}", len(found.columns) + bool(found.label)
            if key not in self.headers:
                self.headers[key] = header_names(_lines_above(self.above, text, line), count, first)
            found = column_template(self.headers[key], tokens, found, self.path)
        if len(self._shapes) < _MOST_SHAPES:
            self._shapes[shape] = found
        return found

    def _split_names(self, rows: TemplateRows, lines: LineGroup, shapes: pl.Series) -> list[TemplateRows]:
        """Splits lines whose names contain numbers: each combination of these numbers gets its own template."""
        places = rows.template.parts
        names = pl.select(pl.concat_str([pl.lit(rows.tokens.texts(p)) for p in places], separator="\x00")).to_series()
        named = pl.DataFrame({"shape": lines.shapes, "names": names}).with_row_index("row")
        groups: list[TemplateRows] = []
        for (shape, name), few in named.partition_by("shape", "names", maintain_order=True, as_dict=True).items():
            if name is None or len(groups) >= _MOST_PARTS:
                continue
            text = cast("str", shapes[cast("int", shape)])
            at = few["row"].to_numpy().astype(np.int64)
            tokens = rows.tokens.of_line(int(at[0]), text.count(HOLE))
            kept = [i for i in range(len(tokens)) if i not in places]
            template = template_of(_filled(text, tokens, places), [tokens[i] for i in kept])
            if template is None or template.parts or template.columns:
                continue
            groups.append(TemplateRows(template, rows.lines[at], rows.tokens.lines(at).kept(kept)))
        return groups

    # -------------------------------------------------------------- rows to steps

    def _axes(self, groups: list[TemplateRows]) -> pl.DataFrame:
        """Returns one row for each line, in log order: its number, key, epoch, count and total."""
        frames = [
            pl.DataFrame(
                {
                    "line": g.lines,
                    "key": pl.repeat(self._keys[g.template], len(g.lines), dtype=pl.Int64, eager=True),
                    "epoch": numbers(g, g.template.epoch),
                    "fine": numbers(g, g.template.fine) * g.template.fine_scale,
                    "total": numbers(g, g.template.total),
                }
            )
            for g in groups
        ]
        if not frames:
            return pl.DataFrame(
                schema={"line": pl.Int64, "key": pl.Int64, "epoch": pl.Float64, "fine": pl.Float64, "total": pl.Float64}
            )
        return self._of_bars(self._of_boxes(pl.concat(frames).sort("line", maintain_order=True)))

    def _of_boxes(self, axes: pl.DataFrame) -> pl.DataFrame:
        """Gives all rows of one box the axis values that any of them has."""
        boxes = [k for t, k in self._keys.items() if t.box or t.pair]
        if not boxes or not axes["key"].is_in(boxes).any():
            return axes
        block = ((pl.col("line").diff() != 1) | ~pl.col("key").is_in(boxes)).fill_null(value=True).cum_sum()
        marked = axes.with_columns(block=pl.when(pl.col("key").is_in(boxes)).then(block))
        together = [
            pl.when(pl.col("block").is_null()).then(c).otherwise(pl.col(c).max().over("block")).alias(c)
            for c in ("epoch", "fine")
        ]
        loose = [k for t, k in self._keys.items() if t.pair and not t.sure]
        lost = pl.col("key").is_in(loose) & pl.col("epoch").is_null() & pl.col("fine").is_null()
        return marked.with_columns(together).filter(~lost).drop("block")

    def _of_bars(self, axes: pl.DataFrame) -> pl.DataFrame:
        """Keeps the last state of each step of a progress bar; of a Keras bar only the final state."""
        keras = [k for t, k in self._keys.items() if t.bar == "keras"]
        unfinished = [k for t, k in self._keys.items() if t.bar == "keras-unfinished"]
        axes = axes.filter(~pl.col("key").is_in(unfinished)) if unfinished else axes
        tqdm = [k for t, k in self._keys.items() if t.bar == "tqdm"]
        if keras:
            done = pl.col("fine").is_null() | (pl.col("fine") >= pl.col("total"))
            axes = axes.filter(~pl.col("key").is_in(keras) | done.fill_null(value=True))
            axes = axes.with_columns(pl.when(~pl.col("key").is_in(keras)).then(pl.col("fine")).alias("fine"))
        if tqdm:
            again = (
                (pl.col("key") == pl.col("key").shift(-1))
                & pl.col("fine").eq_missing(pl.col("fine").shift(-1))
                & pl.col("epoch").eq_missing(pl.col("epoch").shift(-1))
            )
            axes = axes.filter(~(pl.col("key").is_in(tqdm) & again.fill_null(value=False)))
        return axes

    def _placed(
        self, groups: list[TemplateRows], axes: pl.DataFrame, templates: dict[int, LineTemplate]
    ) -> ParsedLogText:
        traits = {k: self._traits(t) for k, t in templates.items()}
        rows_at = axes.hstack(placed_columns(axes, traits, self.axis))
        self._name_coarse(rows_at, templates)
        parsed = ParsedLogText(rows_at, _no_points(), templates)
        sections = self._sections(groups)
        frames = [f for g in groups if g.template.is_row for f in self._points(g, rows_at, parsed, sections)]
        if frames:
            parsed.points = in_order(frames)
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

    def _name_coarse(self, rows: pl.DataFrame, templates: dict[int, LineTemplate]) -> None:
        """Gives a prefix to names in rows of whole epochs that finer rows have too: these measure different things."""
        seen = rows.group_by("key", maintain_order=True).agg(pl.col("own").first())
        for key, own in seen.iter_rows():
            template = templates[key]
            names = {v.name for v in template.values}
            mark = key_of(template)
            if own and mark not in self.coarse:
                self.fine_names |= names
            elif not own and mark not in self.coarse and template.values and not template.box:
                self.coarse[mark] = sorted(names & self.fine_names) if self.axis.is_fine else []

    def _sections(self, groups: list[TemplateRows]) -> pl.DataFrame | None:
        """Returns line -> the section of a box that begins there."""
        marks = [
            pl.DataFrame(
                {"line": g.lines, "section": pl.repeat(g.template.section, len(g.lines), dtype=pl.String, eager=True)}
            )
            for g in groups
            if g.template.section
        ]
        if not marks and not self.section:
            return None
        first = pl.DataFrame({"line": [-1], "section": [self.section]}, schema={"line": pl.Int64, "section": pl.String})
        joined = pl.concat([first, *marks]).sort("line")
        self.section = joined["section"][-1]
        return joined

    def _points(
        self, group: TemplateRows, rows: pl.DataFrame, parsed: ParsedLogText, sections: pl.DataFrame | None
    ) -> Iterable[pl.DataFrame]:
        template = group.template
        mine, tokens = rows_of(group, rows.filter(pl.col("key") == self._keys[template]))
        if lost := mine["step"].null_count():
            parsed.unplaced += lost
            tokens = tokens.lines(np.flatnonzero(mine["step"].is_not_null().to_numpy()))
            mine = mine.filter(pl.col("step").is_not_null())
        base = mine.select("line", "run", "step", "under").with_columns(wall_time=times(tokens, template, mine.height))
        for value in _values(template, positional=key_of(template) in (self.positional or ())):
            column = value_numbers(tokens, value)
            name = self._name_of(template, value, base, sections)
            point = base.select("line", "run", name.alias("metric"), "step", column.alias("value"), "wall_time")
            if missing := column.null_count():
                parsed.unread += missing
                at_line = cast("int", point.filter(pl.col("value").is_null())["line"].min())
                parsed.first_unread = at_line if parsed.first_unread < 0 else min(parsed.first_unread, at_line)
                point = point.filter(pl.col("value").is_not_null())
            yield point

    def _name_of(
        self, template: LineTemplate, value: ValueField, base: pl.DataFrame, sections: pl.DataFrame | None
    ) -> pl.Series:
        """Returns the name of a value in each row: with the prefix of its rank, box or split."""
        own = f"epoch/{value.name}" if value.name in self.coarse.get(key_of(template), ()) else value.name
        own = template.prefix + own
        if template.box and sections is not None:
            begun = base.select("line").join_asof(sections, on="line", strategy="backward")["section"].fill_null("")
            return pl.select(
                pl.concat_str(pl.lit(template.prefix), begun, pl.lit(own[len(template.prefix) :]))
            ).to_series()
        if not template.has_axis and not template.split and not template.box and (base["under"] != "").any():
            split = pl.when(pl.col("under") != "").then(pl.col("under") + "/").otherwise(pl.lit(""))
            return base.select(split + own).to_series()
        return pl.repeat(own, base.height, dtype=pl.String, eager=True)


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
