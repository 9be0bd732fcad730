"""Specifications of charts: golden files, fields, limits on points, labels, axes and colours.

`SWEEPLENS_UPDATE_SNAPSHOTS=1 pytest tests/core/test_chart_specifications.py` writes the golden specifications again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support.charts import demo_sweep, layers, parts
from support.planted import database, run

from sweeplens import ExperimentDB
from sweeplens.charts import CHARTS

GOLDEN = Path(__file__).parents[1] / "data" / "charts"
FIELD = re.compile(r"[a-z0-9_]+")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return demo_sweep(tmp_path_factory.mktemp("charts") / "sweep")


@pytest.mark.parametrize("kind", CHARTS)
def test_each_kind_is_as_its_golden_specification(db: ExperimentDB, kind: str) -> None:
    chart = db.plot(kind, metrics=["val/acc"])
    spec = json.loads(json.dumps(chart.to_dict(), allow_nan=False))
    for part in parts(spec):
        if "values" in part.get("data", {}):
            part["data"] = {"rows": len(part["data"]["values"]), "first": part["data"]["values"][:2]}
    text = re.sub(r"(\d\.\d{8})\d+", r"\1", json.dumps(spec, indent=1, sort_keys=True, ensure_ascii=False)) + "\n"
    golden = GOLDEN / f"{kind}.json"
    if os.environ.get("SWEEPLENS_UPDATE_SNAPSHOTS"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", CHARTS)
def test_names_of_fields_do_not_depend_on_names_of_columns(db: ExperimentDB, kind: str) -> None:
    chart = db.plot(kind, metrics=["val/acc"])
    fields = {part["field"] for part in parts(chart.spec) if "field" in part}
    assert fields
    assert all(FIELD.fullmatch(f) for f in fields)


@pytest.mark.parametrize("kind", CHARTS)
def test_at_most_5000_points_are_drawn_and_the_others_are_counted(tmp_path: Path, kind: str) -> None:
    def curve(i: int) -> list[float]:
        return [0.1 + i % 140 / 200 + s / 1000 for s in range(120)]

    def setting(i: int) -> dict[str, float]:
        return {"lr": 10 ** -(1 + i % 20 / 5), "width": 2 ** (i % 7), "seed": i // 140}

    runs = [run(f"r{i}", setting(i), val_acc=curve(i)) for i in range(700)]
    if kind == "timeline":
        for i, r in enumerate(runs):
            r["metadata"] = {"status": "finished", "started": f"2026-01-01T{i // 60 % 24:02}:{i % 60:02}:00Z"}
    many = database(tmp_path, runs)
    chart = many.plot(kind, metrics=["val/acc"])
    assert sum(len(part["data"]["values"]) for part in layers(chart)) <= 5_000
    if kind in ("curves", "parallel", "timeline"):
        assert re.search(r"drawn|that began last", chart.caption)


def test_names_for_display_are_on_the_axes(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i}, val_acc=[0.1, 0.2, 0.3 + i]) for i in range(3)]
    named = database(
        tmp_path, runs, metric_display_names={"val/acc": "Accuracy"}, hparam_display_names={"lr": "Learning rate"}
    )
    text = json.dumps([named.plot(kind).spec for kind in ("curves", "ranking", "parallel", "scatter")])
    assert "Accuracy" in text
    assert "Learning rate" in text
    assert "val/acc" not in text


def test_a_value_alone_is_the_tick_of_its_axis_and_steps_are_whole(tmp_path: Path) -> None:
    one = database(tmp_path, [run("only", {"lr": 0.1}, val_loss=[0.4, 0.4, 0.4])])
    ranked = next(
        part["encoding"]["x"]["axis"] for part in layers(one.plot("ranking")) if "axis" in part["encoding"]["x"]
    )
    assert (ranked["values"], ranked["format"]) == ([0.4], ".4~g")
    curve = layers(one.plot("curves"))[0]["encoding"]
    assert curve["y"]["axis"]["values"] == [0.4]
    assert curve["x"]["axis"]["values"] == [0, 1, 2]
    many = database(tmp_path / "many", [run("only", {"lr": 0.1}, val_loss=[1 / (i + 1) for i in range(40)])])
    assert layers(many.plot("curves"))[0]["encoding"]["x"]["axis"]["tickMinStep"] == 1


def test_long_run_ids_are_told_apart_by_their_ends(tmp_path: Path) -> None:
    ids = [
        f"logs/external_tuning/queue_of_many_trials_in_one_folder/study_0/workload_{name}/trial_1"
        for name in ("ogbg", "wmt")
    ]
    long = database(tmp_path, [run(name, {"lr": i}, val_acc=[0.1, 0.2 + i]) for i, name in enumerate(ids)])
    chart = long.plot("comparison", a=ids[0], b=ids[1])
    assert chart.title.startswith("workload_ogbg/trial_1 against workload_wmt/trial_1")
    curves = long.plot("curves", group="run")
    assert curves.spec["usermeta"]["runs"] == {
        f"workload_{name}/trial_1": i for name, i in zip(("ogbg", "wmt"), ids, strict=True)
    }


def test_a_narrow_chart_keeps_names_out_of_its_labels_and_its_titles_within(db: ExperimentDB) -> None:
    spec = db.plot("curves", metrics=["val/acc"], width=400).spec
    colour = next(part["encoding"]["color"] for part in spec["layer"] if "color" in part["encoding"])
    assert colour["legend"]["title"] == ["lr, batch_size, best first"]
    assert "replace(datum.label" in colour["legend"]["labelExpr"]
    assert spec["layer"][0]["encoding"]["y"]["axis"]["titleAngle"] == 0
    low = db.plot("curves", metrics=["val/acc"], width=400, height=300)
    assert "in colour: the 2 best and the 1 worst" in low.caption


def test_dots_are_coloured_by_what_varies_over_them(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i / 10, "epochs": 50, "width": i % 2}, val_acc=[0.1, 0.2 + i / 50]) for i in range(6)]
    runs.append(run("other", {"lr": 0.9, "epochs": 99, "width": 0}))  # without the metric: not drawn
    dots = next(
        part for part in layers(database(tmp_path, runs).plot("scatter", x="lr")) if "color" in part["encoding"]
    )
    assert dots["encoding"]["color"]["legend"]["title"] == ["width"]
