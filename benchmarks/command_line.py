"""What a command costs before its answer: processor time of `sweeplens call list_runs` and `sweeplens ls` over 60 runs that were
read before, as ratios to a process that imports Polars and pydantic.

    python benchmarks/command_line.py [ROUNDS]

The three processes run in turn, so that the ratios mean something where the seconds do not. The promise is a ratio of at most 1.2.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sweeplens.demo_data import write_sweep

TARGET = 1.2
_BARE = [sys.executable, "-c", "import polars, pydantic"]


def processor_seconds(command: list[str], cache: Path) -> float:
    """Runs a command and returns the processor time that it took, its own and the system's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**environment, "ANALYSIS_CACHE_DIR": str(cache)}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int = 15) -> None:
    """Measures in turn and prints the table of the README: medians, and the ratios of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        sweep, cache = Path(folder) / "sweep", Path(folder) / "cache"
        write_sweep(sweep)
        script = [sys.executable, "-m", "sweeplens_mcp"]
        commands = {
            "call list_runs": [*script, "call", "list_runs", "--root", str(sweep)],
            "ls": [*script, "ls", str(sweep)],
        }
        for command in commands.values():
            processor_seconds(command, cache)  # reads the runs, and compiles modules
        bare: list[float] = []
        ours: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            bare.append(processor_seconds(_BARE, cache))
            for name, command in commands.items():
                ours[name].append(processor_seconds(command, cache))
    usual = statistics.median(bare)
    print(
        "| command | its processor time, s | Polars and pydantic, s | ratio | target | met |\n|---|---|---|---|---|---|"
    )
    for name, taken in ours.items():
        median = statistics.median(taken)
        met = "yes" if median / usual <= TARGET else "no"
        print(f"| `sweeplens {name}` | {median:.2f} | {usual:.2f} | {median / usual:.2f} | {TARGET} | {met} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
