"""`db.overview` on the demo sweep: each number equals that of plain Polars from the files."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from scipy import stats
from support.planted import database, run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses.overview import overview
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions
from sweeplens.answers import Answer
from sweeplens.config import Thresholds
from sweeplens.demo_data import write_sweep


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, now=datetime.now(UTC))
    return folder


@pytest.fixture(scope="module")
def told(demo: Path) -> Answer:
    return ExperimentDB(AnalysisConfig(), base_path=demo).overview()


def line(answer: Answer, topic: str) -> str:
    return answer.table.filter(pl.col("topic") == topic)["text"].item()


def test_it_takes_about_twenty_lines_none_of_them_long(told: Answer) -> None:
    assert told.table.height <= 20
    assert max(len(text) for text in told.table["text"]) < 400
    assert told.table["topic"].is_unique().all()


def test_the_best_group_of_each_main_metric_has_its_interval_and_what_ties_with_it(told: Answer, demo: Path) -> None:
    values: dict[tuple[float, int], list[float]] = {}
    for lr, size, last in _last_accuracies(demo):
        values.setdefault((lr, size), []).append(last)
    means = {group: sum(v) / len(v) for group, v in values.items()}
    first = max(means, key=lambda g: means[g])
    row = told.tables["best"].filter(pl.col("metric") == "val/acc").row(0, named=True)
    low, high = stats.t.interval(
        0.95, len(values[first]) - 1, loc=means[first], scale=stats.sem(values[first])
    )  # fmt: skip
    assert row["group"] == f"optim.lr={first[0]}, data.batch_size={first[1]}"
    assert (row["n"], row["mean"]) == (len(values[first]), pytest.approx(means[first]))
    assert (row["ci95_low"], row["ci95_high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["tied"][0] == "(0.03, 128)"
    assert line(told, "best val/acc").endswith(
        f"ties with {', '.join(row['tied'][:3])} and {len(row['tied']) - 3} more"
    )


def test_the_overview_warns_of_ties_from_broken_runs(told: Answer) -> None:
    assert "optim.lr=0.3, data.batch_size=128 (2 of 3)" in line(told, "ties")


def test_the_ties_are_those_of_the_ranking(told: Answer, demo: Path) -> None:
    ranked = ExperimentDB(AnalysisConfig(), base_path=demo).rank("val/acc").table
    tied = ranked.filter(pl.col("tied") & (pl.col("rank") > 1)).select("optim.lr", "data.batch_size").rows()
    row = told.tables["best"].filter(pl.col("metric") == "val/acc").row(0, named=True)
    assert row["tied"] == [f"({lr:g}, {size})" for lr, size in tied]


def test_findings_are_ordered_by_severity_with_each_cause_once(told: Answer) -> None:
    high, medium = line(told, "high findings"), line(told, "medium findings")
    assert high.startswith("nan in 4 runs [shared: optim.lr=0.3, the same runs as optim.weight_decay=3e-05: 4 of 4")
    assert "divergence in 4 runs [shared: as nan]" in medium
    assert line(told, "worst").count("nan of train/loss") == 4


def test_a_run_without_a_config_is_reported_once_and_not_for_each_hyperparameter(told: Answer) -> None:
    assert line(told, "no hyperparameters").startswith("1: lr0.1_bs128_s5")
    assert "missing" not in line(told, "varies")


def test_running_runs_and_news_have_a_line_each(told: Answer) -> None:
    assert line(told, "still running") == "1: lr0.03_bs64_s5 (step 600)"
    assert line(told, "last 24 hours").startswith("60 runs began; 58 finished; ")


def test_a_sweep_of_last_week_has_nothing_new(tmp_path: Path) -> None:
    write_sweep(tmp_path, now=datetime.now(UTC) - timedelta(days=7))
    assert "last 24 hours" not in ExperimentDB(AnalysisConfig(), base_path=tmp_path).overview().table["topic"].to_list()


def test_metrics_have_their_goal_range_and_steps(told: Answer) -> None:
    metrics = line(told, "metrics")
    assert (
        "val/acc (higher is better) 0.1 to 0.9391, val/loss (lower is better) 0.2193 to 2.039: steps 50-1000" in metrics
    )


def test_long_lists_in_the_overview_end_with_a_count(tmp_path: Path) -> None:
    metrics = {f"layer{j}/norm": [1.0] for j in range(30)}
    runs = [
        {**run(f"r{i}", {f"h{j:02}": j + i * (j + 1) for j in range(15)}), "metrics": metrics} for i in range(4)
    ]  # fmt: skip
    answer = database(tmp_path, runs).overview()
    assert "and 10 more (list_metrics)" in line(answer, "metrics")
    assert "same split as h01, h02, h03 and 11 more" in line(answer, "varies")


def test_without_repetitions_ties_are_unknown(tmp_path: Path) -> None:
    answer = database(tmp_path, [run(f"r{i}", {"lr": 0.1 * i}, val_acc=[0.1 * i]) for i in range(1, 4)]).overview()
    assert line(answer, "best val/acc").endswith("ties unknown: no repeated runs")


def test_an_overview_over_very_many_points_names_the_checks_that_it_skipped(demo: Path) -> None:
    view = ExperimentDB(AnalysisConfig(), base_path=demo).view()
    many = view.series.with_columns(n_logged=pl.col("n_logged") * 1000)
    options = DiagnosisOptions(Thresholds(), datetime.now(UTC), replicates=("seed",))
    answer = overview(view.runs, many, view.snapshot.points, replicates=("seed",), triage=options)
    assert "divergence, overfitting, spikes" in line(answer, "not checked")
    assert "nan in 4 runs" in line(answer, "high findings")


def test_of_a_random_search_the_best_run_is_named_and_no_split_is_called_the_same(tmp_path: Path) -> None:
    rng = random.Random(4)
    runs = [run(f"trial{i:02}", {f"h{j}": rng.random() for j in range(9)}, val_acc=[rng.random()]) for i in range(20)]
    db = database(tmp_path, runs)
    best = db.rank("val/acc", by="run").table["run_id"][0]
    told = db.overview()
    assert line(told, "best val/acc").startswith(f"{best} (h0=")
    assert "and 3 more): mean " in line(told, "best val/acc")
    assert "same split" not in line(told, "varies")
    assert db.rank("val/acc").table.columns[:4] == ["rank", "run_id", "n", "mean"]


def _last_accuracies(demo: Path) -> list[tuple[float, int, float]]:
    """lr, batch size and last val/acc of each run whose config can be read, from the files by the names of the folders."""
    found: list[tuple[float, int, float]] = []
    for file in sorted(demo.glob("*/metrics.jsonl")):
        rows = [_parsed(text) for text in file.read_text(encoding="utf-8").splitlines()]
        last = [r["val/acc"] for r in rows if "val/acc" in r][-1]
        lr, size, _ = file.parent.name.split("_")
        if file.parent.name != "lr0.1_bs128_s5":
            found.append((float(lr[2:]), int(size[2:]), last))
    return found


def _parsed(text: str) -> dict[str, float]:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _seeded(level: float, seed: int, n: int = 60) -> list[float]:
    noise = random.Random(1000 * seed + int(1e4 * level))
    """A curve that rises to a level."""
    return [level * (1 - math.exp(-k / 10)) + noise.gauss(0, 0.002) for k in range(n)]


def _next(db: ExperimentDB) -> list[str]:
    return db.overview().table.filter(pl.col("topic").str.starts_with("next "))["text"].to_list()


def test_the_overview_ends_with_three_calls_that_a_colleague_would_make(tmp_path: Path) -> None:
    runs = [
        run(
            f"r{lr}_{bs}_{seed}",
            {"lr": lr, "decay": 1 / lr, "bs": bs, "seed": seed},
            val_acc=_seeded(0.8 + lr / 100, seed + 10 * bs),
        )
        for lr in (1, 2, 4)
        for bs in (16, 32)
        for seed in range(3)
    ]
    runs[0]["metadata"] = {"status": "failed"}
    said = _next(database(tmp_path, runs))
    assert [text.partition(":")[0] for text in said] == [
        "1 run broke (crashed)",
        "the two best in val/acc differ only in bs",
        "lr was only varied together with decay, so which of them works is unknown",
    ]


def test_ties_that_rest_on_broken_runs_are_named_whatever_broke_them(tmp_path: Path) -> None:
    runs = [
        run(f"{o}{seed}", {"opt": o, "seed": seed}, val_acc=_seeded(0.8, seed + 7 * (o == "b")))
        for o in "ab"
        for seed in range(4)
    ]
    exploded = [2.0 * 0.95**k for k in range(40)] + [2.0 * 10**k for k in range(1, 21)]
    runs[5] = run("b1", {"opt": "b", "seed": 1}, val_acc=_seeded(0.8, 8), train_loss=exploded)
    db = database(tmp_path, runs)
    assert db.list_runs(where="health = 'broken'").table["run_id"].to_list() == ["b1"]
    ties = db.overview().table.filter(topic="ties")["text"].item()
    assert "opt=b (1 of 4)" in ties


def test_a_metric_that_only_one_task_logs_is_not_set_beside_one_of_all_tasks(tmp_path: Path) -> None:
    def metrics(task: str, seed: int, opt: str) -> dict[str, list[float]]:
        both = {"val_acc": _seeded(0.8 - 0.1 * (opt == "b"), seed)}
        return both | ({"val_loss": _seeded(0.2, seed)} if task == "cifar" else {})

    runs = [
        run(f"{task}{opt}{seed}", {"dataset": task, "opt": opt, "seed": seed}, **metrics(task, seed, opt))
        for task in ("cifar", "mnist")
        for opt in "ab"
        for seed in range(4)
    ]
    topics = database(tmp_path, runs).overview().table["topic"].to_list()
    assert {"best val/acc", "best val/loss"} <= set(topics)
