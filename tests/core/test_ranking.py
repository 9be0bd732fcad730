"""`db.rank` on the corpus and on sweeps whose truth is planted."""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics as plain
import tracemalloc
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.analyses.tasks import over_tasks
from sweeplens.answers import Answer
from sweeplens.errors import AmbiguousGoalError, InputError, UnknownNameError

CORPUS = Path(os.environ.get("SWEEPLENS_CORPUS", "nowhere"))


def grid(
    effect: dict[float, float], sd: float, *, seeds: int = 4, batches: tuple[int, ...] = (32, 64), chance: int = 0
) -> list[Row]:
    """lr x batch size x seed; the final value is the effect of lr plus noise, the batch size does nothing."""
    rng = np.random.default_rng(chance)
    return [
        run(
            f"lr{lr}-bs{bs}-s{seed}", {"lr": lr, "bs": bs, "seed": seed}, val_acc=[0.1, float(base + rng.normal(0, sd))]
        )
        for (lr, base), bs, seed in itertools.product(effect.items(), batches, range(seeds))
    ]


def tied(answer: Answer) -> list[bool | None]:
    return answer.table["tied"].to_list()


@pytest.mark.skipif(not (CORPUS / "native_steps").is_dir(), reason="SWEEPLENS_CORPUS does not name the corpus")
def test_means_and_intervals_of_the_corpus_are_those_of_plain_arithmetic_and_scipy() -> None:
    truth = json.loads((CORPUS / "native_steps" / "expected.json").read_text(encoding="utf-8"))["runs"]
    groups: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for entry in truth.values():
        h = entry["hyperparameters"]
        groups[h["optim.lr"], h["data.batch_size"]].append(entry["metrics"]["val/loss"]["min"])
    answer = ExperimentDB(base_path=CORPUS / "native_steps" / "logs").rank(
        "val/loss", reduce="best", hparams=["optim.lr", "data.batch_size"]
    )
    assert answer.basis.runs_used == len(truth)
    assert answer.table["mean"].is_sorted()
    for row in answer.table.iter_rows(named=True):
        values = groups.pop((row["optim.lr"], row["data.batch_size"]))
        assert row["n"] == len(values)
        assert row["mean"] == pytest.approx(plain.fmean(values))
        if len(values) > 1:
            low, high = stats.t.interval(0.95, len(values) - 1, plain.fmean(values), stats.sem(values))
            assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((low, high))
        else:
            assert row["ci95_low"] is None
    assert not groups


