"""Charts show the numbers of the answers: numbers are read back from the specification and compared with the answer's.

`SWEEPLENS_UPDATE_SNAPSHOTS=1 pytest tests/core/test_charts.py` writes the golden specifications again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from support.planted import database, run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.charts import CHARTS, Chart
from sweeplens.demo_data import write_sweep
from sweeplens.errors import InputError, SweeplensError, UnknownNameError

GOLDEN = Path(__file__).parents[1] / "data" / "charts"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FIELD = re.compile(r"[a-z0-9_]+")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    """The demo's sweep: 60 runs, six learning rates by two batch sizes by seeds."""
    folder = tmp_path_factory.mktemp("charts") / "sweep"
    write_sweep(folder, now=NOW)
    return ExperimentDB(AnalysisConfig(refresh_seconds=1e6, live_seconds=1e-3), base_path=folder)


def layers(chart: Chart) -> list[dict[str, Any]]:
    """Every layer of a chart, panels one after the other."""
    spec = chart.spec
    panels = next((spec[k] for k in ("concat", "hconcat", "vconcat") if k in spec), [spec])
    return [layer for panel in panels for layer in panel["layer"]]


def rows(chart: Chart, mark: str, *fields: str) -> list[dict[str, Any]]:
    """The rows of all layers of a mark that have these fields."""
    found = [r for part in layers(chart) if part["mark"]["type"] == mark for r in part["data"]["values"]]
    return [r for r in found if all(f in r for f in fields)]


def parts(value: object) -> Iterator[dict[str, Any]]:
    """Every object within a specification, data aside."""
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key != "values":
                yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


def test_curves_of_groups_are_the_mean_curves(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["val/acc"], hparams=["optim.lr"])
    answer = db.mean_curves(["val/acc"], hparams=["optim.lr"]).table
    told = {
        (f"lr={r['optim.lr']:.4g}", r["x"]): (r["mean"], r["n"]) for r in answer.to_dicts() if r["optim.lr"] is not None
    }
    drawn = {(r["series"].split(" (n=")[0], r["x"]): (r["y"], r["n"]) for r in rows(chart, "line", "y")}
    assert drawn == told
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
    assert "runs of the group are missing" in chart.caption


def test_curves_of_single_runs_are_the_downsampled_curves(db: ExperimentDB) -> None:
    ids = ["lr0.01_bs64_s0", "lr0.03_bs64_s0"]
    chart = db.plot("curves", metrics=["train/loss"], runs=ids, group="run")
    answer = db.curves(["train/loss"], runs=ids, max_points=200).table
    told = sorted((r["run_id"], r["x"], r["value"]) for r in answer.to_dicts())
    assert sorted((r["series"], r["x"], r["y"]) for r in rows(chart, "line", "y")) == told


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


def test_a_ranking_draws_the_ranks_of_rank_runs(db: ExperimentDB) -> None:
    chart = db.plot("ranking", metrics=["val/acc"])
    answer = db.rank("val/acc").table.to_dicts()
    drawn = rows(chart, "point", "rank")
    assert [(r["rank"], r["mean"], r["low"], r["high"], r["n"]) for r in drawn] == [
        (r["rank"], r["mean"], r["ci95_low"], r["ci95_high"], r["n"]) for r in answer
    ]
    tied = [r["verdict"] == "not told apart from the best" for r in drawn[1:]]
    assert tied == [r["tied"] for r in answer[1:]]
    dots = {(r["run"], r["value"]) for r in rows(chart, "point", "run")}
    grouped = db.rank("val/acc", by="run").table.drop_nulls("optim.lr").to_dicts()
    assert dots == {(r["run_id"], r["mean"]) for r in grouped}


def test_importance_draws_effects_and_inseparable_ones_as_one_bar(db: ExperimentDB) -> None:
    bars = rows(db.plot("importance", metrics=["val/acc"]), "bar")
    answer = db.effects("val/acc").table.to_dicts()
    assert [b["hparam"] for b in bars] == ["optim.lr + optim.weight_decay", "data.batch_size"]
    assert [(b["importance"], b["low"], b["high"]) for b in bars] == [
        (r["importance"], r["importance_low"], r["importance_high"]) for r in (answer[0], answer[2])
    ]


