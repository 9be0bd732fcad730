"""Adds what printed logs in folders of their own say to the runs that they belong to: status, cause, warnings.

    JobLogs.added(runs, found, tops, mask)   -> the runs with it, the sources with their logs, and the other files without a reader

Looked at are files without a reader that are named like the output of a program (`sources.job_logs`); `log_links` decides which run
each belongs to. Logs that repeat the values of a run are already its copies. What a log beside a run says is not changed. Facts
are kept while a file stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.frames.schemas import ENDED_WITH, WARNINGS
from sweeplens.plain_data import plain_text
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.protocol import FileStat, Source
from sweeplens.readers.text.ending import LogEnd
from sweeplens.readers.text.warning_lines import joined_warnings
from sweeplens.safe_open import confined
from sweeplens.sources.discover import Discovery
from sweeplens.sources.job_logs import JobLog, job_log
from sweeplens.sources.refused_files import files_named
from sweeplens.sources.signs import end_by_signs, is_printed_log
from sweeplens.sources.walk import WalkedFolder
from sweeplens.sources.warnings_beside import warnings_beside
from sweeplens.store.log_links import LogTarget, linked_logs

__all__ = ["JobLogs", "RunsWithLogs"]

_MOST_LOGS = 20_000
_STATUS, _ENDED, _WARNINGS = "status", f"metadata.{ENDED_WITH}", f"metadata.{WARNINGS}"
Mask = Callable[[object], object]


class RunsWithLogs(Struct, frozen=True):
    """The runs, the sources and the files without a reader, after logs were linked. ``logs``: path -> run; ``printed``: other
    files that hold text that a program printed."""

    runs: pl.DataFrame
    sources: tuple[Source, ...]
    refused: tuple[str, ...]
    logs: Mapping[str, str] = {}
    printed: frozenset[str] = frozenset()

    @property
    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Paths, sizes and times of the linked logs."""
        return tuple(
            (s.path, s.size, s.mtime_ns) for source in self.sources for s in source.signs if s.path in self.logs
        )


class SaidByLogs(Struct, frozen=True):
    """What the logs of one run say."""

    end: LogEnd
    warnings: tuple[str, ...]


class JobLogs:
    """Links logs to runs, and keeps what was read from files that have not changed."""

    def __init__(self) -> None:
        self._facts: dict[FileStat, JobLog | None] = {}
        self._said_by: dict[tuple[tuple[FileStat, ...], int], SaidByLogs] = {}

    def added(
        self, runs: pl.DataFrame, found: Discovery, tops: Mapping[str, WalkedFolder], mask: Mask | None
    ) -> RunsWithLogs:
        """Returns the runs with what their logs say. ``tops``: the folders of the roots; ``mask``: hides secrets."""
        plain = RunsWithLogs(runs, found.sources, found.refused)
        files = [f for _, f in files_named(found.refused, is_printed_log, tops)][:_MOST_LOGS]
        if not files and not any(s.copies for s in found.sources):
            return plain
        owners = _single_runs(found.sources, runs)
        copies = {run: same for run, (source, _) in owners.items() if (same := tuple(_copied_logs(source, tops)))}
        if not files and not copies:
            return plain
        with confined(tops):
            logs = self._read(files)
            links = linked_logs(logs, [_target(source, row) for source, row in owners.values()], runs) if owners else {}
            mine = _by_run(links, logs, copies)
            told = self._said({run: (owners[run][0], mine[run]) for run in mine}, mask)
        signs = {id(owners[run][0]): mine[run] for run in mine}
        return RunsWithLogs(
            _with_ends(runs, told) if told else runs,
            tuple(replace(s, signs=(*s.signs, *signs[id(s)])) if id(s) in signs else s for s in found.sources),
            tuple(p for p in found.refused if p not in links),
            links,
            frozenset(log.file.path for log in logs if log.file.size and log.file.path not in links),
        )

    def _read(self, files: Sequence[FileStat]) -> list[JobLog]:
        known = {f: self._facts[f] if f in self._facts else _facts_in(f) for f in files}
        self._facts = known
        return [log for log in known.values() if log is not None]

    def _said(
        self, logs: Mapping[str, tuple[Source, tuple[FileStat, ...]]], mask: Mask | None
    ) -> dict[str, SaidByLogs]:
        """Returns what the logs of each run say; only what is still needed is kept."""
        keys = {
            run: (files, max((f.mtime_ns for f in source.files), default=0)) for run, (source, files) in logs.items()
        }
        known = self._said_by
        self._said_by = {key: known[key] if key in known else _said(*logs[run], mask) for run, key in keys.items()}
        return {run: self._said_by[key] for run, key in keys.items()}


