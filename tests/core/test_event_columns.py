"""Event columns and health of runs: in lists, conditions, sorting, SQL, and as metrics that runs are ranked and compared by."""

from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.planted import database, run

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import InputError, UnknownNameError

BELOW = "train/loss.first_below(3.0)"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    """Five runs: run i loses 0.25 i a step, accuracy grows by 0.25 i a step, a step is 1,000 tokens and two seconds."""
    root = tmp_path_factory.mktemp("events")
    for i in range(5):
        folder = root / f"r{i}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"lr": i, "seed": 0}))
        rows = [
            {
                "step": k,
                "_timestamp": 1.7e9 + 2 * k,
                "train/loss": 4 - 0.25 * k * i,
                "val/acc": 0.25 * k * i,
                "tokens": 1000 * k,
            }
            for k in range(10)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ExperimentDB(AnalysisConfig(refresh_seconds=1e6, live_seconds=1e-3), base_path=root)


def _column(db: ExperimentDB, name: str) -> list[object]:
    return db.list_runs(columns=[name], sort="run_id").table[name].to_list()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (BELOW, [None, 5, 3, 2, 2]),
        ("val/acc.first_above(0.5)", [None, 3, 2, 1, 1]),
        ("train/loss.first_below(4)", [None, 1, 1, 1, 1]),
        (f"{BELOW}@tokens", [None, 5000, 3000, 2000, 2000]),
        (f"{BELOW}@wall_time", [None, 10, 6, 4, 4]),
        (f"{BELOW}@val/acc", [None, 1.25, 1.5, 1.5, 2]),
        ("train/loss.min_step@tokens", [0, 9000, 9000, 9000, 9000]),
        ("train/loss.last_step@wall_time", [18, 18, 18, 18, 18]),
    ],
)
def test_an_event_column_tells_when_it_happened_in_each_run(db: ExperimentDB, name: str, values: list[object]) -> None:
    assert _column(db, name) == values


@given(st.lists(st.floats(-5, 5) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=12), st.floats(-5, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_first_step_beyond_a_level_is_that_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], level: float
) -> None:
    made = database(tmp_path_factory.mktemp("any"), [run("r", {"a": 1}, train_loss=values)])
    below = next((i for i, v in enumerate(values) if math.isfinite(v) and v < level), None)
    above = next((i for i, v in enumerate(values) if math.isfinite(v) and v > level), None)
    names = [f"train/loss.first_below({level!r})", f"train/loss.first_above({level!r})"]
    assert made.list_runs(columns=names).table.select(names).row(0) == (below, above)


