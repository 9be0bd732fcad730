"""`grow_in_numpy`: the tree that `trees.c` grows, level by level in numpy, for machines without the compiled file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["grow_in_numpy"]

Values: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = NDArray[np.float32]
Keys: TypeAlias = NDArray[np.uint64]
Positions: TypeAlias = NDArray[np.int64]
Predict: TypeAlias = Callable[[Columns], Values]


class _TreeLevel(NamedTuple):
    """Nodes that may still be cut: the key and node of each, and its rows in a row, from ``first`` on."""

    keys: Keys
    nodes: Positions
    rows: Positions
    first: Positions

    @property
    def sizes(self) -> Positions:
        """Returns the number of rows of each node."""
        return np.diff(np.append(self.first, len(self.rows)))


class _Tree(NamedTuple):
    """The nodes: a cut with the places of two more nodes, or a leaf (column -1) with the mean of its rows."""

    column: Positions
    cut: Columns
    low: Positions
    mean: Values


def grow_in_numpy(columns: Columns, whole: Values, leaf: int, seed: int) -> Predict:
    """Returns the prediction function. ``columns`` has the shape (p, n), ``whole`` (n,) with whole numbers."""
    n = columns.shape[1]
    room = max(2 * n - 1, 1)
    tree = _Tree(np.full(room, -1), np.zeros(room, np.float32), np.zeros(room, np.int64), np.zeros(room))
    level = _TreeLevel(_mixed(np.array([seed], np.uint64)), np.array([0]), np.arange(n), np.array([0]))
    made = 1
    while len(level.nodes):
        level = _divisible(level, whole, leaf, tree)
        level, made = _next_level(level, columns, whole, leaf, tree, made)
    return lambda asked: _ask(tree, asked)


def _mixed(keys: Keys) -> Keys:
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _divisible(level: _TreeLevel, whole: Values, leaf: int, tree: _Tree) -> _TreeLevel:
    """Notes the means of all nodes, and keeps those with different values and enough rows."""
    y = whole[level.rows]
    tree.mean[level.nodes] = np.add.reduceat(y, level.first) / level.sizes
    differ = np.maximum.reduceat(y, level.first) > np.minimum.reduceat(y, level.first)
    return _kept(level, differ & (level.sizes >= 2 * leaf))


def _kept(level: _TreeLevel, keep: NDArray[np.bool_]) -> _TreeLevel:
    sizes = level.sizes[keep]
    rows = level.rows[np.repeat(keep, level.sizes)]
    return _TreeLevel(level.keys[keep], level.nodes[keep], rows, np.cumsum(sizes) - sizes)


def _next_level(
    level: _TreeLevel, columns: Columns, whole: Values, leaf: int, tree: _Tree, made: int
) -> tuple[_TreeLevel, int]:
    """Cuts each node that can be cut; returns their halves, and the number of nodes so far."""
    if not len(level.nodes):
        return level, made
    column, cut, found = _best_cuts(level, columns, whole, leaf)
    level, column, cut = _kept(level, found), column[found], cut[found]
    count = len(level.nodes)
    low = made + 2 * np.arange(count)
    tree.column[level.nodes], tree.cut[level.nodes], tree.low[level.nodes] = column, cut, low
    owner = np.repeat(np.arange(count), level.sizes)
    above = columns[column[owner], level.rows] > cut[owner]
    half = 2 * owner + above
    sizes = np.bincount(half, minlength=2 * count)
    keys = np.stack([_mixed(level.keys ^ np.uint64(1)), _mixed(level.keys ^ np.uint64(2))], axis=1).ravel()
    nodes = np.stack([low, low + 1], axis=1).ravel()
    rows = level.rows[np.argsort(half, kind="stable")]
    return _TreeLevel(keys, nodes, rows, np.cumsum(sizes) - sizes), made + 2 * count


def _best_cuts(
    level: _TreeLevel, columns: Columns, whole: Values, leaf: int
) -> tuple[Positions, Columns, NDArray[np.bool_]]:
    """Returns the column and the cut of each node, and whether it has one; of equal cuts the first after a random column."""
    p = len(columns)
    y, owner = whole[level.rows], np.repeat(np.arange(len(level.nodes)), level.sizes)
    total = np.add.reduceat(y, level.first)
    start = (_mixed(level.keys) % np.uint64(p)).astype(np.int64)
    scores = np.full((p, len(level.nodes)), -np.inf)  # by the order of trial
    cuts = np.zeros((p, len(level.nodes)), np.float32)
    for column, x in enumerate(columns):
        cut, varies = _random_cuts(level, x[level.rows], column)
        goes = x[level.rows] <= cut[owner]
        below, n = (
            np.add.reduceat(np.where(goes, y, 0.0), level.first),
            np.add.reduceat(goes, level.first, dtype=np.int64),
        )
        rest, above = level.sizes - n, total - below
        fits = varies & (n >= leaf) & (rest >= leaf)
        with np.errstate(all="ignore"):
            score = below * below / n + above * above / rest
        trial = (column - start) % p, np.arange(len(level.nodes))
        scores[trial], cuts[trial] = np.where(fits, score, -np.inf), cut
    best = scores.argmax(axis=0)
    chosen = best, np.arange(len(level.nodes))
    return (best + start) % p, cuts[chosen], scores[chosen] > -np.inf


def _random_cuts(level: _TreeLevel, x: Columns, column: int) -> tuple[Columns, NDArray[np.bool_]]:
    least, greatest = np.minimum.reduceat(x, level.first), np.maximum.reduceat(x, level.first)
    drawn = (_mixed(level.keys + np.uint64(column + 1)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    away = drawn * (greatest.astype(np.float64) - least.astype(np.float64))
    cut = (least.astype(np.float64) + away).astype(np.float32)
    return np.where(cut < greatest, cut, least), greatest > least


def _ask(tree: _Tree, asked: Columns) -> Values:
    at = np.zeros(len(asked), np.int64)
    rows = np.arange(len(asked))
    while (going := tree.column[at] >= 0).any():
        here, these = at[going], rows[going]
        above = asked[these, tree.column[here]] > tree.cut[here]
        at[going] = tree.low[here] + above
    return tree.mean[at]
