"""Sweeps for the benchmarks: step-per-line JSONL with a config beside each log, the same bytes at every call.

`write_sweep` writes runs in which everything is clean, or with NaN literals in 5 % of the files and one malformed line in
1 %, which is what real folders hold; or with validation in a row of its own at every hundredth step, as most loops log it.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

__all__ = ["METRICS", "write_sweep"]

METRICS = ("train/loss", "train/acc", "train/lr", "train/grad_norm", "val/loss", "val/acc", "val/f1", "val/auc", "epoch_time",
           "tokens")  # fmt: skip
_LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_AGO = 3600.0  # finished logs


def write_sweep(folder: Path, *, runs: int = 500, steps: int = 1000, dirty: bool = False, apart: bool = False) -> int:
    """Write ``run_0000/metrics.jsonl`` and ``config.json``, and so on; the bytes of all logs."""
    size = 0
    for index in range(runs):
        size += _write_run(folder / f"run_{index:04}", index, steps, dirty=dirty, apart=apart)
    return size


def _write_run(home: Path, index: int, steps: int, *, dirty: bool, apart: bool) -> int:
    home.mkdir(parents=True)
    lr, seed = _LRS[index % len(_LRS)], index // len(_LRS)
    config = {"optim": {"name": "adamw", "lr": lr, "weight_decay": 0.1}, "seed": seed, "batch_size": 64 << (index % 3)}
    (home / "config.json").write_text(json.dumps(config))
    lines = _lines_apart(index, steps) if apart else _lines(index, steps)
    if dirty and index % 20 == 7:
        middle = steps // 2
        lines[middle] = json.dumps({"step": middle, **dict.fromkeys(METRICS, float("nan"))})
    if dirty and index % 100 == 42:
        lines.insert(steps // 3, lines[steps // 3][:40])
    log = home / "metrics.jsonl"
    log.write_text("\n".join(lines) + "\n")
    then = log.stat().st_mtime - _AGO
    os.utime(log, (then, then))
    return log.stat().st_size


def _lines(index: int, steps: int) -> list[str]:
    """Every number has all its digits, as real ones do."""
    draw = random.Random(index).random
    row = '{"step": %d, ' + ", ".join(f'"{m}": %r' for m in METRICS) + "}"
    return [row % (step, *(draw() for _ in METRICS)) for step in range(steps)]


def _lines_apart(index: int, steps: int) -> list[str]:
    """Training at every step; what is measured now and then in rows of its own, at the step before."""
    draw = random.Random(index).random
    often = [m for m in METRICS if not m.startswith("val/")]
    lines: list[str] = []
    for step in range(steps):
        lines.append(json.dumps({"step": step, **{m: draw() for m in often}}))
        if step % 100 == 99:
            lines.append(json.dumps({"step": step, **{m: draw() for m in METRICS if m not in often}}))
    return lines
