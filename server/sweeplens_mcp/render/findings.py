"""Renders findings, news and varying hyperparameters as compact text; the structured content keeps one row for each.

    render_findings   runs with the same findings are grouped, printed messages stand alone; causes and counts are in the notes
    render_news       one line per event, or per group of similar events
    render_varying    a set of confounded hyperparameters is listed once; the others refer to it

All fall back to tables if columns that they need were dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from sweeplens_mcp.render.answers import AnswerRow, PreparedAnswer, render_tables
from sweeplens_mcp.render.cells import Cell, show
from sweeplens_mcp.render.tables import TextTable, table_text

__all__ = ["render_findings", "render_news", "render_varying"]

_FINDING = ("run_id", "finding", "severity", "metric", "step", "evidence")
_NEWS = ("event", "run_id", "at", "text", "runs")
_FEW = 5  # lines of findings of low severity of a kind, if there are more than twice as many
_PRINTED = "printed_warning"  # a finding of one message of several runs, in the row of the first of them
_MESSAGES = 12  # the same for printed messages
_GRAVE = 3  # the same for higher severities; the rows of the structured content have the evidence of each


def render_findings(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders combinations of findings as headings with their runs below; with many of low severity, only the first few."""
    data, text = render_tables(prepared, n)
    findings = _named(prepared, n, _FINDING)
    if findings is None:
        return data, text
    runs: dict[tuple[str, str], list[Mapping[str, Cell]]] = {}
    for row in findings:
        message = show(row["evidence"]) if row["finding"] == _PRINTED else ""
        runs.setdefault((str(row["run_id"]), message), []).append(row)
    kinds: dict[str, dict[str, list[str]]] = {}
    for (run, _), rows in runs.items():
        heads = list(dict.fromkeys(f"{r['finding']} ({r['severity']})" for r in rows))
        evidence = "; ".join(_evidence(r, many=len(heads) > 1) for r in rows)
        kinds.setdefault(" + ".join(heads), {}).setdefault(evidence, []).append(run)
    return data, "\n".join(
        line for head, by_evidence in kinds.items() for line in (head, *_evidence_lines(head, by_evidence))
    )


def _evidence_lines(head: str, by_evidence: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields one line per evidence, with the runs that share it."""
    mild = "(high)" not in head and "(medium)" not in head
    few = _MESSAGES if head.startswith(_PRINTED) else _FEW if mild else _GRAVE
    shown = few if len(by_evidence) > 2 * few else len(by_evidence)
    lines = [f"  {', '.join(ids)}: {evidence}" for evidence, ids in by_evidence.items()]
    yield from lines[:shown]
    if rest := [run for ids in list(by_evidence.values())[shown:] for run in ids]:
        yield f"  and similar: {', '.join(rest)}"


def render_news(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders one line per event, grouped by kind."""
    data, text = render_tables(prepared, n)
    events = _named(prepared, n, _NEWS)
    if events is None:
        return data, text
    lines = [f"{event}: {_news(row)}" for event, rows in groupby(events, lambda r: show(r["event"])) for row in rows]
    return data, "\n".join(lines)


def render_varying(prepared: PreparedAnswer, n: int) -> tuple[dict[str, object], str]:
    """Renders the table; in text, each set of confounded hyperparameters is listed once."""
    data, text = render_tables(prepared, n)
    rows = _named(prepared, n, ("hparam", "same_as"))
    if not rows:
        return data, text
    shown_before: set[str] = set()
    for row in rows:
        confounded = row["same_as"]
        listed = [s for s in confounded if s in shown_before] if isinstance(confounded, list) else []
        shown_before.add(str(row["hparam"]))
        row["same_as"] = f"see {listed[0]}" if listed else confounded
    table = TextTable(list(rows[0]), [list(row.values()) for row in rows])
    return data, table_text(table)


def _named(prepared: PreparedAnswer, n: int, columns: Sequence[str]) -> list[dict[str, Cell]] | None:
    """The rows of the main table as mappings; None if a needed column was dropped."""
    names = prepared.names(0)
    if any(c not in names for c in columns):
        return None
    rows: list[AnswerRow] = [row for row in prepared.rows[:n] if row.table == 0]
    return [dict(zip(names, row.cells, strict=True)) for row in rows]


def _evidence(row: Mapping[str, Cell], *, many: bool) -> str:
    """``nan train/loss at step 340: 67 NaN of ...``, without the kind if the heading names it."""
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