def test_settings_that_differ_only_in_what_does_not_matter_are_tied_and_others_are_not(tmp_path: Path) -> None:
    db = database(tmp_path, grid({0.1: 0.9, 0.01: 0.8, 0.001: 0.6}, 0.01))
    answer = db.rank("val/acc")
    assert answer.table["lr"].to_list() == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert tied(answer) == [True, True, False, False, False, False]
    assert answer.table["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    assert answer.table["gap"].to_list() == pytest.approx([answer.table["mean"][0] - m for m in answer.table["mean"]])
    assert any("Tukey-Kramer, stepwise" in note for note in answer.notes)
    assert any("higher is better" in note for note in answer.notes)


def test_the_best_is_not_tied_if_every_follower_differs_significantly(tmp_path: Path) -> None:
    answer = database(tmp_path, grid({0.1: 0.9, 0.01: 0.8}, 0.01, batches=(32,))).rank("val/acc")
    assert tied(answer) == [False, False]


def test_a_spread_between_seeds_as_large_as_the_effect_leaves_the_first_place_shared(tmp_path: Path) -> None:
    answer = database(tmp_path, grid({0.1: 0.82, 0.01: 0.8}, 0.02, seeds=3)).rank("val/acc")
    assert tied(answer)[:2] == [True, True]


def test_of_two_hundred_sweeps_without_a_difference_at_most_five_percent_name_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    runs = [
        run(f"{sweep}-{lr}-{seed}", {"sweep": sweep, "lr": lr, "seed": seed}, val_acc=[float(rng.normal())])
        for sweep, lr, seed in itertools.product(range(200), (1, 2, 3, 4), range(3))
    ]
    db = database(tmp_path, runs)
    claims = sum(False in tied(db.rank("val/acc", where=f"sweep = {sweep}", hparams=["lr"])) for sweep in range(200))
    assert claims <= 10


def test_adjusted_p_is_tukeys_range_in_steps(tmp_path: Path) -> None:
    runs = grid({3: 0.85, 2: 0.82, 1: 0.8}, 0.015, batches=(32,), chance=4)
    table = database(tmp_path, runs).rank("val/acc").table
    groups: dict[object, list[float]] = defaultdict(list)
    for entry in runs:
        groups[entry["hyperparameters"]["lr"]].append(entry["metrics"]["val/acc"][-1])  # type: ignore[index]
    pooled = plain.fmean([plain.variance(g) for g in groups.values()])
    q = sorted(((table["mean"][0] - m) / math.sqrt(pooled / 4) for m in table["mean"][1:]), reverse=True)
    far, near = stats.studentized_range.sf(q[0], 3, 9), stats.studentized_range.sf(q[1], 2, 9)
    assert table["p_adjusted"].to_list()[1:] == pytest.approx([max(far, near), far], rel=0.02)


def test_groups_of_unequal_spread_have_their_own_errors_as_games_and_howell_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(31)
    values = {1: rng.normal(0.9, 0.002, 10), 2: rng.normal(0.88, 0.05, 10)}
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s + 10 * lr}, val_acc=[float(v)])
        for lr, vs in values.items()
        for s, v in enumerate(vs)
    ]
    answer = database(tmp_path, rows).rank("val/acc")
    assert answer.table["p_adjusted"][1] == pytest.approx(
        stats.ttest_ind(*values.values(), equal_var=False).pvalue, abs=2e-3
    )
    assert any("Games-Howell" in note for note in answer.notes)


def test_seeds_that_move_all_groups_alike_are_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(32)
    seeds = rng.normal(0, 0.05, 6)
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s}, val_acc=[float(0.8 + 0.01 * lr + seeds[s] + rng.normal(0, 0.002))])
        for lr in (1, 2, 3) for s in range(6)
    ]  # fmt: skip
    answer = database(tmp_path, rows).rank("val/acc")
    assert answer.table["lr"].to_list() == [3, 2, 1]
    assert tied(answer) == [False, False, False]
    assert any("seeds as blocks" in note for note in answer.notes)


def test_the_mean_of_the_first_is_drawn_back_by_as_much_as_chance_has_raised_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(33)
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s}, val_score=[float(rng.normal(5, 1))])
        for lr in range(20)
        for s in range(3)
    ]
    table = database(tmp_path, rows).rank("val/score").table
    assert table["mean"][0] > 6
    assert table["shrunk"][0] == pytest.approx(5, abs=0.6)


def test_intervals_of_shares_never_pass_their_bounds_and_are_never_of_width_0(tmp_path: Path) -> None:
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s}, success_rate=[v])
        for lr, vs in ((1, [1.0] * 5), (2, [1.0, 1.0, 0.0, 1.0, 1.0]), (3, [0.99, 0.98, 1.0, 0.7, 0.99]))
        for s, v in enumerate(vs)
    ]
    table = database(tmp_path, rows).rank("success/rate").table
    found = {lr: (low, high) for lr, low, high in table.select("lr", "ci95_low", "ci95_high").iter_rows()}
    exact = stats.binomtest(5, 5).proportion_ci(method="exact")
    assert found[1] == pytest.approx((exact.low, exact.high))
    exact = stats.binomtest(4, 5).proportion_ci(method="exact")
    assert found[2] == pytest.approx((exact.low, exact.high))
    assert found[3][1] == 1.0
    assert 0.5 < found[3][0] < 0.95


def tasks() -> list[Row]:
    """Two algorithms in three environments whose returns differ by orders of magnitude."""
    rng = np.random.default_rng(34)
    return [
        run(
            f"{algo}-{env}-{s}",
            {"algo": algo, "env_id": env, "seed": s},
            eval_return=[float(scale * (1 + 0.3 * (algo == "sac")) + rng.normal(0, scale / 10))],
        )
        for algo in ("ppo", "sac")
        for env, scale in (("ant", 5000), ("hopper", 300), ("pole", 10))
        for s in range(4)
    ]


