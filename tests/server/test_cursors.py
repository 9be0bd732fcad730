"""Cursors: every row once, of the version one began with, and a sentence when that cannot be."""

from __future__ import annotations

import base64
import hashlib
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from support.doors import data_of, text_of
from support.sweep import SWEEP_RUNS, write_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens_mcp.protocol.app import build_server

pytestmark = pytest.mark.anyio


async def walk(client: Client, tool: str, **arguments: Any) -> list[list[Any]]:
    """All rows of an answer, page by page."""
    rows: list[list[Any]] = []
    cursor = ""
    while True:
        data = data_of(await client.call_tool(tool, {**arguments, "cursor": cursor}))
        rows += data["rows"]
        cursor = data["next_cursor"]
        if not cursor:
            return rows
        assert data["rows"]


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_walking_with_a_cursor_gives_every_row_once(client: Client, limit: int) -> None:
    rows = await walk(client, "list_runs", limit=limit, sort="run_id")
    assert [row[0] for row in rows] == sorted(SWEEP_RUNS)


async def test_a_cut_answer_says_which_rows_it_shows_and_how_to_go_on(client: Client) -> None:
    result = await client.call_tool("list_runs", {"limit": 3})
    data = data_of(result)
    assert f"rows 1 to 3 of {len(SWEEP_RUNS)}" in data["basis"]["warnings"]
    assert data["next_cursor"] in text_of(result)


async def test_a_cursor_of_another_question_is_refused(client: Client) -> None:
    cursor = data_of(await client.call_tool("list_runs", {"limit": 3}))["next_cursor"]
    result = await client.call_tool("list_runs", {"runs": ["torn"], "cursor": cursor})
    assert result.is_error
    assert "another question" in text_of(result)


@pytest.mark.parametrize("cursor", ["x", "not a cursor", "AAAA", "ä", "9" * 500])
async def test_a_cursor_that_is_none_of_ours_is_refused(client: Client, cursor: str) -> None:
    result = await client.call_tool("list_runs", {"cursor": cursor})
    assert result.is_error
    assert "next_cursor" in text_of(result)


@pytest.mark.parametrize(
    "row", ["-1", "-99999999999", "8", "9" * 11, "9" * 5000, "+1", " 1", "1_0", "01", "", "1e3", "٣"]
)
@pytest.mark.parametrize("kept", [True, False])
async def test_a_cursor_whose_row_was_forged_is_refused(sweep: Path, era: str, row: str, kept: bool) -> None:
    database = ExperimentDB(base_path=sweep)
    async with Client(build_server(database), mode=era) as client:
        cursor = data_of(await client.call_tool("list_runs", {"limit": 3}))["next_cursor"]
        if kept:
            assert data_of(await client.call_tool("list_runs", {"limit": 3, "cursor": cursor}))["rows"]
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    forged = base64.urlsafe_b64encode(f"{row}.{text.partition('.')[2]}".encode()).decode().rstrip("=")
    async with Client(build_server(database), mode=era) as client:
        if kept:
            await client.call_tool("list_runs", {"limit": 3})
        result = await client.call_tool("list_runs", {"limit": 3, "cursor": forged})
        assert result.is_error
        assert "next_cursor exactly as it was given" in text_of(result)


@pytest.mark.parametrize("stamp", [(1 << 64) - 1, 10**18, 0])
async def test_a_forged_news_cursor_does_not_end_the_server(client: Client, stamp: int) -> None:
    body = struct.pack(">BQI", 2, stamp, 1) + bytes(96) + b"\0" * (5 if not stamp else 0)
    forged = base64.urlsafe_b64encode(body + hashlib.blake2b(body, digest_size=3).digest()).decode()
    result = await client.call_tool("whats_new", {"cursor": forged})
    assert result.is_error
    assert "damaged" in text_of(result)


async def test_a_walk_goes_on_with_its_own_version_while_the_folder_grows(tmp_path: Path, era: str) -> None:
    for n in range(4):
        write_run(tmp_path / f"r{n}", {"lr": n}, [{"step": 0, "loss": 1.0}])
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    async with Client(build_server(db), mode=era) as client:
        first = data_of(await client.call_tool("list_runs", {"limit": 2, "sort": "run_id"}))
        write_run(tmp_path / "a first run", {"lr": 9}, [{"step": 0, "loss": 1.0}])
        second = data_of(
            await client.call_tool("list_runs", {"limit": 2, "sort": "run_id", "cursor": first["next_cursor"]})
        )
    assert [row[0] for row in first["rows"] + second["rows"]] == ["r0", "r1", "r2", "r3"]
    assert any("data changed" in warning for warning in second["basis"]["warnings"])


def curves_in(data: dict[str, Any]) -> dict[str, list[list[float]]]:
    """x and value of each run on a page of curves."""
    return {s["run_id"]: [s["x"], s["value"]] for s in data["series"]}


async def test_curves_go_on_with_the_points_of_their_version_while_their_runs_grow(tmp_path: Path, era: str) -> None:
    rows: list[dict[str, float]] = [{"step": s, "loss": 1 / (s + 1)} for s in range(30)]
    for n in range(4):
        write_run(tmp_path / f"r{n}", {"lr": n}, rows)
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    ask = {"metrics": ["loss"], "max_points": 20, "limit": 50}
    async with Client(build_server(db), mode=era) as client:
        whole = data_of(await client.call_tool("query_metrics", {"metrics": ["loss"], "max_points": 20}))
        first = data_of(await client.call_tool("query_metrics", ask))
        for n in range(4):
            write_run(tmp_path / f"r{n}", {"lr": n}, [*rows, {"step": 30, "loss": -1.0}])
        second = data_of(await client.call_tool("query_metrics", {**ask, "cursor": first["next_cursor"]}))
    assert curves_in(first) | curves_in(second) == curves_in(whole)
    assert [s["n"] for s in second["series"]] == [30, 30]
    assert any("data changed" in warning for warning in second["basis"]["warnings"])


