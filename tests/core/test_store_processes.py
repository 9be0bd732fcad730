"""Several processes over one store: killed at any moment, working concurrently, and never opening unchanged files."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support.killing import kill_at_random_moments
from support.stores import Runs, child, open_db, points_of

LOOKS_ALL_THE_TIME = """
import json, sys, time
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.store import persistent
persistent.MUCH_ROWS, persistent.MUCH_SECONDS = 0, 0.0
root, cache = sys.argv[1:]
db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
print("begun", flush=True)
longest, looks, doubled, shrunk, before = 0.0, 0, 0, 0, 0
ended = False
while not ended:
    ended = __import__("os").path.exists(root + "/../ended")  # looks once more after it
    began = time.perf_counter()
    points = db.lazy_query(raw=True).collect()
    longest, looks = max(longest, time.perf_counter() - began), looks + 1
    doubled += points.select("run_id", "metric", "step").is_duplicated().sum()
    counted = db.series_df["n_logged"].sum()
    shrunk += (points.height < before) + (counted < points.height)
    before = points.height
values = points.filter(points["metric"] == "loss")["value"].sort().to_list()
print(json.dumps({"longest": longest, "looks": looks, "doubled": doubled, "shrunk": shrunk, "values": values}))
"""

SERVER_ASKED_ALL_THE_TIME = """
import json, os, subprocess, sys, time
root, cache = sys.argv[1:]
command = [sys.executable, "-m", "sweeplens_mcp", "serve", "--root", root]
env = {**os.environ, "ANALYSIS_CACHE_DIR": cache, "ANALYSIS_REFRESH_SECONDS": "0"}
with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
    def ask(id, method, **params):
        server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\\n")
        server.stdin.flush()
        while (answer := json.loads(server.stdout.readline())).get("id") != id:
            pass
        return answer["result"]
    ask(0, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "t", "version": "1"})
    server.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\\n')
    print("begun", flush=True)
    longest, looks, errors, shrunk, before, ended = 0.0, 0, 0, 0, 0, False
    while not ended:
        ended, looks = os.path.exists(root + "/../ended"), looks + 1
        began = time.perf_counter()
        result = ask(looks, "tools/call", name="list_metrics", arguments={})
        longest = max(longest, time.perf_counter() - began)
        errors += bool(result.get("isError"))
        table = result["structuredContent"]
        points = {row[0]: row[table["columns"].index("n_points")] for row in table["rows"]}
        shrunk += points["loss"] < before
        before = points["loss"]
    server.stdin.close()
print(json.dumps({"longest": longest, "looks": looks, "errors": errors, "shrunk": shrunk, "points": before}))
"""

COUNTS_WHAT_IT_OPENS = """
import json, sys
root, cache = sys.argv[1:]
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
for _ in sys.stdin:
    opened.clear()
    steps = db.runs_df["n_steps"].sum()
    print(json.dumps({"steps": steps, "opened": sorted({p for p in opened if p.startswith(root + "/")})}), flush=True)
"""


def test_a_process_killed_at_any_moment_leaves_every_complete_line_once(tmp_path: Path) -> None:
    for logged, found in kill_at_random_moments(tmp_path, 20):
        assert found == logged


def test_two_servers_and_a_python_process_share_a_store_while_fifty_runs_are_written(tmp_path: Path) -> None:
    root, cache = tmp_path / "runs", tmp_path / "cache"
    runs = Runs(root, 50, 20)
    scripts = (LOOKS_ALL_THE_TIME, SERVER_ASKED_ALL_THE_TIME, SERVER_ASKED_ALL_THE_TIME)
    with contextlib.ExitStack() as ending:
        processes = [ending.enter_context(ended(child(script, root, cache))) for script in scripts]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
        until = time.monotonic() + 5
        while time.monotonic() < until:
            for run in range(50):
                runs.append(run, 1 + run % 3, torn=run % 7 == 0)
            time.sleep(0.05)
        for run in range(50):
            runs.append(run)
        (tmp_path / "ended").touch()
        python, *servers = [answer_of(process) for process in processes]
    assert python["values"] == runs.values()
    assert (python["doubled"], python["shrunk"]) == (0, 0)
    for said in servers:
        assert said["points"] == len(runs.values())
        assert (said["errors"], said["shrunk"]) == (0, 0)
    assert min(said["looks"] for said in (python, *servers)) > 1
    assert max(said["longest"] for said in (python, *servers)) < 5


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Generator[subprocess.Popen[str]]:
    """A process that does not outlive the test."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a child printed at its end; anything that it complained about fails the test."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return json.loads(out)


def test_unchanged_files_are_not_opened(tmp_path: Path) -> None:
    root, cache = tmp_path / "runs", tmp_path / "cache"
    runs = Runs(root, 30, 5)
    make_old(root)
    assert open_db(root, cache).load_experiments().n_runs == 30
    with child(COUNTS_WHAT_IT_OPENS, root, cache) as process:
        assert process.stdin
        assert process.stdout

        def look() -> dict[str, Any]:
            print("look", file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        assert look() == {"steps": 150, "opened": []}
        runs.append(7)
        seen = look()
        assert seen["steps"] == 151
        assert {Path(p).parent.name for p in seen["opened"]} == {"run0007"}
        make_old(root)
        look()  # its time is another one now
        assert look() == {"steps": 151, "opened": []}
        process.stdin.close()


def make_old(root: Path) -> None:
    """As if nothing had been written for an hour. The system alone sets the time of change: it is waited for."""
    for path in root.rglob("*.json*"):
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    time.sleep(2.1)


def test_a_first_reading_that_is_ended_lets_the_next_begin_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.persistent.FIRST_READING_WAIT_SECONDS", 60.0)
    root, cache = tmp_path / "runs", tmp_path / "cache"
    Runs(root, 30, 5)

    def refuse(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_db(root, cache).load_experiments(progress=refuse)
    began = time.perf_counter()
    assert len(points_of(open_db(root, cache))) == 150
    assert time.perf_counter() - began < 30


def test_of_two_first_readings_at_once_one_reads_and_the_other_takes_it_over(tmp_path: Path) -> None:
    root, cache = tmp_path / "runs", tmp_path / "cache"
    Runs(root, 300, 200)
    script = COUNTS_WHAT_IT_OPENS
    with child(script, root, cache) as one, child(script, root, cache) as two:
        told = []
        for process in (one, two):
            assert process.stdin
            print("look", file=process.stdin, flush=True)
        for process in (one, two):
            assert process.stdout
            assert process.stdin
            told.append(json.loads(process.stdout.readline()))
            process.stdin.close()
    assert [t["steps"] for t in told] == [60_000, 60_000]
