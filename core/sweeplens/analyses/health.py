"""`health` of runs, from the findings of a diagnosis: ``broken`` (high severity), ``suspect`` (medium) or ``ok``.

All runs are diagnosed together, because some findings compare a run with its siblings, and once in each version of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import polars as pl
from msgspec import Struct

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.triage.printed import PRINTED
from sweeplens.analyses.triage.source_findings import SOURCE
from sweeplens.answers import Answer
from sweeplens.counting import count_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.store import Snapshot

if TYPE_CHECKING:
    from sweeplens.analyses.triage.candidates import DiagnosisOptions

__all__ = ["HEALTH", "RunHealth", "broken_warning", "health_of", "scale_warnings", "source_warning"]

HEALTH = "health"
_WORDS = {0: "ok", 1: "suspect", 2: "broken"}
_NAMED = 3
_OTHER_SCALE = ("other_scale", "rescored")
_CHEAP_POINTS = 300_000  # with so many, diagnosing all runs takes well below a second
_FRESH_SECONDS = 10  # a run that is silent may stall without a change of the data, and answers say for how long


class RunHealth(Struct, frozen=True):
    """The health of all runs of a version. ``runs``: with status; ``options``: makes those of the diagnosis."""

    snapshot: Snapshot
    points: PointSource
    runs: pl.DataFrame
    options: Callable[[], DiagnosisOptions]

    def diagnosis(self) -> Answer:
        """Returns the diagnosis of all runs in all metrics; computed once in each version of the data."""
        from sweeplens.analyses.triage.diagnosis import diagnose  # numpy loads with it

        options, snapshot = self.options(), self.snapshot
        return snapshot.cached(self._key(options), lambda: diagnose(self.runs, snapshot.series, self.points, options))

    def quick_diagnosis(self, most: int) -> Answer:
        """Returns `diagnosis` if it is known or there are at most so many points, else one without curves."""
        from sweeplens.analyses.triage.diagnosis import diagnose

        options, snapshot = self.options(), self.snapshot
        key = self._key(options)
        if snapshot.known(key) or self._points() <= most:
            return self.diagnosis()
        return snapshot.cached(("quick", *key), lambda: diagnose(self.runs, snapshot.series, None, options))

    def lasting_findings(self) -> pl.DataFrame:
        """Returns the findings that are news; from the diagnosis if that is known."""
        from sweeplens.analyses.triage.diagnosis import lasting_findings

        options, snapshot = self.options(), self.snapshot
        key = self._key(options)
        if snapshot.known(key):
            return self.diagnosis().table
        return snapshot.cached(
            ("lasting", *key), lambda: lasting_findings(self.runs, snapshot.series, self.points, options)
        )

    def table(self) -> pl.DataFrame:
        """Returns run_id, health of all runs."""
        return health_of(self.runs, _of_single_runs(self.diagnosis().table))

    def known_findings(self) -> pl.DataFrame | None:
        """Returns the findings of all runs; None if they are not known yet and finding them would take long."""
        if not self.snapshot.known(self._key(self.options())) and self._points() > _CHEAP_POINTS:
            return None
        return _of_single_runs(self.diagnosis().table)

    def broken(self, among: Sequence[str]) -> list[str]:
        """Returns which of these runs are broken, in order; none if they are not known yet and finding them would take long."""
        if self.known_findings() is None:
            return []
        broken = self.table().filter((pl.col(HEALTH) == "broken") & pl.col("run_id").is_in(list(among)))
        return broken["run_id"].sort().to_list()

    def _points(self) -> int:
        return int(self.snapshot.series["n_logged"].sum())

    def _key(self, options: DiagnosisOptions) -> tuple[Hashable, ...]:
        """What a diagnosis depends on beside the data: statuses, files that end in a line, and the time while runs are silent."""
        silent = (pl.col("status") == "running") & (
            (pl.lit(options.now) - pl.col("updated_at")).dt.total_seconds() > options.live_seconds
        )
        stalled = bool(self.runs.select(silent.any()).item())
        time = int(options.now.timestamp() // _FRESH_SECONDS) if stalled else 0
        return "diagnosis", int(self.runs["status"].hash().sum()), options.torn, time


def _of_single_runs(findings: pl.DataFrame) -> pl.DataFrame:
    """Returns the findings without those that stand for several runs."""
    return findings.filter(pl.col("finding") != PRINTED)


def health_of(runs: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """Returns run_id, health: one row for each run. ``findings``: the table of `diagnose` over all runs."""
    worst = pl.col("severity").replace_strict({"high": 2, "medium": 1}, default=0, return_dtype=pl.Int8).max()
    graded = findings.group_by("run_id").agg(grade=worst)
    joined = runs.select("run_id").join(graded, on="run_id", how="left", maintain_order="left")
    words = pl.col("grade").fill_null(0).replace_strict(_WORDS, return_dtype=pl.String)
    return joined.select("run_id", words.alias(HEALTH))


def broken_warning(broken: Sequence[str], used: int, place: str = "used") -> tuple[str, ...]:
    """Returns a warning that an answer rests on broken runs; none if it does not. ``place``: what these runs are to the answer."""
    if not broken:
        return ()
    n = len(broken)
    return (
        f"{n} of the {count_of(used, 'run')} {place} {verb(n, 'is', 'are')} broken ({listed(broken, _NAMED)}: diagnose_runs); "
        f"where=\"health <> 'broken'\" leaves {verb(n, 'it', 'them')} out",
    )


def scale_warnings(findings: pl.DataFrame, runs: Sequence[str], metrics: Sequence[str]) -> tuple[str, ...]:
    """Warns of each of these metrics that some of the runs, not all, log on another scale or compute differently."""
    own = findings.filter(
        pl.col("finding").is_in(_OTHER_SCALE), pl.col("metric").is_in(list(metrics)), pl.col("run_id").is_in(list(runs))
    )
    told: list[str] = []
    for _, rows in own.group_by("metric", "finding", maintain_order=True):
        n = rows["run_id"].n_unique()
        if n < len(set(runs)):
            told.append(
                f"{n} of the {count_of(len(set(runs)), 'run')} used cannot be compared with the others: {rows['evidence'][0]}"
            )
    return tuple(told)


def source_warning(findings: pl.DataFrame, runs: Sequence[str]) -> tuple[str, ...]:
    """Warns of runs behind an answer that started from a run which did not end well."""
    own = findings.filter(pl.col("finding") == SOURCE, pl.col("run_id").is_in(list(runs)))
    if not own.height:
        return ()
    n = own["run_id"].n_unique()
    return (
        f"{n} of the {count_of(len(set(runs)), 'run')} used started from a run that did not end well "
        f"({own['run_id'][0]}: {own['evidence'][0]}{f'; and {n - 1} more' if n > 1 else ''}: diagnose_runs)",
    )
