"""The resources that a client can read: `experiments://...`, as Markdown, CSV or JSON.

A resource is a function from the database to text. A long table is cut between rows; its last line says how many rows there are
and which tool shows the rest. Names in an address are percent-encoded, so a metric name may contain `/`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from mcp.server import MCPServer
from mcp.server.mcpserver import ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from msgspec import Struct

from sweeplens.errors import SweeplensError, UnknownNameError
from sweeplens.plain_data import plain_value
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.grants import current_grant_key
from sweeplens_mcp.render.answers import PageRequest, reply
from sweeplens_mcp.render.cells import Cell, cell, clean, cleaned, clip, csv_cell, kind, markdown

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["RESOURCES", "TEMPLATES", "ResourceSpec", "add_resources"]

_SIZE = 10  # maximum length of a resource, in lengths of an answer
_CELL = 2000
_NAMES = ResourceSecurity(exempt_params={"run_id", "metric"})  # these are names of runs and metrics, never of files
CSV, JSON, MARKDOWN = "text/csv", "application/json", "text/markdown"


class ResourceSpec(Struct, frozen=True):
    """A resource: its address, its type, and the function that makes its text."""

    uri: str
    name: str
    title: str
    mime_type: str
    text: Callable[..., str]

    @property
    def description(self) -> str:
        """The function's docstring."""
        return " ".join((self.text.__doc__ or "").split())


def overview_text(db: ExperimentDB) -> str:
    """A summary of the experiments in about twenty lines."""
    answer = db.overview()
    lines = [f"- **{_words(topic)}**: {_words(text)}" for topic, text in answer.table.iter_rows()]
    return "\n".join(["# Experiments", "", *lines, *(f"- {markdown(note)}" for note in answer.notes), ""])


def _words(value: object) -> str:
    """Escapes a value for Markdown; a long one is cut first."""
    text = str(value)
    return markdown(text[:_CELL]) + ("…" if len(text) > _CELL else "")


def runs_text(db: ExperimentDB) -> str:
    """One row per run: status, steps, the hyperparameters that vary, last values of the main metrics."""
    return _csv(db, db.list_runs().table, "list_runs")


def run_text(db: ExperimentDB, run_id: str) -> str:
    """All details of one run: hyperparameters, metadata, a summary of each metric's series, problems in its files."""
    made = reply(db.get_run(run_id), PageRequest(db.config.max_answer_bytes * _SIZE))
    return json.dumps(made.structured, ensure_ascii=False, indent=1)


def config_text(db: ExperimentDB, run_id: str) -> str:
    """The hyperparameters of one run, nested as they were logged."""
    from sweeplens.frames.run_names import run_named
    from sweeplens.frames.schemas import hparam_columns
    from sweeplens.models import Hyperparameters

    runs = db.runs_df
    run_id = run_named(runs, run_id)
    row = runs.filter(runs["run_id"] == run_id).row(0, named=True)
    held = {c: _unpacked(row[c]) for c in hparam_columns(runs) if row[c] is not None or c in row["null_hparams"]}
    return json.dumps(cleaned(Hyperparameters.from_flat(held).nested), ensure_ascii=False, indent=1)


