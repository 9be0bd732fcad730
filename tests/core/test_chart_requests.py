"""Requests for charts: the kind chosen by default, reasons why a chart cannot be drawn, and charts in Altair and in notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.charts import demo_sweep
from support.planted import database, run

from sweeplens import ExperimentDB
from sweeplens.charts import CHARTS
from sweeplens.errors import InputError, SweeplensError, UnknownNameError


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return demo_sweep(tmp_path_factory.mktemp("charts") / "sweep")


def test_without_a_kind_the_most_telling_is_drawn(db: ExperimentDB, tmp_path: Path) -> None:
    assert db.plot().kind == "curves"
    assert db.plot(a="lr0.03*", b="lr0.01*").kind == "comparison"
    search = database(tmp_path, [run(f"r{i}", {"lr": i, "width": i % 3}, val_acc=[i / 9]) for i in range(8)])
    assert search.plot().kind == "parallel"


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("curvs", {}, "Nearest: 'curves'"),
        ("curves", {"metrics": ["val_acc"]}, "Nearest: 'val/acc'"),
        ("scatter", {"x": "optim.lrr"}, "Nearest: 'optim.lr'"),
        ("curves", {"group": "optim.lrr"}, "Nearest: 'optim.lr'"),
        ("curves", {"metric": ["val/acc"]}, "Nearest: 'metrics'"),
        ("curves", {"smooth": 1.0}, "not a weight"),
        ("curves", {"log": "z"}, "x, y, xy or none"),
        ("curves", {"width": 10}, "between 200 and 4000"),
        ("heatmap", {"hparams": ["optim.lr"]}, "needs two hyperparameters"),
        ("comparison", {"a": "lr0.03*"}, "both sides"),
        ("comparison", {"a": "lr0.03*", "b": "lr0.1*", "where": "seed = 1"}, "from a and b alone"),
        ("comparison", {"hparams": ["optim.lr"], "where": "seed = 1"}, "over all runs"),
        ("comparison", {"hparams": ["optim.lrr"]}, "Nearest: 'optim.lr'"),
        ("importance", {"metrics": ["grad_norm"]}, "goal"),
    ],
)
def test_charts_that_cannot_be_drawn_give_a_reason(
    db: ExperimentDB, kind: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        db.plot(kind, **options)


def test_nothing_to_draw_is_never_an_empty_chart(tmp_path: Path) -> None:
    alone = database(
        tmp_path, [run("r", {"lr": 1}, val_acc=[float("nan")] * 4), run("q", {"lr": 1}, val_acc=[float("inf")])]
    )
    for kind in CHARTS:
        with pytest.raises(SweeplensError, match=r"Nothing to|no run|one group"):
            alone.plot(kind)


def test_unknown_names_are_errors_of_their_own_kind(db: ExperimentDB) -> None:
    with pytest.raises(UnknownNameError):
        db.plot("pie")
    with pytest.raises(UnknownNameError):
        db.plot("curves", runs=["nobody"])


def test_a_chart_is_converted_for_altair_and_displayed_in_a_notebook(db: ExperimentDB) -> None:
    altair = pytest.importorskip("altair")
    for kind in ("curves", "comparison", "parallel"):
        chart = db.plot(kind, metrics=["val/acc"])
        assert isinstance(chart.to_altair(), altair.TopLevelMixin)
    shown = db.plot("ranking", metrics=["val/acc"])._repr_mimebundle_()
    assert shown["application/vnd.vegalite.v5+json"]["title"]["text"]
    assert shown["image/png"].startswith(b"\x89PNG")
    assert "lr0.03_bs64_s1" in db.list_runs(sort="-val/acc.last")._repr_html_()


def test_a_frame_of_ours_plots_in_altair_when_its_columns_are_renamed(db: ExperimentDB) -> None:
    """``optim.lr`` in an encoding means the field lr of a field optim: renamed columns, or an escaped dot, are drawn."""
    alt = pytest.importorskip("altair")
    frame = db.list_runs(columns=["optim.lr", "val/acc.last"]).table.rename({"optim.lr": "lr", "val/acc.last": "acc"})
    spec = alt.Chart(frame).mark_point().encode(x="lr", y="acc").to_dict()
    assert spec["encoding"]["x"]["field"] == "lr"
    assert any(row["lr"] == 0.03 for row in next(iter(spec["datasets"].values())))
