"""Reads text logs, the printed output of training programs. It recognises them by structure, not by tool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any, cast

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.counting import count_of, verb
from sweeplens.frames.schemas import ENDED_WITH, WARNINGS
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import (
    READING_SCHEMA,
    Claim,
    FileStat,
    Folder,
    Problem,
    Reading,
    Resume,
    RunRecord,
    Source,
)
from sweeplens.readers.text.chunks import PLAN_BYTES, chunks_of
from sweeplens.readers.text.ending import end_of, log_end
from sweeplens.readers.text.lines import cleaned
from sweeplens.readers.text.parse import ParsedLogText, TextParser
from sweeplens.readers.text.recognition import parsed_log
from sweeplens.readers.text.same_values import (
    Value,
    holds_values,
    is_structured,
    numbers_of,
    said_values,
    same_elsewhere,
)
from sweeplens.readers.text.settings import settings_in
from sweeplens.readers.text.splits import split_groups, split_in, with_split
from sweeplens.readers.text.warning_lines import joined_warnings, warnings_of

__all__ = ["PLAN_BYTES", "TextLogs"]

_MOST_COMPARED = 8  # files of other readers in one folder
_MOST_BETWEEN = 1 << 16  # characters before a run's first row that are searched for its settings
_SUFFIXES = (".log", ".out", ".err", ".txt", ".dat")
_STARTS = ("slurm-", "slurm_", "stdout", "stderr", "log", "train", "output", "nohup", "console")
_NAMED = frozenset({
    "readme", "license", "licence", "copying", "notice", "authors", "changelog", "changes", "requirements", "contributing",
    "todo", "news", "history_of_changes", "top_level", "entry_points", "sources", "install", "contributors", "thanks",
    "robots", "cmakelists",
})  # fmt: skip
_DIGITS = (".0", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9")
_PLAIN = frozenset(
    {
        "log",
        "train",
        "output",
        "stdout",
        "nohup",
        "train_log",
        "training_log",
        "loss_log",
        "results",
        "training",
        "logs",
        "console",
    }
)


class TextLogs:
    """The printed output of programs: one training in a file, or several one after another.

    Producer: ``print`` and ``logging`` in any training loop; transformers, nanoGPT, fairseq, Megatron-LM, torchtune, Keras, OpenMMLab, Detectron2, YOLOv5-7, ESPnet, Kaldi, nnU-Net, pix2pix, PaddlePaddle, OpenNMT, spaCy, Composer, verl, MLPerf, DLLogger, DeePMD-kit, DeepXDE, SpeechBrain, Stable-Baselines3's console
    Files: ``*.log``, ``*.out``, ``*.err``, ``*.txt``, ``*.dat``, ``slurm-*``, ``stdout*``, ``nohup*`` whose lines repeat the same names with numbers while an epoch, a step or the time goes forward; a config file beside them
    Reads: every named number at its step (a count that restarts in each epoch is continued over the epochs); running means as ``<name>.avg``; ``train``, ``val``, ``test`` before names, or in a heading above them, as prefix; decimal commas, ``.5``, dates of other countries; settings printed before the first row; times; a second training in a file as ``<file>#2``; ``train.log`` and ``valid.log`` of one training as one run; finished or failed by the last lines; lines that warn
    Leaves: remaining times, text, generated samples; a last line without a newline, until it is complete
    """  # noqa: E501 - a line of docs/formats.md each

    name = "text_logs"
    version = 5

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files named like logs whose sample has rows that go forward. Those that repeat what another reader reads,
        beside them or in a folder near by, are its copies."""
        named = ((n, folder.head(n)) for n in _candidates(folder))
        logs = {n: p for n, head in named if b"\x00" not in head and (p := parsed_log(n, folder.sample(n)))}
        if not logs:
            return
        config = config_files(folder)
        values = [said_values(p.points) for p in logs.values()]
        if _are_copies(folder, self.name, values):
            yield Claim((*logs, *config))
            return
        copies = dict(zip(logs, same_elsewhere(folder, values), strict=True))
        groups = split_groups(list(logs))
        for names in groups:
            same = next((copies[n] for n in names if copies[n]), "")
            alone = len(groups) == 1 and (len(names) > 1 or _stem(next(iter(names))) in _PLAIN)
            yield Claim((*names, *config), is_folder=alone and not same, copy_of=same)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new whole lines; a short or compressed file is read whole."""
        logs = _logs_of(source)
        readings = [_read_log(source, entry, _resume_of(entry, resume, len(logs))) for entry in logs]
        reading = readings[0] if len(logs) == 1 else _joined(readings, logs)
        runs, problems = described_by(source, reading.runs)
        return Reading(runs, reading.points, (*reading.problems, *problems), reading.resume)


def _logs_of(source: Source) -> list[FileStat]:
    """Returns the log of a training, or its logs where there is one for each split."""
    named = [f for f in source.files if split_in(f.path) and _base(f.path).endswith(_SUFFIXES)]
    splits = [f for f in named if _base(f.path) not in SETTINGS_NAMES]
    return splits if len(splits) > 1 and splits[0] == source.files[0] else [source.files[0]]


def _base(path: str) -> str:
    return compression.plain_name(path).replace("\\", "/").rsplit("/", 1)[-1].lower()


def _resume_of(entry: FileStat, resume: Resume | None, logs: int) -> Resume | None:
    """Returns where the reading of one file continues."""
    if resume is None or logs == 1:
        return resume
    known = cast("dict[str, Any]", resume.state.get(entry.path))
    return Resume(known["offset"], known["state"], known["lines"])


def _read_log(source: Source, entry: FileStat, resume: Resume | None) -> Reading:
    log = _LogReading(source, entry, resume)
    with compression.reading(entry.path) as stream:
        if resume:
            stream.seek(resume.offset)
        for data in chunks_of(cast("Any", stream), begin=resume.offset if resume else 0):
            log.take(data)
    return log.reading()


def _joined(readings: Sequence[Reading], logs: Sequence[FileStat]) -> Reading:
    """Joins the readings of the splits of one training."""
    points = [with_split(r.points, split_in(f.path)) for r, f in zip(readings, logs, strict=True)]
    states = {
        f.path: {"offset": r.resume.offset, "state": dict(r.resume.state), "lines": r.resume.lines}
        for r, f in zip(readings, logs, strict=True)
        if r.resume
    }
    records: dict[str, RunRecord] = {}
    for record in (record for r in readings for record in r.runs):
        records[record.id] = _merged(records[record.id], record) if record.id in records else record
    problems = tuple(p for r in readings for p in r.problems)
    resume = Resume(0, states) if len(states) == len(logs) else None
    return Reading(tuple(records.values()), pl.concat(points), problems, resume)


def _merged(first: RunRecord, other: RunRecord) -> RunRecord:
    return replace(
        first,
        status=first.status or other.status,
        created_at=min(filter(None, (first.created_at, other.created_at)), default=None),
        updated_at=max(filter(None, (first.updated_at, other.updated_at)), default=None),
        hyperparameters={**other.hyperparameters, **first.hyperparameters},
        metadata={**other.metadata, **first.metadata, WARNINGS: _warnings_of_both(first, other)},
    )


def _warnings_of_both(*records: RunRecord) -> list[str]:
    return list(joined_warnings(*(cast("list[str]", r.metadata[WARNINGS]) for r in records)))


class _LogReading(Struct):
    """The state of one reading of a file, chunk by chunk."""

    source: Source
    entry: FileStat
    resume: Resume | None
    parser: TextParser = field(default_factory=lambda: TextParser(""))
    frames: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    settings: dict[int, dict[str, object]] = field(default_factory=dict[int, dict[str, object]])
    between: str = ""
    first_run: int = 0
    looked: int = -1  # the last run whose settings were searched
    begins: list[int] = field(default_factory=list[int])  # the first byte of each later run
    offset: int = 0
    lines: int = 0
    unread: int = 0
    first_unread: int = 0
    unplaced: int = 0
    torn: bytes = b""

    def __post_init__(self) -> None:
        """Restores the state of the last reading."""
        state = cast("dict[str, Any]", self.resume.state) if self.resume else {}
        self.parser = TextParser(self.entry.path, state.get("parser"))
        self.between = str(state.get("between") or "")
        self.first_run = self.parser.axis.run
        self.looked = int(state.get("looked", -1))
        self.begins = list(state.get("begins") or ())
        self.offset, self.lines = (self.resume.offset, self.resume.lines) if self.resume else (0, 0)
        self.unread, self.unplaced = int(state.get("unread") or 0), int(state.get("unplaced") or 0)
        self.first_unread = int(state.get("first_unread") or 0)

    def take(self, data: bytes) -> None:
        """Parses whole lines; keeps a last one without a newline."""
        if not data.endswith(b"\n") or self.torn:
            self.torn = data
            return
        text = cleaned(data)
        parsed = self.parser.feed(text)
        self._count(parsed, data)
        lines = parsed.lines if text is data else data.count(b"\n")
        self._find_settings(parsed, text, parsed.lines)
        if parsed.points.height:
            self.frames.append(parsed.points)
        self.offset += len(data)
        self.lines += lines

    def _count(self, parsed: ParsedLogText, data: bytes) -> None:
        if parsed.unread and not self.unread and b"\r" not in data:
            self.first_unread = self.lines + parsed.first_unread + 1
        self.unread += parsed.unread
        self.unplaced += parsed.unplaced

    def _find_settings(self, parsed: ParsedLogText, text: bytes, lines: int) -> None:
        """Finds the settings of each run in the lines before its first row."""
        begin, at = 0, 0  # the line after the last row, and its first byte
        for run, first, last in _spans_of(parsed.points):
            if run > self.looked:
                head = self.between + "\n".join(_lines_from(text, at, first - begin))
                self.begins += [self.offset + at] * (run - max(self.looked, 0))
                self.settings[run], self.looked = settings_in(head[:_MOST_BETWEEN]), run
            self.between = ""
            begin, at = last + 1, _begin_of(text, last + 1, lines)
        if len(self.between) < _MOST_BETWEEN:
            rest = text[at : at + 4 * _MOST_BETWEEN].decode("utf-8", "ignore")
            self.between = (self.between + rest)[:_MOST_BETWEEN]

    def _named(self) -> pl.DataFrame:
        """Returns all points, with the names of their runs."""
        points = pl.concat(self.frames)
        last = cast("int", points["run"].max())
        ids = {k: _run_id(self.source.relative, k) for k in range(last + 1)}
        one = pl.lit(ids[last]) if points["run"].min() == last else None
        run = one if one is not None else pl.col("run").replace_strict(ids, return_dtype=pl.String)
        return points.with_columns(run_id=run).select(*READING_SCHEMA)

    def reading(self) -> Reading:
        """Returns the result."""
        path = self.entry.path
        points = self._named() if self.frames else empty_reading_points()
        return Reading(self._records(points), points, tuple(self._problems(path)), self._after(path))

    def _records(self, points: pl.DataFrame) -> tuple[RunRecord, ...]:
        last = self.parser.axis.run
        last -= int(last > 0 and not self.parser.axis.has_rows)
        times = _times_of(points, _run_id(self.source.relative, 0) if last == self.first_run == 0 else "")
        end = log_end(end_of(self.entry.path))
        warnings = dict(enumerate(warnings_of(self.entry.path, self.begins[:last])))
        return tuple(
            RunRecord(
                run,
                status=end.status if k == last else "",
                created_at=None if self.resume and k <= self.first_run else times.get(run, (None, None))[0],
                updated_at=times.get(run, (None, None))[1],
                hyperparameters=self.settings.get(k, {}),
                metadata={WARNINGS: list(warnings.get(k, ()))}
                | ({ENDED_WITH: end.words} if k == last and end.words else {}),
            )
            for k in range(last + 1)
            for run in [_run_id(self.source.relative, k)]
        )

    def _problems(self, path: str) -> Iterator[Problem]:
        if self.unread:
            yield Problem(
                path,
                f"{count_of(self.unread, 'value')} in rows {verb(self.unread, 'is no number', 'are not numbers')}: left out",
                line=self.first_unread or None,
            )
        if self.unplaced:
            yield Problem(
                path,
                f"{count_of(self.unplaced, 'line')} with values before any epoch or step: left out",
                kind="warning",
            )
        if self.torn.strip():
            yield Problem(
                path, "the last line has no newline: it is read when it is complete", line=self.lines + 1, kind="torn"
            )

    def _after(self, path: str) -> Resume | None:
        if self.offset < PLAN_BYTES or not compression.keeps_places(path):
            return None
        counts = {"unread": self.unread, "unplaced": self.unplaced, "first_unread": self.first_unread}
        return Resume(
            self.offset,
            {
                "parser": self.parser.state(),
                "between": self.between,
                "looked": self.looked,
                "begins": self.begins,
                **counts,
            },
            self.lines,
        )


def _times_of(points: pl.DataFrame, only: str) -> dict[str, tuple[datetime | None, datetime | None]]:
    """Returns the first and the last time of each run that has times; ``only``: the run of all points, if they have one."""
    if points["wall_time"].null_count() == points.height:
        return {}
    if only:
        return {only: cast("Any", (points["wall_time"].min(), points["wall_time"].max()))}
    timed = points.group_by("run_id").agg(a=pl.col("wall_time").min(), b=pl.col("wall_time").max())
    return {run: (first, last) for run, first, last in timed.iter_rows()}


def _spans_of(points: pl.DataFrame) -> list[tuple[int, int, int]]:
    """Returns the runs of some points, and the first and the last line of each."""
    lines = points["line"]
    if points.height and points["run"].min() == points["run"].max():
        return [(points["run"][0], cast("int", lines.min()), cast("int", lines.max()))]
    spans = points.group_by("run", maintain_order=True).agg(first=pl.col("line").min(), last=pl.col("line").max())
    return spans.sort("first").rows()


def _begin_of(text: bytes, line: int, lines: int) -> int:
    """Returns the first byte of a line of so many, counted from the nearer end."""
    at = 0
    if line <= lines // 2:
        for _ in range(line):
            at = text.find(b"\n", at) + 1
        return at
    at = len(text)
    for _ in range(lines - line + 1):
        at = text.rfind(b"\n", 0, at)
    return at + 1


def _lines_from(text: bytes, at: int, count: int) -> list[str]:
    """Returns so many lines from a byte on, as far as settings are searched."""
    return text[at : at + 4 * _MOST_BETWEEN].decode("utf-8", "ignore").split("\n")[:count]


def _are_copies(folder: Folder, reader: str, logs: Sequence[Sequence[Value]]) -> bool:
    """Whether the logs of a folder repeat what other readers have taken there.

    One log beside other files does. Several do, unless all of them print values that none of those files holds: then they
    are trainings of their own (logs of a sweep beside a table of its results).
    """
    others = [n for n, taker in folder.taken.items() if taker != reader]
    if len(logs) < 2 or not others or not all(logs):
        return bool(others)
    compared = [n for n in others if is_structured(n)]
    if not compared or len(compared) < len(others):
        return True
    numbers = [numbers_of(n, folder.sample(n)) for n in compared[:_MOST_COMPARED]]
    return any(holds_values(values, held) for values in logs for held in numbers)


def _candidates(folder: Folder) -> Iterator[str]:
    """Yields names of unclaimed files that may be logs."""
    named = set(folder.free(*_SUFFIXES))
    named |= {n for n in folder.free("") if n.lower().startswith(_STARTS) and (_is_bare(n) or n.endswith(_DIGITS))}
    for name in sorted(named):
        if not _NAMED.intersection(_stem(name).replace("-", "_").split(".")) and not _stem(name).startswith(
            ("readme", "license", "requirements")
        ):
            yield name


def _is_bare(name: str) -> bool:
    """Whether a name has no suffix, or a job's number as suffix (``stdout``, ``train.o12345``)."""
    suffix = PurePath(compression.plain_name(name)).suffix
    return not suffix or (suffix[1:2] in "oe" and suffix[2:].isdigit())


def _stem(name: str) -> str:
    return PurePath(compression.plain_name(name)).stem.lower()


def _run_id(relative: str, run: int) -> str:
    return relative if run == 0 else f"{relative}#{run + 1}"
