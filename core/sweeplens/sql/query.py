"""Read-only SQL over ``runs``, ``series`` and ``points`` only, with limits on rows, time and memory.

Every query runs in a child process (`sandbox`), which is killed when it exceeds a limit or when its caller stops waiting,
and is otherwise kept for the next query (`process`). A crash of that process is an error of the query.

Lists are text, joined by commas; categories are text. ``points`` has the last write of each step. ``runs`` also has the
columns that `run_columns` computes, where the query names them.
"""

from __future__ import annotations

import re

import polars as pl
from msgspec import Struct

from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of
from sweeplens.errors import InputError, UnknownNameError, nearest
from sweeplens.frames.patterns import regex_reason
from sweeplens.frames.run_columns import NOTHING_MORE, RUN_STATISTICS, RunColumns, near_columns, with_run_columns
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.sql.empty_result import why_no_row
from sweeplens.sql.process import SqlRequest, run_in_process, start_early
from sweeplens.sql.validate import TABLES, check_query, mentions, names_in

__all__ = ["MAX_ROWS", "QueryBounds", "SqlTables", "query_sql", "run_in_child", "start_early"]

MAX_ROWS = 100_000
_SHOWN_CHARACTERS = 300  # characters shown of an engine's message


class SqlTables(Struct, frozen=True):
    """The tables that a query can read."""

    runs: pl.DataFrame
    series: pl.DataFrame
    points: pl.LazyFrame
    more: RunColumns = NOTHING_MORE  # columns that ``runs`` also has, where the query names them


class QueryBounds(Struct, frozen=True):
    """The limits of a query."""

    rows: int = 1000
    seconds: float = 30.0
    megabytes: int = 2048


def query_sql(query: str, tables: SqlTables, bounds: QueryBounds) -> Answer:
    """Runs one SELECT and returns its rows.

    Raises InputError for anything but a SELECT over the three tables, UnknownNameError for an unknown name, LimitError for
    a query that exceeds a limit.
    """
    if not 1 <= bounds.rows <= MAX_ROWS:
        raise InputError(f"limit {bounds.rows} is not between 1 and {MAX_ROWS}.")
    check_query(query)
    runs = with_run_columns(tables.runs, tables.series, _computed_names(query, tables), tables.more)
    plain = SqlTables(_plain(runs), _plain(tables.series), tables.points, tables.more)
    frame = run_in_child(query.strip().rstrip(";"), plain, bounds)
    cut = frame.height > bounds.rows
    warnings = (f"limit reached: the query has more than {count_of(bounds.rows, 'row')}",) if cut else ()
    if not frame.height:
        emptied = why_no_row(query, {"runs": plain.runs, "series": plain.series})
        warnings = (emptied,) if emptied else ()
    read = int(tables.series["n_logged"].sum()) if mentions(query, "points") else 0
    return Answer(_plain(frame.head(bounds.rows)), Basis(runs_used=tables.runs.height, points=read, warnings=warnings))


def _computed_names(query: str, tables: SqlTables) -> list[str]:
    """Returns the names in a query that are no column of the tables, so that they may be computed columns of runs."""
    known = {*tables.runs.columns, *tables.series.columns, *POINTS_SCHEMA}
    return [n for n in names_in(query) if n not in known and ("." in n or n in tables.more.computed)]


def run_in_child(query: str, tables: SqlTables, bounds: QueryBounds) -> pl.DataFrame:
    """Runs a checked query in a child process and returns its rows. Raises the same errors as `query_sql`."""
    points = tables.points if mentions(query, "points") else None
    reply = run_in_process(
        SqlRequest(query, tables.runs, tables.series, points, bounds.rows, bounds.seconds, bounds.megabytes)
    )
    if reply.kind == "error":
        raise _translated(reply.error, reply.message, query, tables)
    return pl.read_ipc(reply.body)


