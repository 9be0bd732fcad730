"""Renders the basis of an answer (runs used, runs left out, warnings) in both channels, within its share of the answer.

A basis that is too long keeps its counts and drops names first: fewer run ids, fewer warnings, shorter sentences. Dropped items
are counted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import TypedDict

from msgspec import Struct

from sweeplens.answers import Basis, LeftOut
from sweeplens.counting import count_of, share_of
from sweeplens_mcp.render.cells import clip

__all__ = ["BasisJson", "basis_json", "basis_text", "first_few", "json_size", "warnings_text"]


class LeftOutJson(TypedDict):
    """Runs left out for one reason; ``runs`` names the first ones."""

    reason: str
    n: int
    runs: list[str]


class BasisJson(TypedDict):
    """The basis as structured content."""

    roots: list[str]
    data_version: str
    runs_matched: int
    runs_used: int
    left_out: list[LeftOutJson]
    points: int
    sampling: str
    warnings: list[str]
    python: str


class _BasisDetail(Struct, frozen=True):
    """How much of a basis to show: items per list, run ids per reason, characters per text."""

    items: int
    runs: int
    chars: int


_DETAILS = (
    _BasisDetail(10, 10, 400),
    _BasisDetail(6, 5, 250),
    _BasisDetail(4, 3, 150),
    _BasisDetail(2, 2, 80),
    _BasisDetail(1, 0, 30),
    _BasisDetail(1, 0, 0),
)


def json_size(value: object) -> int:
    """Length of a value as JSON in its longest usual form: ASCII escapes, spaces after commas."""
    return len(json.dumps(value))


def basis_json(basis: Basis, room: int) -> BasisJson:
    """The basis as structured content, in at most ``room`` bytes (for any room from 600)."""
    return next(
        (d for detail in _DETAILS if json_size(d := _shortened(basis, detail)) <= room), _shortened(basis, _DETAILS[-1])
    )


def basis_text(shown: BasisJson) -> str:
    """The basis as one or two lines of text."""
    parts = [f"Basis: {share_of(shown['runs_used'], shown['runs_matched'], 'run')}"]
    parts += [f"left out {_reason(entry)}" for entry in shown["left_out"]]
    parts += [count_of(shown["points"], "point")] if shown["points"] else []
    parts += [shown["sampling"]] if shown["sampling"] else []
    parts += [f"data version {shown['data_version']} of {', '.join(shown['roots'])}"]
    second = [warnings_text(shown["warnings"])] if shown["warnings"] else []
    second += [f"Python: {shown['python']}"] if shown["python"] else []
    return "; ".join(parts) + ("\n" + " | ".join(second) if second else "")


def warnings_text(warnings: Sequence[str]) -> str:
    """The warnings as one sentence of the text."""
    return f"Warnings: {'; '.join(warnings)}"


def first_few(items: Sequence[str], most: int, noun: str) -> list[str]:
    """The first ``most`` items, and a count of the others."""
    return list(items) if len(items) <= most else [*items[:most], f"and {len(items) - most} more {noun}"]


def _shortened(basis: Basis, detail: _BasisDetail) -> BasisJson:
    def text(value: str) -> str:
        return clip(value, detail.chars)

    return {
        "roots": [text(r) for r in first_few(basis.roots, detail.items, "roots")],
        "data_version": text(basis.data_version),
        "runs_matched": basis.runs_matched,
        "runs_used": basis.runs_used,
        "left_out": _left_out(basis.left_out, detail),
        "points": basis.points,
        "sampling": text(basis.sampling),
        "warnings": [text(w) for w in first_few(basis.warnings, detail.items, "warnings")],
        "python": text(basis.python),
    }


def _left_out(entries: Sequence[LeftOut], detail: _BasisDetail) -> list[LeftOutJson]:
    """The reasons with the most runs; the others become one entry."""
    if len(entries) <= detail.items:
        return [_reason_json(entry.reason, [entry], detail) for entry in entries]
    ordered = sorted(entries, key=lambda e: -e.n)
    named, rest = ordered[: detail.items - 1], ordered[detail.items - 1 :]
    shown = [_reason_json(entry.reason, [entry], detail) for entry in named]
    return [*shown, _reason_json(f"{len(rest)} other reasons", rest, detail)]


def _reason_json(reason: str, entries: Sequence[LeftOut], detail: _BasisDetail) -> LeftOutJson:
    first = itertools.islice((run for entry in entries for run in entry.runs), detail.runs)
    runs = [clip(run, min(detail.chars, 80)) for run in first]
    return {"reason": clip(reason, detail.chars), "n": sum(entry.n for entry in entries), "runs": runs}


def _reason(entry: LeftOutJson) -> str:
    names = ", ".join(entry["runs"]) + (", …" if 0 < len(entry["runs"]) < entry["n"] else "")
    return f"{entry['n']} ({entry['reason']}{': ' + names if names else ''})"
