"""Finds the axis, time, run and split columns of an unknown table, and decides whether it is a log.

A table is a log when it has a column of numbers named like an axis (``step``, ``epoch``, ``iteration`` ...), another column of
numbers, and rows that go forward along the axis. Names that data sets also use (``episode``, ``frame`` ...) count only in a
file that is named like a log, or beside epochs. A data set with such a column is refused: it repeats steps with full rows, does
not go forward, or is mostly text. In a file that is named like a log the axis may restart, or be the same in all rows; then the
position of a row is its step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath

import polars as pl

from sweeplens.readers.decoding.axis import place_rows
from sweeplens.readers.decoding.axis_names import COUNTED, EPOCHS, WEAK, folded, label_of, rank_of
from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.decoding.delimited.cells import TableHeader, cell_number, number
from sweeplens.readers.decoding.delimited.table import ColumnPlan
from sweeplens.readers.decoding.row_keys import RUN_KEYS, TIME_KEYS, exact_label
from sweeplens.readers.decoding.values import as_time, first_of_ratio

__all__ = [
    "are_splits",
    "has_plain_name",
    "is_part",
    "is_split",
    "log_plan",
    "may_have_axis",
    "may_lack_axis",
    "split_of",
]

_AXIS_HINTS = (
    b"step", b"epoch", b"iter", b"itr", b"update", b"frame", b"episode", b"batch", b"round", b"generation", b"trial", b"sample",
    b"token", b"image", b"example", b"kimg", b"tick", b"date", b"time",
)  # fmt: skip
_LOG_WORDS = frozenset(
    {"log", "logs", "metrics", "history", "progress", "train", "training", "results", "losses", "stats"}
)
_SPLITS = ("split", "mode", "phase", "stage", "subset")
_SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "dev": "dev",
    "eval": "eval", "evaluation": "eval",
}  # fmt: skip
_PART = re.compile(r"(?:eval|evaluation|val|valid|validation|test|dev)[-_][a-zA-Z]\w*")
_PLAIN = frozenset({
    "metrics", "metric", "log", "logs", "history", "results", "train", "training", "progress", "stats", "scalars", "eval",
    "training_log", "train_log", "training_history", "loss", "losses", "output",
})  # fmt: skip
_HISTORIES = frozenset({"history", "log", "logs", "loss", "losses", "curve", "curves"})
_UNSURE = frozenset({*COUNTED, *WEAK})
_SampleRows = Sequence[Mapping[str, str]]


def has_plain_name(name: str) -> bool:
    """Whether a file's name is a usual one for the only log of a folder."""
    return folded(PurePath(plain_name(name)).stem) in _PLAIN


def split_of(name: str) -> str:
    """Returns the split at the beginning of a file's name: ``val_log.csv`` -> ``val``; "" where there is none."""
    stem = PurePath(plain_name(name)).stem.lower()
    return _SPLIT_WORDS.get(re.split(r"[^a-z]", stem, maxsplit=1)[0], "")


def is_split(name: str) -> bool:
    """Whether a folder's name is that of a split."""
    return name.lower() in _SPLIT_WORDS


def is_part(name: str) -> bool:
    """Whether a folder is named after a split, one of several of its kind (``eval_unseen``), or the metrics of a run."""
    return is_split(name) or name.lower() == "metrics" or bool(_PART.fullmatch(name))


def are_splits(names: Sequence[str]) -> bool:
    """Whether the names of several files make them the splits of one run: ``train_log.csv`` and ``val_log.csv``."""
    return len(names) > 1 and len({split_of(n) for n in names} - {""}) == len(names)


def may_have_axis(head: bytes) -> bool:
    """Whether a head may contain the name of an axis: a quick check that rules out most files."""
    small = head.lower()
    return any(word in small for word in _AXIS_HINTS)


def may_lack_axis(name: str) -> bool:
    """Whether a file is named like a history, which may have no axis."""
    return not _HISTORIES.isdisjoint(_words(name))


def log_plan(header: TableHeader, rows: _SampleRows, name: str) -> ColumnPlan | None:
    """Returns the roles of the columns of a file with this name; None where the table is not a log.

    Without rows, it decides by the names alone whether the table may be a log.
    """
    named_log = not _LOG_WORDS.isdisjoint(_words(name))
    counters = _counters(header, rows, named_log=named_log)
    time = next((n for n in header.names if folded(n) in TIME_KEYS and _are_times([r[n] for r in rows if n in r])), "")
    if not counters:
        if may_lack_axis(name) and _are_positions(header, rows):
            return ColumnPlan()
        others = [n for n in header.names if n and n != time]
        timed = bool(time) and named_log and len(rows) > 1 and not _texts(others, rows, header)
        return ColumnPlan(time=time) if timed else None
    others = [n for n in header.names if n and n not in counters]
    time = time if time in others else ""
    run = next((n for n in others if folded(n) in RUN_KEYS and rows and all(n in r for r in rows)), "")
    split = next((n for n in others if folded(n) in _SPLITS and _are_words([r[n] for r in rows if n in r])), "")
    metrics = [n for n in others if n not in (time, run, split)]
    texts = _texts(metrics, rows, header)
    about = tuple(n for n in texts if len(rows) > 1 and _describes_runs(n, run, rows))
    remaining = [n for n in metrics if n not in about]
    most = len(remaining) - 1 if named_log else len(remaining) / 2
    if (
        not (metrics or len(counters) > 1)
        or (remaining and len(texts) - len(about) > most)
        or not (remaining or len(counters) > 1)
    ):
        return None
    axis = _axis(counters, rows, metrics, (run, split), header, named_log=named_log)
    return None if axis is None else ColumnPlan(axis=axis, time=time, run=run, split=split, about=about)


