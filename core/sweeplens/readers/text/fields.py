"""One line, numbers marked -> its fields: names with the places of their values, axes, time, split. Called once for each shape.

Each number of the line becomes one sign that says its kind and its place; everything else stays text. A field is a number and
the words before it: ``name: 1``, ``name=1``, ``| name 1 |``, ``Name 1 (1.5)``, ``name: [1, 2]``, ``Epoch [1/20]``, ``[1][50/900]``.
"""

from __future__ import annotations

import itertools
import re

import polars as pl
from msgspec import Struct

from sweeplens.readers.text.lines import HOLE
from sweeplens.readers.text.names import (
    EPOCHS,
    IDLE,
    INNER_RANK,
    MEASURE,
    NEVER,
    SPLITS,
    UNIT,
    fine_rank,
    scale_of,
    split_of_word,
)

__all__ = ["LineTemplate", "ValueField", "may_be_row", "template_of"]

_N, _D, _H = "\ue000-\ue3ff", "\ue400-\ue7ff", "\ue800-\uebff"  # numbers, dates, times of day and durations
_FIRST = {"n": 0xE000, "d": 0xE400, "h": 0xE800}
_MOST = 1024
_NEAR = 80  # characters from the beginning of a line in which a rank is its prefix
_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|NOTICE|TRACE|SUCCESS|I|W)"
_WORD_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|NOTICE|TRACE|SUCCESS)"
_PREFIXES = tuple(
    re.compile(p)
    for p in (
        rf"\s*\(\w+ pid=[{_N}](?:, ip=[^)]*)?\)\s*",
        rf"\s*\[[{_N}],[{_N}]\]<std\w+>:\s*",
        r"\s*\[?(?:default|node)_?\d+\]?:\s*",
        rf"\s*[IWEF]\d{{4}} [{_H}]\s+[{_N}]\s+\S+?:[{_N}]\]\s*",
        rf"\s*(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w* )?[A-Z][a-z][a-z]\s+[{_N}]\s+[{_H}]\s*(?:[A-Z]{{3,4}} )?(?:[{_N}])?[:\s]*",
        rf"\s*[\[(]?(?:[{_D}]|[{_N}](?:[/.\-][{_N}]){{1,2}}[ |T,]+[{_H}]|[{_H}])(?:[.,][{_N}])?"
        rf"(?:[ ,]+{_LEVEL}\b)?(?:\s+[\w.]+)?(?=[\])])[\])]?[\s:\-|]*",
        rf"\s*[\[(]?(?:[{_D}]|[{_N}](?:[/.\-][{_N}]){{1,2}}[ |T,]+[{_H}]|[{_H}])(?:[.,][{_N}])?[\])]?[\s:\-|,]*",
        rf"\s*(?:-\s*)?[\w.\\/]+ (?:-|\|) {_LEVEL} (?:-|\|) ",
        rf"\s*\(\w+:[{_N}]\)\s*{_LEVEL}:\s*",
        rf"\s*[\w.]+ {_LEVEL}:\s*",
        rf"\s*[\[<(]?{_LEVEL}[\])>]?\s*(?:\|\s*[\w.]+(?::[\w<>]+:[{_N}])?\s*[|-]\s|:[\w.]+:|[:|\-]\s|\s*\(\w[\w.]*:[{_N}]\):?|(?<=\]))\s*",
        rf"\s*\[[\w.\-]+\](?=\s*[{_D}])\s*",
        rf"\s*\[[\w/.\-]+\.py:[{_N}][^\]]*\]\s*",
        rf"DLLL?\s+(?=[{_D}])",
        rf"\s*{_WORD_LEVEL}\s+(?=\S)",
        rf"\s*\[?[\w./\\\-]+\.py(?::[{_N}])?(?::\w+)?[\]):]*\s*(?:[-|]\s)?(?=\S)",
    )
)
_RANK = re.compile(rf"\s*\[?(?i:rank)[ _:=]?(\d+|[{_N}])\]?:?\s+")
_LOGGER = re.compile(rf"{_LEVEL} \| ([\w.]+) \| ")
_FAIRSEQ = frozenset({"train_inner", "train", "valid", "test"})
_WRAPPERS = re.compile(r"(?:\b(?:np|numpy|torch|jnp)\.)?\b(?:float\d+|int\d+|float|int|tensor|Array|array)\(")
_DEVICE = re.compile(rf", (?:device|dtype|grad_fn)=[^,)}}\]]*|cuda:[{_N}]")
_BAR = re.compile(r"%\|[^|]*\||\[[=>.━╸╺ \-]{3,}\]|[━╸╺]{3,}")
_KERAS = re.compile(rf"\s*[{_N}]/[{_N}]\s*(?:\[[=>. ]+\]|[━╸╺]+)?\s*-?\s*(?:ETA: )?[{_N}{_H}](?:ms|us|s)?(?![A-Za-z])")
_KEYED = (re.compile(r"\bkey: ([\w./-]+), value: "), re.compile(r"\b([\w./-]+): \{value: "))
_TEXT_VALUE = re.compile(r"[\w.]+\s*[:=]\s*(?:[A-Za-z/\\][^,;|(]*|\[\]|)(?=[,;|})]|$)")
_PATH = re.compile(r"^/|://|\.py\b|::|/home/|\\")
_EPOCH_COST = re.compile(r"(?i)epoch \w+$")
_AXIS_HINT = (
    rf"(?i)epoch|step|iter|updat|batch|episode|round|generation|\bep\b|\bitr?\b|\be\b|\bi\b|{HOLE} ?/ ?{HOLE}|\]\["
)
_PROSE = 12  # words from which on a line needs signs between them to be a row
_LEVELS = re.compile(rf"^(?:[\[(]?{_WORD_LEVEL}\b[\])]?[\s:|\-]*)+")
_TRUTH = re.compile(r"[:=]\s*(?:True|False|None|true|false|null|Namespace\()")
_SENTENCE = frozenset(
    "is are was were has have had will not improved improving can could should saved saving loaded loading found using new".split()
)
_TOPIC = re.compile(r"\s*([A-Za-z][\w-]*):\s+[A-Za-z_]\w*\s*[:=]")
_ESPNET = re.compile(rf"([{_N}])epoch:(\w+):[{_N}]([{_N}])batch:")
_SECTION = re.compile(
    r"(?i)(?:^|[\s\[(|,;:>*-])(train(?:ing)?|valid(?:ation)?|val|test(?:ing)?|eval(?:uation)?|dev)"
    r"(?: \w+){0,2}(?:\]|:|\s\||\s-)(?=[\s\w]|$)"
)
_HARD = re.compile(r"[,;|\t\{\}]|\s[-–—•>*]+\s|[\)\]]+[\s:,]*")
_TIGHT = re.compile(r"[:=]\s*[\[\(<]?\s*$")
_EDGE = " \t:=[(<{*#>|-–•~\"'`"


