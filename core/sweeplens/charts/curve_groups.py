"""Selects the lines of a chart of curves: runs or groups, their order, and which of them have a name and a colour.

grouped_lines    groups of equal hyperparameters, from `mean_curves`
single_lines     single runs, from the downsampled curves; with smoothing, from `mean_curves` of each run by itself
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from msgspec import Struct

from sweeplens.analyses.mean_curves import MEAN_CURVE_COLUMNS
from sweeplens.analyses.ranking import RANK_COLUMNS
from sweeplens.answers import Basis
from sweeplens.charts.labels import distinct, run_labels, short_names
from sweeplens.charts.ranking import by_hparams, group_labels
from sweeplens.charts.request import MOST_POINTS, Metric, PlotRequest, names_of, reading_of, swept_hparams
from sweeplens.charts.theme import CATEGORIES
from sweeplens.charts.vega import BEST_FIRST
from sweeplens.counting import count_of, verb

if TYPE_CHECKING:
    from sweeplens.answers import Answer
    from sweeplens.experiment_db import ExperimentDB

__all__ = [
    "CurveLine",
    "Groups",
    "Member",
    "Standing",
    "grouped_lines",
    "mean_lines",
    "missing_words",
    "points_each",
    "single_lines",
]

_MOST_LINES = 100
_MOST_SINGLE = 12  # up to this number, runs without groups are drawn one by one
_FEWEST, _MOST = 8, 200  # points of a line
_MOST_OF_MEANS = 100
_WORST = 2
_LOW = 400  # pixels


class CurveLine(Struct, frozen=True):
    """One line: its points in order, with the runs behind each (``full``: how many there are at most)."""

    label: str
    metric: str
    runs: tuple[str, ...]
    x: list[float]
    y: list[float]
    n: list[int]
    low: list[float | None]
    high: list[float | None]
    points: list[float]
    full: int
    gaps: tuple[int, ...] = ()  # positions before which values are missing

    @property
    def left_from(self) -> int:
        """Returns the position from which fewer than half of the runs are left; the number of points if there is none."""
        at = len(self.n)
        while at and 2 * self.n[at - 1] < self.full:
            at -= 1
        return at or len(self.n)

    def stretches(self) -> Iterator[tuple[int, int, bool]]:
        """Returns (first, end, whether runs are missing) for connected parts; one with missing runs begins where the last ends.

        A mean over fewer than half of the runs does not continue that of more: a loss that lost its diverged runs would recover.
        """
        first, breaks = 0, {*self.gaps, self.left_from}
        for i in range(1, len(self.x) + 1):
            over = i == len(self.x) or i in breaks
            changes = not over and (self.n[i] < self.full) != (self.n[i - 1] < self.full)
            if over or changes:
                fewer = self.n[i - 1] < self.full
                start = first - 1 if first and first not in breaks and fewer else first
                yield start, i + (changes and fewer), fewer
                first = i


class Standing(Struct, frozen=True):
    """A line's value by the reading of the ranking: the mean over ``n`` runs."""

    label: str
    mean: float
    n: int


class Groups(Struct, frozen=True):
    """The lines to draw; ``named`` in the order of the legend. ``count_text``: number and kind of lines, for the title.

    ``standings``: metric -> its lines as the ranking orders them, best first; without metrics that have no goal.
    """

    lines: list[CurveLine]
    named: list[str]
    count_text: str
    legend: str
    line_kind: str
    notes: list[str]
    basis: Basis
    standings: Mapping[str, list[Standing]] = {}


class Member(Struct, frozen=True):
    """A group, its label, and its number in the answer."""

    group: int
    label: str
    runs: tuple[str, ...]


