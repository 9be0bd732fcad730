"""Resources, completions and prompts, in both eras."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from mcp import Client, MCPError
from mcp.types import PromptReference, ResourceTemplateReference, TextContent, TextResourceContents
from support.sweep import SWEEP_RUNS, write_run

from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio
CURVE = "experiments://runs/{run_id}/metrics/{metric}{?max_points}"


async def read(client: Client, uri: str) -> str:
    """Returns the only text of a resource."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


def table(text: str) -> list[dict[str, str]]:
    """Comma-separated text as rows."""
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


async def test_every_resource_that_is_listed_can_be_read(client: Client) -> None:
    listed = (await client.list_resources()).resources
    assert {str(r.uri) for r in listed} == {
        *(f"experiments://{name}" for name in ("overview", "runs", "metrics", "problems", "schema")),
        "ui://sweeplens/chart",
    }
    for resource in listed:
        assert resource.description
        assert await read(client, str(resource.uri))


async def test_the_overview_is_markdown_and_the_runs_are_a_table(client: Client) -> None:
    assert (await read(client, "experiments://overview")).startswith("# Experiments")
    rows = table(await read(client, "experiments://runs"))
    assert {r["run_id"] for r in rows} == set(SWEEP_RUNS)


async def test_names_in_an_address_may_hold_blanks_slashes_and_any_script(client: Client) -> None:
    run = json.loads(await read(client, f"experiments://runs/{quote('größe s0')}"))
    assert ["run_id", "größe s0"] in run["tables"]["run"]["rows"]
    curve = table(await read(client, f"experiments://runs/{quote('lr0.1 s0')}/metrics/{quote('val/acc', safe='')}"))
    assert [row["step"] for row in curve] == ["4", "9", "14", "19"]


async def test_a_curve_has_at_most_the_requested_points_and_names_non_finite_values(client: Client) -> None:
    base = f"experiments://runs/diverged/metrics/{quote('train/loss', safe='')}"
    assert [r["value"] for r in table(await read(client, base))][10:12] == ["inf", "-inf"]
    assert len(table(await read(client, base + "?max_points=6"))) <= 6


async def test_the_configuration_of_a_run_is_nested_as_it_was_logged(client: Client) -> None:
    config = json.loads(await read(client, f"experiments://runs/{quote('lr0.1 s0')}/config"))
    assert config == {"optim": {"lr": 0.1}, "seed": 0}


async def test_every_malformed_line_is_listed_with_its_place_and_reason(client: Client, sweep: Path) -> None:
    (problem,) = [p for p in table(await read(client, "experiments://problems")) if p["kind"] == "malformed"]
    assert problem["file"] == str(sweep / "crashed" / "metrics.jsonl")
    assert problem["line"] == "8"
    assert problem["reason"]


async def test_the_schema_names_the_columns_of_all_three_tables(client: Client) -> None:
    rows = table(await read(client, "experiments://schema"))
    names = {(r["table"], r["column"]) for r in rows}
    assert {("runs", "optim.lr"), ("series", "last"), ("points", "value")} <= names


@pytest.mark.parametrize(
    "uri", ["experiments://runs/nobody", "experiments://runs/torn/metrics/nothing", "experiments://x"]
)
async def test_an_unknown_resource_is_an_error_that_names_it(client: Client, uri: str) -> None:
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    assert error.value.error.code == -32602


async def test_a_metric_called_like_a_path_is_a_name_and_no_path(tmp_path: Path, era: str) -> None:
    write_run(tmp_path / "run", {"lr": 1}, [{"step": 0, "../x": 1.5}])
    async with Client(build_server(Settings((str(tmp_path),))), mode=era) as client:
        runs = table(await read(client, "experiments://runs"))
        uri = f"experiments://runs/{quote(runs[0]['run_id'], safe='')}/metrics/{quote('../x', safe='')}"
        assert table(await read(client, uri)) == [{"step": "0", "value": "1.5"}]


async def test_run_ids_and_metrics_complete_as_one_types(client: Client) -> None:
    template = ResourceTemplateReference(type="ref/resource", uri=CURVE)
    runs = await client.complete(template, {"name": "run_id", "value": "lr0.1"})
    assert runs.completion.values == ["lr0.1 s0", "lr0.1 s1"]
    metrics = await client.complete(
        template, {"name": "metric", "value": "ACC"}, context_arguments={"run_id": "lr0.1 s0"}
    )
    assert metrics.completion.values == ["val/acc"]
    prompt = await client.complete(
        PromptReference(type="ref/prompt", name="why_did_it_fail"), {"name": "run_id", "value": "div"}
    )
    assert prompt.completion.values == ["diverged"]


async def test_prompts_contain_the_given_arguments_and_no_trace_of_the_others(client: Client) -> None:
    prompts = {p.name: p for p in (await client.list_prompts()).prompts}
    assert set(prompts) == {"analyze_sweep", "compare_two", "why_did_it_fail", "write_report"}
    assert all(p.title and p.description for p in prompts.values())
    content = (await client.get_prompt("compare_two", {"a": "run {b}", "b": "y"})).messages[0].content
    assert isinstance(content, TextContent)
    assert "A is `run {b}`, B is `y`" in content.text
    assert "Judge by" not in content.text