def test_runs_on_one_task_are_never_ranked_against_runs_on_another(tmp_path: Path) -> None:
    answer = database(tmp_path, tasks()).rank("eval/return")
    assert answer.table.group_by("task").len()["len"].to_list() == [2, 2, 2]
    assert answer.table.filter(rank=1)["algo"].to_list() == ["sac"] * 3
    assert set(answer.table.filter(rank=1)["gap"]) == {0.0}
    overall = answer.tables["overall"]
    assert overall["algo"].to_list() == ["sac", "ppo"]
    assert overall["mean_rank"].to_list() == [1.0, 2.0]
    assert overall["p_first_better"][1] > 0.9
    assert any(note.startswith("env_id is the task") for note in answer.notes)


def test_a_task_that_only_metadata_names_is_a_task_in_every_answer_and_no_hyperparameter_of_the_runs(
    tmp_path: Path,
) -> None:
    rows = tasks()
    for i, row in enumerate(rows):
        row["run_id"] = f"run{i}"  # names that say nothing
        env = row["hyperparameters"].pop("env_id")  # type: ignore[attr-defined]
        row["metadata"] = {"status": "finished", "args": {"env": env, "host": f"node{len(str(env))}"}}
    db = database(tmp_path, rows)
    answer = db.rank("eval/return")
    assert dict(answer.table.group_by("task").len().iter_rows()) == {"ant": 2, "hopper": 2, "pole": 2}
    assert answer.tables["overall"]["algo"].to_list() == ["sac", "ppo"]
    assert any(note.startswith("args.env is the task") for note in answer.notes)
    assert any("within each task" in note for note in db.compare(hparam="algo").notes)
    assert "args.env" not in db.effects("eval/return").table["hparam"].to_list()
    assert "over 3 tasks" in str(db.overview().table["text"].to_list())
    assert "args.env" not in db.runs_df.columns


def test_tasks_that_have_one_setting_each_are_not_ranked_over_all(tmp_path: Path) -> None:
    rows = [
        run(f"{env}-{s}", {"lr": lr, "env_id": env, "seed": s}, eval_return=[scale + s])
        for env, lr, scale in (("ant", 0.1, 5000.0), ("hopper", 0.2, 300.0), ("pole", 0.3, 10.0))
        for s in range(3)
    ]
    db = database(tmp_path, rows)
    answer = db.rank("eval/return")
    assert answer.tables["overall"].height == 0
    assert "No two settings were tried on the same two tasks, so nothing is ranked over tasks." in answer.notes
    assert "each task has one setting" in str(db.overview().table["text"].to_list())


def test_only_settings_of_the_same_tasks_are_ranked_over_tasks(tmp_path: Path) -> None:
    alone = [run(f"lucky-{s}", {"algo": "lucky", "env_id": "ant", "seed": s}, eval_return=[9e4 + s]) for s in range(3)]
    answer = database(tmp_path, [*tasks(), *alone]).rank("eval/return")
    assert answer.tables["overall"]["algo"].to_list() == ["sac", "ppo"]
    assert answer.table.filter(task="ant")["algo"][0] == "lucky"
    (said,) = (note for note in answer.notes if note.startswith("Over 3 tasks"))
    assert "1 setting that lacks one of these tasks left out" in said


def test_where_no_setting_was_tried_on_two_tasks_the_overview_names_the_best_of_each(tmp_path: Path) -> None:
    drawn = [
        run(f"{env}-{i}", {"lr": lr, "env_id": env}, eval_return=[scale * lr])
        for env, scale, rates in (("ant", 5000.0, (0.1, 0.2, 0.3)), ("pole", 10.0, (0.15, 0.25, 0.35)))
        for i, lr in enumerate(rates)
    ]
    said = [
        text for topic, text in database(tmp_path, drawn).overview().table.iter_rows() if topic == "best eval/return"
    ]
    assert [text.partition(",")[0].partition(": mean")[0] for text in said] == [
        "ant: ant-2 (lr=0.3)",
        "pole: pole-2 (lr=0.35)",
    ]


