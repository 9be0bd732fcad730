"""Turns a line's shape into a `LineTemplate`: where its values, axes, time and split are. It runs once for each shape."""

from __future__ import annotations

import itertools
import re

import polars as pl
from msgspec import Struct

from sweeplens.readers.text.axis_fields import axes_of, is_axis_name, progress_split, step_rank
from sweeplens.readers.text.fields import (
    CLOCK,
    DATE,
    MAX_NUMBERS,
    NUM,
    LineField,
    fields_of,
    marked_line,
    place_of,
    without_prefix,
)
from sweeplens.readers.text.lines import HOLE
from sweeplens.readers.text.names import (
    IDLE,
    INNER_RANK,
    MEASURE,
    NEVER,
    UNIT,
    fine_rank,
    scale_of,
    split_of_word,
)

__all__ = ["LineTemplate", "ValueField", "may_be_row", "template_of"]

_NEAR = 80  # a rank within so many first characters is a prefix
_FAIRSEQ = frozenset({"train_inner", "train", "valid", "test"})
_WRAPPERS = re.compile(r"(?:\b(?:np|numpy|torch|jnp)\.)?\b(?:float\d+|int\d+|float|int|tensor|Array|array)\(")
_DEVICE = re.compile(rf", (?:device|dtype|grad_fn)=[^,)}}\]]*|cuda:[{NUM}]")
_BAR = re.compile(r"%\|[^|]*\||\[[=>.━╸╺ \-]{3,}\]|[━╸╺]{3,}")
_KERAS = re.compile(
    rf"\s*[{NUM}]/[{NUM}]\s*(?:\[[=>. ]+\]|[━╸╺]+)?\s*-?\s*(?:ETA: )?[{NUM}{CLOCK}](?:ms|us|s)?(?![A-Za-z])"
)
_KEYED = (re.compile(r"\bkey: ([\w./-]+), value: "), re.compile(r"\b([\w./-]+): \{value: "))
_TEXT_VALUE = re.compile(r"[\w.]+\s*[:=]\s*(?:[A-Za-z/\\][^,;|(]*|\[\]|)(?=[,;|})]|$)")
_PATH = re.compile(r"^/|://|\.py\b|::|/home/|\\")
_EPOCH_COST = re.compile(r"(?i)epoch \w+$")
_AXIS_HINT = (
    rf"(?i)epoch|step|iter|updat|batch|episode|round|generation|\bep\b|\bitr?\b|\be\b|\bi\b|{HOLE} ?/ ?{HOLE}|\]\["
)
_PROSE = 12  # a line with more words is a row only if it has enough separators
_TRUTH = re.compile(r"[:=]\s*(?:True|False|None|true|false|null|Namespace\()")
_SENTENCE = frozenset(
    "is are was were has have had will not improved improving can could should saved saving loaded loading found using new".split()
)
_TOPIC = re.compile(r"\s*([A-Za-z][\w-]*):\s+[A-Za-z_]\w*\s*[:=]")
_ESPNET = re.compile(rf"([{NUM}])epoch:(\w+):[{NUM}]([{NUM}])batch:")


class ValueField(Struct, frozen=True):
    """A metric of a line: its name, the index of its number, and a factor or divisor."""

    name: str
    place: int
    scale: float = 1.0
    whole: int | None = None  # of ``9840/10000``: the index of the total


