"""How old an answer may be: what each way of asking promises."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import RootError
from sweeplens.experiment_data import PATIENCE_SECONDS
from sweeplens.ingest.background import BackgroundRefresh


def test_with_refresh_seconds_zero_each_answer_shows_the_files_as_they_are(tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), _run(tmp_path, steps=3).parent)
    for steps in (4, 5, 6):
        _run(tmp_path, steps=steps)
        assert _last_step(db) == steps - 1


def test_an_answer_that_waited_for_a_long_look_does_not_call_itself_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeplens.experiment_data._TOLD_SECONDS", 0.0)  # every look is a long one
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0), _run(tmp_path, steps=3).parent)
    assert db.list_runs().basis.warnings == ()
    _run(tmp_path, steps=4)
    answer = db.list_runs()
    assert answer.table["n_steps"].item() == 4
    assert answer.basis.warnings == ()


def test_after_refresh_seconds_an_appended_line_of_a_small_folder_is_seen_by_the_next_question(tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0.01), _run(tmp_path, steps=3).parent)
    assert _last_step(db) == 2
    _run(tmp_path, steps=9)
    time.sleep(0.05)
    assert _seen_within(db, 8, seconds=2.0)


def test_no_question_waits_for_a_long_look_and_the_answer_says_how_old_it_is(tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(refresh_seconds=0.01), _run(tmp_path, steps=3).parent)
    assert _last_step(db) == 2
    _run(tmp_path, steps=9)
    reading, go_on = threading.Event(), threading.Event()

    def held(*_: object) -> None:
        reading.set()
        go_on.wait(30)

    long = threading.Thread(target=db.load_experiments, args=(held,))
    long.start()
    try:
        assert reading.wait(20)
        time.sleep(2.1)
        began = time.monotonic()
        answer = db.list_runs()
        took = time.monotonic() - began
    finally:
        go_on.set()
        long.join()
    assert answer.table["n_steps"].item() == 3
    assert any("s ago" in warning for warning in answer.basis.warnings)
    assert took < PATIENCE_SECONDS + 5  # a machine may be busy; the look is held for thirty seconds
    assert _seen_within(db, 8, seconds=10)
    assert _asked_until(lambda: not any("s ago" in w for w in db.list_runs().basis.warnings), seconds=10)


def test_load_experiments_waits_and_shows_what_is_there_now(tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(refresh_seconds=1e6), _run(tmp_path, steps=3).parent)
    assert _last_step(db) == 2
    _run(tmp_path, steps=9)
    assert _last_step(db) == 2
    db.load_experiments()
    assert _last_step(db) == 8


def test_looks_take_a_fifth_of_the_time_at_most_and_never_run_twice_at_once() -> None:
    running, most, looks = [0], [0], [0]

    def look() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        looks[0] += 1
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass
        running[0] -= 1

    background, end = BackgroundRefresh(look), time.monotonic() + 1.2
    while time.monotonic() < end:
        background.finished(0)
        time.sleep(0.005)
    assert most == [1]
    assert 1 <= looks[0] <= 3  # each takes 0.1 s of the processor and rests at least 0.4 s


def test_the_error_of_a_look_is_raised_to_the_question_that_comes_next() -> None:
    def look() -> None:
        raise RootError("the folder is gone")

    background = BackgroundRefresh(look)
    with pytest.raises(RootError, match="the folder is gone"):
        background.finished(20)


def _run(folder: Path, *, steps: int) -> Path:
    home = folder / "a"
    home.mkdir(exist_ok=True)
    (home / "config.json").write_text('{"lr": 0.1}')
    (home / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": s, "loss": 1 / (1 + s)}) + "\n" for s in range(steps))
    )
    return home


def _last_step(db: ExperimentDB) -> int:
    return int(db.series_df["last_step"].item())


def _seen_within(db: ExperimentDB, step: int, *, seconds: float) -> bool:
    return _asked_until(lambda: _last_step(db) == step, seconds=seconds)


def _asked_until(true: Callable[[], bool], *, seconds: float) -> bool:
    """Asks until it is true; a busy machine may need more than one question."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
