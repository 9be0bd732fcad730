"""Files of trainers in the forms that their code writes, read through folders: one run, its names, values and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.reading import read_folder

THIRDS = [1.0, 0.5, 1 / 3]


def lines(rows: Sequence[Mapping[str, Any]], mark: str = "") -> str:
    return "".join(f"{mark}{json.dumps(r)}\n" for r in rows)


def table(*columns: Sequence[object]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


D3RLPY = {
    "DQN_1/loss.csv": table((1, 2, 3), (100, 200, 300), THIRDS),
    "DQN_1/time_step.csv": table((1, 2, 3), (100, 200, 300), (0.1, 0.2, 0.3)),
    "DQN_1/params.json": json.dumps({"config": {"type": "dqn", "params": {"batch_size": 32, "gamma": 0.99}}}),
}
TORCHRL = {
    "ppo/scalars/reward.csv": table((0, 10, 20), (0.5, 1.5, 2.5)),
    "ppo/scalars/train/loss.csv": table((0, 10, 20), THIRDS),
    "ppo/texts/hparams0.txt": "gamma: 0.99\nlr: 0.001\nseed: 1\n",
}
ALLENNLP = {
    **{
        f"metrics_epoch_{e}.json": json.dumps(
            {"epoch": e, "training_loss": v, "training_duration": f"0:00:1{e}"}, indent=2
        )
        for e, v in enumerate(THIRDS)
    },
    "metrics.json": json.dumps({"epoch": 2, "training_loss": 1 / 3, "test_accuracy": 0.75}),
}
CHAINER = {
    "result/log": json.dumps(
        [{"main/loss": v, "epoch": e, "iteration": 600 * e} for e, v in enumerate(THIRDS, 1)], indent=4
    )
}
LUDWIG = {
    "run/training_statistics.json": json.dumps(
        {
            "evaluation_frequency": {"frequency": 1},
            "training": {"combined": {"loss": THIRDS}},
            "test": {"y": {"loss": THIRDS}},
        }
    ),
}
DLLOGGER = {
    "dllogger.json": lines(
        [
            {"type": "LOG", "step": "PARAMETER", "data": {"batch_size": 32}},
            *({"type": "LOG", "step": [0, i * 10], "data": {"loss": v}} for i, v in enumerate(THIRDS)),
            {"type": "LOG", "step": [1, 10], "data": {"loss": 0.25}},
            {"type": "LOG", "step": [], "data": {"final_loss": 0.2}},
        ],
        "DLLL ",
    )
}
BY_EPOCH = {"log.json": json.dumps({f"epoch_{e}": {"loss": v} for e, v in enumerate(THIRDS)})}
THOUSANDS = {"log.csv": '"step","loss"\n"1,000","1.0"\n"2,000","0.5"\n'}
WANTED: dict[str, tuple[dict[str, str], dict[str, tuple[list[int], list[float]]], dict[str, object]]] = {
    "d3rlpy": (
        D3RLPY,
        {"loss": ([100, 200, 300], THIRDS), "time_step": ([100, 200, 300], [0.1, 0.2, 0.3])},
        {"type": "dqn"},
    ),
    "torchrl": (
        TORCHRL,
        {"train/loss": ([0, 10, 20], THIRDS), "reward": ([0, 10, 20], [0.5, 1.5, 2.5])},
        {"lr": 0.001},
    ),
    "allennlp": (ALLENNLP, {"training_loss": ([0, 1, 2], THIRDS), "test_accuracy": ([2], [0.75])}, {}),
    "chainer": (CHAINER, {"main/loss": ([600, 1200, 1800], THIRDS)}, {}),
    "ludwig": (LUDWIG, {"training.combined.loss": ([0, 1, 2], THIRDS), "test.y.loss": ([0, 1, 2], THIRDS)}, {}),
    "dllogger": (DLLOGGER, {"loss": ([0, 10, 20, 30], [*THIRDS, 0.25])}, {"batch_size": 32}),
    "by epoch": (BY_EPOCH, {"loss": ([0, 1, 2], THIRDS)}, {}),
    "thousands": (THOUSANDS, {"loss": ([1000, 2000], [1.0, 0.5])}, {}),
}


@pytest.mark.parametrize("trainer", WANTED)
def test_files_of_a_trainer_are_one_run(trainer: str, tmp_path: Path) -> None:
    files, series, settings = WANTED[trainer]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = read_folder(tmp_path)
    (run,) = found.runs
    assert {m: found.series(run, m) for m in series} == series
    given = json.dumps(found.runs[run].hyperparameters)
    assert all(f'"{key}": {json.dumps(value)}' in given for key, value in settings.items())


EPOCHS = "".join(f"epoch {e} loss {v:.4f} acc 0.{e}1\n" for e, v in enumerate(THIRDS))


@pytest.mark.parametrize(
    ("train", "valid"), [("train.log", "valid.log"), ("log_train.txt", "log_val.txt"), ("run-train.out", "run-dev.out")]
)
def test_text_logs_of_the_splits_of_a_training_are_one_run(train: str, valid: str, tmp_path: Path) -> None:
    (tmp_path / train).write_text(EPOCHS)
    (tmp_path / valid).write_text(EPOCHS.replace("0.5000", "0.7500"))
    (tmp_path / "config.yaml").write_text("lr: 0.1\n")
    found = read_folder(tmp_path)
    (run,) = found.runs
    split = "dev" if "dev" in valid else "val"
    assert found.series(run, "train/loss") == ([0, 1, 2], [1.0, 0.5, 0.3333])
    assert found.series(run, f"{split}/loss") == ([0, 1, 2], [1.0, 0.75, 0.3333])
    assert found.runs[run].hyperparameters["lr"] == 0.1


def test_splits_of_several_trainings_in_one_folder_stay_apart(tmp_path: Path) -> None:
    for name in ("a_train.log", "a_valid.log", "b_train.log", "b_valid.log"):
        (tmp_path / name).write_text(EPOCHS)
    found = read_folder(tmp_path)
    assert [found.metrics(r) for r in found.runs] == [{"train/loss", "train/acc", "val/loss", "val/acc"}] * 2


def test_a_document_in_json_is_no_text_log(tmp_path: Path) -> None:
    rows = [{"image_id": i, "loss": 1 / (i + 1), "step": i} for i in range(30)]
    (tmp_path / "output.txt").write_text(json.dumps({"a": {"b": rows}}, indent=1))
    assert not [s for s in read_folder(tmp_path).sources if s.reader == "text_logs"]
