"""Files of producers that were run with odd features (docs/producers.md), value by value against what they were given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB

PRODUCERS = Path(__file__).parent.parent / "data" / "logs" / "producers_run"
LOGGED: dict[str, dict[str, Any]] = json.loads((PRODUCERS / "logged.json").read_text(encoding="utf-8"))
PRINTED = {"lightgbm", "catboost/catboost_info"}  # with six digits and more
BY_THEMSELVES = {"epoch", "time/Passed", "time/Remaining", "process duration", "only epoch", "nostep"}
"""What producers write beside what they were given."""


@pytest.fixture(scope="module")
def db() -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=PRODUCERS)


def points(db: ExperimentDB, run: str) -> dict[str, list[tuple[int, float]]]:
    found = db.lazy_query().filter(pl.col("run_id") == run).sort("seq").collect()
    series: dict[str, list[tuple[int, float]]] = {}
    for metric, step, value in found.select("metric", "step", "value").iter_rows():
        series.setdefault(metric, []).append((step, value))
    return {m: sorted(p, key=lambda at: at[0]) for m, p in series.items()}


def test_each_training_is_one_run_and_there_are_no_others(db: ExperimentDB) -> None:
    assert sorted(db.runs_df["run_id"]) == sorted(LOGGED)


@pytest.mark.parametrize("run", LOGGED)
def test_every_value_is_read_at_its_step_under_its_name(db: ExperimentDB, run: str) -> None:
    read, logged = points(db, run), LOGGED[run]["metrics"]
    assert set(read) - BY_THEMSELVES == set(logged)
    for metric, rows in logged.items():
        assert [s for s, _ in read[metric]] == [s for s, _ in rows], metric
        exact = pytest.approx([v for _, v in rows], rel=2e-7, abs=6e-7 if run in PRINTED else 1e-12, nan_ok=True)
        assert [v for _, v in read[metric]] == exact, metric


@pytest.mark.parametrize("run", [r for r, said in LOGGED.items() if said["hparams"]])
def test_every_setting_is_read(db: ExperimentDB, run: str) -> None:
    row = db.runs_df.filter(run_id=run).row(0, named=True)
    assert {k: row[k] for k in LOGGED[run]["hparams"]} == LOGGED[run]["hparams"]


@pytest.mark.parametrize("run", [r for r, said in LOGGED.items() if said.get("status")])
def test_every_end_is_read(db: ExperimentDB, run: str) -> None:
    assert db.runs_df.filter(run_id=run)["status"].item() == LOGGED[run]["status"]


def test_the_mean_loss_that_a_trainer_reports_is_a_metric_of_its_own(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"step": s, "train/loss": 2.0 / s}) + "\n" for s in range(1, 9))
    (tmp_path / "metrics.jsonl").write_text(rows)
    (tmp_path / "all_results.json").write_text('{"train_loss": 0.68, "train_runtime": 3.5}')
    found = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    assert found.problems.is_empty()
    assert found.series_df.filter(metric="train_loss").select("n", "last", "last_step").row(0) == (1, 0.68, 8)


def test_a_second_run_from_a_checkpoint_replaces_the_events_from_its_first_step_on(tmp_path: Path) -> None:
    killed = PRODUCERS / "transformers_killed"
    shutil.copytree(killed, tmp_path / "run")
    events = next((tmp_path / "run").rglob("events.*"))
    shutil.copy(events, events.with_name("events.out.tfevents.1795799999.host.1.0"))
    found = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    assert found.series_df.filter(metric="loss")["n"].item() == len(LOGGED["transformers_killed"]["metrics"]["loss"])


@pytest.mark.parametrize(
    "said",
    [
        "Stopping. Best iteration:",
        "Early stopping, best iteration is:",
        "Did not meet early stopping. Best iteration is:",
    ],
)
def test_the_best_round_that_is_printed_at_the_end_is_no_second_training(tmp_path: Path, said: str) -> None:
    rounds = "".join(f"[{r}]\ttrain-rmse:{1 / (r + 1):.5f}\n" for r in range(0, 12, 2))
    (tmp_path / "train.log").write_text(f"{rounds}{said}\n[5]\ttrain-rmse:0.16667\n\n")
    series = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path).series_df
    assert series.select("n", "first_step", "last_step", "rewinds").rows() == [(7, 0, 10, 0)]


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("[{i}/9] 1 tree, {i} leaves, train loss: 0.{i}", {"train/loss"}),
        ("step {i}: 3 files, 2 skipped, loss 0.{i}", {"loss"}),
        ("epoch {i} loss, 0.{i}", {"loss"}),
    ],
)
def test_a_number_is_not_named_after_what_the_number_before_it_counts(
    tmp_path: Path, row: str, names: set[str]
) -> None:
    (tmp_path / "train.log").write_text("".join(row.format(i=i) + "\n" for i in range(1, 10)))
    series = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path).series_df
    assert set(series["metric"]) == names


def test_a_prefix_that_only_the_first_row_has_hides_no_row(tmp_path: Path) -> None:
    rows = [f"{'[12:00:01]' if i == 0 else ' ' * 10} INFO     step {i} loss {2 / (i + 1):.4f}" for i in range(8)]
    (tmp_path / "train.log").write_text("\n".join(rows) + "\n")
    series = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path).series_df
    assert series.filter(metric="loss").select("n", "first_step", "last_step").row(0) == (8, 0, 7)
