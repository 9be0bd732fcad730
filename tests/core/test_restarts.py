"""Counters, positions and schedules that start again in the middle of a run, against those that all runs restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest
from support.frames import NOW, Curves, points_of, runs_of, series_of

from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.config import Thresholds

STEPS = list(range(0, 12000, 100))


def found(runs: Mapping[str, Curves], hparams: Mapping[str, Mapping[str, object]] | None = None) -> pl.DataFrame:
    points = points_of(runs)
    known = DiagnosisOptions(Thresholds(), NOW, replicates=("seed",))
    table = diagnose(runs_of(points, hparams), series_of(points), points.lazy(), known).table
    return table.filter(finding="restart").sort("run_id", "metric")


def loss(seed: int, *, drop_at: int | None = None, drop: float = 0.0) -> list[float]:
    rng = np.random.default_rng(seed)
    values = 3.2 + 3 * np.exp(-np.arange(len(STEPS)) / 15) + rng.normal(0, 0.01, len(STEPS))
    return list(values - drop * (np.arange(len(STEPS)) >= (drop_at or len(STEPS))))


def position(restart_at: int | None = None, *, wrap: int = 0, jitter: float = 0.0, seed: int = 0) -> list[float]:
    """The share of the data that was read; uneven, as shards are of different sizes."""
    speeds = 0.008 * (1 + jitter * np.random.default_rng(seed).uniform(-1, 1, len(STEPS)))
    values: list[float] = []
    now = 0.0
    for i, speed in enumerate(speeds):
        now = 0.0 if i == restart_at or (wrap and i and i % wrap == 0) else now + float(speed)
        values.append(now)
    return values


@pytest.mark.parametrize(
    "metric", ["data/shard_pos", "samples_seen", "train/epoch", "tokens", "dataloader/cursor", "reader_at"]
)
def test_a_position_in_the_data_that_starts_again_in_a_few_runs_is_found_with_its_values(metric: str) -> None:
    runs = {
        f"r{i}": {
            "train/loss": (STEPS, loss(i, drop_at=70 if i < 2 else None, drop=0.06)),
            metric: (STEPS, position(70 if i < 2 else None, jitter=0.3, seed=i)),
        }
        for i in range(12)
    }
    rows = found(runs)
    assert rows["run_id"].to_list() == ["r0", "r1"]
    assert rows["step"].to_list() == [7000, 7000]
    assert rows["severity"].unique().to_list() == ["medium"]
    before = position(None, jitter=0.3, seed=0)[69]
    assert f"falls from {before:.5g} at step 6900 to 0 at 7000" in rows["evidence"][0]
    own = loss(0, drop_at=70, drop=0.06)
    means = [float(np.mean(own[i : i + 10])) for i in (50, 60, 70)]
    assert f"train/loss {means[0]:.5g}, {means[1]:.5g} before and {means[2]:.5g} after" in rows["evidence"][0]


@pytest.mark.parametrize("restart_at", [3, 20, 60, 100, 117])
def test_a_restart_is_found_wherever_it_is_though_the_counter_rises_above_its_old_level_again(restart_at: int) -> None:
    runs = {
        f"r{i}": {"train/loss": (STEPS, loss(i)), "samples_seen": (STEPS, position(restart_at if i == 0 else None))}
        for i in range(6)
    }
    assert found(runs)["step"].to_list() == [100 * restart_at]


def test_one_run_alone_is_enough_where_the_name_says_that_it_counts() -> None:
    runs: dict[str, Curves] = {"r": {"train/loss": (STEPS, loss(0)), "data/tokens": (STEPS, position(50))}}
    assert found(runs)["step"].to_list() == [5000]


def test_counters_that_all_runs_restart_are_no_finding() -> None:
    wraps: dict[str, Curves] = {
        f"r{i}": {"train/loss": (STEPS, loss(i)), "data/shard_pos": (STEPS, position(wrap=50, jitter=0.2, seed=i))}
        for i in range(8)
    }
    cycles: dict[str, Curves] = {
        f"r{i}": {"train/loss": (STEPS, loss(i)), "batch_idx": (STEPS, [k % 20 for k in range(len(STEPS))])}
        for i in range(8)
    }
    alone: dict[str, Curves] = {"r": {"train/loss": (STEPS, loss(0)), "batches": (STEPS, [k % 20 for k in range(120)])}}
    for runs in (wraps, cycles, alone):
        assert not found(runs).height


def test_a_restart_between_those_of_all_runs_is_found() -> None:
    rng = np.random.default_rng(1)
    runs: dict[str, Curves] = {}
    for i in range(8):
        values = position(wrap=60, jitter=0.2, seed=i)
        if i == 3:
            at = 85
            values[at:] = list(np.cumsum(rng.uniform(0.005, 0.01, len(STEPS) - at)))
        runs[f"r{i}"] = {"train/loss": (STEPS, loss(i)), "data/shard_pos": (STEPS, values)}
    rows = found(runs)
    assert rows.select("run_id", "step").rows() == [("r3", 8500)]


def lr(peak: float, restart_at: int | None = None) -> list[float]:
    def shape(k: int, n: int) -> float:
        return min((k + 1) / 5, 1.0) * (0.1 + 0.9 * (1 + np.cos(np.pi * k / n)) / 2)

    n = len(STEPS)
    return [peak * shape(k if restart_at is None or k < restart_at else k - restart_at, n) for k in range(n)]


def test_a_learning_rate_that_starts_again_is_found_unless_all_runs_do_or_the_settings_ask_for_it() -> None:
    def runs(restarted: Sequence[int]) -> dict[str, Curves]:
        return {
            f"r{i}": {
                "train/loss": (STEPS, loss(i)),
                "train/lr": (STEPS, lr(10 ** -(2 + i % 3), 60 if i in restarted else None)),
            }
            for i in range(9)
        }

    rows = found(runs([4]))
    assert rows["run_id"].to_list() == ["r4"]
    assert "rises again" in rows["evidence"][0]
    assert 6000 <= rows["step"][0] <= 6500
    assert not found(runs(range(9))).height
    asked = {f"r{i}": {"scheduler": "cosine_warm_restarts"} for i in range(9)}
    assert not found(runs([4]), asked).height


def test_noise_ratios_and_speeds_are_no_counters() -> None:
    rng = np.random.default_rng(2)
    runs: dict[str, Curves] = {
        f"r{i}": {
            "train/loss": (STEPS, loss(i)),
            "tokens_per_sec": (STEPS, list(400 + rng.normal(0, 5, len(STEPS)))),
            "sample_ratio": (STEPS, list(rng.uniform(0, 1, len(STEPS)))),
            "episode_length": (STEPS, list(rng.uniform(0, 100, len(STEPS)))),
        }
        for i in range(6)
    }
    assert not found(runs).height
