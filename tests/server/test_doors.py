"""The same answers through every door: in memory, stdio and HTTP, in both eras; and a wire without a stray byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import CallToolResult
from support.doors import data_of, stdio, text_of

pytestmark = pytest.mark.anyio


def without_version(result: CallToolResult) -> tuple[str, str]:
    """Both channels; each process counts the versions of the data for itself."""
    data = data_of(result)
    version = data["basis"]["data_version"]
    same = {**data, "basis": {**data["basis"], "data_version": ""}}
    return json.dumps(same), text_of(result).replace(f"data version {version} of", "")


async def test_stdio_and_http_give_the_answers_that_memory_gives(
    client: Client, sweep: Path, http_url: str, era: str
) -> None:
    asked = {"metrics": ["val/acc"], "reduce": "max"}
    here = await client.call_tool("summarize_by_hparams", asked)
    for door in (stdio(sweep), http_url):
        async with Client(door, mode=era) as other:
            there = await other.call_tool("summarize_by_hparams", asked)
            assert without_version(there) == without_version(here)
            assert [t.name for t in (await other.list_tools()).tools] == [
                t.name for t in (await client.list_tools()).tools
            ]


async def test_several_roots_are_one_database(sweep: Path, tmp_path: Path, era: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"lr": 1}', encoding="utf-8")
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 0, "loss": 1}\n', encoding="utf-8")
    async with Client(stdio(sweep, tmp_path), mode=era) as client:
        data = data_of(await client.call_tool("list_runs", {}))
    assert data["basis"]["roots"] == [str(sweep), str(tmp_path)]
    assert "run" in {row[0] for row in data["rows"]}


def test_stdout_carries_protocol_and_nothing_else_whatever_the_locale(sweep: Path) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    messages = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "list_runs", "arguments": {"runs": ["größe*"]}}},
    ]
    sent = "".join(json.dumps({"jsonrpc": "2.0", **m}, ensure_ascii=False) + "\n" for m in messages)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeplens_mcp", "serve", "--root", str(sweep)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    with process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(sent.encode())
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        assert process.stdout.read() == b""
    assert [a["id"] for a in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["rows"][0][0] == "größe s0"


def test_importing_the_server_does_not_import_the_engine() -> None:
    code = (
        "import sys, sweeplens_mcp.protocol.app as a; a.build_server(); "
        "print([m for m in ('polars', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip() == "[]"
