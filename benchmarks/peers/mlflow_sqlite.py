"""MLflow with its sqlite backend: one search of runs, which hold their last values."""

import logging
import warnings
from pathlib import Path

from common import Answer, Runs, by_rate, main

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric  # noqa: E402

_BATCH = 1000  # metrics that one call takes


def write(runs: Runs, home: Path) -> None:
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.create_experiment("sweep", artifact_location=str(home / "artifacts"))
    for name, lr, rows in runs:
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_param(run, "lr", lr)
        metrics = [Metric(k, v, r["step"], int(r["step"])) for r in rows for k, v in r.items() if k != "step"]
        for at in range(0, len(metrics), _BATCH):
            client.log_batch(run, metrics[at : at + _BATCH])
        client.set_terminated(run)


def answer(home: Path) -> Answer:
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name("sweep").experiment_id
    found = client.search_runs([experiment], max_results=50_000)
    return by_rate((float(r.data.params["lr"]), r.data.metrics["val/acc"]) for r in found)


main(write, answer)
