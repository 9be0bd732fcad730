"""What a run's script wrote down about it beside its log: results, machines, how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB

FACTS = {
    "state": "finished",
    "host": "dgx-03",
    "test_acc": 0.86278,
    "inner": {"n": 1379},
    "curve": [1, 2, 3],
    "api_key": "s3cret",
}


def log(folder: Path, name: str = "metrics.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps({"step": i, "loss": 1 / (i + 1)}) + "\n" for i in range(12)))
    return folder


def runs(root: Path) -> list[dict[str, object]]:
    return ExperimentDB(AnalysisConfig(cache="memory"), root).runs_df.sort("run_id").to_dicts()


@pytest.mark.parametrize("name", ["result.json", "summary.json", "run_info.json", "eval_results.json", "metadata.json"])
def test_single_values_in_a_file_beside_the_log_are_metadata_and_say_how_the_run_ended(
    tmp_path: Path, name: str
) -> None:
    (log(tmp_path / "a") / name).write_text(json.dumps(FACTS))
    log(tmp_path / "b")
    one, other = runs(tmp_path)
    stem = f"metadata.{name.removesuffix('.json')}"
    assert (one["status"], one[f"{stem}.host"], one[f"{stem}.test_acc"]) == ("finished", "dgx-03", 0.86278)
    assert one[f"{stem}.inner.n"] == 1379
    assert one[f"{stem}.api_key"] == "***"
    assert f"{stem}.curve" not in one
    assert (other["status"], other[f"{stem}.host"]) == ("unknown", None)


def test_facts_above_a_folder_of_logs_are_of_its_only_run_and_never_of_several(tmp_path: Path) -> None:
    log(tmp_path / "exp" / "logs")
    (tmp_path / "exp" / "result.json").write_text(json.dumps(FACTS))
    for name in ("a.jsonl", "b.jsonl"):
        log(tmp_path / "many", name)
    (tmp_path / "many" / "result.json").write_text(json.dumps({"test_acc": 0.5}))
    one, *others = runs(tmp_path)
    assert one["metadata.result.test_acc"] == 0.86278
    assert [r["metadata.result.test_acc"] for r in others] == [None, None]


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "{", "[" * 100_000, '{"a": ' * 2000, json.dumps({"a": "x" * 70_000}), "\x00\xff"]
)
def test_a_file_that_holds_no_facts_changes_nothing(tmp_path: Path, content: str) -> None:
    log(tmp_path / "a")
    (before,) = runs(tmp_path)
    (tmp_path / "a" / "result.json").write_text(content)
    (after,) = runs(tmp_path)
    assert after == before


def test_facts_that_change_are_read_again(tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), log(tmp_path / "a").parent)
    assert "metadata.result.test_acc" not in db.runs_df.columns
    for value in (0.1, 0.25):
        (tmp_path / "a" / "result.json").write_text(json.dumps({"test_acc": value}))
        assert db.runs_df["metadata.result.test_acc"].to_list() == [value]


def last_values(root: Path) -> dict[str, dict[str, tuple[int, float]]]:
    """Run -> metric -> (step, value), of the metrics that the logs do not have."""
    series = ExperimentDB(AnalysisConfig(cache="memory"), root).series_df
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for row in series.iter_rows(named=True):
        if row["metric"] != "loss":
            found.setdefault(row["run_id"], {})[row["metric"]] = (row["last_step"], row["last"])
    return found


RESULT = {
    "status": "finished", "test_acc": 0.86, "test": {"f1": 0.8, "n": 1379}, "best_dev": 88, "train_runtime": 312.5,
    "tokens_seen": 5e9,
    "test_n": 1379, "seed": 3, "n_params": 110000, "gpu_id": 2, "start_time": 1747000000.0, "lr": 0.01,
    "config": {"alpha": 0.5},
    "top1_acc": "0.91", "wall_hours": 1.5, "best_step": 7, "num_classes": 10, "exit_code": 0, "git": {"dirty": 0.5},
}  # fmt: skip


def test_scores_and_costs_beside_a_log_are_metrics_at_its_last_step_and_counts_and_settings_are_none(
    tmp_path: Path,
) -> None:
    (log(tmp_path / "a") / "result.json").write_text(json.dumps(RESULT))
    assert last_values(tmp_path)["a"] == {
        "test_acc": (11, 0.86), "test.f1": (11, 0.8), "best_dev": (7, 88.0), "train_runtime": (11, 312.5),
        "tokens_seen": (11, 5e9), "top1_acc": (11, 0.91), "wall_hours": (11, 1.5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("eval_ood.json", '{"test_acc": 0.75}'),
        ("metrics_final.json", '{"test": 0.75}'),
        ("scores.json", '[{"test_bleu": 0.75}]'),
        ("summary.csv", "run,test_acc,n\na,0.75,3\n"),
        ("final_metrics.csv", "test_acc,epochs\n0.75,12\n"),
    ],
)
def test_reports_of_many_names_and_forms_give_one_score_and_no_other_run(
    tmp_path: Path, name: str, content: str
) -> None:
    (log(tmp_path / "a") / name).write_text(content)
    (scores,) = last_values(tmp_path).values()
    assert list(scores.values()) == [(11, 0.75)]


def test_two_reports_of_one_name_are_told_apart_by_their_files_unless_they_agree(tmp_path: Path) -> None:
    a, b = log(tmp_path / "a"), log(tmp_path / "b")
    for folder, best, final in ((a, 0.9, 0.8), (b, 0.7, 0.7)):
        (folder / "best_results.json").write_text(json.dumps({"acc": best}))
        (folder / "final_results.json").write_text(json.dumps({"acc": final}))
    (a / "all_results.json").write_text(json.dumps({"test_f1": 0.5123}))
    (a / "test_results.json").write_text(json.dumps({"test_f1": 0.512345}))
    (a / "test_scores.json").write_text(json.dumps({"loss": 0.4}))
    found = last_values(tmp_path)
    assert found["a"] == {
        "best/acc": (11, 0.9), "acc": (11, 0.8), "test_f1": (11, 0.5123), "test_scores.loss": (11, 0.4),
    }  # fmt: skip


def test_the_log_counts_where_it_has_the_metric_and_a_reported_value_that_it_lacks_is_a_warning(tmp_path: Path) -> None:
    for run, value in (("a", 1 / 12), ("b", 0.5), ("c", 0.031), ("d", 0.08333)):
        (log(tmp_path / run) / "result.json").write_text(json.dumps({"loss": value}))
    assert last_values(tmp_path) == {}
    (problem,) = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).problems.iter_rows(named=True)
    assert problem["run_id"] == "c"
    assert problem["file"].endswith("c/result.json")
    assert "reports loss 0.031, which the log does not have" in problem["reason"]
    warnings = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).rank("loss", by="run").basis.warnings
    assert any(
        "1 run has a reported value that the log contradicts: result.json of c reports loss" in w for w in warnings
    )


def test_scores_follow_their_file_and_move_with_the_log(tmp_path: Path) -> None:
    folder = log(tmp_path / "a")
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), tmp_path)

    def scores() -> list[tuple[int, int, float]]:
        mine = db.series_df.filter(db.series_df["metric"] == "test_acc")
        return mine.select("n", "last_step", "last").rows()

    result = folder / "result.json"
    assert scores() == []
    for value in (0.1, 0.25, 0.35):
        result.write_text(json.dumps({"test_acc": value}))
        assert scores() == [(1, 11, value)]
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": 12, "loss": 0.05}) + "\n")
    assert scores() == [(1, 12, 0.35)]
    result.unlink()
    assert scores() == []
    assert "metadata.result.test_acc" not in db.runs_df.columns


def test_scores_are_ranked_like_any_metric(tmp_path: Path) -> None:
    for lr, score in ((0.1, 0.7), (0.01, 0.9)):
        for seed in range(3):
            folder = log(tmp_path / f"{lr}_{seed}")
            (folder / "config.json").write_text(json.dumps({"lr": lr, "seed": seed}))
            (folder / "result.json").write_text(json.dumps({"test_acc": score + seed / 100}))
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    best = db.rank("test_acc").table.row(0, named=True)
    assert (best["lr"], best["n"], best["mean"]) == (0.01, 3, pytest.approx(0.91))
    assert db.list_runs(where='"test_acc.last" > 0.8').table.height == 3


@pytest.mark.parametrize("folder", ["eval", "results", "test"])
def test_reports_in_a_folder_of_results_below_the_run_are_its_own_and_no_run(tmp_path: Path, folder: str) -> None:
    below = log(tmp_path / "a") / folder
    below.mkdir()
    (below / "results.json").write_text(json.dumps({"test_acc": 0.75, "test_f1": 0.5}))
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), tmp_path)
    assert db.runs_df["run_id"].to_list() == ["a"]
    for value in (0.75, 0.8):
        (below / "results.json").write_text(json.dumps({"test_acc": value, "test_f1": 0.5}))
        series = db.series_df.filter(db.series_df["metric"] != "loss")
        assert series.select("metric", "last").rows() == [("test_acc", value), ("test_f1", 0.5)]


@pytest.mark.parametrize("name", ["results.json", "metrics.json", "eval.json", "stats.json"])
@pytest.mark.parametrize(
    ("log_name", "content"),
    [
        ("train.jsonl", "".join(json.dumps({"step": i, "loss": 1 / (i + 1)}) + "\n" for i in range(9))),
        ("log.csv", "step,loss\n" + "".join(f"{10 * i},{1 / (i + 1)}\n" for i in range(9))),
        ("train.log", "".join(f"epoch {i} loss {1 / (i + 1):.4f}\n" for i in range(20))),
    ],
)
def test_a_report_of_numbers_beside_a_log_of_any_kind_is_no_run_and_alone_it_is_one(
    tmp_path: Path, name: str, log_name: str, content: str
) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / name).write_text(json.dumps({"test_acc": 0.9, "test_f1": 0.8}))
    (tmp_path / "a" / log_name).write_text(content)
    found = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).series_df
    metrics = {(r["run_id"].partition("/")[0], r["metric"]) for r in found.iter_rows(named=True)}
    assert metrics == {("a", "loss"), ("a", "test_acc"), ("a", "test_f1"), ("b", "test_acc"), ("b", "test_f1")}
    assert found["run_id"].n_unique() == 2
