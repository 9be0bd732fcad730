"""Charts show the numbers of the answers: numbers are read back from the specification and compared with the answer's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.charts import demo_sweep, layers, rows
from support.planted import database, run

from sweeplens import ExperimentDB
from sweeplens.errors import InputError


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    return demo_sweep(tmp_path_factory.mktemp("charts") / "sweep")


def test_a_chart_of_groups_counts_the_runs_that_it_draws(db: ExperimentDB) -> None:
    chart = db.plot("curves", metrics=["val/acc"], hparams=["optim.lr"])
    labels = set(re.findall(r"'(lr=[\d.]+ \(n=\d+\))'", str(chart.to_dict())))
    drawn = sum(int(label.rpartition("=")[2].rstrip(")")) for label in labels)
    assert chart.title.endswith(f"{drawn} runs")
    assert drawn < db.runs_df.height
    assert "1 run without these hyperparameters is not drawn." in chart.caption


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
    expected = {
        (f"{r['optim.lr']:.4g}", str(r["data.batch_size"])): (r["mean"], r["n"])
        for r in answer.drop_nulls("optim.lr").to_dicts()
    }
    cells = {(r["x"], r["y"]): (r["mean"], r["n"]) for r in rows(chart, "rect")}
    assert {k: v for k, v in cells.items() if v[0] is not None} == expected
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
        expected = answer[r["metric"]]
        unit = expected["effect_size"] / expected["difference"]
        assert (r["effect"], r["low"], r["high"]) == pytest.approx(
            (expected["effect_size"], expected["ci95_low"] * unit, expected["ci95_high"] * unit)
        )
        assert bool(r["verdict"]) == expected["verdict"].startswith("different")
    assert {r["series"] for r in rows(chart, "line", "series")} == {a, b}
    strata = db.compare(a, b).tables["strata"]
    assert sorted(r["difference"] for r in rows(chart, "tick")) == sorted(strata["difference"].to_list())


def test_the_levels_of_a_hyperparameter_are_drawn_against_the_baseline_with_their_strata(db: ExperimentDB) -> None:
    answer = db.compare(hparam="optim.lr")
    chart = answer.plot()
    expected = {r["level"]: r for r in answer.table.filter(answer.table["metric"] == "val/acc").to_dicts()}
    drawn = {r["metric"]: r for r in rows(chart, "point", "effect")}
    assert {k: (r["difference"], r["effect"]) for k, r in drawn.items()} == {
        k: (r["difference"], r["effect_size"]) for k, r in expected.items()
    }
    assert {k for k, r in drawn.items() if r["verdict"]} == {
        k for k, r in expected.items() if r["verdict"].startswith("different")
    }
    strata = answer.tables["strata"].filter(answer.tables["strata"]["metric"] == "val/acc")
    assert {(r["metric"], r["stratum"], r["difference"]) for r in rows(chart, "tick")} == set(
        strata.select("level", "stratum", "difference").rows()
    )
    assert {r["series"] for r in rows(chart, "line", "series")} == {*expected, "0.001"}
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
