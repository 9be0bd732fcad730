"""The tools, as data: what a client can call, in the order in which it is listed."""

from __future__ import annotations

from sweeplens_mcp.answers import draw_overview, draw_series
from sweeplens_mcp.tools.metrics import list_metrics, query_metrics
from sweeplens_mcp.tools.runs import get_run, list_runs, overview
from sweeplens_mcp.tools.spec import ToolSpec
from sweeplens_mcp.tools.sweeps import find_varying_hparams, summarize_by_hparams

__all__ = ["TOOLS", "ToolSpec"]

TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec("Overview", overview, draw=draw_overview),
    ToolSpec("List runs", list_runs),
    ToolSpec("Get one run", get_run),
    ToolSpec("List metrics", list_metrics),
    ToolSpec("Query metrics (curves)", query_metrics, draw=draw_series),
    ToolSpec("Summarize by hyperparameters", summarize_by_hparams),
    ToolSpec("Find varying hyperparameters", find_varying_hparams),
)
