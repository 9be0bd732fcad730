"""Logs that the executors of a cluster read give the store that this machine would have made. Sail is the cluster here."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from support.buckets import Server
from support.engines import sail
from support.stores import Runs, place_of

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.cancellation import StoppedError, cancellable
from sweeplens.engines.address import parse_address
from sweeplens.engines.spark_session import SparkConnection
from sweeplens.errors import ConfigError, EngineError, StoreError
from sweeplens.frames.schemas import empty_series
from sweeplens.ingest.cluster import parts
from sweeplens.ingest.cluster.executor import read_part
from sweeplens.ingest.cluster.load import ingest_on_cluster
from sweeplens.ingest.cluster.shipping import own_code, work_on_executors, write_archive
from sweeplens.ingest.refresh import ingest
from sweeplens.readers import all_readers
from sweeplens.readers.protocol import FileStat, Source
from sweeplens.sources.discover import discover
from sweeplens.store import PersistentStore, open_store
from sweeplens.store.backends.backend import TableFile
from sweeplens_mcp.cli.commands import main

LOGS = Path(__file__).parents[1] / "data" / "logs"
CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
SETS = ("hf_trainer", "mlflow_sqlite", "wandb_offline") if CORPUS else ("cleanrl", "optuna", "restarts")


def db(root: Path | list[Path], cache: Path | str, **options: Any) -> ExperimentDB:
    """A database as a new process would open it."""
    return ExperimentDB(AnalysisConfig(cache_dir=str(cache), refresh_seconds=0, **options), root)


def on_cluster(root: Path | list[Path], cache: Path | str, **options: Any) -> ExperimentDB:
    """A database over the store that a cluster has just filled, opened by another process without a cluster."""
    db(root, cache, engine=sail(), **options).load_on_cluster()
    return db(root, cache, **options)


def assert_same(here: ExperimentDB, there: ExperimentDB) -> None:
    """Runs, series, points and problems are those of a local ingest."""
    order = ["run_id", "metric", "seq"]
    assert_frame_equal(here.runs_df, there.runs_df)
    assert_frame_equal(here.series_df, there.series_df)
    points = [d.lazy_query(raw=True).collect().sort(order) for d in (here, there)]
    assert points[0].height
    assert_frame_equal(*points)
    assert_frame_equal(here.problems, there.problems)


def read_at(cache: Path) -> dict[str, int]:
    """The files of points of a store, with their times."""
    return {str(p): p.stat().st_mtime_ns for p in cache.glob("stores/*/points/*.parquet")}


@pytest.mark.parametrize("name", ["demo", *SETS])
def test_executors_read_logs_as_this_machine_does(name: str, sweep: Path, tmp_path: Path) -> None:
    root = sweep if name == "demo" else Path(CORPUS or LOGS, name)
    here = db(root, tmp_path / "here")
    here.load_experiments()
    there = on_cluster(root, tmp_path / "there")
    before = read_at(tmp_path / "there")
    assert_same(here, there)
    assert read_at(tmp_path / "there") == before  # nothing was read again
    metric = here.series_df["metric"][0]
    tables = [d.rank(metric, goal="lower", by="run").table for d in (here, there)]
    assert tables[0].equals(tables[1])


@pytest.fixture
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that each source has one of its own."""
    monkeypatch.setattr(parts, "PART_BYTES", 1)


