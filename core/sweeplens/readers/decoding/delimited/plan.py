"""Which columns of an unknown table are its axis, its times, its runs, its splits; and whether it is a log at all.

A table is a log when it has a column named like an axis (``step``, ``epoch``, ``iteration`` ...) that holds numbers, another
column of numbers, and rows that go forward along the axis. Names that data sets have as well (``episode``, ``frame`` ...) are
an axis only in a file that is named like a log. A data set that happens to have such a column repeats its values with full
rows, or does not go forward, or is mostly text: it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath

from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.decoding.delimited.cells import TableHeader, number
from sweeplens.readers.decoding.delimited.table import ColumnPlan
from sweeplens.readers.decoding.rows import RUN_KEYS, TIME_KEYS
from sweeplens.readers.decoding.values import as_time

__all__ = [
    "are_splits",
    "axis_column",
    "has_plain_name",
    "is_split",
    "log_plan",
    "may_have_axis",
    "may_lack_axis",
    "split_of",
]

_AXES = (
    "step", "global_step", "steps", "total_steps", "timestep", "timesteps", "total_timesteps", "num_timesteps", "env_steps",
    "timestepssofar", "iteration", "iterations", "iter", "iters", "itr", "training_iteration", "num_updates", "update",
    "updates", "n_iter",
    "epoch", "epochs",
)  # fmt: skip
_WEAK_AXES = ("frame", "frames", "episode", "episodes", "batch", "round", "generation", "trial")
_AXIS_HINTS = (
    b"step",
    b"epoch",
    b"iter",
    b"itr",
    b"update",
    b"frame",
    b"episode",
    b"batch",
    b"round",
    b"generation",
    b"trial",
)
_LOG_WORDS = frozenset(
    {"log", "logs", "metrics", "history", "progress", "train", "training", "results", "losses", "stats"}
)
_SPLITS = ("split", "mode", "phase", "stage", "subset")
_SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "dev": "dev",
    "eval": "eval", "evaluation": "eval",
}  # fmt: skip
_PLAIN = frozenset({
    "metrics", "metric", "log", "logs", "history", "results", "train", "training", "progress", "stats", "scalars", "eval",
    "training_log", "train_log", "training_history", "loss", "losses", "output",
})  # fmt: skip
_HISTORIES = frozenset({"history", "log", "logs", "loss", "losses", "curve", "curves"})
_Rows = Sequence[Mapping[str, str]]


def has_plain_name(name: str) -> bool:
    """Whether a file is named like the one log of its folder."""
    return _folded(PurePath(plain_name(name)).stem) in _PLAIN


def split_of(name: str) -> str:
    """The split that a file's name begins with: ``val_log.csv`` -> ``val``; "" when it begins with none."""
    stem = PurePath(plain_name(name)).stem.lower()
    return _SPLIT_WORDS.get(re.split(r"[^a-z]", stem, maxsplit=1)[0], "")


def is_split(name: str) -> bool:
    """Whether a folder is named after a split and nothing else."""
    return name.lower() in _SPLIT_WORDS


def are_splits(names: Sequence[str]) -> bool:
    """Whether several files are one run by their names: ``train_log.csv`` and ``val_log.csv``."""
    return len(names) > 1 and len({split_of(n) for n in names} - {""}) == len(names)


def may_have_axis(head: bytes) -> bool:
    """Whether any of the axes' names can be in a head at all: a quick look that refuses most files."""
    small = head.lower()
    return any(word in small for word in _AXIS_HINTS)


def may_lack_axis(name: str) -> bool:
    """Whether a file is named like a history, which may have no axis."""
    return not _HISTORIES.isdisjoint(_words(name))


def axis_column(header: TableHeader, rows: _Rows, *, named_log: bool = False) -> str:
    """The column that is the axis: whole numbers under a name like one, the surest name first; "" when there is none."""
    axes = (*_AXES, *_WEAK_AXES) if named_log else _AXES
    folded = {n: _folded(n) for n in header.names if n}
    last = {n: _folded(n.rsplit("/", 1)[-1]) for n in folded if "/" in n}
    for names in (folded, last):
        for axis in axes:
            for name, plain in names.items():
                if plain == axis and _is_whole([r[name] for r in rows if name in r]):
                    return name
    return ""


def log_plan(header: TableHeader, rows: _Rows, name: str) -> ColumnPlan | None:
    """What the columns of a file with this name are for; None where the table is not a log."""
    axis = axis_column(header, rows, named_log=not _LOG_WORDS.isdisjoint(_words(name)))
    if not axis:
        return ColumnPlan() if may_lack_axis(name) and _are_positions(header, rows) else None
    others = [n for n in header.names if n and n != axis]
    time = next((n for n in others if _folded(n) in TIME_KEYS and _are_times([r[n] for r in rows if n in r])), "")
    run = next((n for n in others if _folded(n) in RUN_KEYS and rows and all(n in r for r in rows)), "")
    split = next((n for n in others if _folded(n) in _SPLITS and _are_words([r[n] for r in rows if n in r])), "")
    metrics = [n for n in others if n not in (time, run, split)]
    texts = [n for n in metrics if any(n in r and number(r[n]) is None for r in rows)]
    if not metrics or 2 * len(texts) > len(metrics) or not _goes_forward(rows, axis, run, split, metrics):
        return None
    return ColumnPlan(axis=axis, time=time, run=run, split=split)


def _are_positions(header: TableHeader, rows: _Rows) -> bool:
    """Whether all columns hold numbers; only the first, where pandas counts the rows, may be without a name."""
    cells = [number(cell) for row in rows for cell in row.values()]
    return len(rows) > 1 and bool(cells) and None not in cells and "" not in header.names[1:]


def _words(name: str) -> list[str]:
    return _folded(PurePath(plain_name(name)).stem).split("_")


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _is_whole(cells: Sequence[str]) -> bool:
    values = [number(c) for c in cells]
    return all(v is not None and (v != v or v.is_integer()) for v in values)


def _are_times(cells: Sequence[str]) -> bool:
    return bool(cells) and all(as_time(number(c)) or as_time(c) for c in cells)


def _are_words(cells: Sequence[str]) -> bool:
    return bool(cells) and all(number(c) is None for c in cells)


def _goes_forward(rows: _Rows, axis: str, run: str, split: str, metrics: Sequence[str]) -> bool:
    """Whether rows of one run and split seldom go back, and seldom write the same metric at the same step again."""
    tracks: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        tracks.setdefault((row.get(run, ""), row.get(split, "")), []).append(row)
    back = again = pairs = 0
    for track in tracks.values():
        for sooner, later in pairwise(r for r in track if axis in r):
            before, after = number(sooner[axis]) or 0.0, number(later[axis]) or 0.0
            pairs += 1
            back += after < before
            again += after == before and any(m in sooner and m in later for m in metrics)
    return pairs < 2 or (3 * back <= pairs and 2 * again <= pairs)
