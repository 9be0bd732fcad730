"""JSON Schemas that every client accepts: no titles, no arrays of types, no empty schemas.

output_schema(..)  the schema of a tool's structured content, by its renderer

Schemas of all tools are part of what a client reads before its first call, and schemas cannot share definitions between tools. So
they name each field and its kind, and describe only what the name does not say; further tables have the form of the first.
"""

from __future__ import annotations

from typing import Any

from sweeplens_mcp.render.answers import Renderer, render_series

__all__ = ["output_schema"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer"}
_SCALARS: list[Schema] = [_TEXT, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]
_NUMBER: Schema = {"anyOf": [{"type": "number"}, {"type": "null"}]}


def _array(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def _object(properties: dict[str, Schema], required: list[str] | None = None) -> Schema:
    return {"type": "object", "properties": properties, "required": required or list(properties)}


_CELL: Schema = {"anyOf": [*_SCALARS, _array({"anyOf": _SCALARS})]}
_FREE: Schema = {"type": "object"}
_ODD = _array(_FREE, "cells null for nan, inf, -inf")
_TABLE: dict[str, Schema] = {"columns": _array(_TEXT), "rows": _array(_array(_CELL)), "nonfinite": _ODD}
_BASIS: Schema = {
    "type": "object",
    "properties": {
        "roots": _array(_TEXT),
        "data_version": _TEXT,
        "runs_matched": _COUNT,
        "runs_used": _COUNT,
        "left_out": _array(_FREE),
        "points": _COUNT,
        "sampling": _TEXT,
        "warnings": _array(_TEXT),
        "python": _TEXT,
    },
}
_SERIES = _object(
    {
        "run_id": _TEXT,
        "metric": _TEXT,
        "n": _COUNT,
        "x": _array(_NUMBER),
        "value": _array(_NUMBER),
        "nonfinite": _array(_TEXT, "of each null in value"),
    }
)
_FRAME: dict[str, Schema] = {"next_cursor": _TEXT, "notes": _array(_TEXT), "basis": _BASIS}


def output_schema(renderer: Renderer) -> Schema:
    """The schema of the structured content that ``renderer`` makes."""
    if renderer is render_series:
        return _object({"series": _array(_SERIES), **_FRAME}, ["series", "next_cursor", "basis"])
    return _object({**_TABLE, "tables": _FREE, **_FRAME}, ["columns", "rows", "next_cursor", "basis"])
