"""Every detector finds the planted fault at its place, and has no finding in healthy curves."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.frames import NOW, Curves, points_of, runs_of, series_of

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses.triage.detectors import DETECTORS
from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.answers import Answer
from sweeplens.config import Thresholds
from sweeplens.errors import SweeplensError, UnknownNameError

CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
NAN, INF = math.nan, math.inf
RNG = np.random.default_rng(7)


def _down(n: int = 200, start: float = 2.5, end: float = 0.3, noise: float = 0.02) -> list[float]:
    """A loss as it should be."""
    fall = end + (start - end) * np.exp(-np.arange(n) / (n / 6))
    return list(fall * (1 + noise * np.random.default_rng(n).normal(size=n)))


def _find(
    runs: Mapping[str, Curves],
    *,
    hparams: Mapping[str, Mapping[str, object]] | None = None,
    status: Mapping[str, str] | None = None,
    silent: float = 60.0,
    seconds: Mapping[str, Sequence[float]] | None = None,
    **options: object,
) -> Answer:
    points = points_of(runs, step_seconds=seconds)
    known = DiagnosisOptions(Thresholds(), NOW, replicates=("seed",), **options)  # pyright: ignore[reportArgumentType]
    return diagnose(runs_of(points, hparams, status=status, silent=silent), series_of(points), points.lazy(), known)


def _rows(answer: Answer, finding: str) -> list[dict[str, object]]:
    return answer.table.filter(pl.col("finding") == finding).to_dicts()


def _only(answer: Answer, finding: str) -> dict[str, object]:
    rows = _rows(answer, finding)
    assert len(rows) == 1, answer.table
    return rows[0]


def test_points_read_in_batches_give_the_findings_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {
        "fine": _down(),
        "spike": [*_down()[:150], 9.0, *_down()[151:]],
        "away": [*_down()[:150], *_down()[49::-1]],
    }
    runs = {
        f"{shape}{n}": {
            "train/loss": _down(),
            "val/loss": [v + n / 1000 for v in values],
            "speed": [9.0] * 90 + [4.0] * 90,
        }
        for shape, values in shapes.items()
        for n in range(6)
    }
    whole = _find(runs)
    assert {"spike", "divergence"} < set(whole.table["finding"])
    for points in (1, 700, 3000):  # a series, part of a metric, two metrics
        monkeypatch.setattr("sweeplens.analyses.triage.curves._BATCH_POINTS", points)
        parted = _find(runs)
        assert parted.table.equals(whole.table)
        assert parted.basis == whole.basis


# ------------------------------------------------------------------ NaN


def test_the_metric_that_went_first_is_named_with_its_step() -> None:
    grad = [*[1.0] * 30, *[INF] * 70]
    loss = [*_down(40)[:33], *[NAN] * 67]
    row = _only(_find({"a": {"grad_norm": grad, "train/loss": loss}}), "nan")
    assert (row["severity"], row["metric"], row["step"]) == ("high", "grad_norm", 30)
    assert "train/loss at 33" in str(row["evidence"])


def test_a_loss_that_recovers_from_nan_is_of_medium_severity() -> None:
    loss = [*_down(60)[:30], NAN, *_down(60)[30:]]
    row = _only(_find({"a": {"train/loss": loss}}), "nan")
    assert (row["severity"], row["step"]) == ("medium", 30)


@pytest.mark.parametrize(
    "curves",
    [
        {"rollout/ep_rew_mean": [NAN, NAN, *range(60)]},  # no episode has ended yet
        {"grad_norm": [INF, INF, *[1.0] * 60]},  # a loss scaler finds its scale
        {"explained_variance": [NAN] * 60},  # never defined
    ],
)
def test_values_that_are_not_there_yet_are_of_low_severity(curves: Curves) -> None:
    assert _only(_find({"a": curves}), "nan")["severity"] == "low"


# ----------------------------------------------------------- divergence


def test_a_loss_that_explodes_is_found_at_the_step_where_it_leaves() -> None:
    loss = [*_down(100), *(0.3 * 1.3**i for i in range(60))]
    row = _only(_find({"a": {"train/loss": loss}}), "divergence")
    assert row["severity"] == "high"
    assert 100 <= int(str(row["step"])) <= 155


def test_an_accuracy_that_falls_back_to_where_it_began_is_found() -> None:
    acc = [*np.linspace(0.1, 0.9, 100), *[0.1] * 60]
    row = _only(_find({"a": {"val/acc": acc}}), "divergence")
    assert (row["severity"], row["step"]) == ("medium", 100)


def test_a_run_whose_loss_and_perplexity_explode_gets_one_row() -> None:
    loss = [*_down(50), *(0.3 * 2.0**i for i in range(30))]
    row = _only(
        _find({"a": {"train/loss": loss, "train/ppl": [min(math.exp(min(v, 700)), 1e300) for v in loss]}}), "divergence"
    )
    assert "also train/" in str(row["evidence"])


def test_an_explosion_needs_no_more_than_a_few_epochs() -> None:
    assert _only(_find({"a": {"val/loss": [2.3, 2.2, 900.0, 4e7]}}), "divergence")["severity"] == "high"


@pytest.mark.parametrize(
    "loss",
    [
        _down(),
        _down(noise=0.4),  # a noisy loss of small batches
        [*(0.001 + 0.0005 * math.sin(i) for i in range(200))],  # converged, it wiggles
        [2.3] * 100,
        list(np.linspace(0.5, 1.4, 100)),  # rises, but within its own size
        list(RNG.normal(5, 3, 300)),
    ],
)
def test_healthy_losses_do_not_diverge(loss: list[float]) -> None:
    assert not _rows(_find({"a": {"train/loss": loss}}), "divergence")


def test_a_small_part_of_a_loss_may_rise() -> None:
    part = list(np.linspace(0.0005, 0.05, 100))
    assert not _rows(_find({"a": {"loss": _down(100), "loss_reg": part}}), "divergence")


def test_a_value_loss_may_rise_where_a_reward_does() -> None:
    curves = {"ep_rew_mean": list(range(100)), "value_loss": [0.1 * 1.1**i for i in range(100)]}
    assert not _rows(_find({"a": curves}), "divergence")


# ---------------------------------------------------------------- spike


def test_a_spike_is_found_with_its_step_and_the_levels_around_it() -> None:
    loss = _down()
    loss[120] = 12.0
    row = _only(_find({"a": {"train/loss": loss}}), "spike")
    assert (row["severity"], row["step"]) == ("medium", 120)
    assert "12 at step 120" in str(row["evidence"])


def test_a_spike_below_the_start_of_the_curve_is_of_low_severity() -> None:
    loss = _down()
    loss[150] = 1.5
    assert _only(_find({"a": {"train/loss": loss}}), "spike")["severity"] == "low"


@pytest.mark.parametrize(
    "loss",
    [
        _down(),
        _down(noise=0.3),
        [*_down(100), *(v + 1.0 for v in _down(100, start=0.4))],  # a step that stays is no spike
        list(np.random.default_rng(3).standard_t(3, 400) * 0.1 + 2),  # heavy tails all along
        [9.0, 8.0, *_down(100)],  # the beginning is always high
        [1.0, 2.0, 1.0, 2.0] * 40,
    ],
)
def test_curves_without_a_spike_have_none(loss: list[float]) -> None:
    assert not _rows(_find({"a": {"train/loss": loss}}), "spike")


# -------------------------------------------------------------- overfit


def test_overfitting_is_found_at_its_onset() -> None:
    epochs = np.arange(40)
    val = 1.0 - 0.03 * np.minimum(epochs, 15) + 0.03 * np.maximum(epochs - 15, 0)
    row = _only(_find({"a": {"train/loss": _down(40), "val/loss": list(val)}}), "overfit")
    assert (row["severity"], row["metric"]) == ("medium", "val/loss")
    assert abs(int(str(row["step"])) - 15) <= 1
    assert "train/loss" in str(row["evidence"])


@pytest.mark.parametrize(
    ("train", "val"), [("loss", "eval_loss"), ("train_loss", "valid_loss"), ("trainLoss", "valLoss")]
)
def test_the_twins_are_known_by_many_spellings(train: str, val: str) -> None:
    rising = [*np.linspace(1, 0.5, 15), *np.linspace(0.5, 1.4, 25)]
    assert _rows(_find({"a": {train: _down(40), val: rising}}), "overfit")


@pytest.mark.parametrize(
    "val",
    [
        _down(40, start=2.6, end=0.5),
        [*np.linspace(1, 0.5, 20), *[0.5] * 20],
        [*np.linspace(1, 0.5, 38), 0.62, 0.5],  # one bad epoch at the end
        list(0.5 + 0.1 * np.random.default_rng(1).normal(size=40)),  # nothing but noise
    ],
)
def test_a_validation_loss_that_holds_is_no_overfitting(val: list[float]) -> None:
    assert not _rows(_find({"a": {"train/loss": _down(40), "val/loss": val}}), "overfit")


def test_when_training_gets_worse_too_it_is_not_called_overfitting() -> None:
    both = [*np.linspace(1, 0.5, 20), *np.linspace(0.5, 0.9, 20)]
    assert not _rows(_find({"a": {"train/loss": both, "val/loss": both}}), "overfit")


# --------------------------------------------------- the end of the run


@pytest.mark.parametrize(("status", "severity"), [("failed", "high"), ("crashed", "high"), ("killed", "medium")])
def test_a_run_that_ended_badly_is_a_finding(status: str, severity: str) -> None:
    row = _only(_find({"a": {"train/loss": _down(30)}}, status={"a": status}), "crashed")
    assert (row["severity"], row["step"]) == (severity, 29)


def test_a_run_that_says_running_and_is_silent_is_stalled() -> None:
    curves: dict[str, Curves] = {"a": {"train/loss": _down(1000)}}
    assert _only(_find(curves, status={"a": "running"}, silent=7200), "stalled")["severity"] == "high"
    assert not _rows(_find(curves, status={"a": "running"}, silent=60), "stalled")


def test_a_run_with_slow_steps_is_not_stalled_between_two_of_them() -> None:
    assert not _rows(_find({"a": {"val/acc": [0.1, 0.2, 0.3]}}, status={"a": "running"}, silent=6 * 3600), "stalled")


def test_a_run_without_status_that_ended_before_all_others_is_found() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"train/loss": _down(100)} for i in range(6)}
    runs["short"] = {"train/loss": _down(100)[:40]}
    row = _only(_find(runs, status=dict.fromkeys(runs, "unknown")), "ends_early")
    assert (row["run_id"], row["step"], row["metric"]) == ("short", 39, "")


def test_runs_of_many_lengths_are_not_held_against_each_other() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"train/loss": _down(20 + 7 * i)} for i in range(12)}
    assert not _rows(_find(runs, status=dict.fromkeys(runs, "unknown")), "ends_early")


def test_a_metric_that_stops_before_its_run_does_is_found() -> None:
    runs: dict[str, Curves] = {
        f"r{i}": {"train/loss": _down(100), "val/acc": [0.5 + i / 999 for i in range(100)]} for i in range(5)
    }
    runs["odd"] = {"train/loss": _down(100), "val/acc": [0.5 + i / 999 for i in range(30)]}
    row = _only(_find(runs), "ends_early")
    assert (row["run_id"], row["metric"], row["step"], row["severity"]) == ("odd", "val/acc", 29, "medium")


def test_metrics_logged_by_epoch_beside_metrics_logged_by_step_do_not_stop_early() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"train/loss": _down(500), "val/acc": [0.1, 0.5, 0.7, 0.8]} for i in range(5)}
    assert not _rows(_find(runs), "ends_early")


# ------------------------------------------------------------ the others


def test_a_run_that_slows_down_to_a_third_is_found_where_it_does() -> None:
    pace = {"a": [1.0] * 120 + [3.0] * 80}
    row = _only(_find({"a": {"train/loss": _down(200)}}, seconds=pace), "throughput")
    assert row["severity"] == "medium"
    assert abs(int(str(row["step"])) - 121) <= 2


@pytest.mark.parametrize(
    "pace",
    [[1.0] * 200, [1.0] * 100 + [3600.0] + [1.0] * 99, [0.01] * 120 + [0.05] * 80, list(RNG.uniform(0.5, 1.5, 200))],
)
def test_a_pause_or_jitter_or_seconds_in_all_are_no_slowdown(pace: list[float]) -> None:
    assert not _rows(_find({"a": {"train/loss": _down(200)}}, seconds={"a": pace}), "throughput")


def test_a_rewind_says_to_which_step_and_how_much_was_written_again() -> None:
    steps = [*range(100), *range(60, 150)]
    row = _only(_find({"a": {"train/loss": (steps, _down(190))}}), "rewind")
    assert (row["severity"], row["step"]) == ("low", 60)
    assert "40 of 190" in str(row["evidence"])


def test_a_metric_that_is_stuck_in_one_run_and_moves_in_the_others_is_found() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"train/loss": _down(50), "lr": [0.1] * 50} for i in range(4)}
    runs["stuck"] = {"train/loss": [0.693] * 50, "lr": [0.1] * 50}
    answer = _find(runs)
    row = _only(answer, "constant")
    assert (row["run_id"], row["metric"], row["severity"]) == ("stuck", "train/loss", "medium")
    assert "Constant in every run: lr." in answer.notes


def test_a_plateau_is_a_low_finding_but_not_at_a_perfect_score() -> None:
    loss = [*np.linspace(2, 1, 40), *(1.0001 + 0.0001 * (i % 3) for i in range(60))]
    perfect = [*np.linspace(0.1, 1.0, 40), *[1.0] * 60]
    rows = _rows(_find({"a": {"val/loss": loss}, "b": {"val/acc": perfect}}), "plateau")
    assert [(r["run_id"], r["severity"]) for r in rows] == [("a", "low")]


@pytest.mark.parametrize(
    "curves",
    [
        {"val/acc": [*np.linspace(0.1, 0.9, 40), *[0.9] * 60]},  # at its ceiling
        {"gen_loss": [*np.linspace(1, -1, 40), *[0.1] * 60]},  # has an opponent
        {"val/loss": [2, 1.5, 1.1, 1, 1.1, 1.05, 1.1, 1.02]},  # a few epochs
        {"val/loss": [0.2, 0.05, 0.045, *(0.042 + 0.004 * ((7 * i) % 5) for i in range(27))]},  # noise, stopped early
        {"val/loss": [400, 120, *np.linspace(102, 96, 60), 97]},  # far better than at first, and slowly better still
        {
            "val/acc": _down(90)[::-1],
            "val/loss": [*np.linspace(2, 1, 40), *[1.1] * 50],
        },  # the first main metric goes on
    ],
)
def test_curves_that_are_not_plateaus(curves: Curves) -> None:
    assert not _rows(_find({"a": curves}), "plateau")


def test_a_constant_counter_is_no_finding_but_a_constant_gradient_is() -> None:
    runs: dict[str, Curves] = {
        f"r{i}": {"clip": [0.0] * 50 if i == 0 else list(range(50)), "grad_norm": [0.0] * 50 if i == 1 else _down(50)}
        for i in range(5)
    }
    row = _only(_find(runs), "constant")
    assert (row["run_id"], row["metric"], row["severity"]) == ("r1", "grad_norm", "low")


def test_a_term_of_the_loss_that_is_0_in_few_runs_is_of_medium_severity() -> None:
    runs: dict[str, Curves] = {
        f"r{i}": {"train/loss": _down(50), "train/loss_kd": [0.0] * 50 if i == 3 else _down(50)} for i in range(12)
    }
    row = _only(_find(runs), "constant")
    assert (row["run_id"], row["metric"], row["severity"]) == ("r3", "train/loss_kd", "medium")


def test_a_run_far_from_its_seed_siblings_is_found() -> None:
    ends = {f"s{i}": 0.50 + 0.002 * i for i in range(6)} | {"odd": 0.9}
    runs: dict[str, Curves] = {name: {"val/loss": _down(50, end=end, noise=0)} for name, end in ends.items()}
    hparams = {name: {"lr": 0.1, "seed": i} for i, name in enumerate(runs)}
    row = _only(_find(runs, hparams=hparams), "outlier")
    assert (row["run_id"], row["severity"]) == ("odd", "medium")
    assert "6 siblings" in str(row["evidence"])


def test_seeds_that_only_scatter_are_no_outliers() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        runs: dict[str, Curves] = {
            f"s{i}": {"val/loss": _down(30, end=float(rng.normal(0.5, 0.05)), noise=0)} for i in range(5)
        }
        found += len(_rows(_find(runs, hparams={n: {"lr": 0.1, "seed": i} for i, n in enumerate(runs)}), "outlier"))
    assert found <= 2  # of 250 runs


# --------------------------------------------------------- what they share


def test_a_shared_cause_is_named_with_counts() -> None:
    runs: dict[str, Curves] = {}
    hparams: dict[str, dict[str, object]] = {}
    for lr in (0.01, 0.1, 1.0, 3.0):
        for seed in range(3):
            name = f"lr{lr} s{seed}"
            runs[name] = {"train/loss": [*_down(40)[:20], *[NAN] * 20] if lr >= 1 else _down(40)}
            hparams[name] = {"lr": lr, "seed": seed, "batch": [32, 64, 128][seed]}
    answer = _find(runs, hparams=hparams)
    assert {r["shared_cause"] for r in _rows(answer, "nan")} == {"lr>=1: 6 of 6 affected, 0 of 6 healthy"}
    assert "high: nan in 6 runs [shared: lr>=1: 6 of 6 affected, 0 of 6 healthy]" in answer.notes


def test_a_cause_is_reported_once_with_confounded_conditions_for_all_its_findings() -> None:
    runs: dict[str, Curves] = {}
    hparams: dict[str, dict[str, object]] = {}
    for lr in (0.01, 0.1, 3.0):
        for seed in range(3):
            name = f"lr{lr} s{seed}"
            blown = [*_down(40)[:15], *(2.0 * 3.0**i for i in range(15)), *[NAN] * 10]
            runs[name] = {"train/loss": blown if lr > 1 else _down(40)}
            hparams[name] = {"lr": lr, "decay": 1 / lr, "seed": seed}
    answer = _find(runs, hparams=hparams)
    cause = "lr=3, the same runs as decay=0.333333: 3 of 3 affected, 0 of 6 healthy"
    assert {r["shared_cause"] for f in ("nan", "divergence") for r in _rows(answer, f)} == {cause}
    assert "\n".join(answer.notes).count(cause) == 1
    assert sum("[shared: as " in note for note in answer.notes) == 1 or "as nan" in "".join(answer.notes)


def test_of_metrics_that_turn_to_nan_together_the_loss_is_named_first() -> None:
    row = _only(_find({"a": {"train/acc": [*[0.5] * 30, *[NAN] * 9], "train/loss": [*_down(30), *[NAN] * 9]}}), "nan")
    assert (row["metric"], row["step"]) == ("train/loss", 30)
    assert "with it train/acc" in str(row["evidence"])


def test_no_cause_is_named_where_the_affected_runs_share_nothing() -> None:
    runs: dict[str, Curves] = {f"r{i}": {"train/loss": [NAN] * 20 if i in (1, 6) else _down(40)} for i in range(8)}
    hparams = {name: {"lr": [0.1, 0.2][i % 2], "batch": [8, 16][i // 4], "seed": i} for i, name in enumerate(runs)}
    assert {r["shared_cause"] for r in _rows(_find(runs, hparams=hparams), "nan")} == {""}


# ----------------------------------------------------------- the answer


def test_healthy_runs_give_one_sentence() -> None:
    answer = _find({"a": {"train/loss": _down(100)}, "b": {"train/loss": _down(120)}})
    assert answer.table.height == 0
    assert answer.notes[0] == "Nothing found in 2 runs."
    assert answer.notes[-1].startswith("Looked at: nan, constant, ends_early, rewind, never_learned, divergence, spike")
    assert "2 series of train/loss" in answer.notes[-1]


def test_the_worst_comes_first_and_the_summary_counts_runs() -> None:
    runs: dict[str, Curves] = {
        "bad": {"train/loss": [1.0, NAN, NAN]},
        "back": {"train/loss": ([0, 1, 2, 1, 2], [5, 4, 3, 3, 3])},
    }
    answer = _find(runs)
    assert answer.table["severity"].to_list() == ["high", "low"]
    assert answer.tables["summary"].select("finding", "severity", "n_runs").rows() == [
        ("nan", "high", 1),
        ("rewind", "low", 1),
    ]


def test_points_are_read_only_of_suspects() -> None:
    runs: dict[str, Curves] = {
        f"r{i}": {"train/loss": _down(100), **{f"m{j}": list(range(100)) for j in range(19)}} for i in range(5)
    }
    assert _find(runs).basis.points <= 2 * 5 * 100


def test_series_that_were_not_examined_are_counted_in_a_note() -> None:
    answer = _find({f"r{i}": {"train/loss": _down(100)} for i in range(5)}, max_points=250)
    assert answer.basis.points == 200
    assert answer.basis.warnings[0].startswith("3 series were not looked at as curves")


def test_without_points_the_series_alone_tell_what_they_can() -> None:
    points = points_of({"a": {"train/loss": [1.0, *[NAN] * 30]}, "b": {"train/loss": _down(90)}})
    answer = diagnose(runs_of(points), series_of(points), None, DiagnosisOptions(Thresholds(), NOW))
    assert answer.table["finding"].to_list() == ["nan"]
    assert answer.basis.points == 0


def test_an_empty_database_has_no_findings() -> None:
    points = points_of({})
    runs = runs_of(points_of({"a": {"m": [1.0]}})).head(0)
    assert diagnose(runs, series_of(points), points.lazy(), DiagnosisOptions(Thresholds(), NOW)).table.height == 0


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.__name__)
def test_every_detector_tells_its_rule(detector: Callable[..., object]) -> None:
    assert any(word in (detector.__doc__ or "") for word in ("high", "medium", "low"))


def test_metrics_can_be_chosen_and_an_unknown_one_is_answered_with_the_nearest(sweep: Path) -> None:
    db = ExperimentDB(AnalysisConfig(), sweep)
    assert set(db.diagnose(metrics=["val/acc"]).table["metric"]) <= {"val/acc", ""}
    with pytest.raises(UnknownNameError, match="train/loss"):
        db.diagnose(metrics=["trian/loss"])


def test_the_small_sweep_is_diagnosed_as_it_was_written(sweep: Path) -> None:
    table = ExperimentDB(AnalysisConfig(), sweep).diagnose().table
    row = table.filter(pl.col("finding") == "nan").row(0, named=True)
    assert (row["run_id"], row["step"], row["metric"]) == ("diverged", 10, "train/loss")


# ----------------------------------------------------------- the corpus


def _sets() -> list[Path]:
    return sorted(p.parent for p in Path(CORPUS).glob("*/expected.json")) if CORPUS else []


@pytest.mark.skipif(not CORPUS, reason="SWEEPLENS_CORPUS is not set")
def test_of_1000_healthy_runs_of_the_corpus_35_have_a_grave_finding_at_most_and_70_any() -> None:
    healthy, accused, grave = 0, [], []
    for folder in _sets():
        try:
            db = ExperimentDB(AnalysisConfig(), folder / "logs")
            table, runs = db.diagnose().table, db.runs_df
        except SweeplensError:
            continue  # a format whose reader is not there
        well = _healthy(json.loads((folder / "expected.json").read_text())["runs"], runs)
        healthy += len(well)
        accused += sorted(f"{folder.name}: {run}" for run in set(table["run_id"]) & well)
        bad = set(table.filter(pl.col("severity") != "low")["run_id"])
        grave += sorted(f"{folder.name}: {run}" for run in bad & well)
    assert healthy >= 50
    assert len(grave) <= 0.035 * healthy, grave
    assert len(accused) <= 0.07 * healthy, accused


def _healthy(expected: Mapping[str, Mapping[str, object]], runs: pl.DataFrame) -> set[str]:
    """Runs that, as far as the truth says, ended as they should and logged no NaN."""
    good = {name for name, run in expected.items() if _ended_well(name, run)}
    known = dict(runs.select("run_id", "source").iter_rows())
    return {
        r
        for r, source in known.items()
        if r in good or any(f"/{g}/" in f"{source}/" or source.endswith(f"/{g}") for g in good)
    }


def _ended_well(name: str, run: Mapping[str, object]) -> bool:
    words = (
        " ".join(str(run.get(k, "")) for k in ("status", "intended_status", "mode", "error", "path")).lower()
        + name.lower()
    )
    metrics = run.get("metrics")
    counts = [m for m in metrics.values() if isinstance(m, dict)] if isinstance(metrics, dict) else []
    clean = all(not m.get(k) for m in counts for k in ("n_nan", "n_posinf", "n_neginf"))
    bad = ("crash", "diverge", "resum", "kill", "fail", "interrupt", "running", "zombie", "sigkill")
    return clean and bool(counts) and not any(word in words for word in bad)
