"""Reductions of a run's curve to one number, compared with plain arithmetic."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import points_of, series_of
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.errors import InputError
from sweeplens.frames.reduction import DEFAULT_REDUCE, parse_reduce, reduce_runs


def reduced(values: list[float], how: str = DEFAULT_REDUCE) -> float | None:
    points = points_of({"a": {"val/acc": values}})
    found = reduce_runs(series_of(points), points.lazy(), parse_reduce(how)).values
    return found["value"].item() if found.height else None


def test_the_default_is_the_mean_of_the_last_tenth_where_that_is_three_points() -> None:
    curve = [float(v) for v in np.random.default_rng(0).normal(size=57)]
    assert reduced(curve) == pytest.approx(np.mean(curve[-5:]))
    assert reduced(curve[:30]) == pytest.approx(np.mean(curve[27:30]))


@pytest.mark.parametrize("n", [1, 2, 5, 29])
def test_short_curves_are_read_at_their_last_point(n: int) -> None:
    curve = [float(i * i) for i in range(n)]
    assert reduced(curve) == curve[-1]


def test_a_curve_that_ends_in_nan_is_left_out_and_one_with_a_hole_is_not() -> None:
    assert reduced([*[1.0] * 40, math.nan]) is None
    assert reduced([*[1.0] * 37, 1.0, math.nan, 3.0]) == pytest.approx(np.mean([1.0, 1.0, 3.0]))


@given(
    st.lists(
        st.lists(st.integers(0, 10**12), min_size=30, max_size=80, unique=True).map(sorted), min_size=1, max_size=3
    )
)
@settings(max_examples=30, deadline=None)
def test_the_last_tenth_is_that_of_the_points_however_uneven_their_steps_are(steps: list[list[int]]) -> None:
    curves = {f"r{i}": (of_run, [math.sin(s) for s in of_run]) for i, of_run in enumerate(steps)}
    points = points_of({run_id: {"val/acc": curve} for run_id, curve in curves.items()})
    found = reduce_runs(series_of(points), points.lazy(), parse_reduce(DEFAULT_REDUCE)).values
    expected = {run_id: np.mean(values[-(len(values) // 10) :]) for run_id, (_, values) in curves.items()}
    assert dict(found.select("run_id", "value").iter_rows()) == pytest.approx(expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
@settings(max_examples=30, deadline=None)
def test_the_area_equals_that_of_numpy_and_is_within_the_range_of_the_curve(curve: list[float]) -> None:
    area = reduced(curve, "auc")
    assert area == pytest.approx(np.trapezoid(curve) / (len(curve) - 1), rel=1e-9, abs=1e-6)
    assert area is not None
    assert min(curve) - 1e-6 <= area <= max(curve) + 1e-6


def test_a_test_score_is_read_where_the_validation_score_is_best(tmp_path: Path) -> None:
    rows = [run("a", {"lr": 1}, val_acc=[0.1, 0.9, 0.5], test_acc=[0.2, 0.7, 0.8]),
            run("b", {"lr": 2}, val_acc=[0.9, 0.2, 0.9], test_acc=[0.6, 0.1, 0.2])]  # fmt: skip
    table = database(tmp_path, rows).rank("test/acc", reduce="at_best:val/acc").table
    assert dict(table.select("lr", "mean").iter_rows()) == {1: 0.7, 2: 0.6}


def test_at_best_of_an_unknown_metric_is_an_error_with_a_reason(tmp_path: Path) -> None:
    db = database(tmp_path, [run("a", {"lr": 1}, val_acc=[0.1, 0.9])])
    with pytest.raises(InputError, match="none of these runs logged 'val/f1'"):
        db.rank("val/acc", reduce="at_best:val/f1")
    with pytest.raises(InputError, match="at_best:val/acc"):
        db.rank("val/acc", reduce="at_best")


def noisy(chance: int) -> list[Row]:
    """Two settings with the same plateau, of which one fluctuates five times as much."""
    rng = np.random.default_rng(chance)
    return [
        run(
            f"{name}-{seed}", {"algo": name, "seed": seed}, val_acc=[float(0.5 + rng.normal(0, sd)) for _ in range(100)]
        )
        for name, sd in (("calm", 0.01), ("wild", 0.05))
        for seed in range(5)
    ]


ASKED: list[Callable[[ExperimentDB], Any]] = [
    lambda db: db.rank("val/acc"), lambda db: db.summarize(metrics=["val/acc"]), lambda db: db.effects("val/acc"),
    lambda db: db.compare("calm-*", "wild-*", metrics=["val/acc"]), lambda db: db.overview(),
]  # fmt: skip


@pytest.mark.parametrize("ask", ASKED)
def test_every_answer_over_runs_uses_the_same_default_and_names_it(
    tmp_path: Path, ask: Callable[[ExperimentDB], Any]
) -> None:
    answer = ask(database(tmp_path, noisy(0)))
    said = " ".join([*answer.notes, *(str(c) for row in answer.table.iter_rows() for c in row)])
    assert "last_tenth" in said


def test_the_noisier_of_two_equal_plateaus_is_not_best_by_being_noisy(tmp_path: Path) -> None:
    db = database(tmp_path, noisy(1))
    assert db.rank("val/acc").table["tied"].to_list() == [True, True]
    best = db.rank("val/acc", reduce="best")
    assert best.table["algo"][0] == "wild"
    assert any("fluctuate" in note for note in best.notes)


def test_best_of_more_readings_is_warned_of(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = [run(f"r{n}-{s}", {"every": n, "seed": s}, val_acc=[float(v) for v in rng.normal(0.5, 0.01, n)])
            for n in (20, 200) for s in range(3)]  # fmt: skip
    answer = database(tmp_path, rows).rank("val/acc", reduce="best")
    assert any("20 to 200 readings" in note for note in answer.notes)


def test_the_defaults_are_one_constant() -> None:
    for method in (ExperimentDB.rank, ExperimentDB.compare, ExperimentDB.effects, ExperimentDB.summarize):
        assert inspect.signature(method).parameters["reduce"].default == DEFAULT_REDUCE
