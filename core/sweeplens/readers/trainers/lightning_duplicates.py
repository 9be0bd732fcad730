"""Finds Lightning runs that two loggers wrote to separate folders: a table, and event files with the same numbers.

Both folders have ``hparams.yaml``. They are siblings (``n/version_0``, ``n/version_1``), cousins (``csv/version_0``,
``tensorboard/version_0``) or have the same name in two places (``a/n/version_0``, ``b/n/version_0``). All values in the event
file's head up to the last step of the table's head are in the table, at the same steps, as 32-bit floats. Several of them are
precise enough that two runs do not share them by chance. Then the table is read, and the event files are a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from sweeplens.readers.decoding.delimited.cells import header_of, number, sample
from sweeplens.readers.decoding.values import as_step
from sweeplens.readers.protocol import Folder

__all__ = ["event_duplicates", "is_event_duplicate"]

_TABLE, _HPARAMS = "metrics.csv", "hparams.yaml"
_MOST = 300  # related folders that are checked for each folder
_ROWS = 200
_MATCHES = 3  # different precise values that must agree
_BITS = 12  # of 24: a number with so many significant bits was computed, not chosen
_NOT_COMPARED = frozenset({"epoch", "hp_metric"})

_StepValues = frozenset[tuple[int, float]]


def event_duplicates(folder: Folder) -> tuple[str, ...]:
    """Returns event files in other folders with the numbers of this folder's table, and their ``hparams.yaml``."""
    if folder.find(_HPARAMS) is None:
        return ()
    table = _table_points(folder.head(_TABLE))
    found: list[str] = []
    for path, other in _relatives(folder):
        if _has_events(other) and folder.find(f"{path}/{_HPARAMS}") and _events_match(folder, path, other, table):
            found += [f"{path}/{n}" for n in (*_event_names(other), _HPARAMS)]
    return tuple(found)


def is_event_duplicate(folder: Folder) -> bool:
    """Whether another folder has a table with the numbers of this folder's event files."""
    if _HPARAMS not in folder.files or _TABLE in folder.files:
        return False
    for path, _ in _relatives(folder):
        if folder.find(f"{path}/{_TABLE}") and folder.find(f"{path}/{_HPARAMS}"):
            table = _table_points(folder.head(f"{path}/{_TABLE}"))
            if any(_same(_event_points(folder.head(n)), table) for n in _event_names(folder)):
                return True
    return False


def _relatives(folder: Folder) -> Iterator[tuple[str, Folder]]:
    """Yields siblings, cousins, and second cousins under the same name, nearest first."""
    return islice(_all_relatives(folder), _MOST)


def _all_relatives(folder: Folder) -> Iterator[tuple[str, Folder]]:
    parent = folder.child("..")
    if parent is None:
        return
    for name, sibling in parent.folders.items():
        if sibling is not folder:
            yield f"../{name}", sibling
    for up, middle in (("../..", ""), ("../../..", parent.name)):
        above = folder.child(up)
        for aunt in above.folders if above else ():
            home = f"{up}/{aunt}/{middle}" if middle else f"{up}/{aunt}"
            there = folder.child(home)
            if there is not None and there is not parent:
                yield from ((f"{home}/{name}", child) for name, child in there.folders.items())


def _has_events(folder: Folder) -> bool:
    return bool(_event_names(folder)) and _TABLE not in folder.files


def _event_names(folder: Folder) -> list[str]:
    return [n for n in folder.files if "tfevents" in n]


def _events_match(folder: Folder, path: str, other: Folder, table: _StepValues) -> bool:
    return any(_same(_event_points(folder.head(f"{path}/{n}")), table) for n in _event_names(other))


def _same(events: _StepValues, table: _StepValues) -> bool:
    """Whether all values of an event file within the table's head are in the table, and enough of them are precise."""
    end = max((step for step, _ in table), default=0)
    common = {p for p in events if p[0] < end}
    return common <= table and len({value for _, value in common if _is_precise(value)}) >= _MATCHES


def _is_precise(value: float) -> bool:
    mantissa = struct.unpack("<I", struct.pack("<f", value))[0] & 0x7FFFFF
    return bool(mantissa & ((1 << (24 - _BITS)) - 1))


@lru_cache(maxsize=1024)
def _table_points(head: bytes) -> _StepValues:
    """Returns the values in the first rows of a table, as 32-bit floats."""
    header = header_of(head, ",")
    if header is None or "step" not in header.names:
        return frozenset()
    found: set[tuple[int, float]] = set()
    for row in sample(head, header, most=_ROWS):
        step = as_step(number(row.get("step", "")))
        cells = [number(cell) for name, cell in row.items() if name != "step"]
        if step is not None:
            found |= {(step, _rounded(value)) for value in cells if value is not None and value == value}
    return frozenset(found)


@lru_cache(maxsize=1024)
def _event_points(head: bytes) -> _StepValues:
    from sweeplens.readers.tensorboard.folders import (
        facts_of_folder,  # imports numpy: only when there are events to compare
    )

    points = facts_of_folder(head).frame("")
    rows = zip(points["metric"].to_list(), points["step"].to_list(), points["value"].to_list(), strict=True)
    return frozenset(
        (step, _rounded(value)) for name, step, value in rows if name not in _NOT_COMPARED and value == value
    )


def _rounded(value: float) -> float:
    """Returns the nearest 32-bit float."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
