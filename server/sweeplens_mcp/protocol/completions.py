"""Completes run ids and metric names in the arguments of resource templates and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcp.server import MCPServer
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from sweeplens.errors import SweeplensError
from sweeplens.plain_data import plain_text
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.grants import current_grant_key
from sweeplens_mcp.render.cells import clean

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["add_completions", "matching"]

_MOST = 100
_RUNS = frozenset({"run_id", "a", "b"})
_METRICS = frozenset({"metric"})


def add_completions(server: MCPServer[ServerState], state: ServerState) -> None:
    """Registers the completion handler."""

    @server.completion()
    async def complete(  # pyright: ignore[reportUnusedFunction]
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        given = (context.arguments if context else None) or {}
        try:
            caller_state = state.for_caller()
            database = await caller_state.database()
            run_id = plain_text(given.get("run_id", ""))
            names = await caller_state.worker_pool.run(
                (id(caller_state), "completion", argument.name, run_id),
                lambda: _names(database, argument.name, run_id),
                heavy=False,
                grant=current_grant_key(),
            )
        except SweeplensError:
            return Completion(values=[])  # the same error of a tool call explains why; a completion is just empty
        found = matching(argument.value, names)
        return Completion(values=found[:_MOST], total=len(found), has_more=len(found) > _MOST)


def matching(typed: str, names: Sequence[str]) -> list[str]:
    """Names that start with the typed text, then names that contain it; case is ignored."""
    want = typed.casefold()
    begin = [n for n in names if n.casefold().startswith(want)]
    inside = [n for n in names if want in n.casefold() and not n.casefold().startswith(want)]
    return begin + inside


def _names(database: ExperimentDB, argument: str, run_id: str) -> list[str]:
    from sweeplens.frames.run_names import display_names

    if argument in _RUNS:
        runs = database.runs_df
        return [clean(n) for n in (*runs["run_id"].sort(), *sorted(display_names(runs).values()))]
    if argument in _METRICS:
        view = database.view()
        called = {name: run for run, name in display_names(view.runs).items()}
        series = view.series
        own = series.filter(series["run_id"] == called.get(run_id, run_id))
        return [clean(n) for n in (own if own.height else series)["metric"].unique().sort()]
    return []