class ValueField(Struct, frozen=True):
    """A metric of a line: its name, the place of its number, and what the number is multiplied by or divided through."""

    name: str
    place: int
    scale: float = 1.0
    whole: int | None = None  # ``9840/10000``: the place of what it is a part of


class LineTemplate(Struct, frozen=True):
    """What the lines of one shape hold. Places count the numbers of the line from 0."""

    values: tuple[ValueField, ...] = ()
    epoch: int | None = None
    fine: int | None = None  # a count of steps
    total: int | None = None  # what the count leads to
    fine_name: str = ""
    epoch_name: str = ""
    wall: int | None = None
    split: str = ""
    prefix: str = ""
    box: bool = False
    bar: str = ""  # ``tqdm`` or ``keras``: a progress bar
    inner: bool = False  # the count begins again with each epoch
    columns: int = 0  # a row of numbers and nothing else
    section: str = ""  # of a box: the name of what follows
    parts: tuple[int, ...] = ()  # numbers that belong to names
    header: bool = False  # an axis alone, as in ``epoch: 100``: a setting where it does not come again
    sure: bool = False  # its names are those of measures: a row even where the line has no axis

    @property
    def is_row(self) -> bool:
        """Whether its lines hold values that may be points."""
        return bool(self.values) and (self.sure or self.has_axis)

    @property
    def has_axis(self) -> bool:
        """Whether its lines say where the training was."""
        return self.epoch is not None or self.fine is not None


