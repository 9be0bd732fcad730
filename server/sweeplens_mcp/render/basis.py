"""What an answer rests on, in both channels, never longer than its share of the answer.

Too long a basis keeps its counts and loses names first: fewer run ids, fewer warnings, shorter sentences. What was
left away is counted, so nothing goes in silence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

from msgspec import Struct

from sweeplens.answers import Basis, LeftOut
from sweeplens_mcp.render.cells import clip

__all__ = ["BasisJson", "basis_json", "basis_text", "json_size", "some"]


class LeftOutJson(TypedDict):
    """Runs left out for one reason; ``runs`` are the first of them."""

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
    """How much of a basis is shown: items of each list, run ids of each reason, characters of each text."""

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
    """The length of a value as JSON in its longest usual form: ASCII escapes, blanks after commas."""
    return len(json.dumps(value))


def basis_json(basis: Basis, room: int) -> BasisJson:
    """The basis as structured content, in at most ``room`` bytes (for any room from 600)."""
    return next((d for detail in _DETAILS if json_size(d := _draw(basis, detail)) <= room), _draw(basis, _DETAILS[-1]))


def basis_text(drawn: BasisJson) -> str:
    """A drawn basis in one or two lines."""
    parts = [f"Basis: {drawn['runs_used']} of {drawn['runs_matched']} runs"]
    parts += [f"left out {_reason(entry)}" for entry in drawn["left_out"]]
    parts += [f"{drawn['points']:,} points"] if drawn["points"] else []
    parts += [drawn["sampling"]] if drawn["sampling"] else []
    parts += [f"data version {drawn['data_version']} of {', '.join(drawn['roots'])}"]
    second = [f"Warnings: {'; '.join(drawn['warnings'])}"] if drawn["warnings"] else []
    second += [f"Python: {drawn['python']}"] if drawn["python"] else []
    return "; ".join(parts) + ("\n" + " | ".join(second) if second else "")


def some(items: Sequence[str], most: int, what: str) -> list[str]:
    """The first ``most`` items, and a count of the others."""
    return list(items) if len(items) <= most else [*items[:most], f"and {len(items) - most} more {what}"]


def _draw(basis: Basis, detail: _BasisDetail) -> BasisJson:
    def text(value: str) -> str:
        return clip(value, detail.chars)

    return {
        "roots": [text(r) for r in some(basis.roots, detail.items, "roots")],
        "data_version": text(basis.data_version),
        "runs_matched": basis.runs_matched,
        "runs_used": basis.runs_used,
        "left_out": [_left_out(entry, detail) for entry in _fewer(basis.left_out, detail.items)],
        "points": basis.points,
        "sampling": text(basis.sampling),
        "warnings": [text(w) for w in some(basis.warnings, detail.items, "warnings")],
        "python": text(basis.python),
    }


def _fewer(entries: Sequence[LeftOut], most: int) -> list[LeftOut]:
    """The reasons with the most runs, the others as one."""
    if len(entries) <= most:
        return list(entries)
    ordered = sorted(entries, key=lambda e: -e.n)
    rest = tuple(run for entry in ordered[most - 1 :] for run in entry.runs)
    return [*ordered[: most - 1], LeftOut(f"{len(entries) - most + 1} other reasons", rest)]


def _left_out(entry: LeftOut, detail: _BasisDetail) -> LeftOutJson:
    runs = [clip(r, min(detail.chars, 80)) for r in entry.runs[: detail.runs]]
    return {"reason": clip(entry.reason, detail.chars), "n": entry.n, "runs": runs}


def _reason(entry: LeftOutJson) -> str:
    names = ", ".join(entry["runs"]) + (", …" if 0 < len(entry["runs"]) < entry["n"] else "")
    return f"{entry['n']} ({entry['reason']}{': ' + names if names else ''})"
