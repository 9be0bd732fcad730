"""Reads runs of Sacred's file observer: `run.json`, `config.json`, `metrics.json`, and PyMARL's series in `info.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct, field

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.compression import read_plain
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.point_columns import PointColumns
from sweeplens.readers.decoding.values import as_number, as_step, as_time, micros_of, status_of
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, RunRecord, Source

if TYPE_CHECKING:
    from datetime import datetime


__all__ = ["Sacred"]

_PARTS = ("config.json", "metrics.json", "info.json")
_SACRED_KEYS = re.compile(rb'"(?:command|experiment|captured_out|heartbeat)"\s*:')
_ARTIFACTS = re.compile(rb'"artifacts"\s*:\s*\[([^\]]*)')
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_SHARED = ("_resources", "_sources")
_STEPS = "_T"  # suffix of a series' steps in PyMARL


class Sacred:
    """Run folders of Sacred.

    Producer: Sacred's FileStorageObserver; PyMARL and EPyMARL
    Files: ``run.json``, ``config.json``, ``metrics.json``, ``info.json`` in one folder
    Reads: each metric with its steps and times; in ``info.json`` the lists that have a list ``<name>_T`` of steps, and,
        where there are no metrics, every list of numbers, with the index as step; configuration, status, times, host, result, error
    Leaves: other values in ``info.json``, which are counted by name; captured output, sources, artifacts
    """

    name = "sacred"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder with Sacred's ``run.json`` and a configuration, metrics or info."""
        if shared := _shared(folder):
            yield Claim((), owns=shared)
        if "run.json" not in folder.free("run.json"):
            return
        parts = tuple(n for n in _PARTS if n in folder.files and n not in folder.taken)
        if parts and _is_run(folder.head("run.json"), captured="cout.txt" in folder.files):
            yield Claim(("run.json", *parts), belongs=_artifacts(folder))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads every file of the run; a file that cannot be read is a problem."""
        problems: list[Problem] = []
        run, config, metrics, info = (_load(source, n, problems) for n in ("run.json", *_PARTS))
        series = _Series(source.path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])
        for name, found in metrics.items():
            series.metric(name, found)
        series.info(info)
        return Reading((_record(series, run, config),), series.columns.frame(), tuple(problems))


def _is_run(head: bytes, *, captured: bool) -> bool:
    certain = b'"artifacts"' in head and (_SACRED_KEYS.search(head) is not None or captured)
    return certain or (b'"experiment"' in head and b'"base_dir"' in head)


def _artifacts(folder: Folder) -> tuple[str, ...]:
    """Returns the files that the run lists as artifacts, and its captured output."""
    listed = _ARTIFACTS.search(folder.head("run.json"))
    names = {m[1].decode("utf-8", "replace") for m in _TEXT.finditer(listed[1])} if listed else set[str]()
    return tuple(n for n in folder.files if n not in ("run.json", *_PARTS) and (n in names or n == "cout.txt"))


def _shared(folder: Folder) -> tuple[str, ...]:
    """Returns the folders beside runs with the sources and resources of all runs."""
    there = tuple(n for n in _SHARED if n in folder.folders)
    runs = (c for n, c in folder.folders.items() if n not in _SHARED and "run.json" in c.files)
    return there if there and any(_is_run(c.head("run.json"), captured="cout.txt" in c.files) for c in runs) else ()


class _Series(Struct):
    """Collects points, counts of other values, and single numbers, from metrics and info."""

    run: str
    columns: PointColumns = field(default_factory=PointColumns)
    names: set[str] = field(default_factory=set[str])
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    facts: dict[str, float] = field(default_factory=dict[str, float])

    def metric(self, name: str, found: object) -> None:
        """Adds a series of ``metrics.json``: lists of values, steps and timestamps."""
        known = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        times = [as_time(t) for t in _list(known.get("timestamps"))]
        self.add(name, _list(known.get("values")), _list(known.get("steps")), times)

    def info(self, info: Mapping[str, Any]) -> None:
        """Adds PyMARL's pairs of lists, other lists only if there are no other series, and single numbers as facts."""
        paired = {n for n in info if isinstance(info[n], list) and isinstance(info.get(n + _STEPS), list)}
        alone = not self.names and not paired
        for name, value in info.items():
            number = as_number(_plain(value))
            if name in paired and name not in self.names:
                self.add(name, info[name], info[name + _STEPS], [])
            elif number is not None:
                self.facts[name] = number
            elif alone and isinstance(value, list) and _numbers_only(cast("list[Any]", value)):
                self.add(name, cast("list[Any]", value), range(len(cast("list[Any]", value))), [])
            elif name.removesuffix(_STEPS) not in paired:
                self._count(f"info.{name}", len(cast("list[Any]", value)) if isinstance(value, list) else 1)

    def add(self, name: str, values: Iterable[Any], steps: Iterable[Any], times: list[datetime | None]) -> None:
        """Adds a series; values that are not numbers are counted, and a value without a step gets its index."""
        self.names.add(name)
        at, got, walls = list[int](), list[float](), list[int | None]()
        known = list(steps)
        for index, value in enumerate(values):
            number = as_number(_plain(value))
            if number is None:
                self._count(name, 1)
                continue
            step = as_step(_plain(known[index])) if index < len(known) else None
            wall = times[index] if index < len(times) else None
            at.append(index if step is None else step)
            got.append(number)
            walls.append(micros_of(wall) if wall else None)
        self.columns.series(self.run, name, at, got, walls)

    def _count(self, name: str, n: int) -> None:
        self.non_scalar[name] = self.non_scalar.get(name, 0) + n


