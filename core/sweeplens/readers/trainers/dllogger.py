"""Reads the JSON log of NVIDIA's DLLogger: lines ``DLLL {...}`` with a step that may be a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import JsonLines
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import as_number, joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["DLLogger"]

_MARK = b"DLLL "
_AXES = (("step",), ("epoch", "step"), ("epoch", "iteration", "step"))


class _LogFile(Struct):
    """The content of a log so far."""

    rows: RowReader
    settings: dict[str, object] = field(default_factory=dict[str, object])
    final: dict[str, float] = field(default_factory=dict[str, float])


class DLLogger:
    """Logs of ``JSONStreamBackend``.

    Producer: NVIDIA DLLogger (DeepLearningExamples)
    Files: ``*.json``, ``*.log``, ``*.txt`` whose lines are ``DLLL {"type": "LOG", "step": ..., "data": {...}}``
    Reads: every number at its step; where a step is a list of counts, the last count is the step, continued over the epochs; ``PARAMETER`` lines as hyperparameters; lines without a step at the last step
    Leaves: text, which is counted by name; metadata lines
    """  # noqa: E501 - a line of docs/formats.md each

    name = "dllogger"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files that begin with such a line."""
        for name in folder.free(".json", ".log", ".txt", ".jsonl"):
            if folder.head(name).startswith(_MARK):
                yield Claim((name, *config_files(folder)), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole file."""
        path = source.files[0].path
        lines = JsonLines(_unmarked(compression.line_pieces(path)), path)
        found = _LogFile(RowReader(source.relative))
        for line in lines:
            _add(line.value, found)
        first = next(iter(found.rows.records()), RunRecord(source.relative))
        record = RunRecord(
            source.relative, created_at=first.created_at, updated_at=first.updated_at,
            hyperparameters=found.settings, metadata={f"final.{k}": v for k, v in found.final.items()},
            non_scalar=first.non_scalar,
        )  # fmt: skip
        runs, problems = described_by(source, [record])
        return Reading(runs, joined_points([found.rows.frame()]), (*lines.problems, *problems))


def _unmarked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields pieces of lines without the mark before each line."""
    kept = b""
    for piece in pieces:
        kept += piece
        whole, end, kept = kept.rpartition(b"\n")
        yield b"".join(line.removeprefix(_MARK) + b"\n" for line in whole.split(b"\n")) if end else b""
    if kept:
        yield kept.removeprefix(_MARK)


def _add(row: dict[str, Any], found: _LogFile) -> None:
    """Adds one line."""
    data, step = row.get("data"), row.get("step")
    if row.get("type") != "LOG" or not isinstance(data, dict):
        return
    values = cast("dict[str, Any]", data)
    if step == "PARAMETER":
        found.settings |= values
        return
    counts = cast("list[Any]", step) if isinstance(step, list) else [step]
    counts = [c for c in counts if as_number(c) is not None]
    if not counts:
        found.final |= {k: n for k, v in values.items() if (n := as_number(v)) is not None}
        return
    axes = _AXES[min(len(counts), len(_AXES)) - 1]
    found.rows.add({**dict(zip(axes, counts, strict=False)), **values, "timestamp": row.get("timestamp")})
