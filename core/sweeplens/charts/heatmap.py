"""Chart of a metric over two hyperparameters: the mean and number of runs of each cell, and the cells not tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.labels import DisplayNames, distinct, number, printed
from sweeplens.charts.request import Metric, PlotRequest, asked_metrics, names_of, reading_of, swept_hparams
from sweeplens.charts.scales import wants_log
from sweeplens.charts.theme import ink_on
from sweeplens.charts.vega import Row, filled_view, layer, text_field, tooltip
from sweeplens.counting import count_of
from sweeplens.errors import InputError

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["heatmap"]

_MOST_VALUES = 30
_NOT_TRIED_PIXELS = 58  # narrower cells have a dashed frame only


def heatmap(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `summarize` by two hyperparameters as a grid."""
    metric = asked_metrics(db, ask, 1)[0]
    runs = db.view(ask.runs, ask.where).runs
    pair = _pair(db, ask, metric, swept_hparams(db, ask, runs))
    answer = db.summarize(pair, metrics=[metric.name], reduce=ask.reading, runs=ask.runs, where=ask.where)
    table = answer.table.filter(pl.any_horizontal(pl.col(answer.table.columns[:2]).is_not_null()))
    bare = int(answer.table["n"].sum()) - int(table["n"].sum())
    if not table.height:
        raise InputError(f"Nothing to draw: no run has a finite value of {metric.name!r} and {' or '.join(pair)}.")
    keys = table.columns[:2]
    names = names_of(db)
    axes = [_values(table, key) for key in keys]
    for key, values in zip(pair, axes, strict=True):
        if len(values) > _MOST_VALUES:
            raise InputError(
                f"{key} has {len(values)} values; a heatmap shows at most {_MOST_VALUES}. kind='scatter' or 'parallel' shows them."
            )
    rows = _cells(table, keys, axes, log=wants_log(table["mean"].to_list(), metric.goal))
    untried = sum(row["mean"] is None for row in rows)
    left = f"{count_of(bare, 'run')} of which neither is known not shown." if bare else ""
    spec = _spec(ask, metric, rows, left, [names.hparam(p) for p in pair], axes)
    return Chart("heatmap", spec["title"]["text"][0], _caption(metric, rows, pair, names, untried), spec, answer.basis)


def _pair(db: ExperimentDB, ask: PlotRequest, metric: Metric, swept: Sequence[str]) -> list[str]:
    """Returns the two requested hyperparameters, else the two that explain most."""
    if len(swept) < 2:
        raise InputError(
            f"Nothing to draw: a heatmap needs two hyperparameters that vary, and of these runs {' and '.join(swept) or 'none'}"
            f" {'do' if len(swept) > 1 else 'does'}."
        )
    if ask.hparams or metric.goal == "unknown" or len(swept) == 2:
        return list(swept[:2])
    effects = db.effects(metric.name, goal=ask.goal, runs=ask.runs, where=ask.where).table
    order = [h for h in effects["hparam"].to_list() if h in swept]
    return [*order, *(h for h in swept if h not in order)][:2]


def _values(table: pl.DataFrame, key: str) -> list[Any]:
    """Returns the values of an axis in order; missing last."""
    return table[key].unique().sort(nulls_last=True).to_list()


def _cells(table: pl.DataFrame, keys: Sequence[str], axes: Sequence[list[Any]], *, log: bool) -> list[Row]:
    """Returns one row for each combination, tried or not."""
    tried = {(r[keys[0]], r[keys[1]]): r for r in table.to_dicts()}
    labels = [dict(zip(map(repr, values), distinct([printed(v, 24) for v in values]), strict=True)) for values in axes]
    share = _shares([r["mean"] for r in tried.values()], log=log)
    rows: list[Row] = []
    for x_value in axes[0]:
        for y_value in axes[1]:
            r = tried.get((x_value, y_value))
            rows.append(
                {
                    "x": labels[0][repr(x_value)],
                    "y": labels[1][repr(y_value)],
                    "mean": r["mean"] if r else None,
                    "n": r["n"] if r else 0,
                    "shown": number(r["mean"], 3 if len(axes[0]) > 8 else 4) if r else "not tried",
                    "runs": f"n={r['n']}" if r else "",
                    "ink": ink_on(share(r["mean"])) if r else "",
                }
            )
    return rows


def _shares(means: Sequence[float], *, log: bool) -> Callable[[float], float]:
    """Returns a function from a mean to its position between the least (0) and the greatest (1)."""

    def scaled(value: float) -> float:
        return math.log(value) if log else value

    low, high = scaled(min(means)), scaled(max(means))

    def share(value: float) -> float:
        return (scaled(value) - low) / (high - low) if high > low else 0.5

    return share


