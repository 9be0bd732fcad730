"""Answers about small logs as people keep them: what the reader tests of each format do not ask."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens_mcp.cli.doctor import report
from sweeplens_mcp.settings import Settings

LOGS = Path(__file__).parent.parent / "data" / "logs"


def opened(name: str) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=LOGS / name)


def spoken(answer: Any) -> str:
    rows = [str(cell) for row in answer.table.iter_rows() for cell in row]
    return " ".join((*rows, *answer.notes, *answer.basis.warnings))


def ends(db: ExperimentDB) -> dict[tuple[str, str], tuple[int, float, float]]:
    columns = db.series_df.select("run_id", "metric", "n", "first", "last")
    return {(run, metric): (n, first, last) for run, metric, n, first, last in columns.iter_rows()}


def test_the_best_of_values_that_were_logged_without_a_step_is_found_among_all_of_them() -> None:
    db = opened("no_steps")
    table = db.series_df.join(db.runs_df.select("run_id", "lr"), on="run_id")
    assert table.select("lr", "n", "first", "last", "max").sort("lr").rows() == [
        (0.01, 6, 0.5, 0.7, 0.7),
        (0.1, 6, 0.5, 0.6, 0.9),
    ]
    best = db.rank("acc", by="run", reduce="max").table.row(0, named=True)
    assert (best["lr"], best["mean"]) == (0.1, 0.9)


def test_healthy_preference_and_reward_training_has_no_grave_finding() -> None:
    db = opened("rlhf")
    found = db.diagnose().table
    assert found.filter(severity="high").height == 0
    goals = dict(db.list_metrics().table.select("metric", "goal").iter_rows())
    assert goals["rewards/rejected"] in ("lower", "unknown")
    assert {goals["reward_std"], goals["frac_reward_zero_std"]} == {"unknown"}
    assert "frac_reward_zero_std" not in spoken(db.overview()).partition("best")[2]


def test_learning_rates_that_stand_in_names_are_told_apart() -> None:
    db = opened("names")
    ranked = db.rank("val/acc").table
    assert ranked["path.lr"].to_list() == [0.01, 0.001, 0.1]
    assert ranked["n"].to_list() == [3, 3, 3]
    assert ranked["mean"].to_list() == pytest.approx([0.893, 0.795, 0.694], abs=0.002)
    assert ranked["tied"].to_list() == [False, False, False] or ranked["tied"].to_list()[1:] == [False, False]
    assert "path.lr" in spoken(db.overview())


def test_goals_of_segmentation_and_summaries_are_known() -> None:
    db = opened("goals")
    goals = dict(db.list_metrics().table.select("metric", "goal").iter_rows())
    assert {goals[m] for m in ("mIoU", "IoU", "eval_rouge1", "eval_rouge2")} == {"higher"}
    assert db.rank("mIoU", by="run").table["mean"].to_list() == [0.44]
    assert db.rank("eval_rouge1", by="run").table["mean"].to_list() == [37.0]


TABLES = {
    "a_epoch_step_loss": "train_loss", "b_epoch_global_step_loss": "loss", "c_epoch_iteration_loss_lr": "loss",
    "d_step_epoch_loss": "loss", "e_epoch_step_loss_acc": "loss", "f_epoch_batch_loss": "loss", "g_epoch_iter_time": "loss",
    "h_Epoch_Step_Loss": "Loss",
}  # fmt: skip


def test_tables_with_an_epoch_and_a_step_keep_every_row() -> None:
    found = ends(opened("epoch_tables"))
    for run, metric in TABLES.items():
        n, first, last = found[run, metric]
        assert (n, first, round(last, 4)) == (30, 3.0, 0.7692), run


def test_the_export_of_a_panel_is_one_series_for_each_run() -> None:
    assert ends(opened("panel")) == {
        ("sweep-1", "train/loss"): (20, 3.0, pytest.approx(1.0345, abs=1e-4)),
        ("sweep-2", "train/loss"): (20, 4.0, pytest.approx(2.0345, abs=1e-4)),
    }


def test_the_doctor_lists_every_file_also_where_no_run_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "runs"
    root.mkdir()
    for name in ("notes.txt", "history.pkl", "model.pt"):
        (root / name).write_bytes(b"\x80\x04 nothing")
    lines = list(report(Settings((str(root),)), files=True))
    for name in ("notes.txt", "history.pkl", "model.pt"):
        assert any(line.startswith(f"{root / name}: ") for line in lines)


def test_a_copy_of_a_sample_elsewhere_says_the_same(tmp_path: Path) -> None:
    shutil.copytree(LOGS / "header_again", tmp_path / "x" / "header_again")
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path / "x" / "header_again")
    assert ends(db) == ends(opened("header_again"))


def test_settings_beside_a_log_whose_step_is_text_are_known() -> None:
    db = opened("ms_swift")
    assert db.runs_df.select("lora_rank", "n_steps").rows() == [(8, 8)]
    assert db.series_df.filter(metric="loss")["last_step"].to_list() == [40]
