"""Which runs: ids or globs, and a SQL condition over the runs table and each series' statistics."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

import polars as pl
from polars.exceptions import PolarsError

from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.schemas import SERIES_STATS

__all__ = ["condition_columns", "match_names", "select_metrics", "select_runs"]

_MAX_CONDITION = 4000
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")


def select_runs(
    runs: pl.DataFrame, series: pl.DataFrame, patterns: Sequence[str] = (), where: str = ""
) -> pl.DataFrame:
    """The rows of the runs frame that the patterns and the condition name; all of them when neither is given.

    Raises UnknownNameError for an id or column that is not there, InputError for a condition that cannot be understood.
    """
    if patterns:
        ids = match_names(patterns, runs["run_id"].to_list(), kind="run", hint=f"list_runs shows all {runs.height}.")
        runs = runs.filter(pl.col("run_id").is_in(ids))
    return runs.filter(_matching(runs, series, where)) if where.strip() else runs


def match_names(patterns: Iterable[str], known: Sequence[str], *, kind: str, hint: str = "") -> list[str]:
    """Names that equal a pattern or match it as a glob, in the order of ``known``. A pattern without a match is an error."""
    exact = set(known)
    chosen: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        if pattern in exact:
            chosen.add(pattern)
            continue
        checkpoint()
        found = fnmatch.filter(known, pattern) if any(c in pattern for c in "*?[") else []
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
    """Matches by Rust's regular expressions, which take linear time whatever the pattern; a glob as a second try."""
    names = pl.Series("name", known, dtype=pl.String)
    try:
        found = names.filter(names.str.contains(pattern)).to_list()
    except PolarsError as error:
        found = fnmatch.filter(known, pattern)
        if not found:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"Metric pattern {pattern!r} is no regular expression: {reason}. Pass a name, or escape it with '\\'."
            ) from error
    return found or fnmatch.filter(known, pattern)


def condition_columns(runs: pl.DataFrame, series: pl.DataFrame) -> list[str]:
    """Every column that a condition may name: those of the runs table, and ``<metric>.<statistic>``."""
    metrics = series["metric"].unique().sort().to_list()
    return [*runs.columns, *(f"{m}.{s}" for m in metrics for s in SERIES_STATS)]


def _matching(runs: pl.DataFrame, series: pl.DataFrame, where: str) -> pl.Series:
    """A mask over ``runs``."""
    expression = _parsed(where)
    table = _with_statistics(runs, series, dict.fromkeys(expression.meta.root_names()), where)
    texts = [name for name, dtype in table.schema.items() if dtype == pl.Categorical]
    try:
        mask = table.with_columns(pl.col(texts).cast(pl.String)).select(expression.alias("mask"))["mask"]
    except PolarsError as error:
        raise InputError(f"Condition {where!r} cannot be used: {str(error).splitlines()[0]}.") from error
    if mask.dtype != pl.Boolean or len(mask) != runs.height:
        raise InputError(
            f'Condition {where!r} is not true or false for each run: compare something, as in "optim.lr" > 0.01.'
        )
    return mask.fill_null(value=False)


def _parsed(where: str) -> pl.Expr:
    if len(where) > _MAX_CONDITION:
        raise InputError(f"The condition has {len(where)} characters, at most {_MAX_CONDITION} are allowed.")
    if re.search(r"\b(select|from)\b", _QUOTED.sub("", where), re.IGNORECASE):
        raise InputError("A condition compares columns of the runs table; it cannot select from anything else.")
    try:
        return pl.sql_expr(where)
    except PolarsError as error:
        hint = "Names with dots or slashes stand in double quotes, text in single ones: \"optim.lr\" > 1e-4 AND status = 'done'."
        raise InputError(f"Condition {where!r} cannot be understood: {str(error).splitlines()[0]}. {hint}") from error


def _with_statistics(runs: pl.DataFrame, series: pl.DataFrame, names: Iterable[str], where: str) -> pl.DataFrame:
    """The runs table with the ``<metric>.<statistic>`` columns that are asked for."""
    table = runs
    for name in names:
        if name in runs.columns:
            continue
        metric, _, statistic = name.rpartition(".")
        if statistic not in SERIES_STATS or not series.filter(pl.col("metric") == metric).height:
            raise _unknown_column(name, runs, series, where)
        column = series.filter(pl.col("metric") == metric).select("run_id", pl.col(statistic).alias(name))
        table = table.join(column, on="run_id", how="left", maintain_order="left")
    return table


def _unknown_column(name: str, runs: pl.DataFrame, series: pl.DataFrame, where: str) -> UnknownNameError:
    known = condition_columns(runs, series)
    dotted = [k for k in known if k.startswith(f"{name}.") and f"{name}." in where]
    if dotted:
        return UnknownNameError(
            f'No column {name!r} in the condition: names with dots stand in double quotes, as in "{dotted[0]}".'
        )
    return UnknownNameError.of("column", name, known, hint="experiments://schema lists what a condition can name.")
