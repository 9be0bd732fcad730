"""`db.compare` by task, by matched level and at the best settings, on sweeps whose truth is planted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.methods_over_tasks import METRICS, RATES, SEEDS, gain, methods_over_tasks
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.answers import Answer


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return database(tmp_path_factory.mktemp("methods"), methods_over_tasks())


@pytest.fixture(scope="module")
def answer(db: ExperimentDB) -> Answer:
    return db.compare(hparam="method")


def of_task(answer: Answer, task: str, metric: str, a: str = "kd", b: str = "ft") -> dict[str, Any]:
    table = answer.tables["by_task"].filter(a=a, b=b, task=task, metric=metric)
    (found,) = table.iter_rows(named=True)
    return found


def last_values(task: str, method: str, metric: str) -> np.ndarray[Any, Any]:
    """Learning rates x seeds: the mean of the last tenth of at least 30 points, else the last value."""
    runs = {r["run_id"]: r["metrics"] for r in methods_over_tasks()}
    cells: list[list[float]] = []
    for lr in RATES:
        series: list[list[float]] = [runs[f"{task}-{method}-{lr:g}-{s}"][metric] for s in SEEDS]  # type: ignore[index]
        cells.append([float(np.mean(v[-(len(v) // 10) :])) if len(v) >= 30 else v[-1] for v in series])
    return np.array(cells)


def test_each_task_is_compared_in_its_own_metric_and_in_its_test_twin(answer: Answer) -> None:
    table = answer.tables["by_task"].filter(a="kd", b="ft")
    shown = table.filter(~pl.col("task").str.contains("all|step"))
    assert shown.select("task", "metric").rows() == [
        (task, f"{split}/{METRICS[task]}") for task in sorted(METRICS) for split in ("eval", "test")
    ]
    for task, metric in METRICS.items():
        truth = sum(gain("kd", task, lr) for lr in RATES) / 2
        for split in ("eval", "test"):
            found = of_task(answer, task, f"{split}/{metric}")
            slack = 0.01 if (task, split) == ("readability", "eval") else 0  # it was stopped early
            assert found["ci95_low"] - slack <= truth <= found["ci95_high"] + slack


def test_the_interval_of_a_task_is_that_of_seeds_paired_within_levels(answer: Answer) -> None:
    found = of_task(answer, "qa", "eval/f1")
    gaps = last_values("qa", "kd", "eval/f1") - last_values("qa", "ft", "eval/f1")
    df = gaps.size - len(RATES)
    sd = math.sqrt(float(((gaps - gaps.mean(axis=1, keepdims=True)) ** 2).sum()) / df)
    half = stats.t.ppf(0.975, df) * sd / math.sqrt(gaps.size)
    assert found["pairs"] == 6
    expected = [gaps.mean(), gaps.mean() - half, gaps.mean() + half]
    assert [found[c] for c in ("difference", "ci95_low", "ci95_high")] == pytest.approx(expected, rel=1e-4)
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(gaps.mean()) / (sd / math.sqrt(gaps.size)), df), rel=1e-3)
    assert found["verdict"] == "ft better"


def test_levels_that_disagree_are_shown_each_with_an_interval_from_the_spread_of_the_whole_task(answer: Answer) -> None:
    levels = answer.tables["by_level"].filter(a="kd", b="ft", task="intent", metric="eval/accuracy")
    kd, ft = (last_values("intent", m, "eval/accuracy") for m in ("kd", "ft"))
    assert levels["level"].to_list() == ["lr=1e-05", "lr=3e-05"]
    assert levels["difference"].to_list() == pytest.approx(list((kd - ft).mean(axis=1)), rel=1e-4)
    sd = math.sqrt((kd.var(axis=1, ddof=1).mean() + ft.var(axis=1, ddof=1).mean()) / 2)
    half = (levels["ci95_high"] - levels["ci95_low"]) / 2
    (df,) = {round(float(d), 3) for d in (_df(kd, ft),)}
    assert half.to_list() == pytest.approx([stats.t.ppf(0.975, df) * sd * math.sqrt(2 / 3)] * 2, rel=1e-3)
    f = 3 / 2 * float(((kd - ft).mean(axis=1) - (kd - ft).mean()) @ ((kd - ft).mean(axis=1) - (kd - ft).mean())) / sd**2
    assert levels["p_disagree"][0] == pytest.approx(stats.f.sf(f, 1, round(df)), rel=1e-3)
    assert levels["ci95_low"][0] < 0 < levels["ci95_high"][0]
    assert 0 < levels["ci95_low"][1] < 0.010 < levels["ci95_high"][1]


def _df(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Satterthwaite's, each side's spread pooled over levels."""
    own = [x.var(axis=1, ddof=1).mean() for x in (a, b)]
    each = a.size - len(a)
    return float(sum(own) ** 2 / sum(v**2 / each for v in own))


