"""Files of producers that were run with odd features (docs/producers.md), value by value against what they were given."""

from __future__ import annotations

import json
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
