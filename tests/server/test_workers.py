"""Heavy work in processes of its own: the same answers, and a crash or a worker that will not stop harms one call only."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client
from support.doors import data_of, text_of
from support.processes import children, threads, until
from support.sweep import write_run, write_sweep

from sweeplens.cancellation import cancellable
from sweeplens.config import AnalysisConfig
from sweeplens.errors import LimitError, UnknownNameError
from sweeplens.experiment_db import ExperimentDB
from sweeplens_mcp.execution.processes.pool import ProcessPool
from sweeplens_mcp.execution.tool_call import answer_here
from sweeplens_mcp.execution.worker_pool import WorkerPool
from sweeplens_mcp.protocol.app import build_server
from sweeplens_mcp.settings import Settings
from sweeplens_mcp.tools import TOOLS, ToolSpec

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes through /proc"),
]
SPECS = {spec.name: spec for spec in TOOLS}
RANK = SPECS["rank_runs"]


@pytest.fixture
def workers() -> Iterator[ProcessPool]:
    made = ProcessPool()
    yield made
    made.close()
    assert _processes() == []


@pytest.fixture
def database(sweep: Path) -> ExperimentDB:
    return ExperimentDB(base_path=sweep)


def _processes() -> list[int]:
    return [pid for pid, line in children(os.getpid()).items() if "processes.worker" in line]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("rank_runs", {"metric": "val/acc"}),
        ("compare_runs", {"a": ["lr0.01 s0", "lr0.01 s1"], "b": ["lr0.1*"]}),
        ("hparam_effects", {"metric": "val/acc"}),
        ("diagnose_runs", {}),
    ],
)
def test_a_worker_gives_the_answer_that_this_process_gives(
    workers: ProcessPool, database: ExperimentDB, tool: str, arguments: dict[str, object]
) -> None:
    there, here = (ask(SPECS[tool], database, arguments) for ask in (workers.ask, answer_here))
    assert there.table.equals(here.table)
    assert (there.basis, there.notes) == (here.basis, here.notes)


def test_an_error_comes_back_as_it_was_raised(workers: ProcessPool, database: ExperimentDB) -> None:
    with pytest.raises(UnknownNameError, match="Nearest: 'val/acc'"):
        workers.ask(RANK, database, {"metric": "val_acc"})


def test_a_worker_answers_from_the_current_files(workers: ProcessPool, tmp_path: Path) -> None:
    write_sweep(tmp_path)
    database = ExperimentDB(AnalysisConfig(refresh_seconds=0), base_path=tmp_path)
    before = workers.ask(RANK, database, {"metric": "val/acc", "by": "run"})
    write_run(tmp_path / "late", {"optim": {"lr": 1.0}, "seed": 9}, [{"step": i, "val/acc": 1.0} for i in range(5)])
    after = workers.ask(RANK, database, {"metric": "val/acc", "by": "run"})
    assert after.basis.runs_used == before.basis.runs_used + 1
    assert len(_processes()) == 1


def test_many_points_in_memory_are_not_sent_to_a_worker(
    workers: ProcessPool, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens_mcp.execution.processes.pool._PORTABLE_POINTS", 10)
    database = ExperimentDB(AnalysisConfig(cache="memory"), base_path=sweep)
    assert workers.ask(RANK, database, {"metric": "val/acc"}).table.height
    assert _processes() == []


def test_a_worker_that_crashes_answers_its_call_with_an_error_and_the_next_is_served(
    workers: ProcessPool, database: ExperimentDB
) -> None:
    workers.ask(RANK, database, {"metric": "val/acc"})
    (pid,) = _processes()
    os.kill(pid, signal.SIGSTOP)  # so that the call is surely on its way when the process dies
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(LimitError, match="crashed"):
        workers.ask(RANK, database, {"metric": "val/acc"})
    assert workers.ask(RANK, database, {"metric": "val/acc"}).table.height


def test_a_worker_that_died_while_idle_is_not_noticed_by_anybody(workers: ProcessPool, database: ExperimentDB) -> None:
    workers.ask(RANK, database, {"metric": "val/acc"})
    (pid,) = _processes()
    os.kill(pid, signal.SIGKILL)
    until(lambda: " Z " in Path(f"/proc/{pid}/stat").read_text() and threads(pid) == 1)
    assert workers.ask(RANK, database, {"metric": "val/acc"}).table.height


def test_an_unexpected_error_ends_the_worker_but_not_the_server(workers: ProcessPool, database: ExperimentDB) -> None:
    with pytest.raises(LimitError, match="crashed"):
        workers.ask(RANK, database, {"metric": "val/acc", "no_such_argument": 1})
    assert workers.ask(RANK, database, {"metric": "val/acc"}).table.height


@pytest.mark.parametrize("stuck", [False, True])
def test_an_abandoned_call_frees_its_processor(workers: ProcessPool, database: ExperimentDB, stuck: bool) -> None:
    """A worker that listens is kept; one that does not is ended."""
    workers.ask(RANK, database, {"metric": "val/acc"})
    (pid,) = _processes()
    if stuck:
        os.kill(pid, signal.SIGSTOP)

    def nobody_waits() -> None:
        raise LimitError("Nobody waits for this answer any more.")

    slow = SPECS["hparam_effects"]  # it imports scikit-learn first, which takes longer than a look
    with cancellable(nobody_waits), pytest.raises(LimitError, match="Nobody waits"):
        workers.ask(slow, database, {"metric": "val/acc"})
    assert not stuck or pid not in _processes()
    assert workers.ask(RANK, database, {"metric": "val/acc"}).table.height


async def test_a_server_with_workers_answers_as_one_without(sweep: Path, era: str) -> None:
    settings = Settings((str(sweep),))
    answers: list[tuple[str, object]] = []
    for workers in (ProcessPool(), None):
        async with Client(
            build_server(settings, worker_pool=WorkerPool(heavy_workers=1), workers=workers), mode=era
        ) as client:
            result = await client.call_tool("rank_runs", {"metric": "val/acc"})
            answers.append((text_of(result), data_of(result)))
    assert answers[0] == answers[1]
    await anyio.to_thread.run_sync(until, lambda: _processes() == [])


def test_every_heavy_tool_runs_in_a_worker_process_but_those_with_a_process_or_state_of_their_own() -> None:
    heavy: list[ToolSpec] = [spec for spec in TOOLS if spec.heavy]
    assert [spec.name for spec in heavy if not spec.in_process] == ["whats_new", "query_sql"]
