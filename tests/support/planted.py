"""Sweeps with a planted truth: runs as dicts in native form (a), all in one file, so that hundreds are read in no time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sweeplens import AnalysisConfig, ExperimentDB

Row = dict[str, object]


def run(
    run_id: str, hparams: Mapping[str, object], metadata: Mapping[str, object] | None = None, **metrics: Sequence[float]
) -> Row:
    """One run, finished unless its metadata say otherwise; ``val_acc=[...]`` is the metric ``val/acc``."""
    named = {name.replace("_", "/", 1): list(values) for name, values in metrics.items()}
    return {
        "run_id": run_id,
        "hyperparameters": dict(hparams),
        "metrics": named,
        "metadata": dict(metadata or {"status": "finished"}),
    }


def database(folder: Path, runs: Iterable[Row], **settings: object) -> ExperimentDB:
    """The runs in one file below the folder, opened; nothing is looked at again."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(r) + "\n" for r in runs)
    (folder / "runs.jsonl").write_text(lines, encoding="utf-8")
    config = AnalysisConfig(refresh_seconds=1e6, live_seconds=1e-3, **settings)  # type: ignore[arg-type]
    return ExperimentDB(config, base_path=folder)
