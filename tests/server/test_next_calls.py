"""The calls at the end of the overview can be made as they are written."""

from __future__ import annotations

import ast

import pytest
from mcp import Client
from support.doors import text_of

pytestmark = pytest.mark.anyio


async def test_each_call_that_the_overview_names_gives_an_answer(client: Client) -> None:
    lines = text_of(await client.call_tool("overview", {})).splitlines()
    said = [line for line in lines if line.startswith("next ")]
    assert 1 <= len(said) <= 3
    for sentence in said:
        called = ast.parse(sentence[sentence.rindex(": ") + 2 :], mode="eval").body
        assert isinstance(called, ast.Call)
        assert isinstance(called.func, ast.Name)
        given = {k.arg: ast.literal_eval(k.value) for k in called.keywords if k.arg}
        result = await client.call_tool(called.func.id, given)
        assert not result.is_error, text_of(result)
