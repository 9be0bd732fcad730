"""Read-only SQL: right answers, plain columns, bounds that hold, and nothing in reach but three tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from support.processes import at_a_query, children, until

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


def test_points_that_cannot_be_read_any_more_do_not_stop_queries_that_need_none(tmp_path: Path) -> None:
    pl.DataFrame({"run_id": ["a"], "value": [1.0]}).write_parquet(tmp_path / "points.parquet")
    series = pl.DataFrame({"run_id": ["a"], "n_logged": [1]})
    tables = SqlTables(pl.DataFrame({"run_id": ["a"]}), series, pl.scan_parquet(tmp_path / "*.parquet"))
    (tmp_path / "points.parquet").unlink()
    with pytest.raises(InputError):
        query_sql("SELECT value FROM points", tables, QueryBounds())
    assert query_sql("SELECT run_id FROM runs", tables, QueryBounds()).table["run_id"].to_list() == ["a"]


def test_a_query_runs_with_the_environment_of_now(db: ExperimentDB, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store is reached with credentials from the environment, which a kept process has from its start."""
    db.query_sql("SELECT 1 AS one FROM runs")
    before = set(children(os.getpid()))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    db.query_sql("SELECT 1 AS one FROM runs")
    assert set(children(os.getpid())) != before


def test_variables_of_a_script_are_no_tables(db: ExperimentDB) -> None:
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


def test_a_query_beyond_its_memory_limit_is_stopped_with_an_error() -> None:
    query = "SELECT count(DISTINCT a.value * 20000 + b.value) AS n FROM points a, points b"
    with pytest.raises(LimitError, match=r"more than 64 MB"):
        query_sql(query, _tables(20_000), QueryBounds(megabytes=64))


def test_a_cancelled_query_ends_within_a_second() -> None:
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise LimitError("gone")

    threading.Timer(1.0, gone.set).start()
    began = time.monotonic()
    with cancellable(check), pytest.raises(LimitError, match="gone"):
        query_sql("SELECT sum(a.value) FROM points a, points b, points c", _tables(20_000), QueryBounds())
    assert time.monotonic() - began < 3


_DEEP = {
    "a sum": "SELECT " + "+".join(["1"] * 6000) + " FROM runs",
    "brackets": "SELECT " + "(" * 300 + "1" + ")" * 300 + " FROM runs",
    "cases": "SELECT " + "CASE WHEN TRUE THEN " * 200 + "1" + " END" * 200 + " FROM runs",
    "queries": "SELECT run_id FROM (" * 200 + "SELECT run_id FROM runs" + ")" * 200,
    "texts": "SELECT " + "||".join(["'a'"] * 2600) + " FROM runs",
    "negations": "SELECT run_id FROM runs WHERE " + "NOT " * 2400 + "TRUE",
    "minuses": "SELECT " + "- " * 2400 + "1 FROM runs",
    "digits": "SELECT " + "9" * 15_000 + " AS x FROM runs",
    "a limit": "SELECT run_id FROM runs LIMIT " + "9" * 400,
    "a pattern": "SELECT run_id FROM runs WHERE run_id ~ '((((a{1,99}){1,99}){1,99}){1,99})'",
    "no pattern": "SELECT run_id FROM runs WHERE run_id ~ '('",
}


@pytest.mark.parametrize("query", _DEEP.values(), ids=_DEEP.keys())
def test_a_query_that_is_too_long_or_too_deep_is_an_error_in_a_sentence(query: str) -> None:
    with pytest.raises(SweeplensError) as error:
        query_sql(query, _tables(3), QueryBounds(seconds=5))
    assert len(str(error.value)) < 700
    assert query_sql("SELECT run_id FROM runs", _tables(3), QueryBounds()).table.height == 1


def test_an_interpreter_that_is_held_by_the_parser_is_stopped_in_time_too() -> None:
    began = time.monotonic()
    with pytest.raises(LimitError, match="stopped after 1 s"):
        query_sql("SELECT " + "+".join(["1"] * 2400) + " FROM runs", _tables(3), QueryBounds(seconds=1))
    assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    "query", ["SELECT lpad(run_id, 900000000, 'x') AS x FROM runs", "SELECT lpad(metric, 9000000) FROM points"]
)
def test_endless_text_is_stopped_for_every_table(query: str) -> None:
    with pytest.raises(LimitError, match=r"more than 64 MB|at most 64 MB"):
        query_sql(query, _tables(100), QueryBounds(megabytes=64))


