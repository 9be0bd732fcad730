"""Reads W&B run directories without their record file: those of old versions, and those in repositories that ignore it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.readers.decoding.compression import line_pieces
from sweeplens.readers.decoding.json_lines import JsonLines
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time
from sweeplens.readers.decoding.wrapped_config import unwrapped
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trackers.record_folders import loaded_beside
from sweeplens.readers.wandb.description import since_1970
from sweeplens.readers.wandb.run_file import about_machine

__all__ = ["WandbSummary"]

_HISTORY, _LAST = "wandb-history.jsonl", "wandb-summary.json"
_CONFIG, _ABOUT = "config.yaml", "wandb-metadata.json"
_LAYOUTS = ("files/", "")  # where these files lie in a run's directory; W&B before 0.10 had no folder for them
_LATEST = "latest-run"  # a copy of the newest run beside it
_DIRECTORY = re.compile(r"(?:offline-|dry)?run-(\d{8}_\d{6})-(\w+)")


class WandbSummary:
    """Run directories without their record file.

    Producer: Weights & Biases before 0.10, or where ``run-<id>.wandb`` is missing
    Files: ``run-<time>-<id>/wandb-history.jsonl`` and ``wandb-summary.json``, or both in ``files/``, and beside them ``config.yaml`` and ``wandb-metadata.json``
    Reads: every number of the history at its ``_step``; where there is no history, the last value of every number, at the summary's ``_step``; config; program, commit, machine; the start, from the directory's name
    Leaves: histograms, tables and media, which are counted by name; the run's status, which these files do not hold
    """  # noqa: E501 - a line of docs/formats.md each

    name = "wandb_summary"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims directories with a run's name and a history or summary, but no record file."""
        found = _files(folder)
        if found:
            yield Claim(found, owns=("files", "logs"))
            return
        runs = {name: files for name, child in sorted(folder.folders.items()) if (files := _files(child))}
        twin = folder.folders.get(_LATEST)
        copies = _files_beside(twin)[:1] if twin is not None and not _has_record(twin) else ()
        for name, files in runs.items():
            latest = bool(copies) and name == list(runs)[-1]
            yield Claim(
                tuple(f"{name}/{file}" for file in files),
                copies=tuple(f"{_LATEST}/{file}" for file in copies) if latest else (),
                owns=(name, _LATEST) if latest else (name,),
                is_folder=False,
            )

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the history, else the summary, and the files beside it, always whole."""
        main = source.files[0]
        directory = _directory(main)
        problems: list[Problem] = []
        rows = _SummaryRows(directory)
        if (history := source.file(_HISTORY)) is not None:
            lines = JsonLines(line_pieces(history.path), history.path)
            for line in lines:
                rows.add(line.value)
            problems += lines.problems
        else:
            reason = "the record file is missing: only the last values are known"
            problems.append(Problem(main.path, reason, kind="warning"))
        rows.add(loaded_beside(source, _LAST, problems), only_new=True)
        named = _DIRECTORY.fullmatch(directory)
        about: dict[str, object] = {"wandb_run_id": named[2]} if named else {}
        record = RunRecord(
            directory,
            created_at=as_time(since_1970(named[1])) if named else None,
            updated_at=rows.last,
            hyperparameters=unwrapped(loaded_beside(source, _CONFIG, problems)),
            metadata={**about_machine(loaded_beside(source, _ABOUT, problems)), **about},
            non_scalar=rows.non_scalar,
        )
        return Reading((record,), rows.points.frame(), tuple(problems))


class _SummaryRows(Struct):
    """The points of one run while its rows are read; ``last``: the time of the newest."""

    run: str
    points: PointBuffer = field(default_factory=PointBuffer)
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    names: set[str] = field(default_factory=set[str])
    step: int = 0
    last: datetime | None = None

    def add(self, row: Mapping[str, Any], *, only_new: bool = False) -> None:
        """Adds a row of the history, or of the summary only the names that the history does not have."""
        step = as_step(row.get("_step"))
        self.step = self.step if step is None else step
        wall = as_time(row.get("_timestamp"))
        self.last = wall or self.last
        known = frozenset(self.names) if only_new else frozenset[str]()
        counted: dict[str, int] = {}
        for name, number in _numbers({k: v for k, v in row.items() if not k.startswith("_")}, "", counted):
            if name not in known:
                self.points.add(self.run, name, self.step, number, wall)
                self.names.add(name)
        for name, count in counted.items():
            if not only_new or name not in self.non_scalar:
                self.non_scalar[name] = self.non_scalar.get(name, 0) + count


def _directory(main: FileStat) -> str:
    """Returns the name of the run's directory."""
    parent = PurePosixPath(main.path.replace("\\", "/")).parent
    return parent.parent.name if parent.name == "files" else parent.name


def _files(folder: Folder) -> tuple[str, ...]:
    """Returns the files of a run's directory without a record file, the main one first; none if it is no such directory."""
    return _files_beside(folder) if _DIRECTORY.fullmatch(folder.name) and not _has_record(folder) else ()


def _files_beside(folder: Folder) -> tuple[str, ...]:
    return next((found for layout in _LAYOUTS if (found := tuple(_present(folder, layout)))), ())


def _present(folder: Folder, layout: str) -> Iterator[str]:
    main = [layout + name for name in (_HISTORY, _LAST) if folder.find(layout + name)]
    if main:
        yield from main
        yield from (layout + name for name in (_CONFIG, _ABOUT) if folder.find(layout + name))


def _has_record(folder: Folder) -> bool:
    return any(n.endswith(".wandb") for n in folder.files)


def _numbers(nested: Mapping[str, object], prefix: str, counted: dict[str, int]) -> Iterable[tuple[str, float]]:
    """Yields names and numbers, with nested names joined by dots; other values are counted."""
    for key, value in nested.items():
        number = as_number(value)
        if number is not None:
            yield prefix + key, number
        elif isinstance(value, dict) and "_type" not in value:
            yield from _numbers(cast("dict[str, object]", value), f"{prefix}{key}.", counted)
        else:
            counted[prefix + key] = counted.get(prefix + key, 0) + 1
