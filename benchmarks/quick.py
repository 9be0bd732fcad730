"""Guards against slower answers, in under two minutes: `make bench-quick`, or `python benchmarks/quick.py [--renew]`.

For each tool: the least processor time of one first page over 3,000 runs in three files, beside that of plain Polars in the same
process, measured in turn. A ratio beyond 1.3 times the one in `quick_ratios.json` fails; so does an answer that differs
from plain Polars. ``--renew`` writes the ratios of this run. Results that a version of the data keeps are made again in each turn.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from support.runs_in_files import CALLS, answer, differences, truth, write_parts

from sweeplens import AnalysisConfig, ExperimentDB

_RATIOS = Path(__file__).with_name("quick_ratios.json")
_RUNS, _TURNS, _MOST = 3_000, 7, 1.3
_NOISE = 0.02  # of the yardstick: ratios that differ by less do not count


def main(*, renew: bool) -> int:
    with tempfile.TemporaryDirectory() as home:
        files = write_parts(Path(home, "runs"), _RUNS)
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=1e9), Path(home, "runs"))
        db.load_experiments()
        measured = {name: _ratio(db, files, call) for name, call in _calls(db).items()}
        apart = differences(db, truth(files))
    if renew:
        _RATIOS.write_text(json.dumps({name: round(ratio, 3) for name, ratio in measured.items()}, indent=1) + "\n")
    known: dict[str, float] = json.loads(_RATIOS.read_text())
    slower = [name for name, ratio in measured.items() if ratio > _MOST * known.get(name, 0.0) + _NOISE]
    print("| tool | ratio | committed | at most 1.3 times |\n|---|---|---|---|")
    for name, ratio in measured.items():
        print(f"| {name} | {ratio:.2f} | {known.get(name, 0.0):.2f} | {'**no**' if name in slower else 'yes'} |")
    print(f"\nAnswers that differ from plain Polars: {', '.join(apart) or 'none'}.")
    return int(bool(slower or apart))


def _calls(db: ExperimentDB) -> dict[str, Callable[[], None]]:
    """Returns the questions by name, each on a snapshot that has kept no earlier results."""

    def ask(tool: str, arguments: dict[str, object]) -> None:
        fixed = db.pinned()
        fixed._pinned = replace(db.refresh(), _seen={}, _cached={})  # type: ignore[call-arg]
        answer(fixed, tool, arguments)

    return {
        f"`{tool}`{', ' * bool(what)}{what}": lambda t=tool, a=dict(arguments): ask(t, a)
        for tool, what, arguments in CALLS
    }


def _ratio(db: ExperimentDB, files: list[Path], call: Callable[[], None]) -> float:
    """Returns the least time of the call by the least time of the yardstick, in turn."""
    call()
    pairs = [(_time(lambda: truth(files)), _time(call)) for _ in range(_TURNS)]
    return min(mine for _, mine in pairs) / min(other for other, _ in pairs)


def _time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main(renew="--renew" in sys.argv))