def test_a_metric_of_one_task_is_ranked_by_its_own_values(tmp_path: Path) -> None:
    other = [run(f"nlp-{s}", {"algo": "ppo", "env_id": "text", "seed": s}, eval_bleu=[20 + s]) for s in range(3)]
    db = database(tmp_path, [*(r for r in tasks() if "-ant-" in str(r["run_id"])), *other])
    answer = db.rank("eval/return")
    assert "task" not in answer.table.columns
    assert "overall" not in answer.tables
    assert answer.table["mean"].min() > 4000
    (said,) = (text for topic, text in db.overview().table.iter_rows() if topic == "best eval/return")
    assert "normalised" not in said


def test_a_ranking_by_one_hyperparameter_stays_within_each_task(tmp_path: Path) -> None:
    db = database(tmp_path, tasks())
    table = db.rank("eval/return", hparams=["algo"]).table
    assert table.group_by("task").len()["len"].to_list() == [2, 2, 2]
    assert db.cost("eval/return", hparams=["algo"]).table.height == 6


def test_the_interquartile_mean_over_tasks_is_scipys_trimmed_mean_of_normalised_scores(tmp_path: Path) -> None:
    rows = tasks()
    overall = database(tmp_path, rows).rank("eval/return").tables["overall"]
    scores: dict[str, list[float]] = defaultdict(list)
    for env in ("ant", "hopper", "pole"):
        mine = [
            (r["hyperparameters"]["algo"], r["metrics"]["eval/return"][0])
            for r in rows
            if r["hyperparameters"]["env_id"] == env
        ]  # type: ignore[index]
        low, high = min(v for _, v in mine), max(v for _, v in mine)
        for algo, v in mine:
            scores[algo].append((v - low) / (high - low))
    assert dict(overall.select("algo", "iqm").iter_rows()) == pytest.approx(
        {a: stats.trim_mean(v, 0.25) for a, v in scores.items()}
    )
    for _, iqm, low, high in overall.select("algo", "iqm", "ci95_low", "ci95_high").iter_rows():
        assert low < iqm < high


def test_where_only_tasks_vary_nothing_is_ranked(tmp_path: Path) -> None:
    rows = [r for r in tasks() if r["hyperparameters"]["algo"] == "sac"]  # type: ignore[index]
    answer = database(tmp_path, rows).rank("eval/return")
    assert answer.table["rank"].to_list() == [1, 1, 1]
    assert tied(answer) == [None] * 3


def test_the_answer_says_under_how_many_other_analysis_choices_the_same_group_is_first(tmp_path: Path) -> None:
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s}, val_acc=[lr + 0.001 * s + 0.0001 * step for step in range(40)])
        for lr in (0.1, 0.2)
        for s in range(3)
    ]
    answer = database(tmp_path / "long", rows).rank("val/acc")
    assert (
        "The same group is first under 1 of 1 other analysis choice (last)." in answer.notes
    )  # the last value is the best


def test_a_reading_with_the_same_values_is_no_other_reading(tmp_path: Path) -> None:
    db = database(tmp_path, grid({0.1: 0.9, 0.01: 0.6}, 0.01, batches=(32,)))
    for reduce in ("last_tenth", "last", "best"):
        assert not any("other analysis choice" in note for note in db.rank("val/acc", reduce=reduce).notes)


def test_ranking_by_test_data_while_validation_data_are_there_is_warned_of(tmp_path: Path) -> None:
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s}, val_acc=[0.5 + lr], test_acc=[0.4 + lr])
        for lr in (0.1, 0.2)
        for s in range(2)
    ]
    db = database(tmp_path, rows)
    assert any("choose by val/acc" in note for note in db.rank("test/acc").notes)
    assert not any("choose by" in note for note in db.rank("val/acc").notes)


