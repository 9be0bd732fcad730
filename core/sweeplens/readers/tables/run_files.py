"""Reads the logs that one training writes to several files of a folder, in one format or in two."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import polars as pl
from msgspec.structs import replace

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.plan import are_splits, split_of
from sweeplens.readers.decoding.json_lines import peek
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.unread_columns import unread_columns
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.json.splits import merged_records, read_rows
from sweeplens.readers.json.steps import described_by, looks_like_steps
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.tables.csv_metrics import metrics_table, table_plan, without_reports

__all__ = ["RunFiles"]

_TABLES = (".csv", ".tsv")
_LINES = (".jsonl", ".ndjson", ".jsonlines")
_MOST = 8
_OF_THE_RUN = frozenset(
    {"progress", "metrics", "metric", "log", "logs", "history", "stats", "scalars", "steps", "training"}
)


class RunFiles:
    """Files of one run in one folder: one for each split, or a log of training beside one of evaluation.

    Producer: hand-written loops that log training and evaluation to separate files
    Files: two to eight of ``*.csv``, ``*.tsv``, ``*.jsonl`` in one folder: ``train*``, ``val*``, ``test*``, ``eval*``, each at most once, and at most one ``progress``, ``metrics``, ``log`` or ``history``; a config file beside them or in a folder above
    Reads: the same as ``csv_metrics`` and ``json_steps``, with the file's split as prefix of each name; no prefix in the file of the run
    Leaves: text and lists, which are counted by name; files of one format that are all splits are read by ``csv_metrics`` and ``json_splits``
    """  # noqa: E501 - a line of docs/formats.md each

    name = "run_files"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims the logs of a folder if their names say that they belong to one run."""
        names = [*_tables(folder), *_lines(folder)]
        roles = [_role(n) for n in names]
        if not 1 < len(names) <= _MOST or None in roles or len(set(roles)) < len(roles):
            return
        one_format = len({n.endswith(_LINES) for n in map(compression.plain_name, names)}) == 1
        if any(roles) and not (one_format and are_splits(names)):
            yield Claim((*names, *config_files(folder)), is_folder=True)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all rows of all files; they are read again when one of them grows."""
        logs = [f for f in source.files if _is_log(f)]
        problems: list[Problem] = []
        frames: list[pl.DataFrame] = []
        records = [RunRecord(source.relative)]
        for entry in logs:
            split = _role(_name(entry.path)) or ""
            if compression.plain_name(entry.path).endswith(_LINES):
                rows, _ = read_rows(entry, source.relative, split, {}, problems)
                frames.append(rows.frame())
                records += rows.records()
                continue
            table = metrics_table(entry.path, source.relative, None, prefix=f"{split}/" if split else "")
            frames.append(table.points)
            records.append(RunRecord(source.relative, non_scalar=table.non_scalar))
            problems += [*table.problems, *unread_columns(entry.path, table.examples)]
        beside = tuple(f for f in source.files if not _is_log(f))
        runs, broken = described_by(replace(source, files=(logs[0], *beside)), merged_records(records))
        return Reading(runs, joined_points(frames), (*problems, *broken), None)


def _tables(folder: Folder) -> list[str]:
    """Returns the tables of the folder that hold the log of one run."""
    plans = {n: table_plan(n, folder.head(n)) for n in folder.free(*_TABLES)}
    return without_reports([n for n, p in plans.items() if p is not None and p.axis and not (p.run or p.split)], folder)


def _lines(folder: Folder) -> list[str]:
    """Returns the files of the folder with a row of JSON for each step."""
    names = (n for n in folder.free(*_LINES) if n not in SETTINGS_NAMES)
    return [n for n in names if looks_like_steps(peek(folder.head(n)))]


def _role(name: str) -> str | None:
    """Returns the split that a file is named after, "" for a file of the whole run, None for any other."""
    if PurePath(compression.plain_name(name)).stem.lower() in _OF_THE_RUN:
        return ""
    return split_of(name) or None


def _is_log(entry: FileStat) -> bool:
    name = _name(entry.path)
    return compression.plain_name(name).endswith((*_TABLES, *_LINES)) and name not in SETTINGS_NAMES


def _name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
