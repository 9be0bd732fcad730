"""Loading: never before the handshake, once for all callers, with progress, and stopped without callers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from mcp import Client
from support.doors import data_of
from support.sweep import write_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.ingest.refresh import LoadReport, Progress
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings

pytestmark = pytest.mark.anyio
MANY = 1_200


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough runs that reading them takes longer than a second or so."""
    root = tmp_path_factory.mktemp("large")
    for n in range(MANY):
        write_run(root / f"r{n:04}", {"lr": n}, [{"step": 0, "loss": 1.0}])
    return root


class Counting(ExperimentDB):
    """A database that counts how often it was loaded."""

    loads = 0

    def load_experiments(self, progress: Progress | None = None) -> LoadReport:
        self.loads += 1
        return super().load_experiments(progress)


def reading() -> bool:
    """Whether a load is under way in this process."""
    return any(thread.name == "sweeplens-load" for thread in threading.enumerate())


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    with anyio.move_on_after(seconds):
        while not condition():
            await anyio.sleep(0.01)
    return condition()


async def test_listing_tools_reads_no_folder(sweep: Path, era: str) -> None:
    database = Counting(base_path=sweep)
    async with Client(build_server(database), mode=era) as client:
        assert (await client.list_tools()).tools
        assert database.loads == 0
        await client.call_tool("list_metrics", {})
        assert database.loads == 1


async def test_calls_that_come_together_share_one_load_and_keep_their_own_answers(sweep: Path, era: str) -> None:
    database = Counting(base_path=sweep)
    rows: dict[str, list[str]] = {}
    async with Client(build_server(database), mode=era) as client:

        async def ask(run: str) -> None:
            data = data_of(await client.call_tool("list_runs", {"runs": [run]}))
            rows[run] = [row[0] for row in data["rows"]]

        async with anyio.create_task_group() as group:
            for run in ("torn", "crashed", "diverged", "lr0.1 s0"):
                group.start_soon(ask, run)
    assert rows == {run: [run] for run in ("torn", "crashed", "diverged", "lr0.1 s0")}
    assert database.loads == 1


async def test_a_cold_load_reports_progress_that_only_grows(large: Path, era: str) -> None:
    heard: list[tuple[float, str]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message or ""))

    async with Client(build_server(Settings((str(large),))), mode=era) as client:
        began = anyio.current_time()
        data = data_of(await client.call_tool("list_runs", {"limit": 1}, progress_callback=hear))
        waited = anyio.current_time() - began
    assert heard or waited < 1.5
    assert data["basis"]["runs_matched"] == MANY
    numbers = [number for number, _ in heard]
    assert numbers == sorted(set(numbers))


async def test_a_load_without_waiting_calls_stops_within_a_second_and_the_next_call_loads_again(
    large: Path, era: str
) -> None:
    async with Client(build_server(Settings((str(large),))), mode=era) as client:
        with anyio.move_on_after(0.2):
            await client.call_tool("overview", {})
        assert await until(lambda: not reading(), 1.0)
        data = data_of(await client.call_tool("list_runs", {"limit": 1}))
        assert data["basis"]["runs_matched"] == MANY


async def test_a_server_serves_one_client_after_the_other(sweep: Path, era: str) -> None:
    server = build_server(Settings((str(sweep),)))
    for _ in range(2):
        async with Client(server, mode=era) as client:
            assert data_of(await client.call_tool("list_metrics", {}))["rows"]


async def test_a_caller_may_wait_for_what_was_just_written(tmp_path: Path, era: str) -> None:
    write_run(tmp_path / "a", {"lr": 1}, [{"step": 0, "loss": 1.0}])
    database = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=1e6), base_path=tmp_path)
    async with Client(build_server(database), mode=era) as client:

        async def used(**more: bool) -> object:
            return data_of(await client.call_tool("overview", more))["basis"]["runs_used"]  # type: ignore[index]

        assert await used() == 1
        write_run(tmp_path / "b", {"lr": 2}, [{"step": 0, "loss": 1.0}])
        assert await used() == 1
        assert await used(fresh=True) == 2
