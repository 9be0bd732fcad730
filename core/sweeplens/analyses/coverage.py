"""The series of one metric, and which of its runs are unfinished or shorter than the others."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec import Struct

from sweeplens.answers import LeftOut
from sweeplens.errors import UnknownNameError
from sweeplens.frames.grouping import runs_without_hparams

__all__ = ["Coverage", "coverage_of", "listed", "series_of", "settings_unknown", "with_config"]

_UNFINISHED = ("running", "failed", "crashed", "killed")
_SHORT = 0.95
_SEVERAL = 2


class Coverage(Struct, frozen=True):
    """``unfinished``: runs by status; ``shorter``: runs below 95 % of the median both in last step and in points.

    Both, because runs with a larger batch need fewer steps.
    """

    unfinished: tuple[str, ...]
    shorter: tuple[str, ...]
    first_end: int
    last_end: int
    running: tuple[str, ...] = ()

    @property
    def marked(self) -> tuple[str, ...]:
        """Runs of both kinds, each once, sorted."""
        return tuple(sorted({*self.unfinished, *self.shorter}))

    def note(self) -> str:
        """Returns the note of an answer; empty where all runs are complete and equally long."""
        if not self.marked:
            return ""
        kinds = [
            f"{len(ids)} {word} ({listed(ids)})"
            for ids, word in ((self.unfinished, "unfinished"), (self.shorter, "shorter than the rest"))
            if ids
        ]
        ends = f"; runs end between steps {self.first_end} and {self.last_end}" * (self.first_end < self.last_end)
        return f"Among the runs used: {' and '.join(kinds)}{ends}."


def coverage_of(runs: pl.DataFrame, series: pl.DataFrame) -> Coverage:
    """Returns the coverage of one metric; ``series``: its rows of the runs used."""
    if not series.height:
        return Coverage((), (), 0, 0)
    status = runs.filter(pl.col("status").is_in(_UNFINISHED))
    status = status.filter(pl.col("run_id").is_in(series["run_id"].implode()))
    ends = series["last_step"]
    usual = float(ends.quantile(0.5, "nearest") or 0)
    short = series.filter((pl.col("last_step") < _SHORT * usual) & (pl.col("n") < _SHORT * pl.col("n").median()))
    first, last = (int(end) if isinstance(end, int) else 0 for end in (ends.min(), ends.max()))
    live = status.filter(pl.col("status") == "running")
    return Coverage(
        tuple(status["run_id"].sort().to_list()),
        tuple(short["run_id"].sort().to_list()),
        first,
        last,
        tuple(live["run_id"].sort().to_list()),
    )


def series_of(metric: str, series: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows of one metric. Raises UnknownNameError where no run logged it."""
    asked = series.filter(pl.col("metric") == metric)
    if not asked.height:
        known = series["metric"].unique().sort().to_list()
        raise UnknownNameError.of("metric", metric, known, hint=f"list_metrics shows all {len(known)}.")
    return asked


def with_config(runs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[LeftOut, ...]]:
    """Returns the runs with a known hyperparameter, and the others as left out: they belong to no group."""
    lost = runs_without_hparams(runs)
    if not lost:
        return runs, ()
    reason = "no hyperparameter known: config missing or unreadable"
    return runs.filter(pl.col("run_id").is_in(lost).not_()), (LeftOut(reason, tuple(lost)),)


def settings_unknown(runs: pl.DataFrame) -> tuple[str, ...]:
    """Returns the note of an answer about groups if no run has a known hyperparameter; else none."""
    unknown = runs_without_hparams(runs)
    if runs.height < _SEVERAL or len(unknown) < runs.height:
        return ()
    return (
        f"The settings of these {len(unknown)} runs are unknown (no config beside or above their logs, none in their names): "
        "they are not counted as repetitions of each other, so there is no group, no seed noise and no tie.",
    )


def listed(names: Sequence[str], most: int = 3, *, total: int = 0) -> str:
    """Joins the first names and counts the rest; ``total``: how many there are, if not all names are given."""
    more = max(len(names), total) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
