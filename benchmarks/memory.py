"""How much memory a first reading and a stream of all points take beyond the bare process.

    python benchmarks/memory.py [GB ...]

Each measurement is a process of its own: its highest resident memory less that of a process which imports the library and
reads one small run. First readings of 1 GB and 3 GB of step-per-line JSONL, then `stream_metrics` over a sweep and over one
of as many runs that are ten times as long. The logs are written to a temporary folder and removed. Prints a table for README.md.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from support.child import Cost, run_python
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
    print(f"bare process: {bare.peak:.0f} MB\n")
    print("| work | points | peak, MB | beyond the bare process, MB | target | met |\n|---|---|---|---|---|---|")
    for size in gigabytes or (1.0, 3.0):
        cost, _ = measured(size * 1e9)
        beyond = cost.peak - bare.peak
        print(
            f"| first reading of {size:g} GB | {int(cost.output):,} | {cost.peak:.0f} | {beyond:.0f} "
            f"| 1000 MB | {'yes' if beyond <= 1000 else 'no'} |"
        )
    (_, small), (_, large) = measured(60e6), measured(600e6, steps=10_000)
    more = large.peak / small.peak - 1
    for name, cost in (("60 MB", small), ("600 MB", large)):
        verdict = f"at most 20 % more, is {more:.0%} | {'yes' if more <= 0.2 else 'no'}" if cost is large else "|"
        print(
            f"| stream_metrics over {name} | {int(cost.output):,} | {cost.peak:.0f} | {cost.peak - bare.peak:.0f} | {verdict} |"
        )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
