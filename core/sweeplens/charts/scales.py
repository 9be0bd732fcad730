"""Scales of axes: logarithmic or linear, the range, and the unit of time.

wants_log       whether values ask for a logarithmic axis
is_log          the same, unless the request says it
range_with_intervals, value_range     the range that shows the usual values, and how many lie beyond
time_axis       seconds as minutes, hours or days
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

__all__ = [
    "TimeAxis",
    "ValueRange",
    "finite_numbers",
    "is_log",
    "range_with_intervals",
    "time_axis",
    "value_range",
    "wants_log",
]

_SPAN, _SPAN_OF_LOSSES = 1000.0, 50.0
_FAR = 8.0
_UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "days"))
_ROUND = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class ValueRange(Struct, frozen=True):
    """From ``low`` to ``high``; ``beyond`` of the values lie outside."""

    low: float
    high: float
    beyond: int


class TimeAxis(Struct, frozen=True):
    """``seconds`` of a unit, its name, and where ticks stand, in seconds."""

    seconds: float
    unit: str
    ticks: tuple[float, ...]


def finite_numbers(values: Iterable[object]) -> list[float]:
    """Returns the finite numbers among values of any kind."""
    return [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]


def wants_log(values: Iterable[object], goal: str = "") -> bool:
    """Returns whether positive values cover three powers of ten; a factor of 50 for a loss or a swept number."""
    known = finite_numbers(values)
    least = _SPAN_OF_LOSSES if goal in ("lower", "hparam") else _SPAN
    enough = len(set(known)) > 2
    return enough and min(known) > 0 and max(known) >= least * min(known)


def is_log(asked: str, axis: str, values: Sequence[object], goal: str = "") -> bool:
    """Returns whether an axis (``x`` or ``y``) is logarithmic; never if a value is not positive."""
    known = finite_numbers(values)
    if not known or min(known) <= 0 or asked == "none":
        return False
    return axis in asked if asked else wants_log(known, goal)


def value_range(values: Iterable[object], *, log: bool = False) -> ValueRange | None:
    """Returns a range without a few far values that would flatten the others to a line; None if there are none."""
    known = sorted(math.log(v) if log else v for v in finite_numbers(values))
    if len(known) < 20:
        return None
    low, high = known[len(known) // 50], known[-1 - len(known) // 50]
    room = _FAR * (high - low)
    if room <= 0 or (known[-1] - high <= room and low - known[0] <= room):
        return None
    inside = [v for v in known if low - room / _FAR <= v <= high + room / _FAR]
    ends = (math.exp(inside[0]), math.exp(inside[-1])) if log else (inside[0], inside[-1])
    return ValueRange(*ends, len(known) - len(inside))


def range_with_intervals(values: Sequence[float], ends: Sequence[float], share: float) -> ValueRange | None:
    """Returns a range of the values with some room, if intervals are far wider; None if none is. ``share``: the room."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    room = share * (high - low)
    if not room or all(low - room <= v <= high + room for v in ends):
        return None
    return ValueRange(max(low - room, min(ends)), min(high + room, max(ends)), 0)


def time_axis(longest: float) -> TimeAxis:
    """Returns ticks at round numbers of the largest unit that fits twice."""
    seconds, unit = next(((s, u) for s, u in reversed(_UNITS) if longest >= 2 * s), _UNITS[0])
    amount = longest / seconds
    every = next((step for step in _ROUND if amount / step <= 8), _ROUND[-1])
    return TimeAxis(seconds, unit, tuple(i * every * seconds for i in range(int(amount / every) + 1)))