def _said(source: Source, logs: tuple[FileStat, ...], mask: Mask | None) -> SaidByLogs:
    beside = replace(source, signs=logs)
    end, warnings = end_by_signs(beside), warnings_beside(replace(beside, files=())) or ()
    texts = [plain_text(text) for text in (end.words, *warnings)]
    words, *shown = [str(mask(text)) for text in texts] if mask else texts
    return SaidByLogs(LogEnd(end.status, words), tuple(shown))


def _facts_in(file: FileStat) -> JobLog | None:
    found = guarded(partial(job_log, file), file.path, "cannot be read")
    return None if isinstance(found, Failure) else found


def _copied_logs(source: Source, tops: Mapping[str, WalkedFolder]) -> list[FileStat]:
    """Returns printed logs in other folders that repeat the values of a source."""
    known = {f.path for f in (*source.files, *source.signs)}
    return [f for _, f in files_named((c for c in source.copies if c not in known), is_printed_log, tops)]


def _single_runs(sources: Sequence[Source], runs: pl.DataFrame) -> dict[str, tuple[Source, Mapping[str, object]]]:
    """Returns run -> its source and row, of the sources that hold one run."""
    columns = ["run_id", "name", "created_at", "source", "format"]
    single = runs.filter(pl.len().over("source", "format") == 1).select(columns)
    rows = {(row["format"], row["source"]): row for row in single.iter_rows(named=True)}
    pairs = ((s, rows.get((s.reader, plain_text(s.path)))) for s in sources)
    return {str(row["run_id"]): (source, row) for source, row in pairs if row is not None}


def _target(source: Source, row: Mapping[str, object]) -> LogTarget:
    changed = max((f.mtime_ns for f in source.files), default=0) / 1e9
    created = row["created_at"]
    return LogTarget(str(row["run_id"]), str(row["name"]), source.relative, changed, created)  # pyright: ignore[reportArgumentType] - a row of the frame


def _by_run(
    links: Mapping[str, str], logs: Sequence[JobLog], copies: Mapping[str, Sequence[FileStat]]
) -> dict[str, tuple[FileStat, ...]]:
    found = {run: list(files) for run, files in copies.items()}
    for log in logs:
        if run := links.get(log.file.path):
            found.setdefault(run, []).append(log.file)
    return {run: tuple(files) for run, files in found.items()}


def _with_ends(runs: pl.DataFrame, said: Mapping[str, SaidByLogs]) -> pl.DataFrame:
    """Returns the frame with status and cause where the run has none yet, and with the warnings joined.

    Metadata of the program under the same names, which is no text, stays.
    """
    ends = pl.DataFrame(
        [(run, s.end.status, s.end.words or None, s.warnings) for run, s in said.items()],
        schema={"run_id": pl.String, "told": pl.String, "words": pl.String, "lines": pl.List(pl.String)},
        orient="row",
    )
    lacking = [c for c in (_ENDED, _WARNINGS) if c not in runs.columns]
    runs = runs.with_columns(pl.lit(None, dtype=pl.String).alias(c) for c in lacking)
    table = runs.join(ends, on="run_id", how="left", maintain_order="left")
    open_end = (pl.col(_STATUS) == "") & pl.col("told").is_not_null()
    changed = [pl.when(open_end).then(pl.col("told")).otherwise(pl.col(_STATUS)).alias(_STATUS)]
    if runs[_ENDED].dtype == pl.String:
        changed.append(pl.when(open_end).then(pl.coalesce(_ENDED, "words")).otherwise(pl.col(_ENDED)).alias(_ENDED))
    table = table.with_columns(changed)
    if runs[_WARNINGS].dtype == pl.String:
        table = table.with_columns(_joined(table.select(_WARNINGS, "lines").rows()))
    return table.drop("told", "words", "lines")


def _joined(rows: Sequence[tuple[str | None, list[str] | None]]) -> pl.Series:
    """Returns the warnings of each run with those of its logs in other folders."""
    found = [own if lines is None else _with_lines(own, lines) for own, lines in rows]
    return pl.Series(_WARNINGS, found, dtype=pl.String)


def _with_lines(own: str | None, lines: Sequence[str]) -> str:
    """``own``: the warnings of logs beside the run as a JSON list; a text of the program that is none stays."""
    if own and not (own == "[]" or (own.startswith('["') and own.endswith('"]'))):
        return own
    known: list[str] = json.loads(own) if own else []
    return json.dumps(list(joined_warnings(known, lines)), ensure_ascii=False)
