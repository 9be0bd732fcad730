"""Renders a chart as a tool's result: a PNG, and text with its main finding and basis.

There is no structured content, because some clients then drop images. If the image cannot be drawn, the text remains and says
how to install the renderer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sweeplens.errors import LimitError, RenderError
from sweeplens_mcp.render.answers import ToolReply
from sweeplens_mcp.render.basis import basis_json, basis_text
from sweeplens_mcp.render.cells import clip

if TYPE_CHECKING:
    from sweeplens.charts import Chart

__all__ = ["MOST_IMAGE_BYTES", "data_reply", "picture_reply"]

MOST_IMAGE_BYTES = 60_000
_BASIS_SHARE = 0.3
_MOST_DATA_BYTES = 900_000  # what clients pass to a page


def picture_reply(chart: Chart, budget: int) -> ToolReply:
    """Renders the chart as at most ``MOST_IMAGE_BYTES`` of image and ``budget`` bytes of text."""
    basis = basis_text(basis_json(chart.basis, int(budget * _BASIS_SHARE)))
    try:
        image, note = chart.png(most_bytes=MOST_IMAGE_BYTES), ""
    except RenderError as error:
        image, note = b"", f"No picture: {error}\n"
    room = budget - len(f"{note}{basis}".encode()) - 100
    words = f"{chart.title}\n{chart.caption}"
    most = min(len(words), room)
    while len(clip(words, most).encode()) > room:
        most = most * 9 // 10
    lines = "\n".join(clip(line, most) for line in words.split("\n"))
    return ToolReply(None, f"{lines}\n{note}{basis}", None, image)


def data_reply(chart: Chart, budget: int) -> ToolReply:
    """Renders the chart's specification and the themes, for a page that draws it. Raises LimitError."""
    spec = {name: part for name, part in chart.to_dict().items() if name != "config"}
    from sweeplens.charts.theme import THEMES, config_of  # imports Polars, which a start need not wait for

    themes = {name: config_of(name) for name in THEMES}
    basis = basis_json(chart.basis, int(budget * _BASIS_SHARE))
    data: dict[str, object] = {
        "title": chart.title,
        "caption": chart.caption,
        "basis": basis_text(basis),
        "spec": spec,
        "themes": themes,
    }
    size = len(json.dumps(data).encode())
    if size > _MOST_DATA_BYTES:
        raise LimitError(
            f"This chart has {size:,} bytes of data, more than clients take: ask for fewer runs or metrics."
        )
    return ToolReply(data, clip(chart.title, budget // 4), None)
