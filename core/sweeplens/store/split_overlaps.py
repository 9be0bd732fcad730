"""Finds runs whose split file has validation cases among the training cases of their fold: ``metadata.split_overlap``.

    SplitOverlaps.added(runs, refused, tops)   -> the runs frame with that column, if any run has one

A run uses the file that one of its settings names (``splits_file: splits/splits_v1.json``), and the fold of its settings, else of
its path (``fold_2``). Files are read only if their names say that they are splits, and kept while they stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import polars as pl

from sweeplens.frames.schemas import SPLIT_OVERLAP, hparam_columns
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.protocol import FileStat
from sweeplens.safe_open import confined
from sweeplens.sources.case_splits import is_split_file, overlaps_in
from sweeplens.sources.refused_files import files_named
from sweeplens.sources.walk import WalkedFolder

__all__ = ["SplitOverlaps"]

_COLUMN = f"metadata.{SPLIT_OVERLAP}"
_FOLD = re.compile(
    r"(?i)(?:.*[._])?(?:(?:cv|val)_?)?fold(?:_?(?:id|idx|index|num|number|no|nr))?|(?:.*[._])?split_?(?:id|idx|index)"
)
_FOLD_IN_PATH = re.compile(r"(?i)(?:^|[/_.\-])fold[_\-=]?(\d+)(?=$|[/_.\-])")


class SplitOverlaps:
    """The overlaps in split files, kept while the files stay as they are."""

    def __init__(self) -> None:
        self._known: dict[FileStat, Mapping[str, str]] = {}

    @property
    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Paths, sizes and times of the split files."""
        return tuple((f.path, f.size, f.mtime_ns) for f in self._known)

    def added(self, runs: pl.DataFrame, refused: Sequence[str], tops: Mapping[str, WalkedFolder]) -> pl.DataFrame:
        """Returns the runs with the overlap in the fold that each uses. ``refused``: files without a reader; ``tops``: the folders
        of the roots."""
        files = files_named(refused, is_split_file, tops)
        with confined(tops):
            self._known = {f: self._known[f] if f in self._known else _overlaps(f) for _, f in files}
        odd = [(path, folds) for path, f in files if any((folds := self._known[f]).values())]
        if not odd or _COLUMN in runs.columns:
            return runs
        paths = [path for path, f in files if self._known[f]]
        found = {run: text for path, folds in odd for run, text in _told(runs, path, folds, paths)}
        if not found:
            return runs
        return runs.with_columns(pl.Series(_COLUMN, [found.get(r) for r in runs["run_id"]], dtype=pl.String))


def _overlaps(file: FileStat) -> Mapping[str, str]:
    found = guarded(partial(overlaps_in, file), file.path, "cannot be read as splits")
    return {} if isinstance(found, Failure) else found


def _told(runs: pl.DataFrame, path: str, folds: Mapping[str, str], paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields run and sentence of the runs that use an odd fold of a file."""
    using = _users(runs, path, paths)
    columns = [c for c in hparam_columns(runs) if _FOLD.fullmatch(c)]
    for row in using.select("run_id", *columns).iter_rows(named=True):
        fold = _fold_of(row, columns, folds)
        if fold is not None and folds[fold]:
            name = f" fold {fold}" if fold else ""
            yield str(row["run_id"]), plain_text(f"{path}{name}: {folds[fold]}")


def _users(runs: pl.DataFrame, path: str, paths: Sequence[str]) -> pl.DataFrame:
    """Returns the runs with a setting that names this file rather than another one of its name."""
    texts = [c for c in hparam_columns(runs) if isinstance(runs[c].dtype, pl.String | pl.Categorical)]
    values = {c: [v for v in map(str, runs[c].drop_nulls().unique()) if _names(v, path, paths)] for c in texts}
    uses = [pl.col(c).cast(pl.String).is_in(mine) for c, mine in values.items() if mine]
    return runs.filter(pl.any_horizontal(uses)) if uses else runs.clear()


def _names(value: str, path: str, paths: Sequence[str]) -> bool:
    """Whether a setting names a file: its end is that of the file's path, and longer than that of any other file's."""
    own = _common(value, path)
    return own > 0 and all(_common(value, other) < own for other in paths if other != path)


def _common(value: str, path: str) -> int:
    """The number of parts that two paths have in common at their ends."""
    count = 0
    for one, other in zip(reversed(re.split(r"[/\\]", value)), reversed(path.split("/")), strict=False):
        if one != other:
            break
        count += 1
    return count


def _fold_of(row: Mapping[str, object], columns: Sequence[str], folds: Mapping[str, str]) -> str | None:
    """Returns the name of the fold that a run uses; None if it is not known."""
    if len(folds) == 1:
        return next(iter(folds))
    told = [str(row[c]) for c in columns if row[c] is not None] or _FOLD_IN_PATH.findall(str(row["run_id"]))
    for value in told:
        number = value.removesuffix(".0")
        for fold in folds:
            if fold == value or (re.findall(r"\d+", fold) == [number] and number.isdigit()):
                return fold
    return None
