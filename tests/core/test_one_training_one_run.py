"""One training is one run, however many files its program wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

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
