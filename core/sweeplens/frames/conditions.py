"""Evaluates a condition on the runs with Polars expressions.

    condition_mask(text, runs, series)    true or false for each run
    empty_reason(text, runs, series)      why a condition holds for no run

Logic is three-valued as in SQL: a comparison with NULL is NULL, and a run is selected if the condition is TRUE. Text, numbers,
times and lists are never compared with each other; the error gives the kind of each column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from msgspec import Struct
from polars.exceptions import PolarsError

from sweeplens.errors import InputError, QuotesError, UnknownNameError, nearest
from sweeplens.frames.condition_expressions import ExpressionBuilder, kind_of, source_of
from sweeplens.frames.condition_text import ColumnNode, ConditionNode, LiteralNode, OperationNode, parse_condition
from sweeplens.frames.run_columns import NOTHING_MORE, RUN_STATISTICS, RunColumns, near_columns, with_run_columns
from sweeplens.frames.schemas import STATUSES
from sweeplens.frames.text_searches import TextSearches, evaluated
from sweeplens.frames.unquoted_names import UnquotedName, spelled_at, unquoted_names, with_quotes

__all__ = ["condition_mask", "empty_reason"]

_SHOWN_VALUES = 8
_SHOWN = 80  # characters of a value
_SCHEMA_HINT = "experiments://schema lists all columns of conditions."


class _KnownColumns(Struct, frozen=True):
    """The runs table with the columns that a condition names, and what it was made of."""

    runs: pl.DataFrame
    table: pl.DataFrame
    series: pl.DataFrame
    more: RunColumns


def condition_mask(text: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns = NOTHING_MORE) -> pl.Series:
    """Returns whether the condition holds for each run. Raises UnknownNameError for an unknown column, else InputError."""
    return _mask(*_parsed(text, runs, series, more))


def empty_reason(
    text: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns = NOTHING_MORE, *, rows: str = "runs"
) -> str:
    """Returns which part of a condition excludes all runs, and the values that exist instead. ``rows``: what to call them."""
    text, tree, known = _parsed(text, runs, series, more)
    parts = tree.parts if isinstance(tree, OperationNode) and tree.operator == "and" else (tree,)
    held = [(part, int(_mask(text, part, known).sum())) for part in parts]
    none = [part for part, n in held if n == 0]
    if not none:
        counts = ", ".join(f"{source_of(text, part)} for {n}" for part, n in held)
        return f"Nothing satisfies all parts of the condition at once. Of {runs.height} {rows}, each part alone holds: {counts}."
    blamed = " and ".join(source_of(text, part) for part in none)
    hints = [_existing_values(part, known.table) for part in none]
    return " ".join([f"{blamed} holds for none of {runs.height} {rows}.", *filter(None, dict.fromkeys(hints))])


def _parsed(
    text: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns
) -> tuple[str, ConditionNode, _KnownColumns]:
    """Returns the condition and its tree. Quotes that a name lacks are added if the text without them names no column."""
    tree = parse_condition(text)
    known = _KnownColumns(runs, with_run_columns(runs, series, _columns(tree), more), series, more)
    columns = set(known.table.columns)
    unknown = [n for n in _column_nodes(tree) if not n.quote and ("." in n.name or n.name not in columns)]
    if not unknown or isinstance(tree, ColumnNode):  # a name alone is no condition, with quotes either
        return text, tree, known
    metrics: list[str] = series["metric"].unique().to_list()
    meant = [n for n in unquoted_names(text, runs.columns, metrics) if text[n.at : n.end] == n.name]
    meant = [n for n in meant if any(n.at <= node.at < n.end for node in unknown)]
    if not all(any(n.at <= node.at < n.end for n in meant) for node in unknown):
        return text, tree, known
    return _parsed(with_quotes(text, meant), runs, series, more)


def _existing_values(part: ConditionNode, table: pl.DataFrame) -> str:
    """Returns the values of a comparison's only column: the most frequent texts, or the range of numbers."""
    names = _columns(part)
    if not names:
        return "It names no column: 'single quotes' hold a text, and a column's name stands in \"double quotes\"."
    if len(names) != 1:
        return ""
    (name,) = names
    values = table[name].drop_nulls()
    if not len(values):
        return f"{name} is NULL in every run."
    if kind_of(values.dtype) == "text":
        counts = values.cast(pl.String).rename("value").value_counts(sort=False)
        common = counts.sort("count", "value", descending=[True, False]).head(_SHOWN_VALUES)
        shown = ", ".join(f"{value[:_SHOWN]!r} ({n})" for value, n in common.iter_rows())
        known = list(STATUSES) if name == "status" else counts["value"].to_list()
        near = [v for wanted in _texts(part) if wanted not in known for v in nearest(wanted, known, meaning=name, n=1)]
        meant = f" Nearest: {', '.join(map(repr, dict.fromkeys(near)))}." if near else ""
        return f"Values of {name}: {shown}{', ...' * (counts.height > _SHOWN_VALUES)}.{meant}"
    if kind_of(values.dtype) in ("number", "time"):
        return f"{name} is between {values.min()} and {values.max()}."
    return ""


