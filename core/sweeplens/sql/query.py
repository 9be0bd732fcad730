"""Read-only SQL over ``runs``, ``series`` and ``points``, bounded in rows, time and memory, with nothing else in reach.

A query over the small tables alone, of functions known to be harmless, runs here. Every other runs in a process of its own
(`sandbox`), which is ended when it passes its bounds or when nobody waits for the answer any more.

Lists read as text, joined by commas; categories are text. ``points`` are those that stand: the last write of each step.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from msgspec import Struct
from polars.exceptions import PolarsError

from sweeplens.answers import Answer, Basis
from sweeplens.cancellation import checkpoint
from sweeplens.errors import InputError, LimitError, UnknownNameError
from sweeplens.sql.validate import TABLES, check_query, is_small, mentions

__all__ = ["MAX_ROWS", "QueryBounds", "SqlTables", "query_sql", "run_in_child"]

MAX_ROWS = 100_000
_SMALL_ROWS = 500_000  # of a table that is read in this process
_LOOK = 0.01
_GRACE = 2.0  # seconds that a child may take to start
_MEMORY, _TIME = 71, 72  # exit codes of the child
_NARROW = "Select fewer columns, filter by run_id and metric, or aggregate."


class SqlTables(Struct, frozen=True):
    """What a query can read."""

    runs: pl.DataFrame
    series: pl.DataFrame
    points: pl.LazyFrame


class QueryBounds(Struct, frozen=True):
    """What a query may take."""

    rows: int = 1000
    seconds: float = 30.0
    megabytes: int = 2048


def query_sql(query: str, tables: SqlTables, bounds: QueryBounds) -> Answer:
    """The rows of one SELECT.

    Raises InputError for what is no SELECT over the three tables, UnknownNameError for a name that is not there, LimitError for
    a query that passed its bounds.
    """
    if not 1 <= bounds.rows <= MAX_ROWS:
        raise InputError(f"limit {bounds.rows} is not between 1 and {MAX_ROWS}.")
    check_query(query)
    query = query.strip().rstrip(";")
    plain = SqlTables(_plain(tables.runs), _plain(tables.series), tables.points)
    small = is_small(query) and max(plain.runs.height, plain.series.height) <= _SMALL_ROWS
    frame = _here(query, plain, bounds) if small else run_in_child(query, plain, bounds)
    cut = frame.height > bounds.rows
    warnings = (f"limit reached: the first {bounds.rows} rows are here, the query has more",) if cut else ()
    read = int(tables.series["n_logged"].sum()) if mentions(query, "points") else 0
    return Answer(_plain(frame.head(bounds.rows)), Basis(runs_used=tables.runs.height, points=read, warnings=warnings))


def _here(query: str, tables: SqlTables, bounds: QueryBounds) -> pl.DataFrame:
    frames = {"runs": tables.runs.lazy(), "series": tables.series.lazy()}
    try:
        return pl.SQLContext(frames=frames, eager=False).execute(query).head(bounds.rows + 1).collect()
    except PolarsError as error:
        raise _translated(type(error).__name__, str(error), query, tables) from error


def run_in_child(query: str, tables: SqlTables, bounds: QueryBounds) -> pl.DataFrame:
    """The rows of a query that was checked, from a process of its own. Raises as `query_sql` does."""
    with tempfile.TemporaryDirectory(prefix="sweeplens-sql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _pack(folder, query, tables, bounds)
        code, words = _run(folder, bounds.seconds)
        if (folder / "error.json").is_file():
            error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
            raise _translated(error["kind"], error["words"], query, tables)
        if code == 0 and (folder / "result.arrow").is_file():
            return pl.read_ipc((folder / "result.arrow").read_bytes())
    raise _passed(code, words, bounds)


def _pack(folder: Path, query: str, tables: SqlTables, bounds: QueryBounds) -> None:
    """The folder that the child reads. Points go as a plan: a scan stays a scan, frames in memory go along."""
    tables.runs.write_ipc(folder / "runs.arrow")
    tables.series.write_ipc(folder / "series.arrow")
    points = tables.points if mentions(query, "points") else pl.LazyFrame(schema=tables.points.collect_schema())
    points.serialize(folder / "points.plan")
    job = {
        "query": query,
        "limit": bounds.rows,
        "seconds": bounds.seconds,
        "megabytes": bounds.megabytes,
        "parent": os.getpid(),
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def _run(folder: Path, seconds: float) -> tuple[int, str]:
    """Exit code and last words of the child; it is ended when its time is over, or when a checkpoint ends this work."""
    script = Path(__file__).with_name("sandbox.py")
    end = time.monotonic() + seconds + _GRACE
    with (folder / "stderr").open("wb") as words:
        child = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler=0", str(script), str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words, cwd=folder,
        )  # fmt: skip
        try:
            while child.poll() is None:
                checkpoint()
                if time.monotonic() > end:
                    return _TIME, ""
                time.sleep(_LOOK)
        finally:
            child.kill()
            child.wait()
    return child.returncode, (folder / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]


def _passed(code: int, words: str, bounds: QueryBounds) -> LimitError:
    """Which bound the child passed."""
    if code == _TIME:
        return LimitError(f"The query was stopped after {bounds.seconds:g} s (query_seconds). {_NARROW}")
    if code == _MEMORY or code < 0 or "alloc" in words.lower():
        return LimitError(
            f"The query needed more than {bounds.megabytes} MB (query_megabytes) and was stopped. {_NARROW}"
        )
    reason = words.strip().splitlines()[-1] if words.strip() else f"exit code {code}"
    return LimitError(f"The query could not be run to its end: {reason}. {_NARROW}")


def _translated(kind: str, words: str, query: str, tables: SqlTables) -> InputError:
    """An error of the engine as a sentence with the nearest names."""
    first = words.strip().splitlines()[0] if words.strip() else kind
    relation = re.search(r"relation '([^']*)' was not found", first)
    if relation:
        return UnknownNameError.of("table", relation[1], TABLES, hint="A query reads runs, series and points.")
    column = re.search(r"(?:unable to find column|no column named|struct column named) ['\"]([^'\"]*)['\"]", first)
    if column:
        return _unknown_column(column[1], query, tables)
    if kind == "OSError":
        return InputError("The query tried to open a file: it reads runs, series and points and nothing else.")
    hint = 'Names with dots or slashes stand in double quotes ("optim.lr"), text in single ones.'
    return InputError(f"The query cannot be answered: {first.removeprefix('sql parser error: ')}. {hint}")


def _unknown_column(name: str, query: str, tables: SqlTables) -> UnknownNameError:
    known = {t: f.columns for t, f in (("runs", tables.runs), ("series", tables.series))}
    known["points"] = tables.points.collect_schema().names()
    dotted = [c for c in known["runs"] if c.startswith(f"{name}.") and c in query] or [
        c for c in known["runs"] if c.startswith(f"{name}.") and f"{name}." in query
    ]
    if dotted:
        return UnknownNameError(f'No column {name!r}: names with dots stand in double quotes, as in "{dotted[0]}".')
    asked = [t for t in TABLES if mentions(query, t)] or list(TABLES)
    columns = dict.fromkeys(c for t in asked for c in known[t])
    return UnknownNameError.of(
        "column", name, columns, hint=f"Columns of {', '.join(asked)}: experiments://schema lists all."
    )


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """The same with columns that every reader knows: lists, categories and structures as text."""
    return frame.with_columns(_as_text(name, dtype) for name, dtype in frame.schema.items() if _is_odd(dtype))


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
