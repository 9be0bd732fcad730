"""MLflow, Optuna and Trackio databases made here: other schemas, live writers, crashes, locks and damage; no trace is left."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from support.reading import read_folder

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import sqlite as sqlite_files
from sweeplens.readers.optuna.sqlite import Optuna
from sweeplens.readers.protocol import FileStat, Source

MLFLOW = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, lifecycle_stage TEXT);
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT, end_time BIGINT, lifecycle_stage TEXT,
    experiment_id INTEGER);
CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
INSERT INTO experiments VALUES (3, 'vision', 'active'), (4, 'old', 'deleted');
INSERT INTO runs VALUES ('a', 'first', 'KILLED', 1700000000000, 1700000009000, 'active', 3),
    ('b', '', 'RUNNING', 1700000000000, NULL, 'active', 3), ('c', 'gone', 'FINISHED', 1, 2, 'active', 4);
INSERT INTO params VALUES ('lr', '1e-3', 'a'), ('opt.name', 'adam', 'a');
INSERT INTO tags VALUES ('mlflow.parentRunId', 'a', 'b'), ('mlflow.runName', 'second', 'b'), ('team', 'x', 'b');
INSERT INTO metrics VALUES ('val/auc', 0.5, 1700000001000, 'a', 2, 0), ('val/auc', 0, 1700000002000, 'a', 4, 1),
    ('val/auc', -1.7976931348623157e308, 1700000003000, 'a', 1, 0), ('n', 3, 1700000004000, 'b', 0, 0);
"""

OPTUNA = """
CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT);
CREATE TABLE study_directions (study_id INTEGER, direction TEXT, objective INTEGER);
CREATE TABLE study_system_attributes (study_id INTEGER, key TEXT, value_json TEXT);
CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, number INTEGER, study_id INTEGER, state TEXT, datetime_start DATETIME,
    datetime_complete DATETIME);
CREATE TABLE trial_params (param_id INTEGER PRIMARY KEY, trial_id INTEGER, param_name TEXT, param_value FLOAT,
    distribution_json TEXT);
CREATE TABLE trial_values (trial_value_id INTEGER PRIMARY KEY, trial_id INTEGER, objective INTEGER, value FLOAT, value_type TEXT);
CREATE TABLE trial_intermediate_values (trial_intermediate_value_id INTEGER PRIMARY KEY, trial_id INTEGER, step INTEGER,
    intermediate_value FLOAT, intermediate_value_type TEXT);
INSERT INTO studies VALUES (1, 'depth'), (2, 'pareto');
INSERT INTO study_directions VALUES (1, 'MAXIMIZE', 0), (2, 'MINIMIZE', 0), (2, 'MAXIMIZE', 1);
INSERT INTO study_system_attributes VALUES (2, 'study:metric_names', '["loss", "speed"]');
INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', '2024-01-01 00:00:00.5', '2024-01-01 00:00:01'), (2, 1, 1, 'WAITING', NULL, NULL),
    (3, 0, 2, 'FAIL', '2024-01-01 00:00:00', NULL);
INSERT INTO trial_values VALUES (1, 1, 0, NULL, 'INF_POS'), (2, 3, 0, 0.25, 'FINITE'), (3, 3, 1, 9, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (1, 1, 5, 0.5, 'FINITE'), (2, 1, 10, NULL, 'NAN'), (3, 1, 7, NULL, 'INF_NEG');
"""

TRACKIO = """
CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT, run_name TEXT, config TEXT, created_at TEXT);
CREATE TABLE system_metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, metrics TEXT);
"""


def database(path: Path, script: str, *, wal: bool = False) -> Path:
    """A database made by a script; closed, so that nothing lies beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={'wal' if wal else 'delete'}")
        connection.executescript(script)
        connection.commit()
    return path


@contextlib.contextmanager
def writer(path: Path) -> Generator[sqlite3.Connection]:
    """Another program that has the database open."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def beside(path: Path) -> set[str]:
    return {p.name for p in path.parent.iterdir()}


def test_mlflow_keeps_nan_as_a_flag_and_infinity_as_the_largest_float(tmp_path: Path) -> None:
    database(tmp_path / "any name.sqlite3", MLFLOW)
    found = read_folder(tmp_path)
    steps, values = found.series("a", "val/auc")
    assert (steps, values[0], math.isnan(values[1]), values[2]) == ([2, 4, 1], 0.5, True, -math.inf)
    assert found.runs["a"].hyperparameters == {"lr": "1e-3", "opt.name": "adam"}
    assert [found.runs[r].status for r in "abc"] == ["killed", "running", "finished"]
    assert [found.runs[r].metadata["lifecycle"] for r in "abc"] == ["active", "active", "deleted"]
    assert [found.runs[r].group for r in "abc"] == ["vision", "vision", "old"]
    assert (found.runs["b"].parent, found.runs["b"].name, found.runs["b"].tags) == ("a", "second", ("team=x",))
    assert str(found.runs["b"].updated_at) == "2023-11-14 22:13:24+00:00", "a run without an end: its last metric"


