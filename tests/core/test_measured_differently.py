"""Answers warn where the runs that they compare were not measured on the same thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.answers import Answer


def arms(setting: str, usual: object, other: object) -> list[Row]:
    """Two arms of four runs; the second has another value of the setting."""
    return [
        run(f"{arm}{seed}", {"arm": arm, "seed": seed, setting: value}, val_dice=[0.5 + 0.01 * seed + 0.1 * (arm == "deep")])
        for arm, value in (("base", usual), ("deep", other))
        for seed in range(4)
    ]  # fmt: skip


def warned(answer: Answer) -> list[str]:
    return [w for w in answer.basis.warnings if w.startswith("perhaps measured differently")]


def answers_of(db: ExperimentDB) -> list[Answer]:
    return [
        db.compare(hparam="arm"), db.compare("arm = 'deep'", "arm = 'base'"), db.rank("val/dice"), db.effects("val/dice"),
        db.overview(),
    ]  # fmt: skip


def test_every_comparison_warns_of_a_metric_that_is_computed_differently(tmp_path: Path) -> None:
    db = database(tmp_path, arms("metrics.empty_target_value", 0.0, 1.0))
    of_levels, of_sides, *others = (warned(answer) for answer in answers_of(db))
    assert of_levels == ["perhaps measured differently: metrics.empty_target_value is 1.0 in arm=deep, 0.0 in arm=base"]
    assert of_sides == ["perhaps measured differently: metrics.empty_target_value is 1.0 in a, 0.0 in b"]
    for found in others:
        assert found == ["perhaps measured differently: metrics.empty_target_value is 0.0 in arm=base, 1.0 elsewhere"]


@pytest.mark.parametrize(("setting", "usual", "other"), [
    ("data.val_web_glob", "v1/val_*.bin", "v2/val_*.bin"), ("splits_file", "v1.json", "v2.json"),
    ("eval.threshold", 0.5, 0.3), ("metric.average", "micro", "macro"), ("test_set", "2023", "2024"), ("dev_path", "a", "b"),
    ("evalNormalize", True, False),
])  # fmt: skip
def test_names_of_held_out_data_and_of_the_computation_of_metrics_are_known(
    tmp_path: Path, setting: str, usual: object, other: object
) -> None:
    (found,) = warned(database(tmp_path, arms(setting, usual, other)).compare(hparam="arm"))
    assert f"{setting} is " in found


@pytest.mark.parametrize("setting", [
    "eval_interval", "eval_batch_size", "eval_episodes", "val_frequency", "eval.every_n_steps", "optim.lr", "train_path",
    "early_stopping.metric", "validation.batch_size", "data.train_version",
])  # fmt: skip
def test_how_often_and_in_which_batches_is_measured_is_no_reason(tmp_path: Path, setting: str) -> None:
    assert warned(database(tmp_path, arms(setting, 1, 2)).compare(hparam="arm")) == []


def test_a_setting_of_the_measurement_that_defines_the_sides_is_named_once(tmp_path: Path) -> None:
    db = database(tmp_path, arms("splits_file", "v1.json", "v2.json"))
    assert warned(db.compare(hparam="splits_file")) == ["perhaps measured differently: splits_file defines the sides"]


def test_data_of_another_task_and_settings_that_are_matched_are_no_reason(tmp_path: Path) -> None:
    rows = [
        run(
            f"{task}-{arm}-{seed}",
            {"dataset": task, "test_file": f"{task}.csv", "arm": arm, "seed": seed},
            val_dice=[0.5 + 0.01 * seed + 0.1 * (arm == "deep")],
        )
        for task in ("cifar", "svhn") for arm in ("base", "deep") for seed in range(3)
    ]  # fmt: skip
    db = database(tmp_path, rows)
    assert [found for answer in answers_of(db) for found in warned(answer)] == []
