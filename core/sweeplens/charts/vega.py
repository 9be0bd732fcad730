"""Parts of Vega-Lite specifications that several kinds of charts share.

Fields have fixed names of ours (``x``, ``y``, ``series``, ``h0``): a name with a dot or a slash would be taken for a path.
What users called things stands in titles, values and domains, where it is text.
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
    "count_of",
    "filled_view",
    "json_value",
    "layer",
    "named_runs",
    "number_field",
    "odd_runs",
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
    """One kind of mark over its own rows."""
    return {"data": {"values": list(rows)}, "mark": dict(mark), "encoding": dict(encoding)}


def filled_view(ask: PlotRequest, title: str, notes: Iterable[str], layers: Sequence[Spec], **more: Any) -> Spec:
    """Layers that fill the size that was asked for, axes and legend included."""
    return {
        "title": title_lines(title, notes, ask.width),
        "width": ask.width,
        "height": ask.height,
        "autosize": {"type": "fit", "contains": "padding"},
        "layer": _compact([part for part in layers if part["data"]["values"]], ask),
        **more,
    }


def _compact(layers: Sequence[Spec], ask: PlotRequest) -> list[Spec]:
    """Layers whose titles of axes fit a small picture: that of y lies above the axis, that of x may begin left of it."""
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
    """Which run each label stands for, (label, id), for pages on which runs can be clicked.

    Left out: labels of several runs, and ids that are too long.
    """
    found: dict[str, set[str]] = {}
    for label, run in runs:
        found.setdefault(label, set()).add(run)
    single = {label: min(ids) for label, ids in found.items() if len(ids) == 1}
    return {"usermeta": {"runs": {label: run for label, run in single.items() if len(run) <= _LONGEST_ID}}}


def odd_runs(ids: Iterable[str]) -> Spec:
    """The runs that are not printed as they are called."""
    return named_runs((label, run) for run in ids if (label := printed(run)) != run)


def title_lines(title: str, notes: Iterable[str], width: int) -> Spec:
    """A title with notes below it, each in as many lines as the width asks for."""
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
    """A number as a place on an axis. ``within``: only this range is shown; ``room``: none of them on its edge."""
    scale: Spec = {"type": "log"} if log else {"zero": zero}
    if room and within is None:
        scale |= {"padding": _ROOM, "nice": False}
    if within is not None:
        scale |= {"domain": [within.low, within.high], "clamp": False}
    axis: Spec = {"title": title, **more}
    if log:
        axis |= {"format": "~g", "labelOverlap": "greedy", "labelSeparation": 4} if "format" not in axis else {}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def text_field(field: str, title: str | None, order: Sequence[str], **axis: Any) -> Spec:
    """Labels along an axis, in this order."""
    return {
        "field": field,
        "type": "nominal",
        "sort": list(order),
        "scale": {"domain": list(order)},
        "axis": {"title": title, **axis},
    }


def category_legend(ask: PlotRequest, field: str, title: str, order: Sequence[str]) -> Spec:
    """Colours of groups in this order, with a legend beside the picture, or below it where it is narrow."""
    legend: Spec = {"title": wrapped(title, 250), "symbolType": "stroke", "symbolStrokeWidth": 3, "symbolSize": 130}
    short = short_labels(order, 22 if ask.narrow else _LONG_LABEL)
    if short is not None:
        told = f"{short.names}{BEST_FIRST}" if title.endswith(BEST_FIRST) else short.names
        legend |= {"title": wrapped(told, 250), "labelExpr": short.expression}
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
    """field=title: what is said of a mark when it is pointed at."""
    return [{"field": field, "title": title} for field, title in fields.items()]


def json_value(value: object) -> object:
    """A cell of a frame as JSON can hold it; what is not finite is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def count_of(n: int, one: str, many: str = "") -> str:
    """``1 run``, ``3 runs``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
