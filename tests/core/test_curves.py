"""Curves for display keep their shape, in few points and in one line of signs."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.planted import database, run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses.sparklines import WIDTH, curve_lines, render_curves, sparkline
from sweeplens.cancellation import cancellable
from sweeplens.frames.points import kept_by_thin, thin

NAN, INF = math.nan, math.inf
NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=300)


def _curve(values: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"x": [float(i) for i in range(len(values))], "value": [float(v) for v in values]})


def test_a_falling_curve_is_drawn_falling() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"


def test_non_finite_values_have_their_own_sign() -> None:
    assert sparkline([1.0, 2.0, NAN, INF, 1.0]) == "▁█××▁"
    assert sparkline([NAN] * 5) == "×××××"


def test_a_constant_curve_is_a_level_line_and_none_is_nothing() -> None:
    assert set(sparkline([3.0] * 100)) == {"▄"}
    assert sparkline([]) == ""


def test_an_explosion_does_not_flatten_the_curve_before_it() -> None:
    line = sparkline([2.0, 1.0, 0.5, 0.25, 10.0, 1e3, 1e5, 1e7])
    assert len(set(line[:5])) > 1


@given(NUMBERS)
@settings(max_examples=60)
def test_any_values_have_a_sparkline_of_bounded_width(values: list[float]) -> None:
    assert len(sparkline(values)) == min(len(values), WIDTH)


@given(NUMBERS, st.integers(2, 60))
@settings(max_examples=80)
def test_thinning_keeps_the_bound_the_order_and_both_ends(values: list[float], most: int) -> None:
    curve = _curve(values)
    kept = thin(curve, most)
    assert kept.height <= max(most, 2)
    assert kept["x"].is_sorted()
    assert kept["x"][0] == 0
    assert kept["x"][-1] == len(values) - 1
    assert kept.equals(thin(curve, most))


@given(st.lists(st.sampled_from([1.0, 2.0, -3.0, NAN, INF, None]), min_size=1, max_size=80), st.integers(2, 60))
@settings(max_examples=300)
def test_how_many_rows_thinning_keeps_is_known_without_thinning(values: list[float | None], most: int) -> None:
    curve = pl.DataFrame({"x": range(len(values)), "value": values}, schema={"x": pl.Float64, "value": pl.Float64})
    assert curve.select(kept_by_thin(most)).item() == thin(curve, most).height


def test_the_extremes_and_every_change_to_and_from_nan_stay() -> None:
    values = [float(v) for v in np.sin(np.arange(1000) / 30)]
    values[333] = 9.0
    values[500:503] = [NAN] * 3
    values[700] = INF
    kept = set(thin(_curve(values), 30)["x"].to_list())
    assert {0, 999, 333, 499, 500, 502, 503, 699, 700, 701, int(np.nanargmin(values))} <= kept


def test_a_curve_of_straight_pieces_keeps_its_corners() -> None:
    values = [*np.linspace(5, 1, 300), *np.linspace(1, 1.5, 400), *np.linspace(1.5, 0.2, 300)]
    kept = set(thin(_curve(values), 12)["x"].to_list())
    assert kept & {299.0, 300.0}
    assert kept & {699.0, 700.0}


def test_the_line_between_the_kept_points_stays_close_to_the_curve() -> None:
    values = 2.0 * np.exp(-np.arange(2000) / 150) + 0.3
    kept = thin(_curve(list(values)), 20)
    drawn = np.interp(np.arange(2000), kept["x"].to_numpy(), kept["value"].to_numpy())
    assert np.abs(drawn - values).max() < 0.05
    even = np.linspace(0, 1999, 20)
    assert (
        np.abs(drawn - values).max() < np.abs(np.interp(np.arange(2000), even, values[even.astype(int)]) - values).max()
    )


def test_a_million_points_are_thinned_in_a_moment() -> None:
    curve = pl.DataFrame({"x": pl.int_range(1_000_000, eager=True).cast(pl.Float64)}).with_columns(
        value=(pl.col("x") / 1e4).sin()
    )
    assert thin(curve, 50).height == 50


@pytest.fixture
def db(tmp_path: Path) -> ExperimentDB:
    for name, n in (("long", 400), ("short", 5)):
        (tmp_path / name).mkdir()
        rows = [{"step": 10 * s, "train/loss": 2.0 / (s + 1) if s < 300 else NAN} for s in range(n)]
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ExperimentDB(AnalysisConfig(), tmp_path)


def test_the_text_of_a_curve_has_run_metric_counts_and_points(db: ExperimentDB) -> None:
    answer = db.curves(["train/loss"], max_points=10)
    long, short = curve_lines(answer)
    assert long.startswith("long train/loss ")
    assert "10 of 400 points: 0 2; " in long
    assert "2990 0.0066667; 3000 nan; " in long
    assert "×" in long
    assert "5 points: 0 2; 10 1; 20 0.66667; 30 0.5; 40 0.4" in short
    assert render_curves(answer) == f"{long}\n{short}"


def test_the_sparkline_shows_all_points_of_the_series(db: ExperimentDB) -> None:
    few, many = (
        db.curves(["train/loss"], runs=["long"], max_points=n).tables["series"]["spark"].item() for n in (3, 400)
    )
    assert few == many
    assert len(few) == WIDTH


@pytest.fixture
def many(tmp_path: Path) -> ExperimentDB:
    """Twelve runs, short ones and long ones, with NaN, going back, and an axis that stands still."""
    for r in range(12):
        (tmp_path / f"r{r:02}").mkdir()
        steps = [*range(3 * r), *range(2 * r, 5 * r)] if r % 3 == 1 else range(1 + 5 * r)
        rows = [
            {"step": s, "loss": NAN if r % 4 == 2 and s > 4 else 1 / (s + 1), "acc": s * r, "seen": s // 3}
            for s in steps
        ]
        (tmp_path / f"r{r:02}" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ExperimentDB(AnalysisConfig(), tmp_path)


@pytest.mark.parametrize("x", ["step", "seen"])
@pytest.mark.parametrize("bounds", [{}, {"x_min": 3}, {"x_min": 2, "x_max": 9}, {"x_min": 1000}], ids=str)
@pytest.mark.parametrize("width", [1, 7, 50])
def test_rows_looked_at_bit_by_bit_are_those_of_the_whole_answer(
    many: ExperimentDB, x: str, bounds: dict[str, float], width: int
) -> None:
    scroll = many.scan_curves(["loss", "acc"], x=x, max_points=8, **bounds)
    whole = many.curves(["loss", "acc"], x=x, max_points=8, **bounds)
    parts = [scroll.part(at, width) for at in range(0, scroll.height, width)]
    assert scroll.height == whole.table.height
    assert pl.concat([whole.table.clear(), *(part.table for part in parts)]).equals(whole.table)
    told = {row for part in parts for row in part.tables["series"].rows()}
    assert told == set(whole.tables["series"].rows())
    assert all(part.basis == whole.basis for part in parts)


def test_the_basis_counts_all_points_and_all_series_however_few_are_looked_at(many: ExperimentDB) -> None:
    scroll, series = many.scan_curves(["loss"], max_points=8), many.series_df.filter(pl.col("metric") == "loss")
    assert scroll.basis.points == series["n"].sum()
    assert scroll.basis.runs_used == 12
    assert scroll.basis.sampling.startswith(f"{series.filter(pl.col('n') > 8).height} of 12 series")


def test_only_the_series_that_are_looked_at_are_thinned(many: ExperimentDB) -> None:
    thinned: list[None] = []  # each series that is thinned is a checkpoint
    scroll = many.scan_curves(["loss", "acc"], max_points=8)
    with cancellable(lambda: thinned.append(None)):
        looked_at = scroll.part(40, 10).tables["series"].height
    assert 2 <= looked_at == len(thinned) <= 4


def test_points_of_equal_x_are_in_the_order_of_their_steps(many: ExperimentDB) -> None:
    drawn = many.curves(["acc"], runs=["r11"], x="seen", max_points=100).table
    assert drawn["value"].to_list() == [11.0 * step for step in range(56)]


def test_the_time_of_a_run_begins_with_its_first_point_whichever_series_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    rows = [{"step": s, "timestamp": 1.7e9 + s, "acc" if s else "loss": 1.0} for s in range(4)]
    (tmp_path / "r" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scroll = ExperimentDB(AnalysisConfig(), tmp_path).scan_curves(["^loss$", "^acc$"], x="wall_time")
    assert scroll.part(0, 3).table["x"].to_list() == [1.0, 2.0, 3.0]
    assert scroll.part(3, 1).table["x"].to_list() == [0.0]


def test_over_time_a_metric_without_times_has_those_of_other_rows_of_its_steps(tmp_path: Path) -> None:
    """Rows of training carry a time, rows of validation do not; a run without any time is named."""
    for name, timed in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        rows = [{"step": i, "loss": 1.0, **({"timestamp": 1.7e9 + 10 * i} if timed else {})} for i in range(6)]
        rows += [{"step": i, "val/acc": i / 10} for i in (2, 5)]
        text = "".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda r: r["step"]))
        (tmp_path / name / "metrics.jsonl").write_text(text)
    answer = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path).curves(["val/acc"], x="wall_time")
    assert answer.table.select("run_id", "value").rows() == [("a", 0.2), ("a", 0.5)]
    assert answer.table["x"].diff()[1] == 30.0
    assert [(left.reason, left.runs) for left in answer.basis.left_out] == [("val/acc: no time was logged", ("b",))]


def test_the_band_of_a_share_stays_within_its_bounds(tmp_path: Path) -> None:
    values = {"a": [0.9, 1.0, 0.99], "b": [0.2, 0.6, 0.98]}
    runs = [run(name, {"lr": 0.1, "seed": i}, val_acc=v, val_loss=v) for i, (name, v) in enumerate(values.items())]
    db = database(tmp_path, runs)
    found = db.mean_curves(["val/acc", "val/loss"]).table
    ends = {m: (part["ci95_low"].min(), part["ci95_high"].max()) for (m,), part in found.group_by("metric")}
    assert ends["val/acc"] == (0.0, 1.0)
    assert ends["val/loss"][0] < 0
    assert ends["val/loss"][1] > 1


def test_a_span_of_microseconds_is_the_nearest_number_of_seconds(tmp_path: Path) -> None:
    """A division by a constant that multiplies by its inverse gave 0.035616999999999996, and another curve than a cluster."""
    micros = [0, 35617, 57070, 296980, 569104, 1_000_001, 86_400_000_003]
    began = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [
        json.dumps({"step": i, "loss": 1 / (i + 1), "timestamp": (began + timedelta(microseconds=m)).isoformat()})
        for i, m in enumerate(micros)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    answer = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path).curves(["loss"], x="wall_time")
    assert answer.table["x"].to_list() == [m / 1e6 for m in micros]
