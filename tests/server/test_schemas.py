"""What clients see before they call: one snapshot a tool, schemas that port, and few tokens.

`SWEEPLENS_UPDATE_SNAPSHOTS=1 pytest tests/server/test_schemas.py` writes the snapshots.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from sweeplens_mcp.tools import PAGE_TOOLS, TOOLS

pytestmark = pytest.mark.anyio

SNAPSHOTS = Path(__file__).parent / "snapshots"
MOST_TOKENS = 4_000
FACADE = re.compile(r"\bdb\.(?!config)(\w+)")


async def test_each_tool_is_as_its_snapshot_says(client: Client) -> None:
    listed = {
        t.name: t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in (await client.list_tools()).tools
    }
    if os.environ.get("SWEEPLENS_UPDATE_SNAPSHOTS"):
        for name, tool in listed.items():
            (SNAPSHOTS / f"{name}.json").write_text(json.dumps(tool, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    written = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in SNAPSHOTS.glob("*.json")}
    assert listed == written


async def test_all_tools_together_take_few_tokens(client: Client) -> None:
    tools = (await client.list_tools()).tools
    seen = [t for t in tools if "model" in (t.meta or {}).get("ui", {}).get("visibility", ["model"])]
    assert [t.name for t in tools if t not in seen] == [spec.name for spec in PAGE_TOOLS]
    size = sum(len(t.name) + len(t.description or "") + len(json.dumps(t.input_schema)) for t in seen)
    assert size / 4 <= MOST_TOKENS


async def test_the_schema_of_an_answer_takes_few_characters(client: Client) -> None:
    for tool in (await client.list_tools()).tools:
        assert len(json.dumps(tool.output_schema, separators=(",", ":"))) <= 1_000, tool.name


async def test_every_tool_says_that_it_only_reads(client: Client) -> None:
    for tool in (await client.list_tools()).tools:
        hints = tool.annotations
        assert hints
        assert tool.title == hints.title
        assert tool.title
        assert (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint) == (
            True, False, True, False,
        )  # fmt: skip


async def test_names_and_descriptions_fit_every_client(client: Client) -> None:
    for tool in (await client.list_tools()).tools:
        assert re.fullmatch(r"[a-z0-9_]{1,40}", tool.name)
        assert 20 < len(tool.description or "") < 2_000
        assert all(part.get("description") for part in tool.input_schema["properties"].values())


async def test_argument_schemas_hold_nothing_that_a_client_cannot_take(client: Client) -> None:
    for tool in (await client.list_tools()).tools:
        assert tool.input_schema["type"] == "object"
        assert (tool.output_schema is None) == (tool.name in ("plot", "chart_data"))  # a picture has none
        for schema in filter(None, (tool.input_schema, tool.output_schema)):
            for part in _parts(schema):
                assert not isinstance(part.get("type"), list), part
                assert "prefixItems" not in part
                assert "$ref" not in part
                assert part.get("type") != "array" or part["items"] != {}
                assert len(part.get("enum", [1, 2])) > 1


def test_every_tool_calls_a_method_that_the_database_has() -> None:
    import inspect

    from sweeplens import ExperimentDB

    for spec in TOOLS:
        (method,) = set(FACADE.findall(inspect.getsource(spec.function)))
        assert hasattr(ExperimentDB, method), f"{spec.name} needs db.{method}"


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema."""
    if isinstance(schema, dict):
        yield schema
        inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), schema.get("items")]
        extra = schema.get("additionalProperties")
        for part in [*inner, extra]:
            yield from _parts(part)
