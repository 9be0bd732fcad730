"""Chart of the levels of one hyperparameter against the baseline: differences with intervals and strata, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sweeplens.analyses.level_comparison import levels_of_hparam
from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.curve_groups import CurveLine, Groups, Member, mean_lines, missing_words, points_each
from sweeplens.charts.curves import panel_layers
from sweeplens.charts.effect_panel import STRATA_NOTE, effect_rows, effects_panel, is_clear, said_notes, stratum_rows
from sweeplens.charts.labels import distinct, listed_names, number, printed
from sweeplens.charts.request import Metric, PlotRequest, asked_metrics, names_of
from sweeplens.charts.theme import CATEGORIES
from sweeplens.charts.vega import Row, title_lines
from sweeplens.counting import count_of
from sweeplens.errors import InputError

if TYPE_CHECKING:
    from sweeplens.answers import Basis
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["level_comparison"]


def level_comparison(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `compare` for the levels of a hyperparameter, in one metric."""
    if ask.where:
        raise InputError(
            "The levels of a hyperparameter are compared over all runs: leave where, or pass a and b as conditions."
        )
    hparam = ask.hparams[0]
    metric = asked_metrics(db, ask, 1)[0]
    answer = db.compare(hparam=hparam, metrics=[metric.name], reduce=ask.reading)
    records = answer.table.to_dicts()
    if not records:
        raise InputError(f"Nothing to draw: {' '.join(answer.notes[-2:])}")
    levels, base = levels_of_hparam(db.runs_df, hparam)
    label_of = dict(zip(levels, distinct([printed(level, 32) for level in levels]), strict=True))
    labels = [label_of[r["level"]] for r in records]
    rows = effect_rows(records, labels, labels)
    strata = stratum_rows(answer.tables.get("strata"), rows, label_of, "level")
    groups = _curves(db, ask, metric, levels, label_of, base, answer.basis)
    shown = names_of(db).hparam(hparam)
    title = f"{shown}: {count_of(len(records), 'level')} against {label_of[base]} in {metric.shown}"
    better = f"; {metric.goal} is better" if metric.goal != "unknown" else ""
    bare = sum(r["ci95_low"] is None for r in records)
    notes = [
        f"Difference from {label_of[base]} in standard deviations, 95 % interval{better}; grey: not told apart, or equal."
        + STRATA_NOTE * bool(strata),
        f"{count_of(bare, 'level')} without an interval (too few runs) not drawn." if bare else "",
        *groups.notes,
    ]
    axis = f"level - {label_of[base]}, standard deviations"
    spec = _spec(
        db,
        ask,
        metric,
        effects_panel(rows, strata, groups.named, _size(ask), axis, row_title="level", legend=False),
        groups,
        title,
        notes,
    )
    return Chart("comparison", title, _caption(metric, records, label_of, base, said_notes(answer)), spec, answer.basis)


def _curves(
    db: ExperimentDB,
    ask: PlotRequest,
    metric: Metric,
    levels: dict[str, tuple[str, ...]],
    label_of: dict[str, str],
    base: str,
    basis: Basis,
) -> Groups:
    """The mean curve of each level, the baseline first."""
    order = [base, *(level for level in levels if level != base)]
    lines: list[CurveLine] = []
    for level in order:
        most = points_each(1)(2 * len(order))
        curves = db.mean_curves([metric.name], by="all", runs=levels[level], x=ask.x or "step", max_points=most)
        lines += mean_lines(curves, {0: Member(0, label_of[level], levels[level])})
    bands = any(low is not None for line in lines for low in line.low)
    band = ", band 95 % interval" * bands
    note = (
        f"Curves of {metric.shown}: mean over runs{band}{missing_words(lines)}."
        if bands or missing_words(lines)
        else ""
    )
    named = [label_of[level] for level in order][:CATEGORIES]
    return Groups(lines, named, "", "", "level", [note], basis)


def _size(ask: PlotRequest) -> tuple[int, int]:
    """Width and height of a panel: two beside each other, below each other where it is narrow."""
    width = ask.width - 110 if ask.narrow else (ask.width - 180) // 2 - 15
    return width, max(90, (ask.height - 130) // (2 if ask.narrow else 1) - 70)


def _spec(
    db: ExperimentDB,
    ask: PlotRequest,
    metric: Metric,
    effects: Spec,
    groups: Groups,
    title: str,
    notes: Sequence[str],
) -> Spec:
    width, height = _size(ask)
    layers, beyond = panel_layers(db, replace(ask, width=min(ask.width, 590)), metric, groups, [])  # legend below
    curves: Spec = {"width": width, "height": height, "layer": layers}
    side_by_side = "vconcat" if ask.narrow else "hconcat"
    head = title_lines(title, [*notes, beyond], ask.width)
    return {"title": head, side_by_side: [effects, curves], "resolve": {"scale": {"color": "independent"}}}


def _caption(metric: Metric, records: Sequence[Row], label_of: dict[str, str], base: str, notes: Sequence[str]) -> str:
    def of(row: dict[str, Any]) -> str:
        return f"{label_of[row['level']]} ({number(row['difference'])})"

    clear = [of(r) for r in records if is_clear(r)]
    tied = [label_of[r["level"]] for r in records if not is_clear(r)]
    sentences = [
        f"{metric.shown}, difference from {label_of[base]}: told apart {', '.join(clear)}." if clear else "",
        f"Not told apart from {label_of[base]}: {listed_names(tied, 8)}." if tied else "",
    ]
    return " ".join(s for s in [*sentences, *notes] if s)