def test_verdicts_are_corrected_over_tasks_by_holm(answer: Answer) -> None:
    table = answer.tables["by_task"].filter(a="kd", b="ft").filter(pl.col("metric").str.starts_with("eval"))
    table = table.filter(~pl.col("task").str.contains("step")).sort("p")
    p = table["p"].to_list()
    holm = np.minimum(np.maximum.accumulate([v * (len(p) - i) for i, v in enumerate(p)]), 1)
    assert table["p_holm"].to_list() == pytest.approx(list(holm), rel=1e-3)


def test_runs_stopped_early_are_also_compared_at_the_same_step(answer: Answer) -> None:
    at_end = of_task(answer, "readability", "eval/rmse")
    equal = of_task(answer, "readability, at step 19", "eval/rmse")
    assert at_end["difference"] < -0.002
    assert abs(equal["difference"]) < 0.0015
    assert equal["verdict"] == "not told apart"


def test_the_pooled_row_scales_scores_within_each_task_and_is_the_main_row(answer: Answer) -> None:
    assert answer.table["metric"].to_list() == ["score", "score"]
    pooled = of_task(answer, "all tasks", "score", a="feat")
    assert pooled["difference"] == pytest.approx(answer.table.filter(level="feat")["difference"].item(), rel=1e-4)
    gaps: list[float] = []
    for task, metric in METRICS.items():
        feat, ft = (last_values(task, m, f"eval/{metric}") for m in ("feat", "ft"))
        worst, best = (f([feat, ft]) for f in (np.min, np.max))
        gaps.append(float((feat - ft).mean() / (best - worst)) * (-1 if task == "readability" else 1))
    assert pooled["difference"] == pytest.approx(np.mean(gaps), rel=1e-4)


def test_the_baseline_is_the_method_with_the_fewest_settings_and_the_third_pair_is_shown_too(answer: Answer) -> None:
    assert answer.table["level"].to_list() == ["feat", "kd"]  # each against ft
    assert answer.tables["by_task"].select("a", "b").unique(maintain_order=True).rows() == [
        ("feat", "ft"), ("kd", "ft"), ("kd", "feat"),
    ]  # fmt: skip
    assert of_task(answer, "qa", "test/f1", a="kd", b="feat")["verdict"] == "feat better"


def test_conditions_give_the_same_table_as_levels(db: ExperimentDB, answer: Answer) -> None:
    told = db.compare("method = 'kd'", "method = 'ft'").tables["by_task"].drop("a", "b", "verdict")
    assert told.equals(answer.tables["by_task"].filter(a="kd", b="ft").drop("a", "b", "verdict"))


