"""The same sweep for every peer, and the same question: mean and deviation of the final val/acc by learning rate.

Each peer is a file with `write(runs, home)` and `answer(home)`, run as `python peer.py write LOGS HOME` or
`python peer.py answer HOME`: that prints how long the second answer took in the same process, and the answers.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Runs = Iterator[tuple[str, float, list[dict[str, float]]]]
Answer = dict[str, tuple[float, float]]


def runs_of(logs: Path) -> Runs:
    """Name, learning rate and rows of each run."""
    for home in sorted(logs.iterdir()):
        lr = json.loads((home / "config.json").read_text())["optim"]["lr"]
        yield home.name, lr, [json.loads(line) for line in (home / "metrics.jsonl").read_text().splitlines()]


def by_rate(finals: Iterable[tuple[float, float]]) -> Answer:
    """Mean and deviation of (learning rate, final value) by rate."""
    groups: dict[float, list[float]] = {}
    for lr, value in finals:
        groups.setdefault(lr, []).append(value)
    return {f"{lr:g}": (statistics.mean(v), statistics.stdev(v)) for lr, v in sorted(groups.items())}


def main(write: Callable[[Runs, Path], None], answer: Callable[[Path], Answer]) -> None:
    """Do what the command line says."""
    if sys.argv[1] == "write":
        home = Path(sys.argv[3])
        home.mkdir(parents=True, exist_ok=True)
        write(runs_of(Path(sys.argv[2])), home)
        return
    first = answer(Path(sys.argv[2]))
    began = time.perf_counter()
    answer(Path(sys.argv[2]))
    print(json.dumps({"again": time.perf_counter() - began, "answer": first}))