def test_a_heatmap_draws_the_means_of_summarize_and_marks_untried_cells(db: ExperimentDB) -> None:
    where = 'NOT ("optim.lr" = 0.3 AND "data.batch_size" = 64)'
    chart = db.plot("heatmap", metrics=["val/acc"], hparams=["optim.lr", "data.batch_size"], where=where)
    answer = db.summarize(["optim.lr", "data.batch_size"], metrics=["val/acc"], where=where).table
    told = {
        (f"{r['optim.lr']:.4g}", str(r["data.batch_size"])): (r["mean"], r["n"])
        for r in answer.drop_nulls("optim.lr").to_dicts()
    }
    cells = {(r["x"], r["y"]): (r["mean"], r["n"]) for r in rows(chart, "rect")}
    assert {k: v for k, v in cells.items() if v[0] is not None} == told
    assert [k for k, v in cells.items() if v[0] is None] == [("0.3", "64")]
    assert "1 of 12 combinations were not tried" in chart.caption


def test_scatter_and_parallel_draw_the_runs_of_list_runs(db: ExperimentDB) -> None:
    listed = db.list_runs(columns=["optim.lr", "val/acc.last_tenth"]).table.to_dicts()
    ranked = dict(db.rank("val/acc", by="run").table.select("run_id", "mean").iter_rows())
    assert {r["run_id"]: r["val/acc.last_tenth"] for r in listed if r["val/acc.last_tenth"] is not None} == ranked
    dots = {(r["run"], r["x"], r["y"]) for r in rows(db.plot("scatter", metrics=["val/acc"], x="optim.lr"), "point")}
    assert dots == {(r["run_id"], r["optim.lr"], r["val/acc.last_tenth"]) for r in listed if r["optim.lr"] is not None}
    lines = {(r["run"], r["value"]) for r in rows(db.plot("parallel", metrics=["val/acc"]), "line")}
    assert lines == {(r["run_id"], r["val/acc.last_tenth"]) for r in listed}
    best = rows(db.plot("parallel", metrics=["val/acc"], reduce="best"), "line")
    highest = db.list_runs(columns=["val/acc.max"]).table
    assert {(r["run"], r["value"]) for r in best} == set(highest.select("run_id", "val/acc.max").iter_rows())


def test_the_pareto_front_holds_the_runs_that_no_other_beats_in_both(db: ExperimentDB) -> None:
    chart = db.plot("scatter", metrics=["val/acc"], x="val/loss")
    dots = rows(chart, "point", "run")
    front = next(part for part in layers(chart) if part["mark"].get("strokeDash"))["data"]["values"]
    best = {r["run"] for r in dots if not any(o["x"] <= r["x"] and o["y"] >= r["y"] and o is not r for o in dots)}
    assert {r["run"] for r in front} == best


def test_a_timeline_draws_when_each_run_began_and_was_last_written(db: ExperimentDB) -> None:
    chart = db.plot("timeline")
    listed = db.list_runs(columns=["created_at", "updated_at", "status"]).table.to_dicts()
    assert {(r["run"], r["start"], r["end"], r["status"]) for r in rows(chart, "bar")} == {
        (r["run_id"], r["created_at"].isoformat(), r["updated_at"].isoformat(), r["status"]) for r in listed
    }
    worst = {
        r["run_id"]: r["finding"]
        for r in reversed(db.diagnose().table.filter(db.diagnose().table["severity"] != "low").to_dicts())
    }
    assert {r["run"]: r["finding"] for r in rows(chart, "point", "finding")} == worst


def test_a_comparison_draws_effect_sizes_with_the_interval_in_the_same_unit(db: ExperimentDB) -> None:
    a, b = '"optim.lr" = 0.03', '"optim.lr" = 0.01'
    chart = db.plot("comparison", a=a, b=b)
    answer = {r["metric"]: r for r in db.compare(a, b).table.to_dicts()}
    drawn = rows(chart, "point", "effect")
    assert {r["metric"] for r in drawn} == set(answer)
    for r in drawn:
        told = answer[r["metric"]]
        unit = told["effect_size"] / told["difference"]
        assert (r["effect"], r["low"], r["high"]) == pytest.approx(
            (told["effect_size"], told["ci95_low"] * unit, told["ci95_high"] * unit)
        )
        assert bool(r["verdict"]) == told["verdict"].startswith("different")
    assert {r["series"] for r in rows(chart, "line", "series")} == {a, b}
    strata = db.compare(a, b).tables["strata"]
    assert sorted(r["difference"] for r in rows(chart, "tick")) == sorted(strata["difference"].to_list())


