"""Parses text into rows and points, for a whole text log, a part of it, or a sample.

`TextParser.feed` takes whole lines. Its state, which is JSON, holds what it needs from earlier lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
import polars as pl
from msgspec import Struct

from sweeplens.readers.protocol import READING_SCHEMA
from sweeplens.readers.text.axis import AxisState, KeyTraits
from sweeplens.readers.text.axis_columns import placed_columns
from sweeplens.readers.text.columns import column_template, header_names
from sweeplens.readers.text.field_values import ValueField
from sweeplens.readers.text.lines import HOLE, NUMBERS, bare_shape, line_frame, tokens_of
from sweeplens.readers.text.templates import LineTemplate, may_be_row, template_of
from sweeplens.readers.text.token_values import numbers_at, times_at, values_of_field

__all__ = ["ParsedLogText", "TextParser"]

_EVALS = frozenset({"val", "valid", "test", "eval", "dev"})
_MOST_SHAPES = 200_000  # that are cached
_MOST_PARTS = 64  # different names of one shape
_ABOVE = 3  # lines above a row of numbers that may be its header


class ParsedLogText(Struct):
    """The result of parsing some lines."""

    rows: pl.DataFrame  # line, key, run, step
    points: pl.DataFrame  # line, run, metric, step, value, wall_time
    templates: dict[int, LineTemplate]
    unplaced: int = 0  # rows before the first step
    unread: int = 0  # values that are not numbers
    first_unread: int = -1


class _TemplateRows(Struct):
    """The lines of one template: their numbers, and their positions in the block."""

    template: LineTemplate
    lines: pl.Series
    tokens: pl.Series  # lists of texts


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
        self.above = str(saved.get("above") or "")  # the last lines that were read
        self.section = str(saved.get("section") or "")
        self.shapes: dict[str, int] = {}  # count of lines of each shape with a template
        self._shapes: dict[str, LineTemplate | None] = {}
        self._keys: dict[LineTemplate, int] = {}

    def state(self) -> dict[str, Any]:
        """Returns the state for a later reading, as JSON values."""
        return {
            "axis": msgspec.to_builtins(self.axis),
            "headers": self.headers,
            "fine_names": sorted(self.fine_names),
            "coarse": self.coarse,
            "positional": self.positional or [],
            "section": self.section,
            "settings": self.settings,
            "above": self.above,
        }

    # -------------------------------------------------------------- lines to rows

    def feed(self, text: str) -> ParsedLogText:
        """Parses whole lines."""
        frame = line_frame(text)
        groups = self._groups(frame, text)
        templates = {self._keys.setdefault(g.template, len(self._keys)): g.template for g in groups}
        axes = self._axes(groups)
        if self.positional is None:
            self.settings = [*_once_before_rows(groups), *_rival_counts(groups)]
            self.positional = _without_axis(axes, templates)
        alone = [k for k, t in templates.items() if _key_of(t) in self.settings]
        axes = axes.filter(~pl.col("key").is_in(alone)) if alone else axes
        self.above = text[-4096:]
        return self._placed(groups, axes, templates)

    def _groups(self, frame: pl.DataFrame, text: str) -> list[_TemplateRows]:
        """Returns the lines that have a template, by template."""
        kinds = frame.group_by("shape", maintain_order=True).agg(
            pl.col("text").first(), pl.col("line").first(), pl.len().alias("count")
        )
        kinds = kinds.filter(may_be_row())
        useful: dict[str, LineTemplate] = {}
        for shape, first, line, count in kinds.iter_rows():
            if (found := self._template(shape, first, line, text)) is not None:
                useful[shape] = found
                bare = bare_shape(shape)
                self.shapes[bare] = self.shapes.get(bare, 0) + count
        if not useful:
            return []
        keys = {t: i for i, t in enumerate(dict.fromkeys(useful.values()))}
        index = pl.DataFrame({"shape": list(useful), "at": [keys[t] for t in useful.values()]})
        mine = frame.join(index, on="shape", how="inner", maintain_order="left")
        groups: list[_TemplateRows] = []
        for (at,), part in mine.partition_by("at", maintain_order=True, as_dict=True).items():
            template = list(keys)[cast("int", at)]
            rows = _TemplateRows(template, part["line"], part["text"].str.extract_all(NUMBERS))
            groups += self._split_names(rows, part) if template.parts else [rows]
        return groups

    def _template(self, shape: str, first: str, line: int, text: str) -> LineTemplate | None:
        if shape in self._shapes and not (self._shapes[shape] or LineTemplate()).columns:
            return self._shapes[shape]
        tokens = tokens_of(first)
        found = template_of(shape, tokens)
        if found is not None and found.columns:
            key = str(len(found.columns))
            if key not in self.headers:
                self.headers[key] = header_names(_lines_above(self.above, text, line), len(found.columns))
            found = column_template(self.headers[key], tokens, found, self.path)
        if len(self._shapes) < _MOST_SHAPES:
            self._shapes[shape] = found
        return found

    def _split_names(self, rows: _TemplateRows, part: pl.DataFrame) -> list[_TemplateRows]:
        """Splits lines whose names contain numbers: each combination of these numbers gets its own template."""
        places = rows.template.parts
        named = pl.DataFrame([rows.lines, part["shape"], rows.tokens.alias("tokens")]).with_columns(
            names=pl.concat_str([pl.col("tokens").list.get(p, null_on_oob=True) for p in places], separator="\x00")
        )
        groups: list[_TemplateRows] = []
        for (shape, names), few in named.partition_by("shape", "names", maintain_order=True, as_dict=True).items():
            if names is None or len(groups) >= _MOST_PARTS:
                continue
            tokens = few["tokens"][0].to_list()
            template = template_of(
                _filled(cast("str", shape), tokens, places), [t for i, t in enumerate(tokens) if i not in places]
            )
            if template is None or template.parts or template.columns:
                continue
            kept = [i for i in range(len(tokens)) if i not in places]
            groups.append(_TemplateRows(template, few["line"], few["tokens"].list.gather(kept, null_on_oob=True)))
        return groups

    # -------------------------------------------------------------- rows to steps

    def _axes(self, groups: list[_TemplateRows]) -> pl.DataFrame:
        """Returns one row for each line, in log order: its number, key, epoch, count and total."""
        frames = [
            pl.DataFrame(
                {
                    "line": g.lines,
                    "key": pl.repeat(self._keys[g.template], len(g.lines), dtype=pl.Int64, eager=True),
                    "epoch": numbers_at(g.tokens, g.template.epoch),
                    "fine": numbers_at(g.tokens, g.template.fine) * g.template.fine_scale,
                    "total": numbers_at(g.tokens, g.template.total),
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
        self, groups: list[_TemplateRows], axes: pl.DataFrame, templates: dict[int, LineTemplate]
    ) -> ParsedLogText:
        traits = {k: self._traits(t) for k, t in templates.items()}
        rows_at = axes.hstack(placed_columns(axes, traits, self.axis))
        self._name_coarse(rows_at, templates)
        parsed = ParsedLogText(rows_at, _no_points(), templates)
        sections = self._sections(groups)
        frames = [f for g in groups if g.template.is_row for f in self._points(g, rows_at, parsed, sections)]
        if frames:
            parsed.points = pl.concat(frames).sort("line", maintain_order=True)
        return parsed

    def _traits(self, template: LineTemplate) -> KeyTraits:
        return KeyTraits(
            split=template.split,
            inner=template.inner,
            named=bool(template.fine_name),
            positional=_key_of(template) in (self.positional or ()),
            metrics=bool(template.values),
            eval=template.split in _EVALS,
        )

    def _name_coarse(self, rows: pl.DataFrame, templates: dict[int, LineTemplate]) -> None:
        """Gives a prefix to names in rows of whole epochs that finer rows have too: these measure different things."""
        seen = rows.group_by("key", maintain_order=True).agg(pl.col("own").first())
        for key, own in seen.iter_rows():
            template = templates[key]
            names = {v.name for v in template.values}
            mark = _key_of(template)
            if own and mark not in self.coarse:
                self.fine_names |= names
            elif not own and mark not in self.coarse and template.values and not template.box:
                self.coarse[mark] = sorted(names & self.fine_names) if self.axis.is_fine else []

    def _sections(self, groups: list[_TemplateRows]) -> pl.DataFrame | None:
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
        self, group: _TemplateRows, rows: pl.DataFrame, parsed: ParsedLogText, sections: pl.DataFrame | None
    ) -> Iterable[pl.DataFrame]:
        template = group.template
        key = self._keys[template]
        base = pl.DataFrame(
            {"line": group.lines, "wall_time": times_at(group.tokens, template.wall), "tokens": group.tokens}
        )
        base = base.join(
            rows.filter(pl.col("key") == key).select("line", "run", "step", "under"), on="line", maintain_order="left"
        )
        if base["step"].null_count():
            parsed.unplaced += base["step"].null_count()
            base = base.filter(pl.col("step").is_not_null())
        coarse = self.coarse.get(_key_of(template), ())
        name = pl.lit(template.prefix)
        if template.box and sections is not None:
            base = base.sort("line").join_asof(sections, on="line", strategy="backward")
            name = name + pl.col("section").fill_null("")
        if not template.has_axis and not template.split and not template.box:
            name = pl.when(pl.col("under") != "").then(pl.col("under") + "/").otherwise(pl.lit("")) + name
        for value in _values(template, positional=_key_of(template) in (self.positional or ())):
            numbers = values_of_field(base["tokens"], value)
            named = name + (f"epoch/{value.name}" if value.name in coarse else value.name)
            point = base.select("line", "run", named.alias("metric"), "step", numbers.alias("value"), "wall_time")
            if missing := numbers.null_count():
                parsed.unread += missing
                at = point.filter(pl.col("value").is_null())["line"].min()
                parsed.first_unread = (
                    cast("int", at) if parsed.first_unread < 0 else min(parsed.first_unread, cast("int", at))
                )
                point = point.filter(pl.col("value").is_not_null())
            yield point


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


def _key_of(template: LineTemplate) -> str:
    """Returns the key of a template in a state."""
    counted = (template.fine_name,) if template.fine_name and not template.values else ()
    places = str(template.epoch), str(template.fine)
    return "\x1f".join((template.prefix, template.split, *places, *counted, *(v.name for v in template.values)))


def _without_axis(axes: pl.DataFrame, templates: dict[int, LineTemplate]) -> list[str]:
    """Returns templates without an axis that goes forward: fractional epochs, constant epochs, or only times."""
    mine = {k: t for k, t in templates.items() if t.is_row and t.fine is None and not t.box}
    if any(t.fine is not None and t.values and not t.bar.startswith("keras") for t in templates.values()):
        return []
    if not any(t.has_axis for t in templates.values()):
        return [_key_of(t) for t in mine.values() if t.wall is not None]
    by_epoch = {k: axes.filter(pl.col("key") == k)["epoch"] for k, t in mine.items() if t.epoch is not None}
    if any((epochs % 1 != 0).any() for epochs in by_epoch.values()):
        return [_key_of(mine[k]) for k in by_epoch]
    still = {k for k, e in by_epoch.items() if len(e) > 2 and 2 * cast("int", (e.diff() == 0).sum()) >= len(e)}
    return [_key_of(mine[k]) for k in still]


def _once_before_rows(groups: list[_TemplateRows]) -> list[str]:
    """Returns templates with an axis that occur once, before all repeated rows: these are settings."""
    again = [
        cast("int", g.lines.min())
        for g in groups
        if len(g.lines) > 2 and g.template.values and (g.template.has_axis or g.template.sure)
    ]
    first = min(again, default=-1)
    return [
        _key_of(g.template)
        for g in groups
        if len(g.lines) == 1 and g.template.has_axis and (g.template.values or g.template.header) and g.lines[0] < first
    ]


def _rival_counts(groups: list[_TemplateRows]) -> list[str]:
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
    return [_key_of(t) for t in rivals if not first.values and t.fine_name.lower() != named]


def _filled(shape: str, tokens: list[str], places: tuple[int, ...]) -> str:
    pieces = shape.split(HOLE)
    return pieces[0] + "".join((tokens[i] if i in places else HOLE) + piece for i, piece in enumerate(pieces[1:]))


def _lines_above(earlier: str, text: str, line: int) -> list[str]:
    """Returns some lines above a line, also from the text before."""
    at = -1
    for _ in range(line):
        at = text.find("\n", at + 1)
    begin = max(0, at)
    near = text[max(0, begin - 4096) : begin]
    return (near if begin > 4096 else earlier + near).split("\n")[-_ABOVE:]


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