def points_each(metrics: int, most: int = _MOST) -> Callable[[int], int]:
    """Returns a function from the number of lines to the points a line that keep a chart within its limit."""
    return lambda lines: max(_FEWEST, min(most, MOST_POINTS // max(1, min(lines, _MOST_LINES * metrics)) * 9 // 10))


def grouped_lines(db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric]) -> Groups:
    """Returns groups of equal hyperparameters; single runs if no setting is repeated, one group if nothing varies."""
    runs = db.view(ask.runs, ask.where).runs
    keys = _group_keys(db, ask, runs)
    if not keys and ask.group == "" and runs.height <= _MOST_SINGLE:
        return single_lines(db, ask, metrics)
    answer = _group_means(db, ask, metrics, keys)
    groups = answer.tables["groups"]
    if ask.group == "" and not ask.hparams and groups.height and int(groups["n_runs"].max()) == 1:  # pyright: ignore[reportArgumentType]
        return single_lines(db, ask, metrics)
    columns = [c for c in groups.columns if c not in (*MEAN_CURVE_COLUMNS, "n_runs", "first_end", "last_end")]
    ranked = {m.name: _ranked(db, ask, m, keys) for m in metrics if keys and m.goal != "unknown"}
    order = _order(metrics[0], answer, columns, ranked.get(metrics[0].name))
    members = _labelled(db, answer, columns, keys, order, runs)
    label_of = {row: member.label for row, member in zip(order, members, strict=True)} if columns else {}
    chosen, named = _chosen([m.label for m in members], ask)
    lines = mean_lines(answer, {m.group: m for m in members if m.label in chosen})
    head = ", ".join(short_names([names_of(db).hparam(k) for k in keys])) if len(keys) <= 3 else "group"
    what = f"{count_of(len(members), 'group')}{by_hparams(keys, names_of(db))}" if keys else "all runs"
    own = groups.filter(pl.col("group").is_in([m.group for m in members])).unique("group")
    used = sum(own["n_runs"].to_list())
    notes = _notes(lines, len(members), len(chosen), len(named), answer, ask, _by(metrics[0], ask) if ranked else "")
    if lacking := runs.height - sum(len(m.runs) for m in members):
        notes.append(
            f"{count_of(lacking, 'run')} without these hyperparameters {verb(lacking, 'is', 'are')} not drawn."
        )
    return Groups(
        lines,
        named,
        f"{what}, {count_of(used, 'run')}",
        _legend(metrics[0], head),
        "group",
        notes,
        answer.basis,
        {m: _standings(table, label_of, _group_columns(table)) for m, table in ranked.items()},
    )


def _group_keys(db: ExperimentDB, ask: PlotRequest, runs: pl.DataFrame) -> list[str]:
    """Returns the hyperparameters that define the groups; none for one group of all runs."""
    if ask.group == "all":
        return []
    return [ask.group] if ask.group else swept_hparams(db, ask, runs)


def _group_means(db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric], keys: Sequence[str]) -> Answer:
    return db.mean_curves(
        [m.name for m in metrics],
        by="group" if keys else "all",
        hparams=keys,
        runs=ask.runs,
        where=ask.where,
        x=ask.x or "step",
        max_points=points_each(len(metrics), _MOST_OF_MEANS),
        x_min=ask.x_min,
        x_max=ask.x_max,
    )


def single_lines(db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric]) -> Groups:
    """Returns lines of single runs."""
    runs = db.view(ask.runs, ask.where).runs
    ranked = {m.name: _ranked_runs(db, ask, m) for m in metrics if m.goal != "unknown"}
    order = _run_order(ranked.get(metrics[0].name), runs)
    labels = dict(zip(order, run_labels(order, 40), strict=True))
    chosen, named = _chosen(list(labels.values()), ask)
    ids = [run for run, label in labels.items() if label in chosen]
    names, most = [m.name for m in metrics], points_each(len(metrics))
    along: dict[str, Any] = {"x": ask.x or "step", "x_min": ask.x_min, "x_max": ask.x_max}
    if ask.smooth:
        answer = db.mean_curves(names, by="run", runs=ids, max_points=most, **along)
        numbers = answer.tables["groups"].select("group", "run_id").unique().rows()
        lines = mean_lines(answer, {g: Member(g, labels[run], (run,)) for g, run in numbers})
    else:
        answer = db.scan_curves(names, runs=ids, max_points=most, **along).whole()
        lines = _raw_lines(answer, labels)
    what = count_of(answer.basis.runs_used if len(ids) == len(order) else len(order), "run")
    notes = _notes(lines, len(order), len(chosen), len(named), answer, ask, _by(metrics[0], ask))
    standings = {
        m: _standings(table, {(run,): label for run, label in labels.items()}, ["run_id"])
        for m, table in ranked.items()
    }
    return Groups(lines, named, what, _legend(metrics[0], "run"), "run", notes, answer.basis, standings)