def _record(series: _Series, run: Mapping[str, Any], config: Mapping[str, Any]) -> RunRecord:
    experiment, meta = _dict(run.get("experiment")), _dict(run.get("meta"))
    trace = run.get("fail_trace")
    about: dict[str, object] = {
        "command": run.get("command"),
        "host": _dict(run.get("host")).get("hostname"),
        "comment": meta.get("comment") or _dict(meta.get("options")).get("--comment"),
        "result": _plain(run.get("result")),
        "error": str(cast("list[Any]", trace)[-1]).strip() if isinstance(trace, list) and trace else None,
        "info": series.facts,
    }
    return RunRecord(
        series.run,
        group=str(experiment.get("name") or ""),
        status=status_of(run.get("status")),
        created_at=as_time(run.get("start_time")),
        updated_at=as_time(run.get("stop_time")) or as_time(run.get("heartbeat")),
        hyperparameters={k: _plain(v) for k, v in config.items() if k != "__doc__"},
        metadata={k: v for k, v in about.items() if v not in (None, "", {})},
        non_scalar=series.non_scalar,
    )


def _load(source: Source, name: str, problems: list[Problem]) -> dict[str, Any]:
    entry = source.file(name)
    if entry is None:
        return {}
    try:
        value = decode(read_plain(entry.path))
    except (OSError, FormatError) as error:
        problems.append(Problem(entry.path, f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return {}
    except ValueError as error:
        where = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (None, None)
        problems.append(Problem(entry.path, f"not JSON: {error}", *where))
        return {}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    problems.append(Problem(entry.path, "not a JSON object"))
    return {}


def _plain(value: object) -> object:
    """Converts jsonpickle's wrappers to plain data: NumPy numbers to their value, tuples and sets to lists."""
    if isinstance(value, list):
        return [_plain(v) for v in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    known = cast("dict[str, object]", value)
    if str(known.get("py/object", "")).startswith("numpy."):
        found = next((known[k] for k in ("value", "values") if k in known), None)
        return known if found is None else found
    for wrapped in ("py/tuple", "py/set"):
        if isinstance(known.get(wrapped), list):
            return _plain(known[wrapped])
    return {k: _plain(v) for k, v in known.items()}


def _numbers_only(values: list[Any]) -> bool:
    return bool(values) and all(as_number(_plain(v)) is not None for v in values)


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
