"""SQL over the same small file of many folders: a pattern of paths is one table, with the path and the run of each row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import InputError, UnknownNameError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    for seed in range(4):
        folder = root / "runs" / f"s{seed}"
        (folder / "eval").mkdir(parents=True)
        lines = (json.dumps({"step": s, "loss": 1 / (s + 1)}) for s in range(5))
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        found = {"test_acc": seed / 10 if seed else "n/a", "path": "/data", "api_key": "s3cret"}
        (folder / "predict_results.json").write_text(json.dumps(found | {"extra": seed} if seed > 1 else found))
        (folder / "eval" / "by_class.csv").write_text(f"class,n,f1\ncat,3,0.{seed}\ndog,4,0.9\n")
    (root / "predict_results.json").write_text('{"test_acc": 0.9}')
    (root / "runs" / "s[1]").mkdir()
    (root / "runs" / "s[1]" / "odd.csv").write_text("x,y\n1,2\n")
    return root


def opened(root: Path) -> ExperimentDB:
    """A database of a folder, in which a log is written first, since there is none without a run."""
    (root / "metrics.jsonl").write_text('{"step": 1, "loss": 1.5}\n{"step": 2, "loss": 0.5}\n')
    return ExperimentDB(AnalysisConfig(cache="memory"), root)


@pytest.fixture(scope="module")
def db(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", query_seconds=20), root)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (
            'SELECT run_id, path, extra FROM "runs/*/predict_results.json" ORDER BY path',
            [(f"runs/s{s}", f"runs/s{s}/predict_results.json", s if s > 1 else None) for s in range(4)],
        ),
        ('SELECT path_in_file, api_key FROM "*/s?/predict_results.json" LIMIT 1', [("/data", "***")]),
        ('SELECT test_acc FROM "runs/s[01]/*.json"', None),
        ('SELECT count(*) FROM "**/predict_results.json"', [(5,)]),
        ('SELECT count(*), sum(n), max(f1) FROM "**/by_*.csv"', [(8, 28, 0.9)]),
        ('SELECT x FROM "runs/s[1]/*.csv"', [(1,)]),
        (
            'SELECT r.run_id, t.f1, r."loss.last" FROM runs r JOIN "runs/*/eval/by_class.csv" t ON r.run_id = t.run_id'
            " WHERE t.class = 'cat' AND t.f1 > 0.2",
            [("runs/s3", 0.3, 0.2)],
        ),
    ],
)
def test_a_pattern_is_the_table_of_all_files_that_it_matches(
    db: ExperimentDB, query: str, rows: list[tuple[object, ...]] | None
) -> None:
    if rows is None:
        with pytest.raises(UnknownNameError, match="No table"):
            db.query_sql(query)
    else:
        assert db.query_sql(query).table.rows() == rows


def test_a_column_of_several_types_is_text(db: ExperimentDB) -> None:
    found = db.query_sql('SELECT test_acc FROM "runs/*/predict_results.json" ORDER BY path').table["test_acc"]
    assert found.to_list() == ["n/a", "0.1", "0.2", "0.3"]


def test_files_that_hold_no_table_are_left_out_with_a_warning_and_alone_they_are_an_error(tmp_path: Path) -> None:
    for name, text in (("a", '{"x": 1}'), ("b", "{"), ("c", '{"x": 2.5}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.json").write_text(text)
    db = opened(tmp_path)
    answer = db.query_sql('SELECT path, x FROM "*/r.json"')
    assert answer.table.rows() == [("a/r.json", 1.0), ("c/r.json", 2.5)]
    assert any("1 file is left out: 'b/r.json' is not complete JSON" in w for w in answer.basis.warnings)
    with pytest.raises(InputError, match="is not complete JSON"):
        db.query_sql('SELECT * FROM "b*/r.json"')


def test_a_pattern_is_bounded_in_files_and_in_work(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a" * 40] * 12)
    deep.mkdir(parents=True)
    (deep / ("a" * 200 + ".json")).write_text('{"x": 1}')
    for number in range(1002):
        (tmp_path / f"{number:04d}.json").write_text('{"x": 1}')
    db = opened(tmp_path)
    answer = db.query_sql('SELECT count(*), min(path) FROM "*.json"')
    assert answer.table.rows() == [(1000, "0000.json")]
    assert any("2 files are not read (too much at once)" in w for w in answer.basis.warnings)
    with pytest.raises(UnknownNameError):
        db.query_sql(f'SELECT * FROM "{"**/" * 40}{"*a" * 60}b*.json"')


@pytest.mark.parametrize("pattern", ["../*/x.json", "/*/x.json", "*/../x.json"])
def test_a_pattern_reaches_nothing_outside_of_the_roots(root: Path, tmp_path: Path, pattern: str) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text('{"x": 1}')
    db = opened(tmp_path / "in")
    with pytest.raises(UnknownNameError):
        db.query_sql(f'SELECT * FROM "{pattern}"')