def test_the_levels_of_a_hyperparameter_are_drawn_against_the_baseline_with_their_strata(db: ExperimentDB) -> None:
    answer = db.compare(hparam="optim.lr")
    chart = answer.plot()
    told = {r["level"]: r for r in answer.table.filter(answer.table["metric"] == "val/acc").to_dicts()}
    drawn = {r["metric"]: r for r in rows(chart, "point", "effect")}
    assert {k: (r["difference"], r["effect"]) for k, r in drawn.items()} == {
        k: (r["difference"], r["effect_size"]) for k, r in told.items()
    }
    assert {k for k, r in drawn.items() if r["verdict"]} == {
        k for k, r in told.items() if r["verdict"].startswith("different")
    }
    strata = answer.tables["strata"].filter(answer.tables["strata"]["metric"] == "val/acc")
    assert {(r["metric"], r["stratum"], r["difference"]) for r in rows(chart, "tick")} == set(
        strata.select("level", "stratum", "difference").rows()
    )
    assert {r["series"] for r in rows(chart, "line", "series")} == {*told, "0.001"}
    assert "against 0.001" in chart.title
    assert "Strata disagree" in chart.caption
    assert (
        db.plot("comparison", hparams=["optim.lr"]).spec
        == db.compare(hparam="optim.lr", metrics=["val/acc"]).plot().spec
    )


def test_a_ranking_within_tasks_never_names_one_task_the_best_of_all(tmp_path: Path) -> None:
    runs = [
        run(
            f"{env}{lr}{seed}",
            {"env": env, "lr": lr, "seed": seed},
            val_acc=[0.1, 0.2, scale * (0.3 + lr) + seed / 100],
        )
        for env, scale in (("ant", 1.0), ("walker", 0.1))
        for lr in (0.1, 0.5)
        for seed in range(3)
    ]
    sweep = database(tmp_path, runs, task_hparams=("env",))
    answer = sweep.rank("val/acc")
    chart = answer.plot()
    drawn = rows(chart, "point", "rank")
    assert [(r["rank"], r["mean"]) for r in drawn] == [(r["rank"], r["mean"]) for r in answer.table.to_dicts()]
    assert [r["group"].split(",")[0] for r in drawn if r["verdict"] == "best"] == ["task=ant", "task=walker"]
    assert "within each task" in chart.caption
    assert len(rows(chart, "point", "run")) == len(runs)
    assert sweep.plot("comparison").kind == "comparison"


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
def test_fields_have_names_of_ours_whatever_columns_are_called(db: ExperimentDB, kind: str) -> None:
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


def test_names_for_display_are_on_the_axes(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i}, val_acc=[0.1, 0.2, 0.3 + i]) for i in range(3)]
    named = database(
        tmp_path, runs, metric_display_names={"val/acc": "Accuracy"}, hparam_display_names={"lr": "Learning rate"}
    )
    text = json.dumps([named.plot(kind).spec for kind in ("curves", "ranking", "parallel", "scatter")])
    assert "Accuracy" in text
    assert "Learning rate" in text
    assert "val/acc" not in text


def test_a_loss_over_decades_gets_a_logarithmic_axis_by_default(tmp_path: Path) -> None:
    sweep = database(tmp_path, [run("r", {"lr": 1}, val_loss=[10.0 / 2**s for s in range(12)])])

    def scale(**options: Any) -> str | None:
        return layers(sweep.plot("curves", **options))[0]["encoding"]["y"]["scale"].get("type")

    assert scale() == "log"
    assert scale(log="none") is None
    below = database(tmp_path / "b", [run("r", {"lr": 1}, val_loss=[10.0 / 2**s - 1 for s in range(12)])])
    assert layers(below.plot("curves", log="y"))[0]["encoding"]["y"]["scale"].get("type") is None


def test_without_a_kind_the_most_telling_is_drawn(db: ExperimentDB, tmp_path: Path) -> None:
    assert db.plot().kind == "curves"
    assert db.plot(a="lr0.03*", b="lr0.01*").kind == "comparison"
    search = database(tmp_path, [run(f"r{i}", {"lr": i, "width": i % 3}, val_acc=[i / 9]) for i in range(8)])
    assert search.plot().kind == "parallel"


