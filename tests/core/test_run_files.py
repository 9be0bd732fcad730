"""The logs that one training writes to several files of its folder are one run, whatever their formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB

STEPS = range(1, 21)
TRAIN = {"csv": "step,loss\n" + "".join(f"{s},{1 / s}\n" for s in STEPS),
         "jsonl": "".join(json.dumps({"step": s, "loss": 1 / s}) + "\n" for s in STEPS)}  # fmt: skip
EVALUATION = {"csv": "step,acc\n" + "".join(f"{s},{s / 40}\n" for s in STEPS if s % 5 == 0),
              "jsonl": "".join(json.dumps({"step": s, "acc": s / 40}) + "\n" for s in STEPS if s % 5 == 0)}  # fmt: skip


def _database(root: Path, files: dict[str, str]) -> ExperimentDB:
    for seed in (1, 2):
        folder = root / f"run{seed}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"lr": 0.1, "seed": seed}))
        for name, text in files.items():
            (folder / name).write_text(text)
    return ExperimentDB(AnalysisConfig(experiment_dir=str(root), cache="memory"))


@pytest.mark.parametrize(("train", "evaluation", "prefix"), [
    ("progress.csv", "eval.csv", ""), ("train.csv", "eval.jsonl", "train/"), ("metrics.jsonl", "val.csv", ""),
    ("log.jsonl", "test.jsonl", ""), ("train_log.jsonl", "eval_log.csv", "train/"), ("history.csv", "validation.jsonl", ""),
])  # fmt: skip
def test_a_log_of_training_and_one_of_evaluation_are_one_run(
    tmp_path: Path, train: str, evaluation: str, prefix: str
) -> None:
    formats = [Path(n).suffix[1:] for n in (train, evaluation)]
    db = _database(tmp_path, {train: TRAIN[formats[0]], evaluation: EVALUATION[formats[1]]})
    assert db.runs_df["run_id"].to_list() == ["run1", "run2"]
    assert db.runs_df["lr"].to_list() == [0.1, 0.1]
    rows = {r["metric"]: r for r in db.series_df.filter(run_id="run1").to_dicts()}
    split = "eval" if evaluation.startswith("eval") else evaluation.partition(".")[0].replace("validation", "val")
    assert set(rows) == {f"{prefix}loss", f"{split}/acc"}
    assert rows[f"{prefix}loss"]["n"] == 20
    assert rows[f"{split}/acc"]["last"] == 0.5
    assert rows[f"{split}/acc"]["last_step"] == 20


def test_what_the_program_printed_beside_them_is_a_copy(tmp_path: Path) -> None:
    printed = "".join(f"[2026-11-01 10:{s:02}:00] step {s} loss {1 / s:.4f}\n" for s in STEPS)
    db = _database(tmp_path, {"progress.csv": TRAIN["csv"], "eval.csv": EVALUATION["csv"], "slurm-123.out": printed})
    assert db.runs_df.height == 2


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("lr01.csv", "eval.csv"), ("progress.csv", "metrics.jsonl")])
def test_files_whose_names_do_not_say_that_they_belong_together_stay_runs_of_their_own(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    db = _database(tmp_path, {n: TRAIN[n.rpartition(".")[2]] for n in names})
    assert set(db.runs_df["format"].to_list()).isdisjoint({"run_files"})


def test_a_file_that_grows_is_read_to_its_end(tmp_path: Path) -> None:
    db = _database(tmp_path, {"train.csv": TRAIN["csv"], "eval.jsonl": EVALUATION["jsonl"]})
    assert db.series_df.filter(run_id="run1", metric="eval/acc")["n"].item() == 4
    with (tmp_path / "run1" / "eval.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": 25, "acc": 0.9}) + "\n")
    db.load_experiments()
    assert db.series_df.filter(run_id="run1", metric="eval/acc")["last"].item() == 0.9
