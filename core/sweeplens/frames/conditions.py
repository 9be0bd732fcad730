"""A condition's tree -> the runs for which it holds, by Polars expressions that are made here and nowhere else.

    condition_mask(text, runs, series)    true or false for each run
    empty_reason(text, runs, series)      why a condition holds for no run

Three-valued logic as in SQL: a comparison with NULL is NULL, and a run is selected where the whole is TRUE. Text, numbers,
times and lists are never compared with each other; the error says which column holds what.
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
_SCHEMA_HINT = "experiments://schema lists what a condition can name."


def condition_columns(runs: pl.DataFrame, series: pl.DataFrame) -> list[str]:
    """Every column that a condition may name: those of the runs table, and ``<metric>.<statistic>``."""
    metrics = series["metric"].unique().sort().to_list()
    return [*runs.columns, *(f"{m}.{s}" for m in metrics for s in SERIES_STATS)]


def condition_mask(text: str, runs: pl.DataFrame, series: pl.DataFrame) -> pl.Series:
    """Whether the condition holds, for each run. Raises UnknownNameError for a column that is not there, InputError."""
    return _mask(text, parse_condition(text), runs, series)


def empty_reason(text: str, runs: pl.DataFrame, series: pl.DataFrame) -> str:
    """Which part of a condition that holds for no run is to blame, and which values are there instead."""
    tree = parse_condition(text)
    parts = tree.parts if isinstance(tree, OperationNode) and tree.operator == "and" else (tree,)
    held = [(part, int(_mask(text, part, runs, series).sum())) for part in parts]
    none = [part for part, n in held if n == 0]
    if not none:
        counts = ", ".join(f"{source_of(text, part)} for {n}" for part, n in held)
        return (
            f"No run satisfies all parts of the condition at once. Alone, of {runs.height} runs, they hold: {counts}."
        )
    blamed = " and ".join(source_of(text, part) for part in none)
    hints = [_values_there(part, runs, series) for part in none]
    return " ".join([f"{blamed} holds for none of {runs.height} runs.", *filter(None, dict.fromkeys(hints))])


def _values_there(part: ConditionNode, runs: pl.DataFrame, series: pl.DataFrame) -> str:
    """The values of the one column that a comparison names: the most frequent texts, or the range of numbers."""
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
        return f"{name} lies between {values.min()} and {values.max()}."
    return ""


def _columns(tree: ConditionNode) -> list[str]:
    """The names in a tree, each once."""
    return list(dict.fromkeys(_names(tree)))


def _names(tree: ConditionNode) -> Iterator[str]:
    if isinstance(tree, ColumnNode):
        yield tree.name
    elif isinstance(tree, OperationNode):
        for part in tree.parts:
            yield from _names(part)


def _mask(text: str, tree: ConditionNode, runs: pl.DataFrame, series: pl.DataFrame) -> pl.Series:
    table = _with_statistics(runs, series, _columns(tree))
    made = ExpressionBuilder(text, table.schema, lambda node: _unknown_column(node, text, runs, series)).build(tree)
    if made.kind != "bool":
        raise InputError(
            f"Condition {source_of(text, tree)!r} is not true or false for each run: "
            'compare something, as in "optim.lr" > 0.01.'
        )
    texts = pl.col(pl.Categorical, pl.Enum).cast(pl.String)
    plan = table.lazy().with_columns(texts).select("run_id", made.expr.alias("\0"))
    try:  # as it stands: the optimizer of eager frames takes some expressions over literals for a single row
        mask = plan.collect(optimizations=pl.QueryOptFlags.none())["\0"]
    except PolarsError as error:
        words = str(error).splitlines()[0]
        raise InputError(f"Condition {text[:200]!r} cannot be used: {words}.") from error
    return mask.fill_null(value=False)


def _with_statistics(runs: pl.DataFrame, series: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """The runs table with the ``<metric>.<statistic>`` columns among the names; unknown names are left to the builder."""
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
    """The error for a name that is no column, with what was probably meant."""
    name = node.name
    metrics: list[str] = series["metric"].unique().sort().to_list()
    if not node.quote and "." in name and (name in runs.columns or name.rpartition(".")[0] in metrics):
        return UnknownNameError(
            f'No column {name!r} in the condition: names with dots stand in double quotes, as in "{name}".'
        )
    if name in metrics:
        return UnknownNameError(
            f'No column {name!r}: it is a metric, of which each run has statistics, as in "{name}.last" '
            f"(last, best by min or max, mean, n_nan and others). {_SCHEMA_HINT}"
        )
    dotted = [k for k in runs.columns if k.startswith(f"{name}.") and f"{name}." in text] if not node.quote else []
    if dotted:
        return UnknownNameError(
            f'No column {name!r} in the condition: names with dots stand in double quotes, as in "{dotted[0]}".'
        )
    return UnknownNameError.of("column", name, _alike(name, runs, metrics), hint=_SCHEMA_HINT)


def _alike(name: str, runs: pl.DataFrame, metrics: list[str]) -> list[str]:
    """The columns among which the nearest names are looked for: of each metric those statistics that could be meant."""
    metric, _, statistic = name.rpartition(".")
    if metric in metrics:
        return [f"{metric}.{s}" for s in SERIES_STATS]
    meant = statistic if statistic in SERIES_STATS else "last"
    return [*runs.columns, *(f"{m}.{meant}" for m in metrics)]
