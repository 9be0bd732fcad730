"""SQL over files beside the runs, through the server: a grant's own roots only, hostile names escaped, long texts paged."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client
from support.doors import BUDGET, data_of, sizes, text_of
from support.lab import EVERYTHING, PUBLIC, asking, lab

__all__ = ["lab"]  # a fixture
pytestmark = pytest.mark.anyio


async def ask(client: Client, query: str) -> dict[str, object]:
    return data_of(await client.call_tool("query_sql", {"query": query}))


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_grant_reaches_the_files_of_its_own_roots_only(lab: Path, era: str) -> None:
    (lab / "public/board.csv").write_text("method,acc\na,0.5\nb,0.6\n")
    (lab / "secret/hidden.csv").write_text("method,acc\nconfidential,0.9\nb,0.6\n")
    (lab / "public/link.csv").symlink_to(lab / "secret/hidden.csv")
    async with asking(lab, EVERYTHING, era) as client:
        found = await ask(client, 'SELECT * FROM "hidden.csv"; SELECT count(*) AS n FROM files')
        assert found["rows"] == [["confidential", 0.9], ["b", 0.6]]
    async with asking(lab, PUBLIC, era) as client:
        assert (await ask(client, 'SELECT acc FROM "board.csv" ORDER BY acc'))["rows"] == [[0.5], [0.6]]
        for name in ("hidden.csv", "link.csv", "../secret/hidden.csv", str(lab / "secret/hidden.csv")):
            refused = await client.call_tool("query_sql", {"query": f'SELECT * FROM "{name}"'})
            assert refused.is_error
            assert "confidential" not in text_of(refused)
        seen = await ask(client, "SELECT path, root FROM files; SELECT text FROM lines")
        assert "confidential" not in str(seen)
        assert not any("secret" in str(root) for _, root in seen["rows"])  # type: ignore[union-attr]


async def test_hostile_names_and_texts_are_shown_escaped_and_long_ones_within_the_budget(lab: Path) -> None:
    (lab / "public/ev\x1b[31mil\n.md").write_text("one\x1b]0;title\x07\n\u202etwo\n")
    (lab / "public/long.txt").write_text("".join(f"line {i} of a long note\n" for i in range(4000)))
    async with asking(lab, PUBLIC, "auto") as client:
        for query in (
            "SELECT path, text FROM files WHERE kind = 'notes' AND bytes < 1000",
            "SELECT text FROM lines WHERE path LIKE 'ev%'",
            "SELECT text FROM files WHERE path = 'long.txt'",
            "SELECT line, text FROM lines WHERE path = 'long.txt'",
        ):
            answer = await client.call_tool("query_sql", {"query": query})
            assert max(sizes(answer)) <= BUDGET
            assert not {"\x1b", "\x07", "\u202e"} & set(text_of(answer) + str(data_of(answer)["rows"]))
        (row,) = (await ask(client, "SELECT text FROM files WHERE path = 'long.txt'"))["rows"]  # type: ignore[misc]
        assert len(row[0]) > 2000
        page = data_of(await client.call_tool("query_sql", {"query": "SELECT line FROM lines WHERE path = 'long.txt'"}))
        assert page["next_cursor"]
        overview = text_of(await client.call_tool("overview", {}))
        assert "beside the runs: 2 notes" in overview
        assert "\x1b" not in overview


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_texts_of_a_few_rows_are_whole_where_they_fit(lab: Path, era: str) -> None:
    for i in range(6):
        (lab / f"public/note{i}.md").write_text("".join(f"- finding {i}.{k} of this week\n" for k in range(30)))
    async with asking(lab, PUBLIC, era) as client:
        answer = await client.call_tool("query_sql", {"query": "SELECT text FROM files WHERE path LIKE 'note%'"})
        assert max(sizes(answer)) <= BUDGET
        assert [str(row[0]).count("finding") for row in data_of(answer)["rows"]] == [30] * 6  # type: ignore[union-attr]
