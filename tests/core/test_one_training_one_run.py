"""One training is one run, however many files its program wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support import wire_samples as wire

from sweeplens import AnalysisConfig, ExperimentDB

CASES = Path(__file__).parent.parent / "data" / "logs"


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=root)


def ends(db: ExperimentDB) -> dict[str, float]:
    """Run and metric -> the last value."""
    return {f"{r['run_id']} {r['metric']}": r["last"] for r in db.series_df.iter_rows(named=True)}


def test_a_training_of_catboost_is_one_run_with_its_sets_apart() -> None:
    db = opened(CASES / "catboost")
    assert db.runs_df["run_id"].to_list() == ["run0/catboost_info", "run1/catboost_info"]
    for metric in ("learn/Logloss", "test/Logloss", "test/AUC"):
        assert db.series_df.filter(metric=metric)["n"].to_list() == [20, 20]
    assert "Logloss" not in db.series_df["metric"].to_list()
    table = (CASES / "catboost" / "run0" / "catboost_info" / "test_error.tsv").read_text().splitlines()
    assert ends(db)["run0/catboost_info test/AUC"] == float(table[-1].split("\t")[1])
    notes = [n for n in db.rank("test/AUC", by="run").notes if "is better" in n]
    assert notes[0].startswith("higher")


def test_a_row_of_catboost_that_is_being_written_is_no_point(tmp_path: Path) -> None:
    shutil.copytree(CASES / "catboost" / "run0", tmp_path / "a")
    path = tmp_path / "a" / "catboost_info" / "learn_error.tsv"
    path.write_text("iter\tLogloss\n0\t0.6\n1\t0.5\n2\t0.")
    assert opened(tmp_path).series_df.filter(metric="learn/Logloss").select("n", "last").rows() == [(2, 0.5)]


def test_keras_with_its_hparams_callback_is_one_run_with_settings_and_both_splits() -> None:
    db = opened(CASES / "keras_hparams")
    assert db.runs_df.select("run_id", "lr", "units").rows() == [("run-0", 0.01, 4.0), ("run-1", 0.1, 8.0)]
    for metric in ("train/epoch_loss", "validation/epoch_loss"):
        assert db.series_df.filter(metric=metric)["run_id"].to_list() == ["run-0", "run-1"]
    assert "epoch_loss" not in db.series_df["metric"].to_list()


def test_one_folder_for_each_split_is_one_run_with_the_configuration_above() -> None:
    db = opened(CASES / "graphgym")
    assert db.runs_df.select("run_id", "optim.base_lr").rows() == [("gcn/0", 0.01), ("gcn/1", 0.01)]
    wanted = {
        "gcn/0 train/accuracy": 0.88,
        "gcn/0 val/accuracy": 0.78,
        "gcn/0 test/accuracy": 0.76,
        "gcn/1 train/accuracy": 0.881,
        "gcn/1 val/accuracy": 0.781,
        "gcn/1 test/accuracy": 0.761,
    }
    assert {k: v for k, v in ends(db).items() if k.endswith("accuracy")} == wanted


def test_folders_of_splits_that_grow_are_read_on(tmp_path: Path) -> None:
    shutil.copytree(CASES / "graphgym", tmp_path / "root")
    db = opened(tmp_path / "root")
    assert ends(db)["gcn/0 val/accuracy"] == 0.78
    with (tmp_path / "root" / "gcn" / "0" / "val" / "stats.json").open("a") as log:
        log.write('{"epoch": 8, "loss": 0.1, "accuracy": 0.79}\n')
    assert ends(db)["gcn/0 val/accuracy"] == 0.79


def test_a_log_beside_the_state_of_the_trainer_is_a_copy() -> None:
    db = opened(CASES / "llamafactory_state")
    assert db.runs_df["format"].to_list() == ["hf_trainer"]
    assert "trainer_log.jsonl" in str(db.runs_df["metadata.also_in"].to_list())


def test_a_log_that_goes_on_after_the_last_checkpoint_is_read_instead_of_it(tmp_path: Path) -> None:
    source = CASES / "llamafactory_state" / "c-with-state"
    (tmp_path / "a" / "checkpoint-40").mkdir(parents=True)
    shutil.copy(source / "trainer_log.jsonl", tmp_path / "a")
    shutil.copy(source / "trainer_state.json", tmp_path / "a" / "checkpoint-40")
    db = opened(tmp_path)
    assert db.runs_df.select("run_id", "format").rows() == [("a/trainer_log.jsonl", "json_steps")]
    assert db.series_df.filter(metric="loss")["last_step"].to_list() == [120]


def lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def table(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (header, *(",".join(map(str, row)) for row in rows))))


def curve(level: float, n: int = 20) -> list[dict[str, float]]:
    return [{"step": i, "loss": level / (i + 1), "acc": level * i / 100} for i in range(n)]


def printed(rows: Iterable[dict[str, float]]) -> str:
    """A log of these rows, rounded as programs print them."""
    return "".join(f"INFO - step {int(r['step'])} loss {r['loss']:.5f} acc {r['acc']:.4f}\n" for r in rows)


def found(root: Path) -> dict[str, tuple[str, str]]:
    """Run -> its reader and the files that hold the same."""
    runs = opened(root).runs_df
    also = runs["metadata.also_in"] if "metadata.also_in" in runs.columns else [None] * runs.height
    return {r: (f, a or "") for r, f, a in zip(runs["run_id"], runs["format"], also, strict=True)}


@pytest.mark.parametrize("file", ["metrics.csv", "log.csv", "{split}_log.csv", "progress.csv"])
def test_a_table_in_a_folder_for_each_split_is_one_run(tmp_path: Path, file: str) -> None:
    for split, level in {"train": 1.0, "val": 2.0, "test": 3.0}.items():
        rows = ((i, level / (i + 1)) for i in range(6))
        table(tmp_path / "exp" / split / file.format(split=split), "epoch,loss", rows)
    (tmp_path / "exp" / "config.yaml").write_text("lr: 0.5\n")
    db = opened(tmp_path)
    assert db.runs_df.select("run_id", "lr").rows() == [("exp", 0.5)]
    wanted = {"exp train/loss": 1 / 6, "exp val/loss": 2 / 6, "exp test/loss": 3 / 6}
    assert ends(db) == pytest.approx(wanted)


def test_deepspeed_writes_a_table_for_each_metric_of_one_run(tmp_path: Path) -> None:
    for metric in ("lr", "train_loss", "elapsed_time_ms_forward"):
        rows = ((i * 8, len(metric) / (i + 1)) for i in range(6))
        table(tmp_path / "job" / f"Train_Samples_{metric}.csv", f"step,Train/Samples/{metric}", rows)
    db = opened(tmp_path)
    assert db.runs_df["run_id"].to_list() == ["job"]
    assert ends(db)["job Train/Samples/train_loss"] == pytest.approx(10 / 6)
    assert db.series_df["last_step"].to_list() == [40] * 3


def test_tables_named_like_metrics_are_one_run_and_tables_named_like_runs_are_not(tmp_path: Path) -> None:
    for metric in ("loss", "val_acc"):
        table(tmp_path / "a" / f"{metric}.csv", "step,value", ((i, len(metric) / (i + 1)) for i in range(5)))
    for run in ("lr0.1", "lr0.01"):
        table(tmp_path / "b" / f"{run}.csv", "step,loss", ((i, len(run) / (i + 1)) for i in range(5)))
    series = opened(tmp_path).series_df
    assert series.filter(run_id="a")["metric"].to_list() == ["loss", "val_acc"]
    assert series.filter(metric="loss")["run_id"].to_list() == ["a", "b/lr0.01.csv", "b/lr0.1.csv"]


@pytest.mark.parametrize(
    ("folders", "metrics"),
    [
        (("train", "metrics"), ["metrics/loss", "train/loss"]),
        (("train", "eval"), ["eval/loss", "train/loss"]),
        (("train", "validation", "test_unseen"), ["test_unseen/loss", "train/loss", "validation/loss"]),
        (("", "eval"), ["eval/loss", "loss"]),
        (("", "eval_holdout"), ["eval_holdout/loss", "loss"]),
        (("model", "model/eval"), ["eval/loss", "loss"]),
    ],
)
def test_event_files_of_one_training_are_one_run_with_prefixes(
    tmp_path: Path, folders: tuple[str, ...], metrics: list[str]
) -> None:
    for k, folder in enumerate(folders):
        (tmp_path / "exp" / folder).mkdir(parents=True, exist_ok=True)
        events = (wire.event(1.7e9 + i, i, wire.scalar("loss", (k + 1) / (i + 1))) for i in range(5))
        wire.event_file(tmp_path / "exp" / folder / "events.out.tfevents.1700000000.host.1.0", events)
    db = opened(tmp_path)
    assert db.runs_df.height == 1
    assert db.series_df["metric"].sort().to_list() == metrics


@pytest.mark.parametrize(
    ("text", "better"),
    [("e/train.log", "e/logs/metrics.jsonl"), ("e/logs/train.log", "e/metrics.jsonl"), ("e/out/a.log", "e/tb/m.jsonl")],
)
def test_what_was_printed_in_another_folder_of_a_training_is_a_copy(tmp_path: Path, text: str, better: str) -> None:
    lines(tmp_path / better, curve(1.2345))
    (tmp_path / text).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / text).write_text(printed(curve(1.2345)))
    runs = found(tmp_path)
    assert [(f, text in also) for f, also in runs.values()] == [("json_steps", True)]


def test_a_log_of_another_training_near_by_stays_a_run(tmp_path: Path) -> None:
    lines(tmp_path / "e" / "logs" / "metrics.jsonl", curve(1.2345))
    (tmp_path / "e" / "train.log").write_text(printed(curve(0.9876)))
    assert {f for f, _ in found(tmp_path).values()} == {"json_steps", "text_logs"}


def test_the_logs_of_jobs_are_copies_each_of_its_own_run(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    for k, level in enumerate((1.2345, 0.9876, 1.0101)):
        lines(tmp_path / f"run{k}" / "metrics.jsonl", curve(level))
        (tmp_path / "slurm" / f"slurm-{k}.out").write_text(printed(curve(level)))
    runs = found(tmp_path)
    assert {r: f"slurm-{r[-1]}.out" in also for r, (_, also) in runs.items()} == {f"run{k}": True for k in range(3)}


def test_a_copy_that_grows_stays_a_copy(tmp_path: Path) -> None:
    lines(tmp_path / "e" / "logs" / "metrics.jsonl", curve(1.2345))
    log = tmp_path / "e" / "train.log"
    log.write_text(printed(curve(1.2345)[:18]))
    db = opened(tmp_path)
    assert db.runs_df["run_id"].to_list() == ["e/logs"]
    log.write_text(printed(curve(1.2345)))
    lines(tmp_path / "e" / "logs" / "metrics.jsonl", curve(1.2345, 22))
    assert db.runs_df.select("run_id", "n_steps").rows() == [("e/logs", 22)]
    assert "train.log" in db.runs_df["metadata.also_in"][0]
    (tmp_path / "e" / "logs" / "metrics.jsonl").unlink()
    assert [(f, also) for f, also in found(tmp_path).values()] == [("text_logs", "")]
    assert db.runs_df["format"].to_list() == ["text_logs"]


def test_logs_of_a_sweep_beside_a_table_are_runs_and_not_its_copies(tmp_path: Path) -> None:
    for level in (0.5, 0.7, 0.9):
        (tmp_path / f"level{level}.log").write_text(printed(curve(level)))
    table(tmp_path / "log.csv", "epoch,loss", ((i, 3 / (i + 1)) for i in range(9)))
    assert sum(f == "text_logs" for f, _ in found(tmp_path).values()) == 3


def test_what_was_printed_beyond_the_last_checkpoint_is_read_and_the_checkpoint_is_its_copy(tmp_path: Path) -> None:
    rows = [{"loss": round(2 / (i + 1), 4), "learning_rate": 1e-4, "epoch": i / 10} for i in range(1, 19)]
    history = [{"step": i, **row} for i, row in enumerate(rows[:10], 1)]
    state = {"best_metric": None, "epoch": 1.0, "global_step": 10, "max_steps": 20, "log_history": history}
    (tmp_path / "e" / "checkpoint-10").mkdir(parents=True)
    (tmp_path / "e" / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state, indent=1))
    (tmp_path / "e" / "train.log").write_text("".join(f"{row}\n" for row in rows))
    db = opened(tmp_path)
    assert db.series_df.filter(metric="loss").select("run_id", "n", "last").rows() == [("e", 18, 0.1053)]
    assert "checkpoint-10" in db.runs_df["metadata.also_in"][0]
    (tmp_path / "e" / "train.log").write_text("".join(f"{row}\n" for row in rows[:10]))
    assert found(tmp_path)["e"][0] == "hf_trainer"


def history(first: int, level: float, n: int = 5) -> list[bytes]:
    rows = ({"loss": level - i / 10, "_step": first + i, "_timestamp": 1.7e9 + i} for i in range(n))
    return [wire.wandb_row(row) for row in rows]


@pytest.mark.parametrize("second", [0, 5])
def test_a_wandb_run_that_was_resumed_is_one_run_whose_steps_go_on(tmp_path: Path, second: int) -> None:
    place = tmp_path / "wandb"
    wire.wandb_file(place / "offline-run-20240101_000000-abc", "abc", [*history(0, 3.0), wire.wandb_exit(1)])
    wire.wandb_file(place / "offline-run-20240102_000000-abc", "abc", [*history(second, 1.0), wire.wandb_exit(0)])
    wire.wandb_file(place / "offline-run-20240103_000000-xyz", "xyz", [*history(0, 2.0), wire.wandb_exit(0)])
    db = opened(tmp_path)
    assert db.runs_df.select("run_id", "status").rows() == [
        ("offline-run-20240101_000000-abc", "finished"),
        ("offline-run-20240103_000000-xyz", "finished"),
    ]
    points = db.query_metrics(run_filter=["*abc"])
    assert points["step"].to_list() == list(range(10))
    assert points["value"].to_list() == pytest.approx([3.0, 2.9, 2.8, 2.7, 2.6, 1.0, 0.9, 0.8, 0.7, 0.6])


def test_a_wandb_run_that_is_resumed_later_keeps_its_name_and_goes_on(tmp_path: Path) -> None:
    wire.wandb_file(tmp_path / "wandb" / "run-20240101_000000-abc", "abc", history(0, 3.0))
    db = opened(tmp_path)
    before = db.runs_df["run_id"].to_list()
    wire.wandb_file(tmp_path / "wandb" / "run-20240102_000000-abc", "abc", history(3, 1.0))
    assert db.runs_df["run_id"].to_list() == before
    assert db.query_metrics()["step"].to_list() == [0, 1, 2, 3, 4, 5, 6, 7]
