"""What a picture of 10,000 runs x 1,000 points costs: `python benchmarks/pictures.py`.

A picture of curves over all of them, from the question to the PNG, against rendering the same specification with its data
already inside. Both are done in turn; the median of the ratios is printed with its bound.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support.figures import Figure, print_section

from sweeplens import AnalysisConfig, Chart, ExperimentDB

MOST_BYTES = 60_000


def write_runs(folder: Path, runs: int, steps: int) -> None:
    """A grid of ten learning rates and two batch sizes, every setting repeated; one file."""
    with (folder / "runs.jsonl").open("w", encoding="utf-8") as file:
        for i in range(runs):
            lr = round(10 ** -(1 + i % 10 / 3), 6)
            values = [round(2 * lr + 1 / (s + 1) + (i * 7919 + s * 104_729) % 1000 / 1e4, 5) for s in range(steps)]
            hparams = {"lr": lr, "batch_size": (32, 64)[i // 10 % 2], "seed": i // 20}
            file.write(
                json.dumps({"run_id": f"r{i}", "hyperparameters": hparams, "metrics": {"val/loss": values}}) + "\n"
            )


def took(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(rounds: int = 7, runs: int = 10_000, steps: int = 1_000) -> None:
    """Print the ratio beside its bound."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "runs"
        folder.mkdir()
        write_runs(folder, runs, steps)
        config = AnalysisConfig(refresh_seconds=1e6, cache_dir=str(Path(home) / "cache"))
        db = ExperimentDB(config, base_path=folder)
        db.load_experiments()

        def whole() -> Chart:
            chart = db.plot("curves")
            chart.png(most_bytes=MOST_BYTES)
            return chart

        made = whole()
        pairs = [(took(whole), took(lambda: made.png(most_bytes=MOST_BYTES))) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    name = f"curves of {runs:,} runs x {steps:,} points as PNG / rendering the same specification"
    print_section("Pictures", "python benchmarks/pictures.py", [Figure(name, ratio, "x", most=3.0)])


if __name__ == "__main__":
    main()
