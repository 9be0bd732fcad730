"""SQL over what lies beside the runs: files and their texts, tables by their path, several statements, and what stays closed."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import InputError, UnknownNameError

NOTES = """# Sweep of May

- gpu-b11 is slow
- export WANDB_API_KEY=abcdef0123456789

| run | verdict | share |
|---|---|---:|
| a1 | **copy** | 50% |
| b1 | ok | |
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs with results and error output, and a leaderboard, notes, a table of all runs and an ablation beside them."""
    root = tmp_path_factory.mktemp("sweep")
    rows: list[dict[str, object]] = []
    for method, lr in (("a", 0.1), ("b", 0.01)):
        for seed in (1, 2):
            folder = root / "runs" / f"{method}{seed}"
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps({"method": method, "lr": lr, "seed": seed}))
            lines = (json.dumps({"step": s, "loss": lr + 1 / (s + 1)}) for s in range(5))
            (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
            (folder / "result.json").write_text(json.dumps({"test_acc": lr + seed / 10, "host": f"gpu-{seed}"}))
            rows.append({"run": folder.name, "method": method, "lr": lr, "seed": seed, "test_acc": lr + seed / 10})
    (root / "runs/b2/train.err").write_text("loading\nRuntimeError: CUDA out of memory. Tried 2 GiB\n")
    table = "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    (root / "summary.csv").write_text("run,method,lr,seed,test_acc\n" + table)
    (root / "leaderboard.csv").write_text("rank,method,n_runs,test_acc,hf_token\n1,b,2,0.16,x1\n2,a,2,NA,\n")
    (root / "ablation.tsv").write_text("variant\tdelta\nno-kd\t-0.3\nno-aug\t1e-2\n")
    (root / "results.json").write_text(json.dumps([{**row, "extra": {"n": 3}} for row in rows]))
    (root / "notes.md").write_text(NOTES)
    return root


@pytest.fixture(scope="module")
def db(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", query_seconds=20, refresh_seconds=0), root)


def test_rows_about_known_runs_are_no_runs_of_their_own(db: ExperimentDB) -> None:
    assert db.runs_df["run_id"].to_list() == ["runs/a1", "runs/a2", "runs/b1", "runs/b2"]
    assert set(db.series_df["metric"]) == {"loss", "test_acc"}
    assert set(db.lazy_query().collect()["run_id"]) == set(db.runs_df["run_id"])
    assert "rank" not in db.runs_df.columns
    reasons = dict(db.problems.select("file", "reason").iter_rows())
    assert "4 rows of it are about runs that have logs" in next(
        r for f, r in reasons.items() if f.endswith("summary.csv")
    )


def test_rows_about_other_runs_stay_runs(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a1").mkdir()
    (tmp_path / "a1/metrics.jsonl").write_text((root / "runs/a1/metrics.jsonl").read_text())
    (tmp_path / "a1/config.json").write_text('{"lr": 0.1, "seed": 1}')
    (tmp_path / "others.csv").write_text("run,lr,seed,test_acc\nx,0.3,1,0.5\ny,0.4,1,0.6\na1,0.1,1,0.7\n")
    runs = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).runs_df
    assert runs["run_id"].to_list() == ["a1", "others.csv/x", "others.csv/y"]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (
            'SELECT rank, method, test_acc, hf_token FROM "leaderboard.csv"',
            [(1, "b", 0.16, "***"), (2, "a", None, None)],
        ),
        ('SELECT * FROM "ablation.tsv" ORDER BY delta', [("no-kd", -0.3), ("no-aug", 0.01)]),
        ('SELECT run, verdict, share FROM "notes.md"', [("a1", "copy", 50.0), ("b1", "ok", None)]),
        ('SELECT count(*), sum("extra.n") FROM "results.json"', [(4, 12)]),
        ('SELECT host FROM "runs/a2/result.json"', [("gpu-2",)]),
        ('SELECT max(loss) AS l FROM "runs/a1/metrics.jsonl"', [(1.1,)]),
        (
            'SELECT r.method, max(l.rank) AS rank, round(avg(r."test_acc.last"), 3) AS mean FROM runs r'
            ' JOIN "leaderboard.csv" l ON r.method = l.method GROUP BY r.method ORDER BY rank',
            [("b", 1, 0.16), ("a", 2, 0.25)],
        ),
    ],
)
def test_a_table_in_a_file_is_queried_by_its_path(db: ExperimentDB, query: str, rows: list[tuple[object, ...]]) -> None:
    assert db.query_sql(query).table.rows() == rows


def test_files_have_their_kind_reader_run_and_masked_text(db: ExperimentDB) -> None:
    table = db.query_sql("SELECT path, kind, read_by, run_id FROM files WHERE bytes > 0").table
    found = {row[0]: row[1:] for row in table.iter_rows()}
    assert found["notes.md"] == ("notes", None, None)
    assert found["summary.csv"] == ("table", None, None)
    assert found["runs/b2/train.err"] == ("output", None, "runs/b2")
    assert found["runs/a1/metrics.jsonl"] == ("log", "json_steps", "runs/a1")
    assert found["runs/a1/config.json"][0] == "config"
    assert found["runs/a1/result.json"] == ("result", None, "runs/a1")
    (text,) = db.query_sql("SELECT text FROM files WHERE path = 'notes.md'").table["text"]
    assert text == NOTES.replace("abcdef0123456789", "***")
    failed = db.query_sql("SELECT run_id, path FROM files WHERE text LIKE '%CUDA out of memory%'").table
    assert failed.rows() == [("runs/b2", "runs/b2/train.err")]
    last = db.query_sql(
        "SELECT line, text FROM lines WHERE path = 'runs/b2/train.err' ORDER BY line DESC LIMIT 1"
    ).table
    assert last.rows() == [(2, "RuntimeError: CUDA out of memory. Tried 2 GiB")]


def test_notes_written_later_are_seen_at_once(root: Path) -> None:
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=1000), root)
    db.query_sql("SELECT count(*) FROM files")
    (root / "later.txt").write_text("seed 2 was moved\n")
    assert db.query_sql("SELECT text FROM files WHERE path = 'later.txt'").table["text"].to_list() == [
        "seed 2 was moved\n"
    ]
    (root / "later.txt").unlink()


def test_what_a_program_printed_has_lines_also_where_its_numbers_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    rows = "".join(f"step {i * 10} loss {1 / (i + 1):.4f}\n" for i in range(1, 9))
    (folder / "stdout.txt").write_text(f"host gpu-7\n{rows}Killed: out of memory\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in range(9)))
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), tmp_path)
    found = db.query_sql("SELECT path, line, text FROM lines WHERE run_id = 'run' ORDER BY line").table
    assert found["path"].unique().to_list() == ["run/stdout.txt"]
    assert found["text"].to_list()[::9] == ["host gpu-7", "Killed: out of memory"]


def test_of_a_long_text_both_ends_are_there(root: Path, db: ExperimentDB) -> None:
    (root / "long.txt").write_text("begin\n" + "x" * 200_000 + "\nend\n")
    (text,) = db.query_sql("SELECT text FROM files WHERE path = 'long.txt'").table["text"]
    (root / "long.txt").unlink()
    assert (text[:6], text[-5:], len(text) < 70_000) == ("begin\n", "\nend\n", True)
    assert "bytes left out" in text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('SELECT * FROM "leaderbord.csv"', "Nearest: 'leaderboard.csv'"),
        ("SELECT * FROM leaderboard", "'leaderboard.csv'"),
        ('SELECT * FROM "result.json"', "Files of that name: 'runs/a1/result.json'"),
        ('SELECT tset FROM "leaderboard.csv"', "Columns of leaderboard.csv: rank, method, n_runs, test_acc, hf_token."),
    ],
)
def test_an_unknown_table_is_answered_with_the_nearest_files(db: ExperimentDB, query: str, words: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        db.query_sql(query)
    assert words in str(error.value)


def test_a_file_that_is_no_table_is_an_error_that_says_how_to_see_it(root: Path, db: ExperimentDB) -> None:
    for name, content, words in (
        ("plain.txt", b"no table here\n", "SELECT text FROM files"),
        ("broken.json", b'[{"a": 1}', "not complete JSON"),
        ("sheet.xlsx", b"PK\x03\x04", "save it as CSV"),
        ("bad.parquet", b"PAR1nonsense", "cannot be read"),
    ):
        (root / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            db.query_sql(f'SELECT * FROM "{name}"')
        (root / name).unlink()


WIDE = {
    "wide.csv": ",".join(f"c{i}" for i in range(2000)) + "\n" + "1\n" * 100_000,
    "wide.json": json.dumps([{f"c{i}": i for i in range(2000)}] + [{}] * 50_000),
    "wide.jsonl": json.dumps({f"c{i}": i for i in range(2000)}) + "\n" + "{}\n" * 100_000,
    "wide.md": "|".join(f"c{i}" for i in range(2000)) + "\n" + "-|" * 1999 + "-\n" + "1|\n" * 100_000,
}


@pytest.mark.parametrize("name", list(WIDE))
def test_a_small_file_of_short_rows_below_thousands_of_columns_is_cut_by_its_cells(
    root: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(root / "runs/a1", tmp_path / "a1")
    (tmp_path / name).write_text(WIDE[name])
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    began = time.process_time()
    answer = db.query_sql(f'SELECT count(*) FROM "{name}"')
    assert time.process_time() - began < 10  # 50 s and more without a limit
    assert answer.table.rows() == [(1000,)]
    assert any("only its first 1,000 rows are read" in w for w in answer.basis.warnings)


@pytest.mark.parametrize(
    "line", [" " * 100_000 + "x|", "|" + " " * 100_000 + "x", "|-" * 50_000 + "x", ":-" * 50_000 + "|"]
)
def test_a_long_line_below_a_header_in_a_note_takes_no_time(root: Path, tmp_path: Path, line: str) -> None:
    shutil.copytree(root / "runs/a1", tmp_path / "a1")
    (tmp_path / "notes.md").write_text(f"a|b\n{line}\n\nc|d\n-|-\n1|2\n")
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    began = time.process_time()
    assert db.query_sql('SELECT * FROM "notes.md"').table.rows() == [(1, 2)]
    assert time.process_time() - began < 10


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_nested_columns_of_a_file_are_flat_and_their_secrets_masked(root: Path, db: ExperimentDB, suffix: str) -> None:
    path = root / f"nested.{suffix}"
    rows = [
        {"id": i, "opt": {"lr": 0.1, "api_key": "sk-1"}, "of": [{"hf_token": "sk-2"}], "xs": [1, 2]} for i in range(2)
    ]
    frame = pl.DataFrame(rows)
    frame.write_parquet(path) if suffix == "parquet" else frame.write_ipc(path)
    told = db.query_sql(f'SELECT * FROM "{path.name}"').table
    path.unlink()
    assert told.columns == ["id", "opt.lr", "opt.api_key", "of", "xs"]
    assert told.row(0) == (0, 0.1, "***", '[{"hf_token": ***}]', "[1, 2]")


def test_a_number_of_a_table_may_have_any_length(db: ExperimentDB) -> None:
    with pytest.raises(InputError, match="the file has 1 table"):
        db.query_sql('SELECT * FROM "notes.md#' + "9" * 5000 + '"')


def test_nothing_outside_of_the_roots_is_reached(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("secret,n\nhidden,1\nother,2\n")
    (root / "link.csv").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    db = ExperimentDB(AnalysisConfig(cache="memory"), root)
    tried = ("link.csv", "folder/outside.csv", str(outside), f"../{tmp_path.name}/outside.csv", "runs/../link.csv")
    for name in tried:
        with pytest.raises(InputError) as error:
            db.query_sql(f'SELECT * FROM "{name}"')
        assert "hidden" not in str(error.value)
    assert not db.query_sql("SELECT path FROM files WHERE path LIKE '%outside%' OR path = 'link.csv'").table.height
    assert not db.query_sql("SELECT path FROM files WHERE text LIKE '%hidden%'").table.height
    (root / "link.csv").unlink()
    (root / "folder").unlink()


@pytest.mark.parametrize("becomes", ["gone", "a link"])
def test_a_root_that_is_gone_or_a_link_now_is_said_and_has_no_files(root: Path, tmp_path: Path, becomes: str) -> None:
    shutil.copytree(root / "runs", tmp_path / "root")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text("x,y\nhidden,1\n")
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=3600), tmp_path / "root")
    assert db.query_sql("SELECT path FROM files").basis.warnings == ()
    (tmp_path / "root").rename(tmp_path / "old")
    if becomes == "a link":
        (tmp_path / "root").symlink_to(tmp_path / "outside")
    answer = db.query_sql("SELECT path FROM files")
    assert answer.table.height == 0
    assert {"gone": "No such file", "a link": "is a link now"}[becomes] in " ".join(answer.basis.warnings)
    with pytest.raises(InputError) as error:
        db.query_sql('SELECT * FROM "secret.csv"')
    assert "hidden" not in str(error.value)


def test_tables_of_one_database_are_gone_for_the_next(db: ExperimentDB, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "loss": 1}\n{"step": 1, "loss": 0.5}\n')
    other = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    assert db.query_sql('SELECT count(*) FROM "leaderboard.csv"').table.item() == 2
    for query in ('SELECT * FROM "leaderboard.csv"', 'SELECT * FROM "notes.md"'):
        with pytest.raises(UnknownNameError):
            other.query_sql(query)
    assert other.query_sql("SELECT path FROM files").table["path"].to_list() == ["metrics.jsonl"]


def test_a_query_that_names_no_file_needs_none(root: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(root, tmp_path / "copy"))
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=1000), copied)
    assert db.runs_df.height == 4
    shutil.rmtree(copied)
    query = 'SELECT method, avg("test_acc.last") AS m FROM runs GROUP BY method'
    assert db.query_sql(query).table.height == 2
    assert db.query_sql("SELECT path FROM files").table.height == 0


def test_several_statements_answer_in_one_call_and_an_error_of_one_names_its_number(db: ExperimentDB) -> None:
    answer = db.query_sql(
        "SELECT run_id FROM runs WHERE method = 'a'; SELECT nothing FROM runs; -- one; two\n"
        "SELECT ';' AS mark, count(*) AS n FROM points;"
    )
    assert answer.table["run_id"].to_list() == ["runs/a1", "runs/a2"]
    assert answer.tables["2"].columns == ["error"]
    assert answer.tables["3"].rows() == [(";", 24)]
    assert [n.partition(":")[0] for n in answer.notes] == ["Statement 2 failed"]
    with pytest.raises(InputError, match=r"Statement 1: .*Statement 2: "):
        db.query_sql("SELECT x FROM runs; SELECT y FROM runs")
    with pytest.raises(InputError, match="Statement 2: "):
        db.query_sql("SELECT run_id FROM runs; DROP TABLE runs")


def test_statements_share_one_limit_of_rows(db: ExperimentDB) -> None:
    answer = db.query_sql("SELECT run_id FROM runs; SELECT * FROM points; SELECT metric FROM series", limit=10)
    assert (answer.table.height, answer.tables["2"].height, answer.tables["3"].columns) == (4, 6, ["error"])
    assert answer.basis.warnings == ("statement 2: limit reached: the query has more than 6 rows",)


def test_the_overview_names_what_lies_beside_the_runs(db: ExperimentDB, root: Path) -> None:
    lines = dict(db.overview().table.iter_rows())
    assert lines["beside the runs"] == (
        "4 tables and 1 note: ablation.tsv (2 rows), leaderboard.csv (2 rows), notes.md, results.json (4 rows) and 1 more; "
        "query_sql: SELECT * FROM \"ablation.tsv\"; SELECT text FROM files WHERE path = 'notes.md'"
    )
    alone = ExperimentDB(AnalysisConfig(cache="memory"), root / "runs")
    assert "beside the runs" not in dict(alone.overview().table.iter_rows())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", json.dumps([{"lr": lr, "seed": s, "test_acc": 0.9} for lr in (0.1, 0.01) for s in (1, 2)])),
        ("best.csv", "run,epoch,val_acc\n" + "".join(f"{m}{s},8,0.9\n" for m in "ab" for s in (1, 2))),
        ("leader.csv", "lr,epochs,test_acc\n0.1,9,0.9\n0.01,9,0.8\n"),
        ("sweep.csv", "method,lr,seed,test_acc,n_runs\na,0.1,1,0.9,1\na,0.1,2,0.9,1\nb,0.01,1,0.8,1\nb,0.01,2,0.8,1\n"),
        ("summary.jsonl", "".join(json.dumps({"run": f"{m}1", "lr": 0.1, "test_acc": 0.5}) + "\n" for m in "ab")),
        ("final.json", json.dumps({f"{m}1": {"acc": 0.9, "f1": 0.8} for m in "ab"})),
    ],
)
def test_a_table_about_known_runs_in_any_form_adds_no_run_and_no_metric(
    root: Path, tmp_path: Path, name: str, content: str
) -> None:
    shutil.copytree(root / "runs", tmp_path / "runs")
    (tmp_path / name).write_text(content)
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    assert {r.partition("@")[0].rpartition("/")[2] for r in db.runs_df["run_id"]} == {"a1", "a2", "b1", "b2"}
    assert db.runs_df.height == 4
    assert set(db.series_df["metric"]) == {"loss", "test_acc"}
    assert set(db.series_df.filter(db.series_df["metric"] == "test_acc")["run_id"]) == set(db.runs_df["run_id"])
    assert name in dict(db.overview().table.iter_rows())["beside the runs"]
    assert db.query_sql(f'SELECT * FROM "{name}"').table.height >= 2
