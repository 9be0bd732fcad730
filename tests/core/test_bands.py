"""Bands before many curves, and curves over another metric counted without reading them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB


def _write(folder: Path, n: int, rows: list[dict[str, float]], config: dict[str, object]) -> None:
    run = folder / f"run_{n:03}"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(config))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _sweep(folder: Path, runs: int, rates: int) -> ExperimentDB:
    """Losses fall from 1; the last rate ends in NaN after step 50."""
    for n in range(runs):
        rate = n % rates
        bad = float("nan") if rate == rates - 1 else None
        rows = [{"step": s, "loss": bad if bad and s > 50 else (1 + n / 1000) / (1 + s)} for s in range(81)]
        _write(folder, n, rows, {"lr": (rate + 1) / 10, "seed": n // rates})
    return ExperimentDB(AnalysisConfig(cache="memory"), folder)


def test_a_hundred_curves_begin_with_a_band_for_each_group(tmp_path: Path) -> None:
    db = _sweep(tmp_path, 120, 3)
    first, *others = db.curves("loss", max_points=5).notes
    points = db.curves("loss", max_points=100).table
    ends = points.filter((pl.col("x") == 80) & pl.col("run_id").is_in([f"run_{n:03}" for n in range(0, 120, 3)]))[
        "value"
    ]
    low, middle, high = (ends.quantile(q, "linear") for q in (0.1, 0.5, 0.9))
    assert first.startswith("loss, lr=0.1 (40 runs), median [10 %, 90 %]: step 0 ")
    assert first.endswith(f"; step 80 {middle:.4g} [{low:.4g}, {high:.4g}].")
    assert [n.partition(" (")[0] for n in others] == ["loss, lr=0.2", "loss, lr=0.3"]
    assert others[1].endswith("step 60 no run; step 80 no run."), "runs count up to their last finite value"


def test_runs_that_form_many_groups_have_one_band(tmp_path: Path) -> None:
    (note,) = _sweep(tmp_path, 120, 20).curves("loss", max_points=5).notes
    assert note.startswith("loss, all runs (120 runs), median [10 %, 90 %]: step 0 ")
    assert " in 114" in note.rpartition("step 80 ")[2], "six runs have no finite value there"


def test_few_curves_have_no_band(tmp_path: Path) -> None:
    assert _sweep(tmp_path, 30, 3).curves("loss").notes == ()


def test_of_very_many_runs_an_even_sample_is_read_and_named(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{n:04}", "hyperparameters": {"a": n}, "metrics": {"acc": [n / 1000, n / 1000]}} for n in range(1000)
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (note,) = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).curves("acc", max_points=2).notes
    assert note.startswith("acc, all runs (500 runs, 500 of 1,000 taken evenly), median [10 %, 90 %]: step 0 0.499 [")


def test_each_metric_has_the_bands_of_the_runs_that_logged_it(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"r{n:04}",
            "hyperparameters": {"lr": 0.1 * (1 + n % 2), "seed": n},
            "metrics": {"acc": [n / 1000, n / 500]} | ({"loss": [5.0, float(n)]} if n % 2 else {}),
        }
        for n in range(240)
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).curves(["acc", "loss"], max_points=2).notes
    assert [note.partition(":")[0] for note in notes] == [
        "acc, lr=0.1 (120 runs), median [10 %, 90 %]",
        "acc, lr=0.2 (120 runs), median [10 %, 90 %]",
        "loss, all runs (120 runs), median [10 %, 90 %]",
    ]
    assert notes[2].endswith(": step 0 5 [5, 5]; step 1 120 [24.8, 215.2].")


@pytest.mark.parametrize(
    ("axis", "shown"),
    [
        (range(40), 8),  # a value at each step
        (range(0, 40, 5), 8),  # only where the curve has points too
        (range(0, 40, 10), 4),
        (range(10, 30), 4),  # each step, but not from end to end
        ([*range(20), *range(21, 40)], 7),  # the curve has a point in the gap
    ],
)
def test_a_curve_over_another_metric_has_the_points_where_both_have_a_value(
    tmp_path: Path, axis: list[int], shown: int
) -> None:
    steps = set(axis)
    rows = [
        {"step": s, **({"loss": 1 / (1 + s)} if s in steps else {}), **({"acc": s / 40} if s % 5 == 0 else {})}
        for s in range(40)
    ]
    _write(tmp_path, 0, [row for row in rows if len(row) > 1], {"lr": 0.1})
    answer = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path).curves("acc", x="loss")
    assert answer.table.height == answer.basis.points == shown
    assert answer.tables["series"]["n"].to_list() == [shown]