def _unpacked(value: object) -> object:
    """Decodes lists, which the runs table stores as JSON."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def curve_text(db: ExperimentDB, run_id: str, metric: str, max_points: int = 500) -> str:
    """One metric of one run: step and value, downsampled to at most max_points points; the shape is kept."""
    from sweeplens.frames.run_names import run_named

    run_id = run_named(db.runs_df, run_id)
    known = db.series_df.filter(db.series_df["run_id"] == run_id)["metric"].to_list()
    if metric not in known:
        raise UnknownNameError.of("metric", metric, known, hint=f"Run {run_id!r} has {len(known)}.")
    table = db.curves([metric], runs=[run_id], max_points=max_points).table
    return _csv(db, table.select(table["x"].cast(int).alias("step"), "value"), "query_metrics")


def metrics_text(db: ExperimentDB) -> str:
    """One row per metric: runs, points, steps, goal, number of NaN and infinite values."""
    return _csv(db, db.list_metrics().table, "list_metrics")


def problems_text(db: ExperimentDB) -> str:
    """Lines and files that could not be read: file, line, column, reason."""
    return _csv(db, db.problems, "sweeplens doctor")


def schema_text(db: ExperimentDB) -> str:
    """The columns for SQL and conditions (where)."""
    from sweeplens.frames.schemas import POINTS_SCHEMA
    from sweeplens.sql.file_list import FILES_SCHEMA, LINES_SCHEMA

    tables = {
        "runs": dict(db.runs_df.schema), "series": dict(db.series_df.schema), "points": POINTS_SCHEMA,
        "files": FILES_SCHEMA, "lines": LINES_SCHEMA,
    }  # fmt: skip
    lines = [(name, column, str(kind)) for name, schema in tables.items() for column, kind in schema.items()]
    note = (
        '# runs also has, where a query or a condition (where) names them: each series as "<metric>.<column of series>", such '
        'as "val/acc.last"; events, "val/loss.first_below(4.0)" and "val/acc.first_above(0.9)" (the step, null if never), with '
        '@ what another series was at that step, "val/loss.first_below(4.0)@tokens", "val/loss.min_step@test/acc", @wall_time in '
        "seconds; health (ok, suspect, broken). files has what lies below the roots; a table in a file is one under its path, "
        '"leaderboard.csv" or "notes.md", and a pattern, "*/eval.json" or "**/eval.json", is all files that it matches, with path '
        "and run_id\n"
    )
    return note + _written(("table", "column", "type"), lines, db.config.max_answer_bytes * _SIZE, "query_sql")


RESOURCES: tuple[ResourceSpec, ...] = (
    ResourceSpec("experiments://overview", "overview", "Overview", MARKDOWN, overview_text),
    ResourceSpec("experiments://runs", "runs", "Runs", CSV, runs_text),
    ResourceSpec("experiments://metrics", "metrics", "Metrics", CSV, metrics_text),
    ResourceSpec("experiments://problems", "problems", "Problems in the files", CSV, problems_text),
    ResourceSpec("experiments://schema", "schema", "Columns for SQL and conditions", CSV, schema_text),
)

TEMPLATES: tuple[ResourceSpec, ...] = (
    ResourceSpec("experiments://runs/{run_id}", "run", "One run", JSON, run_text),
    ResourceSpec("experiments://runs/{run_id}/config", "config", "Hyperparameters of a run", JSON, config_text),
    ResourceSpec(
        "experiments://runs/{run_id}/metrics/{metric}{?max_points}", "curve", "One metric of a run", CSV, curve_text
    ),
)


def add_resources(server: MCPServer[ServerState], state: ServerState) -> None:
    """Registers every resource and template."""
    for spec in RESOURCES:
        _add(server, spec, _reading(state, spec))
    run, config, curve = TEMPLATES

    async def read_run(run_id: str) -> str:
        return await _read(state, run, run_id)

    async def read_config(run_id: str) -> str:
        return await _read(state, config, run_id)

    async def read_curve(run_id: str, metric: str, max_points: int = 500) -> str:
        return await _read(state, curve, run_id, metric, max_points)

    for spec, function in ((run, read_run), (config, read_config), (curve, read_curve)):
        _add(server, spec, function)


def _add(server: MCPServer[ServerState], spec: ResourceSpec, function: Callable[..., Awaitable[str]]) -> None:
    server.resource(
        spec.uri,
        name=spec.name,
        title=spec.title,
        description=spec.description,
        mime_type=spec.mime_type,
        security=_NAMES,
    )(function)


def _reading(state: ServerState, spec: ResourceSpec) -> Callable[[], Awaitable[str]]:
    async def read() -> str:
        return await _read(state, spec)

    return read


async def _read(state: ServerState, spec: ResourceSpec, *arguments: object) -> str:
    """Returns the text of a resource; translates our errors to the protocol's."""
    try:
        caller_state = state.for_caller()
        database = await caller_state.database()
        given = [plain_value(argument) for argument in arguments]
        return await caller_state.worker_pool.run(
            (id(caller_state), spec.uri, *given),
            lambda: _text(spec, database, *given),
            heavy=False,
            grant=current_grant_key(),
        )
    except UnknownNameError as error:
        raise ResourceNotFoundError(clip(str(error), _CELL)) from error
    except SweeplensError as error:
        raise ResourceError(clip(str(error), _CELL)) from error


def _text(spec: ResourceSpec, database: ExperimentDB, *arguments: object) -> str:
    """Adds a line if the folders could not be read, so the text is old. JSON of a run has this in its basis."""
    text = spec.text(database, *arguments)
    if not database.failure or spec.mime_type == JSON:
        return text
    return (
        f"{text}{'- ' + markdown(database.failure) if spec.mime_type == MARKDOWN else '# ' + clean(database.failure)}\n"
    )


def _csv(db: ExperimentDB, table: pl.DataFrame, tool: str) -> str:
    return _written(table.columns, table.iter_rows(), db.config.max_answer_bytes * _SIZE, tool, table.height)


def _written(
    columns: Iterable[str], rows: Iterable[tuple[object, ...]], room: int, tool: str, total: int | None = None
) -> str:
    """CSV of at most ``room`` bytes, and a last line if rows are cut."""
    lines = [_line([csv_cell(c) for c in columns])]
    for position, row in enumerate(rows):
        line = _line([_plain(cell(v, _CELL), v) for v in row])
        room -= len(line.encode())
        if room < 0:
            of = f" of {total}" if total is not None else ""
            return "".join([*lines, f"# {position}{of} rows; {tool} shows the rest\n"])
        lines.append(line)
    return "".join(lines)


def _line(values: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def _plain(value: Cell, original: object) -> str:
    """A cell at full precision; a non-finite number by its name, a missing value as an empty string."""
    if value is None:
        return kind(original)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    return csv_cell(text) if isinstance(value, (str, list)) else text
