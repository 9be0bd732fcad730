"""`TOOLS`: the tools that a client can call, as data, in the order in which they are listed."""

from __future__ import annotations

from sweeplens_mcp.render.answers import render_overview, render_series
from sweeplens_mcp.render.comparisons import render_comparison
from sweeplens_mcp.render.findings import render_findings, render_news, render_varying
from sweeplens_mcp.tools.costs import best_checkpoints, run_costs
from sweeplens_mcp.tools.metrics import list_metrics, query_metrics
from sweeplens_mcp.tools.pictures import chart_data, plot
from sweeplens_mcp.tools.runs import get_run, list_runs, overview
from sweeplens_mcp.tools.spec import ToolSpec
from sweeplens_mcp.tools.sql import query_sql
from sweeplens_mcp.tools.suggestions import suggest_runs
from sweeplens_mcp.tools.sweeps import (
    compare_runs,
    find_varying_hparams,
    hparam_effects,
    rank_runs,
    summarize_by_hparams,
)
from sweeplens_mcp.tools.triage import diagnose_runs, whats_new

__all__ = ["CHART_PAGE", "PAGE_TOOLS", "TOOLS", "ToolSpec"]

CHART_PAGE = "ui://sweeplens/chart"
"""Where clients with MCP Apps find the page that shows charts."""

TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec("Overview", overview, renderer=render_overview, paged=False),
    ToolSpec("List runs", list_runs),
    ToolSpec("Get one run", get_run),
    ToolSpec("List metrics", list_metrics),
    ToolSpec("Query metrics (curves)", query_metrics, renderer=render_series),
    ToolSpec("Summarize by hyperparameters", summarize_by_hparams),
    ToolSpec("Find varying hyperparameters", find_varying_hparams, renderer=render_varying),
    ToolSpec("Rank runs", rank_runs, heavy=True),
    ToolSpec("Compare runs", compare_runs, renderer=render_comparison, heavy=True),
    ToolSpec("Hyperparameter effects", hparam_effects, heavy=True),
    ToolSpec("Diagnose runs", diagnose_runs, renderer=render_findings, heavy=True),
    ToolSpec("Run costs", run_costs, heavy=True),
    ToolSpec("Best checkpoints", best_checkpoints, heavy=True),
    ToolSpec("What is new", whats_new, renderer=render_news, paged=False, news=True, heavy=True, in_process=False),
    ToolSpec("Suggest runs", suggest_runs, heavy=True),
    ToolSpec("Query by SQL", query_sql, heavy=True, in_process=False),
    ToolSpec("Plot", plot, paged=False, heavy=True, picture=True, page=CHART_PAGE),
)

PAGE_TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec("Chart data", chart_data, paged=False, heavy=True, picture=True, page=CHART_PAGE, of_page=True),
)
"""What the page of charts calls; listed as not for models."""
