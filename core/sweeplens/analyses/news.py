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
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl
from msgspec import Struct

from sweeplens.analyses.news_facts import CLASSES, ENDS, digest_of, facts_after, new_facts, news_facts
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, lasting_findings
from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.errors import CursorError
from sweeplens.frames.goals import known_goal, main_metrics, run_counts

__all__ = ["CHECK_BYTES", "DAY", "news_of_the_day", "read_time", "timed_cursor", "whats_new"]

CHECK_BYTES = 3  # of a hash at the end of a cursor

DAY = timedelta(hours=24)
_SLACK = timedelta(seconds=120)  # clocks differ between machines, and an answer may use slightly older files
_BESTS = 8
_HEAD = struct.Struct(">BQI")  # version, milliseconds, runs
_BEST = struct.Struct(">Id")  # hash of a metric, its best value
_VERSION = 3
_BY_TIME = 2  # cursors with other hashes: what is new since is told by the times of the runs
_SINGLE = 3  # up to so many events of one kind have a row each
_EVENTS = {
    "event": pl.String(), "run_id": pl.String(), "metric": pl.String(), "step": pl.Int64(), "value": pl.Float64(),
    "before": pl.Float64(), "at": pl.Datetime("us", "UTC"), "text": pl.String(), "n": pl.Int64(),
    "runs": pl.List(pl.String()),
}  # fmt: skip
_ORDER = ("failed", "stalled", "problem", "best", "began", "resumed", "finished")


class NewsCursor(Struct, frozen=True):
    """The content of a cursor. Without a cursor ``digest`` is empty and ``bests`` is None; ``is_timed``: only its time is known."""

    at: datetime
    runs: int
    digest: tuple[int, ...] = ()
    bests: Mapping[int, float] | None = None
    is_timed: bool = False


def whats_new(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    options: DiagnosisOptions,
    cursor: str = "",
    found: pl.DataFrame | None = None,
) -> Answer:
    """Returns news as event, run_id, metric, step, value, before, at, text, n, runs; the new cursor is table ``cursor``.

    Events: began, finished, failed, stalled, resumed (after silence), best, problem. A row for many runs has no run_id, but
    their number and ids. ``found``: the `lasting_findings`, if they are known. Raises CursorError for an invalid cursor.
    """
    since = _decoded(cursor) if cursor else NewsCursor(options.now - DAY, 0)
    found = lasting_findings(runs, series, points, options) if found is None else found
    facts = news_facts(runs, found, options)
    fresh, unsure = _fresh(facts, since)
    bests = _bests(series, options)
    news = _new_bests(bests, series, runs, since, options)
    order = pl.col("event").replace_strict({e: i for i, e in enumerate(_ORDER)}, return_dtype=pl.Int8)
    best_rows = pl.DataFrame(news, schema=_EVENTS, orient="row")
    table = pl.concat([_rows(fresh), best_rows]).sort(order, "at", "run_id", descending=[False, True, False])
    after = NewsCursor(options.now, runs.height, digest_of(facts), {_hash(m): v for m, (v, *_) in bests.items()})
    notes = _notes(fresh, len(news), runs, since, unsure)
    return Answer(table, Basis(runs_used=runs.height), notes, {"cursor": pl.DataFrame({"cursor": [_encoded(after)]})})


def news_of_the_day(runs: pl.DataFrame, series: pl.DataFrame, found: pl.DataFrame, options: DiagnosisOptions) -> str:
    """Returns the last 24 hours in one line, empty without news. ``found``: the findings of a diagnosis."""
    since = NewsCursor(options.now - DAY, 0)
    fresh, _ = _fresh(news_facts(runs, found, options), since)
    news = _new_bests(_bests(series, options), series, runs, since, options)
    better = [str(row[7]) for row in news if row[5] is not None]
    return "; ".join([*_counted(fresh, 0), *better])


def _fresh(facts: pl.DataFrame, since: NewsCursor) -> tuple[pl.DataFrame, int]:
    """Returns the facts that are new since the cursor, and how many of them are uncertain."""
    if not since.digest:
        return facts_after(facts, since.at), 0
    return new_facts(facts, since.digest, since.at - _SLACK)


def _rows(fresh: pl.DataFrame) -> pl.DataFrame:
    """Returns a row for each event; one row for many events of a kind. A run that ended has no separate row for its start."""
    began = fresh.filter(pl.col("event") == "began")["run_id"]
    ended = fresh.filter(pl.col("event").is_in(list(ENDS.values())))["run_id"]
    both = pl.col("event").is_in(list(ENDS.values())) & pl.col("run_id").is_in(began.implode())
    told = fresh.filter((pl.col("event") != "began") | pl.col("run_id").is_in(ended.implode()).not_())
    told = told.with_columns(
        pl.when(both).then(pl.format("began, {}", name)).otherwise(name).alias(name) for name in ("text", "alike")
    )
    told = told.sort("at", "run_id", descending=[True, False]).with_columns(many=pl.len().over("event", "alike"))
    none = pl.lit(None, pl.Float64)
    single = told.filter(pl.col("many") <= _SINGLE).with_columns(value=none, before=none, n=1, runs=None)
    groups = told.filter(pl.col("many") > _SINGLE).group_by("event", "alike", maintain_order=True)
    together = groups.agg(
        "run_id", pl.col("at").first(), n=pl.len(),
        metric=pl.when(pl.col("metric").n_unique() == 1).then(pl.col("metric").first()).otherwise(pl.lit("")),
    )  # fmt: skip
    words = (
        pl.when(pl.col("event") == "problem")
        .then(pl.format("{} in {} runs", "alike", "n"))
        .otherwise(pl.format("{} runs {}", "n", "alike"))
    )
    many = together.with_columns(runs="run_id", run_id=pl.lit(""), step=None, value=none, before=none, text=words)
    return pl.concat([part.select(pl.col(c).cast(t) for c, t in _EVENTS.items()) for part in (single, many)])


