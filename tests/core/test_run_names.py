"""Runs are called by the names that people know, wherever an id can stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import wire_samples as wire

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import InputError, UnknownNameError

NAMES = {"aa1": "fresh-sun-1", "bb2": "calm-sea-2", "cc3": "twin", "dd4": "twin"}


@pytest.fixture
def db(tmp_path: Path) -> ExperimentDB:
    for k, (run, name) in enumerate(NAMES.items()):
        rows = (wire.wandb_row({"val/loss": 1 / (i + 1) + k / 10, "_step": i}) for i in range(12))
        described = wire.wandb_run(run, name, {"lr": 0.1 * (k + 1)})
        folder = tmp_path / "wandb" / f"run-2024010{k + 1}_000000-{run}"
        wire.wandb_file(folder, run, [described, *rows, wire.wandb_exit(1 if run == "aa1" else 0)])
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)


FIRST = "run-20240101_000000-aa1"
SECOND = "run-20240102_000000-bb2"


def test_a_display_name_stands_for_its_id(db: ExperimentDB) -> None:
    assert db.list_runs(runs=["fresh-sun-1"]).table["run_id"].to_list() == [FIRST]
    assert db.rank("val/loss", by="run", runs="calm-sea-2").table["run_id"].to_list() == [SECOND]
    assert db.query_metrics(run_filter=["fresh-sun-1"])["run_id"].unique().to_list() == [FIRST]
    assert dict(db.get_run("calm-sea-2").tables["run"].iter_rows())["run_id"] == SECOND
    assert db.get_run("calm-sea-2").table.equals(db.get_run(SECOND).table)


def test_a_glob_selects_by_id_or_by_name(db: ExperimentDB) -> None:
    assert set(db.list_runs(runs=["*-s*-*"]).table["run_id"]) == {FIRST, SECOND}
    assert set(db.list_runs(runs=["*-aa1", "calm-*"]).table["run_id"]) == {FIRST, SECOND}


def test_sides_of_a_comparison_are_called_by_name(db: ExperimentDB) -> None:
    assert db.compare("fresh-sun-1", "calm-sea-2").table.equals(db.compare(FIRST, SECOND).table)
    assert db.compare("fresh-*", "calm-*").table.equals(db.compare(FIRST, SECOND).table)


def test_a_condition_takes_names(db: ExperimentDB) -> None:
    assert db.list_runs(where="name = 'fresh-sun-1'").table["run_id"].to_list() == [FIRST]


def test_a_name_of_several_runs_is_refused_with_their_ids(db: ExperimentDB) -> None:
    with pytest.raises(InputError, match="2 runs are called 'twin': pass their ids"):
        db.list_runs(runs=["twin"])
    with pytest.raises(InputError, match="run-20240103_000000-cc3"):
        db.get_run("twin")


def test_a_name_that_is_nearly_right_is_offered(db: ExperimentDB) -> None:
    with pytest.raises(UnknownNameError, match="'fresh-sun-1'"):
        db.get_run("fresh-sun-7")


def test_lists_findings_and_the_overview_show_names_with_ids(db: ExperimentDB) -> None:
    listed = db.list_runs().table
    assert listed.columns[:2] == ["run_id", "name"]
    assert dict(listed.select("run_id", "name").iter_rows())[FIRST] == "fresh-sun-1"
    found = db.diagnose().table
    assert dict(found.select("run_id", "name").iter_rows())[FIRST] == "fresh-sun-1"
    text = " ".join(str(row[1]) for row in db.overview().table.iter_rows())
    assert f"fresh-sun-1 ({FIRST})" in text


def test_without_display_names_there_is_no_column_of_names(tmp_path: Path) -> None:
    for run in "ab":
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.jsonl").write_text('{"step": 0, "loss": 1}\n{"step": 1, "loss": 0.5}\n')
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    assert "name" not in db.list_runs().table.columns
    assert "name" not in db.diagnose().table.columns