class LineTemplate(Struct, frozen=True):
    """The values and axes in lines of one shape. Integers are indexes of the line's numbers, from 0."""

    values: tuple[ValueField, ...] = ()
    epoch: int | None = None
    fine: int | None = None  # a count of steps
    total: int | None = None  # the planned end of the count
    fine_name: str = ""
    epoch_name: str = ""
    wall: int | None = None
    split: str = ""
    prefix: str = ""
    box: bool = False
    bar: str = ""  # ``tqdm`` or ``keras``: a progress bar
    inner: bool = False  # the count restarts in each epoch
    columns: int = 0  # count of columns, in a row of only numbers
    section: str = ""  # in a box: the name of the next section
    parts: tuple[int, ...] = ()  # numbers that are part of names
    header: bool = False  # only an axis, as in ``epoch: 100``; it is a setting if it is not repeated
    sure: bool = False  # its names are measures, so it is a row even without an axis

    @property
    def is_row(self) -> bool:
        """Whether the lines hold values that may become points."""
        return bool(self.values) and (self.sure or self.has_axis)

    @property
    def has_axis(self) -> bool:
        """Whether the lines hold an epoch or a step."""
        return self.epoch is not None or self.fine is not None


def template_of(shape: str, tokens: list[str]) -> LineTemplate | None:
    """Returns the template of a shape, from the first line with it; None where the line holds no values and no axis."""
    if len(tokens) >= MAX_NUMBERS or shape.count(HOLE) != len(tokens):
        return None
    marked = marked_line(shape, tokens)
    if (ranked := re.match(rf"[^{NUM}]{{0,80}}?(?i:\brank)[ _:=]?([{NUM}])", marked)) and ranked.end() < _NEAR:
        return LineTemplate(parts=(place_of(ranked[1]),))  # each rank gets its own template
    body, wall, logger, rank = without_prefix(marked)
    prefix = f"rank{rank}/" if rank not in ("", "0") else ""
    box = _box(body)
    if box is not None:
        return box
    if columns := _columns(body):
        return LineTemplate(columns=columns, wall=wall, prefix=prefix)
    body = _DEVICE.sub("", _WRAPPERS.sub("", body)).replace('"', "").replace("'", "")
    bar = "tqdm" if re.search(rf"[{NUM}]%\|", body) else "keras" if _KERAS.match(body) else ""
    body = re.sub(r"[ \xa0]+", " ", _BAR.sub("||", body))
    if _is_settings(body):
        return None
    body = _ESPNET.sub(r"epoch \1 [\2] batch \3: ", body)
    for pattern in _KEYED:
        body = pattern.sub(r"\1: ", body)
    fields = fields_of(body, tokens)
    if parts := _name_parts(fields, tokens):
        return LineTemplate(parts=parts)
    topic = _TOPIC.match(body)
    if (
        topic
        and not split_of_word(topic[1])
        and not any(is_axis_name(f.label) for f in fields)
        and not is_axis_name(topic[1])
    ):
        prefix = f"{prefix}{topic[1]}/"
    return _assembled(body, fields, wall, logger if logger in _FAIRSEQ else "", prefix, bar)


def may_be_row() -> pl.Expr:
    """Whether a shape may be that of a row: it has an axis, a measure, a box, or only numbers. Rules out most text."""
    shape = pl.col("shape")
    hints = shape.str.contains(_AXIS_HINT) | shape.str.contains(MEASURE.pattern) | shape.str.contains(r"^\s*\|")
    prose = (shape.str.count_matches(r"[A-Za-z]{2,}") > _PROSE) & (
        shape.str.count_matches(r"[:=|]") * 6 < shape.str.count_matches(r"[A-Za-z]{2,}")
    )
    return (hints & ~prose) | ~shape.str.contains(r"[A-Za-z]{3,}")


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


