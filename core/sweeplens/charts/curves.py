"""Charts of metrics along an axis: single runs, or means of groups with a 95 % band over runs.

If there are more groups than colours, the best and the worst are named and the rest is grey. Smoothing is a moving average,
with the raw line faint behind it. First values that are not finite, crashes and findings of a diagnosis are marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.curve_events import CurveEvent, events_of, placed_events
from sweeplens.charts.curve_groups import CurveLine, Groups, Standing, grouped_lines, single_lines
from sweeplens.charts.labels import listed_names, number, printed
from sweeplens.charts.request import Metric, PlotRequest, asked_metrics, names_of, reading_of
from sweeplens.charts.scales import ValueRange, is_log, range_with_intervals, time_axis, value_range
from sweeplens.charts.smoothing import moving_average
from sweeplens.charts.vega import (
    Row,
    category_legend,
    filled_view,
    layer,
    named_runs,
    number_field,
    single_tick,
    title_lines,
    tooltip,
)
from sweeplens.counting import count_of
from sweeplens.errors import InputError

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["curves", "panel_layers"]

_MOST_METRICS = 4
_SHAPES = {
    "nan": "cross",
    "crashed": "triangle-down",
    "divergence": "triangle-up",
    "spike": "diamond",
    "overfit": "square",
    "stalled": "wedge",
}
_LEGEND_PIXELS, _AXIS_PIXELS = 190, 70
_FEW_STEPS = 12  # each has its own tick
_LARGE = 100_000
_BAND_ROOM = 0.3  # of the range of the curves
_WIDE = 0.5  # of what the curves span
_BAND, _FAINT = 0.2, 0.06  # opacities of bands


def curves(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws curves of the requested metrics."""
    metrics = asked_metrics(db, ask, _MOST_METRICS)
    groups = single_lines(db, ask, metrics) if ask.group == "run" else grouped_lines(db, ask, metrics)
    drawn = [m for m in metrics if any(line.metric == m.name and line.x for line in groups.lines)]
    if not drawn:
        raise InputError(
            f"Nothing to draw: no finite value of {listed_names([m.name for m in metrics])} over {ask.x or 'step'}."
        )
    events = events_of(db, ask, drawn, groups)
    single = {line.label: line.runs[0] for line in groups.lines if groups.line_kind == "run"}
    marked = {printed(event.run): event.run for event in events}
    spec = _spec(db, ask, drawn, groups, events) | named_runs((single | marked).items())
    title = " ".join(spec["title"]["text"])
    return Chart("curves", title, _caption(ask, drawn, groups, events), spec, groups.basis)


