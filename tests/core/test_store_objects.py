"""A store on an object store, against an S3 server: it spares work as one on a disk does, and losing it changes no answer."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pytest
from obstore.store import S3Store
from polars.testing import assert_frame_equal
from support.buckets import Server
from support.killing import READS_AND_WRITES
from support.stores import Runs, child, open_db, points_of

from sweeplens import ExperimentDB
from sweeplens.store import name_for
from sweeplens.store.backends.backend import HeadMovedError
from sweeplens.store.backends.object_client import RequestTimeouts
from sweeplens.store.backends.object_store import ObjectBackend
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.tools import TOOLS

KEY = ["run_id", "metric", "seq"]

OPENS_NOTHING = """
import json, sys
root, cache = sys.argv[1:]
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
values = db.lazy_query(raw=True).filter(__import__("polars").col("metric") == "loss").collect()["value"].sort().to_list()
said = {"values": values, "opened": [p for p in opened if p.startswith(root + "/")], "warnings": db.overview().basis.warnings}
print(json.dumps(said))
"""

LOOKS_ALL_THE_TIME = """
import json, os, sys
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.store import persistent; from sweeplens.store.backends import lease
root, cache, lease_seconds = sys.argv[1:]
persistent.MUCH_ROWS, persistent.MUCH_SECONDS, lease.LEASE_SECONDS = 0, 0.0, float(lease_seconds)
persistent.PersistentStore._is_write_due = lambda self: bool(self.ledger.changed)  # however long the last writing took
db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
doubled, shrunk, before, ended, warned = 0, 0, 0, False, []
print("begun", flush=True)
while not ended:
    ended = os.path.exists(root + "/../ended")  # looks once more after it
    points = db.lazy_query(raw=True).collect()
    doubled += points.select("run_id", "metric", "step").is_duplicated().sum()
    shrunk += points.height < before
    warned += db.overview().basis.warnings
    before = points.height
