"""Intervals that go beyond the axis end in arrows and are named; broken runs that stretch an axis are named with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.charts import demo_sweep, layers
from support.planted import database, run

from sweeplens import ExperimentDB
from sweeplens.charts import Chart

ZOOMS = "where=\"health <> 'broken'\" zooms in."


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return demo_sweep(tmp_path_factory.mktemp("charts") / "sweep")


def groups(folder: Path, **values: Sequence[float]) -> ExperimentDB:
    """Runs of one point, in groups by name."""
    runs = [
        run(f"{name}{i}", {"model": name, "seed": i}, val_acc=[v])
        for name, of in values.items()
        for i, v in enumerate(of)
    ]
    return database(folder, runs)


def arrows(chart: Chart) -> dict[str, list[str]]:
    """The groups with an arrow, by its direction."""
    found = [(part["mark"]["shape"], part["data"]["values"]) for part in layers(chart) if "shape" in part["mark"]]
    return {shape: [row["group"] for row in rows] for shape, rows in found}


def test_an_interval_a_few_times_as_long_as_the_range_of_the_runs_is_drawn_whole(tmp_path: Path) -> None:
    chart = groups(tmp_path, a=[0.931, 0.930, 0.932], b=[0.90, 0.925, 0.93]).plot("ranking", metrics=["val/acc"])
    rules = next(part for part in layers(chart) if part["mark"]["type"] == "rule")
    assert "domain" not in rules["encoding"]["x"]["scale"]
    assert arrows(chart) == {}
    assert "beyond the axis" not in chart.caption


def test_an_interval_that_would_flatten_the_chart_ends_in_an_arrow_and_is_named(tmp_path: Path) -> None:
    chart = groups(tmp_path, a=[0.931, 0.930, 0.932], b=[0.905, 0.93]).plot("ranking", metrics=["val/acc"])
    assert arrows(chart) == {"triangle-left": ["model=b"]}
    note = "Arrows: 1 interval goes beyond the axis: model=b (0.7587 to 1)."
    assert note in chart.caption
    assert note in " ".join(chart.spec["title"]["subtitle"])


def test_a_ranking_says_which_groups_stretch_its_axis_and_how_to_zoom_in(db: ExperimentDB) -> None:
    chart = db.plot("ranking", metrics=["val/acc"])
    said = "lr=0.3, batch_size=128, lr=0.3, batch_size=64 stretch the axis (4 broken runs): " + ZOOMS
    assert said in chart.caption
    assert said in " ".join(chart.spec["title"]["subtitle"])
    assert ZOOMS not in db.plot("ranking", metrics=["val/acc"], where="health <> 'broken'").caption


def test_a_scatter_chart_says_which_runs_stretch_its_axis(db: ExperimentDB) -> None:
    chart = db.plot("scatter", metrics=["val/acc"])
    assert "lr0.3_bs128_s0, lr0.3_bs128_s1, lr0.3_bs64_s0 and 1 more stretch the axis (4 broken runs)" in chart.caption
    assert ZOOMS in chart.caption


def test_a_condition_that_is_there_already_is_added_to(db: ExperimentDB) -> None:
    chart = db.plot("scatter", metrics=["val/acc"], where='"optim.lr" > 0.01')
    assert "health <> 'broken' added to where zooms in." in chart.caption


def test_broken_runs_that_stretch_nothing_are_not_named(db: ExperimentDB) -> None:
    assert "zooms in" not in db.plot("ranking", metrics=["epoch"], goal="higher").caption