def _spec(
    ask: PlotRequest, metric: Metric, rows: list[Row], left: str, shown: Sequence[str], axes: Sequence[list[Any]]
) -> Spec:
    orders = [list(dict.fromkeys(row[axis] for row in rows)) for axis in ("x", "y")]
    x = text_field("x", shown[0], orders[0], labelAngle=0 if len(axes[0]) * 55 < ask.width else -45)
    y = text_field("y", shown[1], orders[1][::-1])
    tried = [r for r in rows if r["mean"] is not None]
    untried = [r for r in rows if r["mean"] is None]
    colour = _mean_colour(ask, metric, [r["mean"] for r in tried])
    tooltip_fields = tooltip(x=shown[0], y=shown[1], mean="mean", n="runs")
    encoding = {"x": x, "y": y}
    small = len(axes[0]) > (6 if ask.narrow else 14) or len(axes[1]) > 14
    beside = min(230, 6 * max(map(len, orders[1]))) + 60
    tight = (ask.width - beside) / len(orders[0]) < _NOT_TRIED_PIXELS
    text: Spec = {"type": "text", "style": "note", "baseline": "middle"}
    layers = [
        layer({"type": "rect"}, tried, {**encoding, "color": colour, "tooltip": tooltip_fields}),
        layer(
            {"type": "rect", "style": "hollow", "filled": False},
            untried,
            {**encoding, "tooltip": tooltip_fields},
        ),
        layer(
            text,
            [] if small or tight else untried,
            {**encoding, "text": {"field": "shown"}},
        ),
        *_texts([] if small else tried, encoding),
    ]
    title = f"{metric.shown} by {shown[0]} and {shown[1]}: {count_of(sum(r['n'] for r in rows), 'run')}"
    note = f"Mean over runs of each run's {reading_of(metric, ask.reading)}; n: runs. " + (
        f"{metric.goal.capitalize()} is better." if metric.goal != "unknown" else ""
    )
    missing = f"{len(untried)} of {len(rows)} combinations were not tried." if untried else ""
    return filled_view(ask, title, [note, missing, left], layers)


def _mean_colour(ask: PlotRequest, metric: Metric, means: Sequence[float]) -> Spec:
    """Returns the encoding of means as colours, with a gradient as its legend."""
    legend: Spec = {"title": metric.shown, "gradientLength": min(180, ask.height // 3), "format": ".3~g"}
    if ask.narrow:
        legend |= {"orient": "bottom", "gradientLength": ask.width // 2}
    kind = "log" if wants_log(means, metric.goal) else "linear"
    scale: Spec = {"type": kind, "scheme": "viridis", "zero": False}
    return {"field": "mean", "type": "quantitative", "scale": scale, "legend": legend}


def _texts(tried: Sequence[Row], encoding: Spec) -> list[Spec]:
    """Returns the texts of cells, mean and number of runs, in black or white by the cell's colour."""
    parts: list[Spec] = []
    for ink in sorted({r["ink"] for r in tried}):
        rows = [r for r in tried if r["ink"] == ink]
        text: Spec = {"type": "text", "baseline": "middle", "color": ink}
        parts += [
            layer(
                {**text, "fontSize": 12, "fontWeight": 600, "dy": -6}, rows, {**encoding, "text": {"field": "shown"}}
            ),
            layer({**text, "fontSize": 10, "dy": 9}, rows, {**encoding, "text": {"field": "runs"}}),
        ]
    return parts


def _caption(metric: Metric, rows: Sequence[Row], pair: Sequence[str], names: DisplayNames, untried: int) -> str:
    tried = sorted((r for r in rows if r["mean"] is not None), key=lambda r: r["mean"], reverse=metric.goal == "higher")
    word = ("best", "worst") if metric.goal != "unknown" else ("lowest", "highest")
    x_name, y_name = (names.hparam(p) for p in pair)
    extremes = [
        f"{w} mean {number(r['mean'])} at {x_name}={r['x']}, {y_name}={r['y']} ({count_of(r['n'], 'run')})"
        for w, r in zip(word, (tried[0], tried[-1]), strict=True)
    ]
    missing = f" {untried} of {len(rows)} combinations were not tried." if untried else " Every combination was tried."
    return f"{metric.shown} over {x_name} and {y_name}: {'; '.join(extremes)}.{missing}"
