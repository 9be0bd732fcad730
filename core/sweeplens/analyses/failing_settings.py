"""Settings with which all runs failed in the same way, as two that together need more memory than there is.

To make such a run once more would fail again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import polars as pl
from msgspec import Struct

from sweeplens.analyses.missing_runs import tail_of_draws
from sweeplens.analyses.statistics import ALPHA
from sweeplens.counting import count_of
from sweeplens.frames.grouping import keyed, settings_among, two_valued
from sweeplens.frames.schemas import ENDED_WITH

__all__ = ["FailingCell", "failing_cells"]

_FAILED = ("failed", "crashed")
_OF_MEMORY = r"(?i)out of memory|outofmemory|\boom\b|cannot allocate memory"
_FEWEST = 3
_MOST_LEVELS, _MOST_NAMES = 8, 12


class FailingCell(Struct, frozen=True):
    """Settings with which all runs failed in the same way: their values, the runs, and their last words."""

    values: Mapping[str, object]
    runs: tuple[str, ...]
    words: str

    def holds(self, cell: Mapping[str, object]) -> bool:
        """Returns whether a run with these settings would be in the cell."""
        return all(name in cell and cell[name] == value for name, value in self.values.items())

    def told(self) -> str:
        """Returns the cell in words: ``batch_size=1024 width=1024: all 11 runs failed (OutOfMemoryError)``."""
        named = " ".join(f"{k}={v}" for k, v in self.values.items())
        said = f" ({self.words})" if self.words else ""
        return f"{named}: all {count_of(len(self.runs), 'run')} with it failed in the same way{said}"


def failing_cells(runs: pl.DataFrame, replicates: Sequence[str]) -> list[FailingCell]:
    """Returns the values of one setting or of two with which all runs (three or more) failed in the same way, where so many among
    them are no chance (hypergeometric, corrected over all cells that were looked at); each failed run in one cell at most.
    """
    ends = _ends(runs)
    failed = ends.filter("failed").height
    if failed < _FEWEST or failed == runs.height:
        return []
    names = [n for n in settings_among(runs, two_valued(runs), replicates) if runs[n].n_unique() <= _MOST_LEVELS]
    table = keyed(runs, names[:_MOST_NAMES]).join(ends, on="run_id")
    chosen: list[FailingCell] = []
    covered: set[str] = set()
    cells = list(_cells(table, names[:_MOST_NAMES]))
    for size in (1, 2):  # one setting explains before two do
        for cell in sorted((c for c in cells if len(c.values) == size), key=lambda c: -len(c.runs)):
            p = tail_of_draws(len(cell.runs), len(cell.runs), failed, table.height) * len(cells)
            if p < ALPHA and not covered & set(cell.runs):
                chosen.append(cell)
                covered |= set(cell.runs)
    return chosen


def _ends(runs: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, failed, end (the kind of its last words), words."""
    column = f"metadata.{ENDED_WITH}"
    words = pl.col(column).cast(pl.String).fill_null("") if column in runs.columns else pl.lit("")
    kind = words.str.replace_all(r"'[^']*'|\S*/\S*|\d+(\.\d+)?", "_")
    failed = pl.col("status").is_in(_FAILED) | (pl.col("status") == "killed") & words.str.contains(_OF_MEMORY)
    return runs.select("run_id", failed=failed, end=kind, words=words)


def _cells(table: pl.DataFrame, names: Sequence[str]) -> Iterator[FailingCell]:
    """Yields each combination of values of one setting or two that only failed runs with one kind of end have."""
    for size in (1, 2):
        for own in combinations(names, size):
            cells = table.drop_nulls(list(own)).group_by(own).agg(
                pl.col("run_id").sort(), pl.col("words").first(), all=pl.col("failed").all(), kinds=pl.col("end").n_unique()
            )  # fmt: skip
            same = cells.filter(pl.col("all"), pl.col("kinds") == 1, pl.col("run_id").list.len() >= _FEWEST)
            for row in same.sort(*own).iter_rows(named=True):
                yield FailingCell({n: row[n] for n in own}, tuple(row["run_id"]), row["words"][:100])
