"""Reads the log of a FLAML search: one trial a line, each is a run with its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines
from sweeplens.readers.decoding.values import PointBuffer, as_number
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["Flaml"]

_VALUES = ("validation_loss", "trial_time", "wall_clock_time")


class Flaml:
    """Trials of ``AutoML.fit`` with a ``log_file_name``.

    Producer: FLAML (``AutoML``)
    Files: ``*.log``, ``*.json``, ``*.txt``, ``*.jsonl`` whose lines have ``record_id``, ``validation_loss`` and ``learner``
    Reads: each trial as the run ``file/record_id``: its configuration and learner as hyperparameters, validation loss, times and logged metrics
    Leaves: the last line, which names the best trial
    """  # noqa: E501 - a line of docs/formats.md each

    name = "flaml"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files that begin with a trial."""
        for name in folder.free(".log", ".json", ".txt", ".jsonl"):
            head = folder.head(name)[:2048]
            if head.startswith(b'{"record_id"') and b'"learner"' in head:
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads all trials: there are few."""
        path = source.files[0].path
        lines = JsonLines(compression.line_pieces(path), path)
        points = PointBuffer()
        runs = [_trial(line.value, source.relative, points) for line in lines if "record_id" in line.value]
        return Reading(tuple(runs), points.frame(), tuple(lines.problems))


def _trial(row: dict[str, Any], file: str, points: PointBuffer) -> RunRecord:
    run = f"{file}/{row['record_id']}"
    counted: dict[str, int] = {}
    for name in _VALUES:
        if (value := as_number(row.get(name))) is not None:
            points.add(run, name, 0, value)
    if row.get("logged_metric"):
        points.add_nested(counted, (run, "logged_metric", 0), row["logged_metric"])
    config = row.get("config")
    settings = cast("dict[str, object]", config) if isinstance(config, dict) else {}
    kept = {k: row[k] for k in ("sample_size", "iter_per_learner") if k in row}
    return RunRecord(
        run,
        group=file,
        status="finished",
        hyperparameters={**settings, "learner": row.get("learner")},
        metadata={**kept, "goals": {"validation_loss": "lower"}},
        non_scalar=counted,
    )
