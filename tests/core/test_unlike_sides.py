"""What else differs between the sides of a comparison: planted differences are named, equal sides are not accused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.methods_over_tasks import uneven_methods
from support.planted import Row, database, run


def test_every_planted_difference_is_named_with_its_numbers_and_the_worst_first(tmp_path: Path) -> None:
    answer = database(tmp_path, uneven_methods()).compare(hparam="method")
    told = dict(answer.tables["unlike"].iter_rows())
    assert told["test/num_examples"] == "test/num_examples (median): x: old 3,080, new 1,032"
    assert told["teacher"] == "teacher: y: old v1, new v2"
    assert told["failed or killed"] == "failed or killed: old 0 of 8, new 2 of 30 (x)"
    assert told["lr tried"] == "lr tried: old 2 (1, 2), new 3 (1, 2, 3)"
    assert told["seeds"] == "seeds: old 2 (1, 2), new 5 (1, 2, 3, 4 and 1 more)"
    assert told["evaluations a run"] == "evaluations a run (median): old 30, new 60"
    assert told["gpu"] == "gpu: old A100 8; new A10 30"
    assert told["git_sha"] == "git_sha: old aaaa1111, new bbbb2222"
    assert told["set on one side"] == "set only in new: beta=0.5"
    kinds = answer.tables["unlike"]["what"].to_list()
    assert (
        kinds.index("test/num_examples") < kinds.index("lr tried") < kinds.index("gpu") < kinds.index("set on one side")
    )
    assert "tokens at the end" not in told  # 30 x 2000 and 60 x 1000


def even() -> list[Row]:
    rng = np.random.default_rng(6)
    return [
        run(
            f"{opt}-{lr}-{s}",
            {"opt": opt, **({"momentum": 0.9} if opt == "sgd" else {"beta2": 0.99}), "lr": lr, "seed": s},
            {"status": "finished", "host": f"node{s}"},
            val_acc=list(0.5 + rng.normal(0, 0.01, 40)),
        )
        for opt in ("sgd", "adam")
        for lr in (1, 2, 3)
        for s in range(3)
    ]


def test_sides_that_differ_in_the_condition_alone_are_not_accused(tmp_path: Path) -> None:
    for asked in ({"hparam": "opt"}, {"a": "opt = 'sgd'", "b": "opt = 'adam'"}):
        told = database(tmp_path, even()).compare(**asked).tables["unlike"]  # type: ignore[arg-type]
        assert told["what"].unique().to_list() == ["set on one side"]  # each optimizer has a setting of its own
    plain = [
        {**r, "hyperparameters": {k: v for k, v in r["hyperparameters"].items() if k not in ("momentum", "beta2")}}
        for r in even()
    ]  # type: ignore[attr-defined]
    assert "unlike" not in database(tmp_path / "p", plain).compare(hparam="opt").tables


def test_copies_of_other_runs_are_counted_on_their_side(tmp_path: Path) -> None:
    rows = even()
    copied = next(r for r in rows if r["run_id"] == "adam-1-0")
    rows = [{**r, "metrics": copied["metrics"]} if r["run_id"] == "adam-1-1" else r for r in rows]
    told = dict(database(tmp_path, rows).compare(hparam="opt").tables["unlike"].iter_rows())
    assert told["copies"] == "runs with the curves of another run: adam 0 of 9, sgd 0 of 9 (adam-1-1)".replace(
        "adam 0", "adam 1"
    )


def test_test_values_that_are_validation_values_are_counted_by_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows: list[Row] = []
    for method in ("kd", "feat"):
        for task in "xy":
            for s in range(5):
                curve = list(0.8 + rng.normal(0, 0.01, 20))
                test = max(curve) if (method, task) == ("feat", "x") else float(0.78 + rng.normal(0, 0.01))
                rows.append(
                    run(
                        f"{method}-{task}-{s}",
                        {"method": method, "task": task, "seed": s},
                        eval_acc=curve,
                        test_acc=[test],
                    )
                )
    told = dict(database(tmp_path, rows).compare(hparam="method").tables["unlike"].iter_rows())
    assert told["test is validation"] == "test/acc is a validation value: feat 5 of 5, kd 0 of 5 (x)"
