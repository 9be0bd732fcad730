"""When the experiments cannot be read as a whole, every answer says so until they can, and the server is not ready."""

from __future__ import annotations

import resource
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp_types import TextContent, TextResourceContents
from support.doors import text_of
from support.sweep import write_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.answers import Answer
from sweeplens_mcp.execution.state import ServerState
from sweeplens_mcp.http.health import add_health
from sweeplens_mcp.protocol.app import build_app, build_server

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="no limits on open files")]
_NOTHING = nullcontext()
ROWS = [{"step": float(s), "loss": 1.0 / (s + 1)} for s in range(5)]


@contextmanager
def no_more_files() -> Generator[None]:
    """Nothing can be opened meanwhile, as on a machine that has run out of descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def state(tmp_path: Path) -> ServerState:
    """A server's state over two runs."""
    for n in range(2):
        write_run(tmp_path / f"r{n}", {"lr": 0.1 * n}, ROWS)
    return ServerState.of(ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0.0), tmp_path))


async def told(client: Client, tool: str = "list_runs") -> str:
    """The text of an answer."""
    result = await client.call_tool(tool, {})
    return "".join(c.text for c in result.content if isinstance(c, TextContent))


async def everything(state: ServerState, era: str, meanwhile: AbstractContextManager[None] = _NOTHING) -> list[str]:
    """The texts of some tools and resources, as a new client sees them: one that read before may keep what it read."""
    async with Client(build_server(state), mode=era) as client:
        with meanwhile:
            texts = [await told(client, tool) for tool in ("list_runs", "list_metrics")]
            for address in ("experiments://overview", "experiments://runs", "experiments://runs/r0"):
                (content,) = (await client.read_resource(address)).contents
                assert isinstance(content, TextResourceContents)
                texts.append(content.text)
    return texts


async def test_every_answer_says_that_the_last_load_failed_until_one_succeeds(
    state: ServerState, era: str, tmp_path: Path
) -> None:
    before = await everything(state, era)  # which imports what a question needs
    assert not any("could not be read" in text for text in before)
    write_run(tmp_path / "new", {"lr": 0.5}, ROWS)
    during = await everything(state, era, no_more_files())
    assert all("could not be read at 20" in t and "last good snapshot, of 20" in t for t in during)
    assert not any("new" in text for text in during)
    after = await everything(state, era)
    assert not any("could not be read" in text for text in after)
    assert "new" in after[0]


async def test_a_first_load_that_fails_says_why_and_the_next_call_tries_again(state: ServerState, era: str) -> None:
    async with Client(build_server(state), mode=era) as client:
        with no_more_files():
            assert "Too many open files" in await told(client)
        assert "r1" in await told(client)


async def test_a_server_whose_last_load_failed_is_not_ready_and_tries_again(state: ServerState, tmp_path: Path) -> None:
    server = build_server(state)
    add_health(server, [str(tmp_path)], state)
    transport = httpx2.ASGITransport(build_app(server))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as http:
        assert (await http.get("/readyz")).status_code == 200
        await state.database()
        with no_more_files():
            (await state.database()).refresh()
            assert (await http.get("/readyz")).status_code == 503
            assert str(tmp_path) not in (await http.get("/readyz")).text
            await anyio.sleep(0.2)
        with anyio.fail_after(10):
            while (await http.get("/readyz")).status_code != 200:
                await anyio.sleep(0.05)
        assert (await http.get("/healthz")).status_code == 200


class FaultyDatabase(ExperimentDB):
    """A database with a fault of its own in one question."""

    def overview(self, *_: object, **__: object) -> Answer:
        raise RuntimeError(f"no table in {self.roots[0]}/secret")


async def test_a_fault_of_the_server_is_named_to_the_client_without_its_inner_parts(
    sweep: Path, era: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(build_server(FaultyDatabase(base_path=sweep)), mode=era) as client:
        result = await client.call_tool("overview", {})
        assert not (await client.call_tool("list_runs", {})).is_error
    assert result.is_error
    assert (
        text_of(result)
        == "overview failed because of a fault in the server (RuntimeError). The server's log says more."
    )
    assert "no table in" in caplog.text
