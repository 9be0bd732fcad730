"""Turns a line's shape into a `LineTemplate`: where its values, axes, time and split are. It runs once for each shape."""

from __future__ import annotations

import itertools
import re

import msgspec
import polars as pl
from msgspec import Struct

from sweeplens.readers.text.axis_fields import axes_of, is_axis_name, progress_split, step_rank
from sweeplens.readers.text.field_values import ValueField, distinct, value_of
from sweeplens.readers.text.fields import (
    CLOCK,
    DATE,
    MAX_NUMBERS,
    NUM,
    LineField,
    fields_of,
    marked_line,
    place_of,
)
from sweeplens.readers.text.lines import HOLE, is_split_header, split_header
from sweeplens.readers.text.names import (
    INNER_RANK,
    MEASURE,
    fine_rank,
    scale_of,
    split_of_word,
)
from sweeplens.readers.text.prefixes import rank_place, without_prefix

__all__ = ["LineTemplate", "may_be_row", "template_of"]

_FAIRSEQ = frozenset({"train_inner", "train", "valid", "test"})
_WRAPPERS = re.compile(r"(?:\b(?:np|numpy|torch|jnp)\.)?\b(?:float\d+|int\d+|float|int|tensor|Array|array)\(")
_TEXT_PAIR = re.compile(  # ``level=info msg="train step" `` of logfmt, before another ``name=``; not of splits
    rf"\b(?!tr|va|te|de|ev)[A-Za-z_][\w.]*=(?:\"[^\"{NUM}{DATE}{CLOCK}]*\"|[A-Za-z/][^\s=,;|\"(\[{{{NUM}{DATE}{CLOCK}]*)\s+(?=[A-Za-z_][\w./\-]*=)"
)
_DEVICE = re.compile(rf", (?:device|dtype|grad_fn)=[^,)}}\]]*|cuda:[{NUM}]")
_BAR_BEHIND = re.compile(rf":\s+[{NUM}]%\|.*$")  # what Ultralytics prints behind a row of numbers
_BAR = re.compile(r"%\|[^|]*\||\[[=>.━╸╺ \-]{3,}\]|[━╸╺]{3,}")
_KERAS = re.compile(
    rf"\s*[{NUM}]/[{NUM}]\s*(?:\[[=>. ]+\]|[━╸╺]+)?\s*-?\s*(?:ETA: )?[{NUM}{CLOCK}](?:ms|us|s)?(?![A-Za-z])"
)
_KERAS_BARS = ("keras", "keras-unfinished")
_KEYED = (re.compile(r"\bkey: ([\w./-]+), value: "), re.compile(r"\b([\w./-]+): \{value: "))
_NAMES_BEHIND = re.compile(rf"\s*[{NUM}]: [{NUM}],(?: [{NUM}] [A-Za-z][A-Za-z ]*,?)+\s*")  # what Darknet prints
_TEXT_VALUE = re.compile(r"[\w.]+\s*[:=]\s*(?:[A-Za-z/\\][^,;|(]*|\[\]|)(?=[,;|})]|$)")
_EPOCH_COST = re.compile(r"(?i)epoch \w+$")
_AXIS_HINT = (
    rf"(?i)epoch|step|iter|updat|batch|episode|round|generation|\bep\b|\bitr?\b|\be\b|\bi\b|{HOLE} ?/ ?{HOLE}|\]\["
)
_PATH_NAME = re.compile(rf"\s*\w[\w.\-]*(?:/[\w.\-]+)+\s?[:=]\s?[{NUM}]\s*")  # ``throughput/total_tokens=41``
_PAIR = re.compile(rf"\s*([A-Za-z][\w/.()%\-]*(?: [\w/.()%\-]+)*)\s{{2,}}([{NUM}])(?:%|s)?\s*")
_LABELLED = re.compile(rf"\s*([A-Za-z][\w.\-]*)((?:\s+[{NUM}]){{3,}}\s*)")  # a word and columns of numbers
_BOTH_SPLITS = re.compile(  # what AllenNLP prints below ``Training |  Validation``
    rf"\s*([A-Za-z][\w/.\-]*)\s+\|\s+(?:([{NUM}])|N/A)\s+\|\s+(?:([{NUM}])|N/A)\s*"
)
_PROSE = 12  # a line with more words is a row only if it has enough separators
_LISTS_SETTINGS = re.compile(
    r"[{(,]\s*['\"]?\w+['\"]?\s*[:=]\s*['\"](?!nan|inf|-)[A-Za-z/]"
    r"|\b(?:seed|batch_size|weight_decay|num_layers|hidden\w*|dropout|max_steps|num_epochs|epochs)['\"]?\s*[:=]\s?['\"]?\S+[,;|]\s"
)
"""A dictionary with text as a value, or names that only settings have."""
_SAVED = re.compile(r"\b(?:reached|improved from|did not improve)\b")  # messages of checkpoints repeat values
_COUNTED = re.compile(
    rf"(?i)(?<![\w.])(?:epoch(?!s\b)|iter|iteration|step|global_step|update|episode|batch)(?:_?\w{{0,5}})\b(?<!size)[^,;|]{{0,4}}[{NUM}]"
    rf"|[{NUM}]/[{NUM}]|%\|"
)
_TRUTH = re.compile(r"[:=]\s*(?:True|False|None|true|false|null|Namespace\()")
_ONLY_LEVEL = r"^[^A-Za-z]*(?:[\w.]+[^A-Za-z]+){0,2}(?:INFO|DEBUG)[^A-Za-z]*$"  # numbers behind a logger's prefix
_TOPIC = re.compile(r"\s*([A-Za-z][\w-]*):\s+[A-Za-z_]\w*\s*[:=]")
_ESPNET = re.compile(rf"([{NUM}])epoch:(\w+):[{NUM}]([{NUM}])batch:")


