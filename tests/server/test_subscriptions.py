"""Whoever listens to a run hears that it changed: soon, not too often, not of others, in both eras and by every door."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents, ToolListChangedNotification
from support.doors import stdio
from support.listening import listening, subscribe, unsubscribe
from support.serving import served
from support.sweep import write_run

from sweeplens_mcp.http.options import HttpOptions
from sweeplens_mcp.http.serve import protected_app
from sweeplens_mcp.protocol.app import build_app, build_server
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio
SOON = 3.0
SILENCE = 2.3  # long enough that what is to be heard would have been
RUNS = "experiments://runs"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs that still log, silent for a minute."""
    for name in ("first", "größe 1"):
        run = write_run(tmp_path / "runs" / name, {"lr": 0.1}, [{"step": 0, "loss": 1.0}])
        for file in run.iterdir():
            os.utime(file, (time.time() - 60,) * 2)
    return tmp_path / "runs"


def log(run: Path, step: int) -> None:
    """One more step."""
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "loss": 1 / step}) + "\n")


def address(run: str) -> str:
    return f"{RUNS}/{quote(run)}"


def in_memory(root: Path) -> object:
    return build_server(Settings((str(root),)))


async def test_a_subscriber_of_a_run_is_notified_of_this_run_alone(runs: Path, era: str) -> None:
    wanted = [address("first"), address("größe 1")]
    async with listening(in_memory(runs), era, wanted) as heard:
        log(runs / "größe 1", 1)
        assert await heard.within(SOON, wanted[1])
        await anyio.sleep(SILENCE)
        assert not heard.times(wanted[0])
        log(runs / "first", 1)
        assert await heard.within(SOON, wanted[0])
        assert len(heard.news) == 2


async def test_a_subscriber_of_the_list_is_notified_of_all_runs_and_new_ones(runs: Path, era: str) -> None:
    async with listening(in_memory(runs), era, [RUNS]) as heard:
        log(runs / "first", 1)
        assert await heard.within(SOON, RUNS)
        before = len(heard.news)
        write_run(runs / "new", {"lr": 0.2}, [{"step": 0, "loss": 1.0}])
        assert await heard.until(SOON, lambda: len(heard.news) > before)


async def test_a_run_that_does_not_exist_yet_is_heard_of_when_it_begins(runs: Path, era: str) -> None:
    async with listening(in_memory(runs), era, [address("later"), f"{address('later')}/config"]) as heard:
        await anyio.sleep(1)
        write_run(runs / "later", {"lr": 0.2}, [{"step": 0, "loss": 1.0}])
        assert await heard.within(SOON, address("later"))
        assert await heard.within(SOON, f"{address('later')}/config")


async def test_a_run_that_logs_fast_is_heard_of_at_most_once_a_second(runs: Path, era: str) -> None:
    wanted = address("first")
    async with listening(in_memory(runs), era, [wanted]) as heard:
        for step in range(1, 70):
            log(runs / "first", step)
            await anyio.sleep(0.1)
        times = heard.times(wanted)
    assert len(times) >= 3
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))


async def test_a_resource_has_new_content_after_a_notification(runs: Path, era: str) -> None:
    wanted = address("first")
    async with listening(in_memory(runs), era, [wanted]) as heard:
        assert heard.client is not None
        log(runs / "first", 7)
        assert await heard.within(SOON, wanted)
        (content,) = (await heard.client.read_resource(wanted)).contents
        assert isinstance(content, TextResourceContents)
        assert json.loads(content.text)["tables"]


async def test_one_task_polls_while_there_are_subscribers_and_none_otherwise(runs: Path, era: str) -> None:
    def watching() -> int:
        return sum(task.get_name() == "sweeplens-watch" for task in asyncio.all_tasks())

    server = in_memory(runs)
    async with Client(server, mode=era):
        assert watching() == 0
    async with listening(server, era, [RUNS]), listening(server, era, [address("first"), RUNS]):
        assert watching() == 1
    await anyio.sleep(0.1)
    assert watching() == 0


async def test_subscriptions_to_other_addresses_do_not_start_polling(runs: Path, era: str) -> None:
    async with listening(in_memory(runs), era, ["other://thing"]):
        assert not any(task.get_name() == "sweeplens-watch" for task in asyncio.all_tasks())