def test_values_that_no_number_can_be_are_counted_and_the_others_read(tmp_path: Path) -> None:
    odd = "INSERT INTO metrics VALUES ('n', 'text', 1, 'b', 1, 0), ('n', 5.0, 'then', 'b', 2.0, 0), ('n', x'00', 1, 'b', 3, 0);"
    database(tmp_path / "m.db", MLFLOW + odd)
    found = read_folder(tmp_path)
    assert found.series("b", "n") == ([0, 2], [3.0, 5.0])
    assert "2 rows of the table metrics without a number or a step" in found.problems[0].reason


def test_text_that_is_not_utf_8_is_replaced_with_a_problem(tmp_path: Path) -> None:
    database(tmp_path / "m.db", f"{MLFLOW} INSERT INTO params VALUES ('note', CAST(x'41ff42' AS TEXT), 'c');")
    found = read_folder(tmp_path)
    assert found.runs["c"].hyperparameters == {"note": "A\ufffdB"}
    assert found.runs["a"].hyperparameters == {"lr": "1e-3", "opt.name": "adam"}
    assert "decode" in found.problems[0].reason


def test_optuna_decodes_parameters_through_their_distributions(tmp_path: Path) -> None:
    def row(name: str, value: float, kind: str, **attributes: object) -> str:
        spec = json.dumps({"name": kind, "attributes": attributes})
        columns = "(trial_id, param_name, param_value, distribution_json)"
        return f"INSERT INTO trial_params {columns} VALUES (1, '{name}', {value}, '{spec}');"

    params = "".join([
        row("act", 2, "CategoricalDistribution", choices=[None, True, "gelu"]),
        row("layers", 3.0, "IntUniformDistribution", low=1, high=4),
        row("lr", 0.25, "LogUniformDistribution", low=0.1, high=1),
        row("lost", 7, "CategoricalDistribution", choices=[1]),
    ])  # fmt: skip
    database(tmp_path / "o.db", OPTUNA + params)
    found = read_folder(tmp_path)
    assert found.runs["depth/0"].hyperparameters == {"act": "gelu", "layers": 3, "lr": 0.25, "lost": 7}
    assert isinstance(found.runs["depth/0"].hyperparameters["layers"], int)
    assert "parameter 'lost'" in found.problems[0].reason


def test_optuna_trials_are_runs_with_states_values_and_named_objectives(tmp_path: Path) -> None:
    database(tmp_path / "o.db", OPTUNA)
    found = read_folder(tmp_path)
    steps, values = found.series("depth/0", "intermediate_value")
    assert (steps, values[0], math.isnan(values[1]), values[2]) == ([5, 10, 7], 0.5, True, -math.inf)
    assert found.series("depth/0", "value") == ([10], [math.inf])
    assert (found.series("pareto/0", "loss"), found.series("pareto/0", "speed")) == (([0], [0.25]), ([0], [9.0]))
    assert {k: r.status for k, r in found.runs.items()} == {
        "depth/0": "finished",
        "depth/1": "waiting",
        "pareto/0": "failed",
    }
    assert found.runs["depth/1"].metadata == {
        "state": "WAITING",
        "direction": "maximize",
        "goals": {"value": "higher", "intermediate_value": "higher"},
    }
    assert found.runs["pareto/0"].metadata["directions"] == ["minimize", "maximize"]


def test_an_old_optuna_storage_without_numbers_and_types_reads_too(tmp_path: Path) -> None:
    old = """
    CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT);
    CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, study_id INTEGER, state TEXT);
    CREATE TABLE trial_params (param_id INTEGER, trial_id INTEGER, param_name TEXT, param_value FLOAT, distribution_json TEXT);
    CREATE TABLE trial_values (trial_value_id INTEGER PRIMARY KEY, trial_id INTEGER, objective INTEGER, value FLOAT);
    INSERT INTO studies VALUES (1, 's'); INSERT INTO trials VALUES (4, 1, 'COMPLETE'), (9, 1, 'PRUNED');
    INSERT INTO trial_values VALUES (1, 9, 0, 2.5);
    """
    database(tmp_path / "o.db", old)
    found = read_folder(tmp_path)
    assert (list(found.runs), found.series("s/1", "value")) == (["s/0", "s/1"], ([0], [2.5]))


def trackio_rows(*rows: tuple[str, str, int, object]) -> str:
    return "".join(
        f"INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('{key}', '2024-01-01T00:00:0{step}', "
        f"'{name}', {step}, '{values if isinstance(values, str) else json.dumps(values)}');"
        for key, name, step, values in rows
    )


