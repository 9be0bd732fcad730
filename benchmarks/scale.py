"""What each tool costs over very many runs in a few files: `python benchmarks/scale.py [RUNS]`, by default 100,000.

Each call's first page, processor seconds: the first call after the data are loaded, and the median of three more, with the ratio
to a tenth of the runs. Then the first reading beside plain Polars, a refresh with nothing changed, new processes to their first
answer, and the memory. Last, answers are compared with those of plain Polars over the same files. Names the three frames in which
each first call spends most time with `--frames`. 100,000 runs take about 130 MB on disk and some minutes.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from support.runs_in_files import CALLS, answer, differences, truth, write_parts

from sweeplens import AnalysisConfig, ExperimentDB

_MARKS = {"hparam_effects": 3.0, "diagnose_runs": 2.0, "whats_new": 2.0}


class _Sweep(NamedTuple):
    """Runs in files, read into a store."""

    home: Path
    files: list[Path]
    db: ExperimentDB
    read: float  # processor seconds


def main(runs: int = 100_000, *, frames: bool = False) -> None:
    with tempfile.TemporaryDirectory() as home:
        small, whole = _read(Path(home, "small"), runs // 10), _read(Path(home, "whole"), runs)
        print("| tool | first | warm | mark | met | growth from a tenth |\n|---|---|---|---|---|---|")
        for tool, what, arguments in CALLS:
            _print_tool(small.db, whole.db, tool, what, arguments, frames=frames)
        print("\n| work | seconds | beside | ratio |\n|---|---|---|---|")
        for row in _other_work(small, whole):
            print(row, flush=True)
        print(f"\nHighest resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB.")
        apart = differences(whole.db, truth(whole.files))
        print(f"Answers that differ from plain Polars: {', '.join(apart) or 'none'}.")
        sys.exit(bool(apart))


def _read(home: Path, runs: int) -> _Sweep:
    home.mkdir()
    files = write_parts(home / "runs", runs)
    db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=1e9), home / "runs")
    return _Sweep(home, files, db, _seconds(db.load_experiments))


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _print_tool(
    small: ExperimentDB, whole: ExperimentDB, tool: str, what: str, arguments: Mapping[str, object], *, frames: bool
) -> None:
    profile = cProfile.Profile(time.process_time) if frames else None
    ask = partial(answer, whole, tool, arguments)
    first = _seconds(partial(profile.runcall, ask) if profile else ask)
    warm = statistics.median(_seconds(ask) for _ in range(3))
    few = statistics.median(_seconds(partial(answer, small, tool, arguments)) for _ in range(4))
    mark = _MARKS.get(tool, 1.0)
    met = "yes" if warm <= mark else "**no**"
    named = f"`{tool}`{', ' * bool(what)}{what}"
    print(
        f"| {named} | {first:.2f} s | {warm:.2f} s | {mark:g} s | {met} | {warm / max(few, 1e-3):.1f} x |", flush=True
    )
    if profile:
        print(f"|  | {'; '.join(_longest(profile))} | | | | |")


def _other_work(small: _Sweep, whole: _Sweep) -> Iterator[str]:
    """Yields rows: the first reading, a refresh, and new processes; processor seconds beside what an expert or fewer runs need."""
    polars = _seconds(partial(truth, whole.files))
    yield f"| first reading | {whole.read:.1f} | {polars:.1f} (Polars) | {whole.read / polars:.1f} x |"
    walk = _seconds(lambda: [file.stat() for file in whole.files])
    again = _seconds(whole.db.load_experiments)
    yield f"| refresh, nothing changed | {again:.3f} | {walk:.3f} (stat walk) | |"
    for method in ("list_runs", "overview"):
        many, few = (_start(sweep.home, method) for sweep in (whole, small))
        yield f"| new process to `{method}` | {many:.2f} | {few:.2f} (a tenth of the runs) | {many / few:.1f} x |"


def _start(home: Path, method: str) -> float:
    """Returns the processor seconds of a new process to one answer, the median of three."""
    code = (
        "from sweeplens import AnalysisConfig, ExperimentDB\n"
        f"str(ExperimentDB(AnalysisConfig(cache_dir={f'{home}/cache'!r}), {str(home / 'runs')!r}).{method}())"
    )
    taken: list[float] = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)


def _longest(profile: cProfile.Profile) -> list[str]:
    """Returns our three functions with the most time of their own and of the libraries that they call."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    ours = [(cumulative, f"{Path(file).stem}.{name}") for (file, _, name), (_, _, _, cumulative, _) in stats.items()
            if ("sweeplens/analyses" in file or "sweeplens/frames" in file) and not name.startswith("<")]  # fmt: skip
    return [f"{name} {seconds:.2f} s" for seconds, name in sorted(ours, reverse=True)[:3]]


if __name__ == "__main__":
    sizes = [int(a) for a in sys.argv[1:] if a.isdigit()]
    main(*sizes, frames="--frames" in sys.argv)