def test_an_answer_of_too_many_bytes_is_refused_with_a_message() -> None:
    with pytest.raises(LimitError, match="at most 64 MB are allowed"):
        query_sql("SELECT lpad(metric, 100000) AS x FROM points", _tables(1000), QueryBounds())


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process through /proc")
@pytest.mark.parametrize(
    ("sent", "words"),
    [("SIGSEGV", "nested too deeply"), ("SIGKILL", "needed more than"), ("SIGABRT", "could not be completed")],
)
def test_a_crash_of_the_process_is_an_error_of_its_query_and_the_next_is_answered(sent: str, words: str) -> None:
    def crash() -> None:
        until(lambda: bool(at_a_query(os.getpid())))
        os.kill(at_a_query(os.getpid())[0], getattr(signal, sent))

    threading.Thread(target=crash).start()
    with pytest.raises(LimitError, match=words):
        query_sql("SELECT sum(a.value) FROM points a, points b, points c", _tables(20_000), QueryBounds())
    assert query_sql("SELECT count(*) AS n FROM points", _tables(20), QueryBounds()).table["n"].to_list() == [20]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process through /proc")
def test_an_idle_process_that_died_is_replaced_unnoticed() -> None:
    tables = _tables(20)
    query_sql("SELECT run_id FROM runs", tables, QueryBounds())
    for child, line in children(os.getpid()).items():
        if "sandbox.py" in line:
            os.kill(child, signal.SIGKILL)
    time.sleep(0.2)
    assert query_sql("SELECT run_id FROM runs", tables, QueryBounds()).table.height == 1


def test_a_kept_process_answers_from_the_tables_of_each_question() -> None:
    first, second = _tables(10), _tables(20)
    for tables, n in ((first, 10), (second, 20), (first, 10)):
        assert query_sql("SELECT count(*) AS n FROM points", tables, QueryBounds()).table["n"].to_list() == [n]
        assert query_sql("SELECT n_logged FROM series", tables, QueryBounds()).table["n_logged"].to_list() == [n]
    renamed = SqlTables(first.runs.with_columns(run_id=pl.lit("b")), first.series, first.points)
    assert query_sql("SELECT run_id FROM runs", renamed, QueryBounds()).table["run_id"].to_list() == ["b"]


def test_questions_of_several_threads_do_not_mix() -> None:
    def ask(n: int) -> list[int]:
        tables = _tables(n)
        return [query_sql("SELECT count(*) AS n FROM points", tables, QueryBounds()).table["n"][0] for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(1, 9))) == [[n] * 5 for n in range(1, 9)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_small_queries_share_one_process_that_is_kept(db: ExperimentDB) -> None:
    db.query_sql("SELECT run_id FROM runs")
    before = set(children(os.getpid()))
    for _ in range(5):
        db.query_sql("SELECT run_id, status FROM runs ORDER BY run_id")
    assert set(children(os.getpid())) == before


_ASKING = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests run detached it is ignored, and inherited so
from sweeplens.sql.query import QueryBounds, query_sql
from core.test_sql import _tables
tables = _tables(20000)
print(query_sql("SELECT run_id FROM runs", tables, QueryBounds()).table.height, flush=True)
if {busy!r} == "plan":
    query_sql("SELECT " + "+".join(["1"] * 2400) + " FROM runs", tables, QueryBounds(seconds=600))
if {busy!r} == "run":
    query_sql("SELECT sum(a.value) FROM points a, points b, points c", tables, QueryBounds(seconds=600))
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process through /proc")
@pytest.mark.parametrize(("sent", "busy"), [("SIGTERM", ""), ("SIGKILL", "plan"), ("SIGHUP", "run")])
def test_the_process_ends_with_its_parent_however_that_ends_and_leaves_no_file(
    tmp_path: Path, sent: str, busy: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", _ASKING.format(busy=busy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"1\n"
        until(lambda: not busy or bool(at_a_query(parent.pid)))
        (child,) = children(parent.pid)
        parent.send_signal(getattr(signal, sent))
        parent.wait(10)
        until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text(), 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
@pytest.mark.parametrize("hard", [True, False])
def test_a_limit_on_address_space_is_kept_and_not_raised(hard: bool) -> None:
    limit = 6 << 30
    script = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit if hard else -1}))\n"
        "from core.test_sql import _tables\n"
        "from sweeplens.sql.query import QueryBounds, query_sql\n"
        "print(query_sql('SELECT count(*) AS n FROM points', _tables(50), QueryBounds()).table['n'][0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "50", done.stderr


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
