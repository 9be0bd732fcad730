"""Curves show the numbers of `mean_curves` and `curves`: points, bands, marked events, smoothing and the colours of groups."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats
from support.charts import demo_sweep, layers, rows
from support.planted import database, run

from sweeplens import ExperimentDB


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return demo_sweep(tmp_path_factory.mktemp("charts") / "sweep")


def test_curves_of_groups_are_the_mean_curves(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["val/acc"], hparams=["optim.lr"])
    answer = db.mean_curves(["val/acc"], hparams=["optim.lr"]).table
    expected = {
        (f"lr={r['optim.lr']:.4g}", r["x"]): (r["mean"], r["n"]) for r in answer.to_dicts() if r["optim.lr"] is not None
    }
    drawn = {(r["series"].split(" (n=")[0], r["x"]): (r["y"], r["n"]) for r in rows(chart, "line", "y")}
    assert drawn == expected
    bands = {(r["series"].split(" (n=")[0], r["x"]): (r["low"], r["high"]) for r in rows(chart, "area", "low")}
    intervals = {
        (f"lr={r['optim.lr']:.4g}", r["x"]): (r["ci95_low"], r["ci95_high"])
        for r in answer.to_dicts()
        if r["optim.lr"] is not None and r["ci95_low"] is not None
    }
    assert bands == intervals


def test_a_mean_curve_is_the_mean_over_runs_at_each_step(db: ExperimentDB) -> None:
    table = db.mean_curves(["val/acc"], hparams=["optim.lr"]).table
    ids = [r["run_id"] for r in db.runs_df.to_dicts() if r["optim.lr"] == 0.01]
    points = db.query_metrics("^val/acc$", ids).to_dicts()
    for row in table.to_dicts():
        if row["optim.lr"] != 0.01:
            continue
        values = [p["value"] for p in points if p["step"] == row["x"]]
        assert row["n"] == len(values)
        assert row["mean"] == pytest.approx(sum(values) / len(values))
        low, high = stats.t.interval(0.95, len(values) - 1, row["mean"], stats.sem(values))
        assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((low, high))


def test_stretches_of_a_long_curve_hold_equally_many_points_and_all_of_them(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": 1, "seed": i}, val_loss=[5.0 + i + s % 3 for s in range(150)]) for i in range(3)]
    table = database(tmp_path, runs).mean_curves(["val/loss"], by="all", max_points=60).table
    assert table.height == 51
    assert set(table["points_per_run"][1:-1]) == {3.0}
    assert table["points_per_run"].sum() == 150
    assert table["mean"][1:-1].to_list() == pytest.approx([7.0] * 49)


def test_runs_that_log_at_different_steps_meet_in_one_curve(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": 1, "seed": i}, val_loss=[float(i)] * (100 + i)) for i in range(4)]
    table = database(tmp_path, runs).mean_curves(["val/loss"], by="all", max_points=2000).table
    assert table["n"].to_list() == [4] * 100 + [3, 2, 1]
    assert table["mean"][0] == 1.5
    assert table["ci95_low"][-1] is None


def test_a_group_whose_runs_end_says_how_many_are_left_and_draws_them_dashed(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["val/acc"], where='"optim.lr" = 0.03', hparams=["data.batch_size"])
    drawn = [r for r in rows(chart, "line", "y") if r["series"] == "batch_size=64 (n=6)"]
    assert {r["n"] for r in drawn if r["fewer"] and r["x"] > 600} == {5}
    assert {r["n"] for r in drawn if not r["fewer"]} == {6}
    assert "dashed: without some runs of the group" in chart.caption


def test_curves_of_single_runs_are_the_downsampled_curves(db: ExperimentDB) -> None:
    ids = ["lr0.01_bs64_s0", "lr0.03_bs64_s0"]
    chart = db.plot("curves", metrics=["train/loss"], runs=ids, group="run")
    answer = db.curves(["train/loss"], runs=ids, max_points=200).table
    expected = sorted((r["run_id"], r["x"], r["value"]) for r in answer.to_dicts())
    assert sorted((r["series"], r["x"], r["y"]) for r in rows(chart, "line", "y")) == expected


def test_values_that_are_not_finite_and_crashes_are_marked_where_they_happen(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["train/loss"], runs=["lr0.3_*", "lr0.01_bs128_s5"], group="run")
    marks = {(r["run"], r["finding"]): r["x"] for r in rows(chart, "point", "finding")}
    assert marks["lr0.3_bs64_s0", "nan"] == 340
    assert marks["lr0.01_bs128_s5", "crashed"] == 450
    assert "divergence" in {finding for _, finding in marks}


def test_smoothing_keeps_the_raw_line_faint_behind(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["train/loss"], runs=["lr0.01_bs64_s0"], group="run", smooth=0.9)
    faint, smooth = (part for part in layers(chart) if part["mark"]["type"] == "line")
    assert faint["mark"]["opacity"] < 0.5
    raw, averaged = ([r["y"] for r in part["data"]["values"]] for part in (faint, smooth))
    assert averaged[0] == raw[0]
    assert sum(abs(b - a) for a, b in pairwise(averaged)) < sum(abs(b - a) for a, b in pairwise(raw))


def test_sixty_groups_have_six_colours_the_best_and_the_worst_named(tmp_path: Path) -> None:
    runs = [
        run(f"g{g}s{s}", {"lr": g, "seed": s}, val_acc=[0.1, 0.2, g / 100 + s / 1000])
        for g in range(60)
        for s in range(2)
    ]
    chart = database(tmp_path, runs).plot("curves")
    colours = [part["encoding"]["color"]["scale"]["domain"] for part in layers(chart) if "color" in part["encoding"]]
    assert all(
        c == ["lr=59 (n=2)", "lr=58 (n=2)", "lr=57 (n=2)", "lr=56 (n=2)", "lr=1 (n=2)", "lr=0 (n=2)"] for c in colours
    )
    grey = {r["series"] for r in layers(chart)[0]["data"]["values"]}
    assert len(grey) == 54
    assert "grey: 54 others" in chart.caption


def test_a_loss_over_decades_gets_a_logarithmic_axis_by_default(tmp_path: Path) -> None:
    sweep = database(tmp_path, [run("r", {"lr": 1}, val_loss=[10.0 / 2**s for s in range(12)])])

    def scale(**options: Any) -> str | None:
        return layers(sweep.plot("curves", **options))[0]["encoding"]["y"]["scale"].get("type")

    assert scale() == "log"
    assert scale(log="none") is None
    below = database(tmp_path / "b", [run("r", {"lr": 1}, val_loss=[10.0 / 2**s - 1 for s in range(12)])])
    assert layers(below.plot("curves", log="y"))[0]["encoding"]["y"]["scale"].get("type") is None


def test_a_summary_bounds_the_intervals_of_shares_as_a_ranking_does(db: ExperimentDB) -> None:
    ranked = db.rank("val/acc", hparams=["optim.lr"]).table
    summary = db.summarize_metrics(["optim.lr"], metrics=["val/acc"])
    columns = ["optim.lr", "ci95_low", "ci95_high"]
    assert ranked.filter(pl.col("optim.lr") == 0.3)["ci95_low"].item() == 0
    both = ranked.select(columns).join(summary.select(columns), on="optim.lr")
    assert both.height == 6
    assert both["ci95_low"].to_list() == pytest.approx(both["ci95_low_right"].to_list())
    assert both["ci95_high"].to_list() == pytest.approx(both["ci95_high_right"].to_list())


def test_a_crowded_chart_has_no_band_over_half_of_it_and_names_the_groups(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["val/acc"])
    assert {r["series"].split(",")[0] for r in rows(chart, "area", "low")} >= {"lr=0.03", "lr=0.1"}
    assert not any(r["series"].startswith("lr=0.3,") for r in rows(chart, "area", "low"))
    (note,) = (line for line in chart.spec["title"]["subtitle"] if line.startswith("Without its band"))
    assert "lr=0.3, batch_size=64 (n=3)" in note


def test_a_band_that_would_hide_the_curves_is_faint(tmp_path: Path) -> None:
    runs = [run(f"a{s}", {"lr": 1, "seed": s}, val_acc=[0.1, 0.5, 0.90 + s / 500]) for s in range(3)]
    runs += [
        run(f"b{s}", {"lr": 2, "seed": s}, val_acc=[0.1, [0.1, 0.9, 0.9][s], [0.1, 0.9, 0.9][s]]) for s in range(3)
    ]
    bands = [part for part in layers(database(tmp_path, runs).plot("curves")) if part["mark"]["type"] == "area"]
    shown = {part["mark"]["opacity"]: {r["series"] for r in part["data"]["values"]} for part in bands}
    assert shown == {0.06: {"lr=2 (n=3)"}, 0.2: {"lr=1 (n=3)"}}
