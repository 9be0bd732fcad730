"""Finds runs that were stopped and resumed in another folder: two folders that hold one training.

    continued_runs(runs, series, links)     earlier run -> the run that continues it; of three folders, both name the last one

The later run has the same settings, seed included, apart from names, folders and what says that it resumes. It begins at a step
above 0, within what the earlier one reached or right behind it, later in each metric that both log, and goes further.
Settings with another value make it a run of its own that starts from the other. The earlier run did not finish, unless a
setting of the later one leads to it. Where two runs could be continued by it, or two could continue the same run, none is.

    without_earlier(runs, continued)        the runs frame without the earlier parts
    with_targets(links, continued)          links to and from whole trainings
    CONTINUES                               its column with the ids of the earlier parts, a list as JSON
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.frames.grouping import identifiers
from sweeplens.frames.schemas import CONTINUES, hparam_columns

__all__ = ["continued_runs", "with_targets", "without_earlier"]

_MOST_ALIKE = 32  # runs with the same settings among which resumed ones are sought
_RESUMES = re.compile(
    r"(^|[._/-])(resumed?|restored?|restart(ed)?|continued?|auto_?resume|requeued?|attempt|(job|slurm)_?id)([._/-]|$)"
)
_SPAN = 0.02  # of what was logged: the largest gap between two parts


class _LoggedPart(Struct, frozen=True):
    """What a run logged: first and last step of each metric, the usual distance of two steps, and how it ended."""

    run: str
    metrics: Mapping[str, tuple[int, int]]
    interval: float
    finished: bool
    created: float | None

    @property
    def first(self) -> int:
        return min(first for first, _ in self.metrics.values())

    @property
    def last(self) -> int:
        return max(last for _, last in self.metrics.values())


def continued_runs(runs: pl.DataFrame, series: pl.DataFrame, links: pl.DataFrame) -> dict[str, str]:
    """Returns the earlier parts and the last part of each. ``links``: of settings to the runs that they lead to."""
    late = _late(series)
    if not len(late) or runs.height < 2:
        return {}
    linked: dict[str, set[str]] = {}
    for run, source in links.select("run_id", "source_run").iter_rows():
        linked.setdefault(run, set()).add(source)
    found: dict[str, str] = {}
    for parts in _alike(runs, series, late, links["setting"].unique().to_list()):
        found |= _continued(parts, set(late.to_list()), linked)
    return {run: _last_part(run, found) for run in found}


def without_earlier(runs: pl.DataFrame, continued: Mapping[str, str]) -> pl.DataFrame:
    """Returns the runs without the earlier parts; the last part has their ids, and began when the first of them did."""
    if not continued:
        return runs
    earlier: dict[str, list[str]] = {}
    for run, last in continued.items():
        earlier.setdefault(last, []).append(run)
    began = dict(runs.select("run_id", "created_at").iter_rows())
    first = {last: min(filter(None, map(began.get, [last, *own])), default=None) for last, own in earlier.items()}
    kept = runs.filter(pl.col("run_id").is_in(list(continued)).not_())
    told = [json.dumps(sorted(own)) if (own := earlier.get(run)) else None for run in kept["run_id"]]
    created = [first.get(run, at) for run, at in kept.select("run_id", "created_at").iter_rows()]
    return kept.with_columns(
        pl.Series("created_at", created, dtype=kept.schema["created_at"]),
        pl.Series(CONTINUES, told, dtype=pl.String),
    )


def with_targets(links: pl.DataFrame, continued: Mapping[str, str]) -> pl.DataFrame:
    """Returns the links between whole trainings, without those from a part of a training to another part."""
    if not continued:
        return links
    moved = links.filter(pl.col("run_id").is_in(list(continued)).not_())
    moved = moved.with_columns(pl.col("source_run").replace(dict(continued)))
    return moved.filter(pl.col("run_id") != pl.col("source_run"))


def _late(series: pl.DataFrame) -> pl.Series:
    """Returns the runs that logged nothing before the third interval of their logging."""
    interval = (pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1)
    some = series.filter((pl.col("n") > 1) & (pl.col("first_step") > 2 * interval))["run_id"].unique()
    if not len(some):  # the usual case
        return some
    table = (
        series.lazy()
        .filter(pl.col("run_id").is_in(some.implode()))
        .group_by("run_id")
        .agg(first=pl.col("first_step").min(), interval=interval.filter(pl.col("n") > 1).min())
    )
    return table.filter(pl.col("first") > 2 * pl.col("interval")).collect()["run_id"].sort()


def _alike(
    runs: pl.DataFrame, series: pl.DataFrame, late: pl.Series, settings: Sequence[str]
) -> Iterator[list[_LoggedPart]]:
    """Yields the runs with the same settings among which one begins late. ``settings``: those that lead to runs."""
    names = [n for n in hparam_columns(runs) if not runs.schema[n].is_temporal() and n not in settings]
    names = [n for n in names if not _RESUMES.search(n.lower())]
    names = [n for n in names if n not in identifiers(runs, names)] if names else []
    if not names:
        return
    nulls = pl.col("null_hparams").list.set_intersection(names).list.sort()
    known = pl.any_horizontal(pl.col(n).is_not_null() for n in names)
    keys = runs.filter(known).select("run_id", key=pl.struct(*names, nulls).hash())
    wanted = keys.filter(pl.col("run_id").is_in(late.implode()))["key"].unique()
    groups = keys.filter(pl.col("key").is_in(wanted.implode())).group_by("key", maintain_order=True).agg("run_id")
    groups = groups.filter(pl.col("run_id").list.len().is_between(2, _MOST_ALIKE))
    parts = _logged_parts(runs, series, groups["run_id"].explode().to_list())
    for ids in groups["run_id"].to_list():
        yield [parts[run] for run in ids if run in parts]


def _logged_parts(runs: pl.DataFrame, series: pl.DataFrame, ids: Sequence[str]) -> dict[str, _LoggedPart]:
    """Returns these runs, without those that logged nothing."""
    about = {run: (status, at) for run, status, at in runs.select("run_id", "status", "created_at").iter_rows()}
    mine = series.filter(pl.col("run_id").is_in(list(ids)))
    found: dict[str, _LoggedPart] = {}
    for (run,), own in mine.group_by("run_id", maintain_order=True):
        rows = own.select("metric", "first_step", "last_step", "n").rows()
        gaps = [(last - first) / (n - 1) for _, first, last, n in rows if n > 1]
        status, created = about[str(run)]
        metrics = {metric: (first, last) for metric, first, last, _ in rows}
        found[str(run)] = _LoggedPart(
            str(run), metrics, min(gaps, default=0.0), status == "finished", created.timestamp() if created else None
        )
    return found


def _continued(parts: Sequence[_LoggedPart], late: set[str], linked: Mapping[str, set[str]]) -> dict[str, str]:
    """Returns earlier run -> the next run, among runs with the same settings."""
    found: dict[str, str] = {}
    doubtful: set[str] = set()
    for part in sorted((p for p in parts if p.run in late), key=lambda p: (p.first, p.last)):
        able = [p for p in parts if _continues(part, p, led=p.run in linked.get(part.run, ()))]
        led = [p for p in able if p.run in linked.get(part.run, ())]
        free = [p for p in led or able if p.run not in found]
        if len(free) == 1:
            found[free[0].run] = part.run
        elif not free:
            doubtful |= {p.run for p in able if p.run in found and not led}
    return {run: after for run, after in found.items() if run not in doubtful}


def _continues(later: _LoggedPart, earlier: _LoggedPart, *, led: bool) -> bool:
    """Whether one run goes on where another one stopped. ``led``: a setting of the former leads to the latter."""
    common = later.metrics.keys() & earlier.metrics.keys()
    if later.run == earlier.run or not common or (earlier.finished and not led):
        return False
    if later.created is not None and earlier.created is not None and later.created < earlier.created:
        return False
    gap = max(2 * later.interval, 2 * earlier.interval, _SPAN * (earlier.last - earlier.first))
    begins_later = all(later.metrics[m][0] > earlier.metrics[m][0] for m in common)
    return begins_later and later.first <= earlier.last + gap and later.last > earlier.last


def _last_part(run: str, following: Mapping[str, str]) -> str:
    seen: set[str] = set()
    while run in following and run not in seen:
        seen.add(run)
        run = following[run]
    return run
