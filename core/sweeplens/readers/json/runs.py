"""Reads whole runs: `{"run_id", "hyperparameters", "metrics": {name: [values]}, "metadata"}`, one in each line or in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLine, JsonLines, decode, peek
from sweeplens.readers.decoding.row_keys import TIME_KEYS, axis_of
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time, status_of
from sweeplens.readers.protocol import HEAD_BYTES, Claim, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["JsonRuns", "is_run_object", "run_of"]

_SUFFIXES = (".jsonl", ".ndjson", ".json")
_EXACT = 1 << 53
_MARK = re.compile(rb'"(?:metrics|history)"')
_BEGINS = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*"(?:run_id|id|name|group|status|hyperparameters|config|metadata)"\s*:'
)


class JsonRuns:
    """Whole runs as JSON objects: one in each line, or one object or a list of them in a file.

    Producer: sweeplens' own format (a); the earlier system's dicts (``config`` and ``history``)
    Files: ``*.jsonl``, ``*.json`` whose objects have ``metrics`` that are lists, or a ``history`` of rows
    Reads: hyperparameters; every list of numbers, with the index as step; metadata; status
    Leaves: nulls in a list, which are counted (the other values keep their index)
    """

    name = "json_runs"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files whose first object is a run."""
        for name in folder.free(*_SUFFIXES):
            head = folder.head(name)
            if _is_run(head) or (_may_be_longer(head) and _is_run(folder.sample(name))):
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every object of the file; in a file of lines, those that were appended."""
        path = source.files[0].path
        data = compression.read_plain(path, resume.offset if resume else 0)
        whole = _whole(data) if resume is None else None
        lines = JsonLines(data, path, first_line=resume.lines + 1 if resume else 1)
        objects = [JsonLine(1, value) for value in whole] if whole is not None else lines
        seen = cast("dict[str, int]", dict(resume.state)) if resume else {}
        points, runs, problems = PointBuffer(), list[RunRecord](), list[Problem]()
        for line in objects:
            if not is_run_object(line.value):
                problems.append(Problem(path, "an object without metrics or history: not a run", line.number))
                continue
            run = _unique_id(_id_of(line.value, source, line.number), seen, problems, path, line.number)
            runs.append(run_of(line.value, run, points))
        after = None
        if whole is None and compression.keeps_places(path):
            after = Resume((resume.offset if resume else 0) + lines.consumed, seen, lines.number)
        return Reading(tuple(runs), points.frame(), (*lines.problems, *problems), after)


def _id_of(value: Mapping[str, Any], source: Source, number: int) -> str:
    return str(value.get("run_id") or value.get("id") or value.get("name") or f"{source.relative}:{number}")


def _unique_id(run: str, seen: dict[str, int], problems: list[Problem], path: str, number: int) -> str:
    """Returns the id, with a number where the file has used it before. Two objects are two runs; a warning reports it."""
    seen[run] = seen.get(run, 0) + 1
    if seen[run] == 1:
        return run
    numbered = f"{run}#{seen[run]}"
    problems.append(
        Problem(path, f"run {run!r} is in the file again: this one is named {numbered!r}", number, kind="warning")
    )
    return numbered


def is_run_object(value: Mapping[str, Any]) -> bool:
    """Whether an object is a whole run: it has metrics that are lists or a history of rows, and no step."""
    if axis_of(value):
        return False
    metrics = value.get("metrics")
    named = any(k in value for k in ("run_id", "name", "hyperparameters", "config", "metadata"))
    if isinstance(value.get("history"), list) and named:
        return True
    if not isinstance(metrics, dict) or not named:
        return False
    return not metrics or any(isinstance(v, list) for v in cast("dict[str, Any]", metrics).values())


def run_of(value: Mapping[str, Any], run: str, points: PointBuffer) -> RunRecord:
    """Returns the record of one run object, and adds its points to ``points``."""
    metadata = cast("dict[str, Any]", value.get("metadata") if isinstance(value.get("metadata"), dict) else {})
    non_scalar: dict[str, int] = {}
    metrics = value.get("metrics")
    for name, series in cast("dict[str, Any]", metrics if isinstance(metrics, dict) else {}).items():
        _series(run, name, series, points, non_scalar)
    for index, row in enumerate(cast("list[Any]", value.get("history") or [])):
        _history_row(run, index, row, points, non_scalar)
    hyper = value.get("hyperparameters")
    config = value.get("config")
    both = {
        **cast("dict[str, Any]", config if isinstance(config, dict) else {}),
        **cast("dict[str, Any]", hyper if isinstance(hyper, dict) else {}),
    }
    return RunRecord(
        id=run,
        name=str(value.get("name") or ""),
        group=str(value.get("group") or metadata.get("group") or ""),
        status=status_of(value.get("status") or metadata.get("status")),
        created_at=as_time(metadata.get("started") or metadata.get("created_at") or value.get("created_at")),
        tags=_tags(metadata.get("tags")),
        hyperparameters=both,
        metadata={k: v for k, v in metadata.items() if k != "tags"},
        non_scalar=non_scalar,
    )


def _tags(value: object) -> tuple[str, ...]:
    return tuple(str(t) for t in cast("list[object]", value)) if isinstance(value, list) else ()


def _series(run: str, name: str, series: Any, points: PointBuffer, non_scalar: dict[str, int]) -> None:
    steps: Any = None
    if isinstance(series, dict):
        table = cast("dict[str, Any]", series)
        steps, series = table.get("steps") or table.get("step"), table.get("values") or table.get("value") or []
    values = cast("list[Any]", series) if isinstance(series, list) else [series]
    fixed = (
        cast("list[Any]", steps) if isinstance(steps, list) and len(cast("list[Any]", steps)) == len(values) else None
    )
    if _are_numbers(values) and (fixed is None or all(type(s) is int and as_step(s) is not None for s in fixed)):
        points.add_series(run, name, cast("list[int]", fixed) if fixed else range(len(values)), values)
        return
    for index, value in enumerate(values):
        number = as_number(value)
        if number is None:
            non_scalar[name] = non_scalar.get(name, 0) + 1
            continue
        step = as_step(fixed[index]) if fixed else None
        points.add(run, name, index if step is None else step, number)


def _are_numbers(values: list[Any]) -> bool:
    """Whether all values are floats, or integers that floats hold exactly."""
    kinds = set(map(type, values))
    return kinds <= {float} or (kinds <= {float, int} and all(abs(v) < _EXACT for v in values if type(v) is int))


def _history_row(run: str, index: int, row: object, points: PointBuffer, non_scalar: dict[str, int]) -> None:
    if not isinstance(row, dict):
        non_scalar["history"] = non_scalar.get("history", 0) + 1
        return
    values = cast("dict[str, Any]", row)
    axis = axis_of(values)
    wall = next((t for k in TIME_KEYS if (t := as_time(values.get(k))) is not None), None)
    step = as_step(values[axis]) if axis else index
    for key, value in values.items():
        number = as_number(value)
        if key == axis or (key in TIME_KEYS and wall is not None):
            continue
        if number is None:
            non_scalar[key] = non_scalar.get(key, 0) + 1
        else:
            points.add(run, key, step if step is not None else index, number, wall)


def _is_run(head: bytes) -> bool:
    """Whether a file begins with a run."""
    return bool(_MARK.search(head)) and (any(map(is_run_object, peek(head))) or _begins_as_indented_run(head))


def _may_be_longer(head: bytes) -> bool:
    """Whether a head is the beginning of an indented run, cut within its settings."""
    return len(head) >= HEAD_BYTES and not _MARK.search(head) and bool(_BEGINS.match(head))


def _begins_as_indented_run(head: bytes) -> bool:
    """Whether a file begins with a run that is written over several lines, perhaps in a list."""
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith(b"["):
        text = text[1:].strip()
    first = text.split(b"\n", 1)[0].strip()
    if not text.startswith(b"{") or (first.endswith(b"}") and first != text):  # one object in each line: checked before
        return False
    return any(is_run_object(o) for o in peek(b" ".join(text.splitlines()), most=1))


def _whole(data: bytes) -> list[dict[str, Any]] | None:
    """Returns the runs of a file that is one JSON value over several lines; None for a file of lines."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    first = text.split(b"\n", 1)[0].strip()
    if text.startswith(b"{") and first.endswith(b"}") and first != text:
        return None
    try:
        value = decode(text)
    except ValueError:
        return None
    found = cast("list[Any]", value if isinstance(value, list) else [value])
    runs = [cast("dict[str, Any]", v) for v in found if isinstance(v, dict)]
    return runs if runs and all(is_run_object(r) for r in runs) and len(runs) == len(found) else None
