"""Which hyperparameters only mark repetitions of one setting, by name and value."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.planted import database, run

from sweeplens import AnalysisConfig, ExperimentDB

SEEDS = (
    "seed SEED random_seed manual_seed rng run rep replicate init seed_everything train_seed env_seed torch_seed trainer.seed"
    " training/seed cv_fold fold_idx PYTHONHASHSEED random_state model.random_state data_seed numpy_seed globalSeed trial"
).split()


def replicates(path: Path, name: str, values: list[object]) -> bool:
    db = database(
        path, [run(f"r{lr}-{v}", {"lr": lr, name: v}, val_acc=[0.1, 0.2 + lr]) for lr in (0.1, 0.2) for v in values]
    )
    table = db.find_varying()
    return dict(table.select("hparam", "replicate").iter_rows())[name]


@pytest.mark.parametrize("name", SEEDS)
def test_names_of_seeds_and_repetitions_make_no_group(tmp_path: Path, name: str) -> None:
    assert replicates(tmp_path, name, [0, 1, 2])


@pytest.mark.parametrize(
    "name", ["n_seeds", "num_folds", "k_fold", "run_length", "warmup_steps", "init_scale", "trials_per_arm"]
)
def test_names_that_only_look_like_seeds_are_settings(tmp_path: Path, name: str) -> None:
    assert not replicates(tmp_path, name, [1, 2, 4])


@pytest.mark.parametrize("name", ["init", "run", "rng"])
def test_a_name_that_may_mean_a_method_is_a_setting_where_its_values_are_words(tmp_path: Path, name: str) -> None:
    assert not replicates(tmp_path, name, ["xavier", "kaiming", "orthogonal"])


def test_the_configuration_says_what_else_marks_repetitions(tmp_path: Path) -> None:
    rows = [run(f"r{lr}-{v}", {"lr": lr, "machine": v}, val_acc=[0.1, 0.2 + lr]) for lr in (0.1, 0.2) for v in (1, 2)]
    database(tmp_path, rows)
    db = ExperimentDB(AnalysisConfig(replicate_hparams=("machine",), cache="memory"), base_path=tmp_path)
    assert db.rank("val/acc").table.height == 2


IDENTIFIERS = {
    "pid": [4101, 4102, 4103], "port": [29500, 29501, 29502], "slurm_job_id": [71, 72, 73],
    "trial_number": [0, 1, 2], "optuna_trial": [4, 7, 9], "hpo.trial_index": [0, 1, 2],
    "run_number": [5, 6, 7], "task_id": [0, 1, 2], "array_index": [3, 4, 5], "timestamp": [1.7e9, 1.71e9, 1.72e9],
    "hostname": ["node1", "node2", "node2"], "gpu": [0, 1, 3], "num_workers": [4, 8, 16],
    "git_sha": ["a1b2", "a1b2", "c3d4"], "output_dir": ["out/1", "out/2", "out/3"], "dist.master_port": [1, 2, 3],
    "trainer.device": ["cuda:0", "cuda:1", "cuda:2"], "job_id": ["x", "y", "z"], "SLURM_ARRAY_TASK_ID": [1, 2, 3],
    "commit": ["a", "b", "b"], "replica": [0, 1, 2], "replicate": [0, 1, 2], "bootstrap": [0, 1, 2], "rep": [1, 2, 3],
    "seed": ["alpha", "beta", "gamma"],
}  # fmt: skip


def swept(path: Path, name: str, values: list[object]) -> ExperimentDB:
    runs = (
        run(f"lr{lr}_s{k}", {"lr": lr, name: v}, val_acc=[0.1, 0.2 + lr + k / 1000])
        for lr in (0.1, 0.2)
        for k, v in enumerate(values)
    )
    return database(path, list(runs))


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_identifiers_and_repetitions_define_no_groups(tmp_path: Path, name: str) -> None:
    db = swept(tmp_path, name, IDENTIFIERS[name])
    ranked = db.rank("val/acc").table
    assert ranked["n"].to_list() == [3, 3]
    assert ranked["lr"].to_list() == [0.2, 0.1]
    assert db.compare(hparam="lr", metrics="val/acc").table.height
    assert name not in db.effects("val/acc").table["hparam"].to_list()


def test_an_identifier_defines_groups_where_it_is_asked_for_or_called_a_setting(tmp_path: Path) -> None:
    db = swept(tmp_path, "num_workers", [4, 8, 16])
    assert db.rank("val/acc", hparams=["num_workers"]).table["num_workers"].sort().to_list() == [4, 8, 16]
    config = AnalysisConfig(cache="memory", replicate_hparams=("seed", "!num_workers"))
    assert ExperimentDB(config, base_path=tmp_path).rank("val/acc").table.height == 6
