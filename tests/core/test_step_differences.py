"""Comparisons at other steps than the last: early in training, at equal steps, and without runs that were cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.planted import Row, database, run

from sweeplens.answers import Answer

POINTS = 60


def curve(rate: float, end: float, seed: int, points: int = POINTS) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.004, POINTS)
    return [float(v) for v in (end * (1 - np.exp(-rate * np.arange(1, POINTS + 1))) + noise)[:points]]


def runs_of(algo: str, rate: float, end: float, lengths: tuple[int, ...] = (POINTS,) * 5) -> list[Row]:
    return [
        run(f"{algo}{i}", {"algo": algo, "seed": i}, val_acc=curve(rate, end, 100 * len(algo) + i, points))
        for i, points in enumerate(lengths)
    ]


def places(answer: Answer) -> dict[str, str]:
    return dict(answer.tables["by_task"].select("task", "verdict").iter_rows())


def test_a_side_that_learns_faster_and_ends_equal_is_better_early(tmp_path: Path) -> None:
    db = database(tmp_path, [*runs_of("sac", 0.3, 0.9), *runs_of("fast", 0.1, 0.9)])
    found = places(db.compare("algo = 'sac'", "algo = 'fast'"))
    assert found[""] != "a better"
    assert found["early, at step 19"] == "a better"


def test_sides_that_differ_alike_all_along_have_no_early_row(tmp_path: Path) -> None:
    db = database(tmp_path, [*runs_of("sac", 0.3, 0.9), *runs_of("fast", 0.3, 0.8)])
    answer = db.compare("algo = 'sac'", "algo = 'fast'")
    assert answer.table["verdict"][0].startswith("different: a is better")
    assert "by_task" not in answer.tables


def test_one_run_that_was_cut_off_is_left_out_in_a_row_of_its_own(tmp_path: Path) -> None:
    db = database(tmp_path, [*runs_of("sac", 0.3, 0.9), *runs_of("fast", 0.3, 0.9, (POINTS,) * 4 + (30,))])
    assert "without 1 shorter run" in places(db.compare("algo = 'sac'", "algo = 'fast'"))


def test_many_runs_that_were_cut_off_are_compared_where_they_ended(tmp_path: Path) -> None:
    db = database(tmp_path, [*runs_of("sac", 0.3, 0.9), *runs_of("fast", 0.3, 0.9, (POINTS,) * 2 + (30,) * 3)])
    assert "at step 29" in places(db.compare("algo = 'sac'", "algo = 'fast'"))


def timed(env: str, algo: str, seconds_a_step: float, rate: float) -> list[Row]:
    """Five runs that log how long they have taken."""
    clock = [seconds_a_step * (i + 1) for i in range(POINTS)]
    return [
        run(
            f"{env}{algo}{seed}",
            {"env": env, "algo": algo, "seed": seed},
            val_acc=curve(rate, 0.9, 7 * seed + len(algo)),
            time_elapsed=clock,
        )
        for seed in range(5)
    ]


def sweep_over_two_tasks() -> list[Row]:
    return [row for env in ("ant", "hopper") for row in (*timed(env, "cheap", 1, 0.1), *timed(env, "dear", 8, 0.1))]


def test_tasks_tell_where_sides_that_end_equal_differ_at_equal_time(tmp_path: Path) -> None:
    db = database(tmp_path, sweep_over_two_tasks())
    found = places(db.compare("algo = 'cheap'", "algo = 'dear'"))
    assert found["ant"] != "a better"
    assert found["ant, at equal time/elapsed (60)"] == found["hopper, at equal time/elapsed (60)"] == "a better"


def test_an_axis_that_is_asked_for_has_a_row_in_each_task_even_if_its_verdict_is_the_same(tmp_path: Path) -> None:
    db = database(
        tmp_path, [*sweep_over_two_tasks(), *timed("walker", "cheap", 1, 0.1), *timed("walker", "dear", 2, 3.0)]
    )
    found = places(db.compare("algo = 'cheap'", "algo = 'dear'", axis="time/elapsed"))
    assert {"ant, at equal time/elapsed (60)", "walker, at equal time/elapsed (60)"} <= set(found)


def test_one_run_that_was_cut_off_does_not_set_the_equal_time(tmp_path: Path) -> None:
    cut = run("cut", {"env": "ant", "algo": "cheap", "seed": 9}, val_acc=[0.1] * 3, time_elapsed=[1.0, 2.0, 3.0])
    db = database(tmp_path, [*sweep_over_two_tasks(), cut])
    found = places(db.compare("algo = 'cheap'", "algo = 'dear'", axis="time/elapsed"))
    assert "ant, at equal time/elapsed (60)" in found
