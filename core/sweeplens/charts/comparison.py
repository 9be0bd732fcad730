"""Two sides: the standardised difference of each metric with its interval, and the two curves of the first.

With one hyperparameter instead of sides: each of its levels against the baseline (`levels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.analyses.sides import select_sides
from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.curve_groups import CurveLine, Groups, Member, mean_lines, missing_words, points_each
from sweeplens.charts.curves import panel_layers
from sweeplens.charts.effect_panel import STRATA_NOTE, effect_rows, effects_panel, said_notes, stratum_rows
from sweeplens.charts.labels import distinct, number, printed, run_labels
from sweeplens.charts.levels import level_comparison
from sweeplens.charts.ranking import group_columns, group_labels
from sweeplens.charts.request import Metric, PlotRequest, asked_metrics, names_of
from sweeplens.charts.vega import Row, title_lines
from sweeplens.counting import count_of
from sweeplens.errors import InputError
from sweeplens.frames.goals import known_goal

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["comparison"]

_MOST_METRICS = 14


class _LabelledSides(Struct, frozen=True):
    """The two sides as `compare` takes them, and their labels."""

    a: str | tuple[str, ...]
    b: str | tuple[str, ...]
    label_a: str
    label_b: str


def comparison(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `compare` and the mean curves of both sides."""
    given = bool(ask.a or ask.b)
    if len(ask.hparams) == 1 and not given and not ask.runs:
        return level_comparison(db, ask)
    if given and (ask.runs or ask.where or ask.hparams):
        raise InputError(
            "A comparison takes its runs from a and b alone: put runs and where into them as conditions, or leave a and b."
        )
    sides = _sides(db, ask)
    metrics = asked_metrics(db, ask, _MOST_METRICS) if ask.metrics else []
    answer = db.compare(sides.a, sides.b, metrics=[m.name for m in metrics], reduce=ask.reading)
    names = names_of(db)
    if not answer.table.height:
        raise InputError(f"Nothing to draw: {' '.join(answer.notes[-2:])}")
    records = answer.table.head(_MOST_METRICS).to_dicts()
    labels = distinct([names.metric(r["metric"]) for r in records])
    rows = effect_rows(records, labels, [_better(r, sides.label_a, sides.label_b) for r in records])
    label_of = {str(r["metric"]): label for r, label in zip(records, labels, strict=True)}
    strata = stratum_rows(answer.tables.get("strata"), rows, label_of, "metric")
    first = str(answer.table["metric"][0])
    metric = Metric(first, known_goal(first, db.config.metric_goals), names.metric(first))
    groups = _curves(db, ask, sides, metric)
    title = f"{sides.label_a} against {sides.label_b}: {count_of(answer.table.height, 'metric')}"
    n = answer.table.row(0, named=True)
    caption = f"{sides.label_a} (a) against {sides.label_b} (b). " + " ".join(
        f"{names.metric(r['metric'])}: {number(r['mean_a'])} against {number(r['mean_b'])}, {r['verdict']}."
        for r in answer.table.head(3).iter_rows(named=True)
    )
    bare = sum(r["ci95_low"] is None for r in records)
    notes = [
        f"a: {count_of(n['n_a'], 'run')}, b: {count_of(n['n_b'], 'run')}. "
        "Difference a - b in standard deviations, 95 % interval; grey: not told apart, or equal."
        + STRATA_NOTE
        * bool(strata),
        f"{count_of(bare, 'metric')} without an interval (too few runs a side) not drawn." if bare else "",
        *groups.notes,
    ]
    spec = _spec(db, ask, metric, (rows, strata), groups, title, notes)
    return Chart("comparison", title, f"{caption} {' '.join(said_notes(answer))}", spec, answer.basis)