values = points.filter(points["metric"] == "loss")["value"].sort().to_list()
print(json.dumps({"doubled": doubled, "shrunk": shrunk, "values": values, "warned": warned}))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the experiments lie."""
    return tmp_path / "runs"


@pytest.fixture
def writes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is worth a commit."""
    monkeypatch.setattr("sweeplens.store.persistent.MUCH_ROWS", 0)
    monkeypatch.setattr("sweeplens.store.persistent.MUCH_SECONDS", 0.0)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that the test may end, and a store that soon asks it again."""
    server = Server(tmp_path)
    server.begin()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sweeplens.store.persistent.RETRY_SECONDS", 0.3)
    monkeypatch.setattr(
        "sweeplens.store.backends.object_client.SMALL_REQUESTS", RequestTimeouts(silence=1, whole=1, retries=0)
    )
    yield server
    server.end()


def client(root: Path, cache_url: str) -> S3Store:
    """The place of the store, as a stranger sees it."""
    return S3Store.from_url(f"{cache_url}/{name_for([root])}", client_options={"allow_http": True})


def names_in(place: S3Store) -> list[str]:
    return sorted(found["path"] for batch in obstore.list(place) for found in batch)


def head_of(place: S3Store) -> dict[str, Any]:
    return json.loads(obstore.get(place, "HEAD").bytes().to_bytes())


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a child printed at its end; anything that it complained about fails the test."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return json.loads(out)


def test_a_second_process_reads_from_the_store_and_opens_no_log(root: Path, cache_url: str) -> None:
    runs = Runs(root, 5, 10)
    for path in root.rglob("*.json*"):
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    time.sleep(2.1)  # the system alone sets the time of change: what is young is compared by its content
    assert points_of(open_db(root, cache_url)) == runs.values()
    with child(OPENS_NOTHING, root, cache_url) as process:
        assert answer_of(process) == {"values": runs.values(), "opened": [], "warnings": []}


def test_a_refresh_costs_one_request_and_a_call_between_refreshes_none(root: Path, cache_url: str, s3: Server) -> None:
    runs = Runs(root, 5, 10)
    db, patient = open_db(root, cache_url), open_db(root, cache_url, refresh_seconds=100)
    assert points_of(db) == points_of(patient) == runs.values()
    db.list_runs()
    s3.asked()
    db.list_runs()
    assert [(method, Path(path).name) for method, path, _ in s3.asked()] == [("HEAD", "HEAD?")]
    patient.list_runs()
    assert s3.asked() == []


def test_a_start_requests_only_what_it_needs(root: Path, cache_url: str, s3: Server) -> None:
    Runs(root, 5, 10)
    open_db(root, cache_url).load_experiments()
    s3.asked()
    open_db(root, cache_url).list_runs()
    asked = s3.asked()
    assert {method for method, _, _ in asked} == {"GET", "HEAD"}
    assert len(asked) == 7  # HEAD's tag, HEAD, one listing, series, runs, ledger, walk


@pytest.mark.usefixtures("writes_all")
def test_any_sequence_of_changes_by_two_databases_gives_what_was_logged(root: Path, cache_url: str) -> None:
    chance = random.Random(1)
    runs = Runs(root, 8, 20)
    place = client(root, cache_url)
    dbs = [open_db(root, cache_url) for _ in range(2)]
    for turn in range(10):
        for _ in range(chance.randrange(3)):
            runs.append(chance.randrange(8), chance.choice([1, 1, 50]), torn=chance.random() < 0.3)
        if turn % 8 == 3:
            shutil.rmtree(root / f"run{turn // 8:04d}")
            runs.begin(turn // 8, 5)
        if turn % 6 == 5:
            obstore.delete(place, chance.choice([names_in(place), ["HEAD"]]))
        if turn % 5 == 4:
            dbs[0] = open_db(root, cache_url)
        assert points_of(dbs[turn % 2]) == runs.values()
        assert not dbs[turn % 2].overview().basis.warnings
    assert points_of(dbs[0]) == points_of(dbs[1]) == points_of(open_db(root, cache_url)) == runs.values()


def test_a_run_that_is_deleted_leaves(root: Path, cache_url: str) -> None:
    Runs(root, 5, 10)
    open_db(root, cache_url).load_experiments()
    shutil.rmtree(root / "run0002")
    db = open_db(root, cache_url)
    assert db.runs_df["run_id"].to_list() == ["run0000", "run0001", "run0003", "run0004"]
    assert len(points_of(db)) == len(points_of(open_db(root, cache_url))) == 40


@pytest.mark.parametrize("lease_seconds", [60, 0], ids=["one at a time", "no lease keeps them apart"])
def test_processes_that_write_at_once_lose_and_double_nothing(
    root: Path, cache_url: str, tmp_path: Path, lease_seconds: int
) -> None:
    runs = Runs(root, 20, 20)
    with contextlib.ExitStack() as ending:
        processes: list[subprocess.Popen[str]] = []
        for _ in range(2):
            processes.append(ending.enter_context(child(LOOKS_ALL_THE_TIME, root, cache_url, lease_seconds)))
            ending.callback(processes[-1].kill)
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            runs.append(random.randrange(20), 3, torn=True)
            time.sleep(0.02)
        for run in range(20):
            runs.append(run)
        (tmp_path / "ended").touch()
        said = [answer_of(process) for process in processes]
    assert [s["values"] for s in said] == [runs.values()] * 2
    assert [(s["doubled"], s["shrunk"], s["warned"]) for s in said] == [(0, 0, [])] * 2
    assert points_of(open_db(root, cache_url)) == runs.values()
    assert whole(f"{cache_url}/{name_for([root])}/points")


def whole(table: str) -> bool:
    """Whether every file that Delta's log names can be read."""
    return bool(pl.scan_delta(table).collect().height)


