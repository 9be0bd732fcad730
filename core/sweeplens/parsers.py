"""Reads files into `Run` objects, for scripts without a database, and converts runs of the earlier system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import polars as pl

from sweeplens.errors import InputError, RootError
from sweeplens.ingest.entries import within_limits
from sweeplens.ingest.masking import without_secrets
from sweeplens.models import Hyperparameters, Run
from sweeplens.readers import all_readers
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines
from sweeplens.readers.decoding.values import as_number
from sweeplens.readers.protocol import Problem, RunRecord
from sweeplens.sources.discover import discover
from sweeplens.sources.given_roots import check_root

__all__ = ["convert_legacy_format", "load_runs_from_dir", "parse_jsonl_file"]


def parse_jsonl_file(path: str | Path) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Returns the objects of a JSON-lines file, and a `Problem` with line and reason for each invalid line.

    NaN and Infinity are values. Raises RootError for a missing file.
    """
    file = Path(path)
    if not file.is_file():
        raise RootError(f"No file {str(file)!r}: pass the path of a JSON-lines file.")
    lines = JsonLines(compression.line_pieces(str(file)), str(file))
    objects = [line.value for line in lines]
    return objects, lines.problems


def load_runs_from_dir(path: str | Path, *, show_secrets: bool = False) -> list[Run]:
    """Returns all runs below a folder, in any known format, in order of run id. Raises RootError.

    Hyperparameters with names of secrets are ``***`` unless ``show_secrets``.
    Everything is held in memory: for large folders use `ExperimentDB`.
    """
    found = discover([check_root(path)], all_readers())
    readers = {r.name: r for r in all_readers()}
    runs: list[Run] = []
    for source in found.sources:
        with within_limits([source]):
            reading = readers[source.reader].read(source, None)
        reading = reading if show_secrets else without_secrets(reading)
        runs += [_run(record, reading.points.filter(pl.col("run_id") == record.id)) for record in reading.runs]
    return sorted(runs, key=lambda r: r.run_id)


def convert_legacy_format(old: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a run of the earlier system into the fields of `Run`: ``Run(**convert_legacy_format(old))``.

    ``old``: ``run_id`` or ``name``, ``config`` and/or ``hyperparameters``, ``history`` (rows with an ``epoch`` or ``step``) or
    ``metrics``, ``metadata``. Other fields go to the metadata. Raises InputError for a run without a name.
    """
    run_id = old.get("run_id") or old.get("name") or old.get("id")
    if not run_id:
        raise InputError(
            f"A legacy run needs 'run_id' or 'name'; this one has {', '.join(map(repr, old)) or 'nothing'}."
        )
    metrics = {str(k): _numbers(v) for k, v in cast("Mapping[str, Any]", old.get("metrics") or {}).items()}
    steps: dict[str, list[int]] = {}
    for index, row in enumerate(cast("list[Mapping[str, Any]]", old.get("history") or [])):
        _legacy_row(index, row, metrics, steps)
    named = ("run_id", "id", "config", "hyperparameters", "history", "metrics", "metadata")
    return {
        "run_id": str(run_id),
        "hyperparameters": {**(old.get("config") or {}), **(old.get("hyperparameters") or {})},
        "metrics": metrics,
        "steps": {k: v for k, v in steps.items() if v != list(range(len(v)))},
        "metadata": {**(old.get("metadata") or {}), **{k: v for k, v in old.items() if k not in named}},
    }


def _legacy_row(
    index: int, row: Mapping[str, Any], metrics: dict[str, list[float | None]], steps: dict[str, list[int]]
) -> None:
    axis = next((k for k in ("step", "epoch") if isinstance(row.get(k), int)), "")
    at = int(row[axis]) if axis else index
    for key, value in row.items():
        number = as_number(value)
        if key != axis and number is not None:
            metrics.setdefault(key, []).append(number)
            steps.setdefault(key, []).append(at)


def _numbers(values: object) -> list[float | None]:
    found = cast("list[object]", values if isinstance(values, list) else [values])
    return [as_number(v) for v in found]


def _run(record: RunRecord, points: pl.DataFrame) -> Run:
    metrics: dict[str, list[float | None]] = {}
    steps: dict[str, list[int]] = {}
    for (metric,), part in points.group_by(["metric"], maintain_order=True):
        metrics[str(metric)] = part["value"].to_list()
        at = part["step"].to_list()
        if at != list(range(len(at))):
            steps[str(metric)] = at
    about = {k: v for k, v in (("name", record.name), ("status", record.status)) if v}
    hyperparameters = Hyperparameters.model_validate(record.hyperparameters)
    return Run(
        run_id=record.id,
        hyperparameters=hyperparameters,
        metrics=metrics,
        steps=steps,
        metadata={**about, **record.metadata},
    )
