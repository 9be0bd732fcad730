"""Time of a new process over a warm store, compared with an expert's Polars and the bare SDK.

    python benchmarks/warm.py [ROUNDS]

Mean and deviation of the final val/acc by learning rate over 500 runs: a Python process of each kind, start and imports
included, in turn; the expert reads one Parquet file of the same points and one of the runs, sorted as an expert would. The
second answer is asked in the same process. Then a server's start to `list_runs` of 10,000 runs, beside the SDK's bare
server start to its first answer and, as a process of its own, the import of Polars.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from start import BARE, HELLO
from support.child import run_python
from support.figures import Figure, print_section
from support.many import in_turn, taken, write_many
from support.sweep import write_sweep

from sweeplens import AnalysisConfig, ExperimentDB

EXPERT = """
import sys, time
import polars as pl
def answer():
    last = pl.scan_parquet(sys.argv[1] + "/points.parquet").filter(pl.col("metric") == "val/acc").group_by("run_id").agg(
        pl.col("value").sort_by("step").last())
    runs = pl.scan_parquet(sys.argv[1] + "/runs.parquet")
    return last.join(runs, on="run_id").group_by("lr").agg(
        mean=pl.col("value").mean(), std=pl.col("value").std()).sort("lr").collect()
assert answer().height == 5
began = time.perf_counter()
answer()
print(time.perf_counter() - began)
"""
OURS = """
import sys, time
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache_dir=sys.argv[1] + "/cache"), base_path=sys.argv[1] + "/runs")
def answer():
    return db.summarize_metrics(["optim.lr"], metrics=["val/acc"]).select("optim.lr", "mean", "std")
assert answer().height == 5
began = time.perf_counter()
answer()
print(time.perf_counter() - began)
"""


def one_file(home: Path) -> None:
    """Read the sweep into the store, and into the files that the expert has."""
    db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache"), home / "runs")
    points = db.lazy_query().collect().sort("metric", "run_id", "step")
    points.write_parquet(home / "points.parquet")
    db.runs_df.rename({"optim.lr": "lr"}).select("run_id", "lr").write_parquet(home / "runs.parquet")
    time.sleep(2.1)  # until nothing could hide a change any more
    db.refresh()


def new_processes(rounds: int) -> list[Figure]:
    """The first and the second answer of a new process."""
    second: dict[str, list[float]] = {EXPERT: [], OURS: []}

    def process(code: str, home: str) -> Callable[[], float]:
        def run() -> float:
            cost = run_python(code, home)
            second[code].append(float(cost.output))
            return cost.wall

        return run

    with tempfile.TemporaryDirectory() as home:
        write_sweep(Path(home, "runs"))
        one_file(Path(home))
        theirs, ours, ratio = in_turn(process(EXPERT, home), process(OURS, home), rounds)
    again = statistics.median(o / t for t, o in zip(second[EXPERT], second[OURS], strict=True))
    return [
        Figure("a new process of the expert's: mean and std by lr over 500 runs", theirs),
        Figure("a new process of ours over a warm store", ours),
        Figure("ratio", ratio, "x", 1.5),
        Figure("the second answer in the expert's process", statistics.median(second[EXPERT]) * 1000, "ms"),
        Figure("the second answer in ours", statistics.median(second[OURS]) * 1000, "ms"),
        Figure("ratio of second answers", again, "x", 1.0),
    ]


def first_call(command: list[str], tool: str) -> float:
    """Start a server, shake hands, call one tool, end it."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def send(message: dict[str, object]) -> None:
            print(json.dumps({"jsonrpc": "2.0", **message}), file=process.stdin, flush=True)

        send({"id": 1, "method": "initialize", "params": HELLO})
        process.stdout.readline()
        send({"method": "notifications/initialized"})
        send({"id": 2, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
        while (answer := json.loads(process.stdout.readline())).get("id") != 2:
            pass
        waited = time.perf_counter() - began
        process.stdin.close()
    assert not answer["result"].get("isError"), answer
    return waited


def server_starts(rounds: int) -> list[Figure]:
    """A server's start to `list_runs` of 10,000 runs."""
    with tempfile.TemporaryDirectory() as home:
        root = write_many(Path(home, "runs"))
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache"), root)
        db.load_experiments()
        command = [sys.executable, "-c", _SERVE, home]
        bare = [sys.executable, "-c", BARE]

        def theirs() -> float:
            return first_call(bare, "ping") + taken(lambda: run_python("import polars"))

        base, ours, ratio = in_turn(theirs, lambda: first_call(command, "list_runs"), rounds)
    return [
        Figure("the SDK's bare server to its first answer, and a process that imports Polars", base),
        Figure("a server over a warm store, start to `list_runs` of 10,000 runs", ours),
        Figure("ratio", ratio, "x", 1.5),
    ]


_SERVE = """
import os, sys
os.environ["ANALYSIS_CACHE_DIR"] = sys.argv[1] + "/cache"
sys.argv = ["sweeplens", "serve", "--root", sys.argv[1] + "/runs"]
from sweeplens_mcp.cli.commands import main
sys.exit(main())
"""


def main(rounds: int = 15) -> None:
    """Print the section."""
    figures = [*new_processes(rounds), *server_starts(rounds)]
    print_section("A warm start", "python benchmarks/warm.py", figures, about=f"medians of {rounds} turns")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
