"""Comparisons that are narrowed: by a condition on all runs, and by conditions that both sides share."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal
from support.planted import database, run

from sweeplens import ExperimentDB

SCALE = {"Ant-v4": 5000.0, "Hopper-v4": 300.0, "Hopper-v5": 400.0}


def returns(tmp_path: Path) -> ExperimentDB:
    """Two algorithms over three tasks of unlike scales; the first is 4 % better in each."""
    return database(
        tmp_path,
        [
            run(
                f"{algo}_{env}_{seed}",
                {"algo": algo, "env_id": env, "lr": 0.1, "seed": seed},
                eval_return=[scale * (1.04 if algo == "sac" else 1.0) * (1 + 0.01 * seed)],
            )
            for algo in ("sac", "ppo")
            for env, scale in SCALE.items()
            for seed in range(4)
        ],
    )


@pytest.mark.parametrize(
    "shared",
    ["env_id LIKE '%-v4'", "env_id IN ('Ant-v4', 'Hopper-v4')", "env_id <> 'Hopper-v5' AND seed < 9", "lr = 0.1"],
)
def test_a_condition_that_both_sides_share_narrows_them_and_is_matched_as_before(tmp_path: Path, shared: str) -> None:
    db = returns(tmp_path)
    within = db.compare(f"algo = 'sac' AND {shared}", f"algo = 'ppo' AND {shared}")
    plain = db.compare("algo = 'sac'", "algo = 'ppo'", where=shared)
    assert_frame_equal(within.table, plain.table)
    assert any(note.startswith("Matched on env_id") for note in within.notes)
    assert any("values are scaled within each task" in note for note in within.notes)


def test_two_hyperparameters_that_define_the_sides_together_are_not_matched(tmp_path: Path) -> None:
    rows = [
        run(f"r{lr}_{size}_{seed}", {"lr": lr, "size": size, "depth": depth, "seed": seed}, val_acc=[lr * size + depth])
        for lr in (1, 2, 4)
        for size in (1, 2, 4)
        for depth in (1, 2)
        for seed in (0, 1)
    ]
    answer = database(tmp_path, rows).compare("lr * size >= 8", "lr * size < 4", metrics=["val/acc"])
    assert any(note.startswith("Matched on depth") for note in answer.notes)


def test_levels_are_compared_among_the_runs_of_a_condition(tmp_path: Path) -> None:
    db = returns(tmp_path)
    answer = db.compare(hparam="algo", where="env_id LIKE 'Hopper%'", metrics=["eval/return"])
    assert answer.basis.runs_used == 16
    assert "where=\"env_id LIKE 'Hopper%'\"" in answer.basis.python
    strata = answer.tables["strata"]["stratum"].to_list()
    assert strata == ["env_id=Hopper-v4", "env_id=Hopper-v5"]


def test_runs_that_are_equal_in_most_settings_are_matched_in_these_and_the_rest_is_named(tmp_path: Path) -> None:
    rows = [
        run(
            f"{teacher}_{size}_{seed}",
            {"teacher": teacher, "size": size, "loader": loader, "seed": seed},
            val_acc=[0.5 + 0.1 * size + (0.02 if teacher == "none" else 0.03) + 0.001 * seed],
        )
        for teacher, loaders in (("none", ("a1", "b2", "b2")), ("big", ("b2", "a1", "a1")))
        for size, loader in enumerate(loaders)
        for seed in range(4)
    ]
    answer = database(tmp_path, rows).compare("teacher = 'big'", "teacher = 'none'")
    assert any(note.startswith("Matched on size: ") for note in answer.notes)
    assert any("also differ in loader, which is not matched" in note for note in answer.notes)
    assert answer.table["difference"][0] == pytest.approx(0.01)


def test_sides_that_are_equal_over_strata_that_disagree_are_so_on_average_only(tmp_path: Path) -> None:
    rows = [
        run(
            f"{opt}_{lr}_{seed}",
            {"opt": opt, "lr": lr, "seed": seed + 10 * (opt == "b")},
            val_acc=[0.8 + sign * 0.01 * (opt == "a") + 0.001 * ((seed * 7 + len(opt)) % 5)],
        )
        for lr, sign in ((0.1, 1), (0.2, -1))
        for opt in "ab"
        for seed in range(6)
    ]
    answer = database(tmp_path, rows, equal_within={"val/acc": 0.01}).compare("opt = 'a'", "opt = 'b'")
    verdict = answer.table["verdict"][0]
    assert verdict.startswith("equal within 0.01 (")
    assert "on average, as strata disagree: the 90 % interval" in verdict
