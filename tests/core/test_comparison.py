"""`db.compare` on the corpus and on sweeps whose truth is planted."""

from __future__ import annotations

import json
import math
import os
import re
import statistics as plain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.answers import Answer
from sweeplens.errors import InputError, UnknownNameError

CORPUS = Path(os.environ.get("SWEEPLENS_CORPUS", "nowhere"))


def row(answer: Answer, metric: str = "val/acc") -> dict[str, Any]:
    return next(r for r in answer.table.iter_rows(named=True) if r["metric"] == metric)


def sweep(a: list[float], b: list[float], *, apart: bool = False) -> list[Row]:
    """Two learning rates; the seeds are the same on both sides, unless they are to be ``apart``."""
    return [
        *(run(f"a{s}", {"lr": 0.1, "seed": s}, val_acc=[v]) for s, v in enumerate(a)),
        *(run(f"b{s}", {"lr": 0.2, "seed": s + 100 * apart}, val_acc=[v]) for s, v in enumerate(b)),
    ]


@pytest.mark.skipif(not (CORPUS / "native_steps").is_dir(), reason="SWEEPLENS_CORPUS does not name the corpus")
def test_two_learning_rates_of_the_corpus_are_compared_within_each_batch_size() -> None:
    truth = json.loads((CORPUS / "native_steps" / "expected.json").read_text(encoding="utf-8"))["runs"]
    cells: dict[tuple[float, int], list[float]] = {}
    for one in truth.values():
        known = one["hyperparameters"]
        if known["notes"] == "grid" and known["optim.lr"] in (0.1, 0.01):
            cells.setdefault((known["optim.lr"], known["data.batch_size"]), []).append(
                one["metrics"]["val/loss"]["last"]
            )
    db = ExperimentDB(base_path=CORPUS / "native_steps" / "logs")
    found = db.compare('"optim.lr" = 0.1', '"optim.lr" = 0.01', metrics=["val/loss"])
    got = row(found, "val/loss")
    assert (got["test"], got["n_a"], got["n_b"]) == ("blocked t", 4, 4)
    sizes = sorted({size for _, size in cells})
    gaps = [plain.fmean(cells[0.1, size]) - plain.fmean(cells[0.01, size]) for size in sizes]
    within = [plain.fmean(plain.variance(cells[lr, size]) for size in sizes) for lr in (0.1, 0.01)]  # two runs a cell
    error = math.sqrt(sum(within) / 2 / len(sizes))
    degrees = sum(within) ** 2 / sum(v**2 / 2 for v in within)  # Satterthwaite: the sides need no equal spreads
    half = stats.t.ppf(0.975, degrees) * error
    gap = plain.fmean(gaps)
    assert (got["difference"], got["ci95_low"], got["ci95_high"]) == pytest.approx((gap, gap - half, gap + half))
    assert got["p"] == pytest.approx(2 * stats.t.sf(abs(gap) / error, degrees))
    assert found.tables["hyperparameters"].rows() == [("optim.lr", "0.1", "0.01")]
    assert found.tables["strata"]["difference"].to_list() == pytest.approx(gaps)


