"""A metric that some settings log on another scale is found by its ratio to the same quantity of another split."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from support.frames import NOW, Curves, points_of, runs_of, series_of

from sweeplens import ExperimentDB
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.analyses.triage.other_scale import scale_twins
from sweeplens.config import Thresholds

_N = 30
_TASKS = {"Ant": 3000.0, "Hopper": 800.0}


def _rising(best: float, seed: int, speed: float = 8.0) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.04, _N)
    return [float(best * (1.05 - math.exp(-(i + 1) / speed)) * (1 + e)) for i, e in enumerate(noise)]


def _falling(end: float, start: float, seed: int, speed: float = 6.0) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.01, _N)
    return [float((end + (start - end) * math.exp(-i / speed)) * (1 + e)) for i, e in enumerate(noise)]


def _found(runs: Mapping[str, Curves], hparams: Mapping[str, Mapping[str, object]]) -> list[dict[str, object]]:
    points = points_of(runs)
    options = DiagnosisOptions(Thresholds(), NOW, replicates=("seed",), tasks=("env_id",))
    table = diagnose(runs_of(points, hparams), series_of(points), points.lazy(), options).table
    return [r for r in table.to_dicts() if r["finding"] == "other_scale"]


def _sweep(
    metric: str, twin: str, curve: Callable[[int], list[float]], scales: Mapping[str, float], **only: object
) -> tuple[dict[str, Curves], dict[str, dict[str, object]]]:
    """Returns three seeds of each method; the first one logs ``metric`` times its scale and has the settings ``only``."""
    runs: dict[str, Curves] = {}
    hparams: dict[str, dict[str, object]] = {}
    for m, (method, scale) in enumerate(scales.items()):
        for seed in range(3):
            name = f"{method}{seed}"
            values = curve(10 * m + seed)
            runs[name] = {twin: values, metric: [scale * v * (1 + 2e-4 * math.sin(i)) for i, v in enumerate(values)]}
            hparams[name] = {"method": method, "seed": seed, "lr": 0.1, **(only if not m else {})}
    return runs, hparams


@pytest.mark.parametrize(
    ("metric", "twin", "scale", "words"),
    [
        ("eval/mean_reward", "rollout/ep_rew_mean", 0.04, "probably normalised"),
        ("eval/episode_return", "train/return", 0.1, "probably normalised"),
        ("test_acc", "val_acc", 100.0, "probably in percent against a fraction"),
        ("val/accuracy", "train/accuracy", 0.01, "probably in percent against a fraction"),
        ("val_loss", "train_loss", 512.0, "or a sum against a mean"),
        ("val/loss", "train/loss", 1 / math.log(2), "another base of the logarithm"),
        ("eval/perplexity", "train/ppl", 20.0, "or a sum against a mean"),
    ],
)
def test_a_metric_on_another_scale_in_the_runs_of_one_setting_is_found(
    metric: str, twin: str, scale: float, words: str
) -> None:
    scales = {"ppo": scale, "sac": 1.0, "tqc": 1.0}
    rows = _found(*_sweep(metric, twin, lambda seed: _rising(0.9, seed), scales, eval_env="normalised"))
    assert [(r["run_id"], r["metric"], r["severity"]) for r in rows] == [
        (f"ppo{seed}", metric, "medium") for seed in range(3)
    ]
    evidence = str(rows[0]["evidence"])
    assert f"{metric} is {scale:.3g} times {twin} with method=ppo" in evidence
    assert "times it with method=sac, tqc: " in evidence
    assert words in evidence
    assert "set only there: eval_env=normalised" in evidence


def test_the_twin_is_named_where_that_is_on_the_other_scale() -> None:
    runs, hparams = _sweep("val/acc", "train/acc", lambda seed: _rising(0.9, seed), {"a": 1.0, "b": 1.0})
    for name in ("a0", "a1", "a2"):
        runs[name] = {"val/acc": runs[name]["val/acc"], "train/acc": _rising(90.0, 3)}
    assert {r["metric"] for r in _found(runs, hparams)} == {"train/acc"}


def test_a_scale_is_compared_within_each_task() -> None:
    """Each method alone has one ratio in each task; that tasks differ is no matter of a setting."""
    runs: dict[str, Curves] = {}
    hparams: dict[str, dict[str, object]] = {}
    for task, best in _TASKS.items():
        for method in ("ppo", "sac"):
            for seed in range(3):
                name = f"{method}-{task}-{seed}"
                values = _rising(best, seed)
                ratio = 0.02 if task == "Hopper" else 1.0
                runs[name] = {"rollout/ep_rew_mean": values, "eval/mean_reward": [ratio * v for v in values]}
                hparams[name] = {"env_id": task, "algo": method, "seed": seed, "n_envs": 8 if task == "Hopper" else 1}
    assert not _found(runs, hparams)


def test_overfitting_of_some_settings_is_no_other_scale() -> None:
    runs: dict[str, Curves] = {}
    hparams: dict[str, dict[str, object]] = {}
    for dropout in (0.0, 0.5):
        for seed in range(3):
            train = _falling(0.001 if not dropout else 0.8, 2.3, seed)
            val = _falling(2.0 if not dropout else 0.9, 2.3, seed + 9)
            runs[f"d{dropout}s{seed}"] = {"train/loss": train, "val/loss": val}
            hparams[f"d{dropout}s{seed}"] = {"dropout": dropout, "seed": seed}
    assert not _found(runs, hparams)


def test_a_ratio_that_scatters_within_a_setting_is_no_other_scale() -> None:
    runs: dict[str, Curves] = {}
    for i in range(8):
        values = _rising(0.9, i)
        runs[f"r{i}"] = {"train/acc": values, "val/acc": [v * 10.0 ** (i % 4) for v in values]}
    assert not _found(runs, {name: {"method": "ab"[i % 2], "lr": i} for i, name in enumerate(runs)})


def test_twins_are_the_same_quantity_of_another_split() -> None:
    names = [
        "eval/mean_reward",
        "rollout/ep_rew_mean",
        "val_loss",
        "train_loss",
        "ce_loss",
        "test_acc",
        "val_acc",
        "fps",
    ]
    assert dict(scale_twins(names)) == {
        "eval/mean_reward": "rollout/ep_rew_mean",
        "val_loss": "train_loss",
        "test_acc": "val_acc",
    }


def _written(folder: Path) -> ExperimentDB:
    scales = {"ppo": 0.04, "sac": 1.0, "tqc": 1.0}
    runs, hparams = _sweep("eval/mean_reward", "rollout/ep_rew_mean", lambda seed: _rising(900.0, seed), scales)
    for name, curves in runs.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(hparams[name]))
        rows = [{"step": i, **{m: v[i] for m, v in curves.items()}} for i in range(_N)]
        (folder / name / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ExperimentDB(folder)


def test_answers_that_compare_across_two_scales_warn_and_others_do_not(tmp_path: Path) -> None:
    db = _written(tmp_path)
    told = "3 of the 9 runs used cannot be compared with the others: eval/mean_reward is 0.04 times rollout/ep_rew_mean"
    for answer in (db.rank("eval/mean_reward"), db.effects("eval/mean_reward"), db.compare(hparam="method")):
        assert any(w.startswith(told) for w in answer.basis.warnings)
    sides = db.compare("method = 'ppo'", "method = 'sac'", metrics="eval/mean_reward")
    assert any("3 of the 6 runs used cannot be compared" in w for w in sides.basis.warnings)
    others = (
        db.rank("rollout/ep_rew_mean"),
        db.rank("eval/mean_reward", where="method <> 'ppo'"),
        db.compare("method = 'tqc'", "method = 'sac'", metrics="eval/mean_reward"),
    )
    assert not [w for answer in others for w in answer.basis.warnings if "cannot be compared" in w]
    lines = dict(db.overview().table.rows())
    assert "eval/mean_reward is on another scale there" in lines["settings and logs"]
    assert "eval/mean_reward on another scale: ppo 3 of 3" in lines["unlike"]
