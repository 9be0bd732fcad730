"""Selects runs and metrics by ids, globs and regular expressions, and by a condition over the runs table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.conditions import condition_mask, empty_reason
from sweeplens.frames.pattern_search import PatternTime
from sweeplens.frames.patterns import is_glob, match_glob, match_regex, no_match
from sweeplens.frames.run_columns import NOTHING_MORE, RunColumns
from sweeplens.frames.run_names import ids_matching

__all__ = [
    "check_range",
    "match_names",
    "no_run_reason",
    "select_axis",
    "select_metrics",
    "select_runs",
]

_AXES = ("step", "wall_time")


def select_runs(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    patterns: Sequence[str] = (),
    where: str = "",
    more: RunColumns = NOTHING_MORE,
) -> pl.DataFrame:
    """Returns the rows of the runs frame that match the patterns and the condition; all rows if neither is given.

    Patterns are ids, display names, and globs of either. ``more``: further columns that the condition may name.

    Raises UnknownNameError for an unknown id or column, InputError for a condition that cannot be parsed.
    """
    if patterns:
        ids = ids_matching(runs, patterns, hint=f"list_runs shows all {runs.height}.")
        runs = runs.filter(pl.col("run_id").is_in(ids))
    return runs.filter(condition_mask(where, runs, series, more)) if where.strip() else runs


def no_run_reason(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    patterns: Sequence[str],
    where: str,
    more: RunColumns = NOTHING_MORE,
) -> str:
    """Returns why a condition holds for none of the runs that match the patterns, and the values that they have instead."""
    return empty_reason(where, select_runs(runs, series, patterns), series, more)


def match_names(patterns: Iterable[str], known: Sequence[str], *, kind: str, hint: str = "") -> list[str]:
    """Returns names that equal a pattern or match it as a glob, in the order of ``known``. Raises an error without a match."""
    exact, time = set(known), PatternTime()
    chosen: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        if pattern in exact:
            chosen.add(pattern)
            continue
        checkpoint()
        found = match_glob(pattern, known, time) if is_glob(pattern) else []
        if not found:
            raise no_match(kind, pattern, known, hint)
        chosen.update(found)
    return [name for name in known if name in chosen]


def select_metrics(patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns metrics by name, glob or regular expression (searched in the name), in the order of ``known``; no pattern: all.

    Raises UnknownNameError if a pattern matches nothing, InputError if it is not a regular expression.
    """
    if not patterns:
        return list(known)
    exact, time = set(known), PatternTime()
    chosen: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        checkpoint()
        found = [pattern] if pattern in exact else _by_pattern(pattern, known, time)
        if not found:
            raise no_match("metric", pattern, known, f"list_metrics shows all {len(known)}.")
        chosen.update(found)
    return [name for name in known if name in chosen]


def select_axis(name: str, known: Sequence[str], argument: str = "x") -> str:
    """Returns an x axis: ``step``, ``wall_time``, or a metric by name or pattern. Raises UnknownNameError."""
    if name in _AXES or name in known:
        return name
    try:
        return select_metrics([name], known)[0]
    except UnknownNameError:
        hint = f"{argument} takes step, wall_time (seconds) or a metric; list_metrics shows all {len(known)}."
        raise UnknownNameError.of(
            "axis" if argument == "axis" else f"{argument} axis", name, [*_AXES, *known], meaning="x", hint=hint
        ) from None


def check_range(low: float | None, high: float | None, names: tuple[str, str] = ("x_min", "x_max")) -> None:
    """Raises InputError for bounds between which no value can be."""
    if low is not None and high is not None and low > high:
        raise InputError(
            f"{names[0]} {low:g} is greater than {names[1]} {high:g}: no point lies between them. Exchange the two."
        )
    for name, bound in zip(names, (low, high), strict=True):
        if bound is not None and bound != bound:
            raise InputError(f"{name} is not a number (NaN): pass a number, or leave it out.")


def _by_pattern(pattern: str, known: Sequence[str], time: PatternTime) -> list[str]:
    """Returns names in which a regular expression is found; if there are none, the pattern is tried as a glob."""
    try:
        found = match_regex(pattern, known, "Metric pattern", time)
    except InputError:
        found = match_glob(pattern, known, time) if is_glob(pattern) else []
        if not found:
            raise
    return found or (match_glob(pattern, known, time) if is_glob(pattern) else [])