class LineTemplate(Struct, frozen=True):
    """The values and axes in lines of one shape. Integers are indexes of the line's numbers, from 0."""

    values: tuple[ValueField, ...] = ()
    epoch: int | None = None
    fine: int | None = None  # a count of steps
    fine_scale: float = 1.0  # of a count like ``5k``
    total: int | None = None  # the planned end of the count
    fine_name: str = ""
    epoch_name: str = ""
    wall: int | None = None
    split: str = ""
    prefix: str = ""
    box: bool = False
    bar: str = ""  # ``tqdm`` or ``keras``: a progress bar
    inner: bool = False  # the count restarts in each epoch
    columns: tuple[int, ...] = ()  # the number of each column, in a row of only numbers
    label: str = ""  # the word before such numbers
    section: str = ""  # in a box: the name of the next section
    parts: tuple[int, ...] = ()  # numbers that are part of names
    is_split_header: bool = False  # ``Train:``; the rows below without an axis are of this split
    header: bool = False  # only an axis, as in ``epoch: 100``; it is a setting if it is not repeated
    sure: bool = False  # its names are measures, so it is a row even without an axis
    pair: bool = False  # ``name   1``: a line of a box without bars, whose axis may be in another line

    @property
    def is_row(self) -> bool:
        """Whether the lines hold values that may become points."""
        return bool(self.values) and (self.sure or self.has_axis or self.pair)

    @property
    def has_axis(self) -> bool:
        """Whether the lines hold an epoch or a step."""
        return self.epoch is not None or self.fine is not None

    @property
    def places(self) -> list[int]:
        """The places of the numbers and of the time that its rows are made of."""
        axes = (self.epoch, self.fine, self.total, self.wall)
        return sorted({p for p in (*axes, *(p for v in self.values for p in (v.place, v.whole))) if p is not None})


