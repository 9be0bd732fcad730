"""`db.effects` on sweeps whose truth is planted, against analyses of variance in plain Python."""

from __future__ import annotations

import itertools
import math
import os
import statistics as plain
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.analyses.effects import effects
from sweeplens.answers import Answer
from sweeplens.errors import AmbiguousGoalError, UnknownNameError

CORPUS = Path(os.environ.get("SWEEPLENS_CORPUS", "nowhere"))


def rows(answer: Answer) -> dict[str, dict[str, Any]]:
    return {r["hparam"]: r for r in answer.table.iter_rows(named=True)}


def grid(value: Callable[[float, int, str], float], sd: float, *, seeds: int = 3, chance: int = 0) -> list[Row]:
    """lr x batch size x optimizer x seed."""
    rng = np.random.default_rng(chance)
    return [
        run(
            f"{lr}-{bs}-{opt}-{s}",
            {"lr": lr, "bs": bs, "opt": opt, "seed": s},
            val_acc=[0.0, value(lr, bs, opt) + float(rng.normal(0, sd))],
        )
        for lr, bs, opt, s in itertools.product((0.001, 0.01, 0.1), (32, 64), ("adam", "sgd"), range(seeds))
    ]


def share_within(runs: list[Row], hparam: str) -> float:
    """1 minus the share of the spread that is left within the levels: eta squared of one hyperparameter."""
    values = [r["metrics"]["val/acc"][-1] for r in runs]  # type: ignore[index]
    levels: dict[object, list[float]] = {}
    for r, v in zip(runs, values, strict=True):
        levels.setdefault(r["hyperparameters"][hparam], []).append(v)  # type: ignore[index]
    within = sum(plain.pvariance(g) * len(g) for g in levels.values())
    return 1 - within / (plain.pvariance(values) * len(values))


def test_effects_find_the_planted_learning_rate_and_no_effect_of_batch_size(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: 0.9 + 0.1 * math.log10(lr), 0.02)
    answer = database(tmp_path, runs).effects("val/acc", reduce="last")
    found = rows(answer)
    assert answer.table["hparam"][0] == "lr"
    assert found["lr"]["importance"] == pytest.approx(share_within(runs, "lr"), abs=0.05)
    assert found["lr"]["importance_low"] > 0.7
    assert found["lr"]["direction"] == "higher is better"
    assert (found["lr"]["best_value"], found["lr"]["n_values"]) == ("0.1", 3)
    for name in ("bs", "opt"):
        assert found[name]["importance"] < 0.02
        assert found[name]["importance_low"] == 0
        assert found[name]["direction"] == "no clear effect"
    assert "seed" not in found
    assert any("held-out R2" in note for note in answer.notes)


def test_the_goal_turns_the_direction(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: 0.9 + 0.1 * math.log10(lr), 0.02)
    found = rows(database(tmp_path, runs).effects("val/acc", goal="lower", reduce="last"))["lr"]
    assert (found["direction"], found["best_value"]) == ("lower is better", "0.001")


def test_a_best_value_inside_the_range_is_not_monotonic_and_a_category_is_named(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: (lr == 0.01) * 0.2 + (opt == "sgd") * 0.2, 0.02)
    found = rows(database(tmp_path, runs).effects("val/acc", reduce="last"))
    assert (found["lr"]["direction"], found["lr"]["best_value"]) == ("not monotonic", "0.01")
    assert (found["opt"]["direction"], found["opt"]["best_value"]) == ("best: sgd", "sgd")
    for name in ("lr", "opt"):
        assert found[name]["importance"] == pytest.approx(share_within(runs, name), abs=0.08)


def test_a_level_that_diverges_hides_no_optimum_inside_the_range(tmp_path: Path) -> None:
    """As learning rates do: too small is worse, a middle one is best, and the largest diverges in some runs."""
    levels = {0.001: 0.85, 0.01: 0.92, 0.1: 0.93, 0.3: 0.4}
    runs = [
        run(f"lr{lr}-s{s}", {"lr": lr, "seed": s}, val_acc=[level + 0.004 * (s % 3) + 0.5 * (lr == 0.3) * (s % 2)])
        for lr, level in levels.items()
        for s in range(10)
    ]
    found = rows(database(tmp_path, runs).effects("val/acc", reduce="last"))["lr"]
    assert (found["direction"], found["best_value"]) == ("not monotonic", "0.1")


