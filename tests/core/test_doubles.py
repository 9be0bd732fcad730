"""Runs that hold the same curves: recorded by two tools, copied, or repeated exactly. Said where both count, nowhere else."""

from __future__ import annotations

import math
import os
import random
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import points_of, series_of
from support.planted import Row, database, run
from support.sweep import write_run
from support.wire_samples import event, event_file, scalar, wandb_config, wandb_exit, wandb_file, wandb_row, wandb_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses.duplicate_runs import find_duplicates
from sweeplens.answers import Answer
from sweeplens.demo_data import write_sweep

CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
SETTINGS = [(lr, seed) for lr in (0.01, 0.1) for seed in range(3)]
Curves = Mapping[str, Sequence[float]]


def curves(lr: float, seed: int, steps: int = 30) -> dict[str, list[float]]:
    """What a run logs: a noisy loss and accuracy beside what all runs of the sweep share, a schedule and a counter."""
    chance = random.Random(f"{lr} {seed}")
    loss = [2 * math.exp(-lr * i) + chance.gauss(0, 0.05) for i in range(steps)]
    acc = [round(min(1.0, 1 - v / 3 + chance.gauss(0, 0.02)), 2) for v in loss]
    schedule = [0.1 * 0.97**i for i in range(steps)]
    return {"loss": loss, "val/acc": acc, "lr": schedule, "epoch": [float(i // 10) for i in range(steps)]}


def as_jsonl(root: Path, *, steps: int = 30) -> None:
    for lr, seed in SETTINGS:
        of_run = curves(lr, seed, steps)
        rows = [{"step": i, **{m: v[i] for m, v in of_run.items()}} for i in range(steps)]
        write_run(root / f"lr{lr} s{seed}", {"optim": {"lr": lr}, "seed": seed}, rows)


def as_tensorboard(root: Path, prefix: str = "") -> None:
    """The same sweep as event files: single precision, a global step of its own, no hyperparameters."""
    for lr, seed in SETTINGS:
        logged = [
            event(1.7e9 + i, 50 * i, scalar(prefix + metric, values[i]))
            for metric, values in curves(lr, seed).items()
            for i in range(len(values))
        ]
        event_file(root / f"{lr}_{seed}" / "events.out.tfevents.1700000000.host.1.0", logged)


def as_wandb(root: Path) -> None:
    """The same sweep as W&B records it offline, with what it adds by itself."""
    for i, (lr, seed) in enumerate(SETTINGS):
        of_run = {f"train/{m}": v for m, v in curves(lr, seed).items()}
        rows = [
            wandb_row({m: v[s] for m, v in of_run.items()} | {"_step": s, "_runtime": 1.7 * s + 0.01 * i}, s)
            for s in range(30)
        ]
        config = {"optim": {"lr": lr}, "seed": seed}
        begun = [wandb_run(f"id{i}", f"run {i}", config), wandb_config(config)]
        wandb_file(root / f"offline-run-20260101_00000{i}-id{i}", f"id{i}", [*begun, *rows, wandb_exit(0)])


def opened(*roots: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=roots)


def said(answer: Answer) -> str:
    """What an answer says of doubles; empty where it says nothing."""
    found = [w for w in answer.basis.warnings if "same curves" in w]
    assert len(found) <= 1
    return found[0] if found else ""


def everywhere(db: ExperimentDB, metric: str = "loss") -> dict[str, Answer]:
    """The answers in which runs count."""
    return {
        "overview": db.overview(),
        "list": db.list_runs(),
        "summarize": db.summarize(metrics=[metric]),
        "rank": db.rank(metric),
        "compare": db.compare('"optim.lr" = 0.01', '"optim.lr" = 0.1'),
        "effects": db.effects(metric),
        "diagnose": db.diagnose(),
    }


def test_every_answer_that_counts_runs_warns_of_a_copied_sweep(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    for name, answer in everywhere(opened(tmp_path)).items():
        assert said(answer).startswith("6 pairs of runs hold the same curves and count twice"), name
        assert "'copy/lr0.01 s0' (json_steps) and 'runs/lr0.01 s0' (json_steps), 2 equal curves" in said(answer), name


def test_a_sweep_without_a_copy_gives_no_warning(tmp_path: Path) -> None:
    as_jsonl(tmp_path)
    assert not any(map(said, everywhere(opened(tmp_path)).values()))


def test_single_precision_steps_of_its_own_and_other_names_hide_no_double(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "json")
    as_tensorboard(tmp_path / "tb", prefix="train/")
    as_wandb(tmp_path / "wandb")
    sentence = said(opened(tmp_path).overview())
    assert sentence.startswith("6 groups of runs hold the same curves and count more than once")
    assert all(kind in sentence for kind in ("(json_steps)", "(tensorboard)", "(wandb)"))


def test_the_condition_that_is_advised_leaves_each_run_once(tmp_path: Path) -> None:
    as_wandb(tmp_path / "wandb")
    as_tensorboard(tmp_path / "tb", prefix="train/")
    db = opened(tmp_path)
    doubled = db.list_runs()
    assert "where=\"format <> 'tensorboard'\" keeps one of each" in said(doubled)
    once = db.list_runs(where="format <> 'tensorboard'")
    assert (doubled.table.height, once.table.height, said(once)) == (12, 6, "")


def test_of_a_copied_folder_the_folder_is_left_out(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "it's a copy")
    db = opened(tmp_path)
    condition = said(db.list_runs()).partition('where="')[2].partition('"')[0]
    assert condition == "NOT starts_with(run_id, 'it''s a copy/')"
    assert db.list_runs(where=condition).table.height == 6
    assert not said(db.list_runs(where=condition))


def test_a_suggested_condition_counts_the_other_runs_that_it_drops(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    as_tensorboard(tmp_path / "tb")
    event_file(
        tmp_path / "tb" / "short" / "events.out.tfevents.1700000000.host.1.0", [event(1.7e9, 0, scalar("loss", 1))]
    )
    assert "keeps one of each, but drops 1 other run" in said(opened(tmp_path).overview())


def test_where_one_of_both_is_left_out_nothing_counts_twice(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    db = opened(tmp_path)
    assert not said(db.rank("loss", runs=["runs/*"]))
    assert not said(db.overview(where="starts_with(run_id, 'copy/')"))
    assert not said(db.compare("runs/lr0.01*", "copy/lr0.1 *"))
    assert said(db.rank("loss", runs=["runs/*", "copy/lr0.1 s0"])).startswith("2 runs hold the same curves")


def test_of_three_records_the_two_that_are_asked_for_still_count_twice(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        as_jsonl(tmp_path / name)
    db = opened(tmp_path)
    assert said(db.list_runs(runs=["*/lr0.1 s0"])).startswith("3 runs hold the same curves and count 3 times")
    assert said(db.list_runs(runs=["b/lr0.1 s0", "c/lr0.1 s0"])).startswith(
        "2 runs hold the same curves and count twice"
    )


def test_a_metric_that_only_one_of_both_names_so_counts_once(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    as_wandb(tmp_path / "wandb")
    db = opened(tmp_path)
    assert not said(db.rank("loss"))
    assert not said(db.summarize(metrics=["train/loss"]))
    assert said(db.summarize(metrics=["loss"], where="run_id IS NOT NULL")) == ""
    assert said(db.overview())


def test_a_record_without_hyperparameters_is_in_no_group_and_counts_there_once(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    as_tensorboard(tmp_path / "tb")
    db = opened(tmp_path)
    assert not said(db.rank("loss"))
    assert not said(db.effects("loss"))
    assert said(db.rank("loss", by="run"))
    assert said(db.summarize(metrics=["loss"]))


def test_comparing_takes_no_condition_and_is_advised_none(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    sentence = said(opened(tmp_path).compare("*/lr0.01 *", "*/lr0.1 *"))
    assert "leave out all but one of each" in sentence
    assert "where=" not in sentence


def test_a_copy_is_noticed_in_the_call_after_it_appears(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    db = opened(tmp_path)
    before = db.overview()
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    assert (said(before), said(db.overview())[:7]) == ("", "6 pairs")


def test_an_exact_rerun_is_no_replicate_either(tmp_path: Path) -> None:
    """A seed that was never used: three runs, one result."""
    rows: list[Row] = [
        run(f"s{seed}", {"seed": seed}, val_acc=curves(0.1, 0)["val/acc"], loss=curves(0.1, 0)["loss"])
        for seed in range(3)
    ]
    answer = database(tmp_path, rows).rank("val/acc")
    assert said(answer).startswith("3 runs hold the same curves and count 3 times")


@pytest.mark.parametrize(
    "metrics", [{"lr": "lr"}, {"epoch": "epoch"}, {"lr": "train/learning_rate", "epoch": "_timestamp"}]
)
def test_curves_that_all_runs_share_make_no_duplicates(tmp_path: Path, metrics: Mapping[str, str]) -> None:
    shared = {name: curves(0.1, 0)[metric] for metric, name in metrics.items()}
    rows = [run(f"s{seed}", {"seed": seed}, **shared) for seed in range(4)]
    assert not said(database(tmp_path, rows).overview())


def test_a_counter_by_any_name_makes_no_double(tmp_path: Path) -> None:
    rows = [run(f"s{seed}", {"seed": seed}, seen=[i / 3 for i in range(30)]) for seed in range(4)]
    assert not said(database(tmp_path, rows).overview())


def test_runs_that_only_share_a_schedule_because_all_else_is_nan_are_no_doubles(tmp_path: Path) -> None:
    rows = [run(f"s{s}", {"seed": s}, loss=[math.nan] * 30, lr=curves(0.1, 0)["lr"]) for s in range(4)]
    assert not said(database(tmp_path, rows).overview())


def test_runs_over_one_data_set_share_its_statistics_and_not_their_results(tmp_path: Path) -> None:
    chance = random.Random(1)
    data = {f"data/length{i}": [chance.random() for _ in range(30)] for i in range(5)}
    rows = [run(f"s{s}", {"seed": s}, loss=curves(0.1, s)["loss"], **data) for s in range(4)]
    assert not said(database(tmp_path, rows).overview())


def test_short_numbers_that_meet_by_chance_make_no_double(tmp_path: Path) -> None:
    """Accuracies over a hundred images: of two hundred seeds, many have equal summaries."""
    chance = random.Random(2)
    rows: list[Row] = []
    for seed in range(200):
        reached = [round(chance.uniform(0.95, 0.99), 2), *(round(chance.uniform(0.97, 1), 2) for _ in range(4))]
        rows.append(run(f"s{seed}", {"seed": seed}, val_acc=[*reached, 1.0, 1.0]))
    assert not said(database(tmp_path, rows).overview())


def test_easy_tasks_that_all_reach_the_same_score_make_no_double(tmp_path: Path) -> None:
    """Two accuracies that begin near the end and stay there: any two seeds may have the same."""
    chance = random.Random(3)
    rows: list[Row] = []
    for seed in range(100):
        easy = {m: [round(chance.uniform(0.95, 0.99), 2), *[1.0] * 9] for m in ("train_acc", "val_acc")}
        rows.append(run(f"s{seed}", {"seed": seed}, **easy))
    assert not said(database(tmp_path, rows).overview())


def test_right_answers_of_a_small_set_have_many_digits_and_few_values(tmp_path: Path) -> None:
    chance = random.Random(6)
    rows: list[Row] = []
    for seed in range(300):
        right = [chance.randint(258, 265) for _ in range(4)]
        rows.append(
            run(f"s{seed}", {"seed": seed}, val_acc=[r / 270 for r in right], val_err=[1 - r / 270 for r in right])
        )
    assert not said(database(tmp_path, rows).overview())


def test_curves_that_only_begin_end_and_turn_alike_are_other_curves(tmp_path: Path) -> None:
    chance = random.Random(4)
    rows: list[Row] = []
    for seed in range(4):
        between = {m: [chance.uniform(0.2, 0.7) for _ in range(20)] for m in ("loss", "val_acc")}
        ends = {m: [math.log(2), math.pi / 4, *values, math.e / 20, 0.5] for m, values in between.items()}
        rows.append(run(f"s{seed}", {"seed": seed}, **ends))
    assert not said(database(tmp_path, rows).overview())


def test_runs_that_share_a_part_of_their_curves_are_no_doubles(tmp_path: Path) -> None:
    chance = random.Random(5)
    shared = {f"reference{i}": [chance.random() for _ in range(20)] for i in range(2)}
    rows = [
        run(f"s{seed}", {"seed": seed}, **shared, **{f"own{i}": [chance.random() for _ in range(20)] for i in range(3)})
        for seed in range(4)
    ]
    assert not said(database(tmp_path, rows).overview())


def test_the_demo_sweep_holds_no_doubles(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    db = opened(tmp_path)
    assert not any(map(said, everywhere(db, "val/acc").values()))


def _single(values: Sequence[float]) -> list[float]:
    return [struct.unpack("<f", struct.pack("<f", v))[0] for v in values]


@given(
    seed=st.integers(0, 2**32),
    runs=st.integers(2, 8),
    steps=st.integers(4, 40),  # three values lie on one line now and then, which is no curve
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 300.0, 1e9]),
    metrics=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_distinct_random_curves_are_never_doubles_and_a_copy_in_single_precision_always_is(
    seed: int, runs: int, steps: int, scale: float, metrics: int
) -> None:
    chance = random.Random(seed)
    drawn: dict[str, dict[str, list[float]]] = {
        f"r{i}": {f"m{m}": [scale * (chance.random() - 0.3) for _ in range(steps)] for m in range(metrics)}
        for i in range(runs)
    }
    assert find_duplicates(series_of(points_of(drawn))) == ()
    copied = {f"tb/r{i}": {f"tag/{m}": _single(v) for m, v in drawn[f"r{i}"].items()} for i in range(runs)}
    found = find_duplicates(series_of(points_of(drawn | copied)))
    assert [d.runs for d in found] == [(f"r{i}", f"tb/r{i}") for i in range(runs)]


# What sets of real logs hold twice, each looked at by hand: a rerun of one config with one seed a minute later; one run whose
# Trainer wrote TensorBoard files outside its folder; a benchmark that was started again with the seeds it had.
KNOWN = {"mmengine": 1, "pub_hf_trainer": 1, "pub_lightning_csv": 6}
SETS = sorted(p.parent.name for p in Path(CORPUS).glob("*/expected.json")) if CORPUS else []


@pytest.mark.skipif(not SETS, reason="SWEEPLENS_CORPUS names no folder of sets")
@pytest.mark.parametrize("name", SETS)
def test_real_logs_hold_the_doubles_that_are_known_and_no_other(name: str) -> None:
    db = opened(Path(CORPUS) / name / "logs")
    assert len(find_duplicates(db.series_df)) == KNOWN.get(name, 0)


@pytest.mark.skipif(not SETS, reason="SWEEPLENS_CORPUS names no folder of sets")
def test_one_sweep_recorded_by_twelve_tools_is_recognised_and_no_other(tmp_path: Path) -> None:
    """Each group has the same learning rate, batch size and seed wherever these are known."""
    db = opened(*(Path(CORPUS) / name / "logs" for name in SETS))
    found = find_duplicates(db.series_df)
    assert sum(len(d.runs) > 6 for d in found) == 11
    runs = db.runs_df
    for double in found:
        members = runs.filter(pl.col("run_id").is_in(list(double.runs)))
        for names in (("optim.lr", "lr", "optimizer.lr"), ("seed",)):
            known = {
                float(v)
                for n in names
                if n in runs.columns
                for v in members[n].cast(pl.Float64, strict=False).drop_nulls()
            }
            assert len(known) <= 1, (double.runs, names, known)


def test_a_few_copies_are_left_out_by_a_condition_that_names_the_later_ones(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "runs")
    names = sorted(p.name for p in (tmp_path / "runs").iterdir())
    for copied in (1, 2):
        source = tmp_path / "runs" / names[copied]
        shutil.copytree(source, tmp_path / "runs" / f"{names[copied]} it's again")
        db = opened(tmp_path)
        warning = said(db.overview())
        condition = warning.partition('where="')[2].partition('" keeps one of each')[0]
        assert condition.startswith(f"run_id {'<>' if copied == 1 else 'NOT IN'} ")
        assert said(db.overview(where=condition)) == ""
        assert db.list_runs(where=condition).table.height == len(names)