def template_of(shape: str, tokens: list[str]) -> LineTemplate | None:
    """Returns the template of a shape, from the first line with it; None where the line holds no values and no axis."""
    if len(tokens) >= MAX_NUMBERS or shape.count(HOLE) != len(tokens):
        return None
    marked = marked_line(shape, tokens)
    if (ranked := rank_place(marked)) is not None:
        return LineTemplate(parts=(ranked,))  # each rank gets its own template
    body, wall, logger, rank = without_prefix(marked)
    if word := split_header(body):
        return LineTemplate(split=split_of_word(word), is_split_header=True)
    if not rank and (ranked := rank_place(body)) is not None:
        return LineTemplate(parts=(ranked,))
    if _LISTS_SETTINGS.search(_DEVICE.sub("", marked)) and not _COUNTED.search(_bare(body)):
        return None
    prefix = f"rank{rank}/" if rank not in ("", "0") else ""
    fixed = _fixed_form(body, wall, prefix)
    return (
        fixed
        if fixed is not None
        else _of_fields(_bare(body), tokens, wall, logger if logger in _FAIRSEQ else "", prefix)
    )


def _fixed_form(body: str, wall: int | None, prefix: str) -> LineTemplate | None:
    """Returns the template of a line in a fixed form: a box, columns of numbers, a name and a number; None for others."""
    box = _box(body)
    if box is not None:
        return box
    cells = _BAR_BEHIND.sub("", body)
    if columns := _columns(cells):
        return LineTemplate(columns=columns, wall=wall, prefix=prefix, bar="tqdm" if cells != body else "")
    if (labelled := _LABELLED.fullmatch(body)) and (columns := _columns(labelled[2])):
        return LineTemplate(columns=columns, wall=wall, prefix=prefix, label=labelled[1])
    if (two := _BOTH_SPLITS.fullmatch(body)) and MEASURE.search(two[1]):
        values = [
            ValueField(f"{prefix}{s}/{two[1]}", place_of(n)) for s, n in (("train", two[2]), ("val", two[3])) if n
        ]
        return LineTemplate(values=tuple(values), wall=wall, sure=True) if values else None
    pair = _PAIR.fullmatch(_bare(body))
    return _pair(pair[1], place_of(pair[2]), wall, prefix) if pair is not None else None


def _bare(body: str) -> str:
    """Removes what wraps numbers: ``tensor(0.5, device='cuda:0')``, quotes."""
    return _DEVICE.sub("", _WRAPPERS.sub("", _TEXT_PAIR.sub("", body))).replace('"', "").replace("'", "")


def _of_fields(body: str, tokens: list[str], wall: int | None, logger: str, prefix: str) -> LineTemplate | None:
    """Returns the template of a line of named numbers."""
    bar = "tqdm" if re.search(rf"[{NUM}]%\|", body) else _KERAS_BARS["ETA" in body] if _KERAS.match(body) else ""
    body = _rewritten(re.sub(r"[ \xa0]+", " ", _BAR.sub("||", body)))
    if _is_settings(body) or _SAVED.search(body):
        return None
    fields = fields_of(body, tokens)
    if parts := _name_parts(fields, tokens):
        return LineTemplate(parts=parts)
    topic = _TOPIC.match(body)
    named = topic is not None and not split_of_word(topic[1]) and not is_axis_name(topic[1])
    if topic is not None and named and not any(is_axis_name(f.label) for f in fields):
        prefix = f"{prefix}{topic[1]}/"
    return _assembled(body, fields, wall, logger, prefix, bar)


def _rewritten(body: str) -> str:
    """Rewrites forms in which a name stands elsewhere than before its number."""
    body = _ESPNET.sub(r"epoch \1 [\2] batch \3: ", body)
    if _NAMES_BEHIND.fullmatch(body):
        body = "step " + re.sub(rf"([{NUM}]) ([A-Za-z][A-Za-z ]*)", r"\2: \1", body.replace(":", ", loss:", 1).lstrip())
    for pattern in _KEYED:
        body = pattern.sub(r"\1: ", body)
    return body


