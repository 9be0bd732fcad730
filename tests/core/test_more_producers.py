"""Files of boosted trees, of columns, of arrays and of tensorboardX, value by value against what their producers were given."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import RootError

PRODUCERS = Path(__file__).parent.parent / "data" / "logs" / "producers"
LOGGED = json.loads((PRODUCERS / "logged.json").read_text())
PRINTED = {"xgboost": 6e-6, "xgb_cv": 6e-6, "lightgbm": 6e-6}  # half a unit of the last digit that is printed


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=root)


def values(db: ExperimentDB, run: str, metric: str) -> list[float]:
    points = db.lazy_query().filter(pl.col("run_id") == run, pl.col("metric") == metric)
    return points.sort("step").collect()["value"].to_list()


@pytest.fixture(scope="module")
def db() -> ExperimentDB:
    return opened(PRODUCERS)


@pytest.mark.parametrize("run", LOGGED)
def test_every_value_is_read_under_its_name(db: ExperimentDB, run: str) -> None:
    series = db.series_df.filter(run_id=run)
    assert set(series["metric"]) == set(LOGGED[run])
    for metric, logged in LOGGED[run].items():
        assert values(db, run, metric) == pytest.approx(logged, abs=PRINTED.get(run, 1e-12))


def test_an_offline_experiment_of_comet_has_its_name_settings_and_tags(db: ExperimentDB) -> None:
    run = db.runs_df.filter(run_id="comet").row(0, named=True)
    assert (run["name"], run["lr"], run["model.width"], run["tags"]) == ("nice-name", 0.1, 64, ["t1"])
    assert (run["status"], run["metadata.project_name"]) == ("finished", "p")
    points = db.lazy_query().filter(pl.col("run_id") == "comet", pl.col("metric") == "loss").collect()
    assert points["step"].to_list() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert points["wall_time"].null_count() == 0


def test_steps_are_rounds_rows_or_the_array_that_counts(db: ExperimentDB) -> None:
    first_last = {r: (a, b) for r, a, b in db.series_df.select("run_id", "first_step", "last_step").iter_rows()}
    assert first_last["xgboost"] == (0, 7)
    assert first_last["lightgbm"] == (1, 8)
    assert first_last["npz"] == (0, 25)
    assert first_last["tensorboardx"] == (0, 50)


def test_several_arrays_of_a_folder_are_one_run_and_objects_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "train_loss.npy", np.array([3.0, 2.0, 1.0]))
    np.save(tmp_path / "val_loss.npy", np.array([3.5, 2.5]))
    np.save(tmp_path / "rewards.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    found = opened(tmp_path)
    assert found.runs_df.height == 1
    assert found.series_df.select("metric", "n", "last").rows() == [("train_loss", 3, 1.0), ("val_loss", 2, 2.5)]


@pytest.mark.parametrize("name", ["data.npz", "train-00000-of-00001.parquet"])
def test_data_sets_are_not_taken(tmp_path: Path, name: str) -> None:
    if name.endswith(".npz"):
        np.savez(tmp_path / name, x=np.zeros((4, 3)), y=np.array([0, 1, 1, 0]))
    else:
        rows = {"text": ["a", "b"], "label": [0, 1], "timestamp": [1, 2], "score": [0.5, 0.25]}
        pl.DataFrame(rows).write_parquet(tmp_path / name)
    with pytest.raises(RootError):
        opened(tmp_path).load_experiments()


def test_a_table_of_several_runs_in_columns_gives_each_its_values(tmp_path: Path) -> None:
    rows = [{"run_id": r, "step": i, "loss": k / (i + 1)} for k, r in enumerate("ab", 1) for i in range(5)]
    pl.DataFrame(rows).write_parquet(tmp_path / "metrics.parquet")
    found = opened(tmp_path)
    assert found.series_df.select("run_id", "n", "first", "last").rows() == [("a", 5, 1.0, 0.2), ("b", 5, 2.0, 0.4)]


@pytest.mark.parametrize("cut", [10, 200])
def test_a_file_that_was_cut_is_a_problem_and_not_a_crash(tmp_path: Path, cut: int) -> None:
    rows = [{"step": i, "loss": 1 / (i + 1)} for i in range(500)]
    frame = pl.DataFrame(rows)
    frame.write_ipc(tmp_path / "log.feather")
    whole = (tmp_path / "log.feather").read_bytes()
    (tmp_path / "log.feather").write_bytes(whole[:-cut])
    (tmp_path / "ok").mkdir()
    frame.write_parquet(tmp_path / "ok" / "metrics.parquet")
    found = opened(tmp_path)
    assert found.series_df["n"].to_list() == [500]
    assert "log.feather" in " ".join(found.problems["reason"])


def test_rounds_that_begin_again_are_another_training(tmp_path: Path) -> None:
    one = "".join(f"[{i}]\ttrain-rmse:{1 / (i + 1):.5f}\n" for i in range(4))
    (tmp_path / "train.log").write_text(one + one)
    assert opened(tmp_path).series_df.select("metric", "n").rows() == [("train-rmse", 4)] * 2


def test_formats_that_are_not_read_are_named_with_what_to_do(tmp_path: Path) -> None:
    for path in (".aim/meta/index", "out/results.duckdb", "a/history.pkl"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"\x80\x04\x00")
    with pytest.raises(RootError, match="An Aim repository is not read") as refused:
        opened(tmp_path).overview()
    assert "log with TensorBoard as well" in str(refused.value)
    assert "import aim" not in str(refused.value)  # the command in full is for the report of files
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.jsonl").write_text('{"step": 0, "loss": 1}\n{"step": 1, "loss": 0.5}\n')
    said = " ".join(opened(tmp_path).overview().basis.warnings)
    for words in ("an Aim repository", "a/history.pkl", "a pickle"):
        assert words in said


def database(path: Path, *statements: str, rows: dict[str, list[tuple[object, ...]]]) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
        for table, values_ in rows.items():
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values_[0]))})", values_)
    connection.close()


def test_a_wide_table_of_a_database_of_ones_own_is_a_log(tmp_path: Path) -> None:
    database(
        tmp_path / "results.db",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, epoch INTEGER, loss REAL, val_acc REAL, note TEXT)",
        "CREATE TABLE users (id INTEGER, age INTEGER)",
        rows={
            "log": [(i, i, 1 / (i + 1), None if i % 2 else i / 10, "x") for i in range(6)],
            "users": [(1, 40), (2, 50)],
        },
    )
    found = opened(tmp_path)
    assert found.series_df.select("run_id", "metric", "n", "last", "last_step").rows() == [
        ("results.db", "loss", 6, pytest.approx(1 / 6), 5),
        ("results.db", "val_acc", 3, 0.4, 4),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.db"]


def test_a_table_of_one_value_a_row_tells_runs_and_metrics_apart(tmp_path: Path) -> None:
    rows = [(r, m, i, k / (i + 1)) for k, r in enumerate("ab", 1) for i in range(4) for m in ("loss", "acc")]
    database(
        tmp_path / "m.sqlite",
        "CREATE TABLE metrics (run_id TEXT, metric TEXT, step INTEGER, value REAL)",
        rows={"metrics": rows},
    )
    found = opened(tmp_path)
    assert found.series_df.select("run_id", "metric", "n").rows() == [(r, m, 4) for r in "ab" for m in ("acc", "loss")]
    assert values(found, "b", "loss") == [2.0, 1.0, 2 / 3, 0.5]


def test_databases_of_other_programs_are_not_taken(tmp_path: Path) -> None:
    database(
        tmp_path / "app.db",
        "CREATE TABLE events (id INTEGER, time INTEGER, price REAL)",
        rows={"events": [(1, 2, 3.0), (2, 3, 4.0)]},
    )
    with pytest.raises(RootError):
        opened(tmp_path).load_experiments()


@pytest.mark.parametrize("files", ["files/", ""], ids=["today's folder", "before 0.10"])
@pytest.mark.parametrize("above", ["wandb", ""], ids=["in a folder", "a root of its own"])
def test_a_history_as_old_wandb_wrote_it_is_read_whole(tmp_path: Path, files: str, above: str) -> None:
    run = tmp_path / above / "run-20200131_120000-abc123"
    (run / files).mkdir(parents=True)
    rows = [
        {"_step": i, "_runtime": i, "_timestamp": 1.58e9 + i, "loss": 1 / (i + 1), "h": {"_type": "histogram"}}
        for i in range(50)
    ]
    (run / files / "wandb-history.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (run / files / "wandb-summary.json").write_text(json.dumps({**rows[-1], "best": 0.02}))
    (run / files / "config.yaml").write_text("lr:\n  desc: null\n  value: 0.1\n_wandb:\n  value: {}\n")
    (run / files / "wandb-events.jsonl").write_text('{"system.cpu": 3, "_runtime": 1}\n')
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    (found,) = db.runs_df.to_dicts()
    assert (found["format"], found["lr"], found["metadata.wandb_run_id"]) == ("wandb_summary", 0.1, "abc123")
    assert found["updated_at"].timestamp() == 1.58e9 + 49
    curve = db.query_metrics("^loss$")
    assert curve["step"].to_list() == list(range(50))
    assert curve["value"].to_list() == [r["loss"] for r in rows]
    best = db.query_metrics("^best$")
    assert (best["step"].to_list(), best["value"].to_list()) == ([49], [0.02])
    assert db.problems.height == 0
