"""`db.list_runs`, `db.varying` and `db.get_run`: what is shown of runs with many hyperparameters, few of which tell anything."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from support.planted import database, run


def test_list_runs_shows_what_has_two_values_and_not_what_only_some_runs_have(tmp_path: Path) -> None:
    runs = [
        run(
            f"r{i}",
            {"lr": 0.1 * i, "seed": i % 2, "out_dir": f"/out/{i}"} | ({"note": "x"} if i else {}),
            val_acc=[0.5],
        )
        for i in range(6)
    ]
    answer = database(tmp_path, runs).list_runs()
    assert answer.table.columns == ["run_id", "status", "n_steps", "updated_at", "lr", "seed", "val/acc.last"]
    assert answer.notes == ()


def test_list_runs_says_how_many_hyperparameters_it_does_not_show(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {f"h{j:02}": (i * (j + 3)) % 5 for j in range(25)}, val_acc=[0.5]) for i in range(5)]
    answer = database(tmp_path, runs).list_runs()
    assert sum(c.startswith("h") for c in answer.table.columns) == 16
    assert answer.notes[0].startswith("4 more hyperparameters vary: find_varying_hparams names them")


def test_varying_hyperparameters_come_before_partly_missing_ones(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {**({"a": 1} if i else {}), "lr": i}, val_acc=[0.5]) for i in range(3)]
    table = database(tmp_path, runs).varying().table
    assert table["hparam"].to_list() == ["lr", "a"]
    assert table["n_values"].to_list() == [3, 1]


def test_names_of_experiments_define_no_groups(tmp_path: Path) -> None:
    runs = [
        run(f"r{lr}{s}", {"lr": lr, "seed": s, "exp_name": f"lr{lr}_s{s}" if lr else "again"}, val_acc=[lr + 0.01 * s])
        for lr in (0, 1, 2)
        for s in range(2)
    ]
    db = database(tmp_path, runs)
    assert db.rank("val/acc").table["n"].to_list() == [2, 2, 2]
    assert "exp_name identifies single runs" in db.overview().table.filter(topic="varies")["text"].item()


def test_a_word_for_the_model_stays_a_hyperparameter_however_many_there_are(tmp_path: Path) -> None:
    runs = [
        run(f"r{m}{s}", {"model.name": f"m{m}", "seed": s}, val_acc=[m + 0.01 * s]) for m in range(9) for s in range(2)
    ]
    assert database(tmp_path, runs).rank("val/acc").table["model.name"].n_unique() == 9


def test_two_sides_differ_by_values_and_not_by_the_names_of_their_folders(tmp_path: Path) -> None:
    runs = [run(f"r{i}", {"lr": i // 3, "out_dir": f"/a/long/way/to/{i}"}, val_acc=[0.1 * i]) for i in range(6)]
    differ = database(tmp_path, runs).compare("lr = 0", "lr = 1").tables["hyperparameters"]
    assert differ.rows() == [("lr", "0", "1"), ("out_dir", "3 names", "3 names")]


def test_details_of_a_run_have_no_empty_fields_and_plain_times(tmp_path: Path) -> None:
    facts = dict(database(tmp_path, [run("r", {"lr": 1}, val_acc=[0.5])]).get_run("r").tables["run"].rows())
    assert facts["run_id"] == "r"
    assert "" not in facts.values()
    assert '"' not in facts["updated_at"]


def test_the_last_digit_of_a_mean_is_the_same_at_every_call(tmp_path: Path) -> None:
    rng = random.Random(3)
    runs = [run(f"r{i}", {"lr": i % 3, "seed": i}, val_acc=[rng.random(), rng.random()]) for i in range(400)]
    db = database(tmp_path, runs)
    for ask in (
        partial(db.summarize, ["lr"]),
        partial(db.summarize, ["lr"], reduce="last_k:2"),
        partial(db.rank, "val/acc"),
    ):
        first = ask().table
        assert all(ask().table.equals(first) for _ in range(10))


def test_metrics_that_the_same_runs_lack_are_one_reason(tmp_path: Path) -> None:
    runs = [run("a", {"lr": 1}, val_acc=[0.5], val_loss=[1.0]), run("b", {"lr": 2}, other=[1.0])]
    left = database(tmp_path, runs).summarize(["lr"], metrics=["val/acc", "val/loss"]).basis.left_out
    assert [(e.reason, e.runs) for e in left] == [("val/acc, val/loss: not logged", ("b",))]


def test_hyperparameters_may_be_called_like_the_columns_of_an_answer(tmp_path: Path) -> None:
    names = ("rank", "n", "mean", "metric", "value", "values", "difference", "evidence", "run_a", "std", "text")
    runs = [
        run(
            f"r{i}{s}",
            {name: (i + j) % 3 for j, name in enumerate(names)} | {"seed": s},
            val_acc=[i + 0.1 * s, i + 0.2 * s],
        )
        for i in range(3)
        for s in range(2)
    ]
    db = database(tmp_path, runs)
    ranked = db.rank("val/acc", hparams=["rank", "n"]).table
    assert ranked.columns[:4] == ["rank", "hparam.rank", "hparam.n", "n"]
    assert ranked.rows()[0][:4] == (1, 2, 0, 2)
    assert db.summarize(["metric", "value"]).table.columns[:3] == ["hparam.metric", "hparam.value", "metric"]
    assert set(names) == set(db.effects("val/acc").table["hparam"])
    assert set(db.compare("r0*", "r1*").tables["hyperparameters"]["hparam"]) == set(names)
    assert "best val/acc" in db.overview().table["topic"].to_list()
    assert set(names) <= set(db.list_runs().table.columns)
    assert db.diagnose().table.height == 0
