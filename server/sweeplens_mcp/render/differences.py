"""Renders the differences of a comparison by task and by level: a line each, main metric and test twin side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeplens_mcp.render.cells import Cell, show

__all__ = ["SCORE", "level_lines", "task_lines"]

Row = Mapping[str, Cell]
SCORE = "score"
"""The metric of all tasks together."""


def task_lines(rows: Sequence[Row]) -> list[str]:
    """``kd - ft, intent: eval/acc 0.91 v 0.90, +0.01 [0.004, 0.016], 6 v 6, p 0.003: kd better | test/acc ...``."""
    groups = _grouped(rows, ("a", "b", "task"))
    return [f"{_head(own[0])}: {' | '.join(_figures(row) for row in own)}" for own in groups]


def level_lines(rows: Sequence[Row]) -> list[str]:
    """``kd - ft, intent, lr=1e-05: eval/acc -0.0003 [-0.002, 0.0015], 3 v 3 | test/acc ...``."""
    groups = _grouped(rows, ("a", "b", "task", "level"))
    return [
        f"  {_head(own[0])} {show(own[0].get('level'))}: {' | '.join(_difference(row) for row in own)}"
        for own in groups
    ]


def _grouped(rows: Sequence[Row], keys: Sequence[str]) -> list[list[Row]]:
    groups: dict[tuple[Cell, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(k) for k in keys), []).append(row)
    return list(groups.values())


def _head(row: Row) -> str:
    task = f", {show(row.get('task'))}" if row.get("task") else ""
    return f"{show(row.get('a'))} - {show(row.get('b'))}{task}"


def _figures(row: Row) -> str:
    lower = " (lower is better)" if row.get("goal") == "lower" else ""
    means = f"{show(row.get('mean_a'))} v {show(row.get('mean_b'))}"
    p = row.get("p")
    p = f", p {p:.2g}" if isinstance(p, int | float) else ""
    return f"{show(row.get('metric'))}{lower} {means}, {_interval(row)}, {_counts(row)}{p}: {show(row.get('verdict'))}"


def _difference(row: Row) -> str:
    return f"{show(row.get('metric'))} {_interval(row)}, {_counts(row)}"


def _interval(row: Row) -> str:
    difference, low, high = row.get("difference"), row.get("ci95_low"), row.get("ci95_high")
    sign = "+" if isinstance(difference, int | float) and difference > 0 else ""
    return f"{sign}{show(difference)}" + (
        f" [{show(low)}, {show(high)}]" if low is not None and high is not None else ""
    )


def _counts(row: Row) -> str:
    pairs = row.get("pairs")
    return f"{show(pairs)} pairs" if pairs is not None else f"{show(row.get('n_a'))} v {show(row.get('n_b'))}"
