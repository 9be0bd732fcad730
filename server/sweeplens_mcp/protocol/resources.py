"""What a client can read without asking a question: `experiments://...`, as Markdown, CSV or JSON.

A resource is a function from the database to text. Long tables end at a row's end and a last line says how many rows
there are and which tool goes on; names in an address are percent-encoded, so a metric may hold `/`.
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
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.grants import current_tenant
from sweeplens_mcp.render.answers import PageRequest, reply
from sweeplens_mcp.render.cells import Cell, cell, clean, cleaned, clip, csv_cell, kind, markdown

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["RESOURCES", "TEMPLATES", "ResourceSpec", "add_resources"]

_SIZE = 10  # a resource may be this many times as long as an answer
_CELL = 2000
_NAMES = ResourceSecurity(exempt_params={"run_id", "metric"})  # names of runs and metrics, never of files
CSV, JSON, MARKDOWN = "text/csv", "application/json", "text/markdown"


class ResourceSpec(Struct, frozen=True):
    """An address, what stands there, and the function that writes it."""

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
    """What these experiments are, in twenty lines."""
    answer = db.overview()
    lines = [f"- **{_words(topic)}**: {_words(text)}" for topic, text in answer.table.iter_rows()]
    return "\n".join(["# Experiments", "", *lines, *(f"- {markdown(note)}" for note in answer.notes), ""])


def _words(value: object) -> str:
    """A value of a frame as plain text within Markdown; a long one is cut before it is escaped."""
    text = str(value)
    return markdown(text[:_CELL]) + ("…" if len(text) > _CELL else "")


def runs_text(db: ExperimentDB) -> str:
    """One row a run: status, steps, the hyperparameters that vary, last values of the main metrics."""
    return _csv(db, db.list_runs().table, "list_runs")


def run_text(db: ExperimentDB, run_id: str) -> str:
    """Everything known of one run: hyperparameters, metadata, each series' summary, problems."""
    made = reply(db.get_run(run_id), PageRequest(db.config.max_answer_bytes * _SIZE))
    return json.dumps(made.structured, ensure_ascii=False, indent=1)


def config_text(db: ExperimentDB, run_id: str) -> str:
    """The hyperparameters of one run, nested as they were logged."""
    from sweeplens.frames.schemas import hparam_columns
    from sweeplens.models import Hyperparameters

    db.get_run(run_id)
    runs = db.runs_df
    row = runs.filter(runs["run_id"] == run_id).row(0, named=True)
    held = {c: _unpacked(row[c]) for c in hparam_columns(runs) if row[c] is not None or c in row["null_hparams"]}
    return json.dumps(cleaned(Hyperparameters.from_flat(held).nested), ensure_ascii=False, indent=1)


def _unpacked(value: object) -> object:
    """The runs table keeps lists as their JSON text."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def curve_text(db: ExperimentDB, run_id: str, metric: str, max_points: int = 500) -> str:
    """One metric of one run: step and value, at most max_points of them, true to the shape."""
    db.get_run(run_id)
    known = db.series_df.filter(db.series_df["run_id"] == run_id)["metric"].to_list()
    if metric not in known:
        raise UnknownNameError.of("metric", metric, known, hint=f"Run {run_id!r} has {len(known)}.")
    table = db.curves([metric], runs=[run_id], max_points=max_points).table
    return _csv(db, table.select(table["x"].cast(int).alias("step"), "value"), "query_metrics")


def metrics_text(db: ExperimentDB) -> str:
    """One row a metric: runs, points, steps, goal, values that are not finite."""
    return _csv(db, db.list_metrics().table, "list_metrics")


def problems_text(db: ExperimentDB) -> str:
    """Each line and file that could not be read: file, line, column, reason."""
    return _csv(db, db.problems, "sweeplens doctor")


def schema_text(db: ExperimentDB) -> str:
    """The columns that SQL and conditions know."""
    from sweeplens.frames.schemas import POINTS_SCHEMA

    tables = {"runs": dict(db.runs_df.schema), "series": dict(db.series_df.schema), "points": POINTS_SCHEMA}
    lines = [(name, column, str(kind)) for name, schema in tables.items() for column, kind in schema.items()]
    note = '# conditions (where) also know each series as "<metric>.<column of series>", such as "val/acc.last"\n'
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
    """Register every resource and template, reading from a state."""
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
    """The text of a resource; our errors as the protocol's."""
    try:
        mine = state.mine()
        database = await mine.database()
        key = (id(mine), spec.uri, *arguments)
        return await mine.desk.run(key, lambda: _text(spec, database, *arguments), heavy=False, tenant=current_tenant())
    except UnknownNameError as error:
        raise ResourceNotFoundError(clip(str(error), _CELL)) from error
    except SweeplensError as error:
        raise ResourceError(clip(str(error), _CELL)) from error


def _text(spec: ResourceSpec, database: ExperimentDB, *arguments: object) -> str:
    """The text, and that it is not of now where the folders could not be read. JSON of a run has it in its basis."""
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
    """Comma-separated text of at most ``room`` bytes and a line."""
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
    """A cell with all its digits; what is not finite by its name, what is missing as nothing."""
    if value is None:
        return kind(original)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    return csv_cell(text) if isinstance(value, (str, list)) else text
