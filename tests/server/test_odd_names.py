"""Names and texts that are no Unicode reach every channel written out, and break none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from mcp import Client
from support.sweep import write_run

from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names of files are Unicode there"),
]
ROWS = [{"step": float(s), "loss": 1.0 / (s + 1), "\udce9": 1.0} for s in range(5)]
CALLS: tuple[tuple[str, dict[str, object]], ...] = (
    ("overview", {}),
    ("list_runs", {}),
    ("list_metrics", {}),
    ("find_varying_hparams", {}),
    ("get_run", {"run_id": "caf\\udce9"}),
    ("query_metrics", {"metrics": ["\\\\udce9"], "runs": ["caf*"]}),
    ("query_sql", {"query": "SELECT * FROM runs"}),
    ("diagnose_runs", {}),
    ("whats_new", {}),
)
ADDRESSES = ("experiments://overview", "experiments://runs", "experiments://metrics", "experiments://problems",
             "experiments://schema", "experiments://runs/caf%5Cudce9", "experiments://runs/caf%5Cudce9/config")  # fmt: skip


async def test_every_answer_is_json_in_utf_8(tmp_path: Path, era: str) -> None:
    root = tmp_path / os.fsdecode(b"r\xf6\xdf")
    run = write_run(
        root / os.fsdecode(b"caf\xe9"), {"\udce9": "\ud800", "lr": 0.1, "a\0b": {"\0": "int", "is": "x"}}, ROWS
    )
    (run / os.fsdecode(b"photo\xe9.png")).write_bytes(b"x")
    (run / "config.yaml").write_text("amp: !!bool maybe")
    write_run(root / "plain", {"lr": 0.2}, ROWS)
    async with Client(build_server(Settings((str(root),))), mode=era) as client:
        known = {tool.name for tool in (await client.list_tools()).tools}
        for tool, arguments in CALLS:
            if tool in known:
                result = await client.call_tool(tool, arguments)
                assert not result.is_error, (tool, result.content)
                json.dumps(result.model_dump(mode="json"), ensure_ascii=False).encode()
        for address in ADDRESSES:
            json.dumps((await client.read_resource(address)).model_dump(mode="json"), ensure_ascii=False).encode()
