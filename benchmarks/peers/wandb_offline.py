"""Weights & Biases' offline files, read with the reader that its own package has for them."""

import json
import os
from pathlib import Path

os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}

import wandb
from common import Answer, Runs, by_rate, main
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore


def write(runs: Runs, home: Path) -> None:
    settings = wandb.Settings(x_disable_stats=True, x_disable_meta=True, save_code=False)
    for name, lr, rows in runs:
        run = wandb.init(project="sweep", name=name, dir=str(home), config={"lr": lr}, settings=settings)
        for row in rows:
            run.log({k: v for k, v in row.items() if k != "step"}, step=int(row["step"]))
        run.finish()


def _final(path: Path) -> tuple[float, float]:
    store, lr, last = DataStore(), 0.0, 0.0
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            lr = next((json.loads(u.value_json) for u in record.run.config.update if u.key == "lr"), lr)
        elif kind == "history":
            for item in record.history.item:
                if item.key == "val/acc" or list(item.nested_key) == ["val/acc"]:
                    last = json.loads(item.value_json)
    return lr, last


def answer(home: Path) -> Answer:
    return by_rate(_final(path) for path in sorted(home.glob("wandb/offline-run-*/*.wandb")))


main(write, answer)
