"""Chart of runs over wall time, coloured by status, with findings as marks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.labels import listed_names, printed, run_labels
from sweeplens.charts.request import PlotRequest
from sweeplens.charts.vega import Row, filled_view, json_value, layer, named_runs, tooltip
from sweeplens.counting import count_of
from sweeplens.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["timeline"]

_MOST_RUNS = 400
_MOST_LABELS = 30
_MOST_DIAGNOSED = 2_000
_STATUSES = ("finished", "running", "crashed", "failed", "killed", "unknown")
_COLUMNS = ("status", "created_at", "updated_at")
_SHAPES = {
    "nan": "cross",
    "crashed": "triangle-down",
    "stalled": "square",
    "divergence": "triangle-up",
    "overfit": "circle",
    "ends_early": "triangle-left",
}
_TIMES = {
    "seconds": "%H:%M:%S",
    "minutes": "%H:%M",
    "hours": "%H:%M",
    "day": "%d %b",
    "date": "%d %b",
    "week": "%d %b",
    "month": "%b %Y",
}


def timeline(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the answer of `list_runs` as bars in time, and that of `diagnose` as marks."""
    answer = db.list_runs(runs=ask.runs, where=ask.where, columns=_COLUMNS)
    timed = answer.table.filter(answer.table["created_at"].is_not_null() & answer.table["updated_at"].is_not_null())
    if not timed.height:
        raise InputError("Nothing to draw: no run's log says when it began (no timestamps).")
    shown = timed.sort("created_at", "run_id").tail(_MOST_RUNS)
    rows = _bars(shown, 14 if ask.narrow else 36)
    findings = _findings(db, ask, rows) if answer.table.height <= _MOST_DIAGNOSED else []
    untimed = answer.table.height - timed.height
    notes = [
        f"The {_MOST_RUNS} that began last, of {timed.height}." if timed.height > _MOST_RUNS else "",
        f"{count_of(untimed, 'run')} without a time of beginning not shown." if untimed else "",
    ]
    title = f"{count_of(len(rows), 'run')} over wall time, by status"
    spec = _spec(ask, title, notes, rows, findings) | named_runs((row["run"], row["id"]) for row in rows)
    return Chart("timeline", title, _caption(rows, findings, notes), spec, answer.basis)


def _bars(shown: pl.DataFrame, most: int) -> list[Row]:
    records = shown.to_dicts()
    labels = run_labels([r["run_id"] for r in records], most)
    return [
        {
            "run": label,
            "id": r["run_id"],
            "start": json_value(r["created_at"]),
            "end": json_value(r["updated_at"]),
            "status": r["status"] if r["status"] in _STATUSES else "unknown",
            "took": _duration(r["created_at"], r["updated_at"]),
        }
        for label, r in zip(labels, records, strict=True)
    ]


def _duration(start: datetime, end: datetime) -> str:
    seconds = int((end - start).total_seconds())
    hours, rest = divmod(max(seconds, 0), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _findings(db: ExperimentDB, ask: PlotRequest, rows: Sequence[Row]) -> list[Row]:
    """Returns the worst finding of each run that has one of high or medium severity."""
    table = db.diagnose(runs=ask.runs, where=ask.where).table
    serious = table.filter(table["severity"] != "low").unique("run_id", keep="first", maintain_order=True)
    worst = {r["run_id"]: r for r in serious.to_dicts()}
    return [
        {"run": row["run"], "at": row["end"], "finding": f["finding"], "evidence": printed(f["evidence"], 120)}
        for row in rows
        if (f := worst.get(row["id"])) is not None
    ]


def _spec(ask: PlotRequest, title: str, notes: Sequence[str], rows: list[Row], findings: list[Row]) -> Spec:
    order = [r["run"] for r in rows]
    named = len(rows) <= min(_MOST_LABELS, max(6, (ask.height - 140) // 13))
    axis: dict[str, Any] = {
        "title": None,
        "labels": named,
        "ticks": named,
        "labelLimit": ask.width // 4,
        "labelFontSize": 10,
    }
    y = {
        "field": "run",
        "type": "nominal",
        "scale": {"domain": order, "paddingInner": 0.25 if len(rows) < 150 else 0},
        "axis": axis,
    }
    layers = _layers(ask, rows, findings, y)
    return filled_view(ask, title, [*notes, "" if named else "One line a run, in order of their beginning."], layers)


def _layers(ask: PlotRequest, rows: list[Row], findings: list[Row], y: Spec) -> list[Spec]:
    """Returns the layers: a bar a run, a tick at its beginning (a short run has no visible bar), and a mark for a finding."""
    time = {
        "type": "temporal",
        "axis": {"title": "time (UTC)", "labelOverlap": True, "format": _TIMES},
        "scale": {"type": "utc"},
    }
    colour, shape = _status_colour(ask, rows), _finding_shape(ask, findings)
    drawn = [{k: v for k, v in r.items() if k != "id"} for r in rows]
    tooltip_fields = tooltip(run="run", status="status", start="began", end="last written", took="took")
    return [
        layer(
            {"type": "bar"},
            drawn,
            {
                "x": {"field": "start", **time},
                "x2": {"field": "end"},
                "y": y,
                "color": colour,
                "tooltip": tooltip_fields,
            },
        ),
        layer(
            {"type": "tick", "thickness": 3, "bandSize": max(2, min(12, (ask.height - 110) // len(rows)))},
            drawn,
            {"x": {"field": "start", **time}, "y": y, "color": colour, "tooltip": tooltip_fields},
        ),
        layer(
            {"type": "point", "filled": True, "style": "finding", "size": 75, "opacity": 1},
            findings,
            {
                "x": {"field": "at", **time},
                "y": y,
                "shape": shape,
                "tooltip": tooltip(run="run", finding="finding", evidence="evidence"),
            },
        ),
    ]


def _legend(ask: PlotRequest, title: str) -> Spec:
    return {"title": title, "orient": "bottom" if ask.narrow else "right", "columns": 3 if ask.narrow else 1}


def _status_colour(ask: PlotRequest, rows: list[Row]) -> Spec:
    statuses = [s for s in _STATUSES if any(r["status"] == s for r in rows)]
    scale = {"domain": statuses}
    return {"field": "status", "type": "nominal", "scale": scale, "legend": _legend(ask, "status")}


def _finding_shape(ask: PlotRequest, findings: list[Row]) -> Spec:
    kinds = list(dict.fromkeys(f["finding"] for f in findings))
    scale = {"domain": kinds, "range": [_SHAPES.get(k, "diamond") for k in kinds]}
    legend = _legend(ask, "what broke") | ({"orient": "top"} if ask.narrow else {})
    return {"field": "finding", "type": "nominal", "scale": scale, "legend": legend}


def _caption(rows: Sequence[Row], findings: Sequence[Row], notes: Sequence[str]) -> str:
    counts = {s: sum(r["status"] == s for r in rows) for s in _STATUSES}
    statuses = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
    runs_by_kind: dict[str, list[str]] = {}
    for f in findings:
        runs_by_kind.setdefault(f["finding"], []).append(f["run"])
    worst = "; ".join(f"{kind} in {len(names)} ({listed_names(names)})" for kind, names in runs_by_kind.items())
    first, last = rows[0]["start"][:16], max(r["end"] for r in rows)[:16]
    return " ".join(
        [
            f"{count_of(len(rows), 'run')} from {first} to {last} UTC: {statuses}.",
            f"What broke: {worst}." if worst else "",
            *notes,
        ]
    ).strip()