def mean_lines(answer: Answer, members: Mapping[int, Member]) -> list[CurveLine]:
    """Returns the lines of an answer of `mean_curves`."""
    full = {(r["group"], r["metric"]): r["n_runs"] for r in answer.tables["groups"].iter_rows(named=True)}
    lines: list[CurveLine] = []
    for key, part in answer.table.group_by("group", "metric", maintain_order=True):
        member = members.get(int(str(key[0])))
        if member is not None:
            stats = [part[c].to_list() for c in ("x", "mean", "n", "ci95_low", "ci95_high", "points_per_run")]
            x, y, n, low, high, points = stats
            lines.append(CurveLine(member.label, str(key[1]), member.runs, x, y, n, low, high, points, full[key]))
    return lines


def _raw_lines(answer: Answer, labels: Mapping[str, str]) -> list[CurveLine]:
    """Returns the lines of an answer of `curves`; a value that is not finite is a gap."""
    lines: list[CurveLine] = []
    for (run, metric), part in answer.table.group_by("run_id", "metric", maintain_order=True):
        finite = [(x, v) for x, v in part.select("x", "value").iter_rows() if v is not None and math.isfinite(v)]
        is_finite = part["value"].is_finite().fill_null(value=False)
        finite_before = is_finite.cast(pl.Int64).cum_sum()
        gaps = {int(finite_before[i]) for i in range(part.height) if not is_finite[i]}
        xs, ys = [x for x, _ in finite], [v for _, v in finite]
        none: list[float | None] = [None] * len(xs)
        lines.append(
            CurveLine(
                labels[str(run)],
                str(metric),
                (str(run),),
                xs,
                ys,
                [1] * len(xs),
                none,
                none,
                [1.0] * len(xs),
                1,
                tuple(gaps),
            )
        )
    return lines


def _ranked(db: ExperimentDB, ask: PlotRequest, metric: Metric, keys: Sequence[str]) -> pl.DataFrame:
    """Returns the ranking of the groups."""
    return db.rank(
        metric.name, goal=ask.goal, reduce=ask.reading, hparams=keys, runs=ask.runs, where=ask.where, reviewed=False
    ).table


def _ranked_runs(db: ExperimentDB, ask: PlotRequest, metric: Metric) -> pl.DataFrame:
    """Returns the ranking of the single runs."""
    return db.rank(
        metric.name, goal=ask.goal, reduce=ask.reading, by="run", runs=ask.runs, where=ask.where, reviewed=False
    ).table


def _standings(ranked: pl.DataFrame, label_of: Mapping[tuple[Any, ...], str], columns: Sequence[str]) -> list[Standing]:
    """Returns the lines that have a value, best first; ``columns`` identify a line."""
    rows = ranked.drop_nulls("mean").select("mean", "n", *columns).rows()
    return [Standing(label_of[tuple(key)], mean, n) for mean, n, *key in rows if tuple(key) in label_of]


def _group_columns(ranked: pl.DataFrame) -> list[str]:
    return [c for c in ranked.columns if c not in RANK_COLUMNS]


def _order(
    metric: Metric, answer: Answer, columns: Sequence[str], ranked: pl.DataFrame | None
) -> list[tuple[Any, ...]]:
    """Returns the groups (values of their columns), best first; groups that cannot be ranked last."""
    everyone = answer.tables["groups"].select(columns).unique(maintain_order=True).rows() if columns else [()]
    everyone = [
        row for row in everyone if not row or any(value is not None for value in row)
    ]  # without a config: no group
    if not columns:
        return everyone
    if ranked is not None:
        ranking = ranked.select(_group_columns(ranked)).rows()
    else:
        last = answer.table.filter(pl.col("metric") == metric.name).group_by(columns, maintain_order=True).last()
        ranking = last.sort("mean", descending=True).select(columns).rows()
    group_set = set(everyone)
    first = [row for row in ranking if row in group_set]
    return [*first, *(row for row in everyone if row not in set(first))]


