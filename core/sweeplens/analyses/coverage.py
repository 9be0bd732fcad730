"""The ground of an answer about one metric: its series, and which of its runs are unfinished or end before the rest."""

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
    """``unfinished``: runs whose status says so; ``shorter``: runs below 95 % of the median both in last step and in points.

    Both, because a larger batch takes fewer steps to the same end.
    """

    unfinished: tuple[str, ...]
    shorter: tuple[str, ...]
    first_end: int
    last_end: int
    running: tuple[str, ...] = ()

    @property
    def marked(self) -> tuple[str, ...]:
        """Both kinds, each run once, in order."""
        return tuple(sorted({*self.unfinished, *self.shorter}))

    def note(self) -> str:
        """The sentence that an answer adds; empty where all runs are complete and end together."""
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
    """The coverage of one metric: ``series`` are the rows of the runs that an answer uses."""
    if not series.height:
        return Coverage((), (), 0, 0)
    ids = series["run_id"].to_list()
    status = runs.filter(pl.col("run_id").is_in(ids) & pl.col("status").is_in(_UNFINISHED))
    ends = series["last_step"]
    usual = float(ends.quantile(0.5, "nearest") or 0)
    short = series.filter((pl.col("last_step") < _SHORT * usual) & (pl.col("n") < _SHORT * pl.col("n").median()))
    first, last = min(ends.to_list()), max(ends.to_list())
    live = status.filter(pl.col("status") == "running")
    return Coverage(
        tuple(status["run_id"].sort()),
        tuple(short["run_id"].sort()),
        int(first),
        int(last),
        tuple(live["run_id"].sort()),
    )


def series_of(metric: str, series: pl.DataFrame) -> pl.DataFrame:
    """The rows of one metric. Raises UnknownNameError where no run logged it."""
    asked = series.filter(pl.col("metric") == metric)
    if not asked.height:
        known = series["metric"].unique().sort().to_list()
        raise UnknownNameError.of("metric", metric, known, hint=f"list_metrics shows all {len(known)}.")
    return asked


def with_config(runs: pl.DataFrame) -> tuple[pl.DataFrame, tuple[LeftOut, ...]]:
    """The runs of which some hyperparameter is known, and those that belong to no group because none is."""
    lost = runs_without_hparams(runs)
    if not lost:
        return runs, ()
    reason = "no hyperparameter known: its config is missing or could not be read"
    return runs.filter(pl.col("run_id").is_in(lost).not_()), (LeftOut(reason, tuple(lost)),)


def settings_unknown(runs: pl.DataFrame) -> tuple[str, ...]:
    """The sentence that an answer about groups adds where no hyperparameter of any of several runs is known; else none."""
    unknown = runs_without_hparams(runs)
    if runs.height < _SEVERAL or len(unknown) < runs.height:
        return ()
    return (
        f"The settings of these {len(unknown)} runs are unknown (no config beside or above their logs, none in their names): "
        "they are not counted as repetitions of each other, so there is no group, no seed noise and no tie.",
    )


def listed(names: Sequence[str], most: int = 3) -> str:
    """A few names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
