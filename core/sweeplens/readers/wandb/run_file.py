"""Reads Weights & Biases run directories, online and offline."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, cast

import polars as pl
from msgspec import to_builtins
from msgspec.structs import replace

from sweeplens.readers.decoding.leveldb_framing import BlockRecords
from sweeplens.readers.decoding.protobuf import WireError, spans
from sweeplens.readers.decoding.values import as_time
from sweeplens.readers.decoding.wrapped_config import unwrapped
from sweeplens.readers.fuller_logs import read_fuller_log
from sweeplens.readers.protocol import Claim, FileStat, Folder, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.trackers.record_folders import GRACE, loaded_beside, tracker_claims
from sweeplens.readers.wandb.description import DESCRIPTION_RECORDS, RunDescription, since_1970
from sweeplens.readers.wandb.history import WandbHistory
from sweeplens.readers.wandb.logs_beside import OF_WANDB, console_end, logs_beside, with_log
from sweeplens.safe_open import open_buffered

__all__ = ["Wandb", "about_machine"]

_IDENT = b":W&B"
_HISTORY, _SUMMARY = 2, 3
_CONFIG, _ABOUT, _LAST = "files/config.yaml", "files/wandb-metadata.json", "files/wandb-summary.json"
_SMALL = 1 << 14  # bytes of a record file that may hold no history
_ZONES = 86400.0  # a directory's name has the local time of an unknown zone


class Wandb:
    """Run directories: ``wandb/run-<time>-<id>`` or ``wandb/offline-run-<time>-<id>``.

    Producer: Weights & Biases
    Files: ``run-<id>.wandb`` (files of one id in several directories are one run that was resumed), and beside it ``files/config.yaml``, ``files/wandb-metadata.json``, ``files/wandb-summary.json``; ``latest-run``
    Reads: every number of the history at its ``_step``; config; name, group, job type, tags, notes, sweep; start, end, exit code; values that only the summary has; where no history was written, the curves of a log beside it
    Leaves: histograms, tables and media, which are counted by name; system statistics, console output except its warnings, saved files
    """  # noqa: E501 - a line of docs/formats.md each

    name = "wandb"
    version = 4

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims run directories in this folder, or the folder itself if it is one."""
        for claim in tracker_claims(folder, ".wandb", _IDENT, (_CONFIG, _ABOUT, _LAST)):
            logs = _logs_beside(folder, claim)
            yield replace(claim, files=(*claim.files, *logs)) if logs else claim

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new records; a run that has ended is read again whole if it ever changes."""
        main = source.files[0]
        state = cast("Mapping[str, Any]", resume.state if resume else {})
        description = RunDescription(**state.get("said", {}))
        history = WandbHistory(**state.get("history", {}))
        problems: list[Problem] = []
        offset = _read_records(main, resume.offset if resume else 0, history, description, problems)
        began = description.began
        later = [f for f in source.files[1:] if f.path.endswith(".wandb")]
        for entry in later:
            history.next_file()
            description.exit_code = None
            _read_records(entry, 0, history, description, problems)
        description.began = began or description.began
        record = _described(source, history, description, problems)
        after = None
        points = history.frame(record.id)
        if not later and not points.height and (log := read_fuller_log(source, OF_WANDB)) is not None:
            points = log.reading.points.with_columns(run_id=pl.lit(record.id))
            record = with_log(record, log, console_end(source))
            problems += (*log.problems, *log.reading.problems)
        elif not later and not record.status and not any(p.kind == "malformed" for p in problems):
            after = Resume(offset, {"said": to_builtins(description), "history": history.state()})
        return Reading((record,), points, tuple(problems), after)


def _logs_beside(folder: Folder, claim: Claim) -> tuple[str, ...]:
    """Returns the logs beside a single record file that may hold no history, since the run was killed before it was written."""
    main = claim.files[0]
    entry = folder.find(main)
    if entry is None or entry.size > _SMALL or sum(name.endswith(".wandb") for name in claim.files) > 1:
        return ()
    at = main.rpartition("/")[0]
    home = folder.child(at) if at else folder
    return tuple(f"{at}/{log}" if at else log for log in logs_beside(home, "files")) if home else ()


def _read_records(
    main: FileStat, offset: int, history: WandbHistory, description: RunDescription, problems: list[Problem]
) -> int:
    """Reads the records of a file from an offset; returns the offset after them."""
    broken = 0
    with open_buffered(main.path) as stream:
        records = BlockRecords(stream, main.path, _IDENT, offset)
        for data in records:
            try:
                for number, kind, begin, end in spans(data, 0, len(data)):
                    if number == _HISTORY and kind == 2:
                        history.add(data, begin, end, description.began)
                    elif number == _SUMMARY and kind == 2:
                        history.add_summary(data, begin, end)
                    elif number in DESCRIPTION_RECORDS and kind == 2:
                        description.add(number, data[begin:end])
            except WireError:
                broken += 1
    problems += records.problems(broken)
    return records.offset


def _described(
    source: Source, history: WandbHistory, description: RunDescription, problems: list[Problem]
) -> RunRecord:
    """Returns the run's record, from its records and the files beside them."""
    directory = PurePosixPath(source.files[0].path.replace("\\", "/")).parent.name
    config = {**description.config, **loaded_beside(source, _CONFIG, problems)}
    about = loaded_beside(source, _ABOUT, problems)
    last = {k: v for k, v in loaded_beside(source, _LAST, problems).items() if not k.startswith("_")}
    history.summary.update({k: json.dumps(v) for k, v in last.items()})
    stamp = re.search(r"\d{8}_\d{6}", directory)
    began = description.began or (since_1970(stamp[0]) if stamp else 0.0)
    alive = max(description.alive, history.last_wall, description.began, began - _ZONES)
    summary = history.only_in_summary()
    return RunRecord(
        directory,
        name=description.name,
        group=description.group,
        status=description.status(alive, _deadline(source, description, history)),
        created_at=as_time(began),
        updated_at=as_time(max(description.alive, history.last_wall)),
        tags=tuple(description.tags),
        hyperparameters=unwrapped(config),
        metadata={**about_machine(about), **description.about, **({"summary": summary} if summary else {})},
        non_scalar=history.non_scalar,
    )


def _deadline(source: Source, description: RunDescription, history: WandbHistory) -> float:
    """The time before which a last sign of life means that the run crashed.

    Records are written in blocks, the first some time after the run began: a file that changes now is alive if its records
    are of this day, or if it has none yet.
    """
    now = time.time()
    touched = max(f.mtime_ns for f in source.files) / 1e9
    known = max(description.alive, history.last_wall, description.began)
    fresh = touched > now - GRACE and (not known or known > now - _ZONES)
    return 0.0 if fresh else now - GRACE


def about_machine(about: Mapping[str, Any]) -> dict[str, object]:
    """Returns the program, commit and machine in ``wandb-metadata.json``."""
    git = about.get("git")
    commit = cast("dict[str, object]", git).get("commit") if isinstance(git, dict) else None
    named = {"program": about.get("program"), "git_commit": commit, "host": about.get("host"), "gpu": about.get("gpu")}
    return {k: v for k, v in named.items() if isinstance(v, str) and v}
