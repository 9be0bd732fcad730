"""Trees with random cuts: as good as scikit-learn's, and the same with and without the compiled file."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import ExtraTreeRegressor

from sweeplens.native import trees
from sweeplens.native.trees_in_numpy import grow_in_numpy


def _noisy(n: int, columns: int, levels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (n, columns)).astype(np.float32)
    return x, (x[:, 0] / levels + rng.normal(scale=0.3, size=n)).round(9)


@pytest.mark.parametrize(("n", "columns", "levels"), [(1, 1, 2), (2, 3, 2), (40, 6, 2), (150, 2, 150), (300, 8, 5)])
@pytest.mark.parametrize("leaf", [1, 3])
def test_the_compiled_file_and_numpy_grow_the_same_tree(n: int, columns: int, levels: int, leaf: int) -> None:
    x, y = _noisy(n, columns, levels, seed=n)
    asked = np.random.default_rng(0).integers(0, levels, (200, columns)).astype(np.float32)
    compiled = trees.grow(x, y, leaf=leaf, seed=7)(asked)
    in_numpy = grow_in_numpy(np.ascontiguousarray(x.T), np.rint(y * 1e9), leaf, 7)(asked) / 1e9
    assert compiled.tolist() == in_numpy.tolist()


def test_a_tree_with_single_rows_in_its_leaves_knows_what_it_learnt() -> None:
    x = np.arange(100, dtype=np.float32)[:, None]
    y = np.sin(x[:, 0].astype(np.float64)).round(9)
    assert trees.grow(x, y, leaf=1, seed=1)(x).tolist() == pytest.approx(y.tolist())


def test_leaves_keep_the_rows_that_they_must() -> None:
    x, y = _noisy(200, 4, 200, seed=3)
    means = trees.grow(x, y, leaf=10, seed=1)(x)
    assert min(np.unique(means, return_counts=True)[1]) >= 10


def test_of_two_equal_columns_each_is_chosen_by_chance() -> None:
    x, y = _noisy(60, 1, 2, seed=5)
    twice = np.repeat(x, 2, axis=1)
    asked = np.array([[0, 1]], dtype=np.float32)
    found = {trees.grow(twice, y, leaf=1, seed=seed)(asked).item() for seed in range(20)}
    assert len(found) == 2


def test_forests_predict_as_well_as_those_of_scikit_learn() -> None:
    x, y = _noisy(800, 6, 50, seed=11)
    truth = x[:, 0] / 50
    learnt, asked = x[:400], x[400:]
    ours = np.mean([trees.grow(learnt, y[:400], leaf=3, seed=s)(asked) for s in range(40)], axis=0)
    forest = [ExtraTreeRegressor(min_samples_leaf=3, random_state=s).fit(learnt, y[:400]) for s in range(40)]
    theirs = np.mean([tree.predict(asked) for tree in forest], axis=0)
    errors = [float(((found - truth[400:]) ** 2).mean()) for found in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], rel=0.15)