def test_trackio_reads_numbers_words_for_nan_parts_of_objects_and_counts_media(tmp_path: Path) -> None:
    config = json.dumps({"lr": 0.1, "_Group": "g", "_Username": "me", "_Created": "2024-01-01T00:00:00+00:00"})
    rows = trackio_rows(
        ("k1", "one", 0, {"loss": "NaN", "img": {"_type": "trackio.image"}, "lr": {"enc": 1, "dec": 2}}),
        ("k1", "one", 4, {"loss": "-Infinity", "note": "hello"}),
        ("k2", "one", 1, {"loss": 7}),
        ("k3", "two", 2, "{torn"),
    )
    gpu = [f"({i}, 'k1', '2024-01-01', 'one', '{json.dumps({'gpu': value})}')" for i, value in enumerate((0.5, 0.6))]
    system = f"INSERT INTO system_metrics VALUES {', '.join(gpu)};"
    database(
        tmp_path / "proj.db",
        f"{TRACKIO}{rows}{system} INSERT INTO configs VALUES (1, 'k1', 'one', '{config}', 'x');",
        wal=True,
    )
    found = read_folder(tmp_path)
    steps, values = found.series("one", "loss")
    assert (steps, math.isnan(values[0]), values[1]) == ([0, 4], True, -math.inf)
    assert found.metrics("one") == {"loss", "lr.enc", "lr.dec", "system/gpu"}
    assert found.series("one", "system/gpu") == ([0, 1], [0.5, 0.6])
    assert found.series("one@k2", "loss") == ([1], [7.0]), "a second run of the same name is a run of its own"
    assert found.runs["one"].non_scalar == {"img": 1, "note": 1}
    assert (found.runs["one"].hyperparameters, found.runs["one"].group, found.runs["two"].group) == (
        {"lr": 0.1},
        "g",
        "proj",
    )
    assert "row 4 of metrics is not JSON" in found.problems[0].reason


def test_an_old_trackio_database_knows_its_runs_by_name(tmp_path: Path) -> None:
    script = """CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
    CREATE TABLE configs (id INTEGER PRIMARY KEY, run_name TEXT, config TEXT, created_at TEXT);
    INSERT INTO metrics VALUES (1, '2024-01-01', 'r', 0, '{"a": 1}'), (2, '2024-01-01', 'r', 1, '{"a": 2}');
    INSERT INTO configs VALUES (1, 'r', '{"b": 3}', 'x');"""
    database(tmp_path / "p.db", script)
    found = read_folder(tmp_path)
    assert (found.series("r", "a"), found.runs["r"].hyperparameters) == (([0, 1], [1.0, 2.0]), {"b": 3})


