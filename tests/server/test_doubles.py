"""Runs that hold the same curves, as a client hears of them: in both eras, in both channels, within the budget."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from support.doors import BUDGET, data_of, sizes, text_of
from support.sweep import write_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.protocol.said_warnings import said_once
from sweeplens_mcp.render.answers import ToolReply
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("overview", {}),
    ("list_runs", {}),
    ("diagnose_runs", {}),
    ("summarize_by_hparams", {"metrics": ["val/acc"]}),
    ("rank_runs", {"metric": "val/acc"}),
    ("hparam_effects", {"metric": "val/acc"}),
    ("compare_runs", {"a": "lr = 0.1", "b": "lr = 0.2"}),
)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty runs of names as long as file systems take them, and a copy of the folder."""
    root = tmp_path_factory.mktemp("doubles")
    chance = random.Random(0)
    for i in range(80):
        lr = 0.1 * (1 + i % 4)
        rows = [{"step": float(s), "val/acc": chance.random(), "loss": chance.random()} for s in range(12)]
        write_run(root / "runs" / f"lr{lr:.1f}_seed{i:03}_{'long-name-' * 18}", {"lr": lr, "seed": i}, rows)
    shutil.copytree(root / "runs", root / "backup")
    return root


@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[name for name, _ in CALLS])
async def test_each_tool_that_counts_runs_warns_in_both_channels(
    copied: Path, era: str, tool: str, arguments: dict[str, Any]
) -> None:
    async with Client(build_server(Settings((str(copied),))), mode=era) as client:
        result = await client.call_tool(tool, arguments)
    data, text = data_of(result), text_of(result)
    assert max(sizes(result)) <= BUDGET
    (sentence,) = [w for w in data["basis"]["warnings"] if "same curves" in w]
    pairs = 40 if tool == "compare_runs" else 80
    assert sentence.startswith(f"{pairs} pairs of runs hold the same curves and count twice: ")
    assert f"{pairs} pairs of runs hold the same curves and count twice: " in text


async def test_the_advice_stays_complete_if_names_are_too_long(copied: Path, era: str) -> None:
    async with Client(build_server(Settings((str(copied),))), mode=era) as client:
        data = data_of(await client.call_tool("rank_runs", {"metric": "val/acc"}))
        (sentence,) = [w for w in data["basis"]["warnings"] if "same curves" in w]
        condition = sentence.partition('where="')[2].partition('"')[0]
        once = data_of(await client.call_tool("rank_runs", {"metric": "val/acc", "where": condition}))
    n = data["columns"].index("n")
    assert ([row[n] for row in data["rows"]], [row[n] for row in once["rows"]]) == ([40] * 4, [20] * 4)
    assert not [w for w in once["basis"]["warnings"] if "same curves" in w]


async def test_a_session_hears_a_warning_in_full_once_for_each_version_of_the_data(tmp_path: Path, era: str) -> None:
    chance = random.Random(1)
    for i in range(6):
        rows = [{"step": float(s), "val/acc": chance.random(), "loss": chance.random()} for s in range(12)]
        write_run(tmp_path / "runs" / f"r{i}", {"lr": 0.1 * (i // 2), "seed": i}, rows)
    shutil.copytree(tmp_path / "runs", tmp_path / "backup")

    async def heard(client: Client) -> str:
        result = await client.call_tool("rank_runs", {"metric": "val/acc"})
        (sentence,) = [w for w in data_of(result)["basis"]["warnings"] if "same curves" in w]
        assert sentence in text_of(result)
        return sentence

    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    async with Client(build_server(db), mode=era) as client:
        first, second = await heard(client), await heard(client)
        write_run(tmp_path / "runs" / "r6", {"lr": 0.7, "seed": 7}, [{"step": 0.0, "val/acc": 0.5}])
        third = await heard(client)
    assert "where=" in first
    assert third == first
    brief = "6 pairs of runs hold the same curves and count twice (as said before)"
    assert second == (brief if era == "legacy" else first)


def test_a_session_keeps_a_limited_number_of_warnings() -> None:
    kept: dict[str, Any] = {}
    for number in range(1000):
        warning = f"condition {number} left out a run: {'x' * 200}"
        structured: dict[str, Any] = {"basis": {"data_version": "1", "warnings": [warning]}}
        said_once(ToolReply(structured, "", None), kept)
    (_, said), *_ = kept.values()
    assert len(said) <= 200