async def test_no_notification_follows_after_unsubscribing(runs: Path) -> None:
    wanted = address("first")
    async with listening(in_memory(runs), "legacy", [wanted]) as heard:
        assert heard.client is not None
        await unsubscribe(heard.client, wanted)
        log(runs / "first", 1)
        await anyio.sleep(SILENCE)
        assert not heard.news


async def test_more_addresses_than_anybody_needs_are_refused(runs: Path, era: str) -> None:
    async with Client(in_memory(runs), mode=era) as client:
        many = client.listen(resource_subscriptions=[address(str(i)) for i in range(501)])
        refused = subscribe(client, address("x" * 3000)) if era == "legacy" else many.__aenter__()
        with pytest.raises(MCPError, match="experiments://runs instead"):
            await refused


async def test_a_folder_without_runs_is_watched_until_it_has_some(tmp_path: Path, era: str) -> None:
    async with listening(in_memory(tmp_path), era, [RUNS]) as heard:
        await anyio.sleep(1.5)
        write_run(tmp_path / "begun", {"lr": 0.2}, [{"step": 0, "loss": 1.0}])
        assert await heard.within(SOON, RUNS)


async def test_changes_are_heard_over_a_pipe(runs: Path, era: str) -> None:
    async with listening(stdio(runs), era, [address("first")]) as heard:
        await anyio.sleep(2)  # a process that begins has more to do than to listen
        log(runs / "first", 1)
        assert await heard.within(SOON, address("first"))


async def test_changes_are_heard_over_http(runs: Path, era: str) -> None:
    with served(build_app(build_server(Settings((str(runs),))))) as url:
        async with listening(url, era, [address("first")]) as heard:
            log(runs / "first", 1)
            assert await heard.within(SOON, address("first"))


async def test_a_caller_limited_to_a_folder_hears_of_its_runs_alone(tmp_path: Path, era: str) -> None:
    for folder in ("open", "closed"):
        write_run(tmp_path / folder / "run", {"lr": 0.1}, [{"step": 0, "loss": 1.0}])
        write_run(tmp_path / folder / folder, {"lr": 0.1}, [{"step": 0, "loss": 1.0}])
    tokens = tmp_path / "tokens"
    tokens.write_text(f"guest guest-token-0123456789 {tmp_path / 'open'}\nhost host-token-0123456789\n")
    options = HttpOptions(token_file=str(tokens), calls_per_minute=0)
    roots = Settings((str(tmp_path / "open"), str(tmp_path / "closed")))
    wanted = [RUNS, address("run"), address("open"), address("closed")]
    with served(protected_app(roots, options)) as url:
        async with authorized(url, "guest-token-0123456789") as transport, listening(transport, era, wanted) as guest:
            await anyio.sleep(1.5)
            log(tmp_path / "closed" / "run", 1)
            log(tmp_path / "closed" / "closed", 1)
            await anyio.sleep(SILENCE)
            assert not guest.news
            log(tmp_path / "open" / "run", 1)
            assert await guest.within(SOON, address("run"))
            assert {what for _, what in guest.news} <= {RUNS, address("run")}


@asynccontextmanager
async def authorized(url: str, token: str) -> AsyncIterator[object]:
    """A way into the server with a token."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        yield streamable_http_client(url, http_client=http)


async def test_the_older_handshake_claims_what_the_newer_discovery_claims(runs: Path) -> None:
    server = in_memory(runs)
    async with Client(server, mode="legacy") as old, Client(server, mode="auto") as new:
        assert old.server_capabilities == new.server_capabilities
        assert old.server_capabilities.resources.subscribe
        assert old.server_capabilities.tools.list_changed


async def change(ctx: Context[Any, Any]) -> str:
    """Tell that the tools changed."""
    await ctx.notify_tools_changed()
    return "told"


async def test_the_older_era_is_notified_of_a_changed_list_too(runs: Path) -> None:
    server = build_server(Settings((str(runs),)))
    server.add_tool(change)
    told = anyio.Event()

    async def note(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            told.set()

    async with Client(server, mode="legacy", message_handler=note) as client:
        await client.call_tool("change", {})
        with anyio.fail_after(SOON):
            await told.wait()


async def test_an_address_with_half_a_character_silences_no_subscription(runs: Path, era: str) -> None:
    async with listening(in_memory(runs), era, [RUNS, address("first").replace("first", "\ud800")]) as heard:
        log(runs / "first", 1)
        assert await heard.within(3 * SOON, RUNS)
