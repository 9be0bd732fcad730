"""Settings against logs: each disagreement is one finding with its numbers, and agreement is none."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from support.frames import NOW, Curves, points_of, runs_of, series_of

from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.config import Thresholds


def _loss(seed: int, n: int = 60) -> list[float]:
    return list((0.3 + 2 * np.exp(-np.arange(n) / 12)) * (1 + 0.02 * np.random.default_rng(seed).normal(size=n)))


def _found(
    runs: Mapping[str, Curves], hparams: Mapping[str, Mapping[str, object]], finding: str
) -> list[dict[str, object]]:
    points = points_of(runs)
    options = DiagnosisOptions(Thresholds(), NOW, replicates=("seed",))
    table = diagnose(runs_of(points, hparams), series_of(points), points.lazy(), options).table
    return table.filter(pl.col("finding") == finding).to_dicts()


def _lr(peak: float, warm: int, n: int = 60) -> list[float]:
    return [peak * min(1.0, (i + 1) / max(warm, 1)) for i in range(n)]


def test_a_warm_up_that_the_log_does_not_show_is_found_in_each_run() -> None:
    runs: dict[str, Curves] = {f"w{w}": {"loss": _loss(w), "lr": _lr(1e-3, 10)} for w in (9, 20, 80)}
    rows = _found(runs, {f"w{w}": {"warmup_steps": w, "lr": 1e-3} for w in (9, 20, 80)}, "config_warm_up")
    assert [r["run_id"] for r in rows] == ["w20", "w80"]
    assert "warmup_steps=80, but lr peaks at step 9" in str(rows[1]["evidence"])
    assert "the run has 59 steps" in str(rows[1]["evidence"])


def test_a_warm_up_as_a_ratio_is_one_of_the_planned_steps_also_in_a_run_that_stopped_early() -> None:
    runs: dict[str, Curves] = {f"n{n}": {"loss": _loss(n, n), "lr": _lr(1e-3, 12, n)} for n in (60, 200)}
    hparams: dict[str, dict[str, object]] = {
        name: {"warmup_ratio": 0.06, "max_steps": 200, "lr": 1e-3} for name in runs
    }
    assert not _found(runs, hparams, "config_warm_up")
    (row,) = _found(runs, hparams | {"n60": {"warmup_ratio": 0.2, "max_steps": 200}}, "config_warm_up")
    assert "warmup_ratio=0.2 of 200 steps is 40, but lr peaks at step 11" in str(row["evidence"])


def test_a_learning_rate_that_was_not_the_configured_one_is_found() -> None:
    runs: dict[str, Curves] = {
        "a": {"loss": _loss(1), "lr": _lr(1e-3, 10)},
        "b": {"loss": _loss(2), "lr": _lr(1e-3, 10)},
    }
    (row,) = _found(runs, {"a": {"optim.lr": 1e-3}, "b": {"optim.lr": 3e-3}}, "config_lr")
    assert (row["run_id"], row["severity"]) == ("b", "medium")
    assert "optim.lr=0.003, but lr peaks at 0.001" in str(row["evidence"])


def test_a_peak_that_lies_between_two_logs_is_no_difference() -> None:
    """A linear decay over 1,200 steps that is logged every 100 steps begins at 0.917 of the configured value."""
    points = points_of({"r": {"loss": _loss(1, 12), "lr": [5e-6 * (1 - 100 * (i + 1) / 1200) for i in range(12)]}})
    points = points.with_columns(step=100 * (pl.col("step") + 1))
    options = DiagnosisOptions(Thresholds(), NOW, replicates=("seed",))
    for planned, found in ((5e-6, False), (6e-6, True), (4e-6, True)):
        table = diagnose(runs_of(points, {"r": {"lr": planned}}), series_of(points), points.lazy(), options).table
        assert ("config_lr" in table["finding"].to_list()) == found


def test_a_learning_rate_scaled_alike_in_all_runs_is_of_low_severity() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"loss": _loss(i), "lr": _lr(8e-3 * i, 10)} for i in (1, 2, 3)}
    rows = _found(runs, {f"r{i}": {"lr": 1e-3 * i} for i in (1, 2, 3)}, "config_lr")
    assert {r["severity"] for r in rows} == {"low"}


@pytest.mark.parametrize(("kind", "odd"), [("cosine", True), ("constant", False)])
def test_a_schedule_that_never_changed_the_learning_rate_is_found(kind: str, odd: bool) -> None:
    runs: dict[str, Curves] = {"a": {"loss": _loss(1), "lr": [1e-3] * 60}}
    assert bool(_found(runs, {"a": {"lr_scheduler": kind, "lr": 1e-3}}, "config_schedule")) == odd


def test_a_run_that_ends_before_its_planned_steps_is_found() -> None:
    runs: dict[str, Curves] = {"full": {"loss": _loss(1, 100)}, "half": {"loss": _loss(2, 50)}}
    (row,) = _found(runs, {"full": {"max_steps": 100}, "half": {"max_steps": 100}}, "config_length")
    assert (row["run_id"], row["severity"]) == ("half", "medium")
    assert "max_steps=100, but the log ends at 49 steps" in str(row["evidence"])


def test_samples_that_do_not_fit_batches_times_steps_are_found() -> None:
    def samples(batch: int) -> list[float]:
        return [float(batch * i) for i in range(60)]

    runs: dict[str, Curves] = {
        "a": {"loss": _loss(1), "samples": samples(32)},
        "b": {"loss": _loss(2), "samples": samples(48)},
    }
    (row,) = _found(runs, {"a": {"batch_size": 32}, "b": {"batch_size": 32}}, "config_samples")
    assert row["run_id"] == "b"
    assert "1.5 times" in str(row["evidence"])


def test_the_size_of_a_held_out_set_is_no_number_of_training_samples() -> None:
    sizes: Curves = {
        "test/num_examples": [3080.0],
        "eval/samples": [3080.0 * (i + 1) for i in range(60)],
        "num_samples": [512.0] * 60,
    }
    assert not _found({"a": sizes}, {"a": {"batch_size": 32}}, "config_samples")


def test_a_setting_that_was_never_applied_is_found_and_one_that_was_is_not() -> None:
    runs: dict[str, Curves] = {f"d{d}": {"loss": _loss(7)} for d in (0.0, 0.1, 0.5)} | {"other": {"loss": _loss(8)}}
    hparams: dict[str, dict[str, object]] = {f"d{d}": {"dropout": d, "width": 64} for d in (0.0, 0.1, 0.5)}
    rows = _found(runs, hparams | {"other": {"dropout": 0.0, "width": 128}}, "not_applied")
    assert [r["run_id"] for r in rows] == ["d0.0", "d0.1", "d0.5"]
    assert len({r["evidence"] for r in rows}) == 1
    assert "dropout is 0.0, 0.1, 0.5" in str(rows[0]["evidence"])


def test_many_groups_of_equal_curves_with_many_hyperparameters_take_linear_time() -> None:
    groups, keys = 40, 800
    runs: dict[str, Curves] = {f"r{n}": {"loss": _loss(n // 2)} for n in range(2 * groups)}
    hparams = {
        f"r{n}": {"lr": n, **{f"part{k // 50}.h{k}": (7 * k + n) % 11 for k in range(keys)}} for n in range(2 * groups)
    }
    began = time.process_time()
    rows = _found(runs, hparams, "not_applied")
    assert time.process_time() - began < 3  # 6 s and more with a look at each column of each group
    assert len(rows) == 2 * groups


def test_seeds_that_gave_the_same_curve_are_found() -> None:
    runs: dict[str, Curves] = {f"s{s}": {"loss": _loss(7)} for s in range(3)} | {"other": {"loss": _loss(8)}}
    hparams: dict[str, dict[str, object]] = {f"s{s}": {"seed": s, "lr": 1} for s in range(3)}
    rows = _found(runs, hparams | {"other": {"seed": 0, "lr": 2}}, "seed_not_used")
    assert [r["run_id"] for r in rows] == ["s0", "s1", "s2"]


@pytest.mark.parametrize(("factor", "shift"), [(2.0, 0.0), (1.0, 0.25), (-0.5, 3.0)])
def test_a_curve_that_is_a_multiple_or_shift_of_another_runs_is_found(factor: float, shift: float) -> None:
    made = [factor * v + shift for v in _loss(3)]
    runs: dict[str, Curves] = {"a": {"loss": _loss(3)}, "b": {"loss": made}, "c": {"loss": _loss(4)}}
    rows = _found(runs, {r: {"lr": i} for i, r in enumerate(runs)}, "multiple")
    assert [r["run_id"] for r in rows] == (["a", "b"] if factor > 0 else [])


def test_straight_lines_are_no_multiples_of_each_other() -> None:
    runs: dict[str, Curves] = {r: {"loss": list(np.linspace(2, end, 40))} for r, end in (("a", 1.0), ("b", 0.5))}
    assert not _found(runs, {"a": {"lr": 1}, "b": {"lr": 2}}, "multiple")


def test_an_equal_final_training_loss_with_different_validation_is_a_low_finding() -> None:
    end = _loss(3)[-1]
    runs: dict[str, Curves] = {
        f"r{i}": {"train/loss": [*_loss(i)[:-1], end], "val/loss": _loss(10 + i)} for i in range(2)
    }
    rows = _found(runs, {"r0": {"lr": 1}, "r1": {"lr": 2}}, "same_end")
    assert [(r["run_id"], r["severity"]) for r in rows] == [("r0", "low"), ("r1", "low")]


def _accuracy(seed: int) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.003, 30)
    return [float(v) for v in 0.9 - 0.4 * np.exp(-np.arange(30) / 8) + noise]


@pytest.mark.parametrize("name", ["test/accuracy", "test_clean.accuracy"])
def test_test_values_that_are_those_of_the_validation_data_are_found(name: str) -> None:
    runs: dict[str, Curves] = {}
    for i in range(9):
        val = _accuracy(i)
        test = max(val) if i < 3 else 0.88 + float(np.random.default_rng(i + 50).normal(0, 0.01))
        curves: Curves = {"eval/accuracy": val, "best/eval_accuracy": [max(val)], name: [test]}
        runs[f"r{i}"] = curves
    rows = _found(runs, {name: {"lr": i} for i, name in enumerate(runs)}, "same_split")
    assert [(r["run_id"], r["metric"], r["severity"]) for r in rows] == [(f"r{i}", name, "medium") for i in range(3)]
    assert "as in 3 of 9 runs" in str(rows[0]["evidence"])


@pytest.mark.parametrize("value", [1.0, 0.5])
def test_round_test_values_may_equal_those_of_the_validation_data_by_luck(value: float) -> None:
    runs: dict[str, Curves] = {
        f"r{i}": {
            "val/acc": [0.1, value if i < 2 else 0.7123 + i / 100],
            "test/acc": [value if i < 2 else 0.7 + i / 99],
        }
        for i in range(6)
    }
    assert not _found(runs, {name: {"lr": i} for i, name in enumerate(runs)}, "same_split")


def _with_setting(rare: str, meant: str, n: int = 8) -> list[dict[str, object]]:
    runs: dict[str, Curves] = {f"r{i}": {"loss": _loss(i)} for i in range(n)}
    return _found(runs, {f"r{i}": {"lr": 0.1, (rare if i < 2 else meant): 0.5} for i in range(n)}, "misspelt")


@pytest.mark.parametrize(
    ("rare", "meant"),
    [
        ("lenght_penalty", "length_penalty"),
        ("optim.weigth_decay", "optim.weight_decay"),
        ("momentun", "momentum"),
        ("droput", "dropout"),
        ("gradd_clip", "grad_clip"),
    ],
)
def test_a_misspelt_setting_of_few_runs_is_found(rare: str, meant: str) -> None:
    rows = _with_setting(rare, meant)
    assert [(r["run_id"], r["severity"]) for r in rows] == [("r0", "medium"), ("r1", "medium")]
    assert f"perhaps misspelt for {meant} (set in 6 runs)" in str(rows[0]["evidence"])


@pytest.mark.parametrize(
    ("rare", "meant"),
    [
        ("layer1_width", "layer2_width"),
        ("bs", "ds"),
        ("encoder.layers", "decoder.layers"),
        ("n_heads", "n_head"),
        ("lr_a", "lr_b"),
        ("beta1", "beta2"),
    ],
)
def test_settings_that_are_alike_but_two_are_no_misspelling(rare: str, meant: str) -> None:
    assert not _with_setting(rare, meant)


def test_names_of_kilobytes_are_not_compared_letter_by_letter() -> None:
    assert not _with_setting("lenght_" + "penalty" * 1000, "length_" + "penalty" * 1000)  # 100 kB took gigabytes


def test_two_alike_settings_that_the_same_runs_vary_are_no_misspelling() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"loss": _loss(i)} for i in range(8)}
    hparams = {f"r{i}": {"image_width": i} | ({"image_widtj": 1.0} if i < 2 else {}) for i in range(8)}
    assert not _found(runs, hparams, "misspelt")


def _rescored(shift: float, commits: tuple[str, str]) -> list[dict[str, object]]:
    runs: dict[str, Curves] = {}
    hparams: dict[str, dict[str, object]] = {}
    for seed in range(3):
        wer = [20.0 * v for v in _loss(seed + 50)]
        for when, commit, off in (("old", commits[0], 0.0), ("new", commits[1], shift)):
            noise = np.random.default_rng(seed).normal(0, 0.2, len(wer)) if off else np.zeros(len(wer))
            runs[f"{when}{seed}"] = {
                "train/loss": _loss(seed),
                "val/loss": _loss(seed + 9),
                "val/wer": [float(w + off + e) for w, e in zip(wer, noise, strict=True)],
            }
            hparams[f"{when}{seed}"] = {"seed": seed, "scorer": commit}
    return _found(runs, hparams, "rescored")


def test_a_score_that_was_computed_otherwise_in_runs_of_the_same_training_is_found() -> None:
    rows = _rescored(-1.2, ("raw", "normalised"))
    assert [(r["metric"], r["severity"]) for r in rows] == [("val/wer", "medium")] * 3
    words = str(rows[0]["evidence"])
    assert words.startswith("train/loss, val/loss are equal to the last digit in ")
    assert "on average: probably computed differently (scorer " in words


def test_the_same_runs_with_the_same_score_are_no_finding() -> None:
    assert not _rescored(0.0, ("raw", "normalised"))