@pytest.mark.usefixtures("many_parts")
def test_runs_of_equal_names_in_different_parts_get_the_ids_of_a_local_ingest(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        Runs(root, 3, 40)
    Runs(tmp_path / "b" / "more", 1, 40)
    here = db(roots, tmp_path / "here")
    here.load_experiments()
    there = on_cluster(roots, tmp_path / "there")
    assert any("@" in run for run in here.runs_df["run_id"])
    assert_same(here, there)


@pytest.mark.usefixtures("many_parts")
def test_a_new_root_with_a_known_name_renames_runs_as_a_local_ingest_does(tmp_path: Path) -> None:
    Runs(tmp_path / "all" / "x", 2, 20)
    stores = tmp_path / "here", tmp_path / "there"
    on_cluster(tmp_path / "all", stores[1])
    db(tmp_path / "all", stores[0]).load_experiments()
    for n, name in enumerate(("offline-run-20260101_000000-abc", "offline-run-20260102_000000-abc")):
        folder = tmp_path / "all" / "study" / name
        folder.mkdir(parents=True)
        rows = [json.dumps({"step": s, "loss": n + 1 / (1 + s)}) for s in range(9)]
        (folder / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    here = db(tmp_path / "all", stores[0])
    here.load_experiments()
    assert_same(here, on_cluster(tmp_path / "all", stores[1]))


@pytest.mark.usefixtures("many_parts")
def test_a_source_that_cannot_be_read_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    Runs(root, 3, 10)
    (root / "study").mkdir()
    (root / "study" / "optuna.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    (root / "run0001" / "metrics.jsonl").write_bytes(
        b'{"step": 1, "loss": 1}\n{"step": 2, "lo\x00\xff\n{"step": 3, "loss": 2}\n'
    )
    here = db(root, tmp_path / "here")
    here.load_experiments()
    assert here.problems.height
    assert_same(here, on_cluster(root, tmp_path / "there"))


@pytest.mark.usefixtures("many_parts")
def test_a_file_that_is_half_written_now_keeps_its_earlier_data(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    Runs(root, 2, 10)
    path = root / "zipped" / "metrics.jsonl.gz"
    path.parent.mkdir()
    lines = "\n".join(json.dumps({"step": i, "loss": float(i)}) for i in range(2000)).encode()
    path.write_bytes(gzip.compress(lines[: len(lines) // 2]))
    before = on_cluster(root, tmp_path / "there").series_df
    path.write_bytes(gzip.compress(lines)[:2000])
    later = on_cluster(root, tmp_path / "there")
    assert_frame_equal(later.series_df, before)
    assert "its earlier data stay" in later.problems["reason"].item()


@pytest.mark.usefixtures("many_parts")
def test_a_second_ingest_reads_what_changed_and_drops_what_is_gone(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 6, 30)
    first = on_cluster(runs.root, tmp_path / "there")
    assert first.runs_df.height == 6
    runs.append(1, 4)
    shutil.rmtree(runs.root / "run0003")
    runs.begin(6, 8) if len(runs.steps) > 6 else (runs.steps.append(0), runs.begin(6, 8))
    here = db(runs.root, tmp_path / "here")
    here.load_experiments()
    assert_same(here, on_cluster(runs.root, tmp_path / "there"))


def test_an_ingest_without_changes_asks_no_cluster(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 2, 10)
    on_cluster(runs.root, tmp_path / "there")
    nobody = db(runs.root, tmp_path / "there", engine="sc://127.0.0.1:1")
    assert nobody.load_on_cluster().n_runs == 2


class Busy(SparkConnection):
    """A connection to a real server. ``meanwhile`` is done after the first job, before its result is used."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__(parse_address(sail()))
        self._meanwhile, self.jobs = meanwhile, 0

    def collected(self, *arguments: Any) -> pl.DataFrame:
        self.jobs += 1
        found = super().collected(*arguments)
        if self.jobs == 1:
            self._meanwhile()
        return found


def store_of(runs: Runs, cache: Path) -> PersistentStore:
    store = open_store([runs.root], AnalysisConfig(cache_dir=str(cache)))
    assert isinstance(store, PersistentStore)
    return store


@pytest.mark.usefixtures("many_parts")
def test_another_process_that_reads_everything_meanwhile_doubles_no_point(tmp_path: Path) -> None:
    runs, cache = Runs(tmp_path / "runs", 4, 20), tmp_path / "there"
    on_cluster(runs.root, cache)
    runs.append(2)

    def meanwhile() -> None:
        runs.append(0, 3)
        db(runs.root, cache).load_experiments()

    report = ingest_on_cluster([runs.root], store_of(runs, cache), Busy(meanwhile))
    assert report.n_points == 2 * len(runs.values())
    here = db(runs.root, tmp_path / "here")
    here.load_experiments()
    assert_same(here, db(runs.root, cache))


@pytest.mark.usefixtures("many_parts")
def test_what_executors_read_stays_usable_while_another_process_writes_and_sweeps(tmp_path: Path) -> None:
    runs, cache = Runs(tmp_path / "runs", 4, 20), tmp_path / "there"
    on_cluster(runs.root, cache)
    other = store_of(runs, cache)
    for _ in range(2):  # the second change stays in memory for some seconds
        runs.append(1)
        ingest([runs.root], other)
    runs.append(2)

    def meanwhile() -> None:
        """The job took two hours; now the other process writes, and removes files that nobody names for an hour."""
        hours_ago = time.time() - 2 * 3600
        for path in read_at(cache):
            os.utime(path, (hours_ago, hours_ago))
        other.commit()

    busy = Busy(meanwhile)
    assert ingest_on_cluster([runs.root], store_of(runs, cache), busy).n_points == 2 * len(runs.values())
    assert busy.jobs == 1  # nothing was read again
    assert not list(cache.glob("stores/*/state/*.news"))
    here = db(runs.root, tmp_path / "here")
    here.load_experiments()
    assert_same(here, db(runs.root, cache))


def test_attempts_of_a_task_write_files_of_their_own_and_only_those_of_one_count(tmp_path: Path) -> None:
    runs, cache = Runs(tmp_path / "runs", 3, 20), tmp_path / "there"

    class TriedTwice(SparkConnection):
        """A connection to a real server whose tasks all run twice; the results of the first attempts are lost."""

        def collected(self, *arguments: Any) -> pl.DataFrame:
            super().collected(*arguments)
            return super().collected(*arguments)

    ingest_on_cluster([runs.root], store_of(runs, cache), TriedTwice(parse_address(sail())))
    there = db(runs.root, cache)
    assert (
        there.lazy_query(raw=True).filter(pl.col("metric") == "loss").collect()["value"].sort().to_list()
        == runs.values()
    )
    assert len(read_at(cache)) == 1  # the first attempt's file was removed


def test_a_cancelled_ingest_changes_nothing_and_the_next_one_reads_everything(tmp_path: Path) -> None:
    runs, cache = Runs(tmp_path / "runs", 5, 10), tmp_path / "there"
    database = db(runs.root, cache, engine=sail())

    def stop() -> None:
        raise StoppedError("the client left")

    began = time.monotonic()
    with pytest.raises(StoppedError), cancellable(stop):
        database.load_on_cluster()
    assert time.monotonic() - began < 10
    assert not (place_of(runs.root, cache) / "HEAD").exists()
    there = on_cluster(runs.root, cache)
    assert (
        there.lazy_query(raw=True).filter(pl.col("metric") == "loss").collect()["value"].sort().to_list()
        == runs.values()
    )


def test_a_cluster_that_does_not_answer_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyspark")
    runs = Runs(tmp_path / "runs", 2, 10)
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", str(tmp_path / "cache"))
    assert main(["ingest", "--engine", "sc://127.0.0.1:1", "--root", str(runs.root)]) == 2
    assert "sc://127.0.0.1:1 does not answer" in capsys.readouterr().err
    assert not (place_of(runs.root, tmp_path / "cache") / "HEAD").exists()


def test_the_command_says_what_was_read_and_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(tmp_path / "runs", 2, 10)
    with (runs.root / "run0001" / "metrics.jsonl").open("a") as log:
        log.write("no JSON\n")
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", str(tmp_path / "cache"))
    assert main(["ingest", str(runs.root), "--engine", sail()]) == 0
    said = capsys.readouterr().out
    assert "Read 2 runs, 40 points in 4 files" in said
    assert f"Engine: {sail()}" in said
    assert str(place_of(runs.root, tmp_path / "cache")) in said
    assert "metrics.jsonl:11: not JSON" in said
    assert main(["ingest", str(runs.root)]) == 0  # on this machine: nothing is left to do
    assert "Engine" not in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["", "polars"])
def test_an_ingest_without_a_cluster_is_an_error_that_says_how_to_name_one(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="engine='sc://host:15002'"):
        db(tmp_path, tmp_path / "cache", engine=engine).load_on_cluster()


def test_a_store_that_cannot_be_used_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 1, 10)
    with pytest.raises((ConfigError, StoreError), match="inside the experiments"):
        db(runs.root, runs.root / "cache", engine=sail()).load_on_cluster()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("obstore")
    server = Server(tmp_path)
    server.begin()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.end()


@pytest.mark.usefixtures("many_parts")
def test_executors_write_to_an_object_store(tmp_path: Path, bucket: Server) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        Runs(root, 2, 30)
    here = db(roots, tmp_path / "here")
    here.load_experiments()
    assert_same(here, on_cluster(roots, f"s3://{bucket.bucket}/store"))


_BARE = """
import pickle, sys
sys.path.append(sys.argv[2])  # without the files there that would add this package
work, task = pickle.load(open("sent", "rb"))
import pyarrow as pa
(row,) = [r for b in work(iter([pa.RecordBatch.from_pydict({"number": [7], "task": [task]})])) for r in b.to_pylist()]
import sweeplens
assert sweeplens.__file__.startswith(sys.argv[1]), sweeplens.__file__
pickle.dump(row, open("returned", "wb"))
"""


def test_an_executor_without_this_package_uses_the_one_that_is_sent(tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("pyspark.cloudpickle")
    part = part_of(Runs(tmp_path / "runs", 2, 10), tmp_path / "cache")
    home = tmp_path / "executor"
    home.mkdir()
    write_archive(home / "sent.zip")
    shutil.unpack_archive(home / "sent.zip", home / own_code().archive)
    (home / "sent").write_bytes(cloudpickle.dumps((work_on_executors("read_part", own_code()), part.packed())))
    done = subprocess.run(
        [sys.executable, "-S", "-c", _BARE, str(home), sysconfig.get_path("purelib")],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    row = pickle.loads((home / "returned").read_bytes())  # noqa: S301
    result = parts.PartResult.unpacked(row["result"])
    assert row["number"] == 7
    assert result.series["n"].sum() == 40
    assert [f.path.startswith("points/0123456789abcdef") for f in result.files] == [True]


def part_of(runs: Runs, cache: Path) -> parts.SourcePart:
    """The sources of a folder as one part, for the store of the folder."""
    versions = {r.name: r.version for r in all_readers()}
    sources = [(s, versions[s.reader]) for s in discover([runs.root], all_readers()).sources]
    address = store_of(runs, cache).backend.address
    (part,) = parts.parts_of(
        sources, parts.StoreTarget.at(address, "0123456789abcdef", shared=False, shows_secrets=False)
    )
    return part


def test_an_executor_that_does_not_see_the_folder_says_which_one(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 2, 10)
    part = part_of(runs, tmp_path / "cache")
    runs.root.rename(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match=f"does not see the folder '{runs.root}': mount it there"):
        read_part(part.packed())


def test_an_executor_with_another_version_of_a_reader_says_so(tmp_path: Path) -> None:
    part = part_of(Runs(tmp_path / "runs", 2, 10), tmp_path / "cache")
    later = parts.SourcePart(part.target, tuple((source, version + 1) for source, version in part.sources))
    with pytest.raises(EngineError, match="has no reader 'json_steps' of version"):
        read_part(later.packed())


@pytest.mark.parametrize("file", ["../outside.parquet", "series/" + "0" * 32 + ".parquet"])
def test_what_is_no_result_is_an_error_that_says_so(file: str) -> None:
    with pytest.raises(EngineError, match="something else than a result"):
        parts.PartResult.unpacked(b"\xc0")
    foreign = parts.PartResult((TableFile(file, 1, 1, 1),), (), empty_series())
    with pytest.raises(EngineError, match="names no file of points"):
        parts.PartResult.unpacked(foreign.packed())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3 * parts.PART_BYTES), max_size=40))
def test_parts_hold_every_source_once_in_order_and_no_more_bytes_than_one_task_reads(sizes: list[int]) -> None:
    files = [FileStat(f"/logs/{i}.jsonl", size, 0, 0) for i, size in enumerate(sizes)]
    sources = [(Source("json_steps", "/logs", f.path, (f,)), 5) for f in files]
    target = parts.StoreTarget.at("/store", "0" * 16, shared=False, shows_secrets=False)
    made = [parts.SourcePart.unpacked(part.packed()) for part in parts.parts_of(sources, target)]
    assert [pair for part in made for pair in part.sources] == sources
    for part in made:
        size = sum(f.size for source, _ in part.sources for f in source.files)
        assert size <= parts.PART_BYTES or len(part.sources) == 1


@pytest.mark.usefixtures("many_parts")
def test_executors_fetch_logs_from_a_bucket_themselves(tmp_path: Path, bucket: Server) -> None:
    obstore = pytest.importorskip("obstore")
    root, url = tmp_path / "runs", f"s3://{bucket.bucket}/logs/runs"
    Runs(root, 3, 30)
    shutil.copytree(LOGS / "restarts", root / "restarts")
    (root / "run0002" / "exit_code").write_text("1")
    with (root / "run0000" / "metrics.jsonl").open("a") as log:
        log.write("no JSON\n")
    for path in (p for p in root.rglob("*") if p.is_file()):
        obstore.put(obstore.store.from_url(url), path.relative_to(root).as_posix(), path.read_bytes())
    here = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path / "here")), url)
    here.load_experiments()
    bucket.asked()
    ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path / "there"), engine=sail()), url).load_on_cluster()
    asked = [path for method, path, _ in bucket.asked() if method == "GET" and "run0001/metrics.jsonl" in path]
    assert len(asked) == 2  # for the mirror, from which this process lists, and by an executor
    before = read_at(tmp_path / "there")
    there = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path / "there")), url)
    assert_same(here, there)
    assert read_at(tmp_path / "there") == before
    assert there.problems["file"].to_list() == [f"{url}/run0000/metrics.jsonl"]
    assert not any("sweeplens-part-" in str(value) for row in there.runs_df.iter_rows() for value in row)
