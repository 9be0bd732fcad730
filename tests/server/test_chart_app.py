"""MCP Apps: clients that announce the extension get the page and the chart's id; for all others nothing changes."""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.client.extension import advertise
from mcp.types import TextContent, TextResourceContents

from sweeplens import ExperimentDB
from sweeplens.charts.rendering import can_render
from sweeplens.charts.request import PlotRequest
from sweeplens.errors import InputError
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools.chart_id import PlotArguments, arguments_of, chart_id
from sweeplens_mcp.tools.pictures import plot

pytestmark = pytest.mark.anyio
UI = "io.modelcontextprotocol/ui"
HTML = "text/html;profile=mcp-app"
ASKED = {"kind": "ranking", "metrics": ["val/acc"]}


@pytest.fixture
async def with_apps(sweep: Path, era: str) -> AsyncIterator[Client]:
    """A client that shows pages."""
    shows = [advertise(UI, {"mimeTypes": [HTML]})]
    async with Client(build_server(Settings((str(sweep),))), mode=era, extensions=shows) as connected:
        yield connected


async def test_the_tool_names_its_page_and_the_server_the_extension(with_apps: Client) -> None:
    tools = {t.name: (t.meta or {}).get("ui") for t in (await with_apps.list_tools()).tools}
    assert tools["plot"] == {"resourceUri": "ui://sweeplens/chart", "visibility": ["model", "app"]}
    assert tools["chart_data"] == {"resourceUri": "ui://sweeplens/chart", "visibility": ["app"]}
    assert [name for name, page in tools.items() if page] == ["plot", "chart_data"]
    assert UI in (with_apps.server_capabilities.extensions or {})


def test_a_chart_id_holds_every_argument_of_plot_and_the_library_knows_them_all() -> None:
    held = set(PlotArguments.__struct_fields__)
    assert held == set(inspect.signature(plot).parameters) - {"db"}
    assert held - {"kind"} <= set(PlotRequest.__struct_fields__)


async def test_the_id_of_a_chart_alone_gives_its_data_on_any_server(with_apps: Client, sweep: Path, era: str) -> None:
    drawn = await with_apps.call_tool("plot", ASKED)
    assert drawn.content[0].type == "image"
    assert drawn.structured_content is not None
    name = drawn.structured_content["chart_id"]
    async with Client(build_server(Settings((str(sweep),))), mode=era) as other:
        data = await other.call_tool("chart_data", {"chart_id": name})
    found = data.structured_content
    assert not data.is_error
    assert found is not None
    chart = ExperimentDB(base_path=sweep).plot("ranking", metrics=["val/acc"])
    assert found["title"] == chart.title
    assert found["caption"] == chart.caption
    assert found["spec"]["layer"] == json.loads(json.dumps(chart.spec["layer"]))
    assert set(found["themes"]) == {"light", "dark"}


async def test_nothing_changes_for_a_client_without_apps(client: Client, with_apps: Client) -> None:
    plain, rich = [await one.call_tool("plot", ASKED) for one in (client, with_apps)]
    assert plain.structured_content is None
    assert plain.content == rich.content


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing",
        "é",
        base64.urlsafe_b64encode(b'{"kind": 3}').decode(),
        base64.urlsafe_b64encode(b'{"root": "/etc"}').decode(),
        base64.urlsafe_b64encode(b"[" * 9_000).decode(),
    ],
)
async def test_an_invalid_chart_id_is_an_error_with_a_reason(client: Client, name: str) -> None:
    result = await client.call_tool("chart_data", {"chart_id": name})
    (block,) = result.content
    assert result.is_error
    assert isinstance(block, TextContent)
    assert "is no chart_id" in block.text


async def test_an_id_of_what_cannot_be_drawn_is_the_error_of_plot(client: Client) -> None:
    result = await client.call_tool("chart_data", {"chart_id": chart_id({"kind": "rankings"})})
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert "Nearest: 'ranking'" in result.content[0].text


async def test_the_page_is_one_file_that_asks_for_nothing_and_runs_only_its_own_scripts(client: Client) -> None:
    listed = {r.uri: r for r in (await client.list_resources()).resources}["ui://sweeplens/chart"]
    assert listed.mime_type == HTML
    (page,) = (await client.read_resource("ui://sweeplens/chart")).contents
    assert isinstance(page, TextResourceContents)
    assert page.mime_type == HTML
    assert can_render()
    assert 500_000 < len(page.text.encode()) < 1_000_000
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page.text)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe-eval" not in policy[1]
    assert not re.search(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=", page.text.split("<script>")[0])
    assert "ui/initialize" in page.text


@given(
    kind=st.text(max_size=20),
    metrics=st.lists(st.text(max_size=20), max_size=4),
    where=st.text(max_size=80),
    smooth=st.floats(0, 0.99),
)
def test_a_chart_id_holds_the_arguments_of_its_request_and_nothing_else(
    kind: str, metrics: list[str], where: str, smooth: float
) -> None:
    asked = {"kind": kind, "metrics": metrics, "where": where, "smooth": smooth}
    found = arguments_of(chart_id(asked))
    assert (found.kind, list(found.metrics), found.where, found.smooth) == (kind, metrics, where, smooth)


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_an_error_in_words(text: str) -> None:
    with contextlib.suppress(InputError):
        assert arguments_of(text) == arguments_of(chart_id(msgspec.to_builtins(arguments_of(text))))
