"""Whether a text log repeats what a file of another folder holds: told by its values, since programs print what they log.

    said_values(points)             -> the values of a log that tell runs apart, and how exactly each was printed
    holds_values(values, numbers)   -> whether the numbers of a file, rounded as they were printed, are these values
    same_elsewhere(folder, values)  -> the path of such a file near a folder; "" where there is none

The rule. Of the first values of measures (a loss, an accuracy) most are among the numbers of the other file, and the same
values moved by a few units of their last digit are not, which they would be if chance were enough. Looked at are the folders
below (two levels), the folder above, and its other folders.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

import polars as pl

from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES
from sweeplens.readers.protocol import FileStat, Folder
from sweeplens.readers.tensorboard.events import EventFacts, ScalarEvents
from sweeplens.readers.tensorboard.tfrecord import TFRecords
from sweeplens.readers.text.names import COST, MEASURE

__all__ = ["holds_values", "is_structured", "numbers_of", "said_values", "same_elsewhere"]

_STRUCTURED = re.compile(
    r".*tfevents.*|.*\.(?:jsonl|ndjson|jsonlines|csv|tsv|wandb|swanlab)(?:\.(?:gz|zst))?|.*\.json", re.IGNORECASE
)
_FLOAT = re.compile(rb"(?<![\w.])[-+]?\d*\.\d+(?:[eE][-+]?\d+)?|(?<![\w.])[-+]?\d+[eE][-+]?\d+")
_OF_JOBS = re.compile(r"(?i)(?:.*[_-])?(?:logs?|slurm|stdout|std|out|console|jobs?|outputs?)(?:[_-].*)?")
_MOST, _MOST_OF_JOBS = 24, 200  # files that are compared with the logs of a folder
_FIRST = 40  # values of a log that are compared
_LEAST = 4  # different values that must agree
_SHARE, _BY_CHANCE = 0.75, 0.34
_SHIFTS = (7, -7, 13, -13)  # units of the last digit

_MOST_KEPT = 512
_NUMBERS: dict[
    FileStat, tuple[float, ...]
] = {}  # of the files that were looked at last: many logs are compared with each

Value = tuple[float, int]
"""A number and the digits after its point."""


def said_values(points: pl.DataFrame) -> tuple[Value, ...]:
    """The first values of a log's measures with at least three digits, in the order in which they were printed."""
    names = [m for m in points["metric"].unique().to_list() if MEASURE.search(m) and not COST.search(m)]
    first = points.filter(pl.col("metric").is_in(names)).sort("line", maintain_order=True)["value"].head(400)
    said = dict.fromkeys(v for v in first.to_list() if v is not None and abs(v) < 1e6 and _digits(v) >= 3)
    return tuple((v, _decimals(v)) for v in islice(said, _FIRST))


def _decimals(value: float) -> int:
    text = f"{value!r}"
    return len(text.partition(".")[2]) if "e" not in text else 12


def _digits(value: float) -> int:
    return len(f"{value!r}".partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")) if value % 1 else 0


def holds_values(values: Sequence[Value], numbers: Sequence[float]) -> bool:
    """Whether most of the values that a log printed are among these numbers (sorted), and not by chance."""
    if len(values) < _LEAST or not numbers:
        return False
    said = [v for v in values if _within(v, numbers)]
    if len({v for v, _ in said}) < _LEAST or len(said) < _SHARE * len(values):
        return False
    moved = [(v + shift * 10.0**-d, d) for v, d in said for shift in _SHIFTS]
    return sum(_within(m, numbers) for m in moved) <= _BY_CHANCE * len(moved)


def _within(value: Value, numbers: Sequence[float]) -> bool:
    """Whether a number rounds to the value, or does as a share of a hundred."""
    number, decimals = value
    room = 0.5000001 * 10.0**-decimals + abs(number) * 1e-6
    for low, high in ((number - room, number + room), ((number - room) / 100, (number + room) / 100)):
        at = bisect_left(numbers, low)
        if at < len(numbers) and numbers[at] <= high:
            return True
    return False


def is_structured(name: str) -> bool:
    """Whether a file may hold a training's values in a form that tells more than a text log."""
    return bool(_STRUCTURED.fullmatch(name)) and name not in SETTINGS_NAMES


def same_elsewhere(folder: Folder, logs: Sequence[Sequence[Value]]) -> list[str]:
    """For each log, the relative path of a file near the folder that holds its values; "" where there is none."""
    most = _MOST_OF_JOBS if _OF_JOBS.fullmatch(folder.name) else _MOST
    found = [""] * len(logs)
    for path, entry in islice(_near(folder), most):
        if all(same or len(values) < _LEAST for same, values in zip(found, logs, strict=True)):
            break
        numbers = _numbers_at(entry, folder, path)
        for at, values in enumerate(logs):
            if not found[at] and holds_values(values, numbers):
                found[at] = path
    return found


def _near(folder: Folder) -> Iterator[tuple[str, FileStat]]:
    """Structured files below, then above, then in the other folders there."""
    yield from _below(folder, "", 2)
    above = folder.parent
    if above is None:
        return
    yield from ((f"../{n}", e) for n, e in sorted(above.files.items()) if is_structured(n))
    for name, child in sorted(above.folders.items()):
        if name != folder.name:
            yield from ((f"../{name}/{n}", e) for n, e in sorted(child.files.items()) if is_structured(n))
            yield from _below(child, f"../{name}/", 1)


def _below(folder: Folder, path: str, depth: int) -> Iterator[tuple[str, FileStat]]:
    for name, child in sorted(folder.folders.items()):
        yield from ((f"{path}{name}/{n}", e) for n, e in sorted(child.files.items()) if is_structured(n))
        if depth > 1:
            yield from _below(child, f"{path}{name}/", depth - 1)


def _numbers_at(entry: FileStat, folder: Folder, path: str) -> tuple[float, ...]:
    """The numbers of a file; its sample is taken once while it stays as it is."""
    known = _NUMBERS.get(entry)
    if known is None:
        if len(_NUMBERS) >= _MOST_KEPT:
            _NUMBERS.pop(next(iter(_NUMBERS)))
        known = _NUMBERS[entry] = numbers_of(path, folder.sample(path))
    return known


def numbers_of(name: str, sample: bytes) -> tuple[float, ...]:
    """The numbers with a point in a sample of a file, or the scalars of an event file; sorted."""
    if "tfevents" in name:
        events = ScalarEvents(EventFacts())
        events.read(TFRecords(io.BytesIO(sample), "", len(sample)).batches(), str)
        return tuple(sorted(v for v in events.frame("")["value"].to_list() if v == v))
    return tuple(sorted({float(m[0]) for m in _FLOAT.finditer(sample)}))
