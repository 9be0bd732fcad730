"""Reads step-per-line JSON of a run that has one file or folder for each split: ``train.jsonl`` and ``val.jsonl``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import polars as pl
from msgspec.structs import replace

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.plan import are_splits, is_split, split_of
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.json.steps import described_by, looks_like_steps
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["JsonSplits", "merged_records", "read_rows"]

_SUFFIXES = (".jsonl", ".ndjson", ".jsonlines")


class JsonSplits:
    """Step-per-line JSON: the files of a folder are the splits of one run.

    Producer: hand-written loops that log training and validation to separate files
    Files: ``train*.jsonl``, ``val*.jsonl``, ``test*.jsonl`` ... in one folder, one for each split; or one log of the same name in each of ``train/``, ``val/``, ``test/`` (GraphGym); a config file beside them or in a folder above
    Reads: the same as ``json_steps``, with the file's split as prefix of each name
    Leaves: text and lists, which are counted by name
    """  # noqa: E501 - a line of docs/formats.md each

    name = "json_splits"
    version = 5

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims the files of a folder, where each one is a split of the same run."""
        names = [n for n in folder.free(*_SUFFIXES) if n not in SETTINGS_NAMES]
        if are_splits(names) and all(looks_like_steps(peek(folder.head(n))) for n in names):
            yield Claim((*names, *config_files(folder)))
            return
        below = _in_folders(folder)
        if below:
            yield Claim((*below, *config_files(folder)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new rows of each file."""
        state = cast("Mapping[str, Any]", resume.state if resume else {})
        logs = [f for f in source.files if _is_log(f.path) and _split(f.path)]
        problems: list[Problem] = []
        frames: list[pl.DataFrame] = []
        records: list[RunRecord] = []
        after: dict[str, Any] = {}
        for entry in logs:
            known = cast("Mapping[str, Any]", state.get(entry.path, {}))
            rows, after[entry.path] = read_rows(entry, source.relative, _split(entry.path), known, problems)
            frames.append(rows.frame())
            after[entry.path]["rows"] = rows.state()
            records += rows.records()
        runs, broken = described_by(replace(source, files=(logs[0], *_sidecars(source))), merged_records(records))
        goes_on = all(known["rows"] is not None for known in after.values())
        plain = goes_on and all(compression.keeps_places(f.path) for f in logs)
        return Reading(runs, joined_points(frames), (*problems, *broken), Resume(0, after) if plain else None)


def _in_folders(folder: Folder) -> list[str]:
    """Returns the logs of one run with a folder for each split (``train/stats.json``, ``val/stats.json``); else []."""
    found: list[str] = []
    for split, child in sorted(folder.folders.items()):
        if not is_split(split):
            continue
        logs = [n for n in child.free(*_SUFFIXES, ".json") if n not in SETTINGS_NAMES]
        logs = [n for n in logs if looks_like_steps(peek(folder.head(f"{split}/{n}")))]
        if len(logs) != 1:
            return []
        found.append(f"{split}/{logs[0]}")
    several = len(found) > 1 and len({compression.plain_name(n).partition("/")[2] for n in found}) == 1
    return found if several else []


def _is_log(path: str) -> bool:
    """Whether a file of a source is a log rather than its configuration."""
    name = compression.plain_name(path).replace("\\", "/").rsplit("/", 1)[-1]
    return name.endswith(_SUFFIXES) or (name.endswith(".json") and name not in SETTINGS_NAMES)


def _split(path: str) -> str:
    """Returns the split in the name of a file or of its folder."""
    parts = path.replace("\\", "/").split("/")
    return split_of(parts[-1]) or split_of(parts[-2])


def read_rows(
    entry: FileStat, run: str, split: str, known: Mapping[str, Any], problems: list[Problem]
) -> tuple[RowReader, dict[str, Any]]:
    """Reads the new rows of one file, with a split or none ("") as prefix; also returns the state for its next reading."""
    offset, before = int(known.get("offset", 0)), int(known.get("lines", 0))
    lines = JsonLines(compression.line_pieces(entry.path, offset), entry.path, first_line=before + 1)
    rows = RowReader(run, known.get("rows"))
    for line in lines:
        rows.add({"split": split, **line.value} if split else line.value)
    problems += lines.problems
    return rows, {"offset": offset + lines.consumed, "lines": lines.number}


def _sidecars(source: Source) -> tuple[FileStat, ...]:
    return tuple(f for f in source.files if not (_is_log(f.path) and _split(f.path)))


def merged_records(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Merges the records of the files into one for each run."""
    found: dict[str, RunRecord] = {}
    for record in records:
        first = found.get(record.id, record)
        found[record.id] = replace(
            first,
            name=first.name or record.name,
            status=record.status or first.status,
            created_at=min(filter(None, (first.created_at, record.created_at)), default=None),
            updated_at=max(filter(None, (first.updated_at, record.updated_at)), default=None),
            hyperparameters={**record.hyperparameters, **first.hyperparameters},
            metadata={**record.metadata, **first.metadata},
            non_scalar={**record.non_scalar, **first.non_scalar},
        )
    return list(found.values())
