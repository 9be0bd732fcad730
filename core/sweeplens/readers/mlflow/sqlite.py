"""Reads MLflow's SQLite store: every run of a tracking server's database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
from msgspec.structs import replace

from sweeplens.readers.decoding.point_columns import left_out, points_of
from sweeplens.readers.decoding.sqlite import SqliteDatabase, databases, read_database
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.mlflow.records import is_artifacts_home, mlflow_record
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["MlflowSqlite"]

_TABLES = {
    "runs": ("run_uuid", "experiment_id", "lifecycle_stage"),
    "metrics": ("key", "value", "timestamp", "run_uuid"),
    "params": ("key", "run_uuid"),
    "tags": ("key", "run_uuid"),
    "experiments": ("experiment_id", "name"),
}
_INFINITY = 1.7976931348623157e308  # as MLflow stores it


class MlflowSqlite:
    """Run databases of MLflow.

    Producer: MLflow with ``sqlite:///...`` as its tracking URI
    Files: ``*.db``, ``*.sqlite`` with the tables ``runs``, ``metrics``, ``params``, ``tags``, ``experiments``
    Reads: every value with its step and time, NaN and infinities as logged; parameters as text; tags,
        status, times, experiment as group, nested runs by ``mlflow.parentRunId``; deleted runs too, marked in
        ``metadata.lifecycle``
    Leaves: artifacts, traces, registered models, data sets
    """

    name = "mlflow_sqlite"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims databases that have MLflow's tables, and artifacts of runs in a store above."""
        yield from databases(folder, _TABLES)
        if is_artifacts_home(folder):
            yield Claim((), owns=("artifacts",))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all runs and all points, in logged order."""
        return read_database(source.files[0].path, _extract)


def _extract(database: SqliteDatabase) -> Reading:
    experiments = {row["experiment_id"]: row for row in _dicts(database, "experiments")}
    params, tags = _by_run(database, "params"), _by_run(database, "tags")
    runs = tuple(_record(row, params, tags, experiments) for row in _dicts(database, "runs"))
    points, problems = _points(database)
    last = dict(points.group_by("run_id").agg(pl.col("wall_time").max()).iter_rows())
    alive = [replace(r, updated_at=r.updated_at or last.get(r.id)) for r in runs]
    alive += [RunRecord(lost) for lost in sorted(set(last) - {r.id for r in runs})]  # its row is lost in a damaged part
    return Reading(tuple(alive), points, (*database.problems, *problems))


def _record(
    row: Mapping[str, Any],
    params: Mapping[str, dict[str, str]],
    tags: Mapping[str, dict[str, str]],
    experiments: Mapping[Any, dict[str, Any]],
) -> RunRecord:
    run = str(row["run_uuid"])
    return mlflow_record(row, params.get(run, {}), tags.get(run, {}), experiments.get(row["experiment_id"], {}))


def _dicts(database: SqliteDatabase, table: str) -> Iterable[dict[str, Any]]:
    columns = sorted(database.columns(table))
    names = ", ".join(f'"{c}"' for c in columns)
    return [
        dict(zip(columns, row, strict=True)) for row in database.rows(f"SELECT {names} FROM {table} ORDER BY rowid")
    ]


def _by_run(database: SqliteDatabase, table: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run, key, value in database.rows(f"SELECT run_uuid, key, value FROM {table} ORDER BY rowid"):
        found[str(run)][str(key)] = "" if value is None else str(value)
    return found


def _points(database: SqliteDatabase) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
    columns = database.columns("metrics")
    step = "step" if "step" in columns else "0"
    nan = "is_nan" if "is_nan" in columns else "0"
    frames: list[pl.DataFrame] = []
    dropped = 0
    for batch in database.batches(f"SELECT run_uuid, key, {step}, value, timestamp, {nan} FROM metrics ORDER BY rowid"):
        runs, keys, steps, values, times, nans = zip(*batch, strict=True)
        frame, n = points_of(
            runs, keys, steps, _logged_values(values, nans), [t * 1000 if isinstance(t, int) else None for t in times]
        )
        frames.append(frame)
        dropped += n
    return joined_points(frames), left_out(dropped, database.path, "the table metrics")


def _logged_values(values: Iterable[Any], nans: Iterable[Any]) -> list[Any]:
    """Returns values as logged: MLflow stores NaN as a flag, and infinity as the largest float."""
    return [
        float("nan") if nan else (value if not isinstance(value, float) or abs(value) < _INFINITY else value * 10)
        for value, nan in zip(values, nans, strict=True)
    ]
