"""Many callers share few workers: equal work is done once, a full queue says so, a cancelled call frees its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import anyio
import pytest

from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError
from sweeplens_mcp.execution.worker_pool import WorkerPool

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def desk() -> Iterator[WorkerPool]:
    made = WorkerPool(heavy_workers=1, queue=2)
    yield made
    made.close()


async def test_work_is_done_in_a_worker_and_its_result_comes_back(desk: WorkerPool) -> None:
    assert await desk.run("a", threading.current_thread, heavy=False) is not threading.current_thread()


async def test_what_work_raises_reaches_every_caller(desk: WorkerPool) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await desk.run("a", fail, heavy=True)
    assert await desk.run("a", lambda: 1, heavy=True) == 1


async def test_identical_concurrent_work_is_done_once(desk: WorkerPool) -> None:
    began: list[int] = []
    gate = threading.Event()

    def work() -> int:
        began.append(1)
        gate.wait(5)
        return len(began)

    results: list[int] = []

    async def call() -> None:
        results.append(await desk.run("same", work, heavy=True))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(call)
        await anyio.sleep(0.05)
        gate.set()
    assert results == [1] * 10
    assert len(began) == 1


async def test_a_full_queue_says_when_to_come_back_and_light_work_still_runs(desk: WorkerPool) -> None:
    gate = threading.Event()
    async with anyio.create_task_group() as group:
        for index in range(3):
            group.start_soon(lambda i=index: desk.run(i, lambda: gate.wait(5), heavy=True))
        await anyio.sleep(0.05)
        with pytest.raises(LimitError, match="Ask again in about"):
            await desk.run("one more", lambda: 1, heavy=True)
        assert await desk.run("light", lambda: 2, heavy=False) == 2
        gate.set()
    assert await desk.run("later", lambda: 3, heavy=True) == 3


async def test_a_cancelled_call_frees_its_worker_at_the_next_checkpoint_and_its_place_at_once(desk: WorkerPool) -> None:
    stopped = threading.Event()

    def endless() -> None:
        try:
            while True:
                checkpoint()
                time.sleep(0.01)
        finally:
            stopped.set()

    async with anyio.create_task_group() as group:
        for index in range(3):
            group.start_soon(lambda i=index: desk.run(("endless", i), endless, heavy=True))
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(stopped.wait, 5)
    assert await desk.run("next", lambda: 4, heavy=True) == 4


async def test_work_goes_on_while_one_of_its_callers_still_waits(desk: WorkerPool) -> None:
    gate = threading.Event()

    def work() -> str:
        while not gate.wait(0.01):
            checkpoint()
        return "done"

    results: list[str] = []

    async def call() -> None:
        results.append(await desk.run("same", work, heavy=True))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.move_on_after(0.05):
            await desk.run("same", work, heavy=True)
        gate.set()
    assert results == ["done"]