def test_of_many_writers_that_replace_the_same_head_one_succeeds(cache_url: str) -> None:
    place = ObjectBackend(f"{cache_url}/race")
    for turn in range(3):
        before, won = place.stamp(), list[bytes]()

        def replace(writer: int, turn: int = turn, before: Any = before, won: list[bytes] = won) -> None:
            head = f"turn {turn}, writer {writer}".encode()
            with contextlib.suppress(HeadMovedError):
                place.replace_head(head, before)
                won.append(head)

        threads = [threading.Thread(target=replace, args=(writer,)) for writer in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [place.read("HEAD")]


def test_a_lease_is_one_at_a_time_and_runs_out(cache_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = ObjectBackend(f"{cache_url}/lease"), ObjectBackend(f"{cache_url}/lease")
    with one.lock("LOCK") as mine, two.lock("LOCK") as theirs:
        assert (mine, theirs) == (True, False)
    monkeypatch.setattr("sweeplens.store.backends.lease.LEASE_SECONDS", 0.2)
    with two.lock("LOCK") as theirs, one.lock("LOCK") as mine:
        assert (mine, theirs) == (False, True)
        time.sleep(0.3)
        with one.lock("LOCK") as mine:
            assert mine


@pytest.mark.usefixtures("writes_all")
def test_a_process_killed_at_any_moment_leaves_every_complete_line_once(
    root: Path, cache_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.backends.lease.LEASE_SECONDS", 0.2)
    chance = random.Random(0)
    runs = Runs(root, 20, 100)
    for _ in range(3):
        with child(READS_AND_WRITES, root, cache_url) as process:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("\n")
            process.stdin.flush()
            until = time.monotonic() + chance.uniform(0.1, 0.8)
            while time.monotonic() < until:
                runs.append(chance.randrange(20), chance.choice([1, 1, 200]), torn=chance.random() < 0.3)
                time.sleep(0.01)
            process.kill()
        db = open_db(root, cache_url)
        assert points_of(db) == runs.values()
        assert not db.overview().basis.warnings
    time.sleep(0.2)  # the last lease runs out
    runs.append(0)
    assert points_of(db) == points_of(open_db(root, cache_url)) == runs.values()
    assert head_of(client(root, cache_url))["written"] > time.time() - 5


@pytest.mark.usefixtures("writes_all")
def test_a_server_that_dies_is_answered_without_and_taken_up_again(root: Path, own: Server) -> None:
    cache = f"s3://{own.bucket}/cache"
    runs = Runs(root, 5, 10)
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    own.end()
    runs.append(1)
    assert points_of(db) == runs.values()
    assert "cannot be reached" in db.overview().basis.warnings[0]
    assert "AWS_ENDPOINT_URL" in db.overview().basis.warnings[0]
    assert "cannot be reached" in db.store
    fresh = open_db(root, cache)
    assert points_of(fresh) == runs.values()
    assert "cannot be reached" in fresh.overview().basis.warnings[0]
    own.begin()
    time.sleep(0.4)
    assert points_of(db) == points_of(fresh) == runs.values()
    assert not (*db.overview().basis.warnings, *fresh.overview().basis.warnings)
    assert head_of(client(root, cache))["data_version"]


@pytest.mark.skipif(os.name == "nt", reason="stopping a process without ending it is of POSIX")
def test_a_server_that_hangs_does_not_block_calls_for_long(root: Path, own: Server) -> None:
    runs = Runs(root, 5, 10)
    db = open_db(root, f"s3://{own.bucket}/cache")
    assert points_of(db) == runs.values()
    own.hang()
    began = time.monotonic()
    assert points_of(db) == runs.values()
    assert points_of(db) == runs.values()
    assert time.monotonic() - began < 10
    assert "cannot be reached" in db.overview().basis.warnings[0]
    own.go_on()
    time.sleep(0.4)
    assert points_of(db) == runs.values()
    assert not db.overview().basis.warnings


def test_a_missing_bucket_is_reported_with_advice(root: Path, cache_url: str) -> None:
    runs = Runs(root, 3, 10)
    db = open_db(root, cache_url.replace("s3://lab/", "s3://missing/"))
    assert points_of(db) == runs.values()
    assert "this bucket does not exist" in db.overview().basis.warnings[0]
    assert "ANALYSIS_CACHE_DIR" in db.overview().basis.warnings[0]


def test_refused_credentials_are_reported_with_advice(
    root: Path, cache_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(root, 3, 10)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    db = open_db(root, cache_url)
    assert points_of(db) == runs.values()
    assert "cannot be reached (403 Forbidden" in db.overview().basis.warnings[0]
    assert "check the credentials" in db.overview().basis.warnings[0]


def test_a_process_that_may_only_read_answers_from_the_store_and_warns_when_writing_is_due(
    root: Path, cache_url: str, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(root, 3, 10)
    open_db(root, cache_url).load_experiments()
    for name, value in s3.reading_environment.items():
        monkeypatch.setenv(name, value)
    db = open_db(root, cache_url)
    assert points_of(db) == runs.values()
    runs.append(1)
    assert points_of(db) == runs.values()
    assert "cannot be written (403 Forbidden" in db.overview().basis.warnings[0]
    assert any("/points/" in path for _, path, _ in s3.asked())


@pytest.fixture
def hanging(root: Path, own: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[ExperimentDB, list[float]]:
    """A database whose object store fell silent after the last look, and the values that it had read."""
    soon = {**RequestTimeouts(silence=1, whole=1, retries=0).options, "max_retries": 0}
    monkeypatch.setattr("sweeplens.store.backends.object_store.ObjectBackend.scan_options", soon)
    runs = Runs(root, 5, 10)
    open_db(root, f"s3://{own.bucket}/cache").load_experiments()
    db = open_db(root, f"s3://{own.bucket}/cache", refresh_seconds=100)
    db.refresh()
    own.hang()
    return db, runs.values()


@pytest.mark.skipif(os.name == "nt", reason="stopping a process without ending it is of POSIX")
def test_a_question_asked_while_the_server_hangs_ends_in_an_error(hanging: tuple[ExperimentDB, list[float]]) -> None:
    with pytest.raises(OSError, match="timed out"):
        points_of(hanging[0])


@pytest.mark.skipif(os.name == "nt", reason="stopping a process without ending it is of POSIX")
def test_a_tool_that_is_called_while_the_server_hangs_answers_from_the_folders(
    hanging: tuple[ExperimentDB, list[float]],
) -> None:
    db, values = hanging
    (spec,) = (s for s in TOOLS if s.name == "query_metrics")
    made = answer_call(spec, db, {"metrics": ["loss"]}, AnswerCache())
    shown = sorted(value for series in made.structured["series"] for value in series["value"])
    assert shown == pytest.approx(values)
    assert "cannot be reached" in made.text


@pytest.mark.usefixtures("writes_all")
def test_other_engines_read_the_tables(root: Path, cache_url: str, s3: Server) -> None:
    runs = Runs(root, 8, 50)
    db = open_db(root, cache_url)
    for run in range(4):
        runs.append(run, 2)
        db.refresh()
    url, options = f"{cache_url}/{name_for([root])}", {k.lower(): v for k, v in s3.environment.items()}
    points = pl.scan_delta(f"{url}/points", storage_options=options).with_columns(pl.col("seq").cast(pl.UInt32))
    assert_frame_equal(points.collect().sort(KEY), db.lazy_query(raw=True).collect().sort(KEY))
    series = pl.scan_delta(f"{url}/series", storage_options=options).collect()
    assert_frame_equal(series.sort("run_id", "metric"), db.series_df)
    assert pl.scan_delta(f"{url}/ledger", storage_options=options).collect()["path"].n_unique() == 8


def test_a_question_gets_only_the_row_groups_that_matter(
    root: Path, cache_url: str, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.files.ROW_GROUP", 20_000)
    monkeypatch.setattr("sweeplens.store.persistent.SPILL_ROWS", 100_000)
    Runs(root, 40, 5000)
    open_db(root, cache_url).load_experiments()
    size = sum(found["size"] for batch in obstore.list(client(root, cache_url), "points") for found in batch)
    assert size > 1_000_000
    db = open_db(root, cache_url, refresh_seconds=100)
    db.refresh()
    s3.asked()
    assert db.query_metrics("loss", run_filter=["run0007"], step_range=(50, 59)).height == 10
    assert 0 < sum(sent for _, _, sent in s3.asked()) < size / 3
    assert db.query_sql("SELECT COUNT(*) AS n FROM points WHERE metric = 'loss'").table["n"].item() == 200_000


@pytest.mark.usefixtures("writes_all")
def test_files_that_head_no_longer_names_are_deleted(
    root: Path, cache_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.files._GRACE", {})
    monkeypatch.setattr("sweeplens.store.files._SHORT_GRACE", -1.0)
    monkeypatch.setattr("sweeplens.store.files._ORPHAN", -1.0)
    runs, place = Runs(root, 3, 10), client(root, cache_url)
    obstore.put(place, f"points/{'0' * 32}.parquet", b"half")  # left by a process that was killed
    obstore.put(place, "points/of-somebody-else.parquet", b"whole")
    db = open_db(root, cache_url)
    for run in (0, 1, 2):
        runs.append(run)
        assert points_of(db) == runs.values()
    head = head_of(place)
    named = {file["path"] for files in head["tables"].values() for file in files} | {
        head["walk"]["path"],
        head["view"]["path"],
    }
    kept = {name for name in names_in(place) if "/_delta_log/" not in name}
    assert kept == named | {"HEAD", "LOCK", "FIRST", "points/of-somebody-else.parquet"}


def cut(place: S3Store, name: str) -> None:
    obstore.put(place, name, obstore.get(place, name).bytes().to_bytes()[:-7])


def flipped(place: S3Store, name: str) -> None:
    said = bytearray(obstore.get(place, name).bytes().to_bytes())
    said[len(said) // 2] ^= 4
    obstore.put(place, name, bytes(said))


@pytest.mark.parametrize(
    ("damage", "folder"),
    [
        (obstore.delete, "points"),
        (cut, "series"),
        (obstore.delete, "state"),
        (cut, "HEAD"),
        *((flipped, name) for name in ("points", "series", "state", "ledger", "HEAD")),
    ],
)
def test_a_store_that_is_damaged_is_rebuilt_and_the_log_reports_it(
    root: Path, cache_url: str, damage: Callable[[S3Store, str], None], folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Runs(root, 3, 10)
    open_db(root, cache_url).load_experiments()
    place = client(root, cache_url)
    for name in names_in(place):
        if name.startswith(folder) and "/_delta_log/" not in name:
            damage(place, name)
    with caplog.at_level(logging.INFO, "sweeplens.store"):
        assert points_of(open_db(root, cache_url)) == runs.values()
    assert "is rebuilt" in caplog.text
    caplog.clear()
    assert points_of(open_db(root, cache_url)) == runs.values()
    assert not caplog.records


def test_points_that_are_deleted_under_a_process_are_read_again(
    root: Path, cache_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.backends.object_store._LISTING_SECONDS", 0.0)
    runs, place = Runs(root, 3, 10), client(root, cache_url)
    db = open_db(root, cache_url)
    assert points_of(db) == runs.values()
    obstore.delete(place, [name for name in names_in(place) if name.startswith("points/")])
    assert points_of(db) == runs.values()


def test_the_store_says_where_it_is_how_large_and_how_old(root: Path, cache_url: str) -> None:
    Runs(root, 3, 10)
    db = open_db(root, cache_url)
    db.load_experiments()
    place, _, rest = db.store.partition(", ")
    assert place == f"{cache_url}/{name_for([root])}"
    assert rest.endswith(" s ago")
    assert "MB, written" in rest


def test_a_full_folder_for_temporary_files_is_named_and_not_the_store(
    root: Path, cache_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(root, 3, 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    db = open_db(root, cache_url)
    assert points_of(db) == runs.values()
    (warning,) = db.overview().basis.warnings
    assert f"the folder for temporary files {str(tmp_path / 'full')!r} accepts no files" in warning
    assert "cannot be written" not in warning