def _labelled(
    db: ExperimentDB,
    answer: Answer,
    columns: Sequence[str],
    keys: Sequence[str],
    order: Sequence[tuple[Any, ...]],
    runs: pl.DataFrame,
) -> list[Member]:
    from sweeplens.frames.grouping import keyed

    groups = answer.tables["groups"].unique("group", maintain_order=True)
    number = {tuple(r[c] for c in columns): r for r in groups.iter_rows(named=True)}
    if not columns:
        return [Member(0, "all runs", tuple(runs["run_id"].to_list()))]
    names = group_labels([dict(zip(keys, row, strict=True)) for row in order], keys, names_of(db))
    table = keyed(runs, keys)
    ids: dict[tuple[Any, ...], list[str]] = {}
    for run, *values in table.iter_rows():
        ids.setdefault(tuple(values), []).append(run)
    counts = [number[row]["n_runs"] for row in order]
    labels = distinct([f"{name} (n={n})" for name, n in zip(names, counts, strict=True)])
    return [
        Member(number[row]["group"], label, tuple(ids.get(row, ()))) for row, label in zip(order, labels, strict=True)
    ]


def _run_order(ranked_runs: pl.DataFrame | None, runs: pl.DataFrame) -> list[str]:
    """Returns run ids, best first; runs without a value last."""
    everyone: list[str] = runs["run_id"].to_list()
    if ranked_runs is None:
        return everyone
    ranked_ids: list[str] = ranked_runs["run_id"].to_list()
    ranked = set(ranked_ids)
    return [*ranked_ids, *(run for run in everyone if run not in ranked)]


def _colours(ask: PlotRequest) -> tuple[int, int]:
    """Returns how many of the best and of the worst groups get a colour: fewer in small charts, because of the legend."""
    return (2, 1) if ask.narrow and ask.height < _LOW else (CATEGORIES - _WORST, _WORST)


def _chosen(labels: Sequence[str], ask: PlotRequest) -> tuple[set[str], list[str]]:
    """Returns the labels to draw, and those with a colour: of too many, the best and the worst."""
    best, worst = _colours(ask)
    if len(labels) <= best + worst:
        return set(labels), list(labels)
    named = [*labels[:best], *labels[-worst:]]
    rest = labels[best:-worst]
    room = _MOST_LINES - CATEGORIES
    every = max(1.0, len(rest) / room)
    return {*named, *(rest[int(i * every)] for i in range(min(len(rest), room)))}, named


def missing_words(lines: Sequence[CurveLine]) -> str:
    """Returns what dashes mean, for a note; nothing if no line has them."""
    dashed = any(fewer for line in lines for _, _, fewer in line.stretches())
    few = any(line.left_from < len(line.n) for line in lines)
    return "; dashed: without some runs of the group" * dashed + " (after a gap: half or more)" * few


def _by(metric: Metric, ask: PlotRequest) -> str:
    """Returns what decides the order of the lines, in words; nothing if no value is better than another."""
    return f"{metric.shown}, {reading_of(metric, ask.reading)} of each run" if metric.goal != "unknown" else ""


def _legend(metric: Metric, head: str) -> str:
    return f"{head}{BEST_FIRST}" if metric.goal != "unknown" else head


def _notes(
    lines: Sequence[CurveLine], total: int, drawn: int, named: int, answer: Answer, ask: PlotRequest, by: str
) -> list[str]:
    bands = any(low is not None for line in lines for low in line.low)
    mean = f"Mean over runs{', band: 95 % interval' * bands}{missing_words(lines)}"
    grey, (best, worst) = drawn - named, _colours(ask)
    order = f"best first by {by}" if by and total > 1 else ""
    colours = f"in colour: the {best} best and the {worst} worst; grey: {grey} other{'s' * (grey > 1)}" if grey else ""
    return [
        f"{mean}." if bands or missing_words(lines) else "",
        f"{first[0].upper()}{first[1:]}." if (first := "; ".join(filter(None, (order, colours)))) else "",
        f"{drawn} of {total} are drawn." if drawn < total else "",
        f"Smoothed: moving average of weight {ask.smooth:g}, bias corrected; faint: as logged." if ask.smooth else "",
        f"{answer.basis.sampling[0].upper()}{answer.basis.sampling[1:]}." if answer.basis.sampling else "",
    ]