def _bests(series: pl.DataFrame, options: DiagnosisOptions) -> dict[str, tuple[float, str, int]]:
    """Returns metric -> best value, run and step, for the main metrics with a goal."""
    names = main_metrics(
        series["metric"].unique().to_list(), options.main, options.goals, most=_BESTS, counts=run_counts(series)
    )
    found: dict[str, tuple[float, str, int]] = {}
    for name in names:
        goal = known_goal(name, options.goals)
        if goal == "unknown":
            continue
        column, step = ("min", "min_step") if goal == "lower" else ("max", "max_step")
        rows = series.filter((pl.col("metric") == name) & pl.col(column).is_not_null())
        best = pl.col(column).min() if goal == "lower" else pl.col(column).max()
        top = rows.filter(pl.col(column) == best).sort("run_id")
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
    old = runs.filter(pl.col("updated_at") <= since.at)["run_id"]
    earlier = {} if since.bests is not None else _bests(series.filter(pl.col("run_id").is_in(old.implode())), options)
    leading = runs.filter(pl.col("run_id").is_in([run for _, run, _ in bests.values()]))
    changed = dict(leading.select("run_id", "updated_at").iter_rows())
    rows: list[tuple[object, ...]] = []
    for metric, (value, run, step) in bests.items():
        before = since.bests.get(_hash(metric)) if since.bests is not None else earlier.get(metric, (None,))[0]
        if before != value:
            text = f"best {metric} is {value:.6g}" + (f", was {before:.6g}" if before is not None else "")
            rows.append(("best", run, metric, step, value, before, changed[run], text, 1, None))
    return rows


def _counted(fresh: pl.DataFrame, bests: int) -> list[str]:
    """Returns the news as counts of runs."""
    counts = fresh.group_by("event").agg(runs=pl.col("run_id").n_unique(), facts=pl.len())
    of = {event: (runs, facts) for event, runs, facts in counts.iter_rows()}
    parts = [f"{count_of(of['began'][0], 'run')} began"] if "began" in of else []
    parts += [f"{n} {word}" for word, n in _ends(fresh)]
    parts += [f"{of[event][0]} {event}" for event in ("stalled", "resumed") if event in of]
    runs, problems = of.get("problem", (0, 0))
    parts += [f"{count_of(problems, 'new problem')} in {count_of(runs, 'run')}"] if problems else []
    return parts + ([f"new best of {count_of(bests, 'metric')}"] if bests else [])


def _ends(fresh: pl.DataFrame) -> list[tuple[str, int]]:
    """Returns how many runs ended, in the words of their status, or in how a log without a status stops."""
    stopped = {"finished": "stopped logging", "failed": "broke off within a line"}
    word = pl.when(pl.col("key") == "quiet").then(pl.col("event").replace(stopped)).otherwise("key").alias("word")
    ends = fresh.filter(pl.col("event").is_in(list(stopped))).group_by(word).agg(pl.col("run_id").n_unique())
    return ends.sort(pl.col("word") != "finished", "word").rows()


def _notes(fresh: pl.DataFrame, bests: int, runs: pl.DataFrame, since: NewsCursor, unsure: int) -> tuple[str, ...]:
    known = since.bests is not None or since.is_timed
    when = f"since {since.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if known else "in the last 24 hours"
    counts = _counted(fresh, bests)
    notes = [f"{'; '.join(counts)} {when}."] if counts else [f"Nothing new {when}."]
    began = fresh.filter(pl.col("event") == "began").height
    gone = since.runs - (runs.height - began) if since.bests is not None else 0
    notes += [f"{count_of(gone, 'run')} {verb(gone, 'was', 'were')} removed."] if gone > 0 else []
    notes += ["By logged times alone: the state of this cursor is not kept here."] if since.is_timed else []
    notes += (
        [f"{unsure} of these are uncertain (by the time of their runs alone): too many changes at once."]
        if unsure
        else []
    )
    return tuple(notes)


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
    least = _HEAD.size + 3 * CLASSES
    timed = len(body) == _HEAD.size
    if not (timed or len(body) >= least) or _check(body) != check or body[0] not in (_BY_TIME, _VERSION):
        raise CursorError(
            f"{cursor[:40]!r} is not a cursor of whats_new: pass that of its last answer, or none for the last 24 hours."
        )
    _, stamp, runs = _HEAD.unpack_from(body)
    sums = () if timed else tuple(int.from_bytes(body[i : i + 3]) for i in range(_HEAD.size, least, 3))
    try:
        at = datetime.fromtimestamp(stamp / 1000, UTC)
        if timed:
            return NewsCursor(at, runs, is_timed=True)
        return NewsCursor(at, runs, sums if body[0] == _VERSION else (), dict(_BEST.iter_unpack(body[least:])))
    except (struct.error, ValueError, OverflowError, OSError) as error:  # a forged cursor
        raise CursorError("This cursor of whats_new is damaged: pass that of its last answer, or none.") from error
