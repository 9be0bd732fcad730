"""The same answer from the tool, from Python and from `sweeplens call`, for every tool there is."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mcp import Client
from support.doors import data_of, text_of

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.answers import Answer
from sweeplens_mcp.cli.commands import main
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.render.cells import cell
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import TOOLS

pytestmark = pytest.mark.anyio

ASKED: dict[str, dict[str, str]] = {
    "overview": {},
    "list_runs": {"where": '"optim.lr" > 0.05', "sort": "run_id"},
    "get_run": {"run_id": "diverged"},
    "list_metrics": {"pattern": "val"},
    "query_metrics": {"metrics": "val/acc", "runs": "lr0.1*", "max_points": "4"},
    "summarize_by_hparams": {"hparams": "optim.lr", "metrics": "val/acc"},
    "find_varying_hparams": {},
    "rank_runs": {"metric": "val/acc"},
    "compare_runs": {"a": "lr0.1*", "b": "lr0.01*"},
    "hparam_effects": {"metric": "val/acc"},
    "diagnose_runs": {},
    "run_costs": {"metric": "val/acc"},
    "best_checkpoints": {"metric": "val/acc"},
    "whats_new": {},
    "suggest_runs": {"metric": "val/acc"},
    "query_sql": {"query": "SELECT run_id, status FROM runs ORDER BY run_id"},
}
FIGURES = 1500  # characters of a cell that no answer here reaches


@pytest.fixture
async def client(sweep: Path) -> AsyncIterator[Client]:
    async with Client(build_server(Settings((str(sweep),)))) as connected:
        yield connected


def test_every_tool_is_asked() -> None:
    assert list(ASKED) == [spec.name for spec in TOOLS if not spec.picture]  # pictures: test_plot.py


@pytest.mark.parametrize("tool", ASKED)
async def test_a_tool_and_the_command_line_say_the_same(client: Client, sweep: Path, tool: str) -> None:
    values = [f"{name}={value}" for name, value in ASKED[tool].items()]
    arguments: dict[str, Any] = {k: int(v) if v.isdigit() else v for k, v in ASKED[tool].items()}
    result = await client.call_tool(tool, arguments)
    called = json.loads(printed("call", tool, *values, "--json", "--root", str(sweep)))
    spoken = printed("call", tool, *values, "--root", str(sweep)).rstrip("\n")
    if tool == "whats_new":  # its cursor holds the time of the call
        cursors = [data_of(result).pop("next_cursor"), called.pop("next_cursor")]
        assert all(10 < len(c) <= 40 for c in cursors)
        assert _without_cursor(spoken) == _without_cursor(text_of(result))
    else:
        assert spoken == text_of(result)
    assert called == data_of(result)


@pytest.mark.parametrize("tool", ASKED)
async def test_the_python_line_of_an_answer_gives_its_numbers(client: Client, sweep: Path, tool: str) -> None:
    arguments: dict[str, Any] = {k: int(v) if v.isdigit() else v for k, v in ASKED[tool].items()}
    data = data_of(await client.call_tool(tool, arguments))
    db = ExperimentDB(AnalysisConfig(), base_path=sweep)
    own: Answer | pl.DataFrame = eval(data["basis"]["python"], {"db": db})  # noqa: S307
    table, tables = (own, {}) if isinstance(own, pl.DataFrame) else (own.table, own.tables)
    if tool == "query_metrics":
        shown = [
            [s["run_id"], s["metric"], x, v] for s in data["series"] for x, v in zip(s["x"], s["value"], strict=True)
        ]
        assert shown == _rows(table)
        return
    assert data["columns"] == table.columns
    assert data["rows"] == _rows(table)
    for name, part in data.get("tables", {}).items():
        assert (part["columns"], part["rows"]) == (tables[name].columns, _rows(tables[name]))


def printed(*arguments: str) -> str:
    """What `sweeplens` prints."""
    taken = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(taken):
        assert main(arguments) == 0
    taken.flush()
    return taken.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


def _rows(table: pl.DataFrame) -> list[list[object]]:
    return [[cell(value, FIGURES) for value in row] for row in table.iter_rows()]


def _without_cursor(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "cursor=" not in line)