class _Field(Struct):
    """A number and the words before it."""

    label: str
    place: int
    tight: bool  # ``:`` or ``=`` stands between
    before: str  # the text since the number before
    after: str
    total: int | None = None
    kind: str = "n"
    section: str = ""  # the split that was named last before it


def template_of(shape: str, tokens: list[str]) -> LineTemplate | None:
    """The template of a shape, told from the line in which it was seen first; None where there is nothing in it."""
    if len(tokens) >= _MOST or shape.count(HOLE) != len(tokens):
        return None
    marked = _marked(shape, tokens)
    if (ranked := re.match(rf"[^{_N}]{{0,80}}?(?i:\brank)[ _:=]?([{_N}])", marked)) and ranked.end() < _NEAR:
        return LineTemplate(parts=(_place(ranked[1]),))  # each rank is a template of its own
    body, wall, logger, rank = _without_prefix(marked)
    prefix = f"rank{rank}/" if rank not in ("", "0") else ""
    box = _box(body)
    if box is not None:
        return box
    if columns := _columns(body):
        return LineTemplate(columns=columns, wall=wall, prefix=prefix)
    body = _DEVICE.sub("", _WRAPPERS.sub("", body)).replace('"', "").replace("'", "")
    bar = "tqdm" if re.search(rf"[{_N}]%\|", body) else "keras" if _KERAS.match(body) else ""
    body = re.sub(r"[ \xa0]+", " ", _BAR.sub("||", body))
    if _is_settings(body):
        return None
    body = _ESPNET.sub(r"epoch \1 [\2] batch \3: ", body)
    for pattern in _KEYED:
        body = pattern.sub(r"\1: ", body)
    fields = _fields(body, tokens)
    if parts := _name_parts(fields, tokens):
        return LineTemplate(parts=parts)
    topic = _TOPIC.match(body)
    if (
        topic
        and not split_of_word(topic[1])
        and not any(_axis_word(f.label) for f in fields)
        and not _axis_word(topic[1])
    ):
        prefix = f"{prefix}{topic[1]}/"
    return _assembled(body, fields, wall, logger if logger in _FAIRSEQ else "", prefix, bar)


def may_be_row() -> pl.Expr:
    """Whether a shape may be that of a row: it has an axis, a measure, a box, or nothing but numbers. Refuses most text."""
    shape = pl.col("shape")
    hints = shape.str.contains(_AXIS_HINT) | shape.str.contains(MEASURE.pattern) | shape.str.contains(r"^\s*\|")
    prose = (shape.str.count_matches(r"[A-Za-z]{2,}") > _PROSE) & (
        shape.str.count_matches(r"[:=|]") * 6 < shape.str.count_matches(r"[A-Za-z]{2,}")
    )
    return (hints & ~prose) | ~shape.str.contains(r"[A-Za-z]{3,}")


def _is_settings(body: str) -> bool:
    """Whether a line lists settings: several of its names have words or truth values."""
    return len(_TEXT_VALUE.findall(body)) >= 3 and bool(_TRUTH.search(body))


def _marked(shape: str, tokens: list[str]) -> str:
    pieces = shape.split(HOLE)
    signs = (chr(_FIRST[_kind(t)] + i) for i, t in enumerate(tokens))
    return pieces[0] + "".join(sign + piece for sign, piece in zip(signs, pieces[1:], strict=True))


def _kind(token: str) -> str:
    if len(token) > 4 and token[4] in "-/" and token[:4].isdigit():
        return "d"
    return "h" if ":" in token else "n"


def _place(sign: str) -> int:
    return (ord(sign) - 0xE000) % _MOST


def _without_prefix(text: str) -> tuple[str, int | None, str, str]:
    """The text behind time, level, logger and rank; the place of the time; the logger; the rank."""
    wall: int | None = None
    logger = rank = ""
    for _ in range(6):
        found = _RANK.match(text)
        if found:
            rank = found[1] if found[1].isdigit() else ""
        else:
            found = next((m for p in _PREFIXES if (m := p.match(text)) and m.end()), None)
        if found is None:
            break
        if wall is None and (date := re.search(f"[{_D}]", found.group())):
            wall = _place(date.group())
        if named := _LOGGER.search(found.group()):
            logger = named[1]
        text = text[found.end() :]
    return text, wall, logger, rank


