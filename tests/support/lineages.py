"""Folders of runs that start from other runs: a log of JSON lines and a configuration each, as a training script leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from sweeplens import AnalysisConfig, ExperimentDB

__all__ = ["opened", "write_pretrainings", "write_run"]


def write_run(
    folder: Path,
    settings: Mapping[str, object],
    metrics: Mapping[str, Sequence[float]],
    *,
    first: int = 0,
    every: int = 1,
    status: str = "finished",
    begin: float = 0.0,
) -> Path:
    """Writes one run; a line holds a value of each metric at its step. ``begin``: the time of the first line, if there are any."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    lines: list[str] = []
    for i, values in enumerate(zip(*metrics.values(), strict=True)):
        time = {"timestamp": begin + 60.0 * i} if begin else {}
        lines.append(json.dumps({"step": first + i * every, **time, **dict(zip(metrics, values, strict=True))}))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if status:
        (folder / "status.json").write_text(json.dumps({"status": status}), encoding="utf-8")
    return folder


def write_pretrainings(root: Path, link: str = "{name}/checkpoint.pth", setting: str = "pretrained_weights") -> Path:
    """Writes six pretrainings (two augmentations, three seeds) and a probe of each. The augmentation adds 0.2, a seed 0.001."""
    for aug, gain in (("weak", 0.0), ("strong", 0.2)):
        for seed in range(3):
            name = f"{aug}-s{seed}"
            loss = [3 - 0.1 * i - gain + 0.01 * seed for i in range(12)]
            write_run(root / "pretrain" / name, {"aug": aug, "lr": 5e-4, "seed": seed}, {"loss": loss})
            acc = [0.5 + gain + 0.001 * seed + 0.002 * i for i in range(12)]
            leads = link.format(name=f"pretrain/{name}", root=root)
            write_run(root / "probe" / name, {"lr": 0.01, setting: leads, "seed": 0}, {"val_acc": acc})
    return root


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0, live_seconds=1e-3), root)
