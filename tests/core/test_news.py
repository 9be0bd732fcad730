"""News since a cursor: each reported once, none missed, with a cursor of at most 40 characters."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses.news import whats_new
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions
from sweeplens.answers import Answer
from sweeplens.errors import CursorError

WEEK = 7 * 86400


def test_the_first_call_tells_the_last_day_and_gives_a_cursor(tmp_path: Path) -> None:
    _write(tmp_path / "old", steps=30, age=WEEK)
    _write(tmp_path / "new", steps=30, age=3600, slope=0.06)
    answer = _open(tmp_path).whats_new()
    assert _events(answer) == {("finished", "new"), ("best", "new")}
    ended, best = (answer.table.filter(pl.col("event") == e).row(0, named=True) for e in ("finished", "best"))
    assert ended["text"].startswith("began, ")
    assert (best["value"], best["before"]) == (pytest.approx(_loss(29, 0.06)), pytest.approx(_loss(29, 0.05)))
    assert "in the last 24 hours" in answer.notes[0]
    assert _cursor(answer)


def test_nothing_new_is_one_short_sentence(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=30, age=60)
    db = _open(tmp_path)
    again = db.whats_new(_cursor(db.whats_new()))
    assert again.table.height == 0
    assert again.notes[0].startswith("Nothing new since")
    assert len(again.notes[0]) < 60


def test_news_report_each_begin_finish_and_failure_once(tmp_path: Path) -> None:
    for i in range(5):
        _write(tmp_path / f"r{i}", steps=10, age=60, status="running")
    db = _open(tmp_path)
    cursor = _cursor(db.whats_new())
    _write(tmp_path / "r1", steps=30, age=0, status="finished", slope=0.001)
    _write(tmp_path / "r2", steps=12, age=0, status="failed", slope=0.001)
    _write(tmp_path / "r9", steps=5, age=0, status="running", slope=0.001)
    answer = db.whats_new(cursor)
    assert {e for e in _events(answer) if e[0] != "best"} == {("finished", "r1"), ("failed", "r2"), ("began", "r9")}
    assert db.whats_new(_cursor(answer)).table.height == 0


def test_a_new_best_comes_with_the_one_before(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=20, age=60)
    db = _open(tmp_path)
    before = _cursor(db.whats_new())
    _write(tmp_path / "b", steps=40, age=0)
    row = db.whats_new(before).table.filter(pl.col("event") == "best").row(0, named=True)
    assert (row["run_id"], row["metric"]) == ("b", "val/loss")
    assert row["value"] == pytest.approx(_loss(39, 0.05))
    assert row["before"] == pytest.approx(_loss(19, 0.05))


def test_a_run_that_turns_to_nan_is_a_new_problem(tmp_path: Path) -> None:
    for i in range(3):
        _write(tmp_path / f"r{i}", steps=20, age=60, status="running")
    db = _open(tmp_path)
    cursor = _cursor(db.whats_new())
    _write(tmp_path / "r0", steps=30, age=0, status="running", nan_from=22)
    problem = db.whats_new(cursor).table.filter(pl.col("event") == "problem").row(0, named=True)
    assert (problem["run_id"], problem["step"]) == ("r0", 22)
    assert problem["text"].startswith("nan:")


def test_news_report_a_run_that_stalls_though_no_file_changed(tmp_path: Path) -> None:
    runs, series, points = _frames(_write(tmp_path / "a", steps=20, age=0, status="running").parent)
    now = datetime.now(UTC)
    config = AnalysisConfig()
    early = whats_new(runs, series, points, DiagnosisOptions(config.thresholds, now, 600))
    late = whats_new(
        runs, series, points, DiagnosisOptions(config.thresholds, now + timedelta(hours=2), 600), _cursor(early)
    )
    assert _events(late) == {("stalled", "a")}


def test_news_report_a_silent_run_that_continues_as_resumed(tmp_path: Path) -> None:
    for i in range(3):
        _write(tmp_path / f"r{i}", steps=20, age=3600)
    _write(tmp_path / "running", steps=20, age=7200, status="running")
    db = _open(tmp_path)
    first = db.whats_new()
    assert {("finished", "r0"), ("stalled", "running")} <= _events(first)
    _write(tmp_path / "r0", steps=24, age=0, slope=0.001)
    _write(tmp_path / "running", steps=24, age=0, status="running", slope=0.001)
    answer = db.whats_new(_cursor(first))
    assert {e for e in _events(answer) if e[0] != "best"} == {("resumed", "r0"), ("resumed", "running")}
    assert answer.notes == (answer.notes[0],)
    assert answer.notes[0].startswith("2 resumed")


def test_a_finding_that_passes_is_no_news(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=30, age=60, status="running", nan_from=25)
    db = _open(tmp_path)
    first = db.whats_new()
    assert ("problem", "a") in _events(first)
    _write(tmp_path / "a", steps=30, age=0, status="running")
    answer = db.whats_new(_cursor(first))
    assert {e for e in _events(answer) if e[0] != "best"} == set()


def test_the_cursor_holds_over_a_restart(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=20, age=60)
    cursor = _cursor(_open(tmp_path).whats_new())
    _write(tmp_path / "b", steps=5, age=0)
    assert ("began", "b") in _events(_open(tmp_path).whats_new(cursor))


def test_news_report_copied_runs_with_old_times(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=20, age=60)
    db = _open(tmp_path)
    cursor = _cursor(db.whats_new())
    _write(tmp_path / "copied", steps=20, age=WEEK)
    assert ("finished", "copied") in _events(db.whats_new(cursor))


def test_a_file_touched_without_a_change_is_no_news(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=20, age=3600, status="finished")
    db = _open(tmp_path)
    cursor = _cursor(db.whats_new())
    (tmp_path / "a" / "metrics.jsonl").touch()
    assert db.whats_new(cursor).table.height == 0


def test_runs_that_are_gone_are_counted(tmp_path: Path) -> None:
    for i in range(4):
        _write(tmp_path / f"r{i}", steps=20, age=WEEK, status="finished")
    db = _open(tmp_path)
    cursor = _cursor(db.whats_new())
    for file in (tmp_path / "r0").iterdir():
        file.unlink()
    _write(tmp_path / "r9", steps=20, age=0, status="finished")
    answer = db.whats_new(cursor)
    assert ("finished", "r9") in _events(answer)
    assert "1 run was removed." in answer.notes


def test_the_cursor_of_ten_thousand_runs_is_short_and_finds_the_one_that_is_new() -> None:
    then = datetime.now(UTC) - timedelta(days=3)
    old = pl.DataFrame({"run_id": [f"run{i}" for i in range(10_000)]}).with_columns(
        status=pl.lit("finished"), n_steps=pl.lit(5), created_at=pl.lit(then), updated_at=pl.lit(then),
        format=pl.lit("x"), null_hparams=pl.lit([], dtype=pl.List(pl.String)),
    )  # fmt: skip
    _, series, points = _frames(None)
    config = AnalysisConfig()
    first = whats_new(old, series, points, DiagnosisOptions(config.thresholds, datetime.now(UTC)))
    cursor = _cursor(first)
    assert len(cursor) < 400
    fresh = old.head(1).with_columns(run_id=pl.lit("the new one"), updated_at=pl.lit(datetime.now(UTC)))
    answer = whats_new(
        pl.concat([old, fresh]), series, points, DiagnosisOptions(config.thresholds, datetime.now(UTC)), cursor
    )
    assert _events(answer) == {("finished", "the new one")}


def test_many_runs_of_one_fate_are_one_row_that_counts_and_names_them(tmp_path: Path) -> None:
    for i in range(30):
        _write(tmp_path / f"r{i:02}", steps=20, age=60 + i, status="finished", nan_from=12 if i % 5 == 0 else 10**9)
    for i in range(3):
        _write(tmp_path / f"live{i}", steps=5, age=0, status="running")
    answer = _open(tmp_path).whats_new()
    rows = {(r["event"], r["text"]): r for r in answer.table.iter_rows(named=True)}
    ended = rows["finished", "30 runs began, finished"]
    assert (ended["n"], ended["run_id"], ended["runs"]) == (30, "", [f"r{i:02}" for i in range(30)])
    assert rows["problem", "nan in 6 runs"]["runs"] == [f"r{i:02}" for i in range(0, 30, 5)]
    assert sorted(r for e, r in _events(answer) if e == "began") == ["live0", "live1", "live2"]
    assert answer.notes[0] == (
        "33 runs began; 30 finished; 6 new problems in 6 runs; new best of 1 metric in the last 24 hours."
    )


def test_a_run_that_falls_silent_in_the_middle_of_a_line_has_failed(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=20, age=0)
    torn = _write(tmp_path / "torn", steps=20, age=0) / "metrics.jsonl"
    torn.write_text(torn.read_text()[:-9])
    for file in torn.parent.iterdir():
        os.utime(file, (time.time() - 3600,) * 2)
    (row,) = _open(tmp_path).whats_new().table.filter(pl.col("event") == "failed").iter_rows(named=True)
    assert row["run_id"] == "torn"
    assert "in the middle of a line" in row["text"]


def test_a_cursor_has_at_most_40_characters_and_every_process_of_the_store_knows_it(tmp_path: Path) -> None:
    _write(tmp_path / "a", steps=20, age=60)
    cursors = [_cursor(_open(tmp_path).whats_new()) for _ in range(2)]
    _write(tmp_path / "b", steps=20, age=0, status="running", slope=0.9)
    for cursor in cursors:
        assert len(cursor) <= 40
        answer = _open(tmp_path).whats_new(cursor)
        assert _events(answer) >= {("began", "b")}
        assert "a" not in {run for _, run in _events(answer)}
        best = answer.table.filter(pl.col("event") == "best").row(0, named=True)
        assert best["before"] == pytest.approx(_loss(19, 0.05))


def test_where_a_cursors_state_is_not_kept_news_is_told_by_times_and_said_to_be(tmp_path: Path) -> None:
    _write(tmp_path / "runs" / "a", steps=20, age=600)
    cursor = _cursor(_open(tmp_path / "runs", tmp_path / "here").whats_new())
    _write(tmp_path / "runs" / "b", steps=20, age=-5, status="running", slope=0.9)
    answer = _open(tmp_path / "runs", tmp_path / "elsewhere").whats_new(cursor)
    assert ("began", "b") in _events(answer)
    assert any("By logged times alone" in note for note in answer.notes)
    assert "since" in answer.notes[0]


def test_a_kept_state_that_was_changed_is_not_used(tmp_path: Path) -> None:
    _write(tmp_path / "runs" / "a", steps=20, age=600)
    cursor = _cursor(_open(tmp_path / "runs", tmp_path / "cache").whats_new())
    (kept,) = (tmp_path / "cache").rglob("*.news")
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_bytes(b"forged")
    answer = _open(tmp_path / "runs", tmp_path / "cache").whats_new(cursor)
    assert any("By logged times alone" in note for note in answer.notes)


LATE = (
    b"\x03" + b"\xff" * 6 + b"x" * 16
)  # a short cursor of the year 10,889, with the checksum that anybody can compute
FORGED = base64.urlsafe_b64encode(LATE + hashlib.blake2b(LATE, digest_size=3).digest()).decode().rstrip("=")


@pytest.mark.parametrize("cursor", ["x", "!!", "AQAAAaII1rS7", "A" * 300, FORGED])
def test_a_cursor_that_is_not_ours_says_what_to_pass(tmp_path: Path, cursor: str) -> None:
    _write(tmp_path / "a", steps=20, age=60)
    with pytest.raises(CursorError, match="pass that of its last answer"):
        _open(tmp_path).whats_new(cursor)


def _write(
    folder: Path, *, steps: int, age: float, status: str = "", slope: float = 0.05, nan_from: int = 10**9
) -> Path:
    """A run of so many steps whose files changed ``age`` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"config": {"lr": 0.1}, **({"status": status} if status else {})}))
    rows = [{"step": s, "val/loss": _loss(s, slope) if s < nan_from else float("nan")} for s in range(steps)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for file in folder.iterdir():
        os.utime(file, (time.time() - age,) * 2)
    return folder


def _loss(step: int, slope: float) -> float:
    return 2.0 / (1 + slope * step)


def _open(root: Path, cache: Path | None = None) -> ExperimentDB:
    cached = {"cache_dir": str(cache)} if cache else {}
    return ExperimentDB(AnalysisConfig(refresh_seconds=0, **cached), root)


def _frames(root: Path | None) -> tuple[pl.DataFrame, pl.DataFrame, pl.LazyFrame]:
    from sweeplens.frames.schemas import empty_points, empty_series

    if root is None:
        return pl.DataFrame(), empty_series(), empty_points().lazy()
    db = _open(root)
    return db.runs_df, db.series_df, db.lazy_query()


def _cursor(answer: Answer) -> str:
    return answer.tables["cursor"]["cursor"].item()


def _events(answer: Answer) -> set[tuple[str, str]]:
    return set(answer.table.select("event", "run_id").iter_rows())
