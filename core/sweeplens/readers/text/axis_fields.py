"""Finds the fields of a line that are its axes: the epoch, and the most certain count of steps."""

from __future__ import annotations

import re

from sweeplens.readers.text.fields import LineField
from sweeplens.readers.text.names import EPOCHS, INNER_RANK, SPLITS, fine_rank, split_of_word

__all__ = ["axes_of", "is_axis_name", "progress_split", "step_rank"]


def is_axis_name(label: str) -> bool:
    word = _axis_label(label)[0]
    return word in EPOCHS or fine_rank(word) is not None


def _axis_label(label: str) -> tuple[str, str]:
    """Returns a label in lower case without split and adjectives, and the split: ``Train Epoch`` -> (``epoch``, ``train``)."""
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


def step_rank(field: LineField) -> int:
    rank = fine_rank(_axis_label(field.label)[0])
    return rank if rank is not None else INNER_RANK + 1


def progress_split(field: LineField) -> str:
    """Returns the split whose batches are counted: ``test`` for ``Test: [10/79]``."""
    return split_of_word(field.label) if field.total is not None else ""


def axes_of(fields: list[LineField], body: str) -> tuple[int | None, int | None, set[int]]:
    """Returns the fields of the epoch and of the count of steps, and all fields that are not values."""
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
        if rank is None and progress_split(field):
            rank = 4
        if rank is None and not field.label and field.total is not None and (i == 0 or _is_progress(field)):
            rank = 5
        if rank is not None and (best is None or rank < best[0]):
            best = (rank, i)
    if best is not None:
        used.add(best[1])
    return epoch, best[1] if best else None, used


def _is_progress(field: LineField) -> bool:
    return bool(re.search(r"[\[\(|]\s*$", field.before)) and bool(re.match(r"\s*[\]\)\[]", field.after))
