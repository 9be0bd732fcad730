"""Which runs and metrics: ids, globs and regular expressions, and a condition over the runs table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.conditions import condition_columns, condition_mask, empty_reason
from sweeplens.frames.patterns import is_glob, match_glob, match_regex

__all__ = ["condition_columns", "match_names", "no_run_reason", "select_metrics", "select_runs"]


def select_runs(
    runs: pl.DataFrame, series: pl.DataFrame, patterns: Sequence[str] = (), where: str = ""
) -> pl.DataFrame:
    """The rows of the runs frame that the patterns and the condition name; all of them when neither is given.

    Raises UnknownNameError for an id or column that is not there, InputError for a condition that cannot be understood.
    """
    if patterns:
        ids = match_names(patterns, runs["run_id"].to_list(), kind="run", hint=f"list_runs shows all {runs.height}.")
        runs = runs.filter(pl.col("run_id").is_in(ids))
    return runs.filter(condition_mask(where, runs, series)) if where.strip() else runs


def no_run_reason(runs: pl.DataFrame, series: pl.DataFrame, patterns: Sequence[str], where: str) -> str:
    """Why a condition holds for none of the runs that the patterns name, and which values they have instead."""
    return empty_reason(where, select_runs(runs, series, patterns), series)


def match_names(patterns: Iterable[str], known: Sequence[str], *, kind: str, hint: str = "") -> list[str]:
    """Names that equal a pattern or match it as a glob, in the order of ``known``. A pattern without a match is an error."""
    exact = set(known)
    chosen: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        if pattern in exact:
            chosen.add(pattern)
            continue
        checkpoint()
        found = match_glob(pattern, known) if is_glob(pattern) else []
        if not found:
            raise UnknownNameError.of(kind, pattern, known, hint=hint)
        chosen.update(found)
    return [name for name in known if name in chosen]


def select_metrics(patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    """Metrics by name, glob or regular expression (searched in the name), in the order of ``known``; none: all.

    Raises UnknownNameError where a pattern finds nothing, InputError where it is no regular expression.
    """
    if not patterns:
        return list(known)
    exact = set(known)
    chosen: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        checkpoint()
        found = [pattern] if pattern in exact else _by_pattern(pattern, known)
        if not found:
            raise UnknownNameError.of("metric", pattern, known, hint=f"list_metrics shows all {len(known)}.")
        chosen.update(found)
    return [name for name in known if name in chosen]


def _by_pattern(pattern: str, known: Sequence[str]) -> list[str]:
    """Names in which a regular expression is found; a glob is the second try."""
    try:
        found = match_regex(pattern, known, "Metric pattern")
    except InputError:
        found = match_glob(pattern, known) if is_glob(pattern) else []
        if not found:
            raise
    return found or (match_glob(pattern, known) if is_glob(pattern) else [])
