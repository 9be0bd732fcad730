"""Finds the fields of a line that are its axes: the epoch, and the most certain count of steps."""

from __future__ import annotations

import re

from sweeplens.readers.text.fields import LineField
from sweeplens.readers.text.names import EPOCHS, INNER_RANK, SPLITS, fine_rank, split_of_word

__all__ = ["axes_of", "is_axis_name", "progress_split", "step_rank"]

_BEFORE_AXIS = frozenset("current starting start begin learning end of finished completed done after at set:".split())
_BEHIND = re.compile(r"(?i)(?:st|nd|rd|th)?\s?(epoch|step|iter|iteration|batch)(?:e?s)?\b")
_DURATION = re.compile(r"(?:[mun]?s|secs?|min|h)\b(?!/)")  # ``Step: 51ms`` is no count
_LEFT = re.compile(
    r"(?i)\s*(?:epoch|step|iter|iteration|batch|update)?(?:e?s)?\s*(?:left|remaining|to go)\b"
)  # counts down
_SHORT = frozenset({"e", "i", "it", "ep", "#", "up"})


_BEHIND_MEASURE = re.compile(r"(?i)^[a-z_ ]{2,40}? (?:at|after|for|in) (epoch|step|iter|iteration|episode)$")


def is_axis_name(label: str) -> bool:
    """Whether a label names an epoch or a count of steps."""
    word = _axis_label(label)[0]
    return word in EPOCHS or fine_rank(word) is not None


def _axis_label(label: str) -> tuple[str, str]:
    """Returns a label in lower case without split and adjectives, and the split: ``Train Epoch`` -> (``epoch``, ``train``)."""
    found = re.fullmatch(r"(?i)(\w+)\s*\((\w+)\)", label)
    if found and found[2].lower() in SPLITS:
        return found[1].lower(), split_of_word(found[2])
    label = _behind_split(label)
    label = re.sub(r"^[^\x00-\x7f]+\s+(?=[A-Za-z])", "", label)
    label = _BEHIND_MEASURE.sub(r"\1", label)
    words = re.sub(r"^[\W_]+", "", label.lower().rstrip(".")).split() or [label.strip().lower()]
    split = ""
    while len(words) > 1 and (words[0].strip("[]():") in SPLITS or words[0] in _BEFORE_AXIS):
        split = split_of_word(words[0]) or split
        words = words[1:]
    return " ".join(words), split


def _behind_split(label: str) -> str:
    """Returns ``step`` for ``train/step``; any other label as it is."""
    head, _, rest = label.rpartition("/")
    return rest if rest and head.lower() in (*SPLITS, "trainer", "progress") else label


def step_rank(field: LineField) -> int:
    """Returns how certainly a field counts steps; a count without a known name restarts in each epoch."""
    rank = fine_rank(_axis_label(field.label)[0])
    return rank if rank is not None else INNER_RANK + 1


def progress_split(field: LineField) -> str:
    """Returns the split whose batches are counted: ``test`` for ``Test: [10/79]``."""
    return split_of_word(field.label) if field.total is not None else ""


def axes_of(fields: list[LineField], body: str) -> tuple[int | None, int | None, set[int]]:
    """Returns the fields of the epoch and of the count of steps, and all fields that are not values."""
    named = _named_axes(fields, body)
    if named[0] is None and (pair := _bare_pair(fields)):
        return pair
    if named[0] is None and named[1] is None and _is_bare_step(fields):
        return None, 0, {0}
    return named


def _named_axes(fields: list[LineField], body: str) -> tuple[int | None, int | None, set[int]]:
    epoch: int | None = None
    best: tuple[int, int] | None = None
    used: set[int] = set()
    for i, field in enumerate(fields):
        if (
            field.kind != "n"
            or _DURATION.match(field.after)
            or _LEFT.match(field.after)
            or (i and _names_the_best(body, field))
        ):
            continue
        word = _axis_word(field)
        short = word in _SHORT and field.total is None and i > 0 and not field.before.rstrip().endswith(".")
        if word in EPOCHS and not short:
            if epoch is None:
                epoch = i
                used.add(i)
            continue
        rank = None if short else _rank(field, word, fields[i - 1] if i else None, after_axis=i - 1 in used)
        if rank is not None and (best is None or rank < best[0]):
            best = (rank, i)
    if best is not None:
        used.add(best[1])
    return epoch, best[1] if best else None, used


def _axis_word(field: LineField) -> str:
    """Returns the word that may name an axis: before the number, or behind it as in ``3rd epoch``, ``200/2983 batches``."""
    word, _ = _axis_label(field.label)
    if word == "epochs" and field.total is not None:
        return "epoch"
    behind = _BEHIND.match(field.after)
    return behind[1].lower() if not field.label and behind and not re.search(r"\w$", field.before) else word


def _rank(field: LineField, word: str, last: LineField | None, *, after_axis: bool) -> int | None:
    """Returns how certainly a field counts steps; None if it does not."""
    rank = fine_rank(word)
    if rank is None and not field.label and after_axis and re.fullmatch(r"\s*[\]\)]?\s*[\[\(,:]?\s*", field.before):
        rank = INNER_RANK + 1 if field.total is not None or "[" in field.before else None
    if rank is None and progress_split(field):
        rank = INNER_RANK + 1
    if rank is None and not field.label and field.total is not None and (last is None or _is_progress(field, last)):
        rank = INNER_RANK + 2
    return rank


def _names_the_best(body: str, field: LineField) -> bool:
    """Whether a field only says when the best value was: ``best acc 0.9 (epoch 3)``."""
    return bool(re.search(r"(?i)\bbest\b", body[: field.at]))


def _bare_pair(fields: list[LineField]) -> tuple[int | None, int | None, set[int]] | None:
    """Returns epoch and step of a line that begins ``[0/300][50/1251]``, ``Train: 0 [50/1251]`` or ``[1, 2000] loss``."""
    if len(fields) < 2 or any(f.kind != "n" for f in fields[:2]):
        return None
    first, second = fields[:2]
    if first.label and not split_of_word(first.label):
        return None
    both = first.total is not None and second.total is not None and re.fullmatch(r"\s*\]\s*\[\s*", second.before)
    split = first.label and first.total is None and second.total is not None and second.before.strip() == "["
    comma = (
        first.before.strip() in ("[", "(") and second.before.strip() == "," and not (first.total or second.total)
        and re.match(r"\s*[\])]\W*[A-Za-z]", second.after)
    )  # fmt: skip
    return (0, 1, {0, 1}) if both or split or comma else None


def _is_bare_step(fields: list[LineField]) -> bool:
    """Whether a line begins with its step, before named values: ``[100] loss=0.5``, ``12:  learn: 0.69``."""
    first = fields[0] if fields else None
    if first is None or len(fields) < 2 or first.kind != "n" or not first.whole or first.total is not None:
        return False
    opened = first.before.strip()
    return fields[1].tight and (
        (opened == "[" and bool(re.match(r"\]\s+[A-Za-z]", first.after)))
        or (not opened and bool(re.match(r":\s+[A-Za-z]", first.after)))
    )


def _is_progress(field: LineField, last: LineField | None) -> bool:
    """Whether ``[64/60000]`` counts samples; ``50% (5000/10000)`` is a share."""
    opened = re.search(r"[\[|]\s*$", field.before) and re.match(r"\s*[\]\[]", field.after)
    at_end = not field.after.strip() and field.before.endswith(" ")
    return bool(opened or at_end) and not (last is not None and last.after.lstrip().startswith("%"))
