"""Folders of very many small runs, and the two sides of a comparison timed turn by turn."""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["in_turn", "taken", "write_many"]


def write_many(folder: Path, *, runs: int = 10_000, metrics: int = 2, steps: int = 3) -> Path:
    """``run_00000/metrics.jsonl`` and ``config.json``, and so on, with modification times of finished logs."""
    names = ["val/acc", "train/loss", *(f"layer{i}/norm" for i in range(metrics - 2))]
    draw = random.Random(0).random
    then = time.time() - 7200
    for index in range(runs):
        home = folder / f"run_{index:05}"
        home.mkdir(parents=True)
        config = {"optim": {"lr": 10 ** -(1 + index % 5), "wd": 0.1 * (index % 3)}, "seed": index // 15}
        (home / "config.json").write_text(json.dumps(config))
        lines = [json.dumps({"step": step, **{n: draw() for n in names}}) for step in range(steps)]
        (home / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        os.utime(home / "metrics.jsonl", (then, then))
    return folder


def taken(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(theirs: Callable[[], float], ours: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Medians of both, and the median of the ratios of neighbours (ours to theirs); once each before, to warm up."""
    theirs()
    ours()
    pairs = [(theirs(), ours()) for _ in range(rounds)]
    ratio = statistics.median(mine / other for other, mine in pairs)
    return statistics.median(t for t, _ in pairs), statistics.median(o for _, o in pairs), ratio
