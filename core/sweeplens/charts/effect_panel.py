"""The panel of differences that comparisons share: dots with intervals, in standard deviations.

Differences and verdicts are those of `compare`; each stratum of a matched comparison is a small dot of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeplens.charts.chart import Spec
from sweeplens.charts.labels import distinct, printed
from sweeplens.charts.vega import Row, layer, text_field, tooltip

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.answers import Answer

__all__ = ["STRATA_NOTE", "effect_rows", "effects_panel", "is_clear", "said_notes", "stratum_rows"]

STRATA_NOTE = " Small marks: single strata."

_VERDICT = 160  # characters


def is_clear(row: Mapping[str, Any]) -> bool:
    """Returns whether the answer calls this difference significant."""
    return str(row["verdict"]).startswith("different")


def said_notes(answer: Answer) -> list[str]:
    """Returns the notes needed to read a difference: the method, the matching, and the strata that disagree."""
    telling = ("Matched on", "Strata disagree", "The sides beside", "The sides also differ", "So far", "Holds")
    return [
        note for i, note in enumerate(answer.notes) if i == 0 or note.startswith(telling) or ": Strata disagree" in note
    ]


def effect_rows(records: Sequence[Mapping[str, Any]], labels: Sequence[str], sides: Sequence[str]) -> list[Row]:
    """Returns a row for each difference with an interval; ``sides``: the colour of a significant one."""
    rows: list[Row] = []
    for r, label, side in zip(records, distinct(labels), sides, strict=True):
        if None in (r["effect_size"], r["ci95_low"], r["ci95_high"]) or not r["difference"]:
            continue
        unit = r["effect_size"] / r["difference"]
        rows.append(
            {
                "metric": label,
                "effect": r["effect_size"],
                "low": r["ci95_low"] * unit,
                "high": r["ci95_high"] * unit,
                "difference": r["difference"],
                "p": r["p_adjusted"],
                "said": printed(r["verdict"], _VERDICT),
                "verdict": side if is_clear(r) else "",
            }
        )
    return rows


def stratum_rows(strata: pl.DataFrame | None, rows: Sequence[Row], label_of: Mapping[str, str], key: str) -> list[Row]:
    """Returns the difference within each stratum in the unit of its row; ``key``: the column whose values ``label_of`` names."""
    if strata is None or not strata.height:
        return []
    unit = {r["metric"]: r["effect"] / r["difference"] for r in rows}
    labelled = [(label_of.get(str(s[key]), ""), s) for s in strata.to_dicts()]
    return [
        {
            "metric": label,
            "effect": s["difference"] * unit[label],
            "stratum": printed(s["stratum"]),
            "difference": s["difference"],
            "n_a": s["n_a"],
            "n_b": s["n_b"],
        }
        for label, s in labelled
        if label in unit and s["difference"] is not None
    ]


def effects_panel(
    rows: Sequence[Row],
    strata: Sequence[Row],
    sides: Sequence[str],
    size: tuple[int, int],
    axis: str,
    row_title: str = "metric",
    legend: bool = True,
) -> Spec:
    """Returns the panel. ``sides``: the domain of the colours; differences that are not significant are grey."""
    width, height = size
    y = text_field("metric", None, [r["metric"] for r in rows], labelLimit=120)
    x: Spec = {"field": "effect", "type": "quantitative", "scale": {"zero": True}, "axis": {"title": axis}}
    colour = _side_colour(rows, sides, width if legend else 0)
    encoding: Spec = {"x": x, "y": y, "tooltip": _effect_tooltip(row_title)}
    return {
        "width": width,
        "height": height,
        "layer": [
            _zero(),
            *_intervals([r for r in rows if not r["verdict"]], encoding, style="rest"),
            *_intervals([r for r in rows if r["verdict"]], {**encoding, "color": colour}),
            *_strata(strata, x, y),
        ],
    }


def _side_colour(rows: Sequence[Row], sides: Sequence[str], legend_width: int) -> Spec:
    """Returns the encoding of the better side as a colour, with a legend below; ``legend_width`` 0: without a legend."""
    verdicts = {r["verdict"] for r in rows}
    legend: Spec = {
        "values": [side for side in sides if side in verdicts],
        "title": None,
        "orient": "bottom",
        "direction": "vertical",
        "labelLimit": legend_width,
    }
    scale = {"domain": list(sides)}
    return {"field": "verdict", "type": "nominal", "scale": scale, "legend": legend if legend_width else None}


def _effect_tooltip(row_title: str) -> list[Spec]:
    return tooltip(
        metric=row_title,
        effect="effect size",
        low="95 % from",
        high="95 % to",
        difference="difference",
        p="p",
        said="verdict",
    )


def _zero() -> Spec:
    return layer(
        {"type": "rule", "style": "quiet", "strokeDash": [2, 3]},
        [{"x": 0}],
        {"x": {"field": "x", "type": "quantitative"}},
    )


def _strata(strata: Sequence[Row], x: Spec, y: Spec) -> list[Spec]:
    if not strata:
        return []
    tooltip_fields = tooltip(stratum="within", difference="difference", n_a="runs of a", n_b="runs of b")
    mark: Spec = {"type": "tick", "style": "ink", "thickness": 1.5, "size": 16, "opacity": 0.6}
    return [layer(mark, strata, {"x": x, "y": y, "tooltip": tooltip_fields})]


def _intervals(rows: list[Row], encoding: Spec, **mark: str) -> list[Spec]:
    """Returns the layers of dots and intervals."""
    if not rows:
        return []
    ends = {**encoding, "x": {**encoding["x"], "field": "low"}, "x2": {"field": "high"}}
    return [
        layer({"type": "rule", "strokeWidth": 2, **mark}, rows, ends),
        layer({"type": "point", "filled": True, "size": 80, "opacity": 1, **mark}, rows, encoding),
    ]
