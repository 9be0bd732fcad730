"""`db.cost` and `db.checkpoints`: what results cost, which runs were slow, and which checkpoint of a run to keep."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.planted import database, run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import InputError, UnknownNameError

STEPS = 400
PLANNED = {"sgd": (0.6, 0.9), "adam": (1.0, 1.0), "muon": (2.0, 1.03)}
"""Optimizer -> seconds a step, and how good it is."""


def _sweep(root: Path, *, timed: bool = True, gpus: int = 4) -> ExperimentDB:
    """Three optimizers with four seeds each. Seed 3 ran on a machine that takes 2.2 times as long; adam overfits from step 250."""
    noise = random.Random(3)
    for opt, (pace, good) in PLANNED.items():
        for seed in range(4):
            folder = root / f"{opt}_{seed}"
            folder.mkdir(parents=True)
            config = {"opt": opt, "seed": seed, "host": "gpu05" if seed == 3 else "gpu01"} | (
                {"n_gpus": gpus} if gpus else {}
            )
            (folder / "config.json").write_text(json.dumps(config))
            slow = 2.2 if seed == 3 else 1.0
            rows = []
            for k in range(0, STEPS, 10):
                lost = 0.15 * max(0, k - 250) / 150 if opt == "adam" else 0.0
                value = 0.9 * good * (1 - math.exp(-k / 80)) - lost
                row = {"step": k, "tokens": 4096 * k, "val/acc": value + noise.gauss(0, 0.002)}
                row["test/acc"] = value - 0.02 + noise.gauss(0, 0.004)
                rows.append(row | ({"_timestamp": 1.7e9 + k * pace * slow} if timed else {}))
            (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ExperimentDB(AnalysisConfig(refresh_seconds=1e6, live_seconds=1e-3), base_path=root)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return _sweep(tmp_path_factory.mktemp("costs"))


def test_each_setting_has_its_steps_wall_time_gpu_hours_and_tokens(db: ExperimentDB) -> None:
    table = db.cost("val/acc").table
    for row in table.iter_rows(named=True):
        seconds = 390 * PLANNED[row["opt"]][0] * (3 + 2.2) / 4
        assert row["n"] == 4
        assert row["steps"] == 390
        assert row["seconds"] == pytest.approx(seconds, rel=1e-6)
        assert row["gpu_hours"] == pytest.approx(4 * seconds / 3600, rel=1e-6)
        assert row["tokens"] == 4096 * 390


def test_the_front_holds_what_is_best_for_its_cost(db: ExperimentDB) -> None:
    answer = db.cost()
    assert dict(answer.table.select("opt", "front").iter_rows()) == {"muon": True, "sgd": True, "adam": False}
    assert any(n.startswith("Front of val/acc against gpu_hours: opt=sgd") for n in answer.notes)


def test_slow_runs_are_named_with_their_machine_which_is_no_setting(db: ExperimentDB) -> None:
    answer = db.cost()
    assert "host" not in answer.table.columns
    slow = next(n for n in answer.notes if n.startswith("Slow"))
    assert slow == "Slow for their setting: adam_3, muon_3, sgd_3 on gpu05 (2.2 times the usual seconds a step)."
    assert db.rank("val/acc").table["n"].to_list() == [4, 4, 4]


def test_a_verdict_is_read_at_equal_wall_time_too(db: ExperimentDB) -> None:
    at = 390 * 0.6
    assert f"At equal wall time ({at:,.4g} s) opt=adam leads, not opt=muon." in db.cost().notes
    ranked = next(n for n in db.rank("val/acc").notes if "other analysis choices" in n)
    assert f"at equal wall time ({at:,.4g} s): opt=adam leads" in ranked
    compared = " ".join(db.compare("opt = 'muon'", "opt = 'adam'", metrics="val/acc").notes)
    assert "at equal wall time (390 s)" in compared


def test_a_verdict_is_read_at_equal_tokens_where_steps_hold_different_numbers(tmp_path: Path) -> None:
    noise = random.Random(5)
    runs = [
        run(f"b{batch}_{seed}", {"batch": batch, "seed": seed}, tokens=[batch * k for k in range(60)],
            val_acc=[1 - math.exp(-batch * k / 900) - 0.0001 * batch * k / 10 + noise.gauss(0, 1e-4) for k in range(60)])
        for batch in (16, 64) for seed in range(4)
    ]  # fmt: skip
    notes = " ".join(database(tmp_path, runs).rank("val/acc").notes)
    assert f"at {16 * 59} tokens" in notes


def test_what_is_not_logged_is_said(tmp_path: Path) -> None:
    answer = _sweep(tmp_path, timed=False, gpus=0).cost()
    assert "Wall time is not logged: costs are compared by tokens." in answer.notes
    assert "seconds" not in answer.table.columns
    assert not any(word in " ".join(answer.notes) for word in ("Slow", "equal wall time"))


def test_gpu_hours_need_a_number_of_gpus(tmp_path: Path) -> None:
    answer = _sweep(tmp_path, gpus=0).cost()
    assert "GPU-hours are not logged, and no setting tells the number of GPUs." in answer.notes
    assert "gpu_hours" not in answer.table.columns


def test_the_cost_until_a_threshold_counts_runs_that_never_got_there(db: ExperimentDB) -> None:
    answer = db.cost("val/acc", threshold=0.85)
    points = db.query_metrics("val/acc").filter(pl.col("value") > 0.85)
    first = points.group_by("run_id").agg(pl.col("step").min())
    for row in answer.table.iter_rows(named=True):
        own = sorted(first.filter(pl.col("run_id").str.starts_with(row["opt"]))["step"].to_list())
        assert row["reached"] == len(own)
        padded = [*own, *[math.inf] * (4 - len(own))]
        middle = (padded[1] + padded[2]) / 2
        assert row["to_steps"] == (middle if math.isfinite(middle) else None)
        assert row["to_tokens"] == (4096 * middle if math.isfinite(middle) else None)


def test_a_pause_between_two_days_does_not_count_as_cost(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    times = [1.7e9 + 10 * k + (86_400 if k >= 50 else 0) for k in range(100)]
    rows = [json.dumps({"step": k, "val/acc": k / 100, "_timestamp": t}) + "\n" for k, t in enumerate(times)]
    (tmp_path / "r/metrics.jsonl").write_text("".join(rows))
    answer = ExperimentDB(tmp_path).cost()
    assert answer.table["seconds"].to_list() == [pytest.approx(980)]
    assert "Pauses do not count, in r." in answer.notes


def test_an_unknown_metric_and_a_folder_without_a_main_metric_are_errors(db: ExperimentDB, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="val/acc"):
        db.cost("val/ac")
    with pytest.raises(UnknownNameError, match="val/acc"):
        db.checkpoints("val/ac")
    with pytest.raises(InputError, match="holds for none"):
        db.cost(where="seed > 100")


# ------------------------------------------------------------- checkpoints


def test_runs_that_end_worse_than_their_best_lead_and_are_named(db: ExperimentDB) -> None:
    answer = db.checkpoints()
    assert answer.table["run_id"][:4].sort().to_list() == [f"adam_{seed}" for seed in range(4)]
    assert answer.table["best_step"][:4].is_between(230, 280).all()
    assert any(n.startswith("4 of 12 runs end worse than their best by more than 3 times") for n in answer.notes)


def test_the_test_metric_is_read_at_the_best_validation_step(db: ExperimentDB) -> None:
    answer = db.checkpoints("val/acc")
    points = db.query_metrics("acc").pivot(on="metric", index=["run_id", "step"], values="value")
    for row in answer.table.iter_rows(named=True):
        mine = points.filter(run_id=row["run_id"]).sort("val/acc", descending=True).row(0, named=True)
        assert (row["best_step"], row["best"], row["test_at_best"]) == (mine["step"], mine["val/acc"], mine["test/acc"])
    assert any("chooses on the reported metric and looks better by" in n for n in answer.notes)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_early_stopping_is_what_plain_python_says(tmp_path_factory: pytest.TempPathFactory, values: list[int]) -> None:
    made = database(tmp_path_factory.mktemp("any"), [run("r", {"a": 1}, val_loss=[float(v) for v in values])])
    patience = max(3, len(values) // 10)
    best, since, stop = math.inf, 0, None
    for step, value in enumerate(values[:-1]):
        best, since = (value, 0) if value < best else (best, since + 1)
        if since >= patience:
            stop = (step, best)
            break
    row = made.checkpoints("val/loss").table.row(0, named=True)
    assert (row["stop_step"], row["stop_best"]) == (stop or (None, None))
    assert (row["best"], row["best_step"]) == (min(values), values.index(min(values)))


def test_a_run_that_ends_in_nan_needs_an_earlier_checkpoint(tmp_path: Path) -> None:
    curve = [2.0 - 0.1 * k for k in range(10)]
    runs = [run("fine", {"a": 1}, val_loss=curve), run("lost", {"a": 2}, val_loss=[*curve[:5], *[math.nan] * 5])]
    answer = database(tmp_path, runs).checkpoints()
    assert answer.table["run_id"].to_list() == ["lost", "fine"]
    assert answer.table["best_step"].to_list() == [4, 9]
    assert "1 of 2 runs end without a finite value (lost): only an earlier checkpoint works." in answer.notes


def test_methods_on_machines_of_other_speeds_are_compared_with_task_and_machine_held_equal(tmp_path: Path) -> None:
    noise = random.Random(5)
    ratio, slow, size = {"ft": 1.0, "kd": 1.35, "feat": 1.61}, {"A100": 1.0, "A10G": 2.6}, {"qa": 4.0, "sts": 1.0}
    for task in size:
        for method in ratio:
            for seed in range(6):
                alone = {"ft": "A100", "kd": "A10G"}.get(method) if task == "qa" else None  # feat links them
                gpu = alone or ("A100" if seed < (5 if method == "ft" else 2) else "A10G")
                folder = tmp_path / f"{task}-{method}-{seed}"
                folder.mkdir()
                (folder / "config.json").write_text(
                    json.dumps(
                        {"task": task, "method": method, "seed": seed, "gpu": gpu}
                        | ({} if method == "ft" else {"alpha": 0.5})
                    )
                )
                pace = size[task] * ratio[method] * slow[gpu] * noise.uniform(0.99, 1.01)
                rows = [
                    {"step": k, f"val/{task}_acc": 0.5 + noise.gauss(0, 0.01), "_timestamp": 1.7e9 + k * pace}
                    for k in range(0, 200, 20)
                ]
                (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    db = ExperimentDB(AnalysisConfig(live_seconds=1e-3), base_path=tmp_path)
    (note,) = [
        n
        for n in db.cost("val/sts_acc").notes
        if n.startswith("Time a step against method=ft, the task and gpu held equal")
    ]
    for method in ("kd", "feat"):
        told, low, high = (float(v) for v in re.findall(rf"{method} (\S+) times \[(\S+), (\S+)\]", note)[0])
        assert low <= ratio[method] <= high
        assert told == pytest.approx(ratio[method], rel=0.02)
        assert high - low < 0.05


def test_methods_are_compared_within_cells_of_the_settings_that_change_the_cost(tmp_path: Path) -> None:
    """A step of the largest model takes a hundred times as long, and one optimizer ran mostly with it."""
    noise, paces = random.Random(6), dict[tuple[str, int], list[float]]()
    for opt, ratio in (("adamw", 1.0), ("muon", 1.05)):
        for layers, size in ((6, 0.1), (12, 1.0), (24, 10.0)):
            for seed in range(6 if (opt == "adamw") == (layers == 24) else 2):
                pace = size * ratio * noise.uniform(0.995, 1.005)
                paces.setdefault((opt, layers), []).append(math.log(pace))
                folder = tmp_path / f"{opt}-{layers}-{seed}"
                folder.mkdir()
                config = {"opt": opt, "layers": layers, "batch": 512 // layers, "seed": seed}
                (folder / "config.json").write_text(json.dumps(config))
                rows = [
                    {"step": k, "val/loss": 2 + noise.random(), "_timestamp": 1.7e9 + k * pace}
                    for k in range(0, 100, 10)
                ]
                (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    notes = ExperimentDB(base_path=tmp_path).cost("val/loss").notes
    (note,) = [n for n in notes if n.startswith("Time a step against opt=adamw, layers held equal")]
    told, low, high = (float(v) for v in re.findall(r"muon (\S+) times \[(\S+), (\S+)\]", note)[0])
    assert low <= 1.05 <= high
    assert high - low < 0.02
    pairs = [(paces["muon", n], paces["adamw", n]) for n in (6, 12, 24)]
    gaps = [(len(a) * len(b) / (len(a) + len(b)), sum(a) / len(a) - sum(b) / len(b)) for a, b in pairs]
    assert told == pytest.approx(math.exp(sum(w * d for w, d in gaps) / sum(w for w, _ in gaps)), rel=0.003)