def _columns(body: str) -> int:
    """Returns the count of columns in a line of only numbers, one of them perhaps ``1/300``; 0 for any other line."""
    bare = re.sub(r"(?<=[\ue000-\ue3ff])(?:[kMG%]|[MG]iB|B)?(?=[\s/,;|]|$)", "", body).strip()
    if not re.fullmatch(rf"[{NUM}{CLOCK}\s/,;|]+", bare):
        return 0
    count = len(re.findall(f"[{NUM}{CLOCK}]", bare))
    return count if count > 1 else 0


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
        values += _value(
            field, fields[i - 1] if i else None, values, field.section if field.section and not logger else split
        )
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
    )
    return LineTemplate(
        values=tuple(values), epoch=_at(fields, epoch), fine=_at(fields, fine),
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


def _value(field: LineField, last: LineField | None, values: list[ValueField], split: str) -> list[ValueField]:
    """Returns the metric of a field; [] where its name cannot be a metric."""
    if field.kind == "d" or (field.kind == "h" and not re.search(r"(?i)time|elapsed|wall", field.label)):
        return []
    if not field.label:
        return _unnamed_value(field, last, values)
    name = _metric_name(field.label, split)
    words = len(name.split())
    ends = field.label.split()
    if split_of_word(field.label):
        return [ValueField(field.label, field.place, 1.0, field.total)] if field.tight else []
    if ends and (
        ends[0] in IDLE
        or ends[-1] in IDLE
        or not _SENTENCE.isdisjoint(ends)
        or name.count("(") != name.count(")")
        or field.before.endswith("#")
    ):
        return []
    if (
        not name
        or _PATH.search(name)
        or name.lower().rsplit("/", 1)[-1] in NEVER
        or words > (6 if field.tight else 3)
        or re.search(r"[A-Za-z]", name) is None
    ):
        return []
    if re.match(r"[A-Za-z_]{3,}", field.after) and not UNIT.match(field.after):
        return []  # ``3rdparty``: not a number
    return [
        ValueField(
            name,
            field.place,
            scale_of(name, field.after.lstrip()[:2] if not field.after.startswith(" ") else ""),
            field.total,
        )
    ]


def _unnamed_value(field: LineField, last: LineField | None, values: list[ValueField]) -> list[ValueField]:
    """Returns a number without a name: the running mean in ``Loss 0.3 (0.35)``, or a member of ``dice [0.9, 0.8]``."""
    if last is None or not values or field.total is not None:
        return []
    if (
        re.fullmatch(r"\s*\(\s*(?:avg:?\s*)?", field.before)
        and field.after.lstrip().startswith(")")
        and values[-1].place == last.place
    ):
        return [ValueField(f"{values[-1].name}.avg", field.place)]
    if re.fullmatch(r"[\s,]+", field.before) and "[" in last.before and values[-1].place == last.place:
        values[-1] = ValueField(f"{values[-1].name}.0", last.place)
        return [ValueField(f"{values[-1].name[:-2]}.1", field.place)]
    counted = re.fullmatch(r"(.*)\.(\d+)", values[-1].name)
    if re.fullmatch(r"[\s,]+", field.before) and counted and values[-1].place == last.place:
        return [ValueField(f"{counted[1]}.{int(counted[2]) + 1}", field.place)]
    return []


def _metric_name(label: str, split: str) -> str:
    """Returns the name of a metric as printed, with a split before it as prefix."""
    words = label.split(" ")
    own = split_of_word(words[0]) if len(words) > 1 else ""
    if own:
        rest = words[2:] if len(words) > 2 and words[1].lower() in ("set:", "set") else words[1:]
        if rest and f"/{own}" in f"/{'/'.join(rest).lower()}"[1:]:
            return " ".join(rest)
        return f"{own}/{' '.join(rest)}" if rest and re.search(r"[A-Za-z]", "".join(rest)) else label
    if split and split_of_word(re.split(r"[^A-Za-z]", label, maxsplit=1)[0]) != "":
        return label  # ``val_loss`` in a line of the training split
    return f"{split}/{label}" if split else label


def _is_header(body: str) -> bool:
    """Whether a line is only an axis: ``Epoch 3/20``, ``##### Epoch 1 #####``, ``Training epoch: 8``."""
    bare = re.sub(f"[{NUM}{DATE}{CLOCK}]", " ", body)
    words = re.findall(r"[A-Za-z_]+", bare)
    return (
        1 <= len(words) <= 4
        and any(is_axis_name(w) for w in words[:3])
        and not re.search(r"(?i)best|load|sav|resum|from|stop", bare)
    )