def may_be_row() -> pl.Expr:
    """Whether a shape may be that of a row: it has an axis, a measure, a box, or only numbers. Rules out most text."""
    shape = pl.col("shape")
    hints = (
        shape.str.contains(_AXIS_HINT)
        | shape.str.contains(MEASURE.pattern)
        | shape.str.contains(r"^\s*\||^\s*\w[\w.\-]*/[\w./\-]+\s?[:=]\s?" + HOLE + rf"|^\s*{HOLE}:\s+(?:\w+: )?{HOLE}")
        | shape.str.contains(rf"^\s*[A-Za-z][\w/.() %\-]*\s{{2,}}[-+]?{HOLE}%?s?\s*$")
    )
    hints |= shape.str.contains(rf"^\s*[A-Za-z][\w.\-]*(?:\s+{HOLE}){{3,}}\s*$")
    words = shape.str.count_matches(r"[A-Za-z]{2,}")
    prose = (
        (words > _PROSE)
        & (shape.str.count_matches(r"[:=|\t]") * 6 < words)
        & (shape.str.count_matches(HOLE, literal=True) * 2 < words)
    )
    return (
        (hints & ~prose)
        | is_split_header(shape)
        | ~shape.str.contains(r"[A-Za-z]{3,}")
        | shape.str.contains(_ONLY_LEVEL)
    )


def _is_settings(body: str) -> bool:
    """Whether a line lists settings: several of its names have words or booleans as values."""
    return len(_TEXT_VALUE.findall(body)) >= 3 and bool(_TRUTH.search(body))


def _box(body: str) -> LineTemplate | None:
    """Returns the template of ``| name | 1 |`` or ``| section/ | |``, printed in blocks by reinforcement learning tools."""
    cells = [c.strip() for c in body.strip().split("|")]
    if len(cells) != 4 or cells[0] or cells[3] or not cells[1] or re.search(f"[{NUM}{DATE}{CLOCK}]", cells[1]):
        return None
    if not cells[2]:
        return LineTemplate(box=True, section=cells[1])
    found = re.match(f"([{NUM}])", cells[2])
    if not found:
        return None
    field = LineField(cells[1], place_of(found[1]), True, "", cells[2][1:])
    count = fine_rank(cells[1].lower())
    made = _assembled(cells[1], [field], None, "", "", "") or LineTemplate()
    return LineTemplate(
        values=made.values if not count else (ValueField(cells[1], field.place),), epoch=made.epoch, fine=made.fine,
        fine_name=made.fine_name, epoch_name=made.epoch_name,
        box=True, sure=True, inner=made.inner,
    )  # fmt: skip


def _pair(name: str, place: int, wall: int | None, prefix: str) -> LineTemplate | None:
    """Returns the template of ``name   1``, one line of a box without bars."""
    field = LineField(name.strip(), place, True, name, "")
    made = _assembled(name, [field], wall, "", prefix, "")
    return msgspec.structs.replace(made, pair=True) if made is not None else None


def _columns(body: str) -> tuple[int, ...]:
    """Returns the number of each column in a line of only numbers, one of them perhaps ``1/300``; () for any other line."""
    body = re.sub(r"[\[\]]", " ", body) if re.match(rf"\s*[{NUM}]\s*\[", body) else body
    body = re.sub(r"(?<=\s)[+*](?=\s)", " ", body)  # a mark: the best so far
    bare = re.sub(r"(?<=[\ue000-\ue3ff])(?:[kMG%smh]|[MG]iB|B|ms)?(?=[\s/,;|]|$)", "", body).strip()
    if not re.fullmatch(rf"[{NUM}{CLOCK}\s/,;|]+", bare):
        return ()
    found = tuple(place_of(m[0]) for m in re.finditer(f"(?<!/)[{NUM}{CLOCK}]", bare))
    return found if len(found) > 1 else ()


