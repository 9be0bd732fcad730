"""A source that is unreadable for a while keeps its points, with a problem, and is read again later."""

from __future__ import annotations

import contextlib
import gzip
import json
import sqlite3
from pathlib import Path

from support.stores import open_db, points_of

TABLES = """
CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT, run_name TEXT, config TEXT, created_at TEXT);
CREATE TABLE system_metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, metrics TEXT);
"""


def log(connection: sqlite3.Connection, step: int) -> None:
    row = ("r", "2024-01-01T00:00:00", "r", step, json.dumps({"loss": float(step)}))
    connection.execute("INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)", row)


def test_a_temporarily_locked_database_keeps_its_points_with_a_problem(tmp_path: Path) -> None:
    logs, cache = tmp_path / "logs", tmp_path / "cache"
    logs.mkdir()
    with contextlib.closing(sqlite3.connect(logs / "sweep.db", isolation_level=None)) as other:
        other.executescript(TABLES)
        log(other, 0)
        db = open_db(logs, cache)
        assert points_of(db) == [0.0]
        log(other, 1)
        other.execute("BEGIN EXCLUSIVE")
        for again in (db, open_db(logs, cache)):
            assert points_of(again) == [0.0]
            (reason,) = again.problems["reason"].to_list()
            assert "another process holds a lock on it" in reason
            assert "its earlier data stay" in reason
        other.execute("ROLLBACK")
        assert points_of(db) == [0.0, 1.0]  # though no file changed since
        assert db.problems.is_empty()


def test_an_archive_that_is_half_written_keeps_its_points_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run" / "metrics.jsonl.gz"
    path.parent.mkdir(parents=True)
    rows = [json.dumps({"step": i, "loss": float(i)}) for i in range(2000)]
    path.write_bytes(gzip.compress("\n".join(rows[:1000]).encode()))
    db = open_db(tmp_path / "logs", tmp_path / "cache")
    assert len(points_of(db)) == 1000
    whole = gzip.compress("\n".join(rows).encode())
    path.write_bytes(whole[: len(whole) // 2])
    assert len(points_of(db)) == 1000
    assert "could not be read" in db.problems["reason"].item()
    path.write_bytes(whole)
    assert len(points_of(db)) == 2000
    assert db.problems.is_empty()