def _box(body: str) -> LineTemplate | None:
    """``| name | 1 |``, or ``| section/ | |``; consoles of reinforcement learning print blocks of them."""
    cells = [c.strip() for c in body.strip().split("|")]
    if len(cells) != 4 or cells[0] or cells[3] or not cells[1] or re.search(f"[{_N}{_D}{_H}]", cells[1]):
        return None
    if not cells[2]:
        return LineTemplate(box=True, section=cells[1])
    found = re.match(f"([{_N}])", cells[2])
    if not found:
        return None
    field = _Field(cells[1], _place(found[1]), True, "", cells[2][1:])
    count = fine_rank(cells[1].lower())
    made = _assembled(cells[1], [field], None, "", "", "") or LineTemplate()
    return LineTemplate(
        values=made.values if not count else (ValueField(cells[1], field.place),), epoch=made.epoch, fine=made.fine,
        fine_name=made.fine_name, epoch_name=made.epoch_name,
        box=True, sure=True, inner=made.inner,
    )  # fmt: skip


def _columns(body: str) -> int:
    """How many numbers there are, where there is nothing but numbers, one of them perhaps ``1/300``; 0 for any other line."""
    bare = re.sub(r"(?<=[\ue000-\ue3ff])(?:[kMG%]|[MG]iB|B)?(?=[\s/,;|]|$)", "", body).strip()
    if not re.fullmatch(rf"[{_N}{_H}\s/,;|]+", bare):
        return 0
    count = len(re.findall(f"[{_N}{_H}]", bare))
    return count if count > 1 else 0


def _fields(body: str, tokens: list[str]) -> list[_Field]:
    """The numbers of a line with what stands before and behind them; totals are joined to their counts."""
    fields: list[_Field] = []
    section = ""
    marks = list(re.finditer(f"[{_N}{_D}{_H}]", body))
    end = 0
    for i, mark in enumerate(marks):
        before = body[end : mark.start()]
        after = body[mark.end() : marks[i + 1].start()] if i + 1 < len(marks) else body[mark.end() :]
        end = mark.end()
        sign = mark.group()
        last = fields[-1] if fields else None
        if (
            last
            and last.total is None
            and last.kind == "n"
            and re.fullmatch(r"\s*(?:/|of|out of)\s*", before)
            and sign < "\ue400"
        ):
            last.total = _place(sign)
            last.after = after
            continue
        if last and re.fullmatch(r"\s*(?:/|of)\s*", before):
            continue  # a third part, or a date
        kind = "n" if sign < "\ue400" else "d" if sign < "\ue800" else "h"
        label, tight = _label(before, fields[-1] if fields else None)
        named = list(_SECTION.finditer(before)) if i else []
        named = [m for m in named if m.end() < len(before.rstrip()) or not tight or "]" in m.group()]
        section = split_of_word(named[-1][1]) if named else section
        fields.append(_Field(label, _place(sign), tight, before, after, kind=kind, section=section))
    return fields


def _label(before: str, last: _Field | None) -> tuple[str, bool]:
    """The words that name a number, and whether ``:`` or ``=`` binds them."""
    text = before
    if last is not None:
        counted = re.match(r"(?i)(?:st|nd|rd|th)?\s?(?:epoch|step|iter|batch)s?\b:?", text)
        unit = (counted if not last.label else None) or UNIT.match(text)
        text = text[unit.end() :] if unit and unit.end() else text
    tight = bool(_TIGHT.search(text))
    text = text.rstrip(_EDGE)
    cut = 0
    for stop in _HARD.finditer(text):
        if stop.end() < len(text) and not _opens(text, stop):
            cut = stop.end()
    text = text[cut:]
    if tight:
        text = (
            re.split(r"(?<=[^\s]):\s+|=\s+", text)[-1]
            if not re.match(r"(?i)(?:test(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|train(?:ing)?)( set)?:", text)
            else text
        )
        text = text.split("=")[-1] if "=" in text else text
    else:
        text = re.split(r":\s+", text)[-1]
    text = re.sub(r"\s+", " ", text.strip(" \t:=[(<{*>|-–•~.!;,")).strip()
    text = re.sub(r"^[^\w#@(<]+", "", _LEVELS.sub("", text))
    text = text.rstrip("]") if "[" not in text else text
    return (text if re.search(r"[^\W\d_]|#", text) and not re.fullmatch(r"(?:it|s|ms)/\w+", text) else ""), tight


