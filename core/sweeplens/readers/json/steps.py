"""Reads JSON with one step in each line, as hand-written loops, Detectron2, DETR, MAE, DeiT and structlog write it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Any, cast

from msgspec.structs import replace

from sweeplens.native.library import is_compiled
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.fact_names import REPORT_FOLDERS, is_facts
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.row_keys import RUN_KEYS, TIME_KEYS, counter_of, is_sure, named_value
from sweeplens.readers.decoding.rows import RowReader, described_by_row
from sweeplens.readers.decoding.sidecars import CONFIG_NAMES, SETTINGS_NAMES, config_files, in_hydra, read_config
from sweeplens.readers.decoding.unread_columns import unread_columns
from sweeplens.readers.decoding.values import as_time, empty_reading_points, first_of_ratio, number_in, status_of
from sweeplens.readers.json.columns import FileRows, JsonColumns, read_columns
from sweeplens.readers.json.points import logged, reduced
from sweeplens.readers.protocol import Claim, CombinedReading, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["JsonSteps", "described_by", "looks_like_steps"]

MUCH_BYTES = 1 << 15
"""If at least so many bytes were appended to a file, they are read as columns."""
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".txt", ".log", ".jsonlines")
_PLAIN_NAMES = frozenset({"metrics", "log", "logs", "history", "results", "train", "progress", "stats", "scalars", "events",
                          "training_log", "metric", "eval", "output"})  # fmt: skip


class JsonSteps:
    """Step-per-line JSON: one run in a file, or several interleaved by ``run_id``.

    Producer: hand-written loops, structlog, Detectron2 ``metrics.json``, DETR/DeiT/MAE ``log.txt``
    Files: ``*.jsonl``, ``*.json``, ``*.txt``, ``*.log`` whose lines are objects with a step; ``config.json|yaml``, ``hparams.*``, ``params.*``, ``run.json`` beside them
    Reads: every number at its step; nested names joined with ``.``; ``split``, ``mode`` or ``phase`` as prefix; config events; status; times
    Leaves: text and lists, which are counted by name
    """  # noqa: E501 - a line of docs/formats.md each

    name = "json_steps"
    version = 6

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files whose first rows hold a step and a number, or name their run."""
        rows = {n: peek(folder.head(n)) for n in folder.free(*_SUFFIXES) if n not in CONFIG_NAMES}
        mine = [n for n, found in rows.items() if _is_log(n, found)]
        logs = [n for n in mine if not _is_report(n, rows[n])]
        mine = mine if len(logs) == len(mine) or not (logs or _has_log(folder)) else logs
        plain = [n for n in mine if _stem(n) in _PLAIN_NAMES]
        config = config_files(folder) if mine else ()
        for name in mine:
            side = tuple(c for c in config if c != name)
            yield Claim((name, *side), is_folder=len(plain) == 1 and name in plain)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads rows one by one; in a plain file that grew, only the appended rows, as columns if they are many."""
        main = source.files[0]
        if resume and main.size - resume.offset >= MUCH_BYTES and self.is_batchable(source):
            appended = _appended_columns(source, resume)
            if appended is not None:
                return appended
        data = compression.line_pieces(main.path, resume.offset if resume else 0)
        lines = JsonLines(data, main.path, first_line=resume.lines + 1 if resume else 1)
        rows = RowReader(source.relative, cast("dict[str, Any]", resume.state) if resume else None)
        for line in lines:
            rows.add(line.value)
        points, state = rows.frame(), rows.state()
        runs, problems = described_by(source, rows.records())
        after = None
        if state is not None and compression.keeps_places(main.path):
            offset = (resume.offset if resume else 0) + lines.consumed
            after = Resume(offset, state, lines.number)
        unread = unread_columns(main.path, rows.examples()) if resume is None else []
        return Reading(runs, points, (*lines.problems, *unread, *problems), after)

    def is_batchable(self, source: Source) -> bool:
        """Whether the compiled parser is installed and can read the file."""
        return is_compiled() and not compression.is_compressed(source.files[0].path)

    def read_many(self, sources: Sequence[Source], names: Mapping[str, str]) -> CombinedReading:
        """Reads the plain sources, with the same result as `read`; ``names``: path -> run id."""
        found = read_columns([s.files[0] for s in sources])
        readings: dict[str, Reading] = {}
        for columns in found:
            for place, (member, file_rows) in enumerate(columns.members.items()):
                source = sources[member]
                readings[source.path] = _reading_of(source, file_rows, columns, place)
        given = [[names[sources[i].path] for i in columns.members] for columns in found]
        return CombinedReading(readings, *reduced(found, given))


def _appended_columns(source: Source, resume: Resume) -> Reading | None:
    """Reads the appended rows as columns; None where they are not plain, or belong to several runs."""
    rows = RowReader(source.relative, cast("dict[str, Any]", resume.state))
    axis, last = rows.axis_alone()
    found = read_columns(source.files[:1], resume) if axis else []
    if not found or label_of(found[0].members[0].axis) != axis or found[0].begins[0] <= last:
        return None
    (columns,) = found
    file_rows = columns.members[0]
    rows.add_columns(columns.steps[0], file_rows.non_scalar, columns.firsts[0], columns.lasts[0])
    runs, problems = described_by(source, rows.records())
    after = Resume(file_rows.consumed, cast("dict[str, Any]", rows.state()), file_rows.number)
    return Reading(runs, logged(columns, source.relative), (*file_rows.problems, *problems), after)


def _reading_of(source: Source, file_rows: FileRows, columns: JsonColumns, place: int) -> Reading:
    """Returns the same as `JsonSteps.read`, without the points."""
    first, last, others = columns.firsts[place], columns.lasts[place], file_rows.non_scalar
    record = RunRecord(source.relative, created_at=first, updated_at=last, non_scalar=others)
    runs, problems = described_by(source, [record])
    state = {
        "axis": label_of(file_rows.axis), "last_step": columns.steps[place], "counts": {}, "non_scalar": others,
        "said": described_by_row(record),
    }  # fmt: skip
    after = Resume(file_rows.consumed, {record.id: state}, file_rows.number)
    return Reading(runs, empty_reading_points(), (*file_rows.problems, *problems), after)


def described_by(source: Source, records: Iterable[RunRecord]) -> tuple[tuple[RunRecord, ...], tuple[Problem, ...]]:
    """Adds the hyperparameters and the status in the source's config files to the records; values in rows win."""
    side = read_config(source.files[1:])
    found = list(records) or [RunRecord(source.relative)]
    about = {k: v for k, v in side.about.items() if not isinstance(v, dict | list)}
    status = status_of(about.get("status") or about.get("state"))
    runs = tuple(
        replace(
            r,
            hyperparameters={**side.hyperparameters, **r.hyperparameters},
            status=r.status or status,
            name=r.name or str(about.get("name") or ""),
            created_at=r.created_at or as_time(about.get("created_at") or about.get("started")),
            metadata={**about, **r.metadata},
        )
        for r in found
    )
    return tuple(in_hydra(source, r) for r in runs), tuple(Problem(path, reason) for path, reason in side.problems)


