"""Findings, news and what varies as text: each thing once, where the structured channel keeps a row for each.

    draw_findings   runs that have the same findings stand together, a line a run; causes and counts are in the notes
    draw_news       a line for each event, or for many of a kind
    draw_varying    what cannot be told apart is listed with the first of its class, and referred to by the others

Both fall back to tables where an answer was cut down to fewer columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from sweeplens_mcp.render.answers import AnswerRow, PreparedAnswer, draw_tables
from sweeplens_mcp.render.cells import Cell, show
from sweeplens_mcp.render.tables import TextTable, table_text

__all__ = ["draw_findings", "draw_news", "draw_varying"]

_FINDING = ("run_id", "finding", "severity", "metric", "step", "evidence")
_NEWS = ("event", "run_id", "at", "text", "runs")
_FEW = 5  # lines of mild findings of a kind, where there are more than twice as many
_GRAVE = 3  # the same of grave ones: the rows of the structured content have the evidence of each


def draw_findings(sheet: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Kinds of findings as heads, below each the runs that have just these; of many mild ones the first with evidence."""
    data, text = draw_tables(sheet, n)
    found = _named(sheet, n, _FINDING)
    if found is None:
        return data, text
    runs: dict[str, list[Mapping[str, Cell]]] = {}
    for row in found:
        runs.setdefault(str(row["run_id"]), []).append(row)
    kinds: dict[str, dict[str, list[str]]] = {}
    for run, rows in runs.items():
        heads = list(dict.fromkeys(f"{r['finding']} ({r['severity']})" for r in rows))
        evidence = "; ".join(_evidence(r, many=len(heads) > 1) for r in rows)
        kinds.setdefault(" + ".join(heads), {}).setdefault(evidence, []).append(run)
    return data, "\n".join(line for head, told in kinds.items() for line in (head, *_told(head, told)))


def _told(head: str, told: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A line for each evidence, with the runs that it is the same for."""
    mild = "(high)" not in head and "(medium)" not in head
    few = _FEW if mild else _GRAVE
    shown = few if len(told) > 2 * few else len(told)
    lines = [f"  {', '.join(ids)}: {evidence}" for evidence, ids in told.items()]
    yield from lines[:shown]
    if rest := [run for ids in list(told.values())[shown:] for run in ids]:
        yield f"  and alike: {', '.join(rest)}"


def draw_news(sheet: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Events as lines, under their kind."""
    data, text = draw_tables(sheet, n)
    told = _named(sheet, n, _NEWS)
    if told is None:
        return data, text
    lines = [f"{event}: {_news(row)}" for event, rows in groupby(told, lambda r: show(r["event"])) for row in rows]
    return data, "\n".join(lines)


def draw_varying(sheet: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """The table, in text with each class of the same split spelled out once."""
    data, text = draw_tables(sheet, n)
    rows = _named(sheet, n, ("hparam", "same_as"))
    if not rows:
        return data, text
    told: set[str] = set()
    for row in rows:
        same = row["same_as"]
        known = [s for s in same if s in told] if isinstance(same, list) else []
        told.add(str(row["hparam"]))
        row["same_as"] = f"see {known[0]}" if known else same
    table = TextTable(list(rows[0]), [list(row.values()) for row in rows])
    return data, table_text(table)


def _named(sheet: PreparedAnswer, n: int, columns: Sequence[str]) -> list[dict[str, Cell]] | None:
    """The rows of the main table by column; None where a column that is needed was left away."""
    names = sheet.names(0)
    if any(c not in names for c in columns):
        return None
    rows: list[AnswerRow] = [row for row in sheet.rows[:n] if row.table == 0]
    return [dict(zip(names, row.cells, strict=True)) for row in rows]


def _evidence(row: Mapping[str, Cell], *, many: bool) -> str:
    """``nan train/loss at step 340: 67 NaN of ...``; without its kind where the head says it."""
    step = "" if row["step"] is None else f"at step {row['step']}"
    parts = (show(row["finding"]) if many else "", show(row["metric"]), step)
    words = " ".join(part for part in parts if part)
    return f"{words}: {show(row['evidence'])}" if words else show(row["evidence"])


def _news(row: Mapping[str, Cell]) -> str:
    runs = row["runs"]
    if isinstance(runs, list) and runs:
        more = ", ..." if len(runs) > _FEW else ""
        return f"{show(row['text'])}: {', '.join(show(r) for r in runs[:_FEW])}{more} (the last {show(row['at'])})"
    return f"{show(row['run_id'])} {show(row['at'])}: {show(row['text'])}"
