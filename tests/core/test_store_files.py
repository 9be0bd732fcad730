"""The files of a store: tables for any engine, as large as those of a fresh store; a question reads only the parts it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from support.stores import Runs, child, open_db, place_of, points_of, size_of

KEY = ["run_id", "metric", "seq"]
DAY = 86_400.0


@pytest.fixture
def writes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is worth a commit."""
    monkeypatch.setattr("sweeplens.store.persistent.MUCH_ROWS", 0)
    monkeypatch.setattr("sweeplens.store.persistent.MUCH_SECONDS", 0.0)


@pytest.mark.usefixtures("writes_all")
def test_the_tables_are_delta_lake_and_hold_the_data_behind_the_answers(tmp_path: Path) -> None:
    root, cache = tmp_path / "runs", tmp_path / "cache"
    runs = Runs(root, 8, 50)
    db = open_db(root, cache)
    for run in range(8):
        runs.append(run, 2)
        db.refresh()
    place = place_of(root, cache)
    points = pl.scan_delta(str(place / "points")).with_columns(pl.col("seq").cast(pl.UInt32)).collect()
    assert_frame_equal(points.sort(KEY), db.lazy_query(raw=True).collect().sort(KEY))
    assert_frame_equal(pl.scan_delta(str(place / "series")).collect().sort("run_id", "metric"), db.series_df)
    assert pl.scan_delta(str(place / "runs")).collect()["run_id"].to_list() == db.runs_df["run_id"].to_list()
    ledger = pl.scan_delta(str(place / "ledger")).collect()
    logs = list(root.rglob("*.jsonl"))
    assert sum(ledger["bytes_read"]) >= sum(log.stat().st_size for log in logs)
    named = json.loads((place / "HEAD").read_text())
    for table in ("points", "series", "runs", "ledger"):
        assert DeltaTable(place / table).version() == named["versions"][table]
        on_disk = {uri.rsplit("/", 1)[-1] for uri in DeltaTable(place / table).file_uris()}
        assert on_disk == {f["path"].rsplit("/", 1)[-1] for f in named["tables"][table]}


@pytest.mark.usefixtures("writes_all")
def test_after_a_year_of_small_commits_the_store_is_as_large_as_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.store.files.SMALL_ROWS", 20_000)
    root, cache = tmp_path / "runs", tmp_path / "cache"
    runs = Runs(root, 10)
    db = open_db(root, cache)
    for day in range(73):
        runs.append(day % 10, 800)
        assert len(points_of(db)) == sum(runs.steps)
        if day % 3 == 0:
            a_day_passes(place_of(root, cache))
    runs.append(0)
    a_day_passes(place_of(root, cache))
    db.refresh()
    assert points_of(db) == runs.values()
    points_of(open_db(root, tmp_path / "fresh"))
    place, fresh = place_of(root, cache), place_of(root, tmp_path / "fresh")
    retired = json.loads((place / "HEAD").read_text())["retired"]
    assert not [n for n, since in retired.items() if since < time.time() - DAY / 2 and (place / n).exists()]
    assert len(list((place / "points").glob("*.parquet"))) < 20
    aged = size_of(place) - retired_bytes(place) - log_bytes(place)
    assert aged <= 1.2 * (size_of(fresh) - log_bytes(fresh))
    assert log_bytes(place) < 500_000


def a_day_passes(place: Path) -> None:
    """Everything in the store becomes a day older."""
    for path in place.rglob("*"):
        if path.is_file() and path.name != "HEAD":
            was = path.stat()
            os.utime(path, (was.st_atime - DAY, was.st_mtime - DAY))
    head = json.loads((place / "HEAD").read_text())
    head["retired"] = {name: since - DAY for name, since in head["retired"].items()}
    (place / "HEAD").write_text(json.dumps(head))


def retired_bytes(place: Path) -> int:
    """Files that are kept a while longer, as other processes may still read them."""
    retired = json.loads((place / "HEAD").read_text())["retired"]
    return sum((place / name).stat().st_size for name in retired if (place / name).exists())


def log_bytes(place: Path) -> int:
    """Delta's own logs: they do not grow with the points, and are cut at each checkpoint."""
    return sum(size_of(place / table / "_delta_log") for table in ("points", "series", "runs", "ledger"))


ASKS = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
root, cache, run, low, high = sys.argv[1:]
db = ExperimentDB(AnalysisConfig(cache_dir=cache, refresh_seconds=100), root)
db.refresh()
print("asked", file=sys.stderr, flush=True)
print(db.query_metrics("loss", run_filter=[run] if run else None, step_range=(int(low), int(high))).height)
"""


@pytest.mark.parametrize(
    ("run", "low", "high", "rows", "most"),
    [("run0007", 0, 9999, 2000, 0.15), ("", 0, 9999, 40_000, 0.6), ("run0007", 50, 59, 10, 0.15)],
)
def test_a_question_reads_only_the_row_groups_that_matter(
    tmp_path_factory: pytest.TempPathFactory, run: str, low: int, high: int, rows: int, most: float
) -> None:
    home = stored(tmp_path_factory)
    arguments = (ASKS, home / "runs", home / "cache", run, low, high)
    with child(*arguments, env={**os.environ, "POLARS_VERBOSE": "1"}, stderr=subprocess.PIPE) as process:
        out, said = process.communicate(timeout=60)
    assert int(out) == rows, said
    read = re.findall(r"reading (\d+) / (\d+) row groups", said.partition("asked\n")[2])
    assert sum(int(n) for _, n in read) >= 10
    assert sum(int(n) for n, _ in read) <= most * sum(int(n) for _, n in read)


_stored: list[Path] = []


def stored(factory: pytest.TempPathFactory) -> Path:
    """A store of 20 runs x 2,000 steps x 2 metrics in small row groups."""
    if not _stored:
        home = factory.mktemp("pushdown")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sweeplens.store.files.ROW_GROUP", 4_000)
            Runs(home / "runs", 20, 2000)
            open_db(home / "runs", home / "cache").load_experiments()
        _stored.append(home)
    return _stored[0]
