"""What happened since a cursor: runs that began, finished, failed or stalled, new bests, new problems.

The cursor is text that carries all it needs, so it holds over restarts and on another machine, and is a few hundred
characters for any number of runs. It keeps the time, the best value of the main metrics, and a digest of everything that
was a fact then (`a run is here`, `it ended so`, `it has this finding`): 32 sums of 24-bit hashes, one for each class of runs.

What is exact. A fact is new when its class's sum grew by just its hash; the facts of runs that changed since are tried
first, together, alone, in pairs and in threes. So news is exact while at most three things happened in one class of
runs between two calls, or everything that may be new is; beyond that whatever changed in time counts as new, and a note
says so. Bests are exact. Without a cursor the last 24 hours are told, by the times of the runs alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations

import polars as pl

from sweeplens.analyses.triage.diagnosis import Options, diagnose
from sweeplens.answers import Answer, Basis
from sweeplens.errors import CursorError
from sweeplens.goals import known_goal, main_metrics

__all__ = ["DAY", "whats_new"]

DAY = timedelta(hours=24)
_SLACK = timedelta(seconds=120)  # clocks differ between machines, and an answer may rest on files seen a little before
_CLASSES = 32
_BESTS = 8
_MODULUS = 1 << 24
_MOST_TRIED = 60  # facts of one class that are tried in pairs
_HEAD = struct.Struct(">BQI")  # version, milliseconds, runs
_BEST = struct.Struct(">Id")  # hash of a metric, its best value
_VERSION = 1
_EVENTS = {
    "event": pl.String(), "run_id": pl.String(), "metric": pl.String(), "step": pl.Int64(), "value": pl.Float64(),
    "before": pl.Float64(), "at": pl.Datetime("us", "UTC"), "text": pl.String(),
}  # fmt: skip
_LASTING = ("nan", "divergence", "overfit", "spike", "throughput", "stalled")
"""Findings that stay once they are there. Those that depend on other runs come and go, and are no news."""
_WORDS = {
    "failed": "failed", "stalled": "stalled", "problem": "new problems", "best": "new bests", "began": "began",
    "finished": "finished",
}  # fmt: skip
_ENDS = {"finished": "finished", "failed": "failed", "crashed": "failed", "killed": "failed"}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a cursor knows of the past. ``digest`` is empty where there was no cursor."""

    at: datetime
    runs: int
    digest: tuple[int, ...] = ()
    bests: Mapping[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so: its event, its run, when it came to be, when the run last changed, and what to say of it."""

    event: str
    run_id: str
    key: str
    at: datetime
    touched: datetime
    metric: str = ""
    step: int | None = None
    text: str = ""

    @property
    def hash(self) -> int:
        """24 bits for this fact."""
        return _hash(f"{self.event}\0{self.run_id}\0{self.key}") % _MODULUS


def whats_new(
    runs: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, options: Options, cursor: str = ""
) -> Answer:
    """event, run_id, metric, step, value, before, at, text: what is new; the new cursor is table ``cursor``.

    Events: began, finished, failed, stalled, best, problem. Raises CursorError for a cursor that is not ours.
    """
    since = _decoded(cursor) if cursor else Mark(options.now - DAY, 0)
    facts = _facts(runs, series, points, options)
    fresh, unsure = _fresh(facts, since)
    bests = _bests(series, options)
    rows = [(f.event, f.run_id, f.metric, f.step, None, None, f.at, f.text) for f in fresh]
    rows += _new_bests(bests, runs, since)
    order = pl.col("event").replace_strict({e: i for i, e in enumerate(_WORDS)}, return_dtype=pl.Int8)
    table = pl.DataFrame(rows, schema=_EVENTS, orient="row").sort(
        order, "at", "run_id", descending=[False, True, False]
    )
    after = Mark(options.now, runs.height, _digest(facts), {_hash(m): v for m, (v, *_) in bests.items()})
    notes = _notes(table, runs, since, unsure)
    return Answer(table, Basis(runs_used=runs.height), notes, {"cursor": pl.DataFrame({"cursor": [_encoded(after)]})})


def _facts(runs: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, options: Options) -> list[Fact]:
    """Everything that is so now."""
    quiet = timedelta(seconds=options.live_seconds)
    changed = dict(runs.select("run_id", "updated_at").iter_rows())
    facts: list[Fact] = []
    for run_id, status, n, created, updated in runs.select(
        "run_id", "status", "n_steps", "created_at", "updated_at"
    ).iter_rows():
        facts.append(Fact("began", run_id, "", created or updated, updated, text=f"{status}, {n} steps so far"))
        if status in _ENDS:
            facts.append(Fact(_ENDS[status], run_id, status, updated, updated, text=f"status {status} after {n} steps"))
        elif status == "unknown":
            facts.append(
                Fact(
                    "finished",
                    run_id,
                    "quiet",
                    updated + quiet,
                    updated,
                    text=f"went quiet after {n} steps, no status known",
                )
            )
    found = diagnose(runs, series, points, options).table
    for row in found.filter(pl.col("finding").is_in(_LASTING) & (pl.col("severity") != "low")).iter_rows(named=True):
        silent = row["finding"] == "stalled"
        at = changed[row["run_id"]] + (quiet if silent else timedelta())
        event, text = ("stalled", row["evidence"]) if silent else ("problem", f"{row['finding']}: {row['evidence']}")
        facts.append(
            Fact(event, row["run_id"], row["finding"], at, changed[row["run_id"]], row["metric"], row["step"], text)
        )
    return facts


def _fresh(facts: Sequence[Fact], since: Mark) -> tuple[list[Fact], int]:
    """The facts that were not so at the mark, and how many of them are only likely so."""
    if not since.digest:
        return [f for f in facts if f.at > since.at], 0
    late = [f for f in facts if max(f.at, f.touched) > since.at - _SLACK]
    fresh: list[Fact] = []
    unsure = 0
    now = _digest(facts)
    for index, old in enumerate(since.digest):
        grown = (now[index] - old) % _MODULUS
        if not grown:
            continue
        mine = [f for f in facts if _class(f.run_id) == index]
        recent = [f for f in late if _class(f.run_id) == index]
        found = _explained(recent, grown) or (_explained(mine, grown, 2) if len(mine) <= _MOST_TRIED else None)
        unsure += 0 if found else len(recent)
        fresh += found or recent
    return fresh, unsure


def _explained(candidates: Sequence[Fact], grown: int, most: int = 3) -> list[Fact] | None:
    """The facts whose hashes sum to what a class's sum grew by: all of them, else the fewest."""
    hashes = [f.hash for f in candidates]
    if candidates and sum(hashes) % _MODULUS == grown:
        return list(candidates)
    for size in range(1, most + 1 if len(candidates) <= _MOST_TRIED else 2):
        for chosen in combinations(range(len(candidates)), size):
            if sum(hashes[i] for i in chosen) % _MODULUS == grown:
                return [candidates[i] for i in chosen]
    return None


def _bests(series: pl.DataFrame, options: Options) -> dict[str, tuple[float, str, int]]:
    """metric -> best value, run and step, of the main metrics with a goal."""
    names = main_metrics(series["metric"].unique().to_list(), options.main, options.goals, most=_BESTS)
    found: dict[str, tuple[float, str, int]] = {}
    for name in names:
        goal = known_goal(name, options.goals)
        if goal == "unknown":
            continue
        column, step = ("min", "min_step") if goal == "lower" else ("max", "max_step")
        rows = series.filter((pl.col("metric") == name) & pl.col(column).is_not_null())
        top = rows.sort(column, "run_id", descending=[goal == "higher", False])
        if top.height:
            found[name] = (top[column][0], top["run_id"][0], top[step][0])
    return found


def _new_bests(
    bests: Mapping[str, tuple[float, str, int]], runs: pl.DataFrame, since: Mark
) -> list[tuple[object, ...]]:
    """Metrics whose best is another value than at the mark; without a mark those that a run of that time holds."""
    changed = dict(runs.select("run_id", "updated_at").iter_rows())
    rows: list[tuple[object, ...]] = []
    for metric, (value, run, step) in bests.items():
        before = (since.bests or {}).get(_hash(metric))
        told = before != value if since.digest else changed[run] > since.at
        if told:
            text = f"best {metric} is {value:.6g}" + (f", was {before:.6g}" if before is not None else "")
            rows.append(("best", run, metric, step, value, before, changed[run], text))
    return rows


def _notes(table: pl.DataFrame, runs: pl.DataFrame, since: Mark, unsure: int) -> tuple[str, ...]:
    when = f"since {since.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if since.digest else "in the last 24 hours"
    if not table.height:
        return (f"Nothing new {when}.",)
    counts = dict(table.group_by("event", maintain_order=True).len().iter_rows())
    notes = [f"{', '.join(f'{n} {_WORDS[event]}' for event, n in counts.items())} {when}."]
    gone = since.runs - (runs.height - counts.get("began", 0)) if since.digest else 0
    notes += [f"{gone} runs that were there are gone."] if gone > 0 else []
    notes += (
        [f"{unsure} of these are told by the time of their runs alone: too much happened at once."] if unsure else []
    )
    return tuple(notes)


def _digest(facts: Iterable[Fact]) -> tuple[int, ...]:
    sums = [0] * _CLASSES
    for fact in facts:
        index = _class(fact.run_id)
        sums[index] = (sums[index] + fact.hash) % _MODULUS
    return tuple(sums)


def _class(run_id: str) -> int:
    return _hash(run_id) % _CLASSES


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


def _encoded(mark: Mark) -> str:
    head = _HEAD.pack(_VERSION, int(mark.at.timestamp() * 1000), mark.runs)
    sums = b"".join(s.to_bytes(3) for s in mark.digest)
    body = head + sums + b"".join(_BEST.pack(m, v) for m, v in (mark.bests or {}).items())
    return base64.urlsafe_b64encode(body + hashlib.blake2b(body, digest_size=3).digest()).decode().rstrip("=")


def _decoded(cursor: str) -> Mark:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    body, check = raw[:-3], raw[-3:]
    least = _HEAD.size + 3 * _CLASSES
    if len(body) < least or hashlib.blake2b(body, digest_size=3).digest() != check or body[0] != _VERSION:
        raise CursorError(
            f"{cursor[:40]!r} is not a cursor of whats_new: pass the one of its last answer, or none for the last 24 hours."
        )
    _, stamp, runs = _HEAD.unpack_from(body)
    sums = tuple(int.from_bytes(body[i : i + 3]) for i in range(_HEAD.size, least, 3))
    bests = dict(_BEST.iter_unpack(body[least:]))
    return Mark(datetime.fromtimestamp(stamp / 1000, UTC), runs, sums, bests)
