"""Trackio's local database, written and read through its storage."""

import os
import sys
from pathlib import Path

os.environ["TRACKIO_DIR"] = sys.argv[-1]

from common import Answer, Runs, by_rate, main
from trackio.sqlite_storage import SQLiteStorage


def write(runs: Runs, home: Path) -> None:
    for name, lr, rows in runs:
        metrics = [{k: v for k, v in r.items() if k != "step"} for r in rows]
        SQLiteStorage.bulk_log("sweep", name, metrics, steps=[int(r["step"]) for r in rows], config={"lr": lr})


def answer(home: Path) -> Answer:
    finals: list[tuple[float, float]] = []
    for name in SQLiteStorage.get_runs("sweep"):
        config = SQLiteStorage.get_run_config("sweep", name) or {}
        finals.append((float(config["lr"]), SQLiteStorage.get_logs("sweep", name)[-1]["val/acc"]))
    return by_rate(finals)


main(write, answer)