def _is_log(name: str, rows: list[dict[str, Any]]) -> bool:
    """Whether a file's first rows are steps. A single object counts only in JSON lines or in a file named like a log."""
    lines = compression.plain_name(name).endswith((".jsonl", ".ndjson", ".jsonlines"))
    alone = len(rows) == 1 and not lines and _stem(name) not in _PLAIN_NAMES
    return not alone and looks_like_steps(rows)


def _is_report(name: str, rows: list[dict[str, Any]]) -> bool:
    """Whether a file is one object that reports results, without a step."""
    return len(rows) == 1 and is_facts(name) and not counter_of(named_value(rows[0]))


def _has_log(folder: Folder) -> bool:
    """Whether a log of the same run is in a folder, just below it, or above a folder of results."""
    from sweeplens.readers.tables.csv_metrics import table_plan  # imports this module
    from sweeplens.readers.text.recognition import parsed_log

    if folder.taken or (folder.name.lower() in REPORT_FOLDERS and folder.parent is not None and folder.parent.taken):
        return True
    names = (*folder.files, *(n for child in folder.folders.values() for n in child.files))
    if any("tfevents" in n or n.endswith(".wandb") for n in names):
        return True
    if any(table_plan(n, folder.head(n)) is not None for n in folder.free(".csv", ".tsv")):
        return True
    texts = (n for n in folder.free(".log", ".out", ".err", ".txt") if n not in SETTINGS_NAMES and not is_facts(n))
    return any(b"\0" not in folder.head(n) and parsed_log(n, folder.sample(n)) is not None for n in texts)


def looks_like_steps(rows: list[dict[str, Any]]) -> bool:
    """Whether the first rows of a file are steps: an axis and another number, events of a run, or only numbers."""
    if not rows:
        return False
    if any(_is_step(r) or _is_event(r) for r in rows) or all(_numbers_only(r) for r in rows):
        return True
    return _goes_forward(rows)


def _is_step(row: dict[str, Any]) -> bool:
    row = named_value(row)
    axis = counter_of(row)
    return bool(axis) and is_sure(axis) and (_has_number(row, axis) or row.get("metrics") == {})


def _goes_forward(rows: list[dict[str, Any]]) -> bool:
    """Whether a counter, perhaps a fraction of an epoch, rises from row to row beside other numbers, as in a log."""
    for key in dict.fromkeys(k for r in rows for k in r if label_of(k)):
        steps = [number_in(r.get(key)) for r in rows]
        steps = [s if s is not None else first_of_ratio(str(r.get(key))) for s, r in zip(steps, rows, strict=True)]
        if len(steps) > 1 and all(b is not None and a is not None and a < b for a, b in pairwise(steps)):
            return all(_has_number(r, key) for r in rows)
    return False


def _has_number(row: Mapping[str, Any], axis: str) -> bool:
    """Whether a row holds a number besides its axis, at the top or one level down."""
    inner = [v for k, v in row.items() if k != axis]
    if all(v == {} for v in inner):  # the line is longer than the head
        return bool(inner)
    inner += [v for o in inner if isinstance(o, dict) for v in cast("dict[str, Any]", o).values()]
    return any(number_in(v) is not None for v in inner)


def _is_event(row: dict[str, Any]) -> bool:
    return isinstance(row.get("event"), str) and (
        isinstance(row.get("config"), dict) or any(k in row for k in RUN_KEYS)
    )


def _numbers_only(row: dict[str, Any]) -> bool:
    values = {k: v for k, v in row.items() if not (k in TIME_KEYS and as_time(v))}
    return len(values) > 1 and all(number_in(v) is not None for v in values.values())


def _stem(name: str) -> str:
    return PurePath(compression.plain_name(name)).stem.lower()