def _translated(kind: str, message: str, query: str, tables: SqlTables) -> InputError:
    """Translates an error of the engine into a sentence with the nearest names."""
    first = message.strip().splitlines()[0][:_SHOWN_CHARACTERS] if message.strip() else kind
    pattern = regex_reason(message)
    if pattern:
        return InputError(f"A regular expression of the query cannot be used: {pattern}.")
    relation = re.search(r"relation '([^']*)' was not found", first)
    if relation:
        return UnknownNameError.of("table", relation[1], TABLES, hint="A query reads runs, series and points.")
    column = re.search(r"(?:unable to find column|no column named|struct column named) ['\"]([^'\"]*)['\"]", first)
    if column:
        return _unknown_column(column[1], query, tables)
    if kind == "refused":
        return InputError("The query tried to open a file: it can read only runs, series and points.")
    if kind == "files":
        return InputError(
            f"The stored points cannot be read now: {first}. Ask again; runs and series can still be queried."
        )
    hint = 'Put names with dots or slashes in double quotes ("optim.lr"), and text in single quotes.'
    return InputError(f"The query cannot be answered: {first.removeprefix('sql parser error: ')}. {hint}")


def _unknown_column(name: str, query: str, tables: SqlTables) -> UnknownNameError:
    known = {t: f.columns for t, f in (("runs", tables.runs), ("series", tables.series))}
    known["points"] = tables.points.collect_schema().names()
    dotted = [c for c in known["runs"] if c.startswith(f"{name}.") and c in query] or [
        c for c in known["runs"] if c.startswith(f"{name}.") and f"{name}." in query
    ]
    if dotted:
        return UnknownNameError(f'No column {name!r}: put names with dots in double quotes, as in "{dotted[0]}".')
    metric, _, statistic = name.rpartition(".")
    metrics = set(tables.series["metric"].unique().to_list())
    if name in metrics:
        return UnknownNameError(
            f'No column {name!r}: it is a metric; runs has its statistics, as in "{name}.last", and series its rows, as in '
            f"SELECT run_id, last FROM series WHERE metric = '{name}'."
        )
    if metric in metrics and not set("(@") & set(name):  # no event
        near = [f"{metric}.{s}" for s in nearest(statistic, RUN_STATISTICS, meaning="statistic")]
        offer = f" Nearest: {', '.join(map(repr, near))}." if near else ""
        return UnknownNameError(f"No column {name!r}.{offer} A metric has {', '.join(RUN_STATISTICS)}.")
    computed = near_columns(name, tables.runs, tables.series, tables.more) if "." in name else []
    mentioned = [t for t in TABLES if mentions(query, t)] or list(TABLES)
    columns = dict.fromkeys([*computed, *(c for t in mentioned for c in known[t]), *tables.more.computed])
    hint = f"Columns of {', '.join(mentioned)}: experiments://schema lists all."
    if re.search(rf'(=|<>|!=|\blike)\s*"?{re.escape(name)}\b', query, re.IGNORECASE):
        quoted = name.replace("'", "''")
        hint = f"If it is a text, write it in single quotes: '{quoted}'. {hint}"
    return UnknownNameError.of("column", name, columns, hint=hint)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the frame with simple column types: lists, categories and structures become text."""
    odd = [_as_text(name, dtype) for name, dtype in frame.schema.items() if _is_odd(dtype)]
    return frame.with_columns(odd) if odd else frame


def _is_odd(dtype: pl.DataType) -> bool:
    return isinstance(
        dtype, pl.Categorical | pl.Enum | pl.List | pl.Array | pl.Struct | pl.Binary | pl.Object | pl.Decimal
    )


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.List) and not dtype.inner.is_nested():
        return column.list.eval(pl.element().cast(pl.String)).list.join(", ")
    if isinstance(dtype, pl.List | pl.Array | pl.Struct | pl.Object):
        return column.map_elements(str, return_dtype=pl.String)
    if isinstance(dtype, pl.Binary):
        return column.bin.encode("hex")
    return column.cast(pl.Float64 if isinstance(dtype, pl.Decimal) else pl.String)
