"""What a reader must know about an axis: intervals that go beyond it, and broken runs that stretch it.

cut_ends        marks at the edge of the axis, one for each end of an interval that lies beyond it
cut_note        the same intervals in words
stretch_note    which lines hold the broken runs that stretch the axis, and the condition that zooms in
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sweeplens.charts.labels import listed_names, number
from sweeplens.charts.request import PlotRequest
from sweeplens.charts.scales import ValueRange
from sweeplens.charts.vega import Row
from sweeplens.counting import count_of, verb

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["broken_among", "cut_ends", "cut_note", "stretch_note"]

_STRETCHED = 3.0  # times the range of the others
_CONDITION = "health <> 'broken'"


def cut_ends(rows: Sequence[Row], within: ValueRange | None) -> tuple[list[Row], list[Row]]:
    """Returns the rows whose interval goes beyond the low and the high end of the axis, with ``at`` that end."""
    if within is None:
        return [], []
    known = [r for r in rows if r["low"] is not None]
    low = [{**r, "at": within.low} for r in known if r["low"] < within.low]
    return low, [{**r, "at": within.high} for r in known if r["high"] > within.high]


def cut_note(ends: tuple[list[Row], list[Row]], label: str) -> str:
    """Returns which intervals are not drawn whole, with their ends; ``label``: the field that names them."""
    rows = {r[label]: r for end in ends for r in end}
    names = [f"{name} ({number(r['low'])} to {number(r['high'])})" for name, r in rows.items()]
    n = len(names)
    return (
        f"Arrows: {count_of(n, 'interval')} {verb(n, 'goes', 'go')} beyond the axis: {listed_names(names)}."
        if n
        else ""
    )


def broken_among(db: ExperimentDB, ask: PlotRequest, runs: Sequence[str]) -> set[str]:
    """Returns which of these runs are broken, if that is known or quickly found out."""
    health = db.view(ask.runs, ask.where).health
    return set(health.broken(list(runs))) if health is not None else set()


def stretch_note(extents: Mapping[str, Sequence[float]], broken: Mapping[str, int], asked: str) -> str:
    """Returns the note; nothing unless the axis is three times as long as the other lines need.

    ``extents``: label -> the values that are drawn; ``broken``: label -> how many broken runs it holds; ``asked``: the condition.
    """
    others = [v for label, values in extents.items() if not broken.get(label) for v in values]
    everything = [v for values in extents.values() for v in values]
    if len(set(others)) < 2 or max(everything) - min(everything) < _STRETCHED * (max(others) - min(others)):
        return ""
    held = {label: n for label, n in broken.items() if n and label in extents}
    runs, holds = count_of(sum(held.values()), "broken run"), verb(len(held), "stretches", "stretch")
    how = f"{_CONDITION} added to where" if asked else f'where="{_CONDITION}"'
    return f"{listed_names(list(held))} {holds} the axis ({runs}): {how} zooms in."