def _spec(
    db: ExperimentDB, ask: PlotRequest, metrics: Sequence[Metric], groups: Groups, events: Sequence[CurveEvent]
) -> Spec:
    names = ", ".join(m.shown for m in metrics)
    title = f"{names} over {_axis_name(db, ask)}: {groups.count_text}"
    notes = [*groups.notes, *_event_notes(ask, events)]
    if len(metrics) == 1:
        layers, beyond = panel_layers(db, ask, metrics[0], groups, events)
        return filled_view(ask, title, [*notes, beyond], layers, resolve={"scale": {"shape": "independent"}})
    columns = 1 if ask.narrow else 2
    width = (ask.width - _LEGEND_PIXELS * (not ask.narrow)) // columns - _AXIS_PIXELS
    rows = -(-len(metrics) // columns)
    height = max(110, (ask.height - 90) // rows - 60)
    panels: list[Spec] = []
    for metric in metrics:
        layers, beyond = panel_layers(db, ask, metric, groups, events)
        panel = {"width": width, "height": height, "layer": [_untitled(part) for part in layers]}
        panels.append({**panel, "title": {"text": metric.shown, "fontSize": 12}})
        notes.append(f"{metric.shown}: {beyond}" if beyond else "")
    shared = {"scale": {"color": "shared", "shape": "shared"}}
    return {"title": title_lines(title, notes, ask.width), "concat": panels, "columns": columns, "resolve": shared}


def _untitled(part: Spec) -> Spec:
    """Returns a layer without the title of its y axis, because its panel has the same title."""
    y = part["encoding"]["y"]
    return {**part, "encoding": {**part["encoding"], "y": {**y, "axis": {**y["axis"], "title": None}}}}


def panel_layers(
    db: ExperimentDB, ask: PlotRequest, metric: Metric, groups: Groups, events: Sequence[CurveEvent]
) -> tuple[list[Spec], str]:
    """Returns the layers of one metric, and a note if the axis leaves values out."""
    lines = [line for line in groups.lines if line.metric == metric.name]
    values = [v for line in lines for v in line.y]
    log = is_log(ask.log, "y", values, metric.goal)
    within = value_range(values, log=log) or _room_for_bands(lines, values, log=log)
    far = [x for line in lines for x in line.x]
    x = _x_field(db, ask, far)
    y = number_field("y", metric.shown, log=log, within=within, **single_tick(values))
    named = [line for line in lines if line.label in groups.named]
    unnamed = [line for line in lines if line.label not in groups.named]
    colour = category_legend(ask, "series", groups.legend, groups.named)
    tooltip_fields = tooltip(series=groups.line_kind, x=x["axis"]["title"], y=metric.shown, n="runs")
    base = {"x": x, "y": y, "detail": {"field": "part"}}
    shown = {**base, "color": colour, "tooltip": tooltip_fields, "strokeDash": _DASHED}
    line: Spec = {"type": "line", "clip": True}
    layers = [
        layer(
            {**line, "style": "rest-line", "strokeWidth": 1, "opacity": 0.7},
            _rows(unnamed, ask.smooth),
            {**base, "tooltip": tooltip_fields, "strokeDash": _DASHED},
        ),
        layer(
            {"type": "point", "filled": True, "style": "rest", "size": 20, "clip": True},
            _isolated_points(unnamed),
            {"x": x, "y": y, "tooltip": tooltip_fields},
        ),
        *_band_layers(named, values, {**base, "color": colour}, log=log, is_crowded=bool(unnamed)),
        layer(
            {**line, "strokeWidth": 1, "opacity": 0.3}, _rows(named, 0) if ask.smooth else [], {**base, "color": colour}
        ),
        layer({**line, "strokeWidth": 2}, _rows(named, ask.smooth), shown),
        layer(
            {"type": "point", "filled": True, "size": 40, "clip": True},
            _isolated_points(named),
            {"x": x, "y": y, "color": colour, "tooltip": tooltip_fields},
        ),
        _event_layer(ask, placed_events(events, lines, metric), events, {"x": x, "y": y}),
    ]
    wide = _wide_bands(named, values, log=log) if unnamed else []
    hidden = f"Without its band, which covers half the chart: {', '.join(line.label for line in wide)}." if wide else ""
    cut = _cut_bands([line for line in named if line not in wide], within, log=log)
    notes = [_beyond_note(within), hidden, f"Bands that go further than drawn: {listed_names(cut)}." if cut else ""]
    return [part for part in layers if part["data"]["values"]], " ".join(filter(None, notes))


def _band_layers(
    lines: Sequence[CurveLine], values: Sequence[float], encoding: Spec, *, log: bool, is_crowded: bool
) -> list[Spec]:
    """Returns the bands as two layers: wide ones faint, the others above them. A crowded chart has no wide ones."""
    wide = _wide_bands(lines, values, log=log)
    ends = {**encoding, "y": {**encoding["y"], "field": "low"}, "y2": {"field": "high"}}
    return [
        layer(
            {"type": "area", "opacity": opacity, "clip": True},
            _band_rows([line for line in lines if (line in wide) == is_wide], log=log),
            ends,
        )
        for is_wide, opacity in ((True, _FAINT), (False, _BAND))
        if not (is_wide and is_crowded)
    ]


def _cut_bands(lines: Sequence[CurveLine], within: ValueRange | None, *, log: bool) -> list[str]:
    """Returns the labels of lines whose band goes beyond the axis, or is cut above 0 on a logarithmic one."""
    lowest, highest = (within.low, within.high) if within else (-math.inf, math.inf)
    return [
        line.label
        for line in lines
        for least in [max(lowest, _floor(line)) if log else lowest]
        if any(low is not None and low < least for low in line.low)
        or any(high is not None and high > highest for high in line.high)
    ]


def _floor(line: CurveLine) -> float:
    """Returns where a band ends on a logarithmic axis: half the least value drawn."""
    return min(line.y, default=0.0) / 2


def _event_layer(ask: PlotRequest, marks: list[Row], events: Sequence[CurveEvent], xy: Spec) -> Spec:
    """Returns the marks of events on the lines. ``xy``: the encoding of both axes."""
    shape = _shape(ask, sorted({e.finding for e in events}))
    tooltip_fields = tooltip(run="run", finding="finding", x="step", evidence="evidence")
    mark = {"type": "point", "filled": True, "style": "finding", "size": 80, "opacity": 1, "clip": True}
    return layer(mark, marks, {**xy, "shape": shape, "tooltip": tooltip_fields})


_DASHED: Spec = {
    "field": "fewer",
    "type": "nominal",
    "legend": None,
    "scale": {"domain": [False, True], "range": [[1, 0], [4, 3]]},
}


def _x_field(db: ExperimentDB, ask: PlotRequest, far: Sequence[float]) -> Spec:
    name = _axis_name(db, ask)
    if ask.x == "wall_time":
        axis = time_axis(max(far, default=0.0))
        label = f"format(datum.value / {axis.seconds:g}, '~g')"
        return number_field("x", f"{name} ({axis.unit})", values=list(axis.ticks), labelExpr=label)
    large: Spec = {"format": "~s"} if max(far, default=0.0) >= _LARGE else {}
    if ask.x in ("", "step") and all(x.is_integer() for x in far):
        large |= _whole_ticks(far)
    return number_field("x", name, log=is_log(ask.log if ask.log else "none", "x", far), labelOverlap=True, **large)


def _whole_ticks(steps: Sequence[float]) -> Spec:
    """Returns axis options without a tick between two steps: not every renderer knows ``tickMinStep``."""
    few = bool(steps) and max(steps) - min(steps) <= _FEW_STEPS
    return {"values": list(range(int(min(steps)), int(max(steps)) + 1))} if few else {"tickMinStep": 1}


def _axis_name(db: ExperimentDB, ask: PlotRequest) -> str:
    if ask.x in ("", "step"):
        return "step"
    return "time since a run's first point" if ask.x == "wall_time" else names_of(db).metric(ask.x)


def _beyond_note(within: ValueRange | None) -> str:
    return (
        f"{count_of(within.beyond, 'point')} beyond the axis; log='y' or 'none' changes it."
        if within and within.beyond
        else ""
    )


def _room_for_bands(lines: Sequence[CurveLine], values: Sequence[float], *, log: bool) -> ValueRange | None:
    """Returns a range that keeps curves large although a band is far wider than their distance; None if no band is."""
    bands = [v for line in lines for v in (*line.low, *line.high) if v is not None]
    return None if log else range_with_intervals(values, bands, _BAND_ROOM)


def _wide_bands(lines: Sequence[CurveLine], values: Sequence[float], *, log: bool) -> list[CurveLine]:
    """Returns the lines whose median band is wider than half the range of all curves; an opaque band would hide the rest."""
    known = [v for v in values if not log or v > 0]
    span = _span(min(known, default=0.0), max(known, default=0.0), log=log)
    widths = {i: _band_widths(line, min(known, default=0.0), log=log) for i, line in enumerate(lines)}
    return [line for i, line in enumerate(lines) if widths[i] and median(widths[i]) > _WIDE * span]


def _band_widths(line: CurveLine, floor: float, *, log: bool) -> list[float]:
    ends = [(low, high) for low, high in zip(line.low, line.high, strict=True) if low is not None and high is not None]
    return [_span(max(low, floor / 2) if log else low, high, log=log) for low, high in ends]


def _span(low: float, high: float, *, log: bool) -> float:
    return math.log(high / low) if log and low > 0 else high - low


def _rows(lines: Sequence[CurveLine], smooth: float) -> list[Row]:
    """Returns the points of lines in connected parts: a new part begins where values or runs are missing."""
    rows: list[Row] = []
    for number_of, line in enumerate(lines):
        ys = _smoothed(line, smooth) if smooth else line.y
        for part, (first, last, fewer) in enumerate(line.stretches()):
            rows += [
                {
                    "series": line.label,
                    "part": f"{number_of}.{part}",
                    "x": line.x[i],
                    "y": ys[i],
                    "n": line.n[i],
                    "fewer": fewer,
                }
                for i in range(first, last)
            ]
    return rows


def _smoothed(line: CurveLine, weight: float) -> list[float]:
    """Returns the moving average; it begins again where fewer than half of the runs are left."""
    cut = line.left_from
    parts = ((line.y[:cut], line.points[:cut]), (line.y[cut:], line.points[cut:]))
    return [y for ys, points in parts for y in moving_average(ys, weight, points)]


def _isolated_points(lines: Sequence[CurveLine]) -> list[Row]:
    """Returns points without a neighbour to connect to."""
    return [
        {"series": line.label, "x": line.x[first], "y": line.y[first], "n": line.n[first]}
        for line in lines
        for first, last, _ in line.stretches()
        if last - first == 1
    ]


def _band_rows(lines: Sequence[CurveLine], *, log: bool) -> list[Row]:
    """Returns the bands, in parts; on a logarithmic axis, a bound of 0 or less becomes the least value drawn."""
    rows: list[Row] = []
    for number_of, line in enumerate(lines):
        floor = _floor(line) if log else None
        for i, (low, high) in enumerate(zip(line.low, line.high, strict=True)):
            if low is not None and high is not None:
                shown = max(low, floor) if floor is not None else low
                rows.append(
                    {
                        "series": line.label,
                        "part": number_of,
                        "x": line.x[i],
                        "low": shown,
                        "high": high,
                        "n": line.n[i],
                    }
                )
    return rows


def _shape(ask: PlotRequest, kinds: Sequence[str]) -> Spec:
    legend: Spec = {"title": "marked"} | ({"orient": "top", "columns": 3, "offset": 26} if ask.narrow else {})
    scale = {"domain": list(kinds), "range": [_SHAPES.get(k, "circle") for k in kinds]}
    return {"field": "finding", "type": "nominal", "scale": scale, "legend": legend}


def _event_notes(ask: PlotRequest, events: Sequence[CurveEvent]) -> list[str]:
    if ask.x not in ("", "step"):
        return ["Findings are marked over steps only."]
    left = sum(e.left_out for e in events)
    return [f"{count_of(left, 'finding')} more not marked."] if left else []


def _standings(metric: Metric, groups: Groups) -> list[Standing]:
    """Returns the lines as the ranking orders them; without a ranking by the value where a curve ends, highest first."""
    ranked = groups.standings.get(metric.name)
    ends = [Standing(c.label, c.y[-1], c.n[-1]) for c in groups.lines if c.metric == metric.name and c.y]
    return ranked or sorted(ends, key=lambda e: e.mean, reverse=metric.goal != "lower")


def _caption(ask: PlotRequest, metrics: Sequence[Metric], groups: Groups, events: Sequence[CurveEvent]) -> str:
    parts = [f"{', '.join(m.shown for m in metrics)}: {groups.count_text}."]
    for metric in metrics:
        ordered = _standings(metric, groups)
        if not ordered:
            continue
        first, last = ordered[0], ordered[-1]
        word = ("Best", "Worst") if metric.goal != "unknown" else ("Highest", "Lowest")
        of = f" (mean of {count_of(first.n, 'run')})" if groups.line_kind == "group" else ""
        by = f"({reading_of(metric, ask.reading)})" if groups.standings.get(metric.name) else "where a curve ends"
        parts.append(f"{word[0]} {metric.shown} {by}: {number(first.mean)}{of} of {first.label}.")
        parts += [f"{word[1]}: {number(last.mean)} of {last.label}."] if len(ordered) > 1 else []
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(event.finding, []).append(event.run)
    parts += [
        f"{kind} in {count_of(len(set(runs)), 'run')} ({listed_names(sorted(set(runs)))})."
        for kind, runs in kinds.items()
    ]
    return " ".join(part for part in [*parts, *groups.notes] if part)
