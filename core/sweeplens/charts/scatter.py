"""Scatter chart of a metric over a hyperparameter or metric: a dot a run, seeds of a setting joined, the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sweeplens.charts.axis_notes import broken_among, stretch_note
from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.labels import number, printed
from sweeplens.charts.request import MOST_POINTS, Metric, PlotRequest, asked_metrics, names_of, swept_hparams
from sweeplens.charts.scales import finite_numbers, is_log, value_range
from sweeplens.charts.theme import CATEGORIES
from sweeplens.charts.vega import (
    Row,
    category_legend,
    filled_view,
    json_value,
    layer,
    number_field,
    odd_runs,
    single_tick,
    text_field,
    tooltip,
)
from sweeplens.counting import count_of
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.schemas import hparam_columns

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["pareto_front", "scatter"]

_MOST_RUNS = MOST_POINTS // 2
_MOST_TICKS = 10
_BROKEN = ("crashed", "failed", "killed")


class _ScatterAxis(Struct, frozen=True):
    """The x axis: a column of the runs, and its metric if it is a statistic of one."""

    column: str
    shown: str
    metric: Metric | None


def scatter(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `list_runs` as dots."""
    metric = asked_metrics(db, ask, 1)[0]
    runs = db.view(ask.runs, ask.where).runs
    swept = swept_hparams(db, ask, runs)
    axis = _axis(db, ask, metric, swept, runs)
    asked = [ask.group] if ask.group not in ("", "run", "all") else []
    columns = list(dict.fromkeys(["status", axis.column, *asked, *swept, metric.column]))
    answer = db.list_runs(runs=ask.runs, where=ask.where, columns=columns)
    colour = asked[0] if asked else _colour(answer.table.drop_nulls([axis.column, metric.column]), swept, axis)
    rows = _dots(answer.table, axis, metric, colour, swept)
    if not rows:
        raise InputError(
            f"Nothing to draw: no run has both a value of {axis.column!r} and a finite value of {metric.name!r}."
        )
    left = answer.table.height - len(rows)
    drawn = _thinned(rows, metric)
    front = pareto_front(drawn, axis.metric.goal, metric.goal) if axis.metric else []
    names = names_of(db)
    notes = [
        f"Each dot: a run, by the {metric.reading} of {metric.shown}."
        + (" Lines join runs of one setting." if _joined(drawn, axis) else ""),
        f"{count_of(left, 'run')} without both values not shown." if left else "",
        f"{len(drawn):,} of {count_of(len(rows), 'run')} drawn, evenly over the range."
        if len(drawn) < len(rows)
        else "",
        _stretch(db, ask, rows, answer.table["run_id"].to_list()),
    ]
    spec = _spec(ask, axis, metric, drawn, front, names.hparam(colour) if colour else "", notes)
    spec |= odd_runs(answer.table["run_id"])
    title = " ".join(spec["title"]["text"])
    return Chart("scatter", title, _caption(axis, metric, rows, front, notes), spec, answer.basis)


def _stretch(db: ExperimentDB, ask: PlotRequest, rows: Sequence[Row], runs: Sequence[str]) -> str:
    """Returns a note on the broken runs, if they stretch the axis of the metric."""
    broken = {printed(run): 1 for run in sorted(broken_among(db, ask, runs))}
    return stretch_note({row["run"]: [row["y"]] for row in rows}, broken, ask.where)


def _axis(db: ExperimentDB, ask: PlotRequest, metric: Metric, swept: Sequence[str], runs: pl.DataFrame) -> _ScatterAxis:
    names = names_of(db)
    metrics: list[str] = db.list_metrics(runs=ask.runs, where=ask.where).table["metric"].to_list()
    if ask.x in hparam_columns(runs):
        return _ScatterAxis(ask.x, names.hparam(ask.x), None)
    x_metric = ask.x or (ask.metrics[1] if len(ask.metrics) > 1 else "")
    if x_metric:
        if x_metric not in metrics:
            hint = "x of a scatter chart takes a hyperparameter or a metric; its values are one number a run."
            raise UnknownNameError.of(
                "hyperparameter or metric", x_metric, [*hparam_columns(runs), *metrics], hint=hint
            )
        other = asked_metrics(db, PlotRequest(metrics=(x_metric,), runs=ask.runs, where=ask.where), 1)[0]
        return _ScatterAxis(other.column, f"{other.shown}, {other.reading}", other)
    if not swept:
        raise InputError(
            "Nothing to draw: no hyperparameter has two values over these runs. x names a metric to draw against."
        )
    numeric = [h for h in swept if runs[h].dtype.is_numeric()] or list(swept)
    chosen = numeric[0]
    if not ask.hparams and len(numeric) > 1 and metric.goal != "unknown":
        effects: list[str] = (
            db.effects(metric.name, goal=ask.goal, runs=ask.runs, where=ask.where).table["hparam"].to_list()
        )
        chosen = next((h for h in effects if h in numeric), chosen)
    return _ScatterAxis(chosen, names.hparam(chosen), None)


