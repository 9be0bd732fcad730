"""Evaluates a condition on the runs with Polars expressions.

    condition_mask(text, runs, series)    true or false for each run
    empty_reason(text, runs, series)      why a condition holds for no run

Logic is three-valued as in SQL: a comparison with NULL is NULL, and a run is selected if the condition is TRUE. Text, numbers,
times and lists are never compared with each other; the error gives the kind of each column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
from polars.exceptions import PolarsError

from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.condition_expressions import ExpressionBuilder, kind_of, source_of
from sweeplens.frames.condition_text import ColumnNode, ConditionNode, OperationNode, parse_condition
from sweeplens.frames.schemas import SERIES_STATS

__all__ = ["condition_columns", "condition_mask", "empty_reason"]

_SHOWN_VALUES = 8
_SCHEMA_HINT = "experiments://schema lists all columns of conditions."


def condition_columns(runs: pl.DataFrame, series: pl.DataFrame) -> list[str]:
    """Returns every column that a condition may use: those of the runs table, and ``<metric>.<statistic>``."""
    metrics = series["metric"].unique().sort().to_list()
    return [*runs.columns, *(f"{m}.{s}" for m in metrics for s in SERIES_STATS)]


def condition_mask(text: str, runs: pl.DataFrame, series: pl.DataFrame) -> pl.Series:
    """Returns whether the condition holds for each run. Raises UnknownNameError for an unknown column, else InputError."""
    return _mask(text, parse_condition(text), runs, series)


def empty_reason(text: str, runs: pl.DataFrame, series: pl.DataFrame) -> str:
    """Returns which part of a condition excludes all runs, and the values that exist instead."""
    tree = parse_condition(text)
    parts = tree.parts if isinstance(tree, OperationNode) and tree.operator == "and" else (tree,)
    held = [(part, int(_mask(text, part, runs, series).sum())) for part in parts]
    none = [part for part, n in held if n == 0]
    if not none:
        counts = ", ".join(f"{source_of(text, part)} for {n}" for part, n in held)
        return f"No run satisfies all parts of the condition at once. Of {runs.height} runs, each part alone holds: {counts}."
    blamed = " and ".join(source_of(text, part) for part in none)
    hints = [_existing_values(part, runs, series) for part in none]
    return " ".join([f"{blamed} holds for none of {runs.height} runs.", *filter(None, dict.fromkeys(hints))])


def _existing_values(part: ConditionNode, runs: pl.DataFrame, series: pl.DataFrame) -> str:
    """Returns the values of a comparison's only column: the most frequent texts, or the range of numbers."""
    names = _columns(part)
    if len(names) != 1:
        return ""
    (name,) = names
    values = _with_statistics(runs, series, names)[name].drop_nulls()
    if not len(values):
        return f"{name} is NULL in every run."
    if kind_of(values.dtype) == "text":
        counts = values.cast(pl.String).rename("value").value_counts(sort=False)
        common = counts.sort("count", "value", descending=[True, False]).head(_SHOWN_VALUES)
        shown = ", ".join(f"{value[:80]!r} ({n})" for value, n in common.iter_rows())
        return f"Values of {name}: {shown}{', ...' * (counts.height > _SHOWN_VALUES)}."
    if kind_of(values.dtype) == "number":
        return f"{name} is between {values.min()} and {values.max()}."
    return ""


def _columns(tree: ConditionNode) -> list[str]:
    """Returns the names in a tree, each once."""
    return list(dict.fromkeys(_names(tree)))


def _names(tree: ConditionNode) -> Iterator[str]:
    if isinstance(tree, ColumnNode):
        yield tree.name
    elif isinstance(tree, OperationNode):
        for part in tree.parts:
            yield from _names(part)


def _mask(text: str, tree: ConditionNode, runs: pl.DataFrame, series: pl.DataFrame) -> pl.Series:
    table = _with_statistics(runs, series, _columns(tree))
    built = ExpressionBuilder(text, table.schema, lambda node: _unknown_column(node, text, runs, series)).build(tree)
    if built.kind != "bool":
        raise InputError(
            f"Condition {source_of(text, tree)!r} is not true or false for each run: "
            'use a comparison, as in "optim.lr" > 0.01.'
        )
    texts = pl.col(pl.Categorical, pl.Enum).cast(pl.String)
    plan = table.lazy().with_columns(texts).select("run_id", built.expr.alias("\0"))
    try:  # no optimizations: that of eager frames reduces some expressions over literals to a single row
        mask = plan.collect(optimizations=pl.QueryOptFlags.none())["\0"]
    except PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"Condition {text[:200]!r} cannot be used: {reason}.") from error
    return mask.fill_null(value=False)


def _with_statistics(runs: pl.DataFrame, series: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Adds the ``<metric>.<statistic>`` columns among the names to the runs table; the builder handles unknown names."""
    table = runs
    for name in names:
        metric, _, statistic = name.rpartition(".")
        if name in runs.columns or statistic not in SERIES_STATS:
            continue
        column = series.filter(pl.col("metric") == metric).select("run_id", pl.col(statistic).alias(name))
        if column.height:
            table = table.join(column, on="run_id", how="left", maintain_order="left")
    return table


def _unknown_column(node: ColumnNode, text: str, runs: pl.DataFrame, series: pl.DataFrame) -> UnknownNameError:
    """Returns the error for an unknown column, with what was probably meant."""
    name = node.name
    metrics: list[str] = series["metric"].unique().sort().to_list()
    if not node.quote and "." in name and (name in runs.columns or name.rpartition(".")[0] in metrics):
        return UnknownNameError(
            f'No column {name!r} in the condition: put names with dots in double quotes, as in "{name}".'
        )
    if name in metrics:
        return UnknownNameError(
            f'No column {name!r}: it is a metric; use one of its statistics, as in "{name}.last" '
            f"(last, best by min or max, mean, n_nan and others). {_SCHEMA_HINT}"
        )
    dotted = [k for k in runs.columns if k.startswith(f"{name}.") and f"{name}." in text] if not node.quote else []
    if dotted:
        return UnknownNameError(
            f'No column {name!r} in the condition: put names with dots in double quotes, as in "{dotted[0]}".'
        )
    return UnknownNameError.of("column", name, _candidate_columns(name, runs, metrics), hint=_SCHEMA_HINT)


def _candidate_columns(name: str, runs: pl.DataFrame, metrics: list[str]) -> list[str]:
    """Returns the columns among which nearest names are searched, with the likely statistics of each metric."""
    metric, _, statistic = name.rpartition(".")
    if metric in metrics:
        return [f"{metric}.{s}" for s in SERIES_STATS]
    meant = statistic if statistic in SERIES_STATS else "last"
    return [*runs.columns, *(f"{m}.{meant}" for m in metrics)]
