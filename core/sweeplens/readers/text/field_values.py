"""Names the values of a line: each field that is no axis becomes a metric, or none.

value_of(field, last, values, split)  -> the metric of a field, with its split; [] where its name cannot be one
distinct(values, fields)              -> the same values; those with one name get names of their own
"""

from __future__ import annotations

import re
from collections import Counter

import msgspec
from msgspec import Struct

from sweeplens.readers.text.fields import LineField
from sweeplens.readers.text.names import IDLE, NEVER, UNIT, scale_of, split_of_word

__all__ = ["ValueField", "distinct", "value_of"]

_PATH = re.compile(r"^/|://|\.py\b|::|/home/|\\")
_SENTENCE = frozenset(
    "is are was were has have had will not improved improving can could should saved saving loaded loading found using new".split()
)
_BEFORE_AXIS = re.compile(r"(?i)^([a-z_][\w ]{1,39}?) (?:at|after|for|in) (?:epoch|step|iter|iteration|episode)$")


class ValueField(Struct, frozen=True):
    """A metric of a line: its name, the index of its number, and a factor or divisor."""

    name: str
    place: int
    scale: float = 1.0
    whole: int | None = None  # of ``9840/10000``: the index of the total


def value_of(field: LineField, last: LineField | None, values: list[ValueField], split: str) -> list[ValueField]:
    """Returns the metric of a field; [] where its name cannot be a metric."""
    if (
        field.kind == "d"
        or field.after.startswith("||")
        or (field.kind == "h" and not re.search(r"(?i)time|elapsed|wall", field.label))
    ):
        return []
    if not field.label:
        return _unnamed_value(field, last, values, split)
    name = _metric_name(field.label, split, tight=field.tight)
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
        or name.lower() in NEVER
        or (split and name.lower() == f"{split}/{field.label.lower()}" and field.label.lower() in NEVER)
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


def _unnamed_value(field: LineField, last: LineField | None, values: list[ValueField], split: str) -> list[ValueField]:
    """Returns a number without a name.

    It is that of ``Loss at step 3: 0.5``, the running mean in ``Loss 0.3 (0.35)``, or a member of ``dice [0.9, 0.8]``.
    """
    if last is not None and not values and (measured := _BEFORE_AXIS.match(last.label)) and field.tight:
        return [ValueField(_metric_name(measured[1], split, tight=True), field.place)]
    if last is None or not values or field.total is not None:
        return []
    if (
        re.fullmatch(r"\s*\(\s*(?:avg:?\s*)?", field.before)
        and field.after.lstrip().startswith(")")
        and field.whole <= last.whole
        and not values[-1].name.lower().startswith("avg")
        and values[-1].place == last.place
    ):
        return [ValueField(f"{values[-1].name}.avg", field.place)]
    if re.fullmatch(r"\s*/\s*", field.before) and values[-1].place == last.place:
        return [ValueField(f"{values[-1].name}.1", field.place)]
    if re.fullmatch(r"[\s,]+", field.before) and "[" in last.before and values[-1].place == last.place:
        values[-1] = ValueField(f"{values[-1].name}.0", last.place)
        return [ValueField(f"{values[-1].name[:-2]}.1", field.place)]
    counted = re.fullmatch(r"(.*)\.(\d+)", values[-1].name)
    if re.fullmatch(r"[\s,]+", field.before) and counted and values[-1].place == last.place:
        return [ValueField(f"{counted[1]}.{int(counted[2]) + 1}", field.place)]
    return []


def distinct(values: list[ValueField], fields: list[LineField]) -> list[ValueField]:
    """Gives values of one line with the same name names of their own: by the word before their bracket, else numbered."""
    groups = {f.place: f.group for f in fields}
    count = Counter(v.name for v in values)
    named = [
        msgspec.structs.replace(v, name=f"{groups[v.place]}.{v.name}")
        if count[v.name] > 1 and groups.get(v.place)
        else v
        for v in values
    ]
    seen: Counter[str] = Counter()
    made: list[ValueField] = []
    for value in named:
        seen[value.name] += 1
        again = seen[value.name] > 1
        made.append(msgspec.structs.replace(value, name=f"{value.name}.{seen[value.name]}") if again else value)
    return made


def _metric_name(label: str, split: str, *, tight: bool) -> str:
    """Returns the name of a metric as printed, with a split before it as prefix."""
    words = label.split(" ")
    own = split_of_word(words[0]) if len(words) > 1 else ""
    if len(words) > (2 if own else 1) and not tight and "_" in words[-1]:
        return words[-1]  # ``CV info cv_loss 80.2``
    if own:
        rest = words[2:] if len(words) > 2 and words[1].lower() in ("set:", "set") else words[1:]
        if rest and f"/{own}" in f"/{'/'.join(rest).lower()}"[1:]:
            return " ".join(rest)
        return f"{own}/{' '.join(rest)}" if rest and re.search(r"[A-Za-z]", "".join(rest)) else label
    if split and split_of_word(re.split(r"[^A-Za-z]", label, maxsplit=1)[0]) != "":
        return label  # ``val_loss`` in a line of the training split
    return f"{split}/{label}" if split else label