def _sides(db: ExperimentDB, ask: PlotRequest) -> _LabelledSides:
    """Returns the requested sides, else the two runs, else the two best groups of the main metric."""
    if ask.a and ask.b:
        return _LabelledSides(ask.a, ask.b, *_side_labels(db, ask.a, ask.b))
    if ask.a or ask.b:
        raise InputError("A comparison needs both sides: pass a and b, each a run id, a glob or a condition.")
    if len(ask.runs) == 2:
        return _LabelledSides(*ask.runs, *run_labels(ask.runs, 40))
    metric = asked_metrics(db, ask, 1)[0]
    table = db.rank(metric.name, goal=ask.goal, hparams=ask.hparams, runs=ask.runs, where=ask.where).table
    keys = group_columns(table)
    if table.height < 2:
        raise InputError("Nothing to compare: there is one group of runs only. Pass the sides a and b.")
    rows = table.head(2).to_dicts()
    if "run_id" in table.columns:
        ids = [r["run_id"] for r in rows]
        return _LabelledSides(ids[0], ids[1], *run_labels(ids, 40))
    return _best_groups(db, ask, rows, keys)


def _best_groups(
    db: ExperimentDB, ask: PlotRequest, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> _LabelledSides:
    single = db.rank(
        asked_metrics(db, ask, 1)[0].name, by="run", goal=ask.goal, hparams=ask.hparams, runs=ask.runs, where=ask.where
    ).table
    ids = [tuple(r["run_id"] for r in single.to_dicts() if all(r[k] == row[k] for k in keys)) for row in rows]
    labels = group_labels(rows, keys, names_of(db))
    return _LabelledSides(ids[0], ids[1], labels[0], labels[1])


def _side_labels(db: ExperimentDB, *sides: str | tuple[str, ...]) -> list[str]:
    """Returns labels of sides: two runs by the parts of their ids that differ, else as given."""
    known = set(db.runs_df["run_id"])
    single = [side if isinstance(side, str) else side[0] for side in sides if isinstance(side, str) or len(side) == 1]
    if len(single) == len(sides) and all(side in known for side in single):
        return run_labels(single, 40)
    return [printed(side if isinstance(side, str) else ", ".join(side), 40) for side in sides]


def _better(row: Mapping[str, Any], a: str, b: str) -> str:
    """Returns the legend's words for the side that is significantly better."""
    if row["goal"] == "unknown":
        return "different"
    return f"better: {a}" if (row["difference"] > 0) == (row["goal"] == "higher") else f"better: {b}"


def _curves(db: ExperimentDB, ask: PlotRequest, sides: _LabelledSides, metric: Metric) -> Groups:
    """Returns the mean curve of each side."""
    lines: list[CurveLine] = []
    labels = distinct([sides.label_a, sides.label_b])
    chosen = select_sides(db.runs_df, db.series_df, sides.a, sides.b)
    for side, label in zip((chosen.a, chosen.b), labels, strict=True):
        answer = db.mean_curves([metric.name], by="all", runs=side, x=ask.x or "step", max_points=points_each(1)(4))
        lines += mean_lines(answer, {0: Member(0, label, side)})
    bands = any(low is not None for line in lines for low in line.low)
    band = ", band 95 % interval" * bands
    note = (
        f"Curves of {metric.shown}: mean over runs{band}{missing_words(lines)}."
        if bands or missing_words(lines)
        else ""
    )
    return Groups(lines, labels, "", "side", "group", [note], db.list_metrics().basis)


def _spec(
    db: ExperimentDB,
    ask: PlotRequest,
    metric: Metric,
    drawn: tuple[list[Row], list[Row]],
    groups: Groups,
    title: str,
    notes: Sequence[str],
) -> Spec:
    """Returns the specification: effects (rows, strata) beside curves."""
    rows, strata = drawn
    half = ask.width - 110 if ask.narrow or not rows else (ask.width - 180) // 2
    height = (ask.height - 90 - 40 * (len(notes) > 2)) // (2 if ask.narrow else 1) - 90
    layers, beyond = panel_layers(db, replace(ask, width=min(ask.width, 590)), metric, groups, [])  # legend below
    panels: list[Spec] = [{"width": half, "height": max(90, height), "layer": layers}]
    if rows:
        verdicts = [*(f"better: {side}" for side in groups.named), "different"]
        size = (half - (0 if ask.narrow else 30), max(90, height))
        panels.insert(0, effects_panel(rows, strata, verdicts, size, "a - b, standard deviations"))
    side_by_side = "vconcat" if ask.narrow else "hconcat"
    return {
        "title": title_lines(title, [*notes, beyond], ask.width),
        side_by_side: panels,
        "resolve": {"scale": {"color": "independent"}},
    }