def test_without_repetitions_tied_is_null(tmp_path: Path) -> None:
    answer = database(tmp_path, grid({0.1: 0.9, 0.01: 0.1}, 0.01, seeds=1)).rank("val/acc")
    assert tied(answer) == [None] * 4
    assert answer.table["ci95_low"].null_count() == 4
    assert any("No repeated runs" in note for note in answer.notes)


def test_repetitions_that_came_out_the_same_give_no_spread_to_judge_by(tmp_path: Path) -> None:
    answer = database(tmp_path, grid({0.1: 0.9, 0.01: 0.1}, 0.0)).rank("val/acc")
    assert tied(answer) == [None] * 4
    assert any("identical values" in note for note in answer.notes)


def test_a_group_of_one_run_is_judged_by_the_spread_of_the_others_and_has_no_interval(tmp_path: Path) -> None:
    runs = grid({0.1: 0.9, 0.01: 0.6}, 0.01, batches=(32,))
    near = run("near", {"lr": 0.2, "bs": 32, "seed": 0}, val_acc=[0.895])
    far = run("far", {"lr": 0.3, "bs": 32, "seed": 0}, val_acc=[0.5])
    answer = database(tmp_path, [*runs, near, far]).rank("val/acc")
    by_lr = dict(zip(answer.table["lr"], zip(answer.table["tied"], answer.table["ci95_low"], strict=True), strict=True))
    assert by_lr[0.2] == (True, None)
    assert by_lr[0.3] == (False, None)
    assert by_lr[0.01][0] is False
    assert any("2 of 4 groups have a single run" in note for note in answer.notes)


def test_a_setting_that_explodes_for_some_seeds_does_not_make_all_others_tied(tmp_path: Path) -> None:
    runs = grid({0.1: 0.3, 0.01: 0.6, 0.001: 0.9}, 0.01, batches=(32,))
    wild = [run(f"wild{s}", {"lr": 9.0, "bs": 32, "seed": s}, val_acc=[v]) for s, v in enumerate((0.5, 1e6, 0.7, 2e4))]
    answer = database(tmp_path, [*runs, *wild]).rank("val/acc", goal="lower", reduce="last")
    assert answer.table["lr"].to_list() == [0.1, 0.01, 0.001, 9.0]
    assert tied(answer)[:3] == [True, False, False]
    assert tied(answer)[3] is True  # its own spread is larger than its gap
    assert any("lr=9.0" in note for note in answer.notes)


def test_runs_that_cannot_be_reduced_are_listed_and_counted_in_their_group(tmp_path: Path) -> None:
    runs = grid({0.1: 0.9, 0.01: 0.6}, 0.01, batches=(32,))
    nan = run("nan", {"lr": 0.1, "bs": 32, "seed": 9}, val_acc=[0.5, math.nan])
    silent = run("silent", {"lr": 0.01, "bs": 32, "seed": 9}, train_loss=[1.0])
    answer = database(tmp_path, [*runs, nan, silent]).rank("val/acc", reduce="last")
    left = {entry.reason: entry.runs for entry in answer.basis.left_out}
    assert left == {"val/acc: not logged": ("silent",), "val/acc: last value is not finite": ("nan",)}
    assert answer.table["left_out"].to_list() == [1, 1]
    assert (answer.basis.runs_matched, answer.basis.runs_used) == (10, 8)


def test_short_and_failed_runs_are_marked_and_can_be_compared_at_the_step_that_all_reached(tmp_path: Path) -> None:
    whole = [run(f"w{s}", {"lr": 1, "seed": s}, val_acc=[0.1 * i for i in range(9)]) for s in range(3)]
    short = run("short", {"lr": 2, "seed": 0}, val_acc=[0.2, 0.3, 0.4])
    failed = run("failed", {"lr": 2, "seed": 1}, {"status": "failed"}, val_acc=[0.1 * i for i in range(9)])
    db = database(tmp_path, [*whole, short, failed])
    last = db.rank("val/acc", reduce="last")
    assert dict(zip(last.table["lr"], last.table["unfinished"], strict=True)) == {1: 0, 2: 2}
    assert any("short" in note and "at_step='common' compares at step 2" in note for note in last.notes)
    common = db.rank("val/acc", at_step="common")
    means = dict(zip(common.table["lr"], common.table["mean"], strict=True))
    assert means[1] == pytest.approx(0.2)
    assert means[2] == pytest.approx(0.3)
    later = db.rank("val/acc", at_step="5")
    assert [(e.reason, e.runs) for e in later.basis.left_out] == [("val/acc: ended before step 5", ("short",))]