def _opens(text: str, stop: re.Match[str]) -> bool:
    """Whether a closing bracket belongs to the name: ``time per iteration (ms)``, ``Epoch(train)``."""
    inner = stop.group().strip()
    at = text.rfind("(", 0, stop.start())
    return inner.startswith(")") and at >= 0 and stop.end() >= len(text.rstrip()) and at > 0


def _name_parts(fields: list[_Field], tokens: list[str]) -> tuple[int, ...]:
    """Numbers inside names: ``BLEU-1 70.1``, ``Acc@5: 0.9``, ``class 3: 0.5``."""
    parts: list[int] = []
    for field, following in itertools.pairwise(fields):
        glued = bool(re.search(r"[\w@.\-]$", field.before)) and not re.search(r"[:=]$", field.before)
        bound = bool(re.fullmatch(r"\s*[:=]\s*", following.before)) and not _axis_word(field.label)
        named = bool(re.fullmatch(r"\s*[:=]?\s+", following.before)) or bound
        word = tokens[field.place][-1:].isalpha() and bool(re.match(r"\s+[a-z_][\w ]*\s?[:=]", field.after))
        if field.kind == "n" and field.total is None and field.label and ((glued and named) or bound or word):
            parts.append(field.place)
    return tuple(parts)


def _axis_word(label: str) -> bool:
    word = _axis_label(label)[0]
    return word in EPOCHS or fine_rank(word) is not None


def _axis_label(label: str) -> tuple[str, str]:
    """A label without split and adjectives, in lower case; and the split. ``Train Epoch`` -> (``epoch``, ``train``)."""
    found = re.fullmatch(r"(?i)(\w+)\s*\((\w+)\)", label)
    if found and found[2].lower() in SPLITS:
        return found[1].lower(), split_of_word(found[2])
    words = re.sub(r"^[\W_]+", "", label.lower()).split() or [label.strip().lower()]
    split = ""
    while len(words) > 1 and (
        words[0].strip("[]():") in SPLITS or words[0] in ("current", "starting", "start", "begin", "set:")
    ):
        split = split_of_word(words[0]) or split
        words = words[1:]
    return " ".join(words), split


def _assembled(
    body: str, fields: list[_Field], wall: int | None, logger: str, prefix: str, bar: str
) -> LineTemplate | None:
    """Fields -> the template: axes first, then everything else that has a name."""
    epoch, fine, used = _axes(fields, body)
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
        wall=wall, split=split or (_progress_split(fields[fine]) if fine is not None else ""), prefix=prefix, bar=bar, sure=sure,
        inner=fine is not None and _rank(fields[fine]) >= INNER_RANK,
        header=not values and axis is not None and axis.tight and axis.total is None,
    )  # fmt: skip


def _rank(field: _Field) -> int:
    rank = fine_rank(_axis_label(field.label)[0])
    return rank if rank is not None else INNER_RANK + 1


def _progress_split(field: _Field) -> str:
    """``Test: [10/79]``: the split whose batches are counted."""
    return split_of_word(field.label) if field.total is not None else ""


def _at(fields: list[_Field], i: int | None) -> int | None:
    return fields[i].place if i is not None else None


