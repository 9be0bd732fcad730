"""Settings are compared with logs in every unit that they may be in: epochs, updates, samples, tokens, shares of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from support.frames import NOW, Curves, points_of, runs_of, series_of

from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.analyses.triage.warm_up import warm_up_unit
from sweeplens.config import Thresholds

Hparams = Mapping[str, object]
_EPOCH = 494  # steps


def _findings(
    runs: Mapping[str, Curves], hparams: Mapping[str, Hparams], finding: str, status: str = "finished"
) -> list[tuple[str, str]]:
    """Returns severity and evidence of the findings of this kind, by run."""
    points = points_of(runs)
    frame = runs_of(points, hparams, status=dict.fromkeys(runs, status))
    found = diagnose(frame, series_of(points), points.lazy(), DiagnosisOptions(Thresholds(), NOW)).table
    return [(r["severity"], r["evidence"]) for r in found.sort("run_id").to_dicts() if r["finding"] == finding]


def _rate(steps: Sequence[int], peak: int) -> tuple[Sequence[int], list[float]]:
    last = steps[-1]
    return steps, [0.2 * min(s / peak, (last + 1 - s) / (last + 1 - peak)) for s in steps]


def _by_epoch(peak: int, counters: Mapping[str, float] | None = None) -> Curves:
    """Returns a run that logs once an epoch, at the step of the last update; counters are units of one step."""
    steps = [_EPOCH * (i + 1) for i in range(60)]
    return {
        "train/loss": (steps, [2.0 - 0.02 * i for i in range(60)]),
        "lr": _rate(steps, peak),
        **{name: (steps, [size * s for s in steps]) for name, size in (counters or {}).items()},
    }


@pytest.mark.parametrize(
    ("setting", "counters"),
    [
        ({"optim.warmup": 5}, {"epoch": 1 / _EPOCH}),
        ({"warmup_epochs": 5}, {"epoch": 1 / _EPOCH}),
        ({"warmup": 5, "epochs": 60}, {}),
        ({"warmup": 5, "steps_per_epoch": _EPOCH}, {}),
        ({"sched.warmup_iters": 5, "sched.warmup_by_epoch": True}, {"epoch": 1 / _EPOCH}),
        ({"warmup_ratio": 5 / 60}, {}),
        ({"warmup": 0.0833, "max_steps": 60 * _EPOCH}, {}),
        ({"warmup_percent": 8.33}, {}),
        ({"pct_start": 0.0833, "epochs": 60}, {"epoch": 1 / _EPOCH}),
        ({"warmup_tokens": 5 * _EPOCH * 2048}, {"tokens_seen": 2048.0}),
        ({"warmup_samples": 5 * _EPOCH * 256, "batch_size": 256}, {}),
        ({"warmup": 5 * _EPOCH * 256, "batch_size": 64, "accum": 4}, {}),
        ({"warmup_tokens": 5 * _EPOCH * 256 * 128, "batch_size": 256, "seq_len": 128}, {}),
        ({"warmup_steps": 5 * _EPOCH // 2, "gradient_accumulation_steps": 2}, {}),
        ({"warmup_updates": 5 * _EPOCH * 3}, {"num_updates": 3.0}),
        ({"warmup": "linear", "warmup_iters": 5 * _EPOCH, "warmup_ratio": 0.001}, {}),
        ({"warmup_steps": 0, "warmup_ratio": 5 / 60}, {}),
    ],
)
def test_a_warm_up_that_agrees_with_the_log_in_its_own_unit_is_no_finding(
    setting: Hparams, counters: Mapping[str, float]
) -> None:
    assert not _findings({"r": _by_epoch(5 * _EPOCH, counters)}, {"r": setting}, "config_warm_up")


@pytest.mark.parametrize(
    ("setting", "counters", "words"),
    [
        ({"optim.warmup": 5}, {"epoch": 1 / _EPOCH}, "optim.warmup=5 is step 2470, but lr peaks at step 9880"),
        ({"warmup_epochs": 5}, {"epoch": 1 / _EPOCH}, "warmup_epochs=5 is step 2470, but lr peaks at step 9880"),
        ({"warmup_steps": 2470, "max_steps": 29640}, {}, "warmup_steps=2470, but lr peaks at step 9880"),
        ({"warmup_fraction": 0.05, "max_steps": 29640}, {}, "warmup_fraction=0.05 of 29640 steps is 1482, but"),
        (
            {"warmup_tokens": 1e6},
            {"tokens_seen": 2048.0},
            "warmup_tokens=1e+06 is step 488.28, but lr peaks at step 9880",
        ),
    ],
)
def test_a_warm_up_that_fits_in_no_unit_is_found_with_the_step_it_means(
    setting: Hparams, counters: Mapping[str, float], words: str
) -> None:
    ((severity, evidence),) = _findings({"r": _by_epoch(20 * _EPOCH, counters)}, {"r": setting}, "config_warm_up")
    assert severity == "medium"
    assert evidence.startswith(words)


def test_a_unit_that_cannot_be_computed_is_no_contradiction() -> None:
    """The logged step counts epochs of unknown length."""
    steps = list(range(1, 61))
    runs: dict[str, Curves] = {"r": {"train/loss": (steps, [2 - 0.02 * s for s in steps]), "lr": _rate(steps, 5)}}
    assert not _findings(runs, {"r": {"warmup_steps": 500, "epochs": 60}}, "config_warm_up")
    assert not _findings(runs, {"r": {"max_steps": 30_000, "epochs": 60}}, "config_length")


def test_a_warm_up_off_by_the_same_factor_in_all_runs_is_of_low_severity() -> None:
    runs = {f"w{w}": _by_epoch(7 * w * _EPOCH) for w in (1, 2, 3)}
    found = _findings(runs, {f"w{w}": {"warmup_steps": 100 * w} for w in (1, 2, 3)}, "config_warm_up")
    assert [severity for severity, _ in found] == ["low"] * 3


def test_a_rate_that_falls_from_the_start_in_all_runs_is_of_medium_severity() -> None:
    runs = {f"r{i}": _by_epoch(_EPOCH) for i in range(3)}
    found = _findings(runs, {r: {"warmup_steps": 10 * _EPOCH} for r in runs}, "config_warm_up")
    assert [severity for severity, _ in found] == ["medium"] * 3


@pytest.mark.parametrize(
    ("hparam", "unit"),
    [
        ("warmup", "any"),
        ("trainer.optim.warm_up", "any"),
        ("lr_warmup", "any"),
        ("num_warmup_steps", "steps"),
        ("scheduler.warmup.epochs", "epochs"),
        ("warmupEpochs", "epochs"),
        ("linear_warmup_frac", "run"),
        ("warmup_lr", ""),
        ("warmup_init_lr", ""),
        ("warmup_factor", ""),
        ("warmup_momentum", ""),
        ("kl_warmup_steps", ""),
        ("beta_warmup", ""),
    ],
)
def test_the_name_of_a_warm_up_tells_its_unit(hparam: str, unit: str) -> None:
    assert warm_up_unit(hparam) == unit


def _curves(last: int, counters: Mapping[str, float] | None = None) -> Curves:
    steps = list(range(last + 1))
    return {
        "train/loss": (steps, [2.0 / (1 + s / last) for s in steps]),
        **{name: (steps, [size * s for s in steps]) for name, size in (counters or {}).items()},
    }


@pytest.mark.parametrize(
    ("setting", "last", "counters"),
    [
        ({"max_steps": 100, "num_train_epochs": 3}, 100, {"epoch": 0.005}),  # max_steps wins over epochs
        ({"num_train_epochs": 3, "max_steps": 100_000}, 300, {"epoch": 0.01}),
        ({"total_timesteps": 800_000, "n_envs": 8, "rollout_length": 1000}, 100, {}),
        ({"total_timesteps": 800_000}, 100, {"time/total_timesteps": 8000.0}),
        ({"max_steps": 400, "accumulate_grad_batches": 4}, 1600, {}),
        ({"max_steps": 400, "accumulate_grad_batches": 4}, 100, {}),
    ],
)
def test_a_run_that_reached_one_of_its_lengths_in_some_unit_is_whole(
    setting: Hparams, last: int, counters: Mapping[str, float]
) -> None:
    assert not _findings({"r": _curves(last, counters)}, {"r": setting}, "config_length")


def test_a_run_that_reached_none_of_its_lengths_is_found_and_the_same_share_in_all_runs_is_low() -> None:
    setting = {"max_steps": 100, "num_train_epochs": 3}
    ((severity, evidence),) = _findings({"r": _curves(40, {"epoch": 0.03})}, {"r": setting}, "config_length")
    assert (severity, evidence) == ("medium", "num_train_epochs=3, but the log ends at 1.2 epochs")
    runs = {f"n{n}": _curves(n * 100 - 1) for n in (1, 2, 4)}
    found = _findings(runs, {f"n{n}": {"max_steps": n * 300} for n in (1, 2, 4)}, "config_length")
    assert [severity for severity, _ in found] == ["low"] * 3
    assert "the same share in all 3 runs" in found[0][1]


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ({"lr_scheduler": "multistep", "milestones": "[30, 60]"}, False),
        ({"lr_scheduler": "step", "step_size": 30}, False),
        ({"lr_scheduler": "step", "step_size": 3}, True),
        ({"lr_scheduler": "cosine", "T_max": 20}, True),
        ({"lr_scheduler": "step"}, True),
    ],
)
def test_a_rate_that_falls_in_steps_may_stay_constant_before_the_first(setting: Hparams, found: bool) -> None:
    run: Curves = {**_curves(200, {"epoch": 0.1}), "lr": [0.1] * 201}
    assert bool(_findings({"r": run}, {"r": setting}, "config_schedule")) == found


def test_a_constant_rate_may_rise_during_its_warm_up() -> None:
    runs: dict[str, Curves] = {
        "r": {"train/loss": [2 - i / 60 for i in range(60)], "lr": [min(i, 9) / 9 for i in range(60)]}
    }
    assert not _findings(runs, {"r": {"lr_scheduler": "constant", "warmup_steps": 9}}, "config_schedule")
    assert _findings(runs, {"r": {"lr_scheduler": "constant"}}, "config_schedule")


@pytest.mark.parametrize(
    ("last", "counters", "setting", "found"),
    [
        (60, {"samples": 1000.0, "epoch": 1.0}, {"batch_size": 64}, False),  # the logged step counts epochs
        (
            60,
            {"samples": 1000 / 16, "epoch": 1 / 16},
            {"batch_size": 64},
            False,
        ),  # the last batch of an epoch is smaller
        (60, {"samples": 128.0}, {"batch_size": 32, "accum": 2, "world_size": 2}, False),
        (60, {"samples": 48.0}, {"batch_size": 32}, True),
    ],
)
def test_samples_are_counted_in_the_unit_of_the_logged_step(
    last: int, counters: Mapping[str, float], setting: Hparams, found: bool
) -> None:
    assert bool(_findings({"r": _curves(last, counters)}, {"r": setting}, "config_samples")) == found