def test_single_runs_can_be_ranked_and_are_held_against_the_spread_of_their_groups(tmp_path: Path) -> None:
    answer = database(tmp_path, grid({0.1: 0.9, 0.01: 0.6}, 0.01, batches=(32,))).rank("val/acc", by="run")
    assert answer.table["mean"].to_list() == sorted(answer.table["mean"].to_list(), reverse=True)
    assert set(answer.table["lr"][:4]) == {0.1}
    assert tied(answer) == [True] * 4 + [False] * 4
    assert answer.table["n"].to_list() == [1] * 8
    assert answer.table.columns[:3] == ["rank", "run_id", "status"]


def test_a_random_search_shows_every_hyperparameter_that_was_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = [
        run(f"r{i}", {"lr": float(rng.random()), "wd": float(rng.random())}, val_acc=[float(rng.random())])
        for i in range(12)
    ]
    answer = database(tmp_path, runs).rank("val/acc")
    assert {"lr", "wd"} <= set(answer.table.columns)
    assert tied(answer) == [None] * 12


@pytest.mark.parametrize("by", ["group", "run"])
def test_where_nothing_varies_beside_seeds_all_runs_are_one_group(tmp_path: Path, by: str) -> None:
    runs = [run(f"r{s}", {"lr": 1, "seed": s}, val_acc=[0.5 + 0.1 * s]) for s in range(3)]
    table = database(tmp_path, runs).rank("val/acc", by=by).table
    assert table.height == (1 if by == "group" else 3)
    assert table["mean"][0] == pytest.approx(0.6 if by == "group" else 0.7)
    assert table["tied"][0] is (None if by == "group" else True)


def test_values_near_the_end_of_the_numbers_are_ranked_without_a_word_from_numpy(tmp_path: Path) -> None:
    runs = [
        *grid({0.1: 0.9, 0.01: 0.8}, 0.01),
        *(run(f"x{s}", {"lr": 9.0, "bs": 1, "seed": s}, val_acc=[v]) for s, v in enumerate((1e308, -1e308, 1e300))),
    ]
    answer = database(tmp_path, runs).rank("val/acc", goal="lower")
    assert answer.table.height == 5


def test_a_metric_without_finite_values_ranks_nothing_and_lists_the_runs_left_out(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i, "seed": 0}, val_acc=[math.nan]) for i in range(3)]
    answer = database(tmp_path, runs).rank("val/acc")
    assert answer.table.height == 0
    assert [(e.reason, e.n) for e in answer.basis.left_out] == [("val/acc: last value is not finite", 3)]


def test_a_hyperparameter_that_is_none_in_some_runs_makes_groups_and_one_that_some_lack_does_not(
    tmp_path: Path,
) -> None:
    runs = [
        run(f"{drop}-{s}", {"drop": drop, "seed": s} | ({"note": "x"} if s else {}), val_acc=[(drop or 0) + 0.01 * s])
        for drop in (None, 0.5)
        for s in range(3)
    ]
    table = database(tmp_path, runs).rank("val/acc").table
    assert table["drop"].to_list() == [0.5, None]
    assert table["n"].to_list() == [3, 3]
    assert "note" not in table.columns


def test_a_run_whose_config_is_lost_is_no_group_and_is_named_but_can_be_ranked_by_itself(tmp_path: Path) -> None:
    db = database(tmp_path, [*grid({0.1: 0.9, 0.2: 0.5}, 0.01), run("bare", {}, val_acc=[0.95])])
    groups = db.rank("val/acc")
    assert groups.table["lr"].to_list() == [0.1, 0.1, 0.2, 0.2]
    assert [(e.reason, e.runs) for e in groups.basis.left_out] == [
        ("no hyperparameter known: config missing or unreadable", ("bare",))
    ]
    assert groups.basis.runs_used == 16
    single = db.rank("val/acc", by="run")
    assert single.table["run_id"][0] == "bare"
    assert single.basis.left_out == ()


