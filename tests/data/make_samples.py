"""Write the samples beside this file anew: ``python tests/data/make_samples.py``. Nothing in them comes from anywhere else.

native_steps/   form (b): a folder a run, one step a line, from the generator of the demo
native_runs/    form (a): the same runs, one run a line, plain and gzipped
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

from sweeplens.demo_data import DEMO_MARK, PlannedRun, write_sweep

HERE = Path(__file__).parent
RUNS = (
    PlannedRun(0.01, 64, 0, epochs=2),
    PlannedRun(0.1, 128, 1, epochs=2),
    PlannedRun(0.1, 64, 0, "malformed", epochs=2),
    PlannedRun(0.3, 64, 0, "diverged", epochs=2),
    PlannedRun(0.01, 128, 1, "crashed", epochs=2),
    PlannedRun(0.03, 64, 0, "resumed", epochs=2),
)


def write_samples(folder: Path) -> None:
    """All samples below a folder."""
    steps = folder / "native_steps"
    shutil.rmtree(steps, ignore_errors=True)
    write_sweep(steps, runs=RUNS)
    (steps / DEMO_MARK).unlink()
    whole = folder / "native_runs"
    whole.mkdir(exist_ok=True)
    text = "".join(json.dumps(_as_one_line(steps / run.name, run)) + "\n" for run in RUNS)
    (whole / "runs.jsonl").write_text(text, encoding="utf-8", newline="\n")
    packed = text.replace('{"run_id": "', '{"run_id": "packed ').encode()
    (whole / "packed.jsonl.gz").write_bytes(gzip.compress(packed, mtime=0))


def _as_one_line(folder: Path, run: PlannedRun) -> dict[str, Any]:
    metrics: dict[str, list[float]] = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
        for name in ("train/loss", "val/acc"):
            metrics.setdefault(name, []).extend([row[name]] if name in row else [])
    status = {"crashed": "crashed"}.get(run.ending, "completed")
    return {"run_id": run.name, "hyperparameters": run.config, "metrics": metrics, "metadata": {"status": status}}


if __name__ == "__main__":
    write_samples(HERE)
