"""How much memory a first reading and a stream of all points take beyond the bare process.

    python benchmarks/memory.py [GB ...]

Each measurement is a process of its own: its highest resident memory less that of a process which imports the library and
reads one small run. First readings of 1 GB and 3 GB of step-per-line JSONL, then `stream_metrics` over a sweep and over one
of as many runs that are ten times as long. The logs are written to a temporary folder and removed. Prints its section of README.md.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from support.child import Cost, run_python
from support.figures import Figure, print_section
from support.sweep import write_sweep

READ = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache_dir=sys.argv[2]), base_path=sys.argv[1])
print(db.load_experiments().n_points)
"""
STREAM = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache_dir=sys.argv[2]), base_path=sys.argv[1], lazy=True)
print(sum(batch.height for batch in db.stream_metrics()))
"""
_STEP_BYTES = 343


def sweep_of(size: float, folder: Path, steps: int) -> Path:
    """Logs of about so many bytes: one run written, the others its copies under names of their own."""
    one = folder / "one"
    write_sweep(one, runs=1, steps=steps)
    logs = folder / "logs"
    for index in range(max(1, int(size / _STEP_BYTES / steps))):
        shutil.copytree(one / "run_0000", logs / f"run_{index:05}")
    return logs


def measured(size: float, steps: int = 1000) -> tuple[Cost, Cost]:
    """A first reading of logs of this size, and then a stream of all their points."""
    with tempfile.TemporaryDirectory() as root:
        logs, cache = sweep_of(size, Path(root), steps), Path(root, "cache")
        return run_python(READ, logs, cache), run_python(STREAM, logs, cache)


def main(*gigabytes: float) -> None:
    """Measure and print."""
    bare, _ = measured(0)
    figures = [Figure("bare process: the library, and one run of 1,000 steps", bare.peak, "MB")]
    for size in gigabytes or (1.0, 3.0):
        cost, _ = measured(size * 1e9)
        what = f"first reading of {size:g} GB, {int(cost.output):,} points: beyond the bare process"
        figures.append(Figure(what, cost.peak - bare.peak, "MB", most=1000))
    (_, small), (_, large) = measured(60e6), measured(600e6, steps=10_000)
    for cost in (small, large):
        figures.append(Figure(f"`stream_metrics` over {int(cost.output):,} points: the whole process", cost.peak, "MB"))
    figures.append(Figure("the larger beside the smaller", large.peak / small.peak, "x", most=1.2))
    print_section("Memory", "python benchmarks/memory.py", figures, about="highest resident memory, a process each")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
