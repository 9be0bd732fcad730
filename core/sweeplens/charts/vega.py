"""Parts of Vega-Lite specifications that several kinds of charts share.

Fields have fixed names (``x``, ``y``, ``series``, ``h0``), because Vega reads a name with a dot as a path. Names from logs
are used in titles, values and domains, where they are text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sweeplens.charts.chart import Spec
from sweeplens.charts.labels import printed, short_labels, wrapped
from sweeplens.charts.request import PlotRequest
from sweeplens.charts.scales import ValueRange

__all__ = [
    "BEST_FIRST",
    "Row",
    "category_legend",
    "filled_view",
    "json_value",
    "layer",
    "named_runs",
    "number_field",
    "odd_runs",
    "single_tick",
    "text_field",
    "title_lines",
    "tooltip",
]

Row = dict[str, Any]
"""One mark's values, by our names of fields."""

_TITLE_SIZE = 14.5
_LOW = 380  # pixels, below which titles of axes lie flat
_LONG_LABEL = 34  # characters
_LONGEST_ID = 300  # characters
BEST_FIRST = ", best first"
_ROOM = 12  # pixels


def layer(mark: Mapping[str, Any], rows: Sequence[Row], encoding: Mapping[str, Any]) -> Spec:
    """Returns a layer: one kind of mark over its own rows."""
    return {"data": {"values": list(rows)}, "mark": dict(mark), "encoding": dict(encoding)}


def filled_view(ask: PlotRequest, title: str, notes: Iterable[str], layers: Sequence[Spec], **more: Any) -> Spec:
    """Returns a view of layers of the requested size, axes and legend included."""
    return {
        "title": title_lines(title, notes, ask.width),
        "width": ask.width,
        "height": ask.height,
        "autosize": {"type": "fit", "contains": "padding"},
        "layer": _compact([part for part in layers if part["data"]["values"]], ask),
        **more,
    }


def _compact(layers: Sequence[Spec], ask: PlotRequest) -> list[Spec]:
    """Returns layers with axis titles that fit a small chart: that of y above the axis, that of x aligned right."""
    if not ask.narrow and ask.height >= _LOW:
        return list(layers)
    above: Spec = {"titleAngle": 0, "titleAlign": "left", "titleBaseline": "bottom", "titleX": 0, "titleY": -6}
    more: dict[str, Spec] = {"y": above, "x": {"titleAnchor": "end", "titleLimit": ask.width - 30}}
    return [
        {**part, "encoding": {k: _with_axis(e, more[k]) if k in more else e for k, e in part["encoding"].items()}}
        for part in layers
    ]


def _with_axis(channel: Spec, more: Spec) -> Spec:
    axis: Spec = channel.get("axis") or {}
    return {**channel, "axis": {**axis, **more}} if axis.get("title") else channel


def named_runs(runs: Iterable[tuple[str, str]]) -> Spec:
    """Returns the run id of each label, for pages on which runs can be clicked; without ambiguous labels and very long ids."""
    runs_of: dict[str, set[str]] = {}
    for label, run in runs:
        runs_of.setdefault(label, set()).add(run)
    single = {label: min(ids) for label, ids in runs_of.items() if len(ids) == 1}
    return {"usermeta": {"runs": {label: run for label, run in single.items() if len(run) <= _LONGEST_ID}}}


def odd_runs(ids: Iterable[str]) -> Spec:
    """Returns `named_runs` of the runs whose label differs from their id."""
    return named_runs((label, run) for run in ids if (label := printed(run)) != run)


def title_lines(title: str, notes: Iterable[str], width: int) -> Spec:
    """Returns a title with notes below it, wrapped to the width."""
    lines = [line for note in notes if note for line in wrapped(note, width - 24, 11.5)]
    return {"text": wrapped(title, width - 24, _TITLE_SIZE), **({"subtitle": lines} if lines else {})}


def number_field(
    field: str,
    title: str,
    *,
    log: bool = False,
    within: ValueRange | None = None,
    zero: bool = False,
    room: bool = False,
    **more: Any,
) -> Spec:
    """Returns the encoding of a number along an axis. ``within``: only this range is shown; ``room``: no value at its edge."""
    scale: Spec = {"type": "log"} if log else {"zero": zero}
    if room and within is None:
        scale |= {"padding": _ROOM, "nice": False}
    if within is not None:
        scale |= {"domain": [within.low, within.high], "clamp": False}
    axis: Spec = {"title": title, **more}
    if log:
        axis |= {"format": "~g", "labelOverlap": "greedy", "labelSeparation": 4} if "format" not in axis else {}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def single_tick(values: Sequence[float]) -> Spec:
    """Returns axis options for values that are all equal: one tick with the value, because default ticks round it to 0."""
    return {"values": [values[0]], "format": ".4~g"} if len(set(values)) == 1 else {}


def text_field(field: str, title: str | None, order: Sequence[str], **axis: Any) -> Spec:
    """Returns the encoding of labels along an axis, in this order."""
    return {
        "field": field,
        "type": "nominal",
        "sort": list(order),
        "scale": {"domain": list(order)},
        "axis": {"title": title, **axis},
    }


def category_legend(ask: PlotRequest, field: str, title: str, order: Sequence[str]) -> Spec:
    """Returns the encoding of groups as colours, with a legend beside a chart or below a narrow one."""
    legend: Spec = {"title": wrapped(title, 250), "symbolType": "stroke", "symbolStrokeWidth": 3, "symbolSize": 130}
    short = short_labels(order, 22 if ask.narrow else _LONG_LABEL)
    if short is not None:
        legend_title = f"{short.names}{BEST_FIRST}" if title.endswith(BEST_FIRST) else short.names
        legend |= {"title": wrapped(legend_title, 250), "labelExpr": short.expression}
    if ask.narrow:
        columns = 1 if max(map(len, short.labels if short else order), default=0) > 22 else 2
        legend |= {
            "orient": "bottom",
            "columns": columns,
            "labelLimit": ask.width // columns - 40,
            "titleLimit": ask.width - 40,
        }
    return {"field": field, "type": "nominal", "sort": list(order), "scale": {"domain": list(order)}, "legend": legend}


def tooltip(**fields: str) -> list[Spec]:
    """Returns the tooltip of a mark, from field=title."""
    return [{"field": field, "title": title} for field, title in fields.items()]


def json_value(value: object) -> object:
    """Returns a cell of a frame for JSON; a number that is not finite becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
