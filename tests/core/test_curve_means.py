"""Curves of groups that lose runs, the order of their legend, and bands that go beyond the axis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from support.charts import demo_sweep, layers
from support.planted import database, run

from sweeplens import ExperimentDB
from sweeplens.charts import Chart

NAN = math.nan


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return demo_sweep(tmp_path_factory.mktemp("charts") / "sweep")


def pieces(chart: Chart) -> list[tuple[str, bool, list[dict[str, Any]]]]:
    """Each connected piece of a line: its label, whether its layer draws missing runs dashed, and its points."""
    found: list[tuple[str, bool, list[dict[str, Any]]]] = []
    for layer in layers(chart):
        if layer["mark"]["type"] != "line":
            continue
        parts: dict[str, list[dict[str, Any]]] = {}
        for row in layer["data"]["values"]:
            parts.setdefault(row["part"], []).append(row)
        found += [(rows[0]["series"], "strokeDash" in layer["encoding"], rows) for rows in parts.values()]
    return found


def test_lines_without_a_colour_are_dashed_where_runs_are_missing_too(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["train/loss"])
    shown = pieces(chart)
    thin = [(series, rows) for series, _, rows in shown if any(r["fewer"] for r in rows)]
    assert any(series.startswith("lr=0.3,") for series, _ in thin)  # grey: neither the best nor the worst
    assert all(dashed for series, dashed, rows in shown if any(r["fewer"] for r in rows))
    assert "dashed: without some runs of the group (after a gap: half or more)" in chart.caption


def test_a_mean_of_a_third_of_the_runs_does_not_continue_the_mean_of_all(db: ExperimentDB) -> None:
    own = [rows for series, _, rows in pieces(db.plot("curves", metrics=["train/loss"])) if "lr=0.3," in series]
    assert any(r["n"] == 1 for rows in own for r in rows)
    for rows in own:
        few = {2 * r["n"] < 3 for r in rows}
        assert len(few) == 1


@pytest.mark.parametrize(("whole", "lost"), [(2, 3), (1, 4), (3, 4)])
def test_smoothing_begins_again_where_most_runs_are_gone(tmp_path: Path, whole: int, lost: int) -> None:
    def curve(breaks: bool) -> list[float]:
        return [9.0] * 10 + [NAN] * 10 if breaks else [1.0] * 20

    settings = [run(f"a{i}", {"lr": 1, "seed": i}, val_loss=curve(i < lost)) for i in range(whole + lost)]
    other = [run(f"b{i}", {"lr": 2, "seed": i}, val_loss=[2.0] * 20) for i in range(3)]
    chart = database(tmp_path, [*settings, *other]).plot("curves", metrics=["val/loss"], smooth=0.9)
    after = [r["y"] for series, _, rows in pieces(chart) if series.startswith("lr=1 ") for r in rows if r["x"] >= 10]
    assert set(after) == {1.0}


def test_runs_that_begin_late_and_meet_again_stay_one_line(tmp_path: Path) -> None:
    runs = [run(f"a{i}", {"lr": 1, "seed": i}, val_loss=[NAN] * (8 * (i > 0)) + [1.0 + i] * 12) for i in range(3)]
    other = [run(f"b{i}", {"lr": 2, "seed": i}, val_loss=[2.0] * 20) for i in range(3)]
    chart = database(tmp_path, [*runs, *other]).plot("curves", metrics=["val/loss"])
    assert [1, 3] in [sorted({r["n"] for r in rows}) for series, _, rows in pieces(chart) if series.startswith("lr=1 ")]
    assert "after a gap" not in chart.caption


@pytest.mark.parametrize("metric", ["train/loss", "val/acc", "val/loss"])
@pytest.mark.parametrize("options", [{}, {"hparams": ["optim.lr"]}, {"group": "run"}])
def test_the_caption_names_the_first_of_the_legend_with_the_value_of_the_ranking(
    db: ExperimentDB, metric: str, options: dict[str, Any]
) -> None:
    chart = db.plot("curves", metrics=[metric], **options)
    by = "run" if options.get("group") else "group"
    hparams = options.get("hparams", ["optim.lr", "data.batch_size"])
    ranked = db.rank(metric, by=by, **({} if by == "run" else {"hparams": hparams})).table.drop_nulls("mean").to_dicts()
    legend = next(x["encoding"]["color"]["sort"] for x in layers(chart) if "color" in x["encoding"])
    best = chart.caption.partition(f"Best {metric} (")[2].partition(". Worst: ")
    assert best[0].endswith(f" of {legend[0]}")
    assert f"): {ranked[0]['mean']:.4g}" in best[0]
    assert best[2].startswith(f"{ranked[-1]['mean']:.4g} of ")
    reading = best[0].partition(")")[0]
    assert f"Best first by {metric}, {reading} of each run" in chart.caption


def test_bands_that_are_cut_are_named(tmp_path: Path) -> None:
    near = [run(f"a{i}", {"lr": 1, "seed": i}, val_acc=[0.5 + i / 1000] * 20) for i in range(3)]
    far = [run(f"b{i}", {"lr": 2, "seed": i}, val_acc=[0.50 + 0.05 * i] * 20) for i in range(2)]
    chart = database(tmp_path, [*near, *far]).plot("curves", metrics=["val/acc"])
    assert "Bands that go further than drawn: lr=2 (n=2)." in " ".join(chart.spec["title"]["subtitle"])
