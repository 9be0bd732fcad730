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
