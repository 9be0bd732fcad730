"""What each tool costs over very many runs in a few files: `python benchmarks/scale.py [RUNS]`, by default 100,000.

Each call's first page, processor seconds: the first call after the data are loaded, and the median of three more. Then answers are
compared with those of plain Polars over the same files. Names the three frames in which each first call spends most time with
`--frames`. 100,000 runs take about 130 MB on disk and some minutes.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from support.runs_in_files import CALLS, answer, differences, truth, write_parts

from sweeplens import AnalysisConfig, ExperimentDB

_MARKS = {"hparam_effects": 3.0, "diagnose_runs": 2.0, "whats_new": 2.0}


def main(runs: int = 100_000, *, frames: bool = False) -> None:
    with tempfile.TemporaryDirectory() as home:
        files = write_parts(Path(home, "runs"), runs)
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=1e9), Path(home, "runs"))
        began = time.process_time()
        db.load_experiments()
        print(f"First reading of {runs:,} runs: {time.process_time() - began:.1f} s\n")
        print("| tool | first | warm | mark | met |\n|---|---|---|---|---|")
        for tool, what, arguments in CALLS:
            profile = cProfile.Profile(time.process_time) if frames else None
            taken: list[float] = []
            for turn in range(4):
                began = time.process_time()
                if profile and not turn:
                    profile.runcall(answer, db, tool, arguments)
                else:
                    answer(db, tool, arguments)
                taken.append(time.process_time() - began)
            warm, mark = statistics.median(taken[1:]), _MARKS.get(tool, 1.0)
            met = "yes" if warm <= mark else "**no**"
            print(
                f"| `{tool}`{', ' * bool(what)}{what} | {taken[0]:.2f} s | {warm:.2f} s | {mark:g} s | {met} |",
                flush=True,
            )
            if profile:
                print(f"|  | {'; '.join(_longest(profile))} | | | |")
        print(f"\nHighest resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB.")
        apart = differences(db, truth(files))
        print(f"Answers that differ from plain Polars: {', '.join(apart) or 'none'}.")
        sys.exit(bool(apart))


def _longest(profile: cProfile.Profile) -> list[str]:
    """Returns our three functions with the most time of their own and of the libraries that they call."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    ours = [(cumulative, f"{Path(file).stem}.{name}") for (file, _, name), (_, _, _, cumulative, _) in stats.items()
            if ("sweeplens/analyses" in file or "sweeplens/frames" in file) and not name.startswith("<")]  # fmt: skip
    return [f"{name} {seconds:.2f} s" for seconds, name in sorted(ours, reverse=True)[:3]]


if __name__ == "__main__":
    sizes = [int(a) for a in sys.argv[1:] if a.isdigit()]
    main(*sizes, frames="--frames" in sys.argv)
