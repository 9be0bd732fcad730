"""Reads MLflow's file store: `mlruns/<experiment>/<run>/` with a file for each metric, parameter and tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.compression import read_plain
from sweeplens.readers.decoding.point_columns import PointColumns
from sweeplens.readers.decoding.settings_text import load_yaml
from sweeplens.readers.mlflow.records import mlflow_record
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, Source
from sweeplens.safe_open import open_file

if TYPE_CHECKING:
    from datetime import datetime


__all__ = ["MlflowFile"]

_RUN = re.compile(rb"^run_(?:id|uuid)\s*:", re.MULTILINE)
_EXPERIMENT = re.compile(rb"^experiment_id\s*:", re.MULTILINE)
_LOCATION = re.compile(rb"^artifact_location\s*:", re.MULTILINE)
_OWN = ("models", "datasets", "tags", "traces", "assessments")  # of an experiment
_FLAT = re.compile(r"^(\w+):(?: +(?:'((?:[^']|'')*)'|([\w/.](?:[^#:]|:(?=\S))*|\[\]))?)?$")
_KINDS = ("metrics", "params", "tags")
_MAX_TEXT = 1 << 20  # bytes of one parameter or tag
_MAX_YAML = 1 << 20


class MlflowFile:
    """Run folders of MLflow.

    Producer: MLflow with ``file:...`` or ``mlruns/`` as its tracking URI
    Files: ``<experiment>/<run>/meta.yaml``, and ``metrics/``, ``params/``, ``tags/`` beside it
    Reads: every value with its step and time; parameters as text; tags, status, times, experiment as group,
        nested runs by ``mlflow.parentRunId``; deleted runs too, marked in ``metadata.lifecycle``
    Leaves: artifacts, models, traces, inputs and outputs
    """

    name = "mlflow_file"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a run's folder, whose ``meta.yaml`` names the run and its experiment; also an experiment's own files."""
        if "meta.yaml" not in folder.free("meta.yaml"):
            return
        head = folder.head("meta.yaml")
        if not _EXPERIMENT.search(head):
            return
        if not _RUN.search(head):
            if _LOCATION.search(head):
                yield Claim((), owns=tuple(n for n in _OWN if n in folder.folders), belongs=("meta.yaml",))
            return
        above = ("../meta.yaml",) if folder.find("../meta.yaml") else ()
        yield Claim(("meta.yaml", *above, *_parts(folder)), owns=("*",))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the run's fields, then each of its metrics."""
        problems: list[Problem] = []
        metas = [f for f in source.files if _name(f) == "meta.yaml"]
        run, experiment = (_yaml(f, problems) for f in (*metas, None)[:2])
        columns = PointColumns()
        texts: dict[str, dict[str, str]] = {"params": {}, "tags": {}}
        home = source.path.rstrip("/\\")
        run_id = str(run.get("run_id") or run.get("run_uuid") or _basename(home))
        for entry in source.files[len(metas) :]:
            kind, _, name = entry.path[len(home) + 1 :].replace("\\", "/").partition("/")
            if kind == "metrics":
                _metric(entry, name, run_id, columns, problems)
            elif (text := _content(entry, problems)) is not None:
                texts[kind][name] = text.strip()
        record = mlflow_record(run, texts["params"], texts["tags"], experiment)
        points = columns.frame()
        last = cast("datetime | None", points["wall_time"].max())
        return Reading((replace(record, id=run_id, updated_at=record.updated_at or last),), points, tuple(problems))


def _parts(folder: Folder) -> Iterator[str]:
    """Yields the files of the run's metrics, parameters and tags, in a stable order."""
    for kind in _KINDS:
        part = folder.folders.get(kind)
        if part is not None:
            yield from sorted(
                f"{kind}/{name}" for name, _ in part.tree() if not name.rsplit("/", 1)[-1].startswith(".")
            )


def _metric(entry: FileStat, name: str, run: str, columns: PointColumns, problems: list[Problem]) -> None:
    """Adds a metric from lines ``time value [step]``; a line without a step gets its position."""
    try:
        lines = read_plain(entry.path).splitlines(keepends=True)
    except (OSError, FormatError) as error:
        problems.append(Problem(entry.path, f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return
    steps: list[int] = []
    values: list[float] = []
    walls: list[int | None] = []
    for number, line in enumerate(lines, start=1):
        try:
            wall, value, *rest = line.split()
            point = (int(wall) * 1000, float(value), _step(rest[0]) if rest else len(values))
        except ValueError:
            if line.strip():
                problems.append(_malformed(entry.path, number, line))
            continue
        walls.append(point[0] if 0 < point[0] < 1 << 62 else None)
        values.append(point[1])
        steps.append(point[2])
    columns.series(run, name, steps, values, walls)


def _step(raw: bytes) -> int:
    step = int(raw)
    if not -(1 << 63) <= step < 1 << 63:
        raise ValueError("a step beyond 64 bits")
    return step


def _malformed(path: str, number: int, line: bytes) -> Problem:
    torn = not line.endswith(b"\n")
    reason = "the last line is not complete" if torn else "not a line of time, value and step"
    return Problem(
        path, reason, number, kind="torn" if torn else "malformed", excerpt=line[:80].decode("utf-8", "replace").strip()
    )


def _content(entry: FileStat, problems: list[Problem]) -> str | None:
    try:
        with open_file(entry.path) as stream:
            data = stream.read(_MAX_TEXT + 1)
    except OSError as error:
        problems.append(Problem(entry.path, f"cannot be read: {error.strerror or error}"))
        return None
    if len(data) > _MAX_TEXT:
        problems.append(
            Problem(entry.path, f"longer than {_MAX_TEXT >> 20} MB: its first part was read", kind="warning")
        )
    return data[:_MAX_TEXT].decode("utf-8", "replace")


def _yaml(entry: FileStat | None, problems: list[Problem]) -> dict[str, object]:
    """Returns the fields of a ``meta.yaml``. MLflow writes flat YAML, which needs no general parser."""
    text = _content(entry, problems) if entry else None
    if text is None or entry is None:
        return {}
    flat = [_FLAT.match(line.rstrip()) for line in text.splitlines() if line.strip()]
    if all(flat):
        return {m[1]: _scalar(m) for m in flat if m}
    try:
        loaded = load_yaml(text)
    except (ValueError, RecursionError) as error:
        problems.append(
            Problem(entry.path, f"not YAML: {str(error).splitlines()[0] if str(error) else 'nested too deeply'}")
        )
        return {}
    known = cast("dict[object, object]", loaded) if isinstance(loaded, dict) else {}
    return {str(k): v for k, v in known.items() if not isinstance(k, tuple) and not isinstance(v, dict | list | set)}


def _scalar(match: re.Match[str]) -> object:
    if match[2] is not None:
        return match[2].replace("''", "'")
    return None if match[3] in (None, "null") else match[3]


def _name(entry: FileStat) -> str:
    return _basename(entry.path)


def _basename(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
