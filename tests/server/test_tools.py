"""What a client gets from each tool, in both eras: two channels, each complete alone, and errors that help."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from support.doors import BUDGET, data_of, sizes, text_of
from support.sweep import STEPS, SWEEP_RUNS, write_run

from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("overview", {}),
    ("list_runs", {}),
    ("get_run", {"run_id": "diverged"}),
    ("list_metrics", {}),
    ("query_metrics", {"metrics": ["val/acc"]}),
    ("summarize_by_hparams", {}),
    ("find_varying_hparams", {}),
)


@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[name for name, _ in CALLS])
async def test_every_tool_answers_in_two_channels_within_the_budget(
    client: Client, sweep: Path, tool: str, arguments: dict[str, Any]
) -> None:
    result = await client.call_tool(tool, arguments)
    data, text = data_of(result), text_of(result)
    assert max(sizes(result)) <= BUDGET
    assert data["next_cursor"] == ""
    assert data["basis"]["roots"] == [str(sweep)]
    assert data["basis"]["python"].startswith("db.")
    assert "Basis: " in text
    assert str(sweep) in text
    assert "{" not in text.splitlines()[0]


async def test_list_runs_has_a_row_for_each_run_with_what_varies(client: Client) -> None:
    data = data_of(await client.call_tool("list_runs", {}))
    assert {row[0] for row in data["rows"]} == set(SWEEP_RUNS)
    assert {"run_id", "status", "optim.lr", "val/acc.last"} <= set(data["columns"])


async def test_a_single_text_is_accepted_as_a_list_and_null_as_a_missing_argument(client: Client) -> None:
    alone = await client.call_tool("list_runs", {"runs": "lr0.1*", "where": None, "columns": None})
    listed = await client.call_tool("list_runs", {"runs": ["lr0.1*"]})
    assert data_of(alone)["rows"] == data_of(listed)["rows"]
    assert len(data_of(alone)["rows"]) == 2


async def test_a_list_written_as_json_text_is_a_list(client: Client) -> None:
    data = data_of(await client.call_tool("list_runs", {"runs": '["torn", "crashed"]'}))
    assert {row[0] for row in data["rows"]} == {"torn", "crashed"}


async def test_an_unknown_argument_is_refused_by_name_with_the_nearest(client: Client) -> None:
    result = await client.call_tool("query_metrics", {"metric": ["val/acc"]})
    assert result.is_error
    assert "No argument 'metric'. Nearest: 'metrics'" in text_of(result)


async def test_a_missing_or_wrong_argument_is_named_without_the_validators_jargon(client: Client) -> None:
    missing = text_of(await client.call_tool("query_metrics", {}))
    wrong = text_of(await client.call_tool("list_runs", {"limit": "many"}))
    assert missing == "query_metrics needs the argument 'metrics'."
    assert wrong.startswith("Argument 'limit' is 'many': ")
    assert "pydantic" not in wrong


@pytest.mark.parametrize(
    ("tool", "arguments", "offered"),
    [
        ("get_run", {"run_id": "diverge"}, "'diverged'"),
        ("query_metrics", {"metrics": ["val_acc"]}, "'val/acc'"),
        ("list_runs", {"where": '"optim.lrr" > 1'}, "'optim.lr'"),
        ("list_runs", {"columns": ["val/acc.lst"]}, "'val/acc.last'"),
        ("summarize_by_hparams", {"hparams": ["optim.lrr"]}, "'optim.lr'"),
    ],
)
async def test_a_name_that_is_not_there_is_an_error_with_the_nearest_that_are(
    client: Client, tool: str, arguments: dict[str, Any], offered: str
) -> None:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert offered in text_of(result)
    assert "Error executing tool" not in text_of(result)


async def test_an_invalid_pattern_is_an_error_with_a_reason(client: Client) -> None:
    result = await client.call_tool("list_metrics", {"pattern": "val[("})
    assert result.is_error
    assert "regular expression" in text_of(result)


async def test_a_non_finite_number_is_null_with_its_kind_and_a_word_in_text(client: Client) -> None:
    result = await client.call_tool("get_run", {"run_id": "diverged"})
    data = data_of(result)
    row = next(i for i, r in enumerate(data["rows"]) if r[0] == "train/loss")
    assert data["rows"][row][data["columns"].index("last")] is None
    assert {"row": row, "column": "last", "kind": "nan"} in data["nonfinite"]
    assert "nan" in text_of(result)


async def test_a_series_names_each_value_that_is_not_finite_in_order(client: Client) -> None:
    result = await client.call_tool("query_metrics", {"metrics": ["train/loss"], "runs": ["diverged"]})
    (series,) = data_of(result)["series"]
    assert series["n"] == STEPS
    assert series["x"] == list(range(STEPS))
    assert [v is None for v in series["value"]] == [10 <= s <= 11 or s >= 15 for s in range(STEPS)]
    assert series["nonfinite"] == ["inf", "-inf", *["nan"] * 5]
    assert "10 inf; 11 -inf" in text_of(result)


async def test_full_precision_is_in_the_structured_channel_and_five_digits_in_the_text(client: Client) -> None:
    result = await client.call_tool("query_metrics", {"metrics": ["val/acc"], "runs": ["lr0.1 s0"]})
    (series,) = data_of(result)["series"]
    assert series["value"][0] == 1 - math.exp(-0.5)
    assert "4 0.39347;" in text_of(result)
    assert "0.393469" not in text_of(result)


async def test_escapes_from_a_log_never_reach_a_terminal(client: Client) -> None:
    result = await client.call_tool("get_run", {"run_id": "größe s0"})
    data, text = data_of(result), text_of(result)
    (note,) = [value for name, value in data["tables"]["hyperparameters"]["rows"] if name == "note"]
    assert note == "\\x1b[31mred\\x07\\u202e"
    assert "\x1b" not in text
    assert "\u202e" not in text


async def test_runs_left_out_are_counted_with_the_reason(client: Client) -> None:
    data = data_of(await client.call_tool("summarize_by_hparams", {"metrics": ["train/loss"]}))
    (left,) = [entry for entry in data["basis"]["left_out"] if "diverged" in entry["runs"]]
    assert left["n"] == 1
    assert "finite" in left["reason"]


async def test_a_root_that_is_missing_is_an_answer_with_the_reason_and_not_a_server_that_does_not_start(
    tmp_path: Path, era: str
) -> None:
    server = build_server(Settings((str(tmp_path / "nowhere"),)))
    async with Client(server, mode=era) as client:
        assert (await client.list_tools()).tools
        result = await client.call_tool("overview", {})
        assert result.is_error
        assert "nowhere" in text_of(result)
        write_run(tmp_path / "nowhere" / "run", {"lr": 1}, [{"step": 0, "loss": 1.0}])
        assert not (await client.call_tool("overview", {})).is_error


async def test_an_unexpanded_variable_in_a_root_is_named_in_the_error(era: str) -> None:
    async with Client(build_server(Settings(("${workspaceFolder}/runs",))), mode=era) as client:
        assert "unexpanded variable" in text_of(await client.call_tool("overview", {}))


async def test_a_folder_without_experiments_is_an_error_with_a_reason(tmp_path: Path, era: str) -> None:
    (tmp_path / "notes.md").write_text("nothing here", encoding="utf-8")
    async with Client(build_server(Settings((str(tmp_path),))), mode=era) as client:
        result = await client.call_tool("list_runs", {})
        assert result.is_error
        assert "No experiments below" in text_of(result)


async def test_many_curves_fit_one_page_with_fewer_points_unless_a_number_is_asked_for(
    tmp_path: Path, era: str
) -> None:
    for n in range(16):
        write_run(tmp_path / f"r{n:02}", {"lr": n}, [{"step": s, "loss": 1 / (s + 1.1)} for s in range(200)])
    async with Client(build_server(Settings((str(tmp_path),))), mode=era) as client:
        usual = data_of(await client.call_tool("query_metrics", {"metrics": ["loss"]}))
        asked = data_of(await client.call_tool("query_metrics", {"metrics": ["loss"], "max_points": 40}))
    assert usual["next_cursor"] == ""
    assert [s["n"] for s in usual["series"]] == [200] * 16
    assert all(10 <= len(s["x"]) < 50 and s["x"][0] == 0 and s["x"][-1] == 199 for s in usual["series"])
    assert "points; first" in usual["basis"]["sampling"]
    assert asked["next_cursor"]
    assert all(len(s["x"]) == 40 for s in asked["series"])
