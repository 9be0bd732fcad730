"""Reads dr_exp jobs: `<dir>/<name>_<id>/metrics.jsonl`, and `jobs/<id>.json` beside `<dir>`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from msgspec.structs import replace

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines, peek
from sweeplens.readers.decoding.row_keys import axis_of
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.decoding.values import as_time, status_of
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source

__all__ = ["DrExp"]


class DrExp:
    """Job folders of dr_exp.

    Producer: dr_exp, dr_gen
    Files: ``<dir>/<name>_<id>/metrics.jsonl`` of ``{"metrics": {...}, "step"}`` and ``jobs/<id>.json`` beside ``<dir>``
    Reads: every number; the job's config, status, tags and times; also runs without a job file and unfinished runs
    Leaves: nothing
    """

    name = "dr_exp"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a folder named ``<name>_<id>`` below a folder that has ``jobs/`` beside it."""
        if "metrics.jsonl" not in folder.free("metrics.jsonl") or "_" not in folder.name:
            return
        jobs = folder.child("../../jobs")
        if jobs is None or not any(_is_row(o) for o in peek(folder.head("metrics.jsonl"))):
            return
        job = f"{folder.name.rsplit('_', 1)[1]}.json"
        yield Claim(("metrics.jsonl", f"../../jobs/{job}") if job in jobs.files else ("metrics.jsonl",))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the rows and the job's record."""
        main = source.files[0].path
        lines = JsonLines(compression.line_pieces(main), main)
        run = source.path.replace("\\", "/").rsplit("_", 1)[1]
        rows = RowReader(run)
        for line in lines:
            rows.add(line.value)
        record = next((r for r in rows.records() if r.id == run), RunRecord(run))
        record = replace(record, name=source.relative.rsplit("/", 1)[-1].rsplit("_", 1)[0])
        problems: list[Problem] = list(lines.problems)
        if len(source.files) > 1:
            record = _described(record, source.files[1], problems)
        return Reading((record,), rows.frame(), tuple(problems))


def _described(record: RunRecord, job_file: FileStat, problems: list[Problem]) -> RunRecord:
    try:
        job = json.loads(compression.read_plain(job_file.path))
    except ValueError as error:
        problems.append(Problem(job_file.path, f"job cannot be read: {error}"))
        return record
    if not isinstance(job, dict):
        problems.append(Problem(job_file.path, "job is not an object"))
        return record
    known = cast("dict[str, Any]", job)
    config = known.get("config")
    return replace(
        record,
        status=status_of(known.get("status")),
        created_at=as_time(known.get("created_at")) or record.created_at,
        tags=tuple(str(t) for t in cast("list[Any]", known.get("tags") or [])),
        hyperparameters=cast("dict[str, Any]", config) if isinstance(config, dict) else {},
        metadata={k: v for k, v in known.items() if k not in ("config", "status", "tags", "created_at", "id")},
    )


def _is_row(row: dict[str, Any]) -> bool:
    return isinstance(row.get("metrics"), dict) and bool(axis_of(row))