def test_the_same_seeds_on_both_sides_are_paired_which_finds_what_the_spread_between_seeds_hides(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    seeds = rng.normal(0.8, 0.1, 6)
    a, b = (list(seeds + shift + rng.normal(0, 0.005, 6)) for shift in (0.03, 0.0))
    answer = database(tmp_path, sweep(a, b)).compare("a*", "b*")
    found, theirs = row(answer), stats.ttest_rel(a, b)
    assert found["test"] == "paired t"
    assert found["p"] == pytest.approx(theirs.pvalue)
    assert found["other_p"] > 0.5
    assert found["verdict"].startswith("different: a is better, a is 0.0")
    assert answer.tables["pairs"].columns == ["metric", "seed", "run_a", "run_b", "value_a", "value_b", "difference"]
    assert answer.tables["pairs"]["run_b"].to_list() == [f"b{s}" for s in range(6)]
    assert list(answer.tables)[-1] == "pairs"


def test_other_seeds_on_each_side_are_tested_by_welch_with_mann_whitney_beside_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    a, b = list(rng.normal(0.84, 0.02, 5)), list(rng.normal(0.8, 0.05, 7))
    found = row(database(tmp_path, sweep(a, b, apart=True)).compare("lr = 0.1", "lr = 0.2"))
    theirs = stats.ttest_ind(a, b, equal_var=False)
    pooled = math.sqrt((4 * plain.variance(a) + 6 * plain.variance(b)) / 10)
    assert (found["test"], found["other_test"]) == ("Welch", "Mann-Whitney")
    assert (found["p"], found["other_p"]) == pytest.approx((theirs.pvalue, stats.mannwhitneyu(a, b).pvalue))
    assert found["effect_size"] == pytest.approx((plain.fmean(a) - plain.fmean(b)) / pooled * (1 - 3 / 39))
    assert found["p_adjusted"] == found["p"]
    assert found["verdict"].startswith(("not told apart", "equal within"))
    assert found["seeds_needed"] is None  # the interval holds 0: how large the effect is, is not known
    assert found["detectable"] > abs(found["difference"])


def test_one_run_a_side_is_no_test_and_is_held_against_the_seed_noise_seen_elsewhere(tmp_path: Path) -> None:
    others = [
        run(f"o{lr}-{s}", {"lr": lr, "seed": s}, val_acc=[v]) for lr in (1, 2) for s, v in enumerate((0.8, 0.82, 0.81))
    ]
    near = [run("one", {"lr": 3, "seed": 0}, val_acc=[0.9]), run("two", {"lr": 4, "seed": 0}, val_acc=[0.888])]
    db = database(tmp_path, [*others, *near, run("far", {"lr": 5, "seed": 0}, val_acc=[0.5])])
    noise = stats.t.ppf(0.975, 4) * 0.01 * math.sqrt(2)
    found = row(db.compare("one", "two"))
    assert found["verdict"] == (
        f"1 run a side: no test possible, difference 0.012 is inside the seed noise {noise:.4g} of this sweep"
    )
    assert (found["test"], found["p"], found["effect_size"], found["ci95_low"]) == ("none", None, None, None)
    assert "is outside the seed noise" in row(db.compare("one", "far"))["verdict"]
    assert row(db.compare("one", "o1-*"))["verdict"].startswith("1 run on side a, 3 on the other: no test possible")


def test_one_run_a_side_where_nothing_was_repeated_says_that_the_noise_is_not_known(tmp_path: Path) -> None:
    found = row(database(tmp_path, sweep([0.9], [0.1])).compare("a0", "b0"))
    assert found["verdict"].startswith("1 run a side: no test possible")
    assert found["verdict"].endswith("the seed noise is unknown")
    assert found["seeds_needed"] is None


def test_sides_without_any_spread_are_not_called_different(tmp_path: Path) -> None:
    paired = row(database(tmp_path / "p", sweep([0.9] * 3, [0.8] * 3)).compare("a*", "b*"))
    apart = row(database(tmp_path / "q", sweep([0.9] * 3, [0.8] * 3, apart=True)).compare("a*", "b*"))
    for found in (paired, apart):
        assert found["verdict"].startswith("no test possible")
        assert (found["p"], found["p_adjusted"]) == (None, None)


@pytest.mark.parametrize("apart", [False, True])
def test_two_hundred_sweeps_keep_to_five_percent_false_and_fifty_find_three_deviations_in_ninety_five_percent(
    tmp_path: Path, apart: bool
) -> None:
    rng = np.random.default_rng(77)
    runs = [
        run(
            f"{sweep}-{side}-{seed}",
            {"sweep": sweep, "side": side, "seed": seed + 5 * side * apart},
            val_acc=[float(rng.normal())],
            val_loss=[float(rng.normal()) + 3 * side],
        )
        for sweep in range(200)
        for side in (0, 1)
        for seed in range(5)
    ]
    db = database(tmp_path, runs)
    false, found = (
        sum(
            row(db.compare(f"{i}-0-*", f"{i}-1-*", metrics=[metric]), metric)["verdict"].startswith("different")
            for i in range(sweeps)
        )
        for metric, sweeps in (("val/acc", 200), ("val/loss", 50))
    )
    assert false <= 10
    assert found >= 48


def test_the_verdict_rests_on_holm_over_the_metrics_and_a_metric_without_a_goal_is_not_among_them(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(3)
    runs = [
        run(
            f"{side}{s}",
            {"lr": side, "seed": s},
            val_acc=[float(rng.normal(0.05 * (side == "a"), 0.03))],
            val_loss=[float(rng.normal(0.5 * (side == "a"), 0.1))],
            zeta=[float(rng.normal())],
            val_f1=[float(rng.normal())],
        )
        for side in "ab"
        for s in range(6)
    ]
    db = database(tmp_path, runs)
    answer = db.compare("a*", "b*")
    p = {r["metric"]: r["p"] for r in answer.table.iter_rows(named=True)}
    adjusted = dict(zip(answer.table["metric"], answer.table["p_adjusted"], strict=True))
    assert answer.table["metric"].to_list() == ["val/acc", "val/f1", "val/loss"]
    assert adjusted["val/acc"] == p["val/acc"]  # the first stands alone
    assert any("Not compared unless named, because their goal is unknown: zeta" in note for note in answer.notes)
    asked = db.compare("a*", "b*", metrics=["val/acc", "val/loss", "val/f1", "zeta"]).table
    p, adjusted = (dict(asked.select("metric", c).iter_rows()) for c in ("p", "p_adjusted"))
    low, high = sorted((p["val/loss"], p["val/f1"]))
    assert adjusted["val/acc"] == p["val/acc"]
    assert min(adjusted["val/loss"], adjusted["val/f1"]) == pytest.approx(min(1, 2 * low))
    assert max(adjusted["val/loss"], adjusted["val/f1"]) == pytest.approx(max(min(1, 2 * low), high))
    assert adjusted["zeta"] == p["zeta"]
    assert row(answer, "val/loss")["verdict"].startswith("different: b is better, a is 0.")
    assert dict(asked.select("metric", "goal").iter_rows())["zeta"] == "unknown"


def test_the_printed_difference_is_within_its_interval_for_any_values(tmp_path: Path) -> None:
    a = [0.81, 0.82, 0.83, 0.82, 0.81, 0.82, 9.0, 0.815]
    answer = database(tmp_path, sweep(a, [0.8] * 8)).compare("a*", "b*")
    found = row(answer)
    assert found["ci95_low"] < found["difference"] < found["ci95_high"]
    assert not found["verdict"].startswith("different")
    assert any("without outlier a6" in note for note in answer.notes)
    assert any(note.startswith("Without a6 the difference is 0.01") for note in answer.notes)


def test_ten_seeds_at_1_against_ten_at_0_are_different_by_counting(tmp_path: Path) -> None:
    found = row(database(tmp_path, sweep([1.0] * 10, [0.0] * 10)).compare("a*", "b*"))
    assert found["verdict"].startswith("different: a is better, a is 1 higher")
    assert (found["test"], found["p"]) == ("exact permutation", pytest.approx(2 / math.comb(20, 10)))


def test_seeds_are_not_paired_where_equal_numbers_share_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    a, b = list(rng.normal(0.8, 0.05, 6)), list(rng.normal(0.7, 0.05, 6))
    answer = database(tmp_path, sweep(a, b)).compare("a*", "b*")
    assert row(answer)["test"] == "Welch"
    assert row(answer)["other_p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert any("too weak for a paired test" in note for note in answer.notes)


def decay(tmp_path: Path, *, effect: float = 0.02, confounded: bool = False) -> ExperimentDB:
    """Weight decay over four learning rates that matter far more than it, three seeds in each cell."""
    rng = np.random.default_rng(21)
    rows = [
        run(
            f"wd{wd}-lr{lr}-s{s}",
            {"wd": wd, "lr": lr, "seed": s} | ({"aug": wd > 0} if confounded else {}),
            val_acc=[float(0.5 + 0.1 * i + effect * (wd > 0) + rng.normal(0, 0.005))],
        )
        for wd in (0.0, 0.1)
        for i, lr in enumerate((1, 2, 3, 4))
        for s in range(3)
    ]
    return database(tmp_path, rows)


def test_conditions_are_matched_on_what_else_varies_and_the_pooled_difference_is_that_of_a_linear_model(
    tmp_path: Path,
) -> None:
    db = decay(tmp_path)
    answer = db.compare("wd > 0", "wd = 0")
    found = row(answer)
    table = db.summarize(["wd", "lr", "seed"], metrics=["val/acc"]).table
    values = dict(table.select(pl.concat_str("wd", "lr", "seed", separator="|"), "mean").iter_rows())
    y = np.array([values[k] for k in sorted(values)])
    wd, lr = (np.array([float(k.split("|")[i]) for k in sorted(values)]) for i in (0, 1))
    design = np.column_stack([wd > 0, *(lr == v for v in (1, 2, 3, 4))]).astype(float)
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    assert found["difference"] == pytest.approx(beta[0])
    assert found["test"] == "blocked t"
    assert found["ci95_low"] < 0.02 < found["ci95_high"]
    assert found["ci95_high"] - found["ci95_low"] < 0.02  # pooled over learning rates it would be ten times as wide
    assert found["verdict"].startswith("different: a is better")
    assert found["seeds_needed"] < 30
    strata = answer.tables["strata"]
    assert strata["stratum"].to_list() == ["lr=1", "lr=2", "lr=3", "lr=4"]
    assert strata["difference"].mean() == pytest.approx(found["difference"])
    assert any("Matched on lr: difference is pooled over 4 strata" in note for note in answer.notes)


def test_a_note_warns_of_strata_that_disagree(tmp_path: Path) -> None:
    rng = np.random.default_rng(22)
    rows = [
        run(
            f"wd{wd}-lr{lr}-s{s}",
            {"wd": wd, "lr": lr, "seed": s},
            val_acc=[float(0.5 + 0.1 * wd * (-1) ** lr + rng.normal(0, 0.01))],
        )
        for wd in (0, 1)
        for lr in (1, 2)
        for s in range(4)
    ]
    answer = database(tmp_path, rows).compare("wd = 1", "wd = 0")
    assert row(answer)["p_disagree"] < 0.01
    assert any(note.startswith("Strata disagree") for note in answer.notes)


def test_hyperparameters_that_change_with_the_sides_are_confounded(tmp_path: Path) -> None:
    answer = decay(tmp_path, confounded=True).compare("wd > 0", "wd = 0")
    assert any("also differ in aug, which is not matched" in note for note in answer.notes)


def test_tasks_times_seeds_without_any_effect_are_rarely_called_different(tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    false = 0
    for i in range(30):
        rows = [
            run(f"{algo}-{env}-{s}", {"algo": algo, "env": env, "seed": s}, val_acc=[float(10 * env + rng.normal())])
            for algo in "ab" for env in range(4) for s in range(3)
        ]  # fmt: skip
        false += row(database(tmp_path / str(i), rows, cache="memory").compare("algo = 'a'", "algo = 'b'"))[
            "verdict"
        ].startswith("different")
    assert false <= 5


def test_a_run_whose_partner_has_no_value_is_left_out_and_named(tmp_path: Path) -> None:
    runs = sweep([0.9, 0.91, 0.92, 0.93], [0.8, 0.82, 0.81, math.nan])
    answer = database(tmp_path, runs).compare("a*", "b*")
    assert row(answer)["n_a"] == row(answer)["n_b"] == 3
    assert {(e.reason, e.runs) for e in answer.basis.left_out} == {
        ("val/acc: last value is not finite", ("b3",)),
        ("val/acc: the run with the same seed on the other side has no value", ("a3",)),
    }


def test_seeds_that_occur_twice_on_a_side_are_not_paired(tmp_path: Path) -> None:
    runs = [
        run(f"{lr}-{wd}-{s}", {"lr": lr, "wd": wd + lr, "seed": s}, val_acc=[0.1 * lr + 0.01 * s + 0.001 * wd])
        for lr in (1, 2)
        for wd in (0, 10)
        for s in (0, 1)
    ]
    db = database(tmp_path, runs)
    assert row(db.compare("lr = 1", "lr = 2"))["test"] == "Welch"
    assert db.compare("lr = 1", "lr = 2").tables["pairs"].height == 0


def test_only_what_differs_is_listed_seeds_included_where_they_differ(tmp_path: Path) -> None:
    runs = [
        run(
            f"{side}{s}",
            {"optim": {"lr": lr, "name": "sgd"}, "drop": None if lr == 1 else 0.5, "bs": 8 * s, "seed": s + lr},
            val_acc=[s / 9 + lr],
        )
        for side, lr in (("a", 1), ("b", 2))
        for s in range(3)
    ]
    table = database(tmp_path, runs).compare("a*", "b*").tables["hyperparameters"]
    assert sorted(table.rows()) == [
        ("drop", "(not set)", "0.5"),
        ("optim.lr", "1", "2"),
        ("seed", "1, 2, 3", "2, 3, 4"),
    ]


def test_the_budget_table_compares_the_best_so_far_where_every_run_still_ran(tmp_path: Path) -> None:
    runs = [
        run("a0", {"lr": 1, "seed": 0}, val_acc=[0.1, 0.5, 0.4, 0.9], epoch=[0, 1, 2, 3]),
        run("a1", {"lr": 1, "seed": 1}, val_acc=[0.2, 0.3, 0.6], epoch=[0, 1, 2]),
        run("b0", {"lr": 2, "seed": 0}, val_acc=[0.3, 0.2, 0.1, 0.2, 0.7], epoch=[0, 0, 1, 1, 2]),
    ]
    db = database(tmp_path, runs)
    by_step = db.compare("a*", "b*", metrics=["val/acc"], threshold=0.6).tables["budget"].row(0, named=True)
    assert (by_step["budget"], by_step["best_a"], by_step["best_b"]) == (2.0, pytest.approx(0.55), pytest.approx(0.3))
    assert (by_step["n_reached_a"], by_step["reached_at_a"], by_step["reached_at_b"]) == (2, 2.5, 4.0)
    by_epoch = db.compare("a*", "b*", metrics=["val/acc"], axis="epoch").tables["budget"].row(0, named=True)
    assert (by_epoch["axis"], by_epoch["budget"], by_epoch["best_b"]) == ("epoch", 2.0, pytest.approx(0.7))
    assert by_epoch["threshold"] == pytest.approx(0.6)  # what every run reached
    never = db.compare("a*", "b*", metrics=["val/acc"], threshold=0.8).tables["budget"].row(0, named=True)
    assert (never["n_reached_a"], never["reached_at_a"], never["n_reached_b"], never["reached_at_b"]) == (
        1,
        None,
        0,
        None,
    )


def test_wall_time_is_counted_from_each_runs_first_point(tmp_path: Path) -> None:
    for name, lr, pace in (("a", 1, 1.0), ("b", 2, 2.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"lr": lr}), encoding="utf-8")
        rows = [{"step": i, "timestamp": 1.7e9 + 5000 * lr + pace * i, "val/acc": 0.1 * (i + 1)} for i in range(5)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    found = ExperimentDB(base_path=tmp_path).compare("a", "b", axis="wall_time").tables["budget"].row(0, named=True)
    assert found["budget"] == 4.0
    assert (found["best_a"], found["best_b"]) == (pytest.approx(0.5), pytest.approx(0.3))
    assert (found["reached_at_a"], found["reached_at_b"]) == (4.0, 8.0)


def test_sides_can_be_an_id_a_list_a_glob_or_a_condition_and_an_id_with_an_equals_sign_is_an_id(tmp_path: Path) -> None:
    runs = [run(f"lr={lr},seed={s}", {"lr": lr, "seed": s}, val_acc=[lr + 0.01 * s]) for lr in (1, 2) for s in range(3)]
    db = database(tmp_path, runs)
    ways: list[str | list[str]] = ["lr = 1", "lr=1,*", ["lr=1,seed=0", "lr=1,seed=[12]"]]
    plain_ids = database(tmp_path / "plain", sweep([0.9, 0.8], [0.7, 0.6]))
    assert row(plain_ids.compare("a0, a1", "b*"))["n_a"] == 2
    for way in ways:
        assert row(db.compare(way, "lr = 2"))["n_a"] == 3
    assert row(db.compare("lr=1,seed=0", "lr=2,seed=0"))["n_a"] == 1
    answer = db.compare(["lr=1,*"], "lr = 2")
    assert answer.basis.runs_matched == answer.basis.runs_used == 6
    again = eval(answer.basis.python, {"db": db})  # noqa: S307 - our own line, which is what is tested
    assert again.table.equals(answer.table)


def test_an_empty_unknown_or_overlapping_side_is_an_error_with_a_reason(tmp_path: Path) -> None:
    db = database(tmp_path, sweep([0.9, 0.8], [0.7, 0.6]))
    with pytest.raises(UnknownNameError, match="No run 'a9'"):
        db.compare("a9", "b*")
    with pytest.raises(InputError, match="Side b: no run matches 'lr > 5'"):
        db.compare("a*", "lr > 5")
    with pytest.raises(InputError, match="2 runs are on both sides"):
        db.compare("a*", "lr < 1")
    with pytest.raises(InputError, match="Side a is empty"):
        db.compare([], "b*")


def test_a_metric_of_one_side_alone_is_named_and_not_compared(tmp_path: Path) -> None:
    runs = sweep([0.9, 0.8], [0.7, 0.6])
    runs.append(run("a2", {"lr": 0.1, "seed": 2}, val_acc=[0.9], val_f1=[0.5]))
    db = database(tmp_path, runs)
    answer = db.compare("a*", "b*")
    assert answer.table["metric"].to_list() == ["val/acc"]
    assert "Only a logged val/f1." in answer.notes
    asked = db.compare("a*", "b*", metrics=["val/f1"])
    assert asked.table.height == 0
    assert any("one side has no usable value" in note for note in asked.notes)
    assert [e.reason for e in asked.basis.left_out] == ["val/f1: not logged"]


def test_values_near_the_end_of_the_numbers_give_no_test_rather_than_an_error(tmp_path: Path) -> None:
    db = database(tmp_path, sweep([1e308, -1e308, 1e300], [0.7, 0.6, 0.8]))
    assert row(db.compare("a*", "b*"))["verdict"].startswith("no test possible")
    assert row(db.compare("a0", "b0"))["n_a"] == 1


def test_the_levels_of_a_hyperparameter_are_each_compared_with_the_one_that_switches_it_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(41)
    rows = [
        run(
            f"wd{wd}-lr{lr}-s{s}",
            {"wd": wd, "lr": lr, "seed": s},
            val_acc=[float(0.5 + 0.1 * lr + 0.2 * wd + rng.normal(0, 0.005))],
        )
        for wd in (0.1, 0.0, 0.2)
        for lr in (1, 2, 3)
        for s in range(3)
    ]
    db = database(tmp_path, rows)
    answer = db.compare(hparam="wd")
    assert answer.table["level"].to_list() == ["0.1", "0.2"]
    assert answer.table["difference"].to_list() == pytest.approx([0.02, 0.04], abs=0.005)
    assert all(v.startswith("different: a is better") for v in answer.table["verdict"])
    assert answer.tables["strata"].height == 6
    assert answer.basis.runs_used == 27
    same = db.compare("wd = 0.1", "wd = 0", metrics=["val/acc"])
    assert row(same)["difference"] == pytest.approx(answer.table["difference"][0])
    again = eval(answer.basis.python, {"db": db})  # noqa: S307 - our own line, which is what is tested
    assert again.table.equals(answer.table)


def test_sides_beside_a_hyperparameter_or_too_many_levels_are_an_error_with_a_reason(tmp_path: Path) -> None:
    rows = [run(f"r{i}", {"lr": i, "one": 1, "seed": 0}, val_acc=[0.1 * i]) for i in range(12)]
    db = database(tmp_path, rows)
    with pytest.raises(InputError, match="not both"):
        db.compare("r1", "r2", hparam="lr")
    with pytest.raises(InputError, match="12 values"):
        db.compare(hparam="lr")
    with pytest.raises(InputError, match="has 1 values"):
        db.compare(hparam="one")
    with pytest.raises(UnknownNameError, match="Nearest: 'lr'"):
        db.compare(hparam="lrr")


def test_what_counts_as_equal_can_be_configured(tmp_path: Path) -> None:
    rng = np.random.default_rng(42)
    a, b = (list(rng.normal(0.8, 0.01, 12)) for _ in range(2))
    wide = database(tmp_path / "w", sweep(a, b, apart=True), equal_within={"val/acc": 0.02}).compare("a*", "b*")
    narrow = database(tmp_path / "n", sweep(a, b, apart=True), equal_within={"val/acc": 0.001}).compare("a*", "b*")
    assert row(wide)["verdict"].startswith("equal within 0.02 (as configured)")
    assert row(narrow)["verdict"].startswith("not told apart")
    assert "too few seeds: 12 a side detect" in row(narrow)["verdict"]


def test_the_spread_of_one_run_is_a_bound_and_no_margin_of_equality(tmp_path: Path) -> None:
    """The 90 % interval is named, and lies within the bound; that of 95 % need not."""
    rng = np.random.default_rng(3)
    a, b = (list(rng.normal(0.8, 0.01, 12)) for _ in range(2))
    found = row(database(tmp_path, sweep(a, b, apart=True)).compare("a*", "b*"))["verdict"]
    assert re.match(
        r"not told apart \(p 0\.\d+, Welch\): no difference larger than the spread of one run \(0\.0\d+\), ", found
    )
    bound = float(found.partition("one run (")[2].partition(")")[0])
    low, high = map(float, found.partition("interval of a - b is ")[2].split(" to "))
    margins = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert (low, high) == pytest.approx((margins.low, margins.high), rel=1e-3)
    assert -bound < low < high < bound


def test_two_algorithms_over_tasks_of_other_scales_are_compared_by_scores_normalised_within_each(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(43)
    rows = [
        run(
            f"{algo}-{env}-{s}",
            {"algo": algo, "env_id": env, "seed": s},
            eval_return=[float(scale * (1 + 0.1 * (algo == "sac") + rng.normal(0, 0.02)))],
        )
        for algo in ("ppo", "sac")
        for env, scale in (("ant", 5000), ("hopper", 300), ("pole", 10))
        for s in range(4)
    ]
    answer = database(tmp_path, rows).compare("algo = 'sac'", "algo = 'ppo'", metrics=["eval/return"])
    found = row(answer, "eval/return")
    assert found["verdict"].startswith("different: a is better")
    assert 0 < found["difference"] < 1
    assert answer.tables["strata"]["stratum"].to_list() == ["env_id=ant", "env_id=hopper", "env_id=pole"]
    assert not any("Not pooled" in note for note in answer.notes)
    assert any("values are scaled within each task" in note for note in answer.notes)


def test_a_verdict_on_running_runs_says_so_far_and_needs_a_smaller_p(tmp_path: Path) -> None:
    def compared(name: str, gap: float, last: str) -> tuple[Answer, Answer]:
        values = {"a": [1.0, 1.1, 0.9, 1.05], "b": [v + gap for v in (1.0, 1.1, 0.9, 1.05)]}
        rows = [
            run(f"{side}{i}", {"lr": lr, "seed": i + 10 * (side == "b")}, val_acc=[v])
            for side, lr in (("a", 0.1), ("b", 0.2))
            for i, v in enumerate(values[side])
        ]
        rows[-1]["metadata"] = {"status": last}
        db = database(tmp_path / name, rows)
        return db.compare("lr = 0.1", "lr = 0.2"), db.rank("val/acc")

    small, ranked = compared("small", 0.2, "running")
    assert row(small)["p"] < 0.05
    assert row(small)["verdict"].startswith("not told apart so far")
    assert ranked.table["tied"].to_list() == [True, True]
    assert any("where runs are still running" in note for note in ranked.notes)
    large, ranked = compared("large", 2.0, "running")
    assert row(large)["verdict"].startswith("different so far: b is better")
    assert ranked.table["tied"].to_list() == [False, False]
    ended, ranked = compared("ended", 0.2, "finished")
    assert row(ended)["verdict"].startswith("different: b is better")
    assert ranked.table["tied"].to_list() == [False, False]


def test_a_stratum_that_is_not_pooled_is_not_counted_as_pooled(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [
        run(f"{lr}-{wd}-{s}", {"lr": lr, "wd": wd, "seed": s}, val_acc=[float(rng.normal(lr, sd))])
        for lr, sd in ((0.1, 0.01), (0.2, 0.01), (0.3, 0.01), (0.9, 3.0))
        for wd in (0.0, 0.1)
        for s in range(6)
    ]
    notes = database(tmp_path, rows).compare(hparam="wd", metrics=["val/acc"]).notes
    assert any("Not pooled" in note and "lr=0.9" in note for note in notes)
    assert any("Matched on lr: difference is pooled over 3 strata" in note for note in notes)


def test_strata_in_which_a_setting_was_never_applied_are_not_pooled(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    rows: list[Row] = []
    for opt in ("adamw", "muon"):
        for lr in (0.1, 0.2):
            for seed in range(4):
                noise = float(rng.normal(0, 0.01))
                for wd in (0.0, 0.1):
                    gain = 0.2 * (wd > 0) * (opt == "adamw") + (float(rng.normal(0, 0.01)) if opt == "adamw" else 0.0)
                    settings = {"opt": opt, "momentum": 0.9 if opt == "muon" else 0.0, "lr": lr, "wd": wd, "seed": seed}
                    rows.append(run(f"{opt}-{lr}-{wd}-{seed}", settings, val_acc=[0.5 + noise + gain]))
    answer = database(tmp_path, rows).compare(hparam="wd", metrics=["val/acc"])
    assert answer.table["difference"].item() == pytest.approx(0.2, abs=0.02)
    (note,) = [n for n in answer.notes if "never applied" in n]
    assert "opt=muon, lr=0.1" in note
    assert "momentum" not in note  # it splits the runs as opt does
    assert any("pooled over 2 strata" in n for n in answer.notes)
    assert answer.tables["strata"].height == 4


def test_a_setting_that_was_applied_nowhere_is_still_compared(tmp_path: Path) -> None:
    rows = [
        run(f"{wd}-{lr}-{s}", {"wd": wd, "lr": lr, "seed": s}, val_acc=[0.5 + s / 100 + lr])
        for wd in (0.0, 0.1) for lr in (0.1, 0.2) for s in range(4)
    ]  # fmt: skip
    assert database(tmp_path, rows).compare(hparam="wd", metrics=["val/acc"]).table["difference"].item() == 0