def test_a_repeated_step_counts_with_its_last_write(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    rows = [(0, 5.0), (1, 1.0), (2, 0.5), (1, 4.0), (2, 3.5), (3, 0.9)]
    (tmp_path / "r/metrics.jsonl").write_text("".join(json.dumps({"step": s, "loss": v}) + "\n" for s, v in rows))
    assert _column(ExperimentDB(tmp_path), "loss.first_below(2)") == [3]


def test_events_stand_in_conditions_and_select_the_sides_of_a_comparison(db: ExperimentDB) -> None:
    assert db.list_runs(where=f'"{BELOW}" < 3', sort="run_id").table["run_id"].to_list() == ["r3", "r4"]
    assert db.list_runs(where=f'"{BELOW}" IS NULL').table["run_id"].to_list() == ["r0"]
    assert db.compare(f'"{BELOW}" < 3', f'"{BELOW}" >= 3', metrics="val/acc").table["n_a"].to_list() == [2]
    emptied = db.list_runs(where=f'"{BELOW}@tokens" < 1000').basis.warnings[0]
    assert "is between 2000.0 and 5000.0" in emptied


def test_a_list_is_sorted_by_a_column_that_it_did_not_have(db: ExperimentDB) -> None:
    table = db.list_runs(sort=f"-{BELOW}").table
    assert table["run_id"].to_list() == ["r1", "r2", "r3", "r4", "r0"]
    assert BELOW in table.columns


def test_sql_knows_events_and_statistics_of_runs(db: ExperimentDB) -> None:
    query = f'SELECT r.run_id, r."{BELOW}@tokens" AS t, "val/acc.last" AS last FROM runs r WHERE r.health = \'ok\' ORDER BY t'
    assert db.query_sql(query).table.filter(pl.col("t") < 5000).rows() == [
        ("r3", 2000.0, 6.75), ("r4", 2000.0, 9.0), ("r2", 3000.0, 4.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("train/loss.first_bellow(3)", "train/loss.first_below(3)"),
        ("train/los.first_below(3)", "train/loss.first_below(3)"),
        ("train/loss.first_below(3)@tokenz", "train/loss.first_below(3)@tokens"),
        ("train/loss.first_below(3)@walltime", "train/loss.first_below(3)@wall_time"),
        ("train/loss.minstep@tokens", "train/loss.min_step@tokens"),
        ("helth", "health"),
    ],
)
def test_a_misspelt_event_gets_the_near_one_everywhere(db: ExperimentDB, name: str, near: str) -> None:
    for ask in (
        lambda: db.list_runs(columns=[name]),
        lambda: db.list_runs(sort=name),
        lambda: db.list_runs(where=f'"{name}" IS NULL'),
        lambda: db.query_sql(f'SELECT "{name}" FROM runs'),
    ):
        with pytest.raises(UnknownNameError) as error:
            ask()
        assert f"'{near}'" in str(error.value)


@pytest.mark.parametrize("level", ["", "x", "nan", "inf", "1,2"])
def test_a_level_that_is_no_number_is_refused(db: ExperimentDB, level: str) -> None:
    with pytest.raises(InputError, match=r"needs a number in its brackets"):
        db.list_runs(columns=[f"val/acc.first_above({level})"])


def test_an_event_in_a_condition_without_quotes_gets_an_error_with_the_correct_form(db: ExperimentDB) -> None:
    with pytest.raises(InputError, match="put the whole name of an event in double quotes"):
        db.list_runs(where="tokens.first_above(3) < 2")


def test_where_no_time_is_logged_the_list_says_so(tmp_path: Path) -> None:
    made = database(tmp_path, [run("r", {"a": 1}, val_acc=[0.1, 0.9])])
    notes = made.list_runs(columns=["val/acc.first_above(0.5)@wall_time", "val/acc.first_above(2)"]).notes
    assert notes == (
        "val/acc.first_above(0.5)@wall_time is null in 1 of 1 run: no time was logged up to there, or it never happened.",
        "val/acc.first_above(2) is null in 1 of 1 run: it never happened there.",
    )


def test_runs_are_ranked_by_how_soon_something_happened(db: ExperimentDB) -> None:
    answer = db.rank(f"{BELOW}@tokens", by="run")
    assert answer.table["mean"].to_list() == [2000, 2000, 3000, 5000]
    assert answer.notes[0].startswith("lower is better")
    assert [(entry.reason, entry.runs) for entry in answer.basis.left_out] == [
        (f"{BELOW}@tokens: it never happened", ("r0",))
    ]
    best = db.rank("train/loss.min_step@val/acc", by="run")
    assert best.notes[0].startswith("higher is better")
    assert best.table["run_id"][0] == "r4"
    compared = db.compare("r4", "r1", metrics=BELOW).table
    assert compared["mean_a"].to_list() == [2.0]


# ------------------------------------------------------------------ health


def _with_broken(folder: Path) -> ExperimentDB:
    curves = [[2.0 - 0.015 * k + 0.01 * (k * (i + 3) % 7) for k in range(100)] for i in range(6)]
    runs = [
        run(f"r{i}", {"lr": i % 2, "seed": i // 2}, train_loss=curve, val_loss=[v + 0.001 * i for v in curve])
        for i, curve in enumerate(curves)
    ]
    runs[4]["metadata"] = {"status": "killed"}
    runs[5]["metrics"]["train/loss"][50:] = [math.nan] * 50  # type: ignore[index]
    return database(folder, runs)


def test_health_is_the_worst_severity_of_a_runs_findings(tmp_path: Path) -> None:
    db = _with_broken(tmp_path)
    assert _column(db, "health") == ["ok", "ok", "ok", "ok", "suspect", "broken"]
    findings = db.diagnose().table.filter(pl.col("severity") == "high")
    assert findings["run_id"].unique().to_list() == ["r5"]
    assert db.list_runs(where="health <> 'ok'", sort="run_id").table["run_id"].to_list() == ["r4", "r5"]
    assert db.query_sql("SELECT COUNT(*) AS n FROM runs WHERE health = 'ok'").table["n"].to_list() == [4]


def test_answers_say_how_many_broken_runs_they_rest_on(tmp_path: Path) -> None:
    db = _with_broken(tmp_path)
    told = "is broken (r5: diagnose_runs); "
    for answer in (db.rank("val/loss"), db.effects("val/loss")):
        assert f"1 of the 6 runs used {told}where=\"health <> 'broken'\" leaves it out" in answer.basis.warnings
    for answer in (db.compare("lr = 0", "lr = 1"), db.compare(hparam="lr")):
        assert f"1 of the 6 runs of the sides {told}where=\"health <> 'broken'\" leaves it out" in answer.basis.warnings
    assert db.compare("lr = 0 AND health <> 'broken'", "lr = 1 AND health <> 'broken'").basis.runs_used == 5
    assert db.compare(hparam="lr", where="health <> 'broken'").basis.runs_used == 5
    without = db.rank("val/loss", where="health <> 'broken'")
    assert without.basis.runs_used == 5
    assert not any("broken" in w for w in without.basis.warnings)


def test_the_last_step_of_a_run_is_the_largest_of_its_series(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i}, train_loss=[0.5] * (4 + i), val_acc=[0.1] * 2) for i in range(3)]
    db = database(tmp_path, runs)
    assert _column(db, "last_step") == [3, 4, 5]
    assert db.list_runs(where="last_step >= 4", sort="-last_step").table["run_id"].to_list() == ["r2", "r1"]
    assert db.query_sql("SELECT run_id, last_step FROM runs ORDER BY run_id").table["last_step"].to_list() == [3, 4, 5]
    joined = "SELECT run_id, metric, last_step FROM runs JOIN series USING (run_id) WHERE metric = 'val/acc'"
    assert db.query_sql(joined).table["last_step"].to_list() == [1, 1, 1]
    with pytest.raises(UnknownNameError, match="last_step"):
        db.list_runs(columns=["last_steps"])


def test_a_hyperparameter_called_health_stays_one(tmp_path: Path) -> None:
    db = database(tmp_path, [run(f"r{i}", {"health": i}, val_acc=[0.1]) for i in range(3)])
    assert db.list_runs(columns="health", where="health > 1").table["health"].to_list() == [2]


def test_the_number_that_rankings_read_is_a_column_for_lists_conditions_and_sorting(tmp_path: Path) -> None:
    curves = {f"r{i}": [i / 10] * 30 + [0.1 * (i + j % 2) for j in range(30)] for i in range(4)}
    db = database(tmp_path, [run(name, {"lr": name}, val_acc=curve) for name, curve in curves.items()])
    means = {name: math.fsum(curve[-6:]) / 6 for name, curve in curves.items()}
    listed = db.list_runs(columns=["val/acc.last_tenth"], sort="-val/acc.last_tenth").table
    assert listed["run_id"].to_list() == sorted(means, key=lambda name: -means[name])
    assert dict(listed.select("run_id", "val/acc.last_tenth").iter_rows()) == pytest.approx(means)
    chosen = db.list_runs(where='"val/acc.last_tenth" > 0.2').table["run_id"].to_list()
    assert set(chosen) == {name for name, mean in means.items() if mean > 0.2}
    with pytest.raises(UnknownNameError, match=r"val/acc\.last_tenth"):
        db.list_runs(where='"val/acc.last_tenht" > 0.2')
