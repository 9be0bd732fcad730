"""News since a cursor: runs that began, finished, failed, stalled or resumed, new bests, new problems.

A run that began and ended is one row, and equal events of many runs are one row with their count.

The cursor is self-contained text of a few hundred characters for any number of runs; `news_cursor` makes a short one of it. It
holds the time, the best value of the main metrics, and a digest of all facts at that time (`a run
exists`, `it ended like this`, `it has this finding`): 32 sums of 24-bit hashes, one for each class of runs.

Accuracy: a fact is new if the sum of its class grew by its hash. Facts of changed runs are tried first, all together, alone,
in pairs and in threes, then with one or two facts that ended (a run that resumed). So news is exact while at most three
events happened in one class of runs between two calls, or if all candidates are new; otherwise all recent changes count as
new, and a note says so. Bests are exact. Without a cursor, the last 24 hours are reported, by the times of the runs alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.answers import Answer, Basis
from sweeplens.errors import CursorError
from sweeplens.frames.goals import known_goal, main_metrics

__all__ = ["CHECK_BYTES", "DAY", "news_of_the_day", "read_time", "timed_cursor", "whats_new"]

CHECK_BYTES = 3  # of a hash at the end of a cursor

DAY = timedelta(hours=24)
_SLACK = timedelta(seconds=120)  # clocks differ between machines, and an answer may use slightly older files
_CLASSES = 32
_BESTS = 8
_MODULUS = 1 << 24
_MOST_TRIED = 60  # facts of one class that are tried in combinations
_HEAD = struct.Struct(">BQI")  # version, milliseconds, runs
_BEST = struct.Struct(">Id")  # hash of a metric, its best value
_VERSION = 2
_SINGLE = 3  # up to so many events of one kind have a row each
_EVENTS = {
    "event": pl.String(), "run_id": pl.String(), "metric": pl.String(), "step": pl.Int64(), "value": pl.Float64(),
    "before": pl.Float64(), "at": pl.Datetime("us", "UTC"), "text": pl.String(), "n": pl.Int64(),
    "runs": pl.List(pl.String()),
}  # fmt: skip
_LASTING = ("nan", "divergence", "overfit", "spike", "throughput", "stalled")
"""Findings that persist. Findings that depend on other runs come and go, and are not news."""
_PASSING = (("finished", "quiet"), ("failed", "quiet"), ("stalled", "stalled"), *(("problem", f) for f in _LASTING))
"""Event and key of facts that can end: a silent run resumes, a finding disappears."""
_ORDER = ("failed", "stalled", "problem", "best", "began", "resumed", "finished")
_ENDS = {"finished": "finished", "failed": "failed", "crashed": "failed", "killed": "failed"}


class NewsCursor(Struct, frozen=True):
    """The content of a cursor. ``digest`` is empty without a cursor, and ``is_timed`` if only its time is known."""

    at: datetime
    runs: int
    digest: tuple[int, ...] = ()
    bests: Mapping[int, float] | None = None
    is_timed: bool = False


class NewsItem(Struct, frozen=True):
    """A fact: its event, run and time, when the run last changed, and its text."""

    event: str
    run_id: str
    key: str
    at: datetime
    touched: datetime
    metric: str = ""
    step: int | None = None
    text: str = ""
    alike: str = ""  # the text of many such events

    @property
    def hash(self) -> int:
        """The 24-bit hash of this fact."""
        return _hash(f"{self.event}\0{self.run_id}\0{self.key}") % _MODULUS


def whats_new(
    runs: pl.DataFrame, series: pl.DataFrame, points: pl.LazyFrame, options: DiagnosisOptions, cursor: str = ""
) -> Answer:
    """Returns news as event, run_id, metric, step, value, before, at, text, n, runs; the new cursor is table ``cursor``.

    Events: began, finished, failed, stalled, resumed (after silence), best, problem. A row for many runs has no run_id, but
    their number and ids. Raises CursorError for an invalid cursor.
    """
    since = _decoded(cursor) if cursor else NewsCursor(options.now - DAY, 0)
    facts = _facts(runs, diagnose(runs, series, points, options).table, options)
    fresh, unsure = _fresh(facts, since)
    bests = _bests(series, options)
    news = _new_bests(bests, series, runs, since, options)
    order = pl.col("event").replace_strict({e: i for i, e in enumerate(_ORDER)}, return_dtype=pl.Int8)
    table = pl.DataFrame([*_rows(fresh), *news], schema=_EVENTS, orient="row").sort(
        order, "at", "run_id", descending=[False, True, False]
    )
    after = NewsCursor(options.now, runs.height, _digest(facts), {_hash(m): v for m, (v, *_) in bests.items()})
    notes = _notes(fresh, len(news), runs, since, unsure)
    return Answer(table, Basis(runs_used=runs.height), notes, {"cursor": pl.DataFrame({"cursor": [_encoded(after)]})})


def news_of_the_day(runs: pl.DataFrame, series: pl.DataFrame, found: pl.DataFrame, options: DiagnosisOptions) -> str:
    """Returns the last 24 hours in one line, empty without news. ``found``: the findings of a diagnosis."""
    since = NewsCursor(options.now - DAY, 0)
    fresh, _ = _fresh(_facts(runs, found, options), since)
    news = _new_bests(_bests(series, options), series, runs, since, options)
    better = [str(row[7]) for row in news if row[5] is not None]
    return "; ".join([*_counted(fresh, 0), *better])


def _rows(fresh: Sequence[NewsItem]) -> Iterator[tuple[object, ...]]:
    """Yields a row for each event; one row for many events of a kind. A run that ended has no separate row for its start."""
    began, ended = ({f.run_id for f in fresh if f.event in events} for events in (("began",), _ENDS.values()))
    kinds: dict[tuple[str, str], list[NewsItem]] = {}
    for fact in fresh:
        if fact.event in _ENDS.values() and fact.run_id in began:
            whole = replace(fact, text=f"began, {fact.text}", alike=f"began, {fact.alike}")
            kinds.setdefault((fact.event, whole.alike), []).append(whole)
        elif fact.event != "began" or fact.run_id not in ended:
            kinds.setdefault((fact.event, fact.alike), []).append(fact)
    for (event, alike), facts in kinds.items():
        if len(facts) <= _SINGLE:
            yield from ((event, f.run_id, f.metric, f.step, None, None, f.at, f.text, 1, None) for f in facts)
            continue
        facts.sort(key=lambda f: (-f.at.timestamp(), f.run_id))
        ids, last = [f.run_id for f in facts], facts[0].at
        words = f"{alike} in {len(ids)} runs" if event == "problem" else f"{len(ids)} runs {alike}"
        metric = facts[0].metric if len({f.metric for f in facts}) == 1 else ""
        yield event, "", metric, None, None, None, last, words, len(ids), ids


def _facts(runs: pl.DataFrame, found: pl.DataFrame, options: DiagnosisOptions) -> list[NewsItem]:
    """Returns all current facts: the status of each run, and its findings."""
    return [*_status_facts(runs, options), *_finding_facts(runs, found, options)]


def _status_facts(runs: pl.DataFrame, options: DiagnosisOptions) -> Iterator[NewsItem]:
    """Yields for each run that it began, and how it ended if it has."""
    quiet = timedelta(seconds=options.live_seconds)
    columns = ("run_id", "status", "n_steps", "created_at", "updated_at")
    for run_id, status, n, created, updated in runs.select(columns).iter_rows():
        text = f"{status}, {n} steps so far"
        yield NewsItem("began", run_id, "", created or updated, updated, text=text, alike="began")
        if status in _ENDS:
            text = f"{status} after {n} steps"
            yield NewsItem(_ENDS[status], run_id, status, updated, updated, text=text, alike=status)
        elif status == "unknown":
            torn = run_id in options.torn
            event, words = (
                ("failed", "ended in the middle of a line") if torn else ("finished", "stopped logging, status unknown")
            )
            text = f"{words}, after {n} steps"
            yield NewsItem(event, run_id, "quiet", updated + quiet, updated, text=text, alike=words)


def _finding_facts(runs: pl.DataFrame, found: pl.DataFrame, options: DiagnosisOptions) -> Iterator[NewsItem]:
    """Yields the findings that persist and are not of low severity."""
    quiet = timedelta(seconds=options.live_seconds)
    changed = dict(runs.select("run_id", "updated_at").iter_rows())
    for row in found.filter(pl.col("finding").is_in(_LASTING) & (pl.col("severity") != "low")).iter_rows(named=True):
        run_id, kind = row["run_id"], row["finding"]
        silent = kind == "stalled"
        at = changed[run_id] + (quiet if silent else timedelta())
        event, text = ("stalled", row["evidence"]) if silent else ("problem", f"{kind}: {row['evidence']}")
        yield NewsItem(event, run_id, kind, at, changed[run_id], row["metric"], row["step"], text, kind)


def _fresh(facts: Sequence[NewsItem], since: NewsCursor) -> tuple[list[NewsItem], int]:
    """Returns the facts that are new since the cursor, and how many of them are uncertain."""
    if not since.digest:
        return [f for f in facts if f.at > since.at], 0
    late = [f for f in facts if max(f.at, f.touched) > since.at - _SLACK]
    fresh: list[NewsItem] = []
    unsure = 0
    now = _digest(facts)
    for index, old in enumerate(since.digest):
        grown = (now[index] - old) % _MODULUS
        if not grown:
            continue
        mine = [f for f in facts if _class(f.run_id) == index]
        recent = [f for f in late if _class(f.run_id) == index]
        found = _explained(recent, grown) or (_explained(mine, grown, 2) if len(mine) <= _MOST_TRIED else None)
        found = found or _with_ended(recent, grown)
        unsure += len(recent) if found is None else 0
        fresh += recent if found is None else found
    return fresh, unsure


def _with_ended(recent: Sequence[NewsItem], grown: int) -> list[NewsItem] | None:
    """Explains a change where one or two facts ended: a silent run resumed, a finding disappeared."""
    begun = [f for f in recent if f.event == "began"]
    now = {(f.event, f.run_id, f.key) for f in recent}
    past = [
        replace(f, event=event, key=key) for f in begun for event, key in _PASSING if (event, f.run_id, key) not in now
    ]
    for size, most in ((1, 2), (2, 1)):
        for over in combinations(past, size) if len(past) <= _MOST_TRIED else ():
            rest = (grown + sum(f.hash for f in over)) % _MODULUS
            found = _explained(recent, rest, most) if rest else []
            if found is not None:
                again = [f for f in over if f.event != "problem"]
                return [
                    *found,
                    *(replace(f, event="resumed", text=f"resumed: {f.text}", alike="resumed") for f in again),
                ]
    return None


def _explained(candidates: Sequence[NewsItem], grown: int, most: int = 3) -> list[NewsItem] | None:
    """Returns the facts whose hashes sum to the growth of a class: all of them, else the fewest."""
    hashes = [f.hash for f in candidates]
    if candidates and sum(hashes) % _MODULUS == grown:
        return list(candidates)
    for size in range(1, most + 1 if len(candidates) <= _MOST_TRIED else 2):
        for chosen in combinations(range(len(candidates)), size):
            if sum(hashes[i] for i in chosen) % _MODULUS == grown:
                return [candidates[i] for i in chosen]
    return None


def _bests(series: pl.DataFrame, options: DiagnosisOptions) -> dict[str, tuple[float, str, int]]:
    """Returns metric -> best value, run and step, for the main metrics with a goal."""
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
    bests: Mapping[str, tuple[float, str, int]],
    series: pl.DataFrame,
    runs: pl.DataFrame,
    since: NewsCursor,
    options: DiagnosisOptions,
) -> list[tuple[object, ...]]:
    """Returns metrics with a new best since the cursor; without one, compared with runs that have not changed since."""
    changed = dict(runs.select("run_id", "updated_at").iter_rows())
    old = [run for run, at in changed.items() if at <= since.at]
    earlier = {} if since.digest else _bests(series.filter(pl.col("run_id").is_in(old)), options)
    rows: list[tuple[object, ...]] = []
    for metric, (value, run, step) in bests.items():
        before = (since.bests or {}).get(_hash(metric)) if since.digest else earlier.get(metric, (None,))[0]
        if before != value:
            text = f"best {metric} is {value:.6g}" + (f", was {before:.6g}" if before is not None else "")
            rows.append(("best", run, metric, step, value, before, changed[run], text, 1, None))
    return rows


def _counted(fresh: Sequence[NewsItem], bests: int) -> list[str]:
    """Returns the news as counts of runs."""
    of: dict[str, set[str]] = {event: {f.run_id for f in fresh if f.event == event} for event in _ORDER}
    parts = [f"{_runs(of['began'])} began"] if of["began"] else []
    parts += [f"{len(of[event])} {event}" for event in ("finished", "failed", "stalled", "resumed") if of[event]]
    problems = sum(f.event == "problem" for f in fresh)
    parts += [f"{problems} new problem{'s' * (problems > 1)} in {_runs(of['problem'])}"] if problems else []
    return parts + ([f"new best of {bests} metric{'s' * (bests > 1)}"] if bests else [])


def _runs(ids: Collection[str]) -> str:
    return f"{len(ids)} run{'s' * (len(ids) != 1)}"


def _notes(
    fresh: Sequence[NewsItem], bests: int, runs: pl.DataFrame, since: NewsCursor, unsure: int
) -> tuple[str, ...]:
    known = bool(since.digest) or since.is_timed
    when = f"since {since.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if known else "in the last 24 hours"
    counts = _counted(fresh, bests)
    notes = [f"{'; '.join(counts)} {when}."] if counts else [f"Nothing new {when}."]
    began = sum(f.event == "began" for f in fresh)
    gone = since.runs - (runs.height - began) if since.digest else 0
    notes += [f"{gone} runs were removed."] if gone > 0 else []
    notes += ["By logged times alone: the state of this cursor is not kept here."] if since.is_timed else []
    notes += (
        [f"{unsure} of these are uncertain (by the time of their runs alone): too many changes at once."]
        if unsure
        else []
    )
    return tuple(notes)


def _digest(facts: Iterable[NewsItem]) -> tuple[int, ...]:
    sums = [0] * _CLASSES
    for fact in facts:
        index = _class(fact.run_id)
        sums[index] = (sums[index] + fact.hash) % _MODULUS
    return tuple(sums)


def _class(run_id: str) -> int:
    return _hash(run_id) % _CLASSES


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


def _encoded(mark: NewsCursor) -> str:
    head = _HEAD.pack(_VERSION, int(mark.at.timestamp() * 1000), mark.runs)
    sums = b"".join(s.to_bytes(3) for s in mark.digest)
    body = head + sums + b"".join(_BEST.pack(m, v) for m, v in (mark.bests or {}).items())
    return base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECK_BYTES).digest()


def read_time(cursor: str) -> datetime:
    """Returns the time of a cursor. Raises CursorError."""
    return _decoded(cursor).at


def timed_cursor(at: datetime) -> str:
    """Returns a cursor that holds its time alone: news since then is told by logged times."""
    return _encoded(NewsCursor(at, 0))


def _decoded(cursor: str) -> NewsCursor:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    body, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
    least = _HEAD.size + 3 * _CLASSES
    timed = len(body) == _HEAD.size
    if not (timed or len(body) >= least) or _check(body) != check or body[0] != _VERSION:
        raise CursorError(
            f"{cursor[:40]!r} is not a cursor of whats_new: pass that of its last answer, or none for the last 24 hours."
        )
    _, stamp, runs = _HEAD.unpack_from(body)
    sums = () if timed else tuple(int.from_bytes(body[i : i + 3]) for i in range(_HEAD.size, least, 3))
    try:
        at = datetime.fromtimestamp(stamp / 1000, UTC)
        if timed:
            return NewsCursor(at, runs, is_timed=True)
        return NewsCursor(at, runs, sums, dict(_BEST.iter_unpack(body[least:])))
    except (struct.error, ValueError, OverflowError, OSError) as error:  # a forged cursor
        raise CursorError("This cursor of whats_new is damaged: pass that of its last answer, or none.") from error
