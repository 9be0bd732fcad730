"""The store on disk, through `ExperimentDB`: it only ever spares work, and losing, breaking or refusing it changes no answer."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stores import Runs, child, open_db, place_of, points_of

from sweeplens import AnalysisConfig, ExperimentDB

NAMED = ("points", "series", "runs", "ledger")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where the experiments and the cache lie."""
    return tmp_path / "runs", tmp_path / "cache"


def written(root: Path, cache: Path) -> Path:
    """Read the folder, so that there is a store; its place."""
    open_db(root, cache).load_experiments()
    place = place_of(root, cache)
    assert (place / "HEAD").exists()
    return place


def head_of(place: Path) -> dict[str, object]:
    return json.loads((place / "HEAD").read_text())


def test_a_run_that_is_deleted_between_two_starts_leaves(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    Runs(root, 5, 10)
    place = written(root, cache)
    shutil.rmtree(root / "run0002")
    db = open_db(root, cache)
    assert db.runs_df["run_id"].to_list() == ["run0000", "run0001", "run0003", "run0004"]
    assert len(points_of(db)) == 40
    assert place.exists()


def test_a_start_after_which_nothing_changed_names_the_same_version_and_writes_nothing(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.ledger._YOUNG_NANOSECONDS", 0)  # that no file is young any more is written too
    root, cache = folders
    Runs(root, 5, 10)
    first = open_db(root, cache).overview().basis.data_version
    before = {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file() and p.stat().st_size}
    again = open_db(root, cache)
    assert again.overview().basis.data_version == first
    assert again.overview().basis.data_version == first
    assert {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file() and p.stat().st_size} == before


def test_deleting_the_store_between_two_starts_loses_nothing(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    runs = Runs(root, 5, 10)
    shutil.rmtree(written(root, cache))
    assert points_of(open_db(root, cache)) == runs.values()


@pytest.mark.parametrize("seconds", [0, 60])
def test_deleting_the_store_under_a_process_loses_nothing(
    folders: tuple[Path, Path], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = folders
    runs = Runs(root, 5, 10)
    db = open_db(root, cache, refresh_seconds=seconds)
    assert points_of(db) == runs.values()
    shutil.rmtree(place_of(root, cache))
    assert points_of(db) == runs.values()
    assert (place_of(root, cache) / "HEAD").exists()
    assert not db.overview().basis.warnings


def other_schema(place: Path) -> None:
    (place / "HEAD").write_text(json.dumps(head_of(place) | {"schema": 999}))


def no_head(place: Path) -> None:
    (place / "HEAD").write_text("{not json")


def other_readers(place: Path) -> None:
    (place / "HEAD").write_text(json.dumps(head_of(place) | {"readers": {"another": 1}}))


def every_file(change: Callable[[Path], object], folder: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        for path in (place / folder).iterdir():
            if path.is_file():
                change(path)

    return damage


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def overwritten(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(
    "damage",
    [
        other_schema, no_head, other_readers,
        *(every_file(change, name) for change in (shortened, overwritten, Path.unlink) for name in (*NAMED[:2], "ledger", "state")),
    ],
)  # fmt: skip
def test_a_store_that_is_damaged_or_of_another_version_is_rebuilt_and_the_log_reports_it(
    folders: tuple[Path, Path], damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    root, cache = folders
    runs = Runs(root, 5, 10)
    place = written(root, cache)
    damage(place)
    with caplog.at_level(logging.INFO, "sweeplens.store"):
        assert points_of(open_db(root, cache)) == runs.values()
    assert "is rebuilt" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "sweeplens.store"):
        db = open_db(root, cache)
        assert points_of(db) == runs.values()
    assert not caplog.records
    assert not db.overview().basis.warnings


def test_a_cache_that_cannot_be_written_is_reported_in_every_answer_and_changes_none(
    folders: tuple[Path, Path],
) -> None:
    root, cache = folders
    runs = Runs(root, 5, 10)
    cache.write_text("a file where the folder should be")
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    assert "cannot be written" in db.overview().basis.warnings[0]
    runs.append(3)
    assert points_of(db) == runs.values()
    assert "cannot be written" in db.list_runs().basis.warnings[0]


FULL_DISK = """
import json, resource, sys
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.store import persistent
persistent.RETRY_SECONDS, persistent.MUCH_ROWS, persistent.MUCH_SECONDS, persistent.SPILL_ROWS = 0.0, 0, 0.0, 10**9
root, cache, room = sys.argv[1:]
def answer():
    db.refresh()
    points = db.lazy_query(raw=True).collect().height
    print(json.dumps({"points": points, "warnings": db.overview().basis.warnings}), flush=True)
    sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), resource.RLIM_INFINITY))
db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=0), root)
answer()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
answer()
"""


@pytest.mark.skipif(os.name == "nt", reason="the bound on the size of files, which stands for a full disk, is of POSIX")
@pytest.mark.parametrize("room", [0, 1000, 5000, 9000])
def test_a_full_disk_is_reported_leaves_no_files_and_is_tried_again(folders: tuple[Path, Path], room: int) -> None:
    root, cache = folders
    Runs(root, 20, 100)
    with child(FULL_DISK, root, cache, room) as process:
        assert process.stdin
        assert process.stdout
        full = json.loads(process.stdout.readline())
        assert full["points"] == 4000
        assert "cannot be written" in full["warnings"][0]
        assert not list((place_of(root, cache)).rglob("*.parquet"))
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"points": 4000, "warnings": []}
        assert (place_of(root, cache) / "HEAD").exists()
        process.stdin.write("\n")


def test_the_store_is_never_inside_the_experiments(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    runs = Runs(root, 3, 10)
    before = sorted(tmp_path.rglob("*"))
    db = open_db(root, root / "cache")
    assert points_of(db) == runs.values()
    assert "inside the experiments" in db.overview().basis.warnings[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cache_in_memory_writes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    runs = Runs(root, 3, 10)
    before = sorted(tmp_path.rglob("*"))
    assert points_of(open_db(root, tmp_path / "cache", cache="memory")) == runs.values()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("restart", [False, True])
def test_other_content_of_the_same_size_under_the_same_time_is_noticed(
    folders: tuple[Path, Path], restart: bool
) -> None:
    root, cache = folders
    Runs(root, 3, 10)
    db = open_db(root, cache)
    before = points_of(db, "val/acc")
    log = root / "run0001" / "metrics.jsonl"
    was = log.stat()
    log.write_bytes(log.read_bytes().replace(b'"val/acc": 1.0', b'"val/acc": 3.0'))
    os.utime(log, ns=(was.st_atime_ns, was.st_mtime_ns))
    db = open_db(root, cache) if restart else db
    assert points_of(db, "val/acc") == sorted([*before[:-1], 3.0])


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_jumps_hides_no_line(folders: tuple[Path, Path], jump: int) -> None:
    root, cache = folders
    runs = Runs(root, 3, 10)
    log = root / "run0001" / "metrics.jsonl"
    os.utime(log, (time.time() + jump, time.time() + jump))
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    runs.append(1)
    os.utime(log, (time.time() + jump, time.time() + jump))
    assert points_of(db) == runs.values()
    runs.append(1)
    assert points_of(db) == points_of(open_db(root, cache)) == runs.values()


@pytest.mark.parametrize("restart", [False, True])
def test_a_torn_line_is_read_when_it_is_completed(folders: tuple[Path, Path], restart: bool) -> None:
    root, cache = folders
    runs = Runs(root, 3, 10)
    runs.append(1, 2, torn=True)
    db = open_db(root, cache)
    assert points_of(db) == runs.values()
    runs.append(1)
    db = open_db(root, cache) if restart else db
    assert points_of(db) == runs.values()
    assert not db.problems.height


def test_the_order_in_which_runs_were_written_to_the_store_does_not_show(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    runs = Runs(root, 3, 10)
    for run in (2, 0, 1):
        runs.append(run, 3)
        written(root, cache)
    again, fresh = open_db(root, cache), open_db(root, cache, cache="memory")
    assert again.runs_df.equals(fresh.runs_df)
    assert again.series_df.select("run_id", "metric", "n", "last").equals(
        fresh.series_df.select("run_id", "metric", "n", "last")
    )


def test_the_store_says_where_it_is_how_large_and_how_old(folders: tuple[Path, Path]) -> None:
    root, cache = folders
    Runs(root, 3, 10)
    db = open_db(root, cache)
    db.load_experiments()
    place = str(place_of(root, cache))
    assert re.fullmatch(re.escape(place) + r", \d+\.\d MB, written \d s ago", db.store)
    assert "in memory" in open_db(root, cache, cache="memory").store
    assert "inside the experiments" in open_db(root, root / "cache").store


@pytest.mark.parametrize("address", ["ftp://host/cache", "file://elsewhere/cache"])
def test_an_address_at_which_no_store_can_lie_is_refused_aloud(folders: tuple[Path, Path], address: str) -> None:
    root, _ = folders
    runs = Runs(root, 3, 10)
    db = ExperimentDB(AnalysisConfig(cache_dir=address, refresh_seconds=0), root)
    assert points_of(db) == runs.values()
    warning = db.overview().basis.warnings[0]
    assert all(word in warning for word in (repr(address), "s3://", "ANALYSIS_CACHE_DIR"))


def test_the_address_of_a_file_is_the_folder_that_it_names(tmp_path: Path) -> None:
    root, cache = tmp_path / "runs", tmp_path / "my Läufe"
    runs = Runs(root, 3, 10)
    db = ExperimentDB(AnalysisConfig(cache_dir=cache.as_uri(), refresh_seconds=0), root)
    assert points_of(db) == runs.values()
    assert db.store.startswith(str(place_of(root, cache)))
    within = ExperimentDB(AnalysisConfig(cache_dir=(root / "cache").as_uri(), refresh_seconds=0), root)
    assert "inside the experiments" in within.overview().basis.warnings[0]
