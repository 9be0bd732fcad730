"""Chart of a ranking: groups best first, with mean, 95 % interval, each run as a dot, and ties with the best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sweeplens.analyses.ranking import BROKEN, RANK_COLUMNS
from sweeplens.charts.axis_notes import broken_among, cut_ends, cut_note, stretch_note
from sweeplens.charts.chart import Chart, Spec
from sweeplens.charts.labels import (
    DisplayNames,
    distinct,
    listed_names,
    number,
    printed,
    run_labels,
    short_labels,
    short_names,
)
from sweeplens.charts.request import Metric, PlotRequest, asked_metrics, names_of, reading_of
from sweeplens.charts.scales import ValueRange, is_log, range_with_intervals, value_range
from sweeplens.charts.vega import (
    Row,
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
from sweeplens.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from sweeplens.experiment_db import ExperimentDB

__all__ = ["by_hparams", "group_columns", "group_labels", "ranking"]

_ROW_PIXELS = 19
_FRAME_PIXELS = 130
_CHARACTER_PIXELS = 7
_WORST = 3
_MOST_DOTS = 3_000
_VERDICTS = {True: "not told apart from the best", False: "behind by more than chance", None: "no spread to judge by"}
_BEST = "best"
_TASK = "task"
_MOST_IN_TITLE = 3
_MOST_BEST = 4
_INTERVAL_ROOM = 3.0  # of the range of the runs; longer intervals end in an arrow


class _Shown(Struct, frozen=True):
    """The rows of the ranking to draw, their labels, and the number of all rows."""

    rows: list[dict[str, Any]]
    labels: list[str]
    total: int


class _RankingAxis(Struct, frozen=True):
    """The encoding of the values, the range that is shown, and the ends of intervals beyond it."""

    x: Spec
    within: ValueRange | None
    cut: tuple[list[Row], list[Row]]


def ranking(db: ExperimentDB, ask: PlotRequest) -> Chart:
    """Draws the groups in order of one metric."""
    metric = asked_metrics(db, ask, 1)[0]
    options: dict[str, Any] = {"goal": ask.goal, "runs": ask.runs, "where": ask.where, "hparams": ask.hparams}
    options["reduce"] = ask.reading
    by = "run" if ask.group == "run" else "group"
    answer = db.rank(metric.name, by=by, **options)
    table = answer.table.filter(answer.table["mean"].is_not_null())
    if not table.height:
        raise InputError(f"Nothing to draw: no run has a finite value of {metric.name!r}.")
    keys = group_columns(table)
    names = names_of(db)
    shown = _shown(table, keys, names, ask)
    single = db.rank(metric.name, by="run", **options).table if by == "group" and keys else None
    dots = _dots(single, keys, shown) if single is not None else []
    axis = _axis(ask, metric, shown, dots)
    said = [cut_note(axis.cut, "group"), _stretch(db, ask, shown, single, keys)]
    spec = _spec(ask, metric, shown, dots, axis, keys, names, [*answer.notes[1:2], *said])
    spec |= odd_runs(single["run_id"]) if single is not None else {}
    caption = " ".join(filter(None, [_caption(metric, shown, answer.notes), *said]))
    return Chart("ranking", spec["title"]["text"][0], caption, spec, answer.basis)


def group_columns(table: pl.DataFrame) -> list[str]:
    """Returns the columns of a ranking that identify a group: its hyperparameters, and the task if there are several."""
    return [c for c in table.columns if c == _TASK or c not in RANK_COLUMNS]


def group_labels(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], names: DisplayNames) -> list[str]:
    """Returns a short label for each group: the shortest names of hyperparameters, as many as needed to distinguish groups."""
    short = dict(zip(keys, short_names([names.hparam(k) for k in keys]), strict=True))
    distinguishing = _distinguishing(rows, keys)
    return distinct([", ".join(f"{short[k]}={printed(r[k], 24)}" for k in distinguishing) for r in rows])


def by_hparams(keys: Sequence[str], names: DisplayNames) -> str:
    """Returns ``by optim.lr, seed``, or the number of hyperparameters."""
    if len(keys) > _MOST_IN_TITLE:
        return f" by {len(keys)} hyperparameters"
    return f" by {', '.join(names.hparam(k) for k in keys)}" if keys else ""


def _distinguishing(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    """Returns the hyperparameters of labels: all of a few; of many, those needed to distinguish groups, the best one first."""
    if len(keys) <= _MOST_IN_TITLE and len(rows) > 2:
        return list(keys)
    chosen: list[str] = []
    groups = 1
    while groups < len(rows) and len(chosen) < len(keys):
        counts = {k: len({tuple(repr(r[c]) for c in (*chosen, k)) for r in rows}) for k in keys if k not in chosen}
        best = max(counts, key=counts.__getitem__)
        if counts[best] == groups:
            break
        chosen.append(best)
        groups = counts[best]
    return [k for k in keys if k in chosen] or list(keys[:1])


def _shown(table: pl.DataFrame, keys: Sequence[str], names: DisplayNames, ask: PlotRequest) -> _Shown:
    room = max(6, (ask.height - _FRAME_PIXELS) // _ROW_PIXELS)
    total = table.height
    if _TASK in table.columns:
        selected = table.sort("rank", maintain_order=True).head(room).sort(_TASK, maintain_order=True)
    else:
        selected = table if total <= room else table.head(room - _WORST).vstack(table.tail(_WORST))
    rows = selected.to_dicts()
    if "run_id" in table.columns:
        runs = run_labels([r["run_id"] for r in rows], 40)
        tasks = [f"{printed(r[_TASK], 40)}, " if _TASK in r else "" for r in rows]
        labels = distinct([f"{task}{run}" for task, run in zip(tasks, runs, strict=True)])
    else:
        labels = group_labels(rows, keys, names) if keys else ["all runs"]
    return _Shown(rows, labels, total)


def _dots(single: pl.DataFrame, keys: Sequence[str], shown: _Shown) -> list[Row]:
    """Returns the runs of the groups that are shown."""
    label = {tuple(row[k] for k in keys): name for row, name in zip(shown.rows, shown.labels, strict=True)}
    runs = single.select("run_id", "status", "mean", *keys).to_dicts()
    labelled = [(label.get(tuple(r[k] for k in keys)), r) for r in runs]
    return [
        {"group": name, "value": json_value(r["mean"]), "run": printed(r["run_id"]), "status": r["status"]}
        for name, r in labelled
        if name is not None
    ][:_MOST_DOTS]


def _rows(shown: _Shown) -> list[Row]:
    return [
        {
            "group": label,
            "rank": row["rank"],
            "mean": json_value(row["mean"]),
            "low": json_value(row["ci95_low"]),
            "high": json_value(row["ci95_high"]),
            "n": row["n"],
            "verdict": _BEST if row["rank"] == 1 else _VERDICTS[row["tied"]],
        }
        for row, label in zip(shown.rows, shown.labels, strict=True)
    ]


def _axis(ask: PlotRequest, metric: Metric, shown: _Shown, dots: list[Row]) -> _RankingAxis:
    """Returns an axis with whole intervals, unless they are many times as long as the range of the runs."""
    rows = _rows(shown)
    values = [*(r["mean"] for r in rows), *(d["value"] for d in dots)]
    ends = [r[k] for r in rows for k in ("low", "high") if r[k] is not None]
    log = is_log(ask.log, "x", [*values, *ends], metric.goal)
    within = value_range(values, log=log) or (None if log else range_with_intervals(values, ends, _INTERVAL_ROOM))
    title = f"{metric.shown}, {reading_of(metric, ask.reading)} of each run"
    x = number_field("mean", title, log=log, within=within, **single_tick([*values, *ends]))
    if within is not None:
        x["scale"]["nice"] = False  # an arrow stands at the very end
    return _RankingAxis(x, within, cut_ends(rows, within))


def _stretch(
    db: ExperimentDB, ask: PlotRequest, shown: _Shown, single: pl.DataFrame | None, keys: Sequence[str]
) -> str:
    """Returns a note on the rows that hold broken runs, if these stretch the axis."""
    label_of = {tuple(row[k] for k in keys): label for row, label in zip(shown.rows, shown.labels, strict=True)}
    if single is None:
        runs = {row["run_id"]: label for row, label in zip(shown.rows, shown.labels, strict=True) if "run_id" in row}
    else:
        own = single.select("run_id", *keys).rows()
        runs = {run: label_of[tuple(key)] for run, *key in own if tuple(key) in label_of}
    broken = Counter(runs[run] for run in broken_among(db, ask, list(runs)))
    rows = zip(shown.labels, _rows(shown), strict=True)
    extents = {label: [v for k in ("low", "mean", "high") if (v := row[k]) is not None] for label, row in rows}
    ordered = {label: broken[label] for label in shown.labels if broken[label]}
    return stretch_note(extents, ordered, ask.where)


def _spec(
    ask: PlotRequest,
    metric: Metric,
    shown: _Shown,
    dots: list[Row],
    drawn: _RankingAxis,
    keys: Sequence[str],
    names: DisplayNames,
    notes: Sequence[str],
) -> Spec:
    rows = _rows(shown)
    within = drawn.within
    y = _group_field(ask, shown.labels)
    layers = _layers(ask, metric, rows, dots, drawn, y)
    row_kind = "runs" if (rows and not keys) or "run_id" in shown.rows[0] else "groups"
    tasks = _TASK in keys
    which = "the best of each task" if tasks else f"the best and the last {_WORST}"
    cut = f"{len(rows)} of {count_of(shown.total, row_kind[:-1])} shown: {which}." * (len(rows) < shown.total)
    beyond = f"{count_of(within.beyond, 'value')} beyond the axis." if within and within.beyond else ""
    by = by_hparams(keys, names) if row_kind == "groups" else ""
    title = f"{metric.shown}: {count_of(shown.total, row_kind[:-1])}{by}, best first{' within each task' * tasks}"
    return filled_view(
        ask,
        title,
        [f"{re.split(r' [(]|;', notes[0])[0].rstrip('.')}.", *notes[1:], f"{cut} {beyond}".strip()],
        layers,
    )


def _group_field(ask: PlotRequest, labels: Sequence[str]) -> Spec:
    """Returns the axis of groups; if labels would be cut, the names of the hyperparameters are its title."""
    limit = ask.width * (4 if ask.narrow else 3) // 9
    short = short_labels(labels, limit // _CHARACTER_PIXELS)
    if short is None:
        return text_field("group", None, labels, labelLimit=limit)
    above = {"titleAngle": 0, "titleAlign": "left", "titleBaseline": "bottom", "titleX": 0, "titleY": -6}
    return text_field("group", short.names, labels, labelLimit=limit, labelExpr=short.expression, **above)


def _layers(
    ask: PlotRequest, metric: Metric, rows: list[Row], dots: list[Row], drawn: _RankingAxis, y: Spec
) -> list[Spec]:
    """Returns the layers: dots of runs, intervals and means of groups, arrows where intervals go beyond the axis."""
    x = drawn.x
    colour = _verdict_colour(ask, rows)
    tooltip_fields = tooltip(
        group="group", rank="rank", mean="mean", low="95 % from", high="95 % to", n="runs", verdict="verdict"
    )
    return [
        layer(
            {"type": "point", "style": "rest", "filled": True, "size": 26, "opacity": 0.75, "clip": True},
            dots,
            {
                "x": {"field": "value", "type": "quantitative"},
                "y": y,
                "tooltip": tooltip(run="run", value=metric.shown, status="status"),
            },
        ),
        layer(
            {"type": "rule", "strokeWidth": 2, "clip": True},
            [r for r in rows if r["low"] is not None],
            {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": colour, "tooltip": tooltip_fields},
        ),
        layer(
            {"type": "point", "filled": True, "size": 85, "opacity": 1, "clip": True},
            rows,
            {"x": x, "y": y, "color": colour, "tooltip": tooltip_fields},
        ),
        *(
            layer(
                {"type": "point", "shape": f"triangle-{side}", "filled": True, "size": 90, "opacity": 1},
                ends,
                {"x": {**x, "field": "at"}, "y": y, "color": colour, "tooltip": tooltip_fields},
            )
            for side, ends in zip(("left", "right"), drawn.cut, strict=True)
        ),
    ]


def _verdict_colour(ask: PlotRequest, rows: list[Row]) -> Spec:
    verdicts = [v for v in (_BEST, *_VERDICTS.values()) if any(r["verdict"] == v for r in rows)]
    direction = "vertical" if ask.narrow else "horizontal"
    legend = {"title": None, "orient": "bottom", "direction": direction, "labelLimit": 300}
    return {"field": "verdict", "type": "nominal", "scale": {"domain": verdicts}, "legend": legend}


def _caption(metric: Metric, shown: _Shown, notes: Sequence[str]) -> str:
    tasks = [
        (row, label) for row, label in zip(shown.rows, shown.labels, strict=True) if row["rank"] == 1 and _TASK in row
    ]
    best = tasks or [(shown.rows[0], shown.labels[0])]
    leaders = "; ".join(
        f"{label} with {number(row['mean'])}{_interval(row)}, {count_of(row['n'], 'run')}"
        for row, label in best[:_MOST_BEST]
    )
    tied = [label for row, label in zip(shown.rows, shown.labels, strict=True) if row["tied"] and row["rank"] > 1]
    parts = [f"Best by {metric.shown}{' within each task' * bool(tasks)}: {leaders}."]
    parts += [f"Not told apart from it: {listed_names(tied, 4)}."] if tied else []
    return " ".join([*parts, *notes[:2], *(n for n in notes[2:] if n.startswith(BROKEN))])


def _interval(row: Mapping[str, Any]) -> str:
    if row["ci95_low"] is None:
        return ""
    return f" (95 % interval {number(row['ci95_low'])} to {number(row['ci95_high'])})"
