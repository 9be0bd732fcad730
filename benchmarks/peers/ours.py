"""sweeplens over the same logs; its store lies in the home of the benchmark."""

from pathlib import Path

from common import Answer, Runs, main

from sweeplens import AnalysisConfig, ExperimentDB

_open: dict[Path, ExperimentDB] = {}


def write(runs: Runs, home: Path) -> None:
    """Nothing: the logs are read where they are."""


def answer(home: Path) -> Answer:
    if home not in _open:
        logs = (home / "logs").read_text()
        _open[home] = ExperimentDB(AnalysisConfig(cache_dir=str(home / "cache")), base_path=logs)
    table = _open[home].summarize_metrics(["optim.lr"], metrics=["val/acc"])
    return {f"{lr:g}": (mean, std) for lr, mean, std in table.select("optim.lr", "mean", "std").iter_rows()}


main(write, answer)
