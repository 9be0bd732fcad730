"""A small sweep in native form (b), written fresh for tests: what is in it is said here, so tests can know the truth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

STEPS = 20
SWEEP_RUNS = ("lr0.01 s0", "lr0.01 s1", "lr0.1 s0", "lr0.1 s1", "größe s0", "crashed", "diverged", "torn")


def write_sweep(root: Path) -> Path:
    """Runs in native form (b): two learning rates with two seeds, one that diverges to NaN and infinity, one with a
    malformed line, one with a torn last line, one whose hyperparameters try to steer a terminal."""
    for lr in (0.01, 0.1):
        for seed in (0, 1):
            write_run(root / f"lr{lr} s{seed}", {"optim": {"lr": lr}, "seed": seed}, _curve(lr, seed))
    write_run(root / "größe s0", {"optim": {"lr": 0.05}, "seed": 0, "note": "\x1b[31mred\x07\u202e"}, _curve(0.05, 0))
    rows = _curve(0.1, 2)
    write_run(root / "diverged", {"optim": {"lr": 0.5}, "seed": 0}, [_diverging(r) for r in rows])
    crashed = write_run(root / "crashed", {"optim": {"lr": 0.1}, "seed": 3}, _curve(0.1, 3)[:7])
    with (crashed / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 7, "train/loss": }\n')
    torn = write_run(root / "torn", {"optim": {"lr": 0.1}, "seed": 4}, _curve(0.1, 4)[:5])
    with (torn / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 5, "train/lo')
    return root


def write_run(folder: Path, config: Mapping[str, object], rows: list[dict[str, float]]) -> Path:
    """One run: ``config.json`` beside ``metrics.jsonl`` with a step a line; NaN as Python writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    return folder


def _curve(lr: float, seed: int) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for step in range(STEPS):
        row = {"step": step, "train/loss": 2.0 * math.exp(-lr * step) + 0.01 * seed}
        if step % 5 == 4:
            row["val/acc"] = 1 - math.exp(-lr * (step + 1)) - 0.001 * seed
        rows.append(row)
    return rows


def _diverging(row: dict[str, float]) -> dict[str, float]:
    """From step 10 on the loss is infinite, from step 15 on it is NaN."""
    bad = {10: math.inf, 11: -math.inf}.get(int(row["step"]), math.nan if row["step"] >= 15 else row["train/loss"])
    return {**row, "train/loss": bad}
