"""Read-only SQL: right answers, plain columns, bounds that hold, and nothing in reach but three tables."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.cancellation import cancellable
from sweeplens.errors import InputError, LimitError, SweeplensError, UnknownNameError
from sweeplens.sql.query import QueryBounds, SqlTables, query_sql, run_in_child

SECRET = "the-secret-of-another-file"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    """Three runs of 200 steps; one of them resumes and writes ten steps again."""
    root = tmp_path_factory.mktemp("logs")
    for seed, lr in enumerate((0.1, 0.1, 0.5)):
        folder = root / f"run{seed}"
        folder.mkdir()
        config = {"optim": {"lr": lr}, "seed": seed, "layers": [32, 32], "name": "mlp"}
        (folder / "config.json").write_text(json.dumps(config))
        steps = [*range(200)] if seed else [*range(100), *range(90, 200)]
        lines = [json.dumps({"step": s, "train/loss": 1 / (s + 1) + lr, "val/acc": s / 200}) for s in steps]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return ExperimentDB(AnalysisConfig(query_seconds=20), root)


def test_a_query_over_points_counts_each_step_once(db: ExperimentDB) -> None:
    answer = db.query_sql(
        "SELECT run_id, count(*) AS n FROM points WHERE metric = 'val/acc' GROUP BY run_id ORDER BY run_id"
    )
    assert answer.table["n"].to_list() == [200, 200, 200]
    assert answer.basis.points == db.series_df["n_logged"].sum()


def test_the_same_number_comes_from_sql_and_from_frames(db: ExperimentDB) -> None:
    points = db.lazy_query().filter(pl.col("metric") == "train/loss").collect()
    answer = db.query_sql("SELECT avg(value) AS v FROM points WHERE metric = 'train/loss'").table["v"][0]
    assert answer == pytest.approx(points["value"].mean(), rel=1e-12)


def test_tables_join_by_run(db: ExperimentDB) -> None:
    query = 'SELECT r."optim.lr" AS lr, max(s.last) AS b FROM runs r JOIN series s USING (run_id) GROUP BY r."optim.lr" ORDER BY lr'
    assert db.query_sql(query).table["lr"].to_list() == [0.1, 0.5]


def test_lists_and_categories_come_out_as_plain_text(db: ExperimentDB) -> None:
    table = db.query_sql('SELECT tags, null_hparams, layers, "hparam.name" AS named FROM runs').table
    assert set(table.schema.values()) == {pl.String}
    gathered = db.query_sql("SELECT metric, array_agg(run_id) AS ids FROM series GROUP BY metric").table
    assert gathered.schema["ids"] == pl.String


def test_the_limit_is_named_when_it_was_reached(db: ExperimentDB) -> None:
    cut = db.query_sql("SELECT * FROM points", limit=7)
    assert cut.table.height == 7
    assert "limit reached" in cut.basis.warnings[0]
    assert not db.query_sql("SELECT run_id FROM runs", limit=3).basis.warnings
    with pytest.raises(InputError, match="limit 0"):
        db.query_sql("SELECT run_id FROM runs", limit=0)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT valu FROM points", "'value'"),
        ("SELECT stat FROM runs", "'status'"),
        ("SELECT r.stat FROM runs r JOIN series s USING (run_id)", "'status'"),
        ("SELECT run_id FROM runz", "Nearest: 'runs'"),
        ("SELECT optim.lr FROM runs", 'double quotes, as in "optim.lr"'),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(db: ExperimentDB, query: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=r"No (column|table)") as error:
        db.query_sql(query)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT value FROM points WHERE",
        "SELECT foo(value) FROM points",
        "SELECT value FROM points WHERE value = 'x'",
        "SELEKT 1",
        "",
    ],
)
def test_a_query_that_makes_no_sense_is_an_input_error_in_one_sentence(db: ExperimentDB, query: str) -> None:
    with pytest.raises(InputError) as error:
        db.query_sql(query)
    assert "FAILED HERE" not in str(error.value)
    assert "\n" not in str(error.value)


_READS = (
    "SELECT * FROM read_csv('{f}')", "SELECT * FROM READ_CSV('{f}')", "SELECT * FROM Read_Csv ( '{f}' )",
    "SELECT * FROM \"read_csv\"('{f}')", "SELECT * FROM `read_csv`('{f}')", "SELECT * FROM read_csv/**/('{f}')",
    "SELECT * FROM read_/**/csv('{f}')", "SELECT * FROM read_parquet('{p}')", "SELECT * FROM read_ipc('{f}')",
    "SELECT * FROM read_json('{f}')", "SELECT * FROM read_ndjson('{f}')", "SELECT * FROM scan_csv('{f}')",
    "SELECT * FROM scan_parquet('{p}')", "SELECT * FROM '{f}'", "SELECT * FROM \"{f}\"", "SELECT * FROM '{p}'",
    "SELECT r.* FROM runs r JOIN read_csv('{f}') c ON true", "SELECT * FROM runs, read_csv('{f}')",
    "WITH x AS (SELECT * FROM read_csv('{f}')) SELECT * FROM x", "SELECT * FROM (SELECT * FROM read_csv('{f}')) x",
    "SELECT (SELECT max(words) FROM read_csv('{f}')) FROM runs",
    "SELECT * FROM runs UNION ALL BY NAME SELECT * FROM read_csv('{f}')",
    "SELECT * FROM runs WHERE name IN (SELECT words FROM read_csv('{f}'))", "FROM read_csv('{f}') SELECT *",
    "SELECT * FROM runs; SELECT * FROM read_csv('{f}')", "CREATE TABLE t AS SELECT * FROM read_csv('{f}')",
    "COPY runs FROM '{f}'", "COPY runs TO '{d}/out.csv'", "SELECT * FROM runs INTO OUTFILE '{d}/out.csv'",
    "EXPLAIN SELECT * FROM read_csv('{f}')", "SELECT read_csv('{f}') FROM runs", "SELECT pg_read_file('{f}') FROM runs",
    "SELECT * FROM glob('{d}/*')", "SELECT * FROM LATERAL read_csv('{f}')", "LOAD DATA INFILE '{f}' INTO TABLE runs",
    "ATTACH '{f}' AS other", "SELECT * FROM read_csv('file://{f}')", "SELECT * FROM read_csv('https://example.org/x.csv')",
    "WITH a AS (WITH b AS (SELECT * FROM read_csv('{f}')) SELECT * FROM b) SELECT * FROM a", "INSTALL httpfs", "LOAD httpfs",
    "SELECT * FROM scan_parquet('s3://bucket/p.parquet')", "SELECT * FROM read_csv('{d}/*.csv')", "PRAGMA database_list",
    "-- x\nSELECT * FROM /* y */ read_csv('{f}')", "SELECT '/*' FROM read_csv('{f}') WHERE '*/' = ''",
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "f.csv").write_text(f"words\n{SECRET}\n")
    pl.DataFrame({"words": [SECRET]}).write_parquet(folder / "p.parquet")
    return {"f": str(folder / "f.csv"), "p": str(folder / "p.parquet"), "d": str(folder)}


@pytest.mark.parametrize("template", _READS)
def test_no_query_reads_or_writes_a_file(db: ExperimentDB, files: dict[str, str], template: str) -> None:
    before = sorted(Path(files["d"]).iterdir())
    with pytest.raises(InputError) as error:
        db.query_sql(template.format(**files))
    assert SECRET not in str(error.value)
    assert sorted(Path(files["d"]).iterdir()) == before


@pytest.mark.parametrize("table_function", ["read_csv('{f}')", "read_parquet('{p}')"])
def test_the_process_that_runs_a_query_cannot_open_a_file_even_if_the_text_was_let_through(
    files: dict[str, str], table_function: str
) -> None:
    with pytest.raises(InputError, match="tried to open a file"):
        run_in_child(f"SELECT * FROM {table_function.format(**files)}", _tables(3), QueryBounds())


def test_what_a_script_has_at_hand_is_no_table(db: ExperimentDB) -> None:
    frame = pl.DataFrame({"words": [SECRET]})
    with pytest.raises(UnknownNameError, match="No table 'frame'"):
        db.query_sql("SELECT * FROM frame")
    assert frame.height == 1


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE runs",
        "DELETE FROM runs",
        "TRUNCATE TABLE runs",
        "INSERT INTO runs VALUES (1)",
        "UPDATE runs SET name = 'x'",
    ],
)
def test_nothing_can_be_written(db: ExperimentDB, query: str) -> None:
    with pytest.raises(InputError):
        db.query_sql(query)
    assert db.query_sql("SELECT run_id FROM runs").table.height == 3


def test_a_query_past_its_time_is_stopped_and_says_how_to_narrow_it() -> None:
    with pytest.raises(LimitError, match=r"stopped after 1 s.*filter"):
        query_sql("SELECT sum(a.value) FROM points a, points b, points c", _tables(20_000), QueryBounds(seconds=1))


def test_a_query_past_its_memory_is_stopped_and_says_so() -> None:
    query = "SELECT count(DISTINCT a.value * 20000 + b.value) AS n FROM points a, points b"
    with pytest.raises(LimitError, match=r"more than 64 MB"):
        query_sql(query, _tables(20_000), QueryBounds(megabytes=64))


def test_a_query_that_nobody_waits_for_ends_within_a_second() -> None:
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise LimitError("gone")

    threading.Timer(1.0, gone.set).start()
    began = time.monotonic()
    with cancellable(check), pytest.raises(LimitError, match="gone"):
        query_sql("SELECT sum(a.value) FROM points a, points b, points c", _tables(20_000), QueryBounds())
    assert time.monotonic() - began < 3


def test_recursion_and_series_without_end_are_refused(db: ExperimentDB) -> None:
    for query in (
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x",
        "SELECT * FROM generate_series(1, 9)",
    ):
        with pytest.raises(SweeplensError):
            db.query_sql(query)


def test_points_may_be_a_scan_over_files(tmp_path: Path) -> None:
    tables = _tables(1000)
    tables.points.collect().write_parquet(tmp_path / "points.parquet")
    scanned = SqlTables(tables.runs, tables.series, pl.scan_parquet(tmp_path / "points.parquet"))
    answer = query_sql("SELECT count(*) AS n FROM points WHERE value >= 10", scanned, QueryBounds())
    assert answer.table["n"].to_list() == [990]


def _tables(n: int) -> SqlTables:
    """One run with ``n`` points."""
    points = pl.LazyFrame(
        {"run_id": ["a"] * n, "metric": ["m"] * n, "step": range(n), "value": [float(i) for i in range(n)]}
    )
    return SqlTables(pl.DataFrame({"run_id": ["a"]}), pl.DataFrame({"run_id": ["a"], "n_logged": [n]}), points)