def _counters(header: TableHeader, rows: _SampleRows, *, named_log: bool) -> list[str]:
    """Returns the columns that are named like an axis and hold numbers, the most certain first."""
    known = {n: label for n in header.names if n and (label := exact_label(n) or label_of(n))}
    allowed = [n for n, label in known.items() if named_log or label not in _UNSURE or _has_epochs(known)]
    held = [n for n in allowed if all(_count(r[n], header) is not None for r in rows if n in r)]
    return sorted(held, key=lambda n: (not exact_label(n), rank_of(known[n])))


def _has_epochs(known: Mapping[str, str]) -> bool:
    return any(label in EPOCHS for label in known.values())


def _count(cell: str, header: TableHeader) -> float | None:
    value = cell_number(cell, header.separator)
    return first_of_ratio(cell) if value is None else value


def _texts(columns: Sequence[str], rows: _SampleRows, header: TableHeader) -> list[str]:
    """Returns the columns with a cell that is not a number."""
    return [n for n in columns if any(n in r and cell_number(r[n], header.separator) is None for r in rows)]


def _describes_runs(column: str, run: str, rows: _SampleRows) -> bool:
    """Whether a column has the same text in all rows of a run."""
    texts: dict[str, set[str]] = {}
    for row in rows:
        texts.setdefault(row.get(run, ""), set()).add(row.get(column, ""))
    return all(len(values) == 1 for values in texts.values())


def _axis(
    counters: Sequence[str],
    rows: _SampleRows,
    metrics: Sequence[str],
    parts: tuple[str, str],
    header: TableHeader,
    *,
    named_log: bool,
) -> str | None:
    """Returns the axis by the first rows; "" where the row's position is the step, None where the table is not a log."""
    if not rows:
        return counters[0]
    tracks: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in rows:
        tracks.setdefault(tuple(row.get(p, "") for p in parts), []).append(row)
    track = max(tracks.values(), key=len)
    values = {n: [_count(r[n], header) if n in r else None for r in track] for n in counters}
    series = {n: pl.Series(v, dtype=pl.Float64) for n, v in values.items()}
    labels = {(exact_label(n) or label_of(n)): n for n in reversed(counters)}
    points = [
        (i, m, value)
        for i, r in enumerate(track)
        for m in metrics
        if (value := cell_number(r.get(m, ""), header.separator)) is not None
    ]
    long = pl.DataFrame(points, schema={"row": pl.Int64, "metric": pl.String, "value": pl.Float64}, orient="row")
    placement = place_rows(len(track), {label: series[n] for label, n in labels.items()}, long)
    if placement.how == "rows":
        return "" if named_log or any(_is_fraction(s) for s in series.values()) else None
    axis = labels[placement.axis]
    if not named_log and len(track) > 1 and series[axis].n_unique() == 1:
        return None  # a planned number of epochs, in a table of results
    if placement.how == "joined":
        return axis if named_log or _has_epochs(dict.fromkeys(labels, "") | {k: k for k in labels}) else None
    return axis if named_log or _goes_forward(rows, axis, parts, metrics, header) else None


def _is_fraction(values: pl.Series) -> bool:
    """Whether a counter rises by fractions, like an epoch that is logged many times."""
    known = values.drop_nulls()
    return known.len() > 1 and bool((known.diff().drop_nulls() > 0).all()) and bool((known != known.floor()).any())


def _are_positions(header: TableHeader, rows: _SampleRows) -> bool:
    """Whether all columns hold numbers. Only the first may lack a name: pandas writes the row number there."""
    cells = [cell_number(cell, header.separator) for row in rows for cell in row.values()]
    return len(rows) > 1 and bool(cells) and None not in cells and "" not in header.names[1:]


def _words(name: str) -> list[str]:
    return folded(PurePath(plain_name(name)).stem).split("_")


def _are_times(cells: Sequence[str]) -> bool:
    return bool(cells) and all(as_time(number(c)) or as_time(c) for c in cells)


def _are_words(cells: Sequence[str]) -> bool:
    return bool(cells) and all(number(c) is None for c in cells)


def _goes_forward(
    rows: _SampleRows, axis: str, parts: tuple[str, str], metrics: Sequence[str], header: TableHeader
) -> bool:
    """Whether the rows of each run and split rarely go back, and rarely repeat a metric at the same step."""
    tracks: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in rows:
        tracks.setdefault(tuple(row.get(p, "") for p in parts), []).append(row)
    back = again = pairs = 0
    for track in tracks.values():
        for earlier, later in pairwise(r for r in track if axis in r):
            before, after = _count(earlier[axis], header) or 0.0, _count(later[axis], header) or 0.0
            pairs += 1
            back += after < before
            again += after == before and any(m in earlier and m in later for m in metrics)
    return pairs < 2 or (3 * back <= pairs and 2 * again <= pairs)
