"""A wrong call teaches the right one: each error names the nearest value, and what can be read in one way is accepted."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from support.doors import data_of, text_of

from sweeplens.near_names import MEANINGS, nearest

pytestmark = pytest.mark.anyio

RANK = {"metric": "val/acc"}
CURVES = {"metrics": ["val/acc"]}

ACCEPTED: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("rank_runs", {**RANK, "at_step": 9}, {**RANK, "at_step": "9"}),
    ("rank_runs", {**RANK, "at_step": 9.0}, {**RANK, "at_step": "9"}),
    ("rank_runs", {**RANK, "at_step": 0, "metric": "train/loss"}, {"metric": "train/loss", "reduce": "at_step:0"}),
    ("rank_runs", {"metric": ["val/acc"]}, RANK),
    ("rank_runs", {**RANK, "where": ['"optim.lr" > 0.05']}, {**RANK, "where": '"optim.lr" > 0.05'}),
    ("rank_runs", {**RANK, "limit": "2"}, {**RANK, "limit": 2}),
    ("compare_runs", {"a": ["lr0.1 s0", "lr0.1 s1"], "b": "lr0.01*"}, {"a": "lr0.1 s0, lr0.1 s1", "b": "lr0.01*"}),
    ("query_metrics", {**CURVES, "x_min": "3", "runs": "lr0.1*"}, {**CURVES, "x_min": 3, "runs": ["lr0.1*"]}),
    ("list_runs", {"sort": "optim.lr desc"}, {"sort": "-optim.lr"}),
    ("list_runs", {"sort": "optim.lr ASC"}, {"sort": "optim.lr"}),
    (
        "summarize_by_hparams",
        {"sort": "mean descending", "hparams": "optim.lr"},
        {"sort": "-mean", "hparams": "optim.lr"},
    ),
)

REFUSED: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    # values of arguments that take one of some words
    ("query_metrics", {**CURVES, "x": "steps"}, ("Nearest: 'step'", "wall_time")),
    ("query_metrics", {**CURVES, "x": "time"}, ("Nearest: 'wall_time'",)),
    ("plot", {"kind": "curves", "x": "seconds"}, ("Nearest: 'wall_time'",)),
    ("compare_runs", {"a": "lr0.1*", "b": "lr0.01*", "axis": "iterations"}, ("Nearest: 'step'", "axis takes")),
    ("rank_runs", {**RANK, "goal": "max"}, ("Nearest: 'higher'", "lower or higher")),
    ("hparam_effects", {**RANK, "goal": "minimise"}, ("Nearest: 'lower'",)),
    ("suggest_runs", {**RANK, "goal": "up"}, ("Nearest: 'higher'",)),
    ("rank_runs", {**RANK, "by": "groups"}, ("Nearest: 'group'", "single runs")),
    ("rank_runs", {**RANK, "reduce": "final"}, ("Nearest: 'last'", "at_step:1000")),
    ("rank_runs", {**RANK, "reduce": "average"}, ("Nearest: 'mean'",)),
    ("rank_runs", {**RANK, "reduce": 9}, ("Nearest: 'at_step:9'",)),
    ("rank_runs", {**RANK, "reduce": "last10"}, ("Nearest: 'last_k:10'",)),
    ("plot", {"kind": "lineplot"}, ("Nearest: 'curves'",)),
    ("plot", {"kind": "bar"}, ("Nearest: 'ranking'",)),
    # columns and conditions
    ("list_runs", {"where": "status = done"}, ("as in status = 'finished'",)),
    ("list_runs", {"where": 'status = "errored"'}, ("as in status = 'failed'",)),
    ("list_runs", {"where": "health = bad"}, ("as in health = 'broken'",)),
    ("list_runs", {"where": '"optim.lr" = "0.1"'}, ("write numbers without quotes", '"optim.lr" = 0.1.')),
    ("list_runs", {"where": '"optim.lr" = None'}, ('"optim.lr" IS NULL',)),
    ("list_runs", {"where": '"val/acc.last" = nan'}, ('is_nan("val/acc.last")',)),
    ("list_runs", {"where": "created_at > now()"}, ("No function 'now'", "created_at > '2026-01-31'")),
    ("list_runs", {"where": "median() > 1"}, ("No function 'median'",)),
    ("list_runs", {"sort": "loss"}, ("'train/loss.last'",)),
    ("list_runs", {"status": "failed"}, ("where=\"status = 'failed'\"",)),
    ("compare_runs", {"a": "torn", "b": "torn"}, ("1 run is on both sides",)),
    ("get_run", {"run_id": "lr0.1"}, ("Nearest: 'lr0.1 s0', 'lr0.1 s1'",)),
    ("rank_runs", {**RANK, "where": '"val/acc" > 0.9'}, ('"val/acc.last"',)),
    ("rank_runs", {**RANK, "where": "val/acc > 0.9"}, ("double quotes", '"val/acc.last"')),
    ("rank_runs", {**RANK, "where": "val/acc.max > 0.9"}, ('"val/acc.max"',)),
    ("rank_runs", {**RANK, "where": '"val/acc.best" > 0.9'}, ("'val/acc.max'", "'val/acc.min'")),
    ("rank_runs", {**RANK, "where": '"val/acc.final" > 0.9'}, ("Nearest: 'val/acc.last'",)),
    ("rank_runs", {**RANK, "where": "optim.lrr > 0.05"}, ('"optim.lr"',)),
    ("rank_runs", {**RANK, "where": "'optim.lr' > 0.05"}, ("double quotes", '"optim.lr"')),
    ("rank_runs", {**RANK, "where": "learning_rate > 0.05"}, ("Nearest: 'optim.lr'",)),
    ("rank_runs", {**RANK, "where": "status = finished"}, ("status = 'finished'",)),
    ("rank_runs", {**RANK, "where": "status = 'done'"}, ("status = 'done' holds for none", "Nearest: 'finished'")),
    ("rank_runs", {**RANK, "where": '"optim.lr" >'}, ("character 13", "status = 'finished'", "killed")),
    ("rank_runs", {**RANK, "where": "WHERE status = 'finished'"}, ("leave out WHERE",)),
    ("rank_runs", {**RANK, "where": "status = 'finished' LIMIT 3"}, ("the argument limit",)),
    ("rank_runs", {**RANK, "where": "status = 'finished' ORDER BY name"}, ("the argument sort",)),
    ("rank_runs", {**RANK, "where": '"optim.lr" IN [0.1]'}, ("round brackets",)),
    ("rank_runs", {**RANK, "where": {"optim.lr": 0.1, "status": "finished"}}, ('"optim.lr" = 0.1 AND "status" = ',)),
    ("rank_runs", {**RANK, "where": "run_id ~ '('"}, ("unclosed group",)),
    ("list_runs", {"sort": "val/acc"}, ("'val/acc.last'",)),
    ("list_runs", {"sort": "statsu"}, ("Nearest: 'status'",)),
    ("list_runs", {"columns": "val/acc"}, ("'val/acc.last'",)),
    ("summarize_by_hparams", {"hparams": "optim.lr", "sort": "seed"}, ("add it to hparams",)),
    ("summarize_by_hparams", {"hparams": "optim.*"}, ("not a pattern", "'optim.lr'")),
    ("list_metrics", {"pattern": "acc["}, ("not a regular expression: unclosed character class",)),
    ("query_metrics", {"metrics": ["(?<=v)acc"]}, ("look-around",)),
    # ranges
    ("query_metrics", {**CURVES, "x_min": 9, "x_max": 1}, ("x_min 9 is greater than x_max 1",)),
    # names
    ("rank_runs", {"metric": "accuracy"}, ("Nearest: 'val/acc'",)),
    ("query_metrics", {"metrics": "val/acc,train/loss"}, ("['val/acc', 'train/loss']",)),
    ("list_runs", {"runs": "torn, crashed"}, ("['torn', 'crashed']",)),
    ("list_runs", {"runs": "lr0.1"}, ("The glob 'lr0.1*' matches 2",)),
    ("get_run", {"run_id": "lr0.1*"}, ("list_runs(runs='lr0.1*') lists the 2",)),
    # kinds of arguments, and arguments that do not exist
    ("rank_runs", {"metric": ["val/acc", "train/loss"]}, ("it takes one text", "once for each")),
    ("rank_runs", {**RANK, "limit": 2.5}, ("whole number (without a fraction)",)),
    ("rank_runs", {**RANK, "limit": "all"}, ("it takes a whole number", "0: ")),
    ("query_metrics", {**CURVES, "x_min": "a lot"}, ("it takes a number", "Smallest x")),
    ("plot", {"log": True}, ("it takes one text", "xy")),
    ("rank_runs", {**RANK, "top_k": 3}, ("Nearest: 'limit'",)),
    ("rank_runs", {**RANK, "filter": "x"}, ("Nearest: 'where'",)),
    ("rank_runs", {**RANK, "group_by": "optim.lr"}, ("Nearest: 'hparams'",)),
    ("get_run", {"run": "torn"}, ("Nearest: 'run_id'",)),
    ("list_runs", {"status": "finished"}, ("where=\"status = 'finished'\"",)),
    ("query_sql", {"sql": "SELECT 1"}, ("Nearest: 'query'",)),
    ("query_sql", {"query": "SELECT run_id FROM runs WHERE status = finished"}, ("single quotes: 'finished'",)),
    ("query_sql", {"query": 'SELECT run_id FROM runs WHERE "val/acc.best" > 0'}, ("Nearest: 'val/acc.max'",)),
    ("query_sql", {"query": "SELECT run_id FROM runs WHERE run_id ~ '('"}, ("unclosed group",)),
    ("rank", RANK, ("Unknown tool", "Nearest: 'rank_runs'")),
)  # fmt: skip
_ENGINE = ("polars", "pydantic", "Traceback", "ComputeError", "valid tuple", "unable to parse", "regex parse error")


def _named(case: tuple[str, dict[str, Any], Any]) -> str:
    return f"{case[0]} {case[1]}"


@pytest.mark.parametrize(("tool", "loose", "strict"), ACCEPTED, ids=map(_named, ACCEPTED))
async def test_what_can_be_read_in_one_way_is_accepted(
    client: Client, tool: str, loose: dict[str, Any], strict: dict[str, Any]
) -> None:
    one = data_of(await client.call_tool(tool, loose))
    other = data_of(await client.call_tool(tool, strict))
    assert one.get("rows", one.get("series")) == other.get("rows", other.get("series"))


@pytest.mark.parametrize(("tool", "arguments", "taught"), REFUSED, ids=map(_named, REFUSED))
async def test_an_error_names_the_right_call(
    client: Client, tool: str, arguments: dict[str, Any], taught: tuple[str, ...]
) -> None:
    result = await client.call_tool(tool, arguments)
    text = text_of(result)
    assert result.is_error, text
    for words in taught:
        assert words in text
    assert not [word for word in _ENGINE if word.lower() in text.lower()]


async def test_rows_can_be_sorted_by_every_column_that_exists_and_show_it(client: Client) -> None:
    data = data_of(await client.call_tool("list_runs", {"sort": "-train/loss.max"}))
    column = data["columns"].index("train/loss.max")
    known = [row[column] for row in data["rows"] if row[column] is not None]
    assert known == sorted(known, reverse=True)
    for name in ("name", "created_at", "seed", "source"):
        assert name in data_of(await client.call_tool("list_runs", {"sort": name}))["columns"]


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("list_runs", {"where": '"optim.lr" > 5'}, '"optim.lr" > 5 holds for none of 8 runs. optim.lr is between 0.01'),
        ("list_runs", {"where": "\"optim.lr\" = 0.1 AND run_id = 'lr0.01 s0'"}, "each part alone holds"),
        ("list_runs", {"where": "'optim.lr' = 'x'"}, "names no column"),
        ("list_metrics", {"where": "status = 'done'"}, "Nearest: 'finished'"),
        ("query_metrics", {**CURVES, "x_min": 500}, "no point lies within x_min 500: step is between 4 and 19"),
        ("query_metrics", {**CURVES, "x": "train/loss", "x_max": -3}, "within x_max -3: train/loss is between"),
        ("query_sql", {"query": "SELECT run_id FROM runs WHERE status = 'done' LIMIT 5"}, "status = 'done' holds for none"),
        ("query_sql", {"query": "SELECT metric FROM series WHERE n > 900 AND metric = 'val/acc'"}, "n > 900 holds for none of"),
        ("query_sql", {"query": "SELECT r.run_id FROM runs r JOIN series s ON r.run_id = s.run_id WHERE s.n > 900"}, "count(*)"),
    ],
)  # fmt: skip
async def test_an_empty_answer_says_which_condition_emptied_it(
    client: Client, tool: str, arguments: dict[str, Any], reason: str
) -> None:
    data = data_of(await client.call_tool(tool, arguments))
    assert not data.get("rows", data.get("series"))
    assert reason in " ".join(data["basis"]["warnings"])


@given(st.text(max_size=30), st.sampled_from(sorted(MEANINGS)), st.lists(st.text(max_size=12), max_size=8))
def test_only_names_that_exist_are_near(name: str, meaning: str, known: list[str]) -> None:
    near = nearest(name, known, meaning=meaning)
    assert set(near) <= set(known)
    assert len(near) == len(set(near)) <= 3


def test_each_meaning_is_a_word_that_the_argument_takes() -> None:
    """A word of another tool must lead to a value that exists here."""
    from sweeplens.charts import CHARTS
    from sweeplens.frames.reduction_names import REDUCTIONS
    from sweeplens.frames.schemas import SERIES_STATS, STATUSES
    from sweeplens_mcp.execution.arguments import tool_arguments
    from sweeplens_mcp.tools import TOOLS

    arguments = {argument.name for spec in TOOLS for argument in tool_arguments(spec)}
    taken = {
        "goal": {"lower", "higher"}, "x": {"step", "wall_time"}, "reduce": set(REDUCTIONS), "kind": set(CHARTS),
        "by": {"group", "run"}, "statistic": set(SERIES_STATS), "status": set(STATUSES), "argument": arguments,
    }  # fmt: skip
    assert set(taken) == set(MEANINGS)
    for meaning, words in MEANINGS.items():
        assert {value for values in words.values() for value in values.split()} <= taken[meaning], meaning


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("get_run", {"run_id": "caf\udce9"}),
        ("list_runs", {"runs": ["caf\udce9"]}),
        ("list_runs", {"where": "run_id = 'caf\udce9' AND"}),
        ("query_metrics", {"metrics": ["caf\udce9"]}),
    ],
)
async def test_half_a_character_in_an_argument_is_shown_escaped(
    client: Client, tool: str, given: dict[str, object]
) -> None:
    result = await client.call_tool(tool, given)
    assert result.is_error
    assert r"caf\udce9" in text_of(result).replace("\\\\", "\\")


def test_the_nearest_of_thousands_of_long_names_is_found_in_little_time() -> None:
    names = ["x" * 150 + f"{i:04}" for i in range(3000)]
    began = time.process_time()
    assert nearest("x" * 150 + "1234-", names)[0] == names[1234]
    assert time.process_time() - began < 5


async def test_a_threshold_that_no_run_passes_is_said_so(client: Client) -> None:
    answer = text_of(await client.call_tool("run_costs", {**RANK, "threshold": 5}))
    assert "No run has val/acc above 5: the best result is" in answer