def _name_parts(fields: list[LineField], tokens: list[str]) -> tuple[int, ...]:
    """Returns the numbers inside names: ``BLEU-1 70.1``, ``Acc@5: 0.9``, ``class 3: 0.5``."""
    parts: list[int] = []
    for field, following in itertools.pairwise(fields):
        glued = bool(re.search(r"[\w@.\-]$", field.before)) and not re.search(r"[:=]$", field.before)
        bound = bool(re.fullmatch(r"\s*[:=]\s*", following.before)) and not is_axis_name(field.label)
        named = bool(re.fullmatch(r"\s*[:=]?\s+", following.before)) or bound
        word = tokens[field.place][-1:].isalpha() and bool(re.match(r"\s+[a-z_][\w ]*\s?[:=]", field.after))
        if field.kind == "n" and field.total is None and field.label and ((glued and named) or bound or word):
            parts.append(field.place)
    return tuple(parts)


def _assembled(
    body: str, fields: list[LineField], wall: int | None, logger: str, prefix: str, bar: str
) -> LineTemplate | None:
    """Builds the template from fields: axes first, then all other fields with a name."""
    epoch, fine, used = axes_of(fields, body)
    split = logger or _split(body, fields)
    values: list[ValueField] = []
    for i, field in enumerate(fields):
        if i in used:
            continue
        values += value_of(
            field, fields[i - 1] if i else None, values, field.section if field.section and not logger else split
        )
    values = distinct(values, fields)
    loose = [f for i, f in enumerate(fields) if i not in used and f.label and not f.tight]
    axis = fields[epoch] if epoch is not None else fields[fine] if fine is not None else None
    if not values and (axis is None or not _is_header(body)):
        return None
    if not values and bar:
        fine = None
        if epoch is None:
            return None
    sure = (
        bool(values)
        and len(loose) <= len(values)
        and any(MEASURE.search(v.name) or _EPOCH_COST.match(v.name) for v in values)
    ) or bool(_PATH_NAME.fullmatch(body))
    return LineTemplate(
        values=tuple(values), epoch=_at(fields, epoch), fine=_at(fields, fine),
        fine_scale=scale_of("step", fields[fine].after[:2]) if fine is not None else 1.0,
        total=fields[fine].total if fine is not None else None,
        fine_name=fields[fine].label if fine is not None else "", epoch_name=fields[epoch].label if epoch is not None else "",
        wall=wall, split=split or (progress_split(fields[fine]) if fine is not None else ""), prefix=prefix, bar=bar, sure=sure,
        inner=fine is not None and step_rank(fields[fine]) >= INNER_RANK,
        header=not values and axis is not None and axis.tight and axis.total is None,
    )  # fmt: skip


def _at(fields: list[LineField], i: int | None) -> int | None:
    return fields[i].place if i is not None else None


def _split(body: str, fields: list[LineField]) -> str:
    """Returns the split named before the first number; "" where there is none."""
    head = re.split(f"[{NUM}{DATE}{CLOCK}]", body, maxsplit=1)[0]
    found = re.match(
        r"(?i)[\W_]*(train(?:ing)?|valid(?:ation|ating|ate)?|val|test(?:ing)?|eval(?:uation|uating)?|dev)\b[\s\]):]",
        head,
    )
    if found:
        first = fields[0].label.lower() if fields else ""
        if first.startswith(found[1].lower()) and not is_axis_name(first) and fields[0].tight is False:
            return ""  # ``train loss 4.2, val loss 4.3``: each name has its split
        own = [f for f in fields if f.label and split_of_word(f.label.split()[0])]
        return "" if len({split_of_word(f.label.split()[0]) for f in own}) > 1 else split_of_word(found[1])
    found = re.search(r"(?i)\((train|val|valid|validation|test)\)", head)
    return split_of_word(found[1]) if found else ""


def _is_header(body: str) -> bool:
    """Whether a line is only an axis: ``Epoch 3/20``, ``##### Epoch 1 #####``, ``Training epoch: 8``."""
    bare = re.sub(f"[{NUM}{DATE}{CLOCK}]", " ", body)
    words = re.findall(r"[A-Za-z_]+", bare)
    return (
        1 <= len(words) <= 4
        and any(is_axis_name(w) for w in words[:3])
        and not re.search(r"(?i)best|load|sav|resum|from|stop", bare)
    )