def test_runs_that_lack_a_hyperparameter_have_no_say_in_its_direction_but_none_is_a_value(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: (lr == 0.01) * 0.2, 0.02)
    bare = run("bare", {"seed": 9}, val_acc=[0.9])
    found = rows(database(tmp_path / "lack", [*runs, bare]).effects("val/acc", reduce="last"))
    assert (found["lr"]["direction"], found["lr"]["best_value"]) == ("not monotonic", "0.01")
    for r in runs:
        r["hyperparameters"]["drop"] = None if r["hyperparameters"]["lr"] == 0.01 else 0.5  # type: ignore[index]
    found = rows(database(tmp_path / "none", runs).effects("val/acc", reduce="last"))
    assert (found["drop"]["direction"], found["drop"]["best_value"]) == ("best: null", "null")


def test_a_run_without_a_config_is_named_and_has_no_hyperparameters(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: lr, 0.02)
    whole = database(tmp_path / "whole", runs).effects("val/acc", reduce="last")
    answer = database(tmp_path / "lost", [*runs, run("bare", {}, val_acc=[9.0])]).effects("val/acc", reduce="last")
    assert answer.table.equals(whole.table)
    assert [e.runs for e in answer.basis.left_out] == [("bare",)]
    assert not {"(not set)", ""} & set(answer.table["best_value"])


def test_two_hyperparameters_that_always_change_together_share_one_number_and_name_each_other(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: 0.9 + 0.1 * math.log10(lr), 0.02)
    for r in runs:
        r["hyperparameters"]["warmup"] = {0.001: 500, 0.01: 100, 0.1: 0}[r["hyperparameters"]["lr"]]  # type: ignore[index]
    answer = database(tmp_path, runs).effects("val/acc", reduce="last")
    found = rows(answer)
    assert found["lr"]["confounded_with"] == ["warmup"]
    assert found["warmup"]["confounded_with"] == ["lr"]
    assert found["lr"]["importance"] == found["warmup"]["importance"] > 0.8
    assert (found["lr"]["direction"], found["warmup"]["direction"]) == ("higher is better", "lower is better")
    assert any("lr and warmup always change together" in note for note in answer.notes)


def test_two_that_nearly_always_change_together_are_named_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    runs = [
        run(
            f"r{i}",
            {"lr": float(lr), "wd": float(lr * 0.1 * (1 + 0.01 * rng.random())), "mom": float(rng.random())},
            val_acc=[float(lr)],
        )
        for i, lr in enumerate(rng.random(60))
    ]
    found = rows(database(tmp_path, runs).effects("val/acc"))
    assert found["lr"]["confounded_with"] == ["wd"]
    assert found["mom"]["confounded_with"] == []


