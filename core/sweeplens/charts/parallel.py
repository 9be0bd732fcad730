"""Parallel coordinates: a line a run over the hyperparameters that vary and the metric; broken runs are dashed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.labels import number, printed, short_names
from sweeplens.charts.request import MOST_POINTS, Metric, PlotRequest, asked_metrics, names_of, swept_hparams
from sweeplens.charts.scales import finite_numbers, is_log, value_range
from sweeplens.charts.vega import Row, filled_view, json_value, layer, odd_runs, tooltip
from sweeplens.counting import count_of
from sweeplens.errors import InputError

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["parallel"]

_MOST_AXES = 8
_MOST_LABELS = 8
_LEVELS = 12


class _ParallelAxis(Struct, frozen=True):
    """One axis: its column, its title, the position of a value on it (0 to 1), and its ticks."""

    column: str
    title: str
    position: Callable[[Any], float | None]
    ticks: list[tuple[float, str]]


def parallel(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `list_runs` as lines over axes."""
    metric = asked_metrics(db, ask, 1)[0]
    runs = db.view(ask.runs, ask.where).runs
    swept = swept_hparams(db, ask, runs)
    if not swept:
        raise InputError("Nothing to draw: no hyperparameter has two values over these runs.")
    chosen = _most_important(db, ask, metric, swept)
    answer = db.list_runs(runs=ask.runs, where=ask.where, columns=["status", *chosen, metric.column])
    records = answer.table.to_dicts()
    names = names_of(db)
    titles = short_names([names.hparam(c) for c in chosen])
    axes = [_axis([r[c] for r in records], c, t) for c, t in zip(chosen, titles, strict=True)]
    axes.append(_axis([r[metric.column] for r in records], metric.column, metric.shown, goal=metric.goal))
    drawn = _thinned(records, metric, len(axes))
    rows = _lines(drawn, axes, metric)
    if not any(r["value"] is not None for r in rows):
        raise InputError(f"Nothing to draw: no run has a finite value of {metric.name!r}.")
    broken = sum(r[metric.column] is None for r in drawn)
    notes = [
        f"A line a run; colour and last axis: the {metric.reading} of {metric.shown}."
        + (f" {metric.goal.capitalize()} is better." if metric.goal != "unknown" else ""),
        f"Dashed grey: {count_of(broken, 'run')} without a value." if broken else "",
        f"{len(chosen)} of {len(swept)} hyperparameters that vary." if len(chosen) < len(swept) else "",
        f"{len(drawn):,} of {count_of(len(records), 'run')} drawn: the best, and the others evenly."
        if len(drawn) < len(records)
        else "",
    ]
    title = f"{metric.shown} by {count_of(len(chosen), 'hyperparameter')}: {count_of(len(records), 'run')}"
    spec = _spec(ask, metric, axes, rows, title, notes) | odd_runs(r["run_id"] for r in drawn)
    return Chart("parallel", title, _caption(metric, records, chosen, titles, notes), spec, answer.basis)


def _most_important(db: ExperimentDB, ask: PlotRequest, metric: Metric, swept: Sequence[str]) -> list[str]:
    if len(swept) <= _MOST_AXES or ask.hparams or metric.goal == "unknown":
        return list(swept[:_MOST_AXES])
    order: list[str] = db.effects(metric.name, goal=ask.goal, runs=ask.runs, where=ask.where).table["hparam"].to_list()
    return [h for h in order if h in swept][:_MOST_AXES]


