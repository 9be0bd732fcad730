"""Events along curves: first values that are not finite, crashes, and findings of a diagnosis."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.charts.curve_groups import CurveLine, Groups
from sweeplens.charts.labels import printed
from sweeplens.charts.request import Metric, PlotRequest
from sweeplens.charts.vega import Row

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["CurveEvent", "events_of", "placed_events"]

_MOST_DIAGNOSED = 1_000
_MOST_EVENTS = 60
_ENDED = ("crashed", "failed", "killed")
_SEVERITIES = ("high", "medium")


class CurveEvent(Struct, frozen=True):
    """One event of one run. ``metric`` is empty for an event of the whole run. ``left_out``: number of others not listed."""

    run: str
    metric: str
    finding: str
    step: int
    evidence: str
    left_out: int = 0


def events_of(db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric], groups: Groups) -> list[CurveEvent]:
    """Returns at most 60 events, the worst first; none if the axis is not the step."""
    if ask.x not in ("", "step"):
        return []
    drawn = {run for line in groups.lines for run in line.runs}
    events = [e for e in [*_logged(db, ask, metrics), *_diagnosed(db, ask, metrics, len(drawn))] if e.run in drawn]
    run_events = {
        (e.run, e.finding) for e in events if not e.metric
    }  # an event of the run is not repeated for each metric
    events = [e for e in events if not e.metric or (e.run, e.finding) not in run_events]
    once = list({(e.run, e.metric, e.finding): e for e in events}.values())
    if len(once) > _MOST_EVENTS:
        once[_MOST_EVENTS - 1] = replace(once[_MOST_EVENTS - 1], left_out=len(once) - _MOST_EVENTS)
    return once[:_MOST_EVENTS]


def _logged(db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric]) -> list[CurveEvent]:
    """Yields events from the series: first values that are not finite, and the last step of runs that failed."""
    events: list[CurveEvent] = []
    for metric in metrics:
        nan, last = f"{metric.name}.first_nonfinite_step", f"{metric.name}.last_step"
        table = db.list_runs(runs=ask.runs, where=ask.where, columns=["status", nan, last]).table
        for row in table.iter_rows(named=True):
            if row[nan] is not None:
                events.append(
                    CurveEvent(
                        row["run_id"],
                        metric.name,
                        "nan",
                        row[nan],
                        f"first value that is not finite at step {row[nan]}",
                    )
                )
            if row["status"] in _ENDED and row[last] is not None:
                events.append(
                    CurveEvent(
                        row["run_id"], metric.name, "crashed", row[last], f"{row['status']} after step {row[last]}"
                    )
                )
    return events


def _diagnosed(db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric], drawn: int) -> list[CurveEvent]:
    """Yields the findings of a diagnosis of these metrics."""
    if drawn > _MOST_DIAGNOSED:
        return []
    table = db.diagnose(runs=ask.runs, where=ask.where, metrics=[f"^{re.escape(m.name)}$" for m in metrics]).table
    return [
        CurveEvent(r["run_id"], r["metric"], r["finding"], r["step"], printed(r["evidence"], 160))
        for r in table.iter_rows(named=True)
        if r["step"] is not None and r["severity"] in _SEVERITIES and r["finding"] not in ("nan", "ends_early")
    ]


def placed_events(events: Sequence[CurveEvent], lines: Sequence[CurveLine], metric: Metric) -> list[Row]:
    """Returns each event of a metric as a mark on the line of its run or group, at the last point before it."""
    of_run = {run: line for line in lines for run in line.runs}
    rows: list[Row] = []
    for event in events:
        line = of_run.get(event.run)
        if line is None or not line.x or event.metric not in ("", metric.name):
            continue
        at = max(0, bisect.bisect_right(line.x, event.step) - 1)
        y = line.y[at]
        rows.append(
            {"x": event.step, "y": y, "run": printed(event.run), "finding": event.finding, "evidence": event.evidence}
        )
    return rows