def _colour(drawn: pl.DataFrame, swept: Sequence[str], axis: _ScatterAxis) -> str:
    """Returns the hyperparameter that colours the dots: the first other one that varies over them."""
    return next((h for h in swept if h != axis.column and drawn[h].drop_nulls().n_unique() > 1), "")


def _dots(table: pl.DataFrame, axis: _ScatterAxis, metric: Metric, colour: str, swept: Sequence[str]) -> list[Row]:
    fields = {h: f"h{i}" for i, h in enumerate(swept)}
    rows: list[Row] = []
    for r in table.iter_rows(named=True):
        x, y = json_value(r[axis.column]), json_value(r[metric.column])
        if x is None or y is None:
            continue
        setting = tuple(r[h] for h in swept)
        row: Row = {
            "x": x if _is_number(x) else printed(x, 30),
            "y": y,
            "run": printed(r["run_id"]),
            "status": r["status"],
            "ended": "broken" if r["status"] in _BROKEN else "whole",
            "setting": repr(setting) if swept else "",
        }
        row |= {field: printed(r[h], 40) for h, field in fields.items()}
        if colour:
            row["colour"] = r[colour] if _is_number(r[colour]) or r[colour] is None else printed(r[colour], 30)
        rows.append(row)
    numbers = {s: str(i) for i, s in enumerate(dict.fromkeys(row["setting"] for row in rows))}
    for row in rows:
        row["setting"] = numbers[row["setting"]]
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _thinned(rows: Sequence[Row], metric: Metric) -> list[Row]:
    ordered = sorted(rows, key=lambda r: r["y"], reverse=metric.goal == "higher")
    if len(ordered) <= _MOST_RUNS:
        return ordered
    every = len(ordered) / _MOST_RUNS
    return [ordered[int(i * every)] for i in range(_MOST_RUNS)]


def pareto_front(rows: Sequence[Mapping[str, Any]], goal_x: str, goal_y: str) -> list[Row]:
    """Returns the runs that no other run beats in both metrics; none if a goal is unknown."""
    if "unknown" in (goal_x, goal_y) or not goal_x:
        return []
    sign_x, sign_y = (1 if goal == "lower" else -1 for goal in (goal_x, goal_y))
    front: list[Row] = []
    for row in sorted(rows, key=lambda r: (sign_x * r["x"], sign_y * r["y"])):
        if not front or sign_y * row["y"] < sign_y * front[-1]["y"]:
            front.append(dict(row))
    return front


def _joined(rows: Sequence[Row], axis: _ScatterAxis) -> bool:
    if axis.metric is not None:
        return False
    settings = [r["setting"] for r in rows]
    return len(set(settings)) < len(settings)


def _spec(
    ask: PlotRequest,
    axis: _ScatterAxis,
    metric: Metric,
    rows: list[Row],
    front: list[Row],
    colour: str,
    notes: Sequence[str],
) -> Spec:
    xs, ys = [r["x"] for r in rows], [r["y"] for r in rows]
    numeric = len(finite_numbers(xs)) == len(xs)
    log_x = is_log(ask.log, "x", xs, "hparam" if axis.metric is None else axis.metric.goal)
    log_y = is_log(ask.log, "y", ys, metric.goal)
    within = value_range(ys, log=log_y)
    order = sorted({str(x) for x in xs})
    few = sorted(set(finite_numbers(xs)))
    ticks: Spec = (
        {"values": few, "format": _tick_format(few), "labelOverlap": True}
        if axis.metric is None and len(few) <= _MOST_TICKS
        else {}
    )
    x = (
        number_field("x", axis.shown, log=log_x, room=True, **ticks)
        if numeric
        else text_field("x", axis.shown, order, labelAngle=-35)
    )
    y = number_field("y", f"{metric.shown}, {metric.reading}", log=log_y, within=within, room=True, **single_tick(ys))
    layers = _layers(ask, axis, metric, rows, front, colour, {"x": x, "y": y})
    beyond = f"{count_of(within.beyond, 'run')} beyond the axis." if within else ""
    pareto = f"Dashed: Pareto front, {count_of(len(front), 'run')}." if front else ""
    title = f"{metric.shown} against {axis.shown}: {count_of(len(rows), 'run')}"
    return filled_view(ask, title, [*notes, f"{pareto} {beyond}".strip()], layers)


