"""Computes the whole answer of a tool, for commands that print it or write it to a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.errors import InputError, StoreError, SweeplensError
from sweeplens_mcp.execution.arguments import checked_arguments
from sweeplens_mcp.execution.tool_call import answer_here
from sweeplens_mcp.tools import TOOLS, ToolSpec

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["row_limit", "spec_named", "whole_answer"]


def spec_named(tool: str) -> ToolSpec:
    """Returns the tool of this name."""
    return next(spec for spec in TOOLS if spec.name == tool)


def whole_answer(spec: ToolSpec, database: ExperimentDB, values: Mapping[str, object]) -> Answer:
    """Returns the answer with all its rows, or with the first ``limit``. Raises SweeplensError."""
    try:
        return _answered(spec, database, values)
    except OSError as error:  # the store may be deleted at any time
        if isinstance(error, SweeplensError):
            raise
    database.load_experiments()
    try:
        return _answered(spec, database, values)
    except OSError as again:
        if isinstance(again, SweeplensError):
            raise
        raise StoreError(f"The store cannot be read: {again}. `sweeplens doctor` shows its path.") from again


def row_limit(values: Mapping[str, object]) -> int:
    """Returns the limit on rows of an answer; 0: all. Raises InputError."""
    limit = values.get("limit", 0)
    if not isinstance(limit, int) or limit < 0:
        raise InputError(f"--limit {limit!r} is not a count of rows: pass 1 or more, or 0 for all.")
    return limit


def _answered(spec: ToolSpec, database: ExperimentDB, values: Mapping[str, object]) -> Answer:
    arguments = {
        k: v for k, v in checked_arguments(spec, values).items() if k != "limit" and (k != "cursor" or spec.news)
    }
    answer = cast(
        "Answer | LazyAnswer", answer_here(spec, database, arguments)
    )  # no question has a chart as its answer
    return answer.part(0, row_limit(values) or answer.height) if isinstance(answer, LazyAnswer) else answer
