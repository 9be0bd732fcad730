"""One training is one run, however many files its program wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

from sweeplens import AnalysisConfig, ExperimentDB

CASES = Path(__file__).parent.parent / "data" / "logs"


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=root)


def ends(db: ExperimentDB) -> dict[str, float]:
    """Run and metric -> the last value."""
    return {f"{r['run_id']} {r['metric']}": r["last"] for r in db.series_df.iter_rows(named=True)}


def test_a_training_of_catboost_is_one_run_with_its_sets_apart() -> None:
    db = opened(CASES / "catboost")
    assert db.runs_df["run_id"].to_list() == ["run0/catboost_info", "run1/catboost_info"]
    for metric in ("learn/Logloss", "test/Logloss", "test/AUC"):
        assert db.series_df.filter(metric=metric)["n"].to_list() == [20, 20]
    assert "Logloss" not in db.series_df["metric"].to_list()
    table = (CASES / "catboost" / "run0" / "catboost_info" / "test_error.tsv").read_text().splitlines()
    assert ends(db)["run0/catboost_info test/AUC"] == float(table[-1].split("\t")[1])
    notes = [n for n in db.rank("test/AUC", by="run").notes if "is better" in n]
    assert notes[0].startswith("higher")


def test_a_row_of_catboost_that_is_being_written_is_no_point(tmp_path: Path) -> None:
    shutil.copytree(CASES / "catboost" / "run0", tmp_path / "a")
    path = tmp_path / "a" / "catboost_info" / "learn_error.tsv"
    path.write_text("iter\tLogloss\n0\t0.6\n1\t0.5\n2\t0.")
    assert opened(tmp_path).series_df.filter(metric="learn/Logloss").select("n", "last").rows() == [(2, 0.5)]
