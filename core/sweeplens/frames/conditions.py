"""Evaluates a condition on the runs with Polars expressions.

    condition_mask(text, runs, series)    true or false for each run
    empty_reason(text, runs, series)      why a condition holds for no run

Logic is three-valued as in SQL: a comparison with NULL is NULL, and a run is selected if the condition is TRUE. Text, numbers,
times and lists are never compared with each other; the error gives the kind of each column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import polars as pl
from msgspec import Struct
from polars.exceptions import PolarsError

from sweeplens.errors import InputError, QuotesError, UnknownNameError, nearest
from sweeplens.frames.condition_expressions import ExpressionBuilder, kind_of, source_of
from sweeplens.frames.condition_text import ColumnNode, ConditionNode, LiteralNode, OperationNode, parse_condition
from sweeplens.frames.run_columns import NOTHING_MORE, RUN_STATISTICS, RunColumns, near_columns, with_run_columns
from sweeplens.frames.schemas import SERIES_STATS, STATUSES
from sweeplens.frames.text_searches import TextSearches, evaluated

__all__ = ["condition_mask", "empty_reason"]

_SHOWN_VALUES = 8
_SCHEMA_HINT = "experiments://schema lists all columns of conditions."


class _KnownColumns(Struct, frozen=True):
    """The runs table with the columns that a condition names, and what it was made of."""

    runs: pl.DataFrame
    table: pl.DataFrame
    series: pl.DataFrame
    more: RunColumns


def condition_mask(text: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns = NOTHING_MORE) -> pl.Series:
    """Returns whether the condition holds for each run. Raises UnknownNameError for an unknown column, else InputError."""
    tree = parse_condition(text)
    return _mask(text, tree, _KnownColumns(runs, with_run_columns(runs, series, _columns(tree), more), series, more))


def empty_reason(
    text: str, runs: pl.DataFrame, series: pl.DataFrame, more: RunColumns = NOTHING_MORE, *, rows: str = "runs"
) -> str:
    """Returns which part of a condition excludes all runs, and the values that exist instead. ``rows``: what to call them."""
    tree = parse_condition(text)
    known = _KnownColumns(runs, with_run_columns(runs, series, _columns(tree), more), series, more)
    parts = tree.parts if isinstance(tree, OperationNode) and tree.operator == "and" else (tree,)
    held = [(part, int(_mask(text, part, known).sum())) for part in parts]
    none = [part for part, n in held if n == 0]
    if not none:
        counts = ", ".join(f"{source_of(text, part)} for {n}" for part, n in held)
        return f"Nothing satisfies all parts of the condition at once. Of {runs.height} {rows}, each part alone holds: {counts}."
    blamed = " and ".join(source_of(text, part) for part in none)
    hints = [_existing_values(part, known.table) for part in none]
    return " ".join([f"{blamed} holds for none of {runs.height} {rows}.", *filter(None, dict.fromkeys(hints))])


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
        shown = ", ".join(f"{value[:80]!r} ({n})" for value, n in common.iter_rows())
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


def _unknown_column(node: ColumnNode, text: str, known: _KnownColumns) -> UnknownNameError:
    """Returns the error for an unknown column, with what was probably meant."""
    name, runs, series = node.name, known.runs, known.series
    metrics: list[str] = series["metric"].unique().sort().to_list()
    if name in metrics:
        return UnknownNameError(
            f'No column {name!r}: it is a metric; use one of its statistics, as in "{name}.last" '
            f"(last, min, max, mean, n_nan and others). {_SCHEMA_HINT}"
        )
    unquoted = None if node.quote else _unquoted_name(text, node.at, [*runs.columns, *metrics], metrics)
    if unquoted:
        return QuotesError.corrects(
            f"No column {name!r} in the condition: put names with dots, slashes or other signs in double quotes, "
            f'as in "{unquoted.name}"',
            text,
            _with_quotes(text, [*runs.columns, *metrics], metrics),
        )
    metric, _, statistic = name.rpartition(".")
    if metric in metrics and not set("(@") & set(name):  # no event
        near = [f"{metric}.{s}" for s in nearest(statistic, RUN_STATISTICS, meaning="statistic")]
        near += [f"{metric}.min"] * (f"{metric}.max" in near[:1])  # for the best value: the goal decides
        offer = f" Nearest: {', '.join(map(repr, dict.fromkeys(near)))}." if near else ""
        return UnknownNameError(
            f"No column {name!r}.{offer} A metric has {', '.join(RUN_STATISTICS)}; the best value is max or min."
        )
    return UnknownNameError.of("column", name, near_columns(name, runs, series, known.more), hint=_SCHEMA_HINT)


class _UnquotedName(Struct, frozen=True):
    """A column that stands in a condition without quotes, and the position after it."""

    name: str
    end: int


def _with_quotes(text: str, names: Sequence[str], metrics: Sequence[str]) -> str:
    """Returns a condition with double quotes around each known name that needs them."""
    parts: list[str] = []
    done = 0
    for node in sorted(_column_nodes(parse_condition(text)), key=lambda node: node.at):
        found = None if node.quote or node.at < done else _unquoted_name(text, node.at, names, metrics)
        if found:
            parts += [text[done : node.at], f'"{found.name}"']
            done = found.end
    return "".join([*parts, text[done:]])


def _unquoted_name(text: str, at: int, names: Iterable[str], metrics: Sequence[str]) -> _UnquotedName | None:
    """Returns the longest column that stands without quotes at a position of the text; a bare metric as its last value."""
    found = max((n for n in names if not n.isidentifier() and text.startswith(n, at)), key=len, default="")
    end = at + len(found)
    if not found or found not in metrics:
        return _UnquotedName(found, end) if found else None
    statistic = re.match(r"\.(\w+)", text[end:])
    if statistic and statistic[1] in SERIES_STATS:
        return _UnquotedName(found + statistic[0], end + statistic.end())
    return _UnquotedName(f"{found}.last", end)
