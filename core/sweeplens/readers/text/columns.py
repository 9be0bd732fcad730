"""Finds the columns of rows with only numbers: by the header above them, or for tools that print none."""

from __future__ import annotations

import re
from pathlib import PurePath

from sweeplens.readers.text.names import EPOCHS, INNER_RANK, MEASURE, fine_rank
from sweeplens.readers.text.templates import LineTemplate, ValueField

__all__ = ["column_template", "header_names"]

_YOLO = ("gpu_mem", "train/box_loss", "train/obj_loss", "train/cls_loss", "train/total_loss", "labels", "img_size",
         "metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95", "val/box_loss", "val/obj_loss",
         "val/cls_loss")  # fmt: skip
_LONGEST = 60  # characters of a name
_RULE = re.compile(r"\s*[-=+|\s]{3,}$")


def header_names(lines: list[str], count: int) -> list[str]:
    """Returns the names of ``count`` columns in the lines above the first row; [] where there are none."""
    above = [line for line in lines if line.strip()][-2:]
    if not above:
        return []
    rule = above[-1] if _RULE.match(above[-1]) and "-" in above[-1] else ""
    text = (above[-2] if len(above) > 1 else "") if rule else above[-1]
    bare = re.sub(r"^\s*#(?=\s*\w)", "", text) if not rule else text
    ways = [_under(text, rule)] if rule else []
    ways += [[c.strip() for c in re.split(p, bare.strip().strip("|"))] for p in (r"\s*[,;|\t]\s*", r"\s{2,}", r"\s+")]
    for names in ways:
        if len(names) == count and all(re.search(r"[^\W\d]|#", n) for n in names):
            return names
    return _spread(next((n for n in ways if 2 < len(n) < count and n[0].lower() == "step"), list[str]()), count)


def _under(text: str, rule: str) -> list[str]:
    """Splits names by the dashes below them, so that a name may contain blanks."""
    return [text[m.start() : m.end()].strip() for m in re.finditer(r"-+", rule)]


def _spread(names: list[str], count: int) -> list[str]:
    """Expands DeepXDE's header ``step, loss_train, loss_test, metrics_test``: each loss has several columns."""
    if len(names) < 3 or (count - 1) < 2:
        return []
    half, rest = divmod(count - 1, 2) if len(names) == 3 or (count - 1) % 2 == 0 else ((count - 2) // 2, 1)
    kinds = [names[1]] * half + [names[2]] * half + [names[-1]] * rest
    return [names[0], *(f"{n}.{kinds[:i].count(n)}" for i, n in enumerate(kinds))]


def column_template(
    names: list[str], tokens: list[str], found: LineTemplate, path: str, *, cells: int
) -> LineTemplate | None:
    """Returns the template of rows with so many numbers; None where their names are unknown."""
    wall, prefix = found.wall, found.prefix
    if not names and len(tokens) == len(_YOLO) + 2 and cells == len(_YOLO) + 1:
        values = tuple(ValueField(n, i + 2) for i, n in enumerate(_YOLO))
        return LineTemplate(values=values, epoch=0, epoch_name="epoch", sure=True)
    stem = PurePath(path).name.split(".")[0]
    if not names and len(tokens) == 2 and MEASURE.search(stem) and tokens[0].isdigit():
        names = ["step", stem]
    if not names:
        return None
    lower = [n.lower() for n in names]
    if len(set(lower)) < len(lower) or max(map(len, lower)) > _LONGEST:
        return None
    epoch = next((i for i, n in enumerate(lower[:3]) if n in EPOCHS), None)
    ranked = [(r, i) for i, n in enumerate(lower[:3]) if (r := fine_rank(n)) is not None and r < INNER_RANK]
    fine = min(ranked)[1] if ranked else None
    if epoch is None and fine is None:
        return None
    values = tuple(ValueField(n, i) for i, n in enumerate(names) if i not in (epoch, fine))
    return LineTemplate(
        values=values, epoch=epoch, fine=fine, fine_name=names[fine] if fine is not None else "",
        epoch_name=names[epoch] if epoch is not None else "", wall=wall, prefix=prefix, sure=True,
    ) if values else None  # fmt: skip