def test_a_database_of_another_tool_is_refused_and_a_schema_of_many_pages_is_found(tmp_path: Path) -> None:
    many = "".join(f"CREATE TABLE other{i} ({', '.join(f'column_{j} TEXT' for j in range(40))});" for i in range(120))
    database(tmp_path / "photos.db", many)
    database(tmp_path / "mlflow.db", f"PRAGMA page_size=1024; {many}{MLFLOW}")
    (tmp_path / "fake.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    found = read_folder(tmp_path)
    assert [Path(s.path).name for s in found.sources] == ["mlflow.db"]
    assert {Path(p).name for p in found.refused} == {"photos.db", "fake.db"}


def test_reading_leaves_no_files_beside_a_closed_database(tmp_path: Path) -> None:
    path = database(tmp_path / "t.db", TRACKIO + trackio_rows(("k", "r", 0, {"a": 1})), wal=True)
    assert read_folder(tmp_path).series("r", "a") == ([0], [1.0])
    assert beside(path) == {"t.db"}


def test_committed_rows_of_a_live_writer_are_read_and_others_are_not(tmp_path: Path) -> None:
    path = database(tmp_path / "t.db", TRACKIO, wal=True)
    with writer(path) as other:
        other.executescript(trackio_rows(("k", "r", 0, {"a": 1})))
        other.execute("BEGIN")
        other.execute(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('k', '', 'r', 1, '{\"a\": 2}')"
        )
        found = read_folder(tmp_path)
        assert found.series("r", "a") == ([0], [1.0])
        assert {Path(f.path).name for f in found.sources[0].files} == {"t.db", "t.db-wal"}, (
            "a commit changes the wal only"
        )
        other.execute("COMMIT")
        assert read_folder(tmp_path).series("r", "a") == ([0, 1], [1.0, 2.0])
    assert beside(path) == {"t.db"}


def test_a_writer_is_not_kept_from_writing_while_its_database_is_read(tmp_path: Path) -> None:
    database(tmp_path / "m.db", MLFLOW, wal=True)
    with writer(tmp_path / "m.db") as other:
        other.execute("PRAGMA busy_timeout=0")
        for step in range(20):
            other.execute("INSERT INTO metrics VALUES ('n', 1, 1, 'b', ?, 0)", (step + 1,))
            assert len(read_folder(tmp_path).series("b", "n")[0]) == step + 2


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("keep_shm", [True, False])
def test_committed_rows_of_a_killed_writer_are_read(tmp_path: Path, mode: str, keep_shm: bool) -> None:
    path = database(tmp_path / "m.db", MLFLOW, wal=mode == "wal")
    kill_while_writing(path)
    if not keep_shm:
        (tmp_path / "m.db-shm").unlink(missing_ok=True)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")}
    assert read_folder(tmp_path).series("b", "n") == ([0, 1], [3.0, 8.0])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")} == before
    assert (tmp_path / "m.db-shm").exists() == (keep_shm and mode == "wal")


def kill_while_writing(path: Path) -> None:
    """A process that commits one row and dies in the middle of a large transaction, some of which is on disk."""
    code = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA cache_size=5")
c.execute("INSERT INTO metrics VALUES ('n', 8, 1, 'b', 1, 0)")
c.execute("BEGIN")
c.executemany("INSERT INTO metrics VALUES ('n', 9, 1, 'b', ?, 0)", [(i,) for i in range(5000)])
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    path = database(tmp_path / "in" / "m.db", MLFLOW, wal=True)
    kill_while_writing(path)
    (path.parent / "m.db-shm").unlink()
    path.parent.chmod(0o555)
    try:
        assert read_folder(tmp_path).series("b", "n") == ([0, 1], [3.0, 8.0])
    finally:
        path.parent.chmod(0o755)


def test_a_locked_database_is_an_error_with_a_reason_and_not_a_crash(tmp_path: Path) -> None:
    path = database(tmp_path / "o.db", OPTUNA)
    with writer(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FormatError, match="another process holds a lock on it"):
            read_folder(tmp_path)
    assert len(read_folder(tmp_path).runs) == 3


def test_a_large_database_without_a_wal_is_read_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "_LOCK_FREE_FROM", 0)
    path = database(tmp_path / "m.db", MLFLOW)
    with writer(path) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("INSERT INTO params VALUES ('k', 'v', 'c')")
        assert read_folder(tmp_path).runs["c"].hyperparameters == {"k": "v"}


def test_a_damaged_table_is_read_up_to_the_damage_with_a_problem(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 20000)"
    rows = f"{numbers} INSERT INTO metrics SELECT 'm', i, i, 'a', i, 0 FROM n;"
    path = database(tmp_path / "m.db", MLFLOW + rows)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    found = read_folder(tmp_path)
    steps, _ = found.series("a", "m")
    assert 1000 < len(steps) < 20000
    assert steps == list(range(len(steps)))
    assert set(found.runs) == {"a", "b", "c"}
    assert "the database is damaged" in found.problems[0].reason


def test_of_a_database_that_was_cut_off_the_first_part_is_read(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 20000)"
    path = database(tmp_path / "m.db", f"{MLFLOW}{numbers} INSERT INTO metrics SELECT 'm', i, i, 'a', i, 0 FROM n;")
    path.write_bytes(path.read_bytes()[: 40 * 4096])
    found = read_folder(tmp_path)
    steps, _ = found.series("a", "m")
    assert steps == list(range(len(steps))) != []
    assert set(found.runs) == {"a", "b", "c"}
    assert "the database is damaged" in found.problems[0].reason


@pytest.mark.parametrize(
    "script", [MLFLOW, OPTUNA, TRACKIO + trackio_rows(*(("k", "r", i, {"a": i}) for i in range(9)))]
)
def test_no_flipped_byte_and_no_cut_makes_a_reader_crash_or_hang(tmp_path: Path, script: str) -> None:
    good = database(tmp_path / "good.db", script).read_bytes()
    dice = random.Random(7)
    for turn in range(60):
        data = bytearray(good)
        for _ in range(dice.choice([1, 4, 64])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path = tmp_path / f"{turn}" / "x.db"
        path.parent.mkdir()
        path.write_bytes(data[: dice.choice([len(data), dice.randrange(len(data))])])
        began = time.monotonic()
        with contextlib.suppress(FormatError):
            read_folder(path.parent)
        assert time.monotonic() - began < 15
        assert beside(path) <= {"x.db"}


def test_a_file_of_which_nothing_is_sqlite_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(os.urandom(5000))
    entry = FileStat(str(path), 5000, 0, 0)
    with pytest.raises(FormatError, match="not a database"):
        Optuna().read(Source("optuna", str(tmp_path), str(path), (entry,)), None)
