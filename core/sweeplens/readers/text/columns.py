"""Finds the columns of rows with only numbers: by the header above them, or for tools that print none."""

from __future__ import annotations

import re
from pathlib import PurePath

from sweeplens.readers.text.field_values import ValueField
from sweeplens.readers.text.fields import CLOCK, DATE, MAX_NUMBERS, NUM, marked_line
from sweeplens.readers.text.lines import shape_of, tokens_of
from sweeplens.readers.text.names import EPOCHS, INNER_RANK, MEASURE, fine_rank
from sweeplens.readers.text.prefixes import without_prefix
from sweeplens.readers.text.templates import LineTemplate

__all__ = ["column_template", "header_names"]

_YOLO = ("gpu_mem", "train/box_loss", "train/obj_loss", "train/cls_loss", "train/total_loss", "labels", "img_size",
         "metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95", "val/box_loss", "val/obj_loss",
         "val/cls_loss")  # fmt: skip
_BAR_BEHIND = re.compile(r":\s+\d+%.*$")  # what Ultralytics prints behind a header
_LONGEST = 60  # characters of a name
_RULE = re.compile(r"\s*[-=+|\s\u2500-\u257f]{3,}$")
_DASHES = re.compile(r"[-=\u2500-\u2501\u2550]+")


def header_names(lines: list[str], count: int, row: str = "") -> list[str]:
    """Returns the names of ``count`` columns in the lines above the first row; [] where there are none."""
    above = [bare for line in lines if (bare := _without_prefix(_BAR_BEHIND.sub("", line))).strip()]
    while above:
        names = _names_of(above[-2:], count) or _above_numbers(above[-2:], row, count)
        if names or not above[-1].lstrip().startswith("#"):
            return names
        above.pop()  # a comment between header and rows
    return []


def _names_of(above: list[str], count: int) -> list[str]:
    """Returns the names in a header, or in a header over a rule of dashes."""
    rule = above[-1] if _RULE.match(above[-1]) and _DASHES.search(above[-1]) else ""
    text = (above[-2] if len(above) > 1 else "") if rule else above[-1]
    bare = re.sub(r"^\s*#(?=\s*\w)", "", text) if not rule else text
    ways = [_under(text, rule)] if rule else []
    ways += [[c.strip() for c in re.split(p, bare.strip().strip("|"))] for p in (r"\s*[,;|\t]\s*", r"\s{2,}", r"\s+")]
    for names in ways:
        if len(names) == count and all(re.search(r"[^\W\d]|#", n) for n in names):
            return names
    return _spread(next((n for n in ways if 2 < len(n) < count and n[0].lower() == "step"), list[str]()), count)


def _above_numbers(above: list[str], row: str, count: int) -> list[str]:
    """Returns the names of columns, over a rule, below which the row has a number: others hold marks, as ``+`` of skorch."""
    if len(above) < 2 or not _RULE.match(above[1]):
        return []
    spans = [(m.start(), m.end()) for m in _DASHES.finditer(above[1])]
    numbers = [
        next((s for s in spans if s[0] < m.end() and m.start() < s[1]), None) for m in re.finditer(r"\S*\d\S*", row)
    ]
    found = [above[0][s[0] : s[1]].strip() for s in numbers if s is not None]
    return found if len(found) == len(numbers) == len(set(found)) == count and all(found) else []


def _without_prefix(line: str) -> str:
    """Removes time and level before a header without numbers."""
    tokens = tokens_of(line)
    if len(tokens) >= MAX_NUMBERS:
        return line
    rest = without_prefix(marked_line(shape_of(line), tokens))[0]
    return line if re.search(f"[{NUM}{DATE}{CLOCK}]", rest) else rest


def _under(text: str, rule: str) -> list[str]:
    """Splits names by the dashes below them, so that a name may contain blanks."""
    return [text[m.start() : m.end()].strip() for m in _DASHES.finditer(rule)]


def _spread(names: list[str], count: int) -> list[str]:
    """Expands DeepXDE's header ``step, loss_train, loss_test, metrics_test``: each loss has several columns."""
    if len(names) < 3 or (count - 1) < 2:
        return []
    half, rest = divmod(count - 1, 2) if len(names) == 3 or (count - 1) % 2 == 0 else ((count - 2) // 2, 1)
    kinds = [names[1]] * half + [names[2]] * half + [names[-1]] * rest
    return [names[0], *(f"{n}.{kinds[:i].count(n)}" for i, n in enumerate(kinds))]


def column_template(names: list[str], tokens: list[str], found: LineTemplate, path: str) -> LineTemplate | None:
    """Returns the template of rows with so many numbers; None where their names are unknown."""
    at = found.columns
    if found.label:
        return _labelled_template(names, found)
    if not names and len(at) == len(_YOLO) + 1 and len(tokens) > len(at):
        values = tuple(ValueField(n, at[i + 1]) for i, n in enumerate(_YOLO))
        return LineTemplate(values=values, epoch=at[0], epoch_name="epoch", sure=True)
    stem = PurePath(path).name.split(".")[0]
    if not names and len(at) == len(tokens) == 2 and MEASURE.search(stem) and tokens[0].isdigit():
        names = ["step", stem]
    lower = [n.lower() for n in names]
    if not names or len(set(lower)) < len(lower) or max(map(len, lower)) > _LONGEST:
        return None
    epoch = next((i for i, n in enumerate(lower[:3]) if n in EPOCHS), None)
    ranked = [(r, i) for i, n in enumerate(lower[:3]) if (r := fine_rank(n)) is not None and r < INNER_RANK]
    fine = min(ranked)[1] if ranked else None
    values = tuple(ValueField(n, at[i]) for i, n in enumerate(names) if i not in (epoch, fine))
    if not values or (epoch is None and fine is None):
        return None
    return LineTemplate(
        values=values, epoch=None if epoch is None else at[epoch], fine=None if fine is None else at[fine],
        fine_name="" if fine is None else names[fine], epoch_name="" if epoch is None else names[epoch],
        wall=found.wall, prefix=found.prefix, bar=found.bar, sure=True,
    )  # fmt: skip


def _labelled_template(names: list[str], found: LineTemplate) -> LineTemplate | None:
    """Returns the template of numbers behind a word, as ``all   128   0.65`` below ``Class  Images  Box(P``; its step is that of
    the rows before it."""
    grouped = _grouped(names[1:])
    if not any(MEASURE.search(n) for n in grouped) or len(set(grouped)) < len(grouped):
        return None
    named = [n if found.label == "all" and "/" in n else f"{found.label}/{n}" for n in grouped]
    values = tuple(ValueField(n, i) for n, i in zip(named, found.columns, strict=True))
    return LineTemplate(values=values, wall=found.wall, prefix=found.prefix, sure=True)


def _grouped(names: list[str]) -> list[str]:
    """Returns ``Box/P``, ``Box/R`` for ``Box(P``, ``R)``."""
    group, found = "", list[str]()
    for name in names:
        opened, _, inner = name.rpartition("(")
        group = f"{opened}/" if opened else group
        found.append(group + inner.rstrip(")"))
        group = "" if name.endswith(")") else group
    return found
