"""Chart of the share of a metric's variance that each hyperparameter explains; confounded hyperparameters are one bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.labels import DisplayNames, distinct, number, printed
from sweeplens.charts.request import Metric, PlotRequest, asked_metrics, names_of
from sweeplens.charts.vega import Row, filled_view, json_value, layer, text_field, tooltip
from sweeplens.counting import count_of
from sweeplens.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["importance"]

_MOST = 20


def importance(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `effects` as bars."""
    metric = asked_metrics(db, ask, 1)[0]
    answer = db.effects(metric.name, goal=ask.goal, reduce=ask.reading, runs=ask.runs, where=ask.where)
    table = answer.table.filter(answer.table["importance"].is_not_null())
    if not table.height:
        raise InputError(f"Nothing to draw for {metric.name!r}: {' '.join(answer.notes[1:2]) or 'nothing varies'}")
    rows = _bars(table, names_of(db))
    shown = rows[:_MOST]
    layers = _layers(ask, metric, shown)
    left = f"The {len(shown)} largest of {len(rows)}." if len(shown) < len(rows) else ""
    runs = count_of(answer.basis.runs_used, "run")
    title = f"What {metric.shown} depends on: {count_of(len(rows), 'hyperparameter')} over {runs}"
    note = "Bars: share of the spread over runs. Lines: 95 % interval; one that reaches 0 may not matter."
    spec = filled_view(ask, title, [note, left, *(n for n in answer.notes if n.startswith("Few runs"))], layers)
    top = shown[0]
    caption = (
        f"{top['hparam']} explains {top['importance']:.0%} of the spread of {metric.shown}"
        f" (95 % interval {number(top['low'], 2)} to {number(top['high'], 2)}): {top['words']}."
    )
    return Chart("importance", title, " ".join([caption, *answer.notes]), spec, answer.basis)


def _layers(ask: PlotRequest, metric: Metric, shown: list[Row]) -> list[Spec]:
    """Returns the layers: bars, intervals, and the text behind each bar."""
    order = [row["hparam"] for row in shown]
    y = text_field("hparam", None, order, labelLimit=ask.width * (4 if ask.narrow else 3) // 9)
    share = _share_field(ask, metric)
    return [
        layer(
            {"type": "bar", "size": min(30, max(8, (ask.height - 140) // (2 * len(shown)))), "opacity": 0.85},
            shown,
            {"x": share, "y": y, "tooltip": _bar_tooltip()},
        ),
        layer(
            {"type": "rule", "style": "ink", "strokeWidth": 1.5},
            shown,
            {"x": {**share, "field": "low"}, "x2": {"field": "high"}, "y": y},
        ),
        layer(
            {"type": "text", "style": "strong-note", "align": "left", "dx": 6, "baseline": "middle"},
            [] if ask.narrow else shown,
            {"x": {**share, "field": "high"}, "y": y, "text": {"field": "words"}},
        ),
    ]


def _share_field(ask: PlotRequest, metric: Metric) -> Spec:
    """Returns the encoding of the axis of shares, 0 to 100 %."""
    title = f"share of the spread of {metric.shown}"
    return {
        "field": "importance",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "clamp": True},
        "axis": {"title": title, "format": "%", "tickCount": 4 if ask.narrow else 10},
    }


def _bar_tooltip() -> list[Spec]:
    return tooltip(
        hparam="hyperparameter",
        importance="share",
        low="95 % from",
        high="95 % to",
        direction="direction",
        best="best value",
    )


def _words(directions: Sequence[str], values: str) -> str:
    """Returns the text behind a bar; hyperparameters of one bar may have different directions."""
    direction = directions[0] if len(set(directions)) == 1 else ""
    return printed(
        direction if direction.startswith("best") else "; ".join(filter(None, (direction, f"best {values}"))), 38
    )


def _bars(table: pl.DataFrame, names: DisplayNames) -> list[Row]:
    """Returns one bar for each class of perfectly confounded hyperparameters."""
    bars: list[Row] = []
    drawn: set[str] = set()
    records = table.to_dicts()
    for row in records:
        if row["hparam"] in drawn:
            continue
        same = [
            r for r in records if r["hparam"] in row["confounded_with"] and r["importance"] == row["importance"]
        ]  # nearly confounded hyperparameters have shares of their own
        drawn |= {row["hparam"], *(r["hparam"] for r in same)}
        members = [row, *same]
        directions = [str(r["direction"]) for r in members]
        values = ", ".join(str(r["best_value"]) for r in members)
        bars.append(
            {
                "hparam": " + ".join(names.hparam(r["hparam"]) for r in members),
                "importance": json_value(row["importance"]),
                "low": json_value(row["importance_low"]),
                "high": json_value(row["importance_high"]),
                "direction": ", ".join(directions),
                "best": values,
                "words": _words(directions, values),
            }
        )
    for bar, label in zip(bars, distinct([b["hparam"] for b in bars]), strict=True):
        bar["hparam"] = label
    return bars
