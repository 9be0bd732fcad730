"""The light and the dark theme of charts, one configuration each; specifications themselves hold no colours of a page.

The six colours of groups can be distinguished with red-green or blue-yellow colour blindness, and have a contrast to the page
of at least 3:1 (`tests/core/test_chart_colours.py` measures both). Lines without a name are grey.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sweeplens.errors import UnknownNameError

__all__ = ["CATEGORIES", "THEMES", "Theme", "check_theme", "config_of", "ink_on", "ramp_colour"]

CATEGORIES = 6
"""How many colours there are; more groups than that are grey."""


class Theme(Struct, frozen=True):
    """The colours of one kind of page."""

    page: str
    text: str
    quiet: str  # axes, notes
    grid: str
    rest: str  # lines without a name
    categories: tuple[str, ...]
    ramp: tuple[float, float]  # the part of viridis that stands out from the page


THEMES = {
    "light": Theme(
        "#ffffff", "#1c2127", "#57606a", "#e6e9ed", "#b0b6be",
        ("#050aea", "#f501a2", "#a5490e", "#1aab0c", "#9167ff", "#741280"), (0.0, 0.9),
    ),
    "dark": Theme(
        "#16191d", "#e6edf3", "#9aa4ae", "#2b3138", "#5a626c",
        ("#1cb0fc", "#e285ae", "#96a12e", "#1ff62d", "#a706f3", "#d1000b"), (0.25, 1.0),
    ),
}  # fmt: skip

_MIDDLE = 0.179  # the luminance from which black has the better contrast
_FONT = "DejaVu Sans, Liberation Sans, Arial, Helvetica, sans-serif"
_VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
    (170, 220, 50), (253, 231, 37),
)  # fmt: skip


def check_theme(theme: str) -> None:
    """Raises UnknownNameError for an unknown theme."""
    if theme not in THEMES:
        raise UnknownNameError.of("theme", theme, THEMES, hint=f"Themes: {', '.join(THEMES)}.")


def config_of(theme: str) -> dict[str, Any]:
    """Returns the Vega-Lite configuration of a theme."""
    t = THEMES[theme]
    text = {
        "labelColor": t.quiet,
        "titleColor": t.text,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": 600,
    }
    symbols = {"symbolOpacity": 1, "symbolBaseFillColor": t.text, "symbolBaseStrokeColor": t.text}
    return {
        "background": t.page,
        "font": _FONT,
        "padding": 12,
        "view": {"stroke": None},
        "title": {
            "color": t.text, "subtitleColor": t.quiet, "anchor": "start", "frame": "bounds", "fontSize": 14,
            "fontWeight": 600, "subtitleFontSize": 11.5, "subtitleLineHeight": 15, "offset": 12, "subtitlePadding": 5,
        },
        "axis": {**text, "gridColor": t.grid, "domainColor": t.quiet, "tickColor": t.quiet, "labelLimit": 230, "titleLimit": 460},
        "axisX": {"labelFlush": False},
        "header": text,
        "legend": {**text, "labelLimit": 260, "titleLimit": 260, "labelFontSize": 11.5, **symbols},
        "range": {"category": list(t.categories), "ramp": _viridis(t.ramp)},
        "mark": {"color": t.categories[0]},
        "style": _styles(t),
    }  # fmt: skip


def _viridis(part: tuple[float, float]) -> list[str]:
    """Returns nine colours of a part of viridis."""
    shares = [part[0] + i * (part[1] - part[0]) / 8 for i in range(9)]
    return ["#{:02x}{:02x}{:02x}".format(*ramp_colour(share)) for share in shares]


def _styles(t: Theme) -> dict[str, Any]:
    """Returns the styles of marks with colours of the page, by name."""
    return {
        "rest": {"stroke": t.rest, "fill": t.rest, "color": t.rest},
        "rest-line": {"stroke": t.rest, "color": t.rest},
        "ink": {"stroke": t.text, "color": t.text},
        "quiet": {"stroke": t.quiet, "color": t.quiet},
        "finding": {"stroke": t.page, "fill": t.text, "color": t.text, "strokeWidth": 1},
        "note": {"fill": t.quiet, "color": t.quiet, "fontSize": 11},
        "strong-note": {"fill": t.text, "color": t.text, "fontSize": 11},
        "hollow": {"stroke": t.rest, "color": t.rest, "strokeDash": [3, 3]},
        "halo": {"stroke": t.page, "fill": t.page, "color": t.page, "strokeWidth": 3, "fontSize": 10},
    }


def ramp_colour(share: float) -> tuple[int, int, int]:
    """Returns the colour of viridis at a share between 0 and 1."""
    at = min(max(share, 0.0), 1.0) * (len(_VIRIDIS) - 1)
    low = min(int(at), len(_VIRIDIS) - 2)
    one, two, part = _VIRIDIS[low], _VIRIDIS[low + 1], at - low
    r, g, b = (round(a + (z - a) * part) for a, z in zip(one, two, strict=True))
    return r, g, b


def ink_on(share: float) -> str:
    """Returns black or white, which has the better contrast to viridis at a share."""
    r, g, b = (_linear(channel / 255) for channel in ramp_colour(share))
    return "#000000" if 0.2126 * r + 0.7152 * g + 0.0722 * b > _MIDDLE else "#ffffff"


def _linear(channel: float) -> float:
    """Returns the linear light of a channel of sRGB."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
