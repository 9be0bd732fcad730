"""Logs runs to an MLflow server with MLflow's own client, in a Python that has it, and prints what was logged as JSON.

``python log_to_mlflow.py URI [more RUN_ID | end RUN_ID]``
"""

from __future__ import annotations

import json
import math
import sys


def main(uri: str, *what: str) -> None:
    """Logs, then prints."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    if what:
        print(json.dumps(_more(client, *what)))
    else:
        print(json.dumps(_all(client)))


def _all(client: object) -> dict[str, object]:
    """Two experiments with odd names: a nested run, a failed and a running one, values that are no numbers, many steps."""
    from mlflow.entities import Metric, Param, RunTag

    logged: dict[str, object] = {}
    experiments = [client.create_experiment(name) for name in ("grid's: \"search\"", "zweite Übung")]  # type: ignore[attr-defined]
    parent = ""
    for number in range(5):
        tags = {"mlflow.parentRunId": parent} if number == 1 else {}
        run = client.create_run(experiments[number // 3], run_name=f"run {number}: it's", tags=tags)  # type: ignore[attr-defined]
        run_id = run.info.run_id
        parent = parent or run_id
        steps = 26_000 if number == 0 else 20  # more than a page holds
        values = [(step, 1 / (1 + step) + number) for step in range(steps)]
        points = [Metric("train/loss", v, 1_700_000_000_000 + s, s) for s, v in values]
        points += [Metric("odd metric.v1", v, 1_700_000_000_000, i) for i, v in enumerate([math.nan, math.inf, -math.inf, 2.5])]
        points += [Metric("best.pt", 0.5, 1_700_000_000_000, 0)]
        for at in range(0, len(points), 900):
            client.log_batch(run_id, metrics=points[at : at + 900])  # type: ignore[attr-defined]
        params = {"lr": str(0.1 / (1 + number)), "model/name": "it's: {a}", "seed": str(number)}
        client.log_batch(run_id, params=[Param(k, v) for k, v in params.items()], tags=[RunTag("team", "ünïted")])  # type: ignore[attr-defined]
        if number != 4:
            client.set_terminated(run_id, "FAILED" if number == 3 else "FINISHED")  # type: ignore[attr-defined]
        logged[run_id] = {"name": f"run {number}: it's", "experiment": number // 3, "params": params, "loss": values}
    return logged


def _more(client: object, action: str, run_id: str) -> object:
    if action == "more":
        client.log_metric(run_id, "train/loss", 77.0, step=20)  # type: ignore[attr-defined]
    elif action == "end":
        client.set_terminated(run_id, "KILLED")  # type: ignore[attr-defined]
    else:
        client.delete_run(run_id)  # type: ignore[attr-defined]
    return action


if __name__ == "__main__":
    main(*sys.argv[1:])