def _axis(values: Sequence[Any], column: str, title: str, goal: str = "hparam") -> _ParallelAxis:
    known = [v for v in values if v is not None]
    numbers = finite_numbers(known)
    if numbers and len(numbers) == sum(not isinstance(v, float) or math.isfinite(v) for v in known):
        return _number_axis(numbers, column, title, goal)
    levels = sorted({printed(v, 16) for v in values})
    position_of = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
    shown = levels if len(levels) <= _LEVELS else levels[:: -(-len(levels) // _LEVELS)]
    return _ParallelAxis(column, title, lambda v: position_of[printed(v, 16)], [(position_of[s], s) for s in shown])


def _number_axis(numbers: list[float], column: str, title: str, goal: str) -> _ParallelAxis:
    log = is_log("", "y", numbers, goal)
    within = value_range(numbers, log=log)
    ends = (within.low, within.high) if within else (min(numbers), max(numbers))

    def scaled(value: float) -> float:
        return math.log(value) if log else value

    low, high = scaled(ends[0]), scaled(ends[1])

    def position(value: Any) -> float | None:
        if value is None or not math.isfinite(value) or (log and value <= 0):
            return None
        return min(max((scaled(value) - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    distinct = sorted(set(numbers))
    ticks = (
        distinct
        if len(distinct) <= _MOST_LABELS
        else [_unscaled(low + i * (high - low) / 4, log=log) for i in range(5)]
    )
    tick_positions = [(p, number(t, 3)) for t in ticks if (p := position(t)) is not None]
    return _ParallelAxis(column, title, position, _spaced(tick_positions))


def _unscaled(value: float, *, log: bool) -> float:
    return math.exp(value) if log else value


def _spaced(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Drops ticks that would touch."""
    spaced: list[tuple[float, str]] = []
    for at, text in ticks:
        if not spaced or at - spaced[-1][0] > 0.04:
            spaced.append((at, text))
    return spaced


def _thinned(records: Sequence[dict[str, Any]], metric: Metric, axes: int) -> list[dict[str, Any]]:
    most = min(600, MOST_POINTS // axes)
    better = -1 if metric.goal == "higher" else 1
    ordered = sorted(records, key=lambda r: (r[metric.column] is None, better * (r[metric.column] or 0)))
    if len(ordered) <= most:
        return ordered
    best, rest = ordered[: most // 4], ordered[most // 4 :]
    every = len(rest) / (most - len(best))
    return [*best, *(rest[int(i * every)] for i in range(most - len(best)))]


def _lines(records: Sequence[dict[str, Any]], axes: Sequence[_ParallelAxis], metric: Metric) -> list[Row]:
    rows: list[Row] = []
    for number_of, record in enumerate(records):
        for index, axis in enumerate(axes):
            at = axis.position(record[axis.column])
            if at is not None:
                rows.append(
                    {
                        "line": number_of,
                        "axis": index,
                        "at": at,
                        "value": json_value(record[metric.column]),
                        "run": printed(record["run_id"]),
                        "status": record["status"],
                        "shown": printed(record[axis.column], 40),
                        "of": axis.title,
                    }
                )
    return rows


def _spec(
    ask: PlotRequest, metric: Metric, axes: Sequence[_ParallelAxis], rows: list[Row], title: str, notes: Sequence[str]
) -> Spec:
    with_result = [r for r in rows if r["value"] is not None]
    x = {"field": "axis", "type": "quantitative", "axis": None, "scale": {"domain": [-0.12, len(axes) - 0.5]}}
    y = {
        "field": "at",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [-0.06, 0.05 + max(h["at"] for h in _heads(ask, axes))], "nice": False},
    }
    tooltip_fields = tooltip(run="run", status="status", of="axis", shown="value", value=metric.shown)
    encoding = {"x": x, "y": y, "detail": {"field": "line"}, "tooltip": tooltip_fields}
    order = {"field": "axis", "type": "quantitative"}
    layers = [
        layer(
            {"type": "line", "style": "rest-line", "strokeDash": [4, 4], "strokeWidth": 1, "opacity": 0.8},
            [r for r in rows if r["value"] is None],
            {**encoding, "order": order},
        ),
        layer(
            {"type": "line", "strokeWidth": 1.4, "opacity": 0.75 if len(with_result) < 2000 else 0.4},
            with_result,
            {**encoding, "order": order, "color": _result_colour(ask, metric, [r["value"] for r in with_result])},
        ),
        *_frame(ask, axes, x, y),
    ]
    return filled_view(ask, title, notes, layers)


def _result_colour(ask: PlotRequest, metric: Metric, values: Sequence[Any]) -> Spec:
    """Returns the encoding of the metric as a colour; values outside the usual range get the colours of its ends."""
    log = is_log("", "y", values, metric.goal)
    within = value_range(values, log=log)
    scale: Spec = {"type": "log" if log else "linear", "range": "ramp", "zero": False, "clamp": True}
    if within:
        scale["domain"] = [within.low, within.high]
    below: Spec = {"orient": "bottom", "gradientLength": ask.width // 2} if ask.narrow else {}
    legend: Spec = {"title": metric.shown, "format": ".3~g", **below}
    return {"field": "value", "type": "quantitative", "scale": scale, "legend": legend}


def _frame(ask: PlotRequest, axes: Sequence[_ParallelAxis], x: Spec, y: Spec) -> list[Spec]:
    """The axes with their titles and ticks; a halo keeps the ticks readable on lines."""
    heads = _heads(ask, axes)
    ends = [{"axis": i, "at": 0.0, "top": 1.0} for i, _ in enumerate(axes)]
    ticks = [{"axis": i, "at": at, "text": text} for i, a in enumerate(axes) for at, text in a.ticks]
    several = 3 if ask.narrow else 0
    return [
        layer({"type": "rule", "style": "quiet", "strokeWidth": 1}, ends, {"x": x, "y": y, "y2": {"field": "top"}}),
        layer(
            {"type": "text", "style": "halo", "align": "left", "dx": 5},
            ticks,
            {"x": x, "y": y, "text": {"field": "text"}},
        ),
        layer(
            {"type": "text", "style": "strong-note", "align": "left", "dx": 5, "fontSize": 10},
            ticks,
            {"x": x, "y": y, "text": {"field": "text"}},
        ),
        layer(
            {
                "type": "text",
                "style": "strong-note",
                "fontWeight": 600,
                "fontSize": 11.5 - several / 2,
                "align": "center",
            },
            heads,
            {"x": x, "y": y, "text": {"field": "text"}},
        ),
    ]


def _heads(ask: PlotRequest, axes: Sequence[_ParallelAxis]) -> list[Row]:
    """Returns the titles of the axes; they alternate between two lines if one line would cut them."""
    room = (ask.width - 110) // len(axes)
    high = 26 / max(ask.height - 200, 80) if any(_cut(a.title, room) != a.title for a in axes) else 0.0
    room *= 2 if high else 1
    return [{"axis": i, "at": 1.09 + high * (i % 2), "text": _cut(a.title, room)} for i, a in enumerate(axes)]


def _cut(text: str, pixels: int) -> str:
    most = max(5, pixels // 7)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _caption(
    metric: Metric,
    records: Sequence[dict[str, Any]],
    chosen: Sequence[str],
    titles: Sequence[str],
    notes: Sequence[str],
) -> str:
    known = sorted(
        (r for r in records if r[metric.column] is not None),
        key=lambda r: r[metric.column],
        reverse=metric.goal != "lower",
    )
    best = known[0]
    setting = ", ".join(f"{t}={printed(best[c], 24)}" for c, t in zip(chosen, titles, strict=True))
    word = "Best" if metric.goal != "unknown" else "Highest"
    range_ = f"{number(known[-1][metric.column])} to {number(best[metric.column])}"
    leader = f"{number(best[metric.column])} by {printed(best['run_id'])} ({setting})"
    summary = f"{word} {metric.shown}: {leader}; runs range from {range_}."
    return " ".join([summary, *(n for n in notes if n)])