def test_in_a_random_search_values_that_never_repeat_are_not_taken_for_the_same_hyperparameter(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    runs = []
    for i in range(80):
        lr, wd = 10 ** float(rng.uniform(-5, 0)), 10 ** float(rng.uniform(-6, -2))
        runs.append(
            run(f"r{i}", {"lr": lr, "wd": wd}, val_loss=[(math.log10(lr) + 2.5) ** 2 + float(rng.normal(0, 0.3))])
        )
    answer = database(tmp_path, runs).effects("val/loss")
    found = rows(answer)
    assert found["lr"]["confounded_with"] == []
    assert found["lr"]["direction"] == "not monotonic"
    low, high = (float(x) for x in found["lr"]["best_value"].split(" to "))
    assert low < 10**-2.5 < high
    assert found["lr"]["importance"] > 0.6 > 0.1 > found["wd"]["importance"]
    assert any("No repeated runs" in note for note in answer.notes)


def test_an_interaction_is_found_where_neither_matters_alone_and_not_where_both_add(tmp_path: Path) -> None:
    crossed = grid(lambda lr, bs, opt: 0.2 * ((bs == 32) == (opt == "sgd")), 0.02)
    answer = database(tmp_path / "x", crossed).effects("val/acc", reduce="last")
    found, pair = rows(answer), answer.tables["interaction"].row(0, named=True)
    assert {pair["hparam_a"], pair["hparam_b"]} == {"bs", "opt"}
    assert pair["share"] > 0.8
    assert pair["p"] < 1e-6
    assert min(found["bs"]["importance"], found["opt"]["importance"]) > 0.5 > found["lr"]["importance"]
    assert share_within(crossed, "bs") < 0.1  # alone it explains nothing
    added = grid(lambda lr, bs, opt: 0.2 * (bs == 32) + 0.2 * (opt == "sgd"), 0.02)
    sums = database(tmp_path / "y", added).effects("val/acc", reduce="last")
    assert any("not significant" in note for note in sums.notes)


def test_the_interactions_share_and_p_are_those_of_a_two_way_analysis_of_variance(tmp_path: Path) -> None:
    runs = grid(
        lambda lr, bs, opt: 0.1 * (bs == 32) + 0.15 * (opt == "sgd") + 0.05 * ((bs == 32) and opt == "sgd"), 0.03
    )
    pair = database(tmp_path, runs).effects("val/acc", reduce="last").tables["interaction"].row(0, named=True)
    cells: dict[tuple[object, object], list[float]] = {}
    for r in runs:
        h = r["hyperparameters"]
        cells.setdefault((h["bs"], h["opt"]), []).append(r["metrics"]["val/acc"][-1])  # type: ignore[index]
    every = [v for c in cells.values() for v in c]
    n, means = len(next(iter(cells.values()))), {k: plain.fmean(c) for k, c in cells.items()}
    contrast = (means[32, "sgd"] - means[32, "adam"] - means[64, "sgd"] + means[64, "adam"]) / 2
    crossed, within = n * contrast**2, sum(plain.pvariance(c) * n for c in cells.values()) / (len(every) - 4)
    from scipy import stats

    assert pair["p"] == pytest.approx(stats.f.sf(crossed / within, 1, len(every) - 4), rel=1e-6)
    assert pair["share"] == pytest.approx(max(0, crossed - within) / (plain.pvariance(every) * len(every)), rel=1e-6)


def test_without_effects_no_hyperparameter_matters(tmp_path: Path) -> None:
    clear = 0
    for chance in range(12):
        runs = grid(lambda lr, bs, opt: 0.5, 0.1, chance=chance)
        table = database(tmp_path / str(chance), runs).effects("val/acc", reduce="last").table
        clear += int((table["direction"] != "no clear effect").sum())
    assert clear <= 2  # of 36


def test_the_spread_between_repetitions_is_given_as_a_share(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: 0.1 * (opt == "sgd"), 0.1, chance=3)
    answer = database(tmp_path, runs).effects("val/acc", reduce="last")
    cells: dict[tuple[object, ...], list[float]] = {}
    for r in runs:
        h = r["hyperparameters"]
        cells.setdefault((h["lr"], h["bs"], h["opt"]), []).append(r["metrics"]["val/acc"][-1])  # type: ignore[index]
    share = plain.fmean(map(plain.variance, cells.values())) / plain.variance([v for c in cells.values() for v in c])
    assert f"Repetitions of one setting account for {share:.0%} of the variance." in answer.notes


def test_effects_warn_of_too_few_runs(tmp_path: Path) -> None:
    few = [run(f"r{i}", {"lr": i, "seed": 0}, val_acc=[0.1 * i]) for i in range(4)]
    answer = database(tmp_path / "few", few).effects("val/acc")
    assert answer.table["importance"].to_list() == [None]
    assert any(note.startswith("Too few runs: 4") for note in answer.notes)
    small = database(tmp_path / "small", grid(lambda lr, bs, opt: lr, 0.01, seeds=1)).effects("val/acc")
    assert any(note.startswith("Few runs: 12") for note in small.notes)
    same = [run(f"r{i}", {"lr": i, "seed": 0}, val_acc=[0.5]) for i in range(9)]
    assert any("have the same value" in note for note in database(tmp_path / "same", same).effects("val/acc").notes)
    alone = [run(f"r{i}", {"lr": 1, "seed": i}, val_acc=[0.1 * i]) for i in range(9)]
    answer = database(tmp_path / "alone", alone).effects("val/acc")
    assert answer.table.height == 0
    assert any("No hyperparameter varies" in note for note in answer.notes)


def test_a_few_outliers_switch_the_shares_to_ranks_with_a_note(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: 0.9 + 0.1 * math.log10(lr), 0.02)
    runs[0]["metrics"] = {"val/acc": [-1e6]}
    answer = database(tmp_path, runs).effects("val/acc", reduce="last")
    assert rows(answer)["lr"]["importance"] > 0.7
    assert any("variance of ranks" in note for note in answer.notes)


def test_values_near_the_end_of_the_numbers_are_ranked_too(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: (1 + bs) * 1e304 * (1 if opt == "sgd" else -1), 0.0)
    assert rows(database(tmp_path, runs).effects("val/acc", reduce="last"))["opt"]["importance"] > 0.5


def test_runs_that_give_no_number_are_left_out_with_their_reason(tmp_path: Path) -> None:
    runs = grid(lambda lr, bs, opt: lr, 0.01)
    runs[3]["metrics"] = {"val/acc": [0.1, math.nan]}
    runs[7]["metrics"] = {"train/loss": [1.0]}
    answer = database(tmp_path, runs).effects("val/acc", reduce="last")
    assert {(e.reason, e.n) for e in answer.basis.left_out} == {
        ("val/acc: not logged", 1),
        ("val/acc: last value is not finite", 1),
    }
    assert (answer.basis.runs_matched, answer.basis.runs_used) == (36, 34)


def test_the_answer_is_the_same_every_time_and_so_is_its_python_line(tmp_path: Path) -> None:
    db = database(tmp_path, grid(lambda lr, bs, opt: lr, 0.02))
    answer = db.effects("val/acc", where="lr < 0.05")
    again = eval(answer.basis.python, {"db": db})  # noqa: S307 - our own line, which is what is tested
    assert again.table.equals(answer.table)


def test_a_metric_that_is_not_there_or_has_no_goal_is_an_error(tmp_path: Path) -> None:
    db = database(tmp_path, [run(f"r{i}", {"lr": i}, zeta=[1.0 * i]) for i in range(6)])
    with pytest.raises(UnknownNameError, match="Nearest: 'zeta'"):
        db.effects("zetta")
    with pytest.raises(AmbiguousGoalError, match="goal="):
        db.effects("zeta")


def test_intervals_hold_the_true_share_about_as_often_as_they_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    held = 0
    for i in range(20):
        runs = []
        for j in range(120):
            lr, wd = (float(v) for v in rng.random(2))
            runs.append(run(f"r{j}", {"lr": lr, "wd": wd}, val_acc=[2 * lr + wd + float(rng.normal(0, 0.5))]))
        found = rows(database(tmp_path / str(i), runs).effects("val/acc"))["lr"]
        truth = (4 / 12) / (4 / 12 + 1 / 12 + 0.25)
        held += found["importance_low"] <= truth <= found["importance_high"]
    assert held >= 15


@pytest.mark.skipif(not (CORPUS / "native_steps").is_dir(), reason="SWEEPLENS_CORPUS does not name the corpus")
def test_on_the_grid_of_the_corpus_the_learning_rate_comes_first() -> None:
    db = ExperimentDB(base_path=CORPUS / "native_steps" / "logs")
    answer = db.effects("val/loss", where="notes = 'grid'")
    assert answer.table["hparam"].to_list() == ["optim.lr", "data.batch_size"]
    assert rows(answer)["optim.lr"]["direction"] == "higher is better"
    assert any(note.startswith("Few runs: 8") for note in answer.notes)


def test_two_thousand_runs_of_twenty_hyperparameters_take_a_few_seconds() -> None:
    from sweeplens.frames.schemas import RUN_COLUMNS, SERIES_SCHEMA, empty_points

    rng = np.random.default_rng(0)
    n = 2000
    ids = pl.Series("run_id", [f"r{i}" for i in range(n)])
    fixed = [pl.Series(c, [None] * n, dtype=t) for c, t in RUN_COLUMNS.items() if c not in ("run_id", "null_hparams")]
    nulls = pl.Series("null_hparams", [[""] for _ in range(n)])
    hparams = [pl.Series(f"h{j}", rng.integers(0, 5, n)) for j in range(20)]
    runs = pl.DataFrame([ids, *fixed, nulls, *hparams])
    value = rng.normal(size=n) + runs["h3"].to_numpy()
    stats = {c: pl.Series([100] * n, dtype=t) for c, t in SERIES_SCHEMA.items() if c not in ("run_id", "metric")}
    series = pl.DataFrame({"run_id": ids, "metric": ["val/acc"] * n, **stats}).with_columns(max=pl.Series(value))
    effects(runs.head(50), series.head(50), empty_points().lazy(), "val/acc")  # what is slow to load is loaded now
    began = time.process_time()
    answer = effects(runs, series, empty_points().lazy(), "val/acc", reduce="best")
    assert answer.table["hparam"][0] == "h3"
    assert time.process_time() - began < 5


def test_the_answer_does_not_depend_on_the_order_of_runs_and_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(51)
    rows = [
        ({"lr": lr, "bs": bs, "opt": opt}, float(lr + 0.2 * bs * (opt == "sgd") + rng.normal(0, 0.2)))
        for lr in (1, 2, 3) for bs in (1, 2) for opt in ("sgd", "adam") for _ in range(3)
    ]  # fmt: skip
    one = [run(f"r{i:02}", h, val_acc=[v]) for i, (h, v) in enumerate(rows)]
    other = [run(f"r{i:02}", dict(reversed(h.items())), val_acc=[v]) for i, (h, v) in enumerate(rows)][::-1]
    tables = [database(tmp_path / str(i), part).effects("val/acc").table for i, part in enumerate((one, other))]
    assert tables[0].equals(tables[1])


def test_the_answer_does_not_depend_on_the_names_of_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(53)
    rows = [({"lr": i % 5, "bs": i % 3}, float(i % 5 + rng.normal(0, 0.3))) for i in range(60)]
    named = [[run(f"r{n:02}", h, val_acc=[v]) for n, (h, v) in zip(order, rows, strict=True)]
             for order in (range(60), rng.permutation(60))]  # fmt: skip
    tables = [database(tmp_path / str(i), part).effects("val/acc").table for i, part in enumerate(named)]
    assert tables[0].equals(tables[1])


def test_of_very_many_runs_a_sample_is_named() -> None:
    from sweeplens.analyses.forest import MOST_RUNS, sample_text, shares_of_spread

    n = MOST_RUNS + 4_000
    columns = [[float(i % 7) for i in range(n)], [float(i * 13 % 11) for i in range(n)]]
    found = shares_of_spread(columns, [float(i % 7) for i in range(n)])
    assert found.share[0] > 0.9 > 0.1 > found.share[1]
    assert f"{MOST_RUNS:,} of {n:,} runs" in sample_text(n)
    assert not sample_text(MOST_RUNS)


def test_a_hyperparameter_that_matters_only_with_another_depends_on_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(52)
    rows = [
        run(f"r{a}{b}{s}", {"momentum": a, "lr": b, "seed": s}, val_acc=[float((a - 0.5) * (b - 0.5) + rng.normal(0, 0.05))])
        for a in (0, 1) for b in (0, 1) for s in range(6)
    ]  # fmt: skip
    found = dict(database(tmp_path, rows).effects("val/acc").table.select("hparam", "direction").iter_rows())
    assert found == {"momentum": "depends on lr", "lr": "depends on momentum"}


def test_a_note_names_what_the_left_out_runs_share(tmp_path: Path) -> None:
    rows = [
        run(f"r{lr}{s}", {"lr": lr, "seed": s}, val_acc=[0.5 + 0.01 * s, math.nan if lr == 3 and s < 5 else 0.6 + 0.01 * s])
        for lr in (1, 2, 3) for s in range(6)
    ]  # fmt: skip
    answer = database(tmp_path, rows).effects("val/acc")
    assert any("not missing at random: 5 of 6 with lr=3, 0 of 12 others" in note for note in answer.notes)


def test_a_task_has_no_row_and_does_not_drown_what_matters_within_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(53)
    rows = [
        run(
            f"r{env}{lr}{s}",
            {"env": env, "lr": lr, "seed": s},
            eval_return=[float(10.0 ** (2 * e) * (1 + 0.2 * lr + rng.normal(0, 0.02)))],
        )
        for e, env in enumerate(("a", "b", "c"))
        for lr in (1, 2, 3)
        for s in range(3)
    ]
    table = database(tmp_path, rows).effects("eval/return").table
    assert table["hparam"].to_list() == ["lr"]
    assert table["importance"][0] > 0.6
