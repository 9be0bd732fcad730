"""Batch size and accumulation: runs with the same product are compared with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from support.planted import Row, database, run

from sweeplens.analyses.batch_products import with_batch_products
from sweeplens.answers import Answer

SPELLINGS = (
    ("batch_size", "accum"),
    ("optim.batch_size", "grad_accum"),
    ("train.per_device_train_batch_size", "gradient_accumulation_steps"),
    ("data.bs", "accumulate_grad_batches"),
)


def runs_of(loss: str, factors: list[tuple[int, int | None]], names: tuple[str, str], gain: float) -> list[Row]:
    """One run for each batch size and count of accumulated steps."""
    rng = np.random.default_rng(len(loss))
    return [
        run(
            f"{loss}{seed}",
            {"loss": loss, "seed": seed, names[0]: batch, **({names[1]: steps} if steps is not None else {})},
            val_acc=[0.5, 0.7, 0.8 + gain + float(rng.normal(0, 0.002))],
        )
        for seed, (batch, steps) in enumerate(factors)
    ]


def compared(folder: Path, names: tuple[str, str], factors: list[tuple[int, int | None]], **options: object) -> Answer:
    whole: list[tuple[int, int | None]] = [(256, 1)] * len(factors)
    db = database(folder, [*runs_of("ce", whole, names, 0.0), *runs_of("focal", factors, names, 0.05)])
    return db.compare("loss = 'focal'", "loss = 'ce'", **options)  # type: ignore[arg-type]


def test_half_of_the_batch_with_two_steps_of_accumulation_has_its_counterparts(tmp_path: Path) -> None:
    for i, names in enumerate(SPELLINGS):
        answer = compared(tmp_path / str(i), names, [(256, 1), (128, 2), (64, 4), (256, 1)])
        assert answer.basis.runs_used == 8, names
        assert not any("confounded" in note for note in answer.notes)


def test_a_run_without_accumulation_has_one_step(tmp_path: Path) -> None:
    assert compared(tmp_path, ("batch_size", "accum"), [(256, None), (128, 2), (256, 1)]).basis.runs_used == 6


def test_unequal_products_stay_apart(tmp_path: Path) -> None:
    answer = compared(tmp_path, ("batch_size", "accum"), [(256, 1), (128, 2), (128, 1), (256, 2)])
    assert answer.basis.runs_used == 6
    assert any("batch_size x accum" in left.reason for left in answer.basis.left_out)


def test_the_batch_size_of_an_evaluation_is_no_factor(tmp_path: Path) -> None:
    answer = compared(tmp_path, ("eval_batch_size", "accum"), [(256, 1), (128, 2), (256, 1)])
    assert any("eval_batch_size" in left.reason for left in answer.basis.left_out)
    assert not any(" x " in left.reason for left in answer.basis.left_out)


def test_a_product_that_is_not_matched_is_named_as_confounded(tmp_path: Path) -> None:
    """The sides never have the same product: they are matched on the learning rate, and the factors are what else differs."""
    names = ("batch_size", "accum")
    small = runs_of("ce", [(128, 2), (256, 1), (128, 2), (256, 1)], names, 0.0)
    large = runs_of("focal", [(512, 2), (1024, 1), (512, 2), (1024, 1)], names, 0.05)
    for i, row in enumerate([*small, *large]):
        row["hyperparameters"] = {**dict(row["hyperparameters"]), "lr": (0.1, 0.2)[i // 2 % 2]}  # type: ignore[call-overload]
    answer = database(tmp_path, [*small, *large]).compare("loss = 'focal'", "loss = 'ce'")
    assert any("Matched on lr" in note for note in answer.notes), answer.notes
    assert any("confounded" in note and "batch_size" in note for note in answer.notes), answer.notes


@given(st.lists(st.tuples(st.sampled_from([32, 64, 128, 256]), st.sampled_from([1, 2, 4, 8])), min_size=2, max_size=6))
def test_exactly_the_runs_of_the_same_product_are_used(factors: list[tuple[int, int]]) -> None:
    runs = pl.DataFrame({"batch_size": [b for b, _ in factors], "accum": [a for _, a in factors]})
    found, names, replaced = with_batch_products(runs, ["batch_size", "accum"])
    products = [b * a for b, a in factors]
    if len(set(products)) < len(set(factors)):
        assert found["batch_size x accum"].to_list() == products
        assert (names, replaced) == (["batch_size x accum"], ("batch_size", "accum"))
    else:
        assert (names, replaced) == (["batch_size", "accum"], ())
