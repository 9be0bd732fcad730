"""The library at a prompt, in a notebook and in an editor: what it shows, and which calls it accepts."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

import sweeplens
from sweeplens import ExperimentDB
from sweeplens.dataframes import flat
from sweeplens.errors import InputError


@pytest.fixture(scope="module")
def db(sweep: Path) -> ExperimentDB:
    return ExperimentDB(str(sweep))


def test_the_version_is_that_of_the_installed_package() -> None:
    assert sweeplens.__version__ == version("sweeplens")
    done = subprocess.run([sys.executable, "-m", "sweeplens", "--version"], capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"sweeplens {sweeplens.__version__}"


def test_folders_may_stand_first(sweep: Path, db: ExperimentDB) -> None:
    n_runs = db.runs_df.height
    for folders in (sweep, [str(sweep)], (sweep, sweep)):
        assert ExperimentDB(folders).runs_df.height == n_runs
    with pytest.raises(InputError, match="given twice"):
        ExperimentDB(str(sweep), base_path=sweep)


def test_a_text_where_several_names_may_stand_is_one_name(db: ExperimentDB) -> None:
    pairs = [
        (db.list_runs(runs="torn", columns="optim.lr"), db.list_runs(runs=["torn"], columns=["optim.lr"])),
        (db.curves("val/acc", runs="lr0.1*"), db.curves(["val/acc"], runs=["lr0.1*"])),
        (db.summarize("optim.lr", metrics="val/acc"), db.summarize(["optim.lr"], metrics=["val/acc"])),
        (db.rank("val/acc", hparams="optim.lr"), db.rank("val/acc", hparams=["optim.lr"])),
        (db.compare("torn", "crashed", metrics="val/acc"), db.compare("torn", "crashed", metrics=["val/acc"])),
        (db.diagnose(metrics="val/acc"), db.diagnose(metrics=["val/acc"])),
        (db.overview(runs="torn"), db.overview(runs=["torn"])),
        (db.varying(runs="lr0.*"), db.varying(runs=["lr0.*"])),
    ]
    for text, listed in pairs:
        assert text.table.equals(listed.table)
    assert db.query_metrics("val/acc", "torn").equals(db.query_metrics(["val/acc"], ["torn"]))
    assert db.summarize_metrics("optim.lr", "val/acc").equals(db.summarize_metrics(["optim.lr"], ["val/acc"]))


def test_a_database_and_answers_show_themselves_in_a_line(sweep: Path, db: ExperimentDB) -> None:
    assert repr(ExperimentDB(sweep)) == f"<ExperimentDB of {sweep}: not read yet>"
    answer = db.rank("val/acc")
    assert repr(db).startswith(f"<ExperimentDB of {sweep}: {db.runs_df.height} runs, ")
    assert repr(answer).startswith(f"<Answer: {answer.table.height} rows of rank, ")
    assert repr(db.scan_curves("val/acc")).startswith("<LazyAnswer: ")
    assert all(len(shown) < 400 for shown in (repr(db), repr(answer)))


def test_a_notebook_gets_tables_with_texts_of_logs_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "<script>x"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 1, "<b>loss": 2.0}\n{"step": 2, "<b>loss": 1.0}\n')
    db = ExperimentDB(tmp_path)
    for shown in (db.overview(), db.get_run("<script>x"), db.scan_curves("<b>loss"), db):
        html = shown._repr_html_()
        assert html.startswith("<div>")
        assert "<script>" not in html
        assert "<b>loss" not in html
    assert "&lt;script&gt;x" in db.list_runs()._repr_html_()
    assert "1 of 1 run" in db.list_runs()._repr_html_()


def test_tables_with_lists_are_written_as_csv(db: ExperimentDB, tmp_path: Path) -> None:
    flat(db.runs_df).write_csv(tmp_path / "runs.csv")
    assert pl.read_csv(tmp_path / "runs.csv").height == db.runs_df.height
    db.varying().write_csv(tmp_path / "varying.csv")
    values = pl.read_csv(tmp_path / "varying.csv")["values"]
    assert all(value.startswith("[") for value in values)


SCRIPT = """
from sweeplens import ExperimentDB
db = ExperimentDB("sweep")
db.summarize_metrics(["optim.lr"], metric="val/acc")
db.find_varying(run="a")
db.curves("val/acc", max_point=3)
db.rank("val/acc", goal="max")
db.rank("val/acc", by="seed")
db.effects("val/acc", goal="min")
db.rank("val/acc", goal="higher", runs="a")
answer = db.compare("a", "b")
answer.tabel
db.plot("curves", metric="val/acc")
db.plot("line")
db.plot("curves", metrics="val/acc", log="y", smooth=0.5, runs="a")
db.rank("val/acc").plot(goal="max")
db.suggest("val/acc", goal="up")
db.suggest("val/acc", 12, goal="higher", runs="a")
"""


def test_a_type_checker_finds_wrong_names_and_words_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if " - error: " in line}
    assert sorted(found) == [4, 5, 6, 7, 8, 9, 12, 13, 14, 16, 17]


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda db: db.rank(["val/acc", "val/loss"]), r"\['val/acc', 'val/loss'\]: it takes one text: call once for each"),
        (lambda db: db.rank(3), "metric is 3: it takes one text"),
        (lambda db: db.rank("val/acc", where={"lr": 1}), r"where is \{'lr': 1\}: it takes one text"),
        (lambda db: db.rank("val/acc", runs=3), "runs is 3: it takes one name or a list of names"),
        (lambda db: db.rank_runs("val/acc", hparams=[1]), r"hparams is \[1\]: it takes one name or a list of names"),
        (lambda db: db.cost("val/acc", threshold="0.9"), "threshold is '0.9': it takes a number"),
        (lambda db: db.suggest("val/acc", budget=2.5), "budget is 2.5: it takes a whole number"),
        (lambda db: db.curves("val/acc", max_points="ten"), "max_points is 'ten': it takes a whole number"),
        (lambda db: db.query_metrics("val/acc", step_range=5), "step_range is 5: it takes a pair of steps"),
        (lambda db: db.plot("curves", metrics=3), "metrics is 3: it takes one name or a list of names"),
        (lambda db: db.plot("curves", width="wide"), "width is 'wide': it takes a whole number"),
        (lambda db: db.query_sql("SELECT run_id FROM runs", limit=True), "limit is True: it takes a whole number"),
        (lambda db: db.report(5), "path is 5: it takes the path of a file"),
        (lambda _: ExperimentDB(123), "The folders are 123: pass one path or a list of paths"),
    ],
)  # fmt: skip
def test_an_argument_of_a_wrong_type_is_a_sentence(
    db: ExperimentDB, ask: Callable[[ExperimentDB], object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        ask(db)


def test_names_come_as_a_text_a_list_a_column_or_a_generator(db: ExperimentDB) -> None:
    ids = db.runs_df["run_id"]
    whole = db.list_runs(runs=ids.to_list()).table
    assert db.list_runs(runs=ids).table.equals(whole)
    assert db.list_runs(runs=(run for run in ids)).table.equals(whole)  # type: ignore[arg-type]
    assert db.mean_curves("val/acc").table.equals(db.mean_curves(["val/acc"]).table)
    assert db.list_runs.__doc__
    assert "columns" in inspect.signature(db.list_runs).parameters
