"""The step of a finding agrees with its evidence and with the curve: a rise begins no earlier than the best that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import NOW, points_of, runs_of, series_of

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.config import Thresholds
from sweeplens.demo_data import write_sweep

BEST = re.compile(r"best (?:level )?\S+ at (?:step )?(\d+)")


def findings(curves: Mapping[str, Sequence[float]]) -> dict[str, dict[str, object]]:
    """The findings of one run, by kind."""
    points = points_of({"a": curves})
    table = diagnose(runs_of(points), series_of(points), points.lazy(), DiagnosisOptions(Thresholds(), NOW)).table
    return {row["finding"]: row for row in table.to_dicts()}


def noise(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def fall(n: int) -> list[float]:
    return list(0.2 + 2 * np.exp(-np.arange(n) / (n / 5)))


def test_no_run_of_the_demo_overfits_before_its_best(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    table = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path / "sweep").diagnose().table
    rows = [row for row in table.to_dicts() if row["finding"] == "overfit"]
    assert len(rows) >= 6
    for row in rows:
        lines = (tmp_path / "sweep" / row["run_id"] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        logged = [json.loads(line) for line in lines]
        losses = {r["step"]: r["val/loss"] for r in logged if "val/loss" in r}
        assert row["step"] >= min(losses, key=losses.__getitem__), row
        assert abs(row["step"] - 600) <= 100, row  # planted at 600 of 1000, where the loss still fell slowly


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(20, 200),
    turn=st.floats(0.25, 0.7),
    rise=st.floats(0.1, 1.0),
    share=st.floats(0, 0.02),
    seed=st.integers(0, 10_000),
)
def test_overfitting_begins_no_earlier_than_the_best_that_its_evidence_names(
    n: int, turn: float, rise: float, share: float, seed: int
) -> None:
    val = np.interp(np.arange(n), [0, turn * n, n - 1], [2.0, 0.5, 0.5 * (1 + rise)]) + share * noise(n, seed)
    found = findings({"train/loss": fall(n), "val/loss": list(val)}).get("overfit")
    if found is None:
        return
    named = BEST.search(str(found["evidence"]))
    assert named is not None
    step = int(str(found["step"]))
    assert step >= int(named[1])
    assert step >= int(val.argmin()) or f"the better {val.min():.5g} at step {val.argmin()}" in str(found["evidence"])


@pytest.mark.parametrize("seed", range(4))
def test_a_slow_fall_before_the_rise_moves_its_beginning_no_earlier(seed: int) -> None:
    steps = np.arange(100)
    val = 0.3 + np.exp(-steps / 12) + 0.004 * np.maximum(steps - 60, 0) + 0.001 * noise(100, seed)
    found = findings({"train/loss": fall(100), "val/loss": list(val)})["overfit"]
    assert abs(int(str(found["step"])) - int((val - 0.001 * noise(100, seed)).argmin())) <= 4


@pytest.mark.parametrize("seed", range(4))
def test_a_divergence_begins_after_its_best(seed: int) -> None:
    loss = np.concatenate([np.linspace(2, 0.3, 60), np.linspace(0.4, 9, 40)]) + 0.01 * noise(100, seed)
    found = findings({"train/loss": list(loss)})["divergence"]
    assert int(str(found["step"])) > int(loss.argmin())
    assert int(str(found["step"])) > int(BEST.search(str(found["evidence"]))[1])  # pyright: ignore[reportOptionalSubscript]


def test_a_plateau_does_not_say_that_nothing_was_better() -> None:
    acc = np.minimum(np.linspace(0.1, 2.1, 200), 0.9) + 0.004 * noise(200, 0)
    found = findings({"val/acc": list(acc)})["plateau"]
    step = int(str(found["step"]))
    assert f"{acc[step]:.5g} at {step}" in str(found["evidence"])
    assert acc[step:].max() > acc[step]  # by noise
    assert "nothing clearly better" in str(found["evidence"])


@pytest.mark.parametrize("seed", range(4))
def test_a_level_begins_at_the_step_of_the_first_value_that_its_evidence_names(seed: int) -> None:
    speed = [*([950.0] * 80), *([450.0] * 70)] + 8 * noise(150, seed)
    found = findings({"throughput": list(speed)})["throughput"]
    assert found["step"] == 80
    assert str(found["evidence"]).endswith(f"{speed[79]:.5g} at 79, {speed[80]:.5g} at 80")
