"""Time until a line appended to one of 10,000 runs is in the next answer, compared with a stat walk of the same files.

    python benchmarks/appended.py [ROUNDS]

The walk is the least that anybody must do who is not told of changes: `os.scandir` and one stat a file, nothing else. Both
take turns. The answer is the last value that the appended run has, asked of one database that stays open. Then a night:
each of 500 logs is twice as long as when it was read last; its second half is read beside a first reading of the first.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from support.figures import Figure, print_section
from support.many import taken, write_many
from support.sweep import METRICS, write_sweep

from sweeplens import AnalysisConfig, ExperimentDB

ALLOWED = 0.1


def walk(top: str) -> int:
    """Stat every file below a folder; their count."""
    found, pending = 0, [top]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    found += bool(entry.stat(follow_symlinks=False).st_size)
    return found


def append_and_ask(db: ExperimentDB, log: Path, step: int) -> float:
    """Seconds from the appended line to the answer that shows it."""
    with log.open("a") as file:
        file.write(json.dumps({"step": step, "val/acc": float(step), "train/loss": 1.0}) + "\n")

    def ask() -> None:
        view = db.view(runs=[log.parent.name])
        last = view.series.filter(view.series["metric"] == "val/acc")["last"].item()
        assert last == step, (last, step)

    return taken(ask)


def a_night(home: Path) -> tuple[float, float]:
    """Seconds for a first reading of the first half of every log, and for what was appended to it."""
    write_sweep(home / "runs")
    logs = sorted(home.glob("runs/*/metrics.jsonl"))
    later: dict[Path, bytes] = {}
    for log in logs:
        text = log.read_bytes()
        half = text.index(b"\n", len(text) // 2) + 1
        later[log] = text[half:]
        log.write_bytes(text[:half])
    db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=0), home / "runs")
    first = taken(db.load_experiments)
    time.sleep(2.1)  # until nothing could hide a change any more
    db.refresh()
    for log, text in later.items():
        with log.open("ab") as file:
            file.write(text)
    further = taken(db.load_experiments)
    assert db.load_experiments().n_points == 500 * 1000 * len(METRICS)
    return first, further


def main(rounds: int = 21) -> None:
    """Print the section."""
    with tempfile.TemporaryDirectory() as home:
        half, further = a_night(Path(home))
    with tempfile.TemporaryDirectory() as home:
        root = write_many(Path(home, "runs"))
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=0), root)
        first = taken(db.load_experiments)
        for _ in range(3):
            db.refresh()
        pairs: list[tuple[float, float]] = []
        for turn in range(rounds):
            log = root / f"run_{(turn * 37) % 10_000:05}" / "metrics.jsonl"
            pairs.append((taken(lambda: walk(str(root))), append_and_ask(db, log, 100 + turn)))
    over = statistics.median(ours - theirs for theirs, ours in pairs)
    print_section(
        "One more line",
        "python benchmarks/appended.py",
        [
            Figure("a stat walk of 10,000 runs (20,000 files)", statistics.median(t for t, _ in pairs)),
            Figure("one line appended, until the next answer shows it", statistics.median(o for _, o in pairs)),
            Figure("more than the walk (median of the differences)", over * 1000, "ms", ALLOWED * 1000),
            Figure("the first reading of all, for comparison", first),
            Figure("the first half of 500 logs, 86 MB, read for the first time", half),
            Figure("their second half, appended at once", further),
        ],
        about=f"medians of {rounds} turns",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