def _axes(fields: list[_Field], body: str) -> tuple[int | None, int | None, set[int]]:
    """Which fields are the epoch and the count of steps, and all that are no values."""
    epoch: int | None = None
    best: tuple[int, int] | None = None
    used: set[int] = set()
    for i, field in enumerate(fields):
        if field.kind != "n":
            continue
        word, _ = _axis_label(field.label)
        word = "epoch" if word == "epochs" and field.total is not None else word
        behind = re.match(r"(?i)(?:st|nd|rd|th)?\s?(epoch|step|iter|batch)s?\b", field.after)
        if not field.label and behind and not re.search(r"\w$", field.before):
            word = behind[1].lower()
        short = word in ("e", "i", "it", "ep", "#") and field.total is None and i > 0
        if word in EPOCHS and not short:
            if epoch is None:
                epoch = i
                used.add(i)
            continue
        rank = fine_rank(word) if not short else None
        if (
            rank is None
            and not field.label
            and i > 0
            and i - 1 in used
            and re.fullmatch(r"\s*[\]\)]?\s*[\[\(,:]?\s*", field.before)
        ):
            rank = 4 if field.total is not None or "[" in field.before else None
        if rank is None and _progress_split(field):
            rank = 4
        if rank is None and not field.label and field.total is not None and (i == 0 or _is_progress(field)):
            rank = 5
        if rank is not None and (best is None or rank < best[0]):
            best = (rank, i)
    if best is not None:
        used.add(best[1])
    return epoch, best[1] if best else None, used


def _is_progress(field: _Field) -> bool:
    return bool(re.search(r"[\[\(|]\s*$", field.before)) and bool(re.match(r"\s*[\]\)\[]", field.after))


def _split(body: str, fields: list[_Field]) -> str:
    """The split that the words before the first number name, if they name one."""
    head = re.split(f"[{_N}{_D}{_H}]", body, maxsplit=1)[0]
    found = re.match(
        r"(?i)[\W_]*(train(?:ing)?|valid(?:ation|ating|ate)?|val|test(?:ing)?|eval(?:uation|uating)?|dev)\b[\s\]):]",
        head,
    )
    if found:
        first = fields[0].label.lower() if fields else ""
        if first.startswith(found[1].lower()) and not _axis_word(first) and fields[0].tight is False:
            return ""  # ``train loss 4.2, val loss 4.3``: each name has its own
        own = [f for f in fields if f.label and split_of_word(f.label.split()[0])]
        return "" if len({split_of_word(f.label.split()[0]) for f in own}) > 1 else split_of_word(found[1])
    found = re.search(r"(?i)\((train|val|valid|validation|test)\)", head)
    return split_of_word(found[1]) if found else ""


def _value(field: _Field, last: _Field | None, values: list[ValueField], split: str) -> list[ValueField]:
    """The metric of a field; none where it has no name that can be one."""
    if field.kind == "d" or (field.kind == "h" and not re.search(r"(?i)time|elapsed|wall", field.label)):
        return []
    if not field.label:
        return _second(field, last, values)
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
        return []  # ``3rdparty``: no number
    return [
        ValueField(
            name,
            field.place,
            scale_of(name, field.after.lstrip()[:2] if not field.after.startswith(" ") else ""),
            field.total,
        )
    ]


def _second(field: _Field, last: _Field | None, values: list[ValueField]) -> list[ValueField]:
    """``Loss 0.3 (0.35)``: the running mean; ``dice [0.9, 0.8]``: the members of a list."""
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
    """The name of a metric as it is printed; a split before it becomes its prefix."""
    words = label.split(" ")
    own = split_of_word(words[0]) if len(words) > 1 else ""
    if own:
        rest = words[2:] if len(words) > 2 and words[1].lower() in ("set:", "set") else words[1:]
        if rest and f"/{own}" in f"/{'/'.join(rest).lower()}"[1:]:
            return " ".join(rest)
        return f"{own}/{' '.join(rest)}" if rest and re.search(r"[A-Za-z]", "".join(rest)) else label
    if split and split_of_word(re.split(r"[^A-Za-z]", label, maxsplit=1)[0]) != "":
        return label  # ``val_loss`` in a line of training
    return f"{split}/{label}" if split else label


def _is_header(body: str) -> bool:
    """Whether a line is an axis and nothing else: ``Epoch 3/20``, ``##### Epoch 1 #####``, ``Training epoch: 8``."""
    bare = re.sub(f"[{_N}{_D}{_H}]", " ", body)
    words = re.findall(r"[A-Za-z_]+", bare)
    return (
        1 <= len(words) <= 4
        and any(_axis_word(w) for w in words[:3])
        and not re.search(r"(?i)best|load|sav|resum|from|stop", bare)
    )