@pytest.mark.parametrize("grown", [False, True])
async def test_curves_whose_store_is_deleted_go_on_where_the_data_are_the_same(
    tmp_path: Path, era: str, grown: bool
) -> None:
    rows: list[dict[str, float]] = [{"step": s, "loss": 1 / (s + 1)} for s in range(30)]
    for n in range(4):
        write_run(tmp_path / "runs" / f"r{n}", {"lr": n}, rows)
    config = AnalysisConfig(refresh_seconds=0, cache_dir=str(tmp_path / "cache"))
    ExperimentDB(config, base_path=tmp_path / "runs").load_experiments()
    db = ExperimentDB(config, base_path=tmp_path / "runs")  # its points are in the files that the other wrote
    ask = {"metrics": ["loss"], "max_points": 20, "limit": 50}
    async with Client(build_server(db), mode=era) as client:
        first = data_of(await client.call_tool("query_metrics", ask))
        shutil.rmtree(tmp_path / "cache")
        if grown:
            write_run(tmp_path / "runs" / "r9", {"lr": 9}, rows)
        second = await client.call_tool("query_metrics", {**ask, "cursor": first["next_cursor"]})
    if grown:
        assert second.is_error
        assert "data changed" in text_of(second)
    else:
        assert list(curves_in(first) | curves_in(data_of(second))) == ["r0", "r1", "r2", "r3"]


async def test_a_cursor_whose_version_is_gone_says_that_the_data_moved_on(tmp_path: Path, era: str) -> None:
    for n in range(4):
        write_run(tmp_path / f"r{n}", {"lr": n}, [{"step": 0, "loss": 1.0}])
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    async with Client(build_server(db), mode=era) as client:
        cursor = data_of(await client.call_tool("list_runs", {"limit": 2}))["next_cursor"]
    write_run(tmp_path / "r9", {"lr": 9}, [{"step": 0, "loss": 1.0}])
    async with Client(build_server(db), mode=era) as client:
        result = await client.call_tool("list_runs", {"limit": 2, "cursor": cursor})
    assert result.is_error
    assert "data changed" in text_of(result)


async def test_news_return_the_cursor_for_later_news(tmp_path: Path, era: str) -> None:
    write_run(tmp_path / "old", {"lr": 1}, [{"step": 0, "val/loss": 1.0}])
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    async with Client(build_server(db), mode=era) as client:
        first = data_of(await client.call_tool("whats_new", {}))
        assert {row[1] for row in first["rows"]} == {"old"}
        assert "cursor" not in first.get("tables", {})
        write_run(tmp_path / "new", {"lr": 2}, [{"step": 0, "val/loss": 0.5}])
        second = await client.call_tool("whats_new", {"cursor": first["next_cursor"]})
        assert ["began", "new"] in [row[:2] for row in data_of(second)["rows"]]
        assert "old" not in {row[1] for row in data_of(second)["rows"]}
        assert f'cursor="{data_of(second)["next_cursor"]}"' in text_of(second)
        third = data_of(await client.call_tool("whats_new", {"cursor": data_of(second)["next_cursor"]}))
        assert third["rows"] == []


async def test_many_news_of_a_kind_are_one_line_and_none_follow_its_cursor(tmp_path: Path, era: str) -> None:
    for n in range(150):
        write_run(tmp_path / f"run {n:03}", {"lr": n}, [{"step": 0, "loss": 1.0}])
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    async with Client(build_server(db), mode=era) as client:
        result = await client.call_tool("whats_new", {})
        data, text = data_of(result), text_of(result)
        (began,) = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"] if row[0] == "began"]
        assert began["n"] == 150
        assert set(began["runs"][:-1]) < {f"run {n:03}" for n in range(150)}
        assert began["runs"][-1].endswith(" more")
        assert "began: 150 runs began: " in text
        assert len(text) < 1500
        assert data_of(await client.call_tool("whats_new", {"cursor": data["next_cursor"]}))["rows"] == []


async def test_news_that_do_not_fit_go_on_page_by_page_and_then_with_what_comes_next(tmp_path: Path, era: str) -> None:
    names = [f"{'long name ' * 20}{n}/loss" for n in range(8)]
    write_run(tmp_path / "run", {"lr": 1}, [{"step": 0, **dict.fromkeys(names, 1.0)}])
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0, max_answer_bytes=2000), base_path=tmp_path)
    seen: list[str] = []
    async with Client(build_server(db), mode=era) as client:
        cursor, pages, told = "", 0, True
        while told:
            data = data_of(await client.call_tool("whats_new", {"cursor": cursor}))
            told = bool(data["rows"])
            seen += [row[7] for row in data["rows"] if row[0] == "best"]
            cursor, pages = data["next_cursor"], pages + 1
    assert pages > 2
    assert len(seen) == len(set(seen)) == 8


async def test_news_do_not_begin_at_the_cursor_of_another_tool(client: Client) -> None:
    cursor = data_of(await client.call_tool("list_runs", {"limit": 3}))["next_cursor"]
    result = await client.call_tool("whats_new", {"cursor": cursor})
    assert result.is_error
    assert "another tool" in text_of(result)


async def test_a_cursor_that_is_no_news_cursor_is_refused(client: Client) -> None:
    result = await client.call_tool("whats_new", {"cursor": "yesterday"})
    assert result.is_error
    assert "whats_new" in text_of(result)