def test_where_no_run_has_a_config_none_is_a_repetition_of_another(tmp_path: Path) -> None:
    answer = database(tmp_path, [run(f"r{i}", {}, val_acc=[0.1 * i]) for i in range(4)]).rank("val/acc")
    assert answer.table.select("run_id", "n", "tied").rows() == [(f"r{i}", 1, None) for i in (3, 2, 1, 0)]
    assert "settings of these 4 runs are unknown" in answer.notes[0]


def test_the_goal_turns_the_order_and_is_asked_for_where_it_is_not_known(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i, "seed": 0}, zeta=[float(i)]) for i in range(3)]
    db = database(tmp_path, runs)
    with pytest.raises(AmbiguousGoalError, match="goal='lower'"):
        db.rank("zeta")
    assert db.rank("zeta", goal="lower").table["lr"].to_list() == [0, 1, 2]
    assert db.rank("zeta", goal="higher").table["lr"].to_list() == [2, 1, 0]


def test_what_cannot_be_ranked_is_an_error_that_says_what_can(tmp_path: Path) -> None:
    db = database(tmp_path, grid({0.1: 0.9, 0.01: 0.8}, 0.01))
    with pytest.raises(UnknownNameError, match="Nearest: 'val/acc'"):
        db.rank("val_acc")
    with pytest.raises(InputError, match="by='run'"):
        db.rank("val/acc", by="seed")
    with pytest.raises(InputError, match="whole number"):
        db.rank("val/acc", at_step="soon")
    with pytest.raises(UnknownNameError, match="hyperparameter"):
        db.rank("val/acc", hparams=["learning_rate"])


def test_the_python_line_of_an_answer_gives_the_same_answer(tmp_path: Path) -> None:
    db = database(tmp_path, grid({0.1: 0.9, 0.01: 0.8}, 0.01))
    answer = db.rank("val/acc", reduce="last", where="lr > 0.05", hparams=["bs"])
    again = eval(answer.basis.python, {"db": db})  # noqa: S307 - our own line, which is what is tested
    assert again.table.equals(answer.table)
    assert again.basis == answer.basis


def test_the_interquartile_mean_over_seeds_is_given_beside_the_mean(tmp_path: Path) -> None:
    values = {1: [0.5, 0.6, 0.7, 0.8, 0.1], 2: [0.4, 0.41, 0.42, 0.43, 0.9]}
    rows = [
        run(f"{lr}-{s}", {"lr": lr, "seed": s}, val_score=[v]) for lr, vs in values.items() for s, v in enumerate(vs)
    ]
    table = database(tmp_path, rows).rank("val/score").table
    expected = {lr: stats.trim_mean(vs, 0.25) for lr, vs in values.items()}
    assert dict(table.select("lr", "iqm").iter_rows()) == pytest.approx(expected)


def test_settings_of_tens_of_thousands_of_runs_are_ranked_over_tasks_in_little_memory() -> None:
    n = 6000
    values = np.random.default_rng(0).integers(0, 500, 4 * n) + np.tile([0, 40], 2 * n)
    table = pl.DataFrame({
        "method": ["a", "b"] * (2 * n), "task": ["t1"] * (2 * n) + ["t2"] * (2 * n),
        "run_id": [f"r{i}" for i in range(4 * n)], "value": values.astype(float),
    })  # fmt: skip
    tracemalloc.start()
    try:
        first, second = over_tasks(table, ["method"], "higher").rows(named=True)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 300 << 20  # all pairs of runs took twice as much
    assert (first["method"], second["method"]) == ("b", "a")
    shares = [
        stats.mannwhitneyu(b, a).statistic / len(a) / len(b)
        for a, b in ((values[s : s + 2 * n : 2], values[s + 1 : s + 2 * n : 2]) for s in (0, 2 * n))
    ]
    assert second["p_first_better"] == pytest.approx(np.mean(shares), rel=1e-12)
    assert first["ci95_low"] < first["iqm"] < first["ci95_high"]