def _texts(tree: ConditionNode) -> Iterator[str]:
    """Yields the texts in a tree."""
    if isinstance(tree, LiteralNode) and isinstance(tree.value, str):
        yield tree.value
    elif isinstance(tree, OperationNode):
        for part in tree.parts:
            yield from _texts(part)


def _columns(tree: ConditionNode) -> list[str]:
    """Returns the names in a tree, each once."""
    return list(dict.fromkeys(_names(tree)))


def _names(tree: ConditionNode) -> Iterator[str]:
    return (node.name for node in _column_nodes(tree))


def _column_nodes(tree: ConditionNode) -> Iterator[ColumnNode]:
    if isinstance(tree, ColumnNode):
        yield tree
    elif isinstance(tree, OperationNode):
        for part in tree.parts:
            yield from _column_nodes(part)


def _mask(text: str, tree: ConditionNode, known: _KnownColumns) -> pl.Series:
    texts = pl.col(pl.Categorical, pl.Enum).cast(pl.String)
    try:
        searches = TextSearches(known.table.with_columns(texts))
        built = ExpressionBuilder(text, searches, lambda node: _unknown_column(node, text, known)).build(tree)
        if built.kind != "bool" and isinstance(tree, ColumnNode):
            reason = f"Condition {source_of(text, tree)!r} is not true or false for each run: use a comparison"
            raise QuotesError.corrects(reason, text, _compared(source_of(text, tree), known.table[tree.name]))
        if built.kind != "bool":
            raise InputError(
                f"Condition {source_of(text, tree)!r} is not true or false for each run: "
                'use a comparison, as in "optim.lr" > 0.01.'
            )
        mask = evaluated(searches.table, built.expr)
    except PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"Condition {text[:200]!r} cannot be used: {reason}.") from error
    return mask.fill_null(value=False)


def _compared(column: str, values: pl.Series) -> str:
    """Returns a column with a comparison to the first of its values."""
    first = next(iter(values.drop_nulls().head(1).to_list()), None)
    if kind_of(values.dtype) == "text" and first is not None:
        value = str(first)[:_SHOWN].replace("'", "''")
        return f"{column} = '{value}'"
    return f"{column} > {first}" if kind_of(values.dtype) == "number" else f"{column} IS NOT NULL"


def _unknown_column(node: ColumnNode, text: str, known: _KnownColumns) -> UnknownNameError:
    """Returns the error for an unknown column, with what was probably meant."""
    name, runs, series = node.name, known.runs, known.series
    metrics: list[str] = series["metric"].unique().sort().to_list()
    found = unquoted_names(text, runs.columns, metrics)
    if name in metrics:
        meant = UnquotedName(f"{name}.last", node.at, node.end)
        others = [other for other in found if other.at != node.at]
        return QuotesError.corrects(
            f'No column {name!r}: it is a metric; use one of its statistics in double quotes, as in "{meant.name}" '
            f"(last, min, max, mean, n_nan and others). {_SCHEMA_HINT.removesuffix('.')}",
            text,
            with_quotes(text, sorted([*others, meant], key=lambda other: other.at)),
        )
    unquoted = None if node.quote else next((n for n in found if n.at <= node.at < n.end), None)
    if unquoted:
        return QuotesError.corrects(
            f"No column {name!r} in the condition: put names with dots, slashes or other signs in double quotes, "
            f'as in "{unquoted.name}"',
            text,
            with_quotes(text, found),
        )
    return _unknown_name(name if node.quote else spelled_at(text, node.at) or name, node, metrics, known)


def _unknown_name(spelled: str, node: ColumnNode, metrics: Sequence[str], known: _KnownColumns) -> UnknownNameError:
    """Returns the error for a name that is no column with quotes either. ``spelled``: with its slashes, which divide."""
    metric, _, statistic = spelled.rpartition(".")
    if metric in metrics and not set("(@") & set(spelled):  # no event
        near = [f"{metric}.{s}" for s in nearest(statistic, RUN_STATISTICS, meaning="statistic")]
        near += [f"{metric}.min"] * (f"{metric}.max" in near[:1])  # for the best value: the goal decides
        offer = f" Nearest: {', '.join(map(repr, dict.fromkeys(near)))}." if near else ""
        advice = "" if node.quote else f' Put the name in double quotes, as in "{[*near, f"{metric}.last"][0]}".'
        return UnknownNameError(
            f"No column {spelled!r}.{offer} A metric has {', '.join(RUN_STATISTICS)}; the best value is max or min.{advice}"
        )
    names = near_columns(spelled, known.runs, known.series, known.more)
    near = nearest(spelled, names)
    shown = spelled if "/" not in spelled or any("/" in name for name in near) else node.name
    signed = next((name for name in near if not name.isidentifier()), "optim.lr" if set("./") & set(shown) else "")
    advice = f'Put names with dots or slashes in double quotes, as in "{signed}". ' if signed and not node.quote else ""
    return UnknownNameError.of("column", shown, names, hint=f"{advice}{_SCHEMA_HINT}")