def test_each_side_at_its_best_is_compared_where_the_two_need_other_settings(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    best = {"adamw": 1, "muon": 0}  # place of the best learning rate
    rows = [
        run(f"{opt}-{lr}-{s}", {"opt": opt, "lr": lr, "seed": s}, val_loss=[3.0 + 0.1 * abs(i - best[opt]) + noise])
        for opt in best
        for i, lr in enumerate((3e-4, 1e-3, 2e-3))
        for s in range(3)
        for noise in [float(rng.normal(-0.02 * (opt == "muon"), 0.002))]
    ]  # fmt: skip
    answer = database(tmp_path, rows).compare(hparam="opt", metrics=["val/loss"])
    (at_best,) = answer.tables["by_task"].filter(pl.col("task").str.contains("best")).iter_rows(named=True)
    assert at_best["task"] == "each at its best: lr=0.0003 | lr=0.001"
    a, b = (
        [r["metrics"]["val/loss"][0] for r in rows if r["run_id"].startswith(w)] for w in ("muon-0.0003", "adamw-0.001")
    )  # type: ignore[index, union-attr]
    theirs = stats.ttest_ind(a, b, equal_var=False)
    assert at_best["difference"] == pytest.approx(np.mean(a) - np.mean(b), rel=1e-4)
    assert (at_best["ci95_low"], at_best["ci95_high"]) == pytest.approx(theirs.confidence_interval(), rel=1e-3)
    assert any("may be luck" in note for note in answer.notes)
    assert answer.tables["by_level"]["level"].to_list() == ["lr=0.0003", "lr=0.001", "lr=0.002"]


def test_runs_without_a_partner_are_left_out_where_pairing_the_others_tells_more(tmp_path: Path) -> None:
    rows = [r for r in _paired_rows() if r["run_id"] != "b-2-0"]
    answer = database(tmp_path, rows).compare(hparam="method", metrics=["val/acc"])
    found = answer.tables["by_task"].row(0, named=True)
    assert found["pairs"] == 7
    assert found["verdict"] == "b better"
    assert [left.runs for left in answer.basis.left_out] == [("a-2-0",)]


def _paired_rows() -> Iterator[Row]:
    rng = np.random.default_rng(6)
    for lr in (1, 2):
        for s in range(4):
            shared = rng.normal(0, 0.1)
            for method in "ab":
                value = float(0.5 + shared + 0.01 * (method == "b") + rng.normal(0, 0.002))
                yield run(f"{method}-{lr}-{s}", {"method": method, "lr": lr, "seed": s}, val_acc=[value])


def test_strata_are_never_all_left_out_though_some_are_outlying_and_all_others_hold_equal_values(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(9)
    rows = [
        run(f"{lr}-{wd}-{s}", {"lr": lr, "wd": wd, "seed": s}, val_acc=[0.5 + 0.01 * s + lr if lr < 4 else wild])
        for lr in (1, 2, 3, 4)
        for wd in (0.0, 0.1)
        for s in range(6)
        for wild in [float(rng.normal(0, 50))]
    ]
    answer = database(tmp_path, rows).compare(hparam="wd", metrics=["val/acc"])
    assert answer.table["difference"].item() == 0
    assert any("Not pooled" in note and "lr=4" in note for note in answer.notes)
    assert any("pooled over 3 strata" in note for note in answer.notes)


def test_the_overview_shows_the_matched_differences_of_what_the_sweep_studies(db: ExperimentDB, answer: Answer) -> None:
    lines = dict(db.overview().table.iter_rows())
    found = of_task(answer, "qa", "test/f1")
    text = lines["method: kd - ft"]
    assert (
        f"test/f1 {found['difference']:+.3g} [{found['ci95_low']:.3g}, {found['ci95_high']:.3g}] (6 pairs): ft better"
        in text
    )
    assert "readability, at step 19: eval/rmse, lower is better" in text
    assert "teacher: qa: feat large-v2, kd large-v1" in lines["unlike"]
    assert 'compare_runs(hparam="method")' in lines["next 1"]


def test_the_overview_of_a_grid_of_numbers_studies_nothing(tmp_path: Path) -> None:
    rows = [run(f"{lr}-{s}", {"lr": lr, "seed": s}, val_acc=[0.5 + lr]) for lr in (0.1, 0.2, 0.3) for s in range(4)]
    assert "unlike" not in database(tmp_path, rows).overview().table["topic"].to_list()


def test_runs_that_a_setting_did_not_change_count_once_in_the_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(3.0, 0.01, 3), rng.normal(3.1, 0.01, (2, 3))
    rows = [
        run(f"{opt}-{wd}-{s}", {"opt": opt, "wd": wd, "seed": s + 10 * (opt == "b")}, val_loss=[float(values[s])])
        for opt, wd, values in (("a", 0.0, a), ("a", 0.1, a), ("b", 0.0, b[0]), ("b", 0.1, b[1]))
        for s in range(3)
    ]
    answer = database(tmp_path, rows).compare(hparam="opt", metrics=["val/loss"])
    found = answer.table.row(0, named=True)
    spread_a, spread_b = a.var(ddof=1), b.var(axis=1, ddof=1).mean()
    parts = (spread_a / 3, spread_b / 6)  # a was run three times, not six
    df = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 4)
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(parts))
    assert (found["ci95_high"] - found["ci95_low"]) / 2 == pytest.approx(half)
    assert any("3 runs have the value of another run" in note for note in answer.notes)


def test_the_runs_of_a_comparison_of_levels_are_used_or_listed_as_left_out(tmp_path: Path) -> None:
    """As a sweep with one learning rate that diverges: its stratum is not pooled, and a run without a config is in no level."""
    rng = np.random.default_rng(5)
    runs = [
        run(f"{lr}-{wd}-{s}", {"lr": lr, "wd": wd, "seed": s}, val_acc=[0.9 + spread * float(rng.normal())])
        for lr, spread in ((0.1, 0.002), (0.2, 0.002), (0.3, 0.2))
        for wd in (0, 1)
        for s in range(5)
    ]
    db = database(tmp_path, [*runs, run("bare", {}, val_acc=[0.9])])
    for answer in (db.compare(hparam="wd"), db.compare("wd = 1", "wd = 0")):
        left = [r for entry in answer.basis.left_out for r in entry.runs]
        assert {r for r in left if r != "bare"} == {r["run_id"] for r in runs if str(r["run_id"]).startswith("0.3")}
        assert answer.basis.runs_used == 20
    assert "bare" in [r for entry in db.compare(hparam="wd").basis.left_out for r in entry.runs]
