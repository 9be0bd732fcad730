"""Renders a comparison as one line of text per metric; the structured content keeps the table with all columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sweeplens_mcp.render.answers import PreparedAnswer, render_tables
from sweeplens_mcp.render.cells import Cell, show
from sweeplens_mcp.render.differences import SCORE, level_lines, task_lines
from sweeplens_mcp.render.tables import table_text

__all__ = ["render_comparison"]


def render_comparison(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders a line per metric (means, difference, interval, verdict), task, level, fact that differs, and budget."""
    data, _ = render_tables(prepared, n)
    sections: dict[str, list[str]] = {name: [] for name in _ORDER}
    for name, table in prepared.shown(n):
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        if name in _SECTIONS:
            sections[name] = _SECTIONS[name](rows)
        elif name in ("strata", "pairs") and "by_task" in prepared.answer.tables:
            continue  # the same by levels
        elif name in _LINES:
            rows = [row for row in rows if row.get("metric") != SCORE]  # the last row of by_task
            sections[name] = [_LINES[name](row) for row in rows]
        elif rows:
            sections[name] = [f"{name}:\n{table_text(table)}"]
    return data, "\n".join(line for lines in sections.values() for line in lines)


def _unlike(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    return [*["Also unlike on the sides:"] * bool(rows), *(f"- {show(row.get('text'))}" for row in rows)]


def _line(row: Mapping[str, Cell]) -> str:
    """``val/acc: a 0.91 (n 5), b 0.89 (n 5), a - b 0.02 [0.01, 0.03]; different: ...``."""
    head = f"{show(row['level'])} {show(row['metric'])}" if "level" in row else show(row.get("metric"))
    sides = [f"{s} {show(row.get(f'mean_{s}'))} (n {show(row.get(f'n_{s}'))})" for s in "ab"]
    low, high = row.get("ci95_low"), row.get("ci95_high")
    without_interval = low is None or high is None or "lies between" in show(row.get("verdict"))
    interval = "" if without_interval else f" [{show(low)}, {show(high)}]"
    seeds = row.get("seeds_needed")
    high = "more than 10,000" if row.get("seeds_high") is None else show(row.get("seeds_high"))
    span = f"{show(row.get('seeds_low'))} to {high}, as the spread is known"
    needed = "" if seeds is None else f"; seeds a side for 80 % power: {show(seeds)} ({span})"
    return (
        f"{head}: {', '.join(sides)}, a - b {show(row.get('difference'))}{interval}; {show(row.get('verdict'))}{needed}"
    )


def _differs(row: Mapping[str, Cell]) -> str:
    return f"differs: {show(row.get('hparam'))}: a {show(row.get('a'))} | b {show(row.get('b'))}"


def _budget(row: Mapping[str, Cell]) -> str:
    """The best value so far at the budget that all runs reached, and where each side reached the threshold."""
    counts = {s: row.get(f"n_reached_{s}") for s in "ab"}
    reached = [
        f"{s} {show(row.get(f'reached_at_{s}'))} ({show(n)} {'run' if n == 1 else 'runs'})" for s, n in counts.items()
    ]
    return (
        f"budget: {show(row.get('metric'))} at {show(row.get('axis'))} {show(row.get('budget'))}, best so far: a"
        f" {show(row.get('best_a'))}, b {show(row.get('best_b'))}; reached {show(row.get('threshold'))} at {', '.join(reached)}"
    )


_LINES: dict[str, Callable[[Mapping[str, Cell]], str]] = {"": _line, "hyperparameters": _differs, "budget": _budget}
_SECTIONS: dict[str, Callable[[Sequence[Mapping[str, Cell]]], list[str]]] = {
    "by_task": task_lines, "by_level": level_lines, "unlike": _unlike,
}  # fmt: skip
_ORDER = ("", "by_task", "by_level", "unlike")  # of the text; structured content begins with what is short
