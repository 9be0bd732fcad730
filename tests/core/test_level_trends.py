"""Comparisons test whether the difference changes with a numeric hyperparameter that is matched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.planted import Row, database, run

from sweeplens.answers import Answer


def scaled(
    sizes: Sequence[float], effect: Callable[[float], float], *, seeds: int = 2, noise: float = 0.01, start: int = 0
) -> list[Row]:
    """Two optimizers at several sizes of a model; the effect of muon depends on the size."""
    rng = np.random.default_rng(start)
    return [
        run(
            f"{opt}-{size}-{s}", {"opt": opt, "width": size, "depth": 2 * size, "seed": s + 10 * (opt == "muon")},
            val_loss=[float(4 - 0.1 * i + effect(size) * (opt == "muon") + rng.normal(0, noise))],
        )
        for opt in ("adamw", "muon") for i, size in enumerate(sizes) for s in range(seeds)
    ]  # fmt: skip


def trends(answer: Answer) -> list[str]:
    return [note for note in answer.notes if note.startswith("Trend")]


def compared(folder: Path, rows: Sequence[Row]) -> Answer:
    return database(folder, rows).compare("opt = 'muon'", "opt = 'adamw'", metrics=["val/loss"])


def values(rows: Sequence[Row], opt: str, size: float) -> list[float]:
    return [
        r["metrics"]["val/loss"][0]
        for r in rows
        if r["hyperparameters"]["opt"] == opt and r["hyperparameters"]["width"] == size
    ]  # type: ignore[index]


def test_an_effect_that_shrinks_with_size_is_one_trend_though_the_pooled_difference_is_small(tmp_path: Path) -> None:
    sizes = [6, 8, 10, 12, 20]
    rows = scaled(sizes, lambda size: 0.006 * (size - 11.2))
    answer = compared(tmp_path, rows)
    (note,) = trends(answer)  # depth rises with width: it is tested once
    gaps = [np.mean(values(rows, "muon", s)) - np.mean(values(rows, "adamw", s)) for s in sizes]
    assert f"grows with width: {gaps[0]:+.3g} at 6, {gaps[1]:+.3g} at 8" in note
    assert f"{gaps[-1]:+.3g} at 20" in note
    own = [np.mean([np.var(values(rows, opt, s), ddof=1) for s in sizes]) for opt in ("muon", "adamw")]
    df = sum(own) ** 2 / sum(v**2 / len(sizes) for v in own)
    spread = float(((np.array(sizes) - np.mean(sizes)) ** 2).sum())
    error = np.sqrt(np.mean(own) / spread)  # two runs a side: each stratum has the weight 1
    p = 2 * stats.t.sf(stats.linregress(sizes, gaps).slope / error, df)
    assert f"(p {p:.2g}," in note


@pytest.mark.parametrize("seeds", [1, 3])
def test_levels_over_a_factor_of_eight_count_on_a_log_scale_and_repetitions_are_not_needed(
    tmp_path: Path, seeds: int
) -> None:
    rows = scaled([64, 256, 1024, 4096, 16384], lambda size: -0.03 * np.log2(size / 1024), seeds=seeds)
    (note,) = trends(compared(tmp_path, rows))
    assert "falls with width" in note


def test_without_a_trend_nothing_is_said(tmp_path: Path) -> None:
    """Of 500 such sweeps 5.2 % had one (see docs/statistics.md)."""
    said = [trends(compared(tmp_path / str(i), scaled([1, 2, 3, 4], lambda _: 0.02, start=i))) for i in range(6)]
    assert sum(map(len, said)) <= 2


def test_two_levels_are_no_trend(tmp_path: Path) -> None:
    assert trends(compared(tmp_path, scaled([1, 2], lambda size: size))) == []
