"""One odd file, name or sidecar is a problem of its source: everything else answers exactly as without it, in every process."""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sweep import write_run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import InputError
from sweeplens.plain_data import plain_text, plain_value
from sweeplens.readers import READERS
from sweeplens.readers.protocol import READING_SCHEMA, Claim, Folder, Reading, Resume, RunRecord, Source

ROWS = [{"step": float(s), "loss": 1.0 / (s + 1)} for s in range(5)]
HEALTHY = [f"ok{n}" for n in range(4)]


def healthy(root: Path) -> Path:
    """Runs that there is nothing to say against."""
    for n, name in enumerate(HEALTHY):
        write_run(root / name, {"lr": 0.1 * (1 + n % 2), "seed": n // 2}, ROWS)
    return root


def odd_run(root: Path, config: str, name: str = "config.yaml", folder: bytes = b"odd") -> Path:
    """A run of healthy points beside a config of these words."""
    path = root / os.fsdecode(folder)
    write_run(path, {}, ROWS)
    (path / "config.json").unlink()
    (path / name).write_text(config, encoding="utf-8")
    return path


def append(run: Path, line: str) -> None:
    """One more line in the log of a run."""
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def opened(root: Path, cache: Path | None = None) -> ExperimentDB:
    """A database of its own, as another process would open it; without a cache, in memory."""
    config = AnalysisConfig(cache="disk", cache_dir=str(cache)) if cache else AnalysisConfig(cache="memory")
    return ExperimentDB(config, base_path=root)


def told(db: ExperimentDB) -> list[pl.DataFrame]:
    """What is answered of the healthy runs."""
    return [
        db.list_runs(runs=["ok*"], columns=["lr", "seed", "loss.last", "loss.min", "format"]).table,
        db.rank("loss", runs=["ok*"]).table,
        db.summarize(metrics=["loss"], runs=["ok*"]).table,
        db.query_metrics("loss", ["ok*"]).sort("run_id", "step"),
    ]


def same(one: list[pl.DataFrame], other: list[pl.DataFrame]) -> bool:
    """Returns whether two databases gave the same answers."""
    return all(a.equals(b) for a, b in zip(one, other, strict=True))


YAML = [
    "amp: !!bool maybe",
    "lr: !!int ''",
    "when: !!timestamp today",
    "x: !!float ''",
    "n: 0x" + "f" * 5000,
    "n: " + "9" * 400,
    "a: &a [*a]",
    "a: &a {b: *a}",
    "a: 1\na: 2",
    "x: &x {q: 1}\ny: {<<: *x}\nz: {<<: 3}",
    "s: !!set {a, b}\nb: !!binary aGVsbG8=\nd: 2001-01-01\nt: 9999-12-31T23:59:59-14:00",
    "b: !!binary '%%%'",
    "? [1, 2]\n: 3\n? {a: 1}\n: 4\nnull: 5\n1: 6",
    '"\\udce9": "\\ud800"',
    "[" * 3000,
    "a: " * 3000,
    "- " * 3000,
    "\x00",
]
JSON = [
    '{"data": "/data/caf\\udce9", "\\udce9": {"\\ud83d": [1, "\\udfff"]}}',
    '{"lr": {"\\u0000": "int", "is": "zzz"}}',
    '{"n": ' + "9" * 400 + "}",
    '{"n": ' + "9" * 5000 + "}",
    '{"a": ' * 300 + "1" + "}" * 300,
    "[" * 5000,
    '{"*": 1, "^lr$": 2, "^($": 3, "": 4, "a\\u0000b": 5, "metadata.x": 6, "run_id": 7, "touched_at": 8}',
    '{"LR": 1, "lr": 2, "Lr": 3}',
    '{"x": [1e999, NaN, -Infinity, 18446744073709551615, -9223372036854775809]}',
    '{"status": {"a": 1}, "name": 5, "config": [], "tags": {"x": 1}}',
]


@pytest.mark.parametrize("config", [*YAML, *JSON], ids=[f"config{n}" for n in range(len(YAML) + len(JSON))])
def test_an_odd_config_leaves_its_points_and_everything_else(config: str, tmp_path: Path) -> None:
    root, cache = healthy(tmp_path / "runs"), tmp_path / "cache"
    before = told(opened(root))
    odd_run(root, config, "config.json" if config in JSON else "config.yaml")
    first = opened(root, cache)
    assert same(told(first), before)
    assert first.overview().table.height
    assert first.query_metrics("loss", ["odd"]).height == len(ROWS)
    second = opened(root, cache)
    assert second.runs_df.drop("status").equals(first.runs_df.drop("status"))
    assert same(told(second), before)


REPORTED = {
    "deep": '{"a": ' * 900 + '{"acc": 0.5}' + "}" * 900,
    "integers": '{"acc": ' + "9" * 400 + ', "test_acc": ' + "9" * 4000 + "}",
    "infinite": '{"acc": 1e999, "loss": NaN, "test_acc": -1e999, "step": 1' + "0" * 30 + "}",
    "names": json.dumps({"": 0.5, "\0": 0.5, "acc\0": 0.5, "acc\ud800": 0.5, "acc_" * 5000: 0.5, "*": {"acc": 0.5}}),
}


@pytest.mark.parametrize("format", ["metrics.jsonl", "log.csv"])
@pytest.mark.parametrize("name", list(REPORTED))
def test_an_odd_report_beside_a_log_leaves_its_points_and_everything_else(
    name: str, format: str, tmp_path: Path
) -> None:
    root = healthy(tmp_path)
    before = told(opened(root))
    odd_run(root, "{}", "result.json").joinpath("result.json").write_text(REPORTED[name])
    if format != "metrics.jsonl":
        (root / "odd" / "metrics.jsonl").unlink()
        (root / "odd" / format).write_text("step,loss\n" + "".join(f"{r['step']},{r['loss']}\n" for r in ROWS))
    db = opened(root)
    assert same(told(db), before)
    assert db.query_metrics("loss", ["odd"]).height == len(ROWS)
    assert db.overview().table.height


def columns(kind: str) -> pl.DataFrame:
    """A table that takes kilobytes as a file, and much memory as rows."""
    step = pl.Series("step", [1, 2], dtype=pl.Int8)
    if kind == "rows":
        return pl.select(step=pl.repeat(1, 11_000_000, dtype=pl.Int8), loss=pl.repeat(1, 11_000_000, dtype=pl.Int8))
    if kind == "text":
        return pl.DataFrame({"step": range(3000), "loss": 0.5, "text": "x" * 100_000})
    many = pl.select(pl.repeat(1, 11_000_000, dtype=pl.Int8)).to_series()
    return pl.DataFrame([step, step.alias("loss"), pl.Series("classes", [many, many])])


@pytest.mark.parametrize("kind", ["rows", "lists", "text"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_small_file_of_columns_with_many_values_takes_no_memory(kind: str, suffix: str, tmp_path: Path) -> None:
    root = healthy(tmp_path)
    before = told(opened(root))
    (root / "odd").mkdir()
    path, table = root / "odd" / f"log.{suffix}", columns(kind)
    table.write_parquet(path) if suffix == "parquet" else table.write_ipc(path, compression="zstd")
    db = opened(root)
    assert same(told(db), before)
    assert "odd" not in db.runs_df["run_id"].to_list()
    if kind != "text":  # equal texts share their memory in a table
        with pytest.raises(InputError, match="more than 20,000,000 values"):
            db.query_sql(f'SELECT count(*) FROM "odd/log.{suffix}"')


def test_a_small_archive_of_many_large_arrays_takes_no_memory(tmp_path: Path) -> None:
    root = healthy(tmp_path)
    before = told(opened(root))
    (root / "odd").mkdir()
    zeros = np.zeros(8_000_000, np.int8)
    np.savez_compressed(root / "odd" / "history.npz", **{f"loss{n}": zeros for n in range(7)})
    db = opened(root)
    assert same(told(db), before)
    assert "more than 50,000,000 numbers" in db.problems["reason"].item()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_file_of_columns_with_damaged_bytes_is_a_problem_of_its_own(suffix: str, tmp_path: Path) -> None:
    root, path = healthy(tmp_path), tmp_path / f"log.{suffix}"
    table = pl.DataFrame({"step": range(50), "loss": 0.5, "note": "x", "parts": [[1, 2]] * 50})
    table.write_parquet(path) if suffix == "parquet" else table.write_ipc(path, compression="zstd")
    whole, chance, db = path.read_bytes(), random.Random(7), opened(root)
    answers = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(8, len(data) - 8)] = chance.choice([0, 127, 128, 255])
        path.write_bytes(data)
        try:
            answers += db.query_sql(f'SELECT count(*) FROM "{path.name}"').table.height
        except InputError:
            continue
    assert answers


@pytest.mark.parametrize("text", YAML[:3])
def test_a_value_that_is_none_of_its_tag_is_named_with_its_file_and_line(text: str, tmp_path: Path) -> None:
    root = healthy(tmp_path)
    odd_run(root, f"lr: 0.1\n{text}")
    (problem,) = opened(root).problems.iter_rows(named=True)
    assert problem["file"].endswith("odd/config.yaml")
    assert "line 2" in problem["reason"]


def test_a_key_that_looks_like_a_mark_of_the_store_comes_back_as_it_was(tmp_path: Path) -> None:
    root, cache = healthy(tmp_path / "runs"), tmp_path / "cache"
    nested = {"lr": {"\0": "int", "is": "zzz"}, "at": {"\0": "date", "is": "2001-01-01"}, "n": 2**70}
    odd_run(root, json.dumps(nested), "config.json")
    opened(root, cache).load_experiments()
    append(root / "ok0", '{"step": 5, "loss": 0.1}')
    opened(root, cache).load_experiments()
    write_run(root / "more", {"lr": 5, "new": 1}, ROWS)  # the runs table is built again, from what the store holds
    row = opened(root, cache).runs_df.filter(pl.col("run_id") == "odd").row(0, named=True)
    assert (row["lr.\0"], row["lr.is"], row["at.\0"], row["at.is"]) == ("int", "zzz", "date", "2001-01-01")
    assert row["n"] == float(2**70)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names of files are Unicode there")
def test_names_that_are_no_unicode_are_written_out(tmp_path: Path) -> None:
    root, cache = healthy(tmp_path / "runs"), tmp_path / "cache"
    before = told(opened(root))
    path = odd_run(root, '{"lr": 1}', "config.json", b"caf\xe9")
    (path / os.fsdecode(b"pictures\xff")).mkdir()
    for name in (b"a\xe9.png", b"pictures\xff/\xe8.bin", b"b\xe9.csv", b"\xe9.jsonl", b"hparams\xe9.yaml"):
        text = "step,loss\n1,2\n2,3\n" if name.endswith(b"csv") else '{"step": 1, "loss": 2}\n' * 3
        (path / os.fsdecode(name)).write_text(text)
    for _ in range(2):
        db = opened(root, cache)
        assert same(told(db), before)
        assert "caf\\udce9" in db.runs_df["run_id"].to_list()
        assert db.query_metrics("loss", ["caf\\udce9"]).height == len(ROWS)
        assert db.get_run("caf\\udce9").table.height
    append(path, '{"step": 5, "loss": 0.5}')
    assert opened(root, cache).query_metrics("loss", ["caf\\udce9"]).height == len(ROWS) + 1


def test_a_metric_of_any_name_is_asked_for_by_that_name(tmp_path: Path) -> None:
    root = healthy(tmp_path)
    names = ["*", "^a$", "^($", "a\0b", "\udce9", "\ud83d"]
    write_run(root / "odd", {"lr": 1}, [{"step": float(s), **dict.fromkeys(names, 1.0)} for s in range(3)])
    db = opened(root)
    assert set(map(plain_text, names)) <= set(db.series_df["metric"])
    for name in map(plain_text, names):
        column = f"{name}.last"
        assert db.list_runs(columns=[column]).table[column].drop_nulls().to_list() == [1.0]
        assert db.rank(name, goal="lower").table.height == 1


def test_times_beyond_64_bits_are_times(tmp_path: Path) -> None:
    root, cache = healthy(tmp_path / "runs"), tmp_path / "cache"
    os.utime(root / "ok1" / "metrics.jsonl", ns=(14 * 10**18, 14 * 10**18))
    assert opened(root, cache).list_runs().table.height == len(HEALTHY)
    assert opened(root, cache).list_runs().table.height == len(HEALTHY)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on open files")
def test_a_load_that_fails_as_a_whole_is_reported_until_one_succeeds_and_nothing_is_lost(tmp_path: Path) -> None:
    root = healthy(tmp_path)
    config = AnalysisConfig(cache="memory", refresh_seconds=0.0)
    db = ExperimentDB(config, base_path=root)
    before = told(db)
    write_run(root / "new", {"lr": 0.3, "other": 1}, ROWS)
    append(root / "ok0", '{"step": 9, "loss": 0.01}')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        answers = [db.list_runs(columns=["loss.last"]), db.list_runs(columns=["loss.last"])]
        during = told(db)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for answer in answers:
        assert any("could not be read at" in w and "last good snapshot, of 20" in w for w in answer.basis.warnings)
    assert same(during, before)
    assert "Too many open files" in db.failure
    after = db.list_runs(columns=["loss.last"])
    assert not db.failure
    assert not any("could not be read" in w for w in after.basis.warnings)
    assert "new" in db.runs_df["run_id"].to_list()
    assert same(told(db), told(opened(root)))


def test_thousands_of_hyperparameters_take_linear_time_and_are_folded(tmp_path: Path) -> None:
    for run in range(12):
        labels = {str(n): f"LABEL_{n}" for n in range(1000)}
        turned = {f"LABEL_{n}": n + run % 2 for n in range(1000)}
        write_run(tmp_path / f"r{run}", {"lr": 0.1 * (run % 3), "id2label": labels, "label2id": turned}, ROWS)
    db = opened(tmp_path)
    db.load_experiments()
    began = time.perf_counter()
    varying = {r["hparam"]: r for r in db.varying().table.iter_rows(named=True)}
    assert set(varying) == {"lr", "label2id"}
    assert varying["label2id"]["values"] == ["1,000 keys"]
    assert varying["label2id"]["n_values"] == 2
    hyper = db.get_run("r0").tables["hyperparameters"]
    assert ("id2label", "1,000 keys") in hyper.rows()
    assert any("id2label: 1,000 keys" in text for text in db.overview().table["text"])
    assert db.list_runs().table.height == 12
    differing = dict(zip(*db.compare("r0", "r1").tables["hyperparameters"].get_columns()[:2], strict=True))
    assert differing["label2id"] == "1,000 keys"
    assert time.perf_counter() - began < 30  # it was minutes


def test_a_store_that_cannot_be_decoded_is_read_from_the_folders_again(tmp_path: Path) -> None:
    root, cache = healthy(tmp_path / "runs"), tmp_path / "cache"
    before = told(opened(root, cache))
    for table in cache.glob("stores/*/ledger/*.parquet"):
        frame = pl.read_parquet(table)
        frame.with_columns(pl.lit(b"\xc1\xff").alias("entry")).write_parquet(table)
    write_run(root / "new", {"lr": 0.3, "other": 1}, ROWS)
    db = opened(root, cache)
    assert same(told(db), before)
    assert db.runs_df.height == len(HEALTHY) + 1
    assert db.runs_df["lr"].null_count() == 0


class Careless:
    """A reader of a third party, with the faults that such have."""

    name, version = "careless", 1

    def claim(self, folder: Folder) -> list[Claim]:
        if folder.name == "ok1":
            raise RuntimeError("of the claim")
        return [Claim((name,), is_folder=False) for name in folder.files if name.endswith(".bad")]

    def read(self, source: Source, resume: Resume | None) -> Reading:
        fault = Path(source.path).stem
        if fault in FAULTS:
            raise FAULTS[fault]
        runs = (RunRecord("twice"),) * 2 if fault == "ids" else (RunRecord(fault, hyperparameters={"n": 10**5000}),)
        return Reading(
            runs, pl.DataFrame({"run_id": ["x"]}) if fault == "schema" else pl.DataFrame(schema=READING_SCHEMA)
        )


FAULTS: dict[str, BaseException] = {
    "memory": MemoryError(),
    "type": TypeError("first\nsecond"),
    "depth": RecursionError(),
    "panic": pl.exceptions.PanicException("panicked"),
    "words": KeyError("k"),
}


def test_any_error_or_bad_result_of_a_reader_is_a_problem_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = healthy(tmp_path)
    before = told(opened(root))
    for fault in (*FAULTS, "ids", "schema", "fine"):
        (root / f"{fault}.bad").write_text("x")
    monkeypatch.setattr("sweeplens.ingest.refresh.all_readers", lambda: (Careless(), *READERS))
    db = opened(root)
    assert same(told(db), before)
    said = {Path(r["file"]).name: r["reason"] for r in db.problems.iter_rows(named=True)}
    assert said.keys() == {"ok1", "ids.bad", "schema.bad", *(f"{f}.bad" for f in FAULTS)}
    assert "RuntimeError: of the claim" in said["ok1"]
    assert said["memory.bad"].endswith("MemoryError")
    assert said["type.bad"].endswith("TypeError: first")
    assert "PanicException: panicked" in said["panic.bad"]
    assert "fine" in db.runs_df["run_id"].to_list()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
@settings(max_examples=200, deadline=None)
def test_any_data_of_a_file_becomes_plain_data_for_json_and_stays_unchanged_afterwards(
    value: object,
) -> None:
    once = plain_value(value)
    json.dumps(once, ensure_ascii=False, default=str).encode()
    assert plain_value(once) is once


def test_of_too_many_hyperparameters_the_largest_group_is_left_out_with_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.source_limits.MAX_SETTINGS", 100)
    labels = {str(i): f"class {i}" for i in range(150)}
    write_run(tmp_path / "nested", {"lr": 0.1, "optim": {"name": "adam"}, "id2label": labels}, ROWS)
    write_run(tmp_path / "flat", {f"k{i}": i for i in range(150)}, ROWS)
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    runs = db.runs_df
    assert [c for c in runs.columns if "id2label" in c] == []
    assert runs.filter(pl.col("run_id") == "nested").select("lr", "optim.name").row(0) == (0.1, "adam")
    assert len([c for c in runs.columns if c.startswith("k")]) == 100
    assert sorted(db.problems["reason"]) == [
        "150 hyperparameters, more than 100: 50 others are left out",
        "152 hyperparameters, more than 100: the 150 values of 'id2label' are left out",
    ]


def test_of_runs_that_all_have_other_hyperparameters_those_of_most_runs_are_kept_and_every_answer_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.source_limits.MAX_COLUMNS", 50)
    for run in range(10):
        write_run(tmp_path / f"run{run}", {**{f"of{run}.k{i}": i for i in range(40)}, "lr": 0.1 * run}, ROWS)
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    assert len([c for c in db.runs_df.columns if c.startswith("of") or c == "lr"]) == 50
    assert db.runs_df["lr"].null_count() == 0
    warning = "351 values in the configurations of 9 runs are left out"
    for answer in (db.overview(), db.list_runs(), db.get_run("run9")):
        assert [w for w in answer.basis.warnings if warning in w]
    write_run(tmp_path / "run9", {"lr": 7.0}, [*ROWS, {"step": 99.0, "loss": 0.1}])
    db.load_experiments()
    assert db.runs_df.filter(run_id="run9")["lr"].item() == 7.0
    assert [w for w in db.overview().basis.warnings if "311 values in the configurations of 8 runs" in w]


@pytest.mark.parametrize("kind", ["jsonl", "db"])
def test_a_source_with_very_many_runs_is_stopped_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("sweeplens.source_limits._BASE_SECONDS", 0.5)
    write_run(tmp_path / "healthy", {"lr": 0.1}, ROWS)
    runs = [f"run{i}" for i in range(3000)]
    if kind == "jsonl":
        rows = "".join(json.dumps({"run_id": run, "step": 1, "loss": 0.5}) + "\n" for run in runs)
        (tmp_path / "many.jsonl").write_text(rows)
    else:
        with closing(sqlite3.connect(tmp_path / "many.db")) as connection:
            connection.execute("CREATE TABLE results (run TEXT, step INTEGER, loss REAL)")
            connection.executemany("INSERT INTO results VALUES (?, 1, 0.5), (?, 2, 0.4)", [(run, run) for run in runs])
            connection.commit()
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    assert db.runs_df["run_id"].to_list() == ["healthy"]
    assert "took too long" in db.problems["reason"][0]
