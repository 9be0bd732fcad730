"""Trials of a search: pruned and waiting are statuses of their own, and the study's directions are the goals."""

from __future__ import annotations

from pathlib import Path

from sweeplens import AnalysisConfig, ExperimentDB

STUDY = Path(__file__).parent.parent / "data" / "logs" / "optuna"


def opened() -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=STUDY)


def test_pruned_and_waiting_trials_have_a_status_of_their_own() -> None:
    runs = opened().runs_df.sort("run_id")
    assert dict(zip(runs["run_id"], runs["status"], strict=True)) == {
        **{f"s/{i}": "finished" for i in range(6)},
        "s/2": "pruned",
        "s/5": "waiting",
    }


def test_a_pruned_trial_does_not_win_a_ranking_and_the_direction_of_the_study_is_the_goal() -> None:
    ranked = opened().rank("value", by="run")
    assert ranked.table["run_id"][0] == "s/0"
    assert "s/2" not in ranked.table["run_id"].to_list()
    left = {r: entry.reason for entry in ranked.basis.left_out for r in entry.runs}
    assert "pruned" in left["s/2"]


def test_pruned_trials_are_ranked_when_they_are_asked_for() -> None:
    db = opened()
    assert db.rank("value", by="run", where="status <> 'waiting'").table["run_id"][0] == "s/2"
    assert db.rank("value", by="run", runs=["s/2", "s/0"]).table["run_id"].to_list() == ["s/2", "s/0"]


def test_the_overview_names_the_best_trial_of_the_study() -> None:
    rows = dict(opened().overview().table.iter_rows())
    assert rows["best value"].startswith("s/0")
    assert "lower is better" in rows["best value"]
    assert "1 pruned" in rows["runs"]
    assert "1 waiting" in rows["runs"]
    assert "still running" not in rows
