"""Two sweeps with planted truths: `python benchmarks/judged/sweeps.py DIR` writes `vision/` and `control/`.

`truth.md` says what is planted. All numbers come from fixed seeds; times end a day ago, so that nothing counts as running.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

Row = dict[str, float]
STEPS, EVERY = 3000, 50
AUGMENTATIONS = {"none": (0.80, True), "mixup": (0.812, False), "cutmix": (0.826, False)}
"""Augmentation -> the accuracy that it reaches at the usual settings, and whether it overfits."""
LEARNING_RATES = {0.01: -0.02, 0.03: 0.0, 0.1: -0.006}
ENVIRONMENTS = {"ant": 4000.0, "door": 300.0, "hopper": 2500.0, "walker": 3500.0}
SKILL = {
    "ppo": {"ant": 0.62, "door": 0.95, "hopper": 0.70, "walker": 0.60},
    "sac": {"ant": 0.90, "door": 0.70, "hopper": 0.74, "walker": 0.88},
    "td3": {"ant": 0.80, "door": 0.66, "hopper": 0.86, "walker": 0.80},
}  # fmt: skip
PACE = {"ppo": 0.2, "sac": 0.9, "td3": 0.5}
"""Algorithm -> seconds per thousand environment steps."""


def write_sweeps(folder: Path) -> None:
    """Writes both sweeps below a folder."""
    _vision(folder / "vision", random.Random(11))
    _control(folder / "control", random.Random(12))


def _write(folder: Path, config: Mapping[str, object], rows: Iterator[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def _vision(root: Path, rng: random.Random) -> None:
    """54 runs: three augmentations, three learning rates, EMA on and off (never applied), three seeds."""
    for aug in AUGMENTATIONS:
        for lr in LEARNING_RATES:
            for seed in range(3):
                noise = rng.getrandbits(32)
                for ema in (False, True):
                    host = "gpu07" if seed == 2 else f"gpu0{seed + 1}"
                    config = {
                        "augment": aug, "optim": {"lr": lr, "warmup_steps": 500}, "model": {"ema": ema}, "seed": seed,
                        "batch_size": 256, "host": host, "n_gpus": 2,
                    }  # fmt: skip
                    name = f"{aug}_lr{lr}_{'ema' if ema else 'raw'}_s{seed}"
                    leaked = name == "mixup_lr0.1_ema_s1"
                    rows = _vision_rows(aug, lr, random.Random(noise), slow=1.9 if seed == 2 else 1.0, leaked=leaked)
                    _write(root / name, config, rows)


def _vision_rows(aug: str, lr: float, rng: random.Random, *, slow: float, leaked: bool) -> Iterator[Row]:
    top, overfits = AUGMENTATIONS[aug]
    level = top + LEARNING_RATES[lr] + rng.gauss(0, 0.003)
    pace = (1.5 if aug == "cutmix" else 1.0) * slow
    begin = time.time() - 86_400 - STEPS * pace
    for step in range(0, STEPS + 1, EVERY):
        rise = 1 - math.exp(-step / 500)
        lost = 0.05 * max(0, step - 1800) / 1200 if overfits else 0.0
        row: Row = {"step": step, "_timestamp": begin + step * pace, "samples": 256.0 * step}
        row["lr"] = (
            lr * min(1.0, (step + 1) / 100) * (1 - step / STEPS)
        )  # the warm-up takes 100 steps, whatever the config says
        row["train/loss"] = 2.3 * math.exp(-step / 600) + (0.25 if aug != "none" else 0.05) + abs(rng.gauss(0, 0.01))
        row["val/acc"] = 0.1 + (level - 0.1) * rise - lost + rng.gauss(0, 0.003)
        row["test/acc"] = 0.1 + (level - 0.112) * rise - lost + rng.gauss(0, 0.006)
        if leaked:
            row["val/acc"] = min(0.997, row["val/acc"] + 0.17 * rise)
        yield row


def _control(root: Path, rng: random.Random) -> None:
    """60 runs: three algorithms on four environments, five seeds that share nothing between algorithms."""
    for env, top in ENVIRONMENTS.items():
        for algo in SKILL:
            for seed in range(5):
                config = {"env": env, "algo": algo, "seed": seed, "total_steps": 1_000_000}
                rows = _control_rows(env, algo, seed, top, rng)
                _write(root / f"{env}_{algo}_{seed}", config, rows)


def _control_rows(env: str, algo: str, seed: int, top: float, rng: random.Random) -> Iterator[Row]:
    level = SKILL[algo][env] * (1 + rng.gauss(0, 0.12 if algo == "ppo" else 0.05))
    last = 500_000 if (env, algo) == ("ant", "ppo") and seed in (1, 3) else 1_000_000
    begin = time.time() - 172_800
    speed = 150_000 if algo != "ppo" else 260_000
    for step in range(0, last + 1, 20_000):
        value = top * level * (1 - math.exp(-step / speed)) * (1 + rng.gauss(0, 0.05))
        if (env, algo, seed) == ("walker", "td3", 3) and step > 620_000:
            value *= 0.15
        success = min(1.0, value / top)
        if env == "door" and algo == "ppo":
            success *= max(0.1, 1 - step / 900_000)  # the return rises and the task is solved less and less
        yield {
            "step": step, "_timestamp": begin + step * PACE[algo] / 1000, "eval/return": value, "eval/success_rate": success,
        }  # fmt: skip


if __name__ == "__main__":
    write_sweeps(Path(sys.argv[1]))
