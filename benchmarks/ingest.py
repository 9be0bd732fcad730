"""How long a first reading takes, as a ratio to the code that a Polars expert would write for the same files.

    python benchmarks/ingest.py [PAIRS]

500 runs x 1,000 steps x 10 keys of step-per-line JSONL with a config.json beside each. Each reading is a process of its own,
start and imports included, into an empty store; expert and we take turns, so that a busy neighbour meets both. The expert's
code does not read the files with NaN literals and malformed lines: Polars' reader fails on both. Prints its section
of README.md.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.child import Cost, run_python
from support.figures import Figure, print_section
from support.sweep import write_sweep

EXPERT = """
import sys, time
from pathlib import Path
import polars as pl
files = sorted(Path(sys.argv[1]).glob("*/metrics.jsonl"))
frame = pl.scan_ndjson(files, infer_schema_length=None, include_file_paths="path")
long = frame.unpivot(index=["path", "step"], variable_name="metric", value_name="value")
long.sink_parquet(sys.argv[2] + "/points.parquet")
"""
OURS = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache_dir=sys.argv[2]), base_path=sys.argv[1])
report = db.load_experiments()
print(report.n_runs, report.n_points, report.n_malformed)
"""


def reading(code: str, logs: Path) -> Cost:
    """One reading into an empty folder."""
    with tempfile.TemporaryDirectory() as cache:
        return run_python(code, logs, cache)


def main(pairs: int = 7) -> None:
    """Measure in turn and print the medians of the ratios."""
    with tempfile.TemporaryDirectory() as root:
        clean, dirty, apart = Path(root, "clean"), Path(root, "dirty"), Path(root, "apart")
        size = write_sweep(clean)
        write_sweep(dirty, dirty=True)
        write_sweep(apart, apart=True)
        for logs in (clean, dirty, apart):
            said = reading(OURS, logs).output.split()
            assert said[0] == "500", said
        turns = [(reading(EXPERT, clean), reading(OURS, clean), reading(OURS, dirty)) for _ in range(pairs)]
        others = [(reading(EXPERT, apart), reading(OURS, apart)) for _ in range(pairs)]
    figures = [
        *_compared(turns, {"sweeplens, clean files": 1.25, "sweeplens, NaN and malformed lines": 1.5}, "clean files"),
        *_compared(others, {"sweeplens, validation in rows of its own": None}, "validation in rows of its own"),
    ]
    about = f"{size / 1e6:.0f} MB, 5,000,000 points, medians of {pairs} turns, a process each, start included"
    print_section("A first reading", "python benchmarks/ingest.py", figures, about=about)


def _compared(turns: Sequence[Sequence[Cost]], ours: Mapping[str, float | None], files: str) -> list[Figure]:
    """Wall and processor time of each, and ours beside the expert's, who is first in each turn."""
    figures: list[Figure] = []
    for place, (name, target) in enumerate({f"the expert's code, {files}": None, **ours}.items()):
        for what, unit, most in (("wall", "wall", target), ("cpu", "processor", None)):
            figures.append(Figure(f"{name}, {unit}", statistics.median(getattr(t[place], what) for t in turns)))
            if place:
                ratio = statistics.median(getattr(t[place], what) / getattr(t[0], what) for t in turns)
                figures.append(Figure(f"{name}, {unit}, beside the expert's", ratio, "x", most=most))
    return figures


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
