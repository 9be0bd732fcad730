"""Kills processes while they read and write a store, and checks the store that the next one finds."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from support.stores import Runs, child, open_db, place_of, points_of

__all__ = ["READS_AND_WRITES", "kill_at_random_moments"]

READS_AND_WRITES = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.store import persistent
persistent.MUCH_ROWS, persistent.MUCH_SECONDS, persistent.SPILL_ROWS = 0, 0.0, 2_000  # every look writes, and large ones at once
root, cache = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
while True:
    db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
    for _ in range(3):
        db.refresh()
"""


def kill_at_random_moments(home: Path, times: int, *, seed: int = 0) -> Iterator[tuple[list[float], list[float]]]:
    """After each kill: the losses of all whole lines, and those that the next start has."""
    chance = random.Random(seed)
    root, cache = home / "runs", home / "cache"
    runs = Runs(root, 40, 100)
    for _ in range(times):
        process = child(READS_AND_WRITES, root, cache)
        assert process.stdout
        assert process.stdin
        with process:
            assert process.stdout.readline() == "ready\n"
            if chance.random() < 0.4:
                shutil.rmtree(place_of(root, cache), ignore_errors=True)  # then the first reading is what is killed
            process.stdin.write("\n")
            process.stdin.flush()
            until = time.monotonic() + chance.uniform(0, 0.5)
            while time.monotonic() < until:
                runs.append(chance.randrange(40), chance.choice([1, 1, 1, 200]), torn=chance.random() < 0.3)
                time.sleep(0.005)
            process.kill()
        yield runs.values(), points_of(open_db(root, cache))
