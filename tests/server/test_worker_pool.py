"""Many callers share few workers: equal work is done once, a full queue says so, a cancelled call frees its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from polars.exceptions import PanicException as PolarsPanic

from sweeplens.cancellation import checkpoint
from sweeplens.errors import LimitError
from sweeplens.panics import PanicException
from sweeplens.priority import NICENESS, niceness
from sweeplens_mcp.execution.fair_queue import FairQueue
from sweeplens_mcp.execution.worker_pool import WorkerPool

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(heavy_workers=1, queue=2)
    yield made
    made.close()


async def test_work_is_done_in_a_worker_and_its_result_comes_back(pool: WorkerPool) -> None:
    assert await pool.run("a", threading.current_thread, heavy=False) is not threading.current_thread()


async def test_an_error_of_shared_work_reaches_every_caller(pool: WorkerPool) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await pool.run("a", fail, heavy=True)
    assert await pool.run("a", lambda: 1, heavy=True) == 1


async def test_a_panic_of_a_library_is_an_error_of_its_call_and_ends_nothing_else(pool: WorkerPool) -> None:
    def panic() -> None:
        raise PolarsPanic("index out of bounds\nstack backtrace: ...")

    with pytest.raises(PanicException, match=r"^index out of bounds$"):
        await pool.run("a", panic, heavy=True)
    assert await pool.run("a", lambda: 1, heavy=True) == 1


async def test_identical_concurrent_work_is_done_once(pool: WorkerPool) -> None:
    began: list[int] = []
    gate = threading.Event()

    def work() -> int:
        began.append(1)
        gate.wait(5)
        return len(began)

    results: list[int] = []

    async def call() -> None:
        results.append(await pool.run("same", work, heavy=True))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(call)
        await anyio.sleep(0.05)
        gate.set()
    assert results == [1] * 10
    assert len(began) == 1


async def test_a_full_queue_says_when_to_come_back_and_light_work_still_runs(pool: WorkerPool) -> None:
    gate = threading.Event()
    async with anyio.create_task_group() as group:
        for index in range(3):
            group.start_soon(lambda i=index: pool.run(i, lambda: gate.wait(5), heavy=True))
        await anyio.sleep(0.05)
        with pytest.raises(LimitError, match="Try again in about"):
            await pool.run("one more", lambda: 1, heavy=True)
        assert await pool.run("light", lambda: 2, heavy=False) == 2
        gate.set()
    assert await pool.run("later", lambda: 3, heavy=True) == 3


async def test_a_cancelled_call_frees_its_worker_at_the_next_checkpoint_and_its_place_at_once(pool: WorkerPool) -> None:
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
            group.start_soon(lambda i=index: pool.run(("endless", i), endless, heavy=True))
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(stopped.wait, 5)
    assert await pool.run("next", lambda: 4, heavy=True) == 4


async def test_work_goes_on_while_one_of_its_callers_still_waits(pool: WorkerPool) -> None:
    gate = threading.Event()

    def work() -> str:
        while not gate.wait(0.01):
            checkpoint()
        return "done"

    results: list[str] = []

    async def call() -> None:
        results.append(await pool.run("same", work, heavy=True))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.move_on_after(0.05):
            await pool.run("same", work, heavy=True)
        gate.set()
    assert results == ["done"]


def waiting(gate: threading.Event) -> None:
    """Work that ends at the gate, or when its callers have left."""
    while not gate.wait(0.01):
        checkpoint()


@pytest.mark.parametrize("heavy", [True, False])
async def test_a_grant_with_a_long_queue_keeps_no_other_from_a_worker(heavy: bool) -> None:
    pool, gate = WorkerPool(heavy_workers=2, queue=32), threading.Event()
    async with anyio.create_task_group() as group:
        for index in range(30):
            group.start_soon(lambda i=index: pool.run(i, lambda: waiting(gate), heavy=heavy, grant="greedy"))
        await anyio.sleep(0.05)
        with anyio.fail_after(5):
            for grant in ("a", "b", "c"):
                assert await pool.run(grant, lambda t=grant: t, heavy=heavy, grant=grant) == grant
        group.cancel_scope.cancel()
    pool.close()


async def test_only_the_grant_with_a_full_queue_is_refused(pool: WorkerPool) -> None:
    gate = threading.Event()
    async with anyio.create_task_group() as group:
        for index in range(3):
            group.start_soon(lambda i=index: pool.run(i, lambda: waiting(gate), heavy=True, grant="greedy"))
        await anyio.sleep(0.05)
        with pytest.raises(LimitError, match=r"3 long calls of yours .* Try again in about 6 s"):
            await pool.run("more", lambda: 1, heavy=True, grant="greedy")
        group.start_soon(lambda: pool.run("other", lambda: 1, heavy=True, grant="modest"))
        await anyio.sleep(0.05)
        gate.set()


async def test_grants_alternate_however_many_calls_each_has_waiting() -> None:
    pool, gate, order = WorkerPool(heavy_workers=1, queue=32), threading.Event(), list[str]()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: pool.run("first", lambda: waiting(gate), heavy=True, grant="x"))
        await anyio.sleep(0.02)
        for grant, calls in (("greedy", 6), ("a", 2), ("b", 1)):
            for index in range(calls):
                key = f"{grant}{index}"
                group.start_soon(lambda k=key, t=grant: pool.run(k, lambda: order.append(k), heavy=True, grant=t))
        await anyio.sleep(0.05)
        gate.set()
    assert order == ["greedy0", "a0", "b0", "greedy1", "a1", "greedy2", "greedy3", "greedy4", "greedy5"]
    pool.close()


async def test_a_call_that_another_grant_made_too_does_not_wait_in_their_queue() -> None:
    pool, gate, order = WorkerPool(heavy_workers=1, queue=32), threading.Event(), list[str]()

    async def ask(key: str, grant: str) -> None:
        await pool.run(key, lambda: order.append(key), heavy=True, grant=grant)

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: pool.run("first", lambda: waiting(gate), heavy=True, grant="x"))
        await anyio.sleep(0.02)
        for key in ("1", "2", "3", "common"):
            group.start_soon(ask, key, "greedy")
        await anyio.sleep(0.02)
        group.start_soon(ask, "common", "modest")
        await anyio.sleep(0.02)
        gate.set()
    assert order == ["1", "common", "2", "3"]
    pool.close()


async def test_waiting_calls_of_a_grant_that_left_are_dropped() -> None:
    pool = WorkerPool(heavy_workers=2, queue=4)
    async with anyio.create_task_group() as group:
        for index in range(5):
            group.start_soon(
                lambda i=index: pool.run(i, lambda: waiting(threading.Event()), heavy=True, grant="greedy")
            )
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    with anyio.fail_after(5):
        assert await pool.run("again", lambda: 5, heavy=True, grant="greedy") == 5
    pool.close()


async def test_a_desk_that_was_closed_drops_what_waits_and_can_be_used_again() -> None:
    pool, gate = WorkerPool(heavy_workers=1, queue=4), threading.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: pool.run("at work", lambda: waiting(gate), heavy=True))

        async def dropped() -> None:
            with pytest.raises(LimitError, match="shutting down"):
                await pool.run("waits", lambda: 1, heavy=True)

        await anyio.sleep(0.02)
        group.start_soon(dropped)
        await anyio.sleep(0.02)
        pool.close()
        assert await pool.run("later", lambda: 6, heavy=True) == 6
        gate.set()
    assert await pool.run("after", lambda: 7, heavy=True) == 7
    pool.close()


async def test_a_call_is_answered_before_its_worker_is_tidied_and_only_then_another_grant_gets_the_worker() -> None:
    gate, answers = threading.Event(), list[str]()
    pool = WorkerPool(heavy_workers=1, tidy=lambda: waiting(gate))

    async def ask(grant: str) -> None:
        answers.append(await pool.run(grant, lambda: grant, heavy=True, grant=grant))

    async with anyio.create_task_group() as group:
        with anyio.fail_after(10):
            await ask("a")
        group.start_soon(ask, "b")
        await anyio.sleep(0.05)
        assert answers == ["a"]
        gate.set()
    assert answers == ["a", "b"]
    pool.close()


async def test_two_short_calls_of_one_grant_run_at_a_time_and_all_of_a_server_without_grants() -> None:
    for grant, expected in (("greedy", 2), ("", 8)):
        pool, gate, running = WorkerPool(), threading.Event(), list[int]()

        def work(pool_gate: threading.Event = gate, running_now: list[int] = running) -> None:
            running_now.append(1)
            waiting(pool_gate)

        async with anyio.create_task_group() as group:
            for index in range(20):
                group.start_soon(lambda i=index, t=grant, p=pool, w=work: p.run(i, w, heavy=False, grant=t))
            await anyio.sleep(0.2)
            assert len(running) == expected
            gate.set()
        pool.close()


async def test_a_grant_that_used_the_workers_for_long_waits_for_those_that_used_them_little() -> None:
    queue, now = clocked_queue(share=1)
    use(queue, now, "greedy", 30)
    for grant in ("greedy", "a", "b"):
        for number in range(2):
            queue.add(grant, f"{grant}{number}")
    order = [use(queue, now, None, 0.1) for _ in range(6)]
    assert order == ["a0", "b0", "a1", "b1", "greedy0", "greedy1"]


async def test_what_a_grant_used_is_forgotten_with_time() -> None:
    queue, now = clocked_queue(share=1)
    use(queue, now, "greedy", 30)
    use(queue, now, "a", 1)
    now[0] += 300
    for grant in ("greedy", "a"):
        queue.add(grant, grant)
    assert [use(queue, now, None, 0.1) for _ in range(2)] == ["greedy", "a"]


async def test_only_a_grant_that_used_much_more_than_others_runs_in_the_background() -> None:
    queue, now = clocked_queue(share=2)
    use(queue, now, "greedy", 30)
    assert not background(queue, "greedy")  # there is no other grant
    use(queue, now, "a", 1)
    use(queue, now, "greedy", 30)
    assert background(queue, "greedy")
    assert not background(queue, "a")


async def test_a_grant_that_used_much_more_than_others_runs_one_call_at_a_time() -> None:
    queue, now = clocked_queue(share=2)
    use(queue, now, "greedy", 30)
    use(queue, now, "a", 1)
    for grant in ("greedy", "a"):
        for number in range(3):
            queue.add(grant, f"{grant}{number}")
    running = [started.call for started in iter(queue.begin, None)]
    assert running == ["a0", "a1", "greedy0"]


async def test_the_processes_of_a_background_call_have_the_lowest_priority() -> None:
    now = [1000.0]
    pool = WorkerPool(heavy_workers=1, clock=lambda: now[0])

    def work(seconds: float) -> int:
        now[0] += seconds
        return niceness()

    for grant, seconds, expected in (
        ("greedy", 30, NICENESS),
        ("a", 1, NICENESS),
        ("greedy", 1, 19),
        ("a", 1, NICENESS),
    ):
        assert await pool.run(object(), lambda s=seconds: work(s), heavy=True, grant=grant) == expected
    pool.close()


def clocked_queue(share: int) -> tuple[FairQueue[Any], list[float]]:
    now = [1000.0]
    return FairQueue(share, clock=lambda: now[0]), now


def use(queue: FairQueue[Any], now: list[float], grant: str | None, seconds: float) -> object:
    """Runs the next call, which may be one more of a grant, for some seconds."""
    if grant is not None:
        queue.add(grant, grant)
    started = queue.begin()
    assert started is not None
    now[0] += seconds
    queue.end(started)
    return started.call


def background(queue: FairQueue[Any], grant: str) -> bool:
    queue.add(grant, grant)
    started = queue.begin()
    assert started is not None
    queue.end(started)
    return started.background
