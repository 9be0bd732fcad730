"""Runs that hold the value of another run of their side tell no more than that run, in every interval of a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.planted import Row, database, run

from sweeplens import ExperimentDB

LR = (0.01, 0.1)
ENDS = {  # of each learning rate, by dropout and seed
    (0.0, 0.01): (0.70213, 0.70487, 0.70801), (0.0, 0.1): (0.70112, 0.69934, 0.70287),
    (0.2, 0.01): (0.69814, 0.69927, 0.69893), (0.2, 0.1): (0.72531, 0.72107, 0.72846),
}  # fmt: skip


def rows(*, copies: int) -> list[Row]:
    made = [
        run(f"lr{lr}_do{do}_s{seed}", {"lr": lr, "dropout": do, "seed": seed}, val_acc=[0.4, 0.6, end])
        for (do, lr), ends in ENDS.items()
        for seed, end in enumerate(ends)
    ]
    end = ENDS[0.0, 0.01][0]
    return made + [
        run(f"copy{i}", {"lr": 0.01, "dropout": 0.0, "seed": 0}, val_acc=[0.4, 0.6, end]) for i in range(copies)
    ]


@pytest.fixture
def copied(tmp_path: Path) -> ExperimentDB:
    return database(tmp_path, rows(copies=2))


def test_the_best_settings_of_two_sides_are_compared_without_copies(copied: ExperimentDB) -> None:
    table = copied.compare(hparam="dropout").tables["by_task"]
    (best,) = (row for row in table.iter_rows(named=True) if "each at its best" in row["task"])
    a, b = ENDS[0.2, 0.1], ENDS[0.0, 0.01]
    assert (best["n_a"], best["n_b"]) == (3, 3)
    assert best["p"] == pytest.approx(float(stats.ttest_ind(a, b, equal_var=False).pvalue), rel=1e-3)
    assert best["difference"] == pytest.approx(np.mean(a) - np.mean(b), rel=1e-4)


def test_copies_alone_give_no_spread_to_test_against(tmp_path: Path) -> None:
    """With one run in each cell, the error is the spread of the differences of the strata, also beside copies."""
    alone = [row for row in rows(copies=2) if "_s1" not in str(row["run_id"]) and "_s2" not in str(row["run_id"])]
    answer = database(tmp_path, alone).compare(hparam="dropout", metrics=["val/acc"])
    (row,) = answer.table.iter_rows(named=True)
    assert row["test"] == "blocked t"
    apart = [ENDS[0.2, lr][0] - ENDS[0.0, lr][0] for lr in LR]
    weights = np.array([3 / 4, 1 / 2])  # of 1 v 3 and 1 v 1 runs
    centre = float(np.average(apart, weights=weights))
    error = float(np.sqrt((weights * (np.array(apart) - centre) ** 2).sum() / weights.sum()))
    assert row["difference"] == pytest.approx(centre)
    assert row["p"] == pytest.approx(2 * float(stats.t.sf(abs(centre / error), 1)), rel=1e-6)


def test_the_levels_of_a_number_are_named_with_it_where_counts_stand_beside_them(copied: ExperimentDB) -> None:
    unlike = copied.compare(hparam="dropout").tables["unlike"]["text"].to_list()
    assert any("dropout=0 2 of 8, dropout=0.2 0 of 6" in text for text in unlike), unlike


def test_costs_in_all_are_those_of_every_run_also_without_a_value(tmp_path: Path) -> None:
    failed = run("lost", {"lr": 0.1, "dropout": 0.0, "seed": 7}, val_acc=[0.4, float("nan"), float("nan")])
    db = database(tmp_path, [*rows(copies=0), failed])
    assert db.cost("val/acc").notes[0].startswith("In all: 13 runs (1 without a value),")


def test_suggestions_name_runs_of_the_best_setting_that_have_no_value(tmp_path: Path) -> None:
    failed = run("lost", {"lr": 0.1, "dropout": 0.2, "seed": 7}, val_acc=[0.4, float("nan"), float("nan")])
    answer = database(tmp_path, [*rows(copies=0), failed]).suggest("val/acc")
    assert "1 of 4 runs of the best setting has no finite val/acc (lost)." in answer.notes
    assert [left.runs for left in answer.basis.left_out] == [("lost",)]