def _layers(
    ask: PlotRequest, axis: _ScatterAxis, metric: Metric, rows: list[Row], front: list[Row], colour: str, xy: Spec
) -> list[Spec]:
    """Returns the layers: lines that join settings, the Pareto front, and the dots of runs. ``xy``: the encoding of both axes."""
    tooltip_fields = tooltip(run="run", x=axis.shown, y=metric.shown, status="status")
    encoding = {**xy, "tooltip": tooltip_fields}
    dots = {
        **encoding,
        "shape": _status_shape(ask, rows),
        **({"color": _dot_colour(ask, rows, colour)} if colour else {}),
    }
    bare = [r for r in rows if colour and r["colour"] is None]
    coloured = [r for r in rows if not colour or r["colour"] is not None]
    joined = rows if _joined(rows, axis) else []
    dashed = {"type": "line", "strokeDash": [5, 3], "interpolate": "step-after"}
    return [
        layer(
            {"type": "line", "style": "rest-line", "strokeWidth": 1, "clip": True},
            joined,
            {**xy, "detail": {"field": "setting"}},
        ),
        layer(
            {**dashed, "style": "ink", "strokeWidth": 1.5, "clip": True},
            front,
            {**xy, "order": {"field": "x", "type": "quantitative"}},
        ),
        layer({"type": "point", "size": 42, "opacity": 0.85, "filled": True, "clip": True}, coloured, dots),
        layer(
            {"type": "point", "size": 42, "filled": True, "style": "rest", "clip": True},
            bare,
            {**encoding, "shape": _status_shape(ask, rows)},
        ),
    ]


def _tick_format(values: Sequence[float]) -> str:
    """Returns the format of ticks: integers in full, other numbers with four digits."""
    return "d" if all(float(value).is_integer() for value in values) else ".4~g"


def _status_shape(ask: PlotRequest, rows: Sequence[Row]) -> Spec:
    broken = any(r["ended"] == "broken" for r in rows)
    legend = {"title": None, **({"orient": "bottom"} if ask.narrow else {})} if broken else None
    return {
        "field": "ended",
        "type": "nominal",
        "scale": {"domain": ["whole", "broken"], "range": ["circle", "cross"]},
        "legend": legend,
    }


def _dot_colour(ask: PlotRequest, rows: Sequence[Row], title: str) -> Spec:
    values = list(dict.fromkeys(r["colour"] for r in rows if r["colour"] is not None))
    numbers = finite_numbers(values)
    if len(values) > CATEGORIES and len(numbers) == len(values):
        kind = "log" if is_log("", "x", numbers, "hparam") else "linear"
        legend: Spec = {"title": title, "format": ".3~g"} | ({"orient": "bottom"} if ask.narrow else {})
        return {"field": "colour", "type": "quantitative", "scale": {"type": kind, "range": "ramp"}, "legend": legend}
    shown = sorted(values, key=lambda v: (isinstance(v, str), v))
    if len(shown) > CATEGORIES:
        return {"value": "#888888"}
    spec = category_legend(ask, "colour", title, [])
    spec["legend"] |= {"symbolType": "circle", "symbolSize": 70}
    return {**spec, "sort": shown, "scale": {"domain": shown}}


def _caption(
    axis: _ScatterAxis, metric: Metric, rows: Sequence[Row], front: Sequence[Row], notes: Sequence[str]
) -> str:
    ordered = sorted(rows, key=lambda r: r["y"], reverse=metric.goal != "lower")
    first, last = ordered[0], ordered[-1]
    word = ("best", "worst") if metric.goal != "unknown" else ("highest", "lowest")
    extremes = [
        f"{w}: {number(r['y'])} at {number(r['x']) if _is_number(r['x']) else r['x']} ({r['run']})"
        for w, r in zip(word, (first, last), strict=True)
    ]
    pareto = f" Pareto front: {', '.join(r['run'] for r in front[:6])}." if front else ""
    summary = f"{metric.shown} against {axis.shown} of {count_of(len(rows), 'run')}; {'; '.join(extremes)}.{pareto}"
    return " ".join([summary, *(n for n in notes if n)])
