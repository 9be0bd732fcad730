"""Reads W&B run directories without their record file: those of old versions, and those in repositories that ignore it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, cast

import polars as pl
from msgspec import Struct, field

from sweeplens.readers.decoding.compression import line_pieces
from sweeplens.readers.decoding.json_lines import JsonLines
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, as_time, joined_points
from sweeplens.readers.decoding.wrapped_config import unwrapped
from sweeplens.readers.fuller_logs import FullerLog, read_fuller_log
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trackers.record_folders import loaded_beside
from sweeplens.readers.wandb.description import since_1970
from sweeplens.readers.wandb.logs_beside import OF_WANDB, console_end, logs_beside, with_log
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
    Files: ``run-<time>-<id>/wandb-history.jsonl`` and ``wandb-summary.json``, or both in ``files/``, and beside them ``config.yaml``, ``wandb-metadata.json`` and ``output.log``
    Reads: every number of the history at its ``_step``; where there is no history, the curves of a table, JSON lines, event files or printed log beside the summary, and the values that only the summary has; where there is none of these, the last value of every number, at the summary's ``_step``; config; program, commit, machine; the start, from the directory's name; the end, from the printed output
    Leaves: histograms, tables and media, which are counted by name
    """  # noqa: E501 - a line of docs/formats.md each

    name = "wandb_summary"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims directories with a run's name and a history, a summary, or a log beside W&B's metadata, but no record file."""
        found = _files(folder)
        if found:
            logs = _logs(folder, found)
            yield Claim((*found, *logs), copies=logs[1:], owns=("files", "logs"))
            return
        runs = {name: files for name, child in sorted(folder.folders.items()) if (files := _files(child))}
        twin = folder.folders.get(_LATEST)
        copies = _files_beside(twin)[:1] if twin is not None and not _has_record(twin) else ()
        for name, files in runs.items():
            latest = bool(copies) and name == list(runs)[-1]
            logs = _logs(folder.folders[name], files)
            yield Claim(
                tuple(f"{name}/{file}" for file in (*files, *logs)),
                copies=(
                    *(f"{name}/{file}" for file in logs[1:]),
                    *((f"{_LATEST}/{file}" for file in copies) if latest else ()),
                ),
                owns=(name, _LATEST) if latest else (name,),
                is_folder=False,
            )

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the history, else the log beside the summary, then the summary and the files beside it, always whole."""
        directory = _directory(source.files[0])
        problems: list[Problem] = []
        rows = _SummaryRows(directory)
        log = None
        if (history := source.file(_HISTORY)) is not None:
            lines = JsonLines(line_pieces(history.path), history.path)
            for line in lines:
                rows.add(line.value)
            problems += lines.problems
        else:
            log = read_fuller_log(source, OF_WANDB)
            problems += _problems_of(log, source.files[0].path)
        if log is not None:
            rows.follow(log.reading.points)
        rows.add(loaded_beside(source, _LAST, problems), only_new=True)
        record = with_log(_described(source, directory, rows, problems), log, console_end(source))
        points = rows.points.frame()
        if log is not None:
            points = joined_points([log.reading.points.with_columns(run_id=pl.lit(directory)), points])
        return Reading((record,), points, tuple(problems))


def _problems_of(log: FullerLog | None, main: str) -> tuple[Problem, ...]:
    if log is not None:
        return (*log.problems, *log.reading.problems)
    reason = "the record file is missing, and no log is beside it: only the last values are known"
    return (Problem(main, reason, kind="warning"),)


def _described(source: Source, directory: str, rows: _SummaryRows, problems: list[Problem]) -> RunRecord:
    """Returns the run's record from the files of W&B."""
    named = _DIRECTORY.fullmatch(directory)
    about: dict[str, object] = {"wandb_run_id": named[2]} if named else {}
    return RunRecord(
        directory,
        created_at=as_time(since_1970(named[1])) if named else None,
        updated_at=rows.last,
        hyperparameters=unwrapped(loaded_beside(source, _CONFIG, problems)),
        metadata={**about_machine(loaded_beside(source, _ABOUT, problems)), **about},
        non_scalar=rows.non_scalar,
    )


class _SummaryRows(Struct):
    """The points of one run while its rows are read; ``last``: the time of the newest."""

    run: str
    points: PointBuffer = field(default_factory=PointBuffer)
    non_scalar: dict[str, int] = field(default_factory=dict[str, int])
    names: set[str] = field(default_factory=set[str])
    step: int = 0
    spellings: set[str] = field(default_factory=set[str])  # of the log's names: ``train/loss`` is ``train.loss``
    has_log: bool = False  # a log's own steps count, which may be other than the summary's
    last: datetime | None = None

    def follow(self, points: pl.DataFrame) -> None:
        """Takes the names and the last step of a log that has the curves."""
        self.names.update(points["metric"].unique().to_list())
        self.spellings = {_spelling(name) for name in self.names}
        self.step = cast("int", points["step"].max())
        self.has_log = True

    def add(self, row: Mapping[str, Any], *, only_new: bool = False) -> None:
        """Adds a row of the history, or of the summary only the names that the history or the log does not have."""
        step = None if self.has_log else as_step(row.get("_step"))
        self.step = self.step if step is None else step
        wall = as_time(row.get("_timestamp"))
        self.last = wall or self.last
        known = frozenset(self.names) if only_new else frozenset[str]()
        counted: dict[str, int] = {}
        for name, number in _numbers({k: v for k, v in row.items() if not k.startswith("_")}, "", counted):
            if name not in known and _spelling(name) not in self.spellings:
                self.points.add(self.run, name, self.step, number, wall)
                self.names.add(name)
        for name, count in counted.items():
            if not only_new or name not in self.non_scalar:
                self.non_scalar[name] = self.non_scalar.get(name, 0) + count


def _spelling(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().lower()


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
    beside = [layout + name for name in (_CONFIG, _ABOUT) if folder.find(layout + name)]
    if main or (layout + _ABOUT in beside and _logs(folder, beside)):  # a run that crashed may have no summary
        yield from (*main, *beside)


def _logs(folder: Folder, files: Sequence[str]) -> tuple[str, ...]:
    """Returns the logs beside a summary; none beside a history."""
    return () if files[0].endswith(_HISTORY) else logs_beside(folder, files[0].rpartition("/")[0])


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
