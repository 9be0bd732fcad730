"""Reads the event files of one run: its points and its record.

A run that has ended, or that has a session folder, is read again whole when it changes, since new events may change its end. In
any other run each file is read from where its last reading ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import polars as pl
from msgspec import to_builtins

from sweeplens.readers.decoding.sidecars import in_hydra, read_config
from sweeplens.readers.decoding.values import as_time
from sweeplens.readers.protocol import HEAD_BYTES, FileStat, Problem, Reading, Resume, RunRecord, Source
from sweeplens.readers.tensorboard.events import EventFacts, ScalarEvents
from sweeplens.readers.tensorboard.folders import branch_metric, is_session
from sweeplens.readers.tensorboard.tfrecord import TFRecords
from sweeplens.safe_open import open_buffered

__all__ = ["read_run"]

_ENDED = -1  # an offset that marks a damaged file, which was reported


def read_run(source: Source, resume: Resume | None) -> Reading:
    """Reads all files of a run, or what was appended to them."""
    state = cast("Mapping[str, Any]", resume.state if resume else {})
    events = ScalarEvents(EventFacts(**state.get("said", {})))
    offsets: dict[str, int] = dict(state.get("offsets", {}))
    problems: list[Problem] = []
    sessions, own = False, frozenset[str]()
    for entry in source.files:
        key = entry.path[len(source.path) :].replace("\\", "/").lstrip("/")
        at = offsets.get(key, 0)
        if "tfevents" in key.rpartition("/")[2] and at != _ENDED:
            offsets[key], session = _read_file(entry, key, at, events, own, problems)
            sessions, own = sessions or session, own if session else frozenset(events.names)
    points = events.frame(source.relative)
    record, more = _described(source, events.facts, points)
    after = None
    if not sessions and not record.status:
        after = Resume(0, {"offsets": offsets, "said": to_builtins(events.facts)})
    return Reading((record,), points, (*problems, *more), after)


def _read_file(
    entry: FileStat, key: str, at: int, events: ScalarEvents, own: frozenset[str], problems: list[Problem]
) -> tuple[int, bool]:
    """Reads one event file from an offset; returns the offset after it, and whether it is a session's file. ``own``: the metrics
    that the run logged itself."""

    child = key.rpartition("/")[0]
    with open_buffered(entry.path) as stream:
        session = bool(child) and is_session(child, stream.read(HEAD_BYTES), entry.size)
        records = TFRecords(stream, entry.path, max(entry.size, stream.seek(0, 2)), at)
        broken = events.broken
        if session:
            events.read(records.batches(), lambda tag: f"hparam/{tag}" if tag in own else tag)
        else:
            events.read(records.batches(), lambda tag: branch_metric(child, tag) if child else tag)
    if events.broken > broken:
        problems.append(Problem(entry.path, f"{events.broken - broken} records are not events: left out"))
    if records.problem is None:
        return records.offset, session
    problems.append(records.problem)
    return records.offset if records.problem.kind == "torn" else _ENDED, session


def _described(source: Source, facts: EventFacts, points: pl.DataFrame) -> tuple[RunRecord, tuple[Problem, ...]]:
    """Returns the record, from the plugin and the config files beside the log. A file beside the log wins."""
    side = read_config(
        source.files, unwrap=source.file("hparams.yaml") is None
    )  # Lightning never wraps its hyperparameters
    known = set(_flat(side.hyperparameters))
    logged = {k: v for k, v in facts.hyperparameters.items() if k.replace("/", ".") not in known}
    record = RunRecord(
        source.relative,
        group=facts.group,
        status="" if _continued_after_end(facts, points) else facts.status,
        created_at=as_time(facts.began),
        updated_at=points["wall_time"].max(),  # pyright: ignore[reportArgumentType] - a column of times
        hyperparameters={**logged, **side.hyperparameters},
        non_scalar=dict(facts.non_scalar),
    )
    return in_hydra(source, record), tuple(Problem(path, reason) for path, reason in side.problems)


def _continued_after_end(facts: EventFacts, points: pl.DataFrame) -> bool:
    """Whether training continued after its end was written (Lightning writes it early): a metric has two later values."""
    later = points.filter(pl.col("wall_time").dt.epoch("us") > facts.ended * 1e6) if facts.status else points.head(0)
    return later.height > 0 and later["metric"].is_duplicated().any()


def _flat(nested: Mapping[str, object], prefix: str = "") -> Iterable[str]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, object]", value), f"{prefix}{key}.")
        else:
            yield prefix + key