@pytest.mark.parametrize(
    ("kind", "options", "said"),
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
    db: ExperimentDB, kind: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        db.plot(kind, **options)


def test_nothing_to_draw_is_never_an_empty_chart(tmp_path: Path) -> None:
    alone = database(
        tmp_path, [run("r", {"lr": 1}, val_acc=[float("nan")] * 4), run("q", {"lr": 1}, val_acc=[float("inf")])]
    )
    for kind in CHARTS:
        with pytest.raises(SweeplensError, match=r"Nothing to|no run|one group"):
            alone.plot(kind)


def test_an_answer_draws_itself_from_the_version_that_it_rests_on(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i // 2, "seed": i % 2}, val_acc=[0.1, 0.2, 0.3 + i / 10]) for i in range(4)]
    sweep = database(tmp_path, runs)
    ranked = sweep.rank("val/acc")
    database(tmp_path, [*runs, run("new", {"lr": 7}, val_acc=[0.9, 0.9, 0.9])])
    sweep.load_experiments()
    assert sweep.rank("val/acc").table.height == 3
    assert len(rows(ranked.plot(), "point", "rank")) == ranked.table.height == 2
    assert ranked.plot().kind == "ranking"
    with pytest.raises(InputError, match="has no picture"):
        sweep.varying().plot()


def test_the_picture_of_an_answer_reduces_and_selects_as_the_answer_does(db: ExperimentDB) -> None:
    ranked = db.rank("val/acc", reduce="mean", at_step="500", hparams=["optim.lr"])
    assert [r["mean"] for r in rows(ranked.plot(), "point", "rank")] == ranked.table["mean"].to_list()
    compared = db.compare("lr0.03*", "lr0.01*", metrics=["val/acc"], reduce="max")
    assert [r["difference"] for r in rows(compared.plot(), "point", "effect")] == compared.table["difference"].to_list()
    explained = db.effects("val/acc", reduce="last")
    assert rows(explained.plot(), "bar")[0]["importance"] == explained.table["importance"][0]
    grid = db.summarize(["optim.lr", "data.batch_size"], metrics=["val/acc"], reduce="min", where='"optim.lr" < 0.3')
    assert {r["mean"] for r in rows(grid.plot(), "rect")} == set(grid.table.drop_nulls("optim.lr")["mean"].to_list())
    part = db.curves(["val/acc"], runs=["lr0.03_bs64_s0"], x_min=300, x_max=600)
    assert [r["x"] for r in rows(part.plot(), "line", "y")] == part.table["x"].to_list()
    assert rows(db.plot("scatter", x="optim.lr", reduce="last"), "point")
    with pytest.raises(InputError, match="last, min, max, mean"):
        db.plot("scatter", reduce="at_step:5")


def test_a_chart_goes_on_in_altair_and_in_a_notebook(db: ExperimentDB) -> None:
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


def test_unknown_names_are_errors_of_their_own_kind(db: ExperimentDB) -> None:
    with pytest.raises(UnknownNameError):
        db.plot("pie")
    with pytest.raises(UnknownNameError):
        db.plot("curves", runs=["nobody"])


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


def test_a_band_that_would_hide_the_curves_is_faint(tmp_path: Path) -> None:
    runs = [run(f"a{s}", {"lr": 1, "seed": s}, val_acc=[0.1, 0.5, 0.90 + s / 500]) for s in range(3)]
    runs += [
        run(f"b{s}", {"lr": 2, "seed": s}, val_acc=[0.1, [0.1, 0.9, 0.9][s], [0.1, 0.9, 0.9][s]]) for s in range(3)
    ]
    bands = [part for part in layers(database(tmp_path, runs).plot("curves")) if part["mark"]["type"] == "area"]
    shown = {part["mark"]["opacity"]: {r["series"] for r in part["data"]["values"]} for part in bands}
    assert shown == {0.06: {"lr=2 (n=3)"}, 0.2: {"lr=1 (n=3)"}}


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
    assert "In colour: the 2 best and the 1 worst" in low.caption


def test_dots_are_coloured_by_what_varies_over_them(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i / 10, "epochs": 50, "width": i % 2}, val_acc=[0.1, 0.2 + i / 50]) for i in range(6)]
    runs.append(run("other", {"lr": 0.9, "epochs": 99, "width": 0}))  # without the metric: not drawn
    dots = next(
        part for part in layers(database(tmp_path, runs).plot("scatter", x="lr")) if "color" in part["encoding"]
    )
    assert dots["encoding"]["color"]["legend"]["title"] == ["width"]
