"""Read-only SQL over ``runs``, ``series``, ``points`` and the files beside them, with limits on rows, time and memory.

Every query runs in a child process (`sandbox`), which is killed when it exceeds a limit or when its caller stops waiting,
and is otherwise kept for the next query (`process`). A crash of that process is an error of the query.

Lists are text, joined by commas; categories are text. ``points`` has the last write of each step. ``runs`` also has the
columns that `run_columns` computes, where the query names them. ``files``, ``lines`` and tables in files (`auxiliary_files`) are
made when a query names them.

Several statements, separated by semicolons, share the limits. An error of one is part of the answer; the others still answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of
from sweeplens.errors import InputError, LimitError, QuotesError, SweeplensError, UnknownNameError, nearest
from sweeplens.frames.patterns import regex_reason
from sweeplens.frames.run_columns import NOTHING_MORE, RUN_STATISTICS, RunColumns, near_columns, with_run_columns
from sweeplens.frames.schemas import POINTS_SCHEMA
from sweeplens.frames.unquoted_names import unquoted_names, with_quotes
from sweeplens.sql.auxiliary_files import AuxiliaryFiles, AuxiliaryTables, file_names
from sweeplens.sql.empty_result import why_no_row
from sweeplens.sql.pool import run_in_process, start_early
from sweeplens.sql.process import SqlRequest
from sweeplens.sql.statements import split_statements
from sweeplens.sql.validate import TABLES, check_query, mentions, names_in, reads_table

__all__ = ["MAX_ROWS", "QueryBounds", "SqlTables", "query_sql", "run_in_child", "start_early"]

MAX_ROWS = 100_000
_MOST_STATEMENTS = 30
_NAMED_COLUMNS = 20  # columns of a file that an error names
_NO_AUXILIARY_TABLES = AuxiliaryTables({})
_SHOWN_CHARACTERS = 300  # characters shown of an engine's message


class SqlTables(Struct, frozen=True):
    """The tables that a query can read."""

    runs: pl.DataFrame
    series: pl.DataFrame
    points: pl.LazyFrame
    more: RunColumns = NOTHING_MORE  # columns that ``runs`` also has, where the query names them
    auxiliary: AuxiliaryFiles | None = None  # the files below the roots


class QueryBounds(Struct, frozen=True):
    """The limits of a query."""

    rows: int = 1000
    seconds: float = 30.0
    megabytes: int = 2048


def query_sql(query: str, tables: SqlTables, bounds: QueryBounds) -> Answer:
    """Runs one SELECT, or several separated by semicolons, and returns their rows; those of the second are table ``2``.

    Raises InputError for anything but a SELECT over the tables, UnknownNameError for an unknown name, LimitError for
    a query that exceeds a limit. Of several statements an error is a note, unless none can be answered; one that is not allowed
    refuses all.
    """
    if not 1 <= bounds.rows <= MAX_ROWS:
        raise InputError(f"limit {bounds.rows} is not between 1 and {MAX_ROWS}.")
    statements = split_statements(query)
    if len(statements) == 1:
        return _query_one(statements[0], tables, bounds)
    if len(statements) > _MOST_STATEMENTS:
        raise InputError(f"The query has {len(statements)} statements, at most {_MOST_STATEMENTS} are allowed.")
    for number, statement in enumerate(statements, 1):
        try:
            check_query(statement)
        except InputError as error:
            raise InputError(f"Statement {number}: {error}") from error
    return _joined(_query_each(statements, tables, bounds), tables)


def _query_each(statements: Sequence[str], tables: SqlTables, bounds: QueryBounds) -> list[Answer | SweeplensError]:
    """Runs the statements within one limit of rows and time."""
    found: list[Answer | SweeplensError] = []
    rows, until = bounds.rows, time.monotonic() + bounds.seconds
    for statement in statements:
        seconds = until - time.monotonic()
        if rows < 1 or seconds <= 0:
            used = "rows (limit)" if rows < 1 else "seconds (query_seconds)"
            found.append(LimitError(f"The statements before it used all {used}: ask for it alone."))
            continue
        try:
            answer = _query_one(statement, tables, replace(bounds, rows=rows, seconds=seconds))
        except (InputError, LimitError) as error:
            found.append(error)
            continue
        rows -= answer.table.height
        found.append(answer)
    return found


def _joined(answers: Sequence[Answer | SweeplensError], tables: SqlTables) -> Answer:
    """Returns the answers of several statements as one. Raises the first error if none was answered."""
    good = [a for a in answers if isinstance(a, Answer)]
    errors = [(i, a) for i, a in enumerate(answers, 1) if not isinstance(a, Answer)]
    if not good:
        told = " ".join(f"Statement {i}: {error}" for i, error in errors)
        raise type(errors[0][1])(told)
    blocks = {
        str(i): a.table if isinstance(a, Answer) else pl.DataFrame({"error": [str(a)]})
        for i, a in enumerate(answers, 1)
    }
    warnings = [
        f"statement {i}: {w}" for i, a in enumerate(answers, 1) if isinstance(a, Answer) for w in a.basis.warnings
    ]
    notes = tuple(f"Statement {i} failed: {error}" for i, error in errors)
    basis = Basis(runs_used=tables.runs.height, points=max(a.basis.points for a in good), warnings=tuple(warnings))
    return Answer(blocks.pop("1"), basis, notes, tables=blocks)


def _query_one(query: str, tables: SqlTables, bounds: QueryBounds) -> Answer:
    check_query(query)
    auxiliary = tables.auxiliary.tables(query) if tables.auxiliary else _NO_AUXILIARY_TABLES
    runs = with_run_columns(tables.runs, tables.series, _computed_names(query, tables, auxiliary), tables.more)
    plain = replace(tables, runs=_plain(runs), series=_plain(tables.series))
    frame = run_in_child(query, plain, bounds, auxiliary)
    cut = frame.height > bounds.rows
    warnings = (f"limit reached: the query has more than {count_of(bounds.rows, 'row')}",) if cut else ()
    if not frame.height:
        emptied = why_no_row(query, {"runs": plain.runs, "series": plain.series})
        warnings = (emptied,) if emptied else ()
    read = int(tables.series["n_logged"].sum()) if mentions(query, "points") else 0
    basis = Basis(runs_used=tables.runs.height, points=read, warnings=(*auxiliary.warnings, *warnings))
    return Answer(_plain(frame.head(bounds.rows)), basis)


def _computed_names(query: str, tables: SqlTables, auxiliary: AuxiliaryTables) -> list[str]:
    """Returns the names in a query that are no column of the tables, so that they may be computed columns of runs."""
    of_series = tables.series.columns if reads_table(query, "series") else ()
    known = {*tables.runs.columns, *of_series, *POINTS_SCHEMA, *auxiliary.frames}
    known |= {column for frame in auxiliary.frames.values() for column in frame.columns}
    return [n for n in names_in(query) if n not in known and ("." in n or n in tables.more.computed)]


def run_in_child(
    query: str, tables: SqlTables, bounds: QueryBounds, auxiliary: AuxiliaryTables = _NO_AUXILIARY_TABLES
) -> pl.DataFrame:
    """Runs a checked query in a child process and returns its rows. Raises the same errors as `query_sql`."""
    points = tables.points if mentions(query, "points") else None
    limits = (bounds.rows, bounds.seconds, bounds.megabytes)
    reply = run_in_process(SqlRequest(query, tables.runs, tables.series, points, *limits, more=auxiliary.frames))
    if reply.kind == "error":
        raise _translated(reply.error, reply.message, query, tables, auxiliary)
    return pl.read_ipc(reply.body)


def _translated(kind: str, message: str, query: str, tables: SqlTables, auxiliary: AuxiliaryTables) -> InputError:
    """Translates an error of the engine into a sentence with the nearest names."""
    first = message.strip().splitlines()[0][:_SHOWN_CHARACTERS] if message.strip() else kind
    pattern = regex_reason(message)
    if pattern:
        return InputError(f"A regular expression of the query cannot be used: {pattern}.")
    relation = re.search(r"relation '([^']*)' was not found", first)
    if relation:
        return _unknown_table(relation[1], tables)
    column = re.search(r"(?:unable to find column|no column named|struct column named) ['\"]([^'\"]*)['\"]", first)
    if column:
        return _unknown_column(column[1], query, tables, auxiliary)
    if kind == "refused":
        return InputError("The query tried to open a file: it can read only its tables.")
    if kind == "files":
        return InputError(
            f"The stored points cannot be read now: {first}. Ask again; runs and series can still be queried."
        )
    hint = _TIMES if "datetime[" in first else _QUOTES
    return InputError(f"The query cannot be answered: {first.removeprefix('sql parser error: ')}. {hint}")


_QUOTES = 'Put names with dots or slashes in double quotes ("optim.lr"), and text in single quotes.'
_TIMES = (
    "created_at and updated_at are times in UTC: updated_at - created_at is the seconds between them, "
    "strftime(created_at, '%Y-%m-%d') their text, and created_at > '2026-05-01' compares them."
)


def _unknown_table(name: str, tables: SqlTables) -> UnknownNameError:
    """Returns the error for a table that does not exist, with the nearest tables and files."""
    files = tables.auxiliary.table_paths() if tables.auxiliary else []
    inside = [p for p in files if p.endswith(f"/{name}") or p.rpartition(".")[0] == name][:3]
    hint = f"A query reads {', '.join(TABLES)}" + (
        ", and tables in files by their path in double quotes" if files else ""
    )
    if inside:
        hint = f"Files of that name: {', '.join(repr(p) for p in inside)}. {hint}"
    return UnknownNameError.of(
        "table", name, [*TABLES, *files], hint=f"{hint}; SELECT path FROM files lists all." if files else f"{hint}."
    )


def _unknown_column(name: str, query: str, tables: SqlTables, auxiliary: AuxiliaryTables) -> UnknownNameError:
    known = {t: f.columns for t, f in (("runs", tables.runs), ("series", tables.series))}
    known["points"] = tables.points.collect_schema().names()
    known |= {t: f.columns for t, f in auxiliary.frames.items()}
    metric, _, statistic = name.rpartition(".")
    metrics = set(tables.series["metric"].unique().to_list())
    unquoted = _without_quotes(name, query, known["runs"], metrics)
    if unquoted:
        return unquoted
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
    tables_named = [t for t in (*TABLES, *file_names(query)) if t in known]
    mentioned = [t for t in tables_named if reads_table(query, t)] or [t for t in TABLES if t in known]
    columns = dict.fromkeys([*computed, *(c for t in mentioned for c in known[t]), *tables.more.computed])
    hint = f"Columns of {', '.join(mentioned)}: experiments://schema lists all."
    if len(mentioned) == 1 and mentioned[0] in auxiliary.frames:
        own = known[mentioned[0]]
        named = own if len(own) <= _NAMED_COLUMNS else [*own[:_NAMED_COLUMNS], "..."]
        hint = f"Columns of {mentioned[0]}: {', '.join(named)}."
    if re.search(rf'(=|<>|!=|\blike)\s*"?{re.escape(name)}\b', query, re.IGNORECASE):
        quoted = name.replace("'", "''")
        hint = f"If it is a text, write it in single quotes: '{quoted}'. {hint}"
    return UnknownNameError.of("column", name, columns, hint=hint)


def _without_quotes(name: str, query: str, columns: Sequence[str], metrics: set[str]) -> UnknownNameError | None:
    """Returns the error for a name of which the engine saw one part, because quotes are missing; None if that is no such name."""
    found = [
        n for n in unquoted_names(query, columns, metrics, has_tables=True) if not query[n.at : n.end].isidentifier()
    ]
    part = name.rpartition(".")[2]
    meant = next((n for n in found if part in re.split(r"\W", query[n.at : n.end])), None)
    if meant is None:
        spelled = re.search(rf"\b{re.escape(name)}\.\w+", query)
        near = nearest(spelled[0], [c for c in columns if c.startswith(f"{name}.")], n=1) if spelled else []
        return (
            UnknownNameError(f'No column {name!r}: put names with dots in double quotes, as in "{near[0]}".')
            if near
            else None
        )
    if re.search(r"\bmetric\s*(?:=|<>|!=|like)\s*$", query[: meant.at], re.IGNORECASE):
        return UnknownNameError(
            f"No column {name!r}: put text in single quotes, as in metric = '{query[meant.at : meant.end]}'."
        )
    reason = f'No column {name!r}: put names with dots, slashes or other signs in double quotes, as in "{meant.name}"'
    return QuotesError.corrects(reason, query, with_quotes(query, found))


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
