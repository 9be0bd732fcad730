"""What ClearML, Neptune, VisualDL, KerasTuner and FLAML wrote, value by value against what they were given, and odd files."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from support.reading import read_folder

from sweeplens import AnalysisConfig, ExperimentDB

WRITTEN = Path(__file__).parent.parent / "data" / "logs" / "trackers"
STEPS = [0, 10, 20, 30, 40]
HALVES = [1 / (i + 1) for i in range(5)]
TENTHS = [i * 0.1 for i in range(5)]
SESSION = f"offline-{10:032x}"


def test_an_offline_session_of_clearml_has_its_scalars_parameters_and_names() -> None:
    found = read_folder(WRITTEN)
    run = found.runs[SESSION]
    assert found.series(SESSION, "train/loss") == (STEPS, HALVES)
    assert found.series(SESSION, "val/loss") == (STEPS, [2 * v for v in HALVES])
    assert found.series(SESSION, "best") == ([0], [0.9])
    assert run.hyperparameters == {"lr": 0.1, "opt/name": "adam", "opt/wd": 1e-4, "Model/hidden": 64}
    assert (run.name, run.group, run.tags) == ("my run", "p/sub", ("a",))


@pytest.mark.parametrize("beside", [True, False])
def test_the_archive_of_a_session_is_read_where_its_folder_is_gone_and_else_a_copy(
    tmp_path: Path, beside: bool
) -> None:
    shutil.make_archive(str(tmp_path / SESSION), "zip", WRITTEN / SESSION)
    if beside:
        shutil.copytree(WRITTEN / SESSION, tmp_path / SESSION)
    found = read_folder(tmp_path)
    assert [*found.runs] == [SESSION]
    assert found.series(SESSION, "train/loss") == (STEPS, HALVES)


def test_a_log_of_visualdl_has_its_scalars_and_hyperparameters() -> None:
    found = read_folder(WRITTEN)
    assert found.series("vdl/run1", "train/loss")[0] == STEPS
    assert found.series("vdl/run1", "train/loss")[1] == pytest.approx(HALVES, rel=1e-7)
    assert found.series("vdl/run1", "acc")[1] == pytest.approx(TENTHS, rel=1e-7)
    assert found.runs["vdl/run1"].hyperparameters == {"lr": 0.1, "opt": "adam"}
    assert found.runs["vdl/run1"].non_scalar == {"note": 1}


@pytest.mark.parametrize("cut", [1, 20, 60, 150, 300])
def test_a_log_of_visualdl_that_is_being_written_keeps_its_whole_records(tmp_path: Path, cut: int) -> None:
    (source,) = (WRITTEN / "vdl" / "run1").iterdir()
    whole = read_folder(WRITTEN).series("vdl/run1", "train/loss")[1]
    (tmp_path / source.name).write_bytes(source.read_bytes()[:-cut])
    found = read_folder(tmp_path)
    (run,) = found.runs
    values = found.series(run, "train/loss")[1]
    assert values == whole[: len(values)]
    assert [p.kind for p in found.problems] == ["torn"]


def test_runs_of_both_clients_of_neptune_are_read_before_they_are_sent() -> None:
    found = read_folder(WRITTEN / "neptune")
    classic, scale = sorted(found.runs)
    assert found.series(classic, "train/loss") == (STEPS, HALVES)
    assert found.series(classic, "acc") == ([0, 1, 2, 3, 4], TENTHS)
    assert found.series(classic, "final") == ([0], [0.5])
    assert found.series(scale, "train/loss") == (STEPS, HALVES)
    assert found.series(scale, "acc") == (STEPS, TENTHS)
    about = found.runs[classic], found.runs[scale]
    assert [r.hyperparameters for r in about] == [{"lr": 0.1, "opt/name": "adam"}] * 2
    assert [(r.name, r.tags) for r in about] == [("my run", ("t",)), ("exp", ("t1",))]


def test_an_operation_of_neptune_that_is_damaged_is_a_problem_and_the_others_stay(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "neptune", tmp_path / "neptune")
    (path,) = (tmp_path / "neptune").rglob("*.sqlite3")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE run_operations SET operation = x'0aff' WHERE sequence_id = 5")
    database.close()
    found = read_folder(tmp_path)
    run = next(r for r in found.runs if "run-1" in r)
    assert found.series(run, "acc")[0] == [0, 20, 30, 40]
    assert [p.reason for p in found.problems] == ["1 operations cannot be read: left out"]


def test_trials_of_searches_are_runs_with_their_settings_and_goals() -> None:
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=WRITTEN)
    tuned = db.runs_df.filter(db.runs_df["run_id"].str.starts_with("keras_tuner")).sort("run_id")
    assert tuned["units"].to_list() == [8, 32, 16]
    assert (set(tuned["status"]), set(tuned["group"])) == ({"finished"}, {"proj"})
    assert (
        db.rank("score", goal="lower", by="run", runs="keras_tuner/*").table["run_id"][0] == "keras_tuner/proj/trial_0"
    )
    found = read_folder(WRITTEN)
    trial = "flaml/search.log/2"
    assert found.runs[trial].hyperparameters["learner"] == "rf"
    assert found.runs[trial].hyperparameters["max_leaves"] == 4
    assert found.metrics(trial) == {"validation_loss", "trial_time", "wall_clock_time", "logged_metric.pred_time"}
