"""Final results beside a log are metrics under their own names, and results of another checkpoint stay apart from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), root)


def trained(folder: Path, **results: Mapping[str, object]) -> Path:
    """A folder of the Trainer with a checkpoint, and files of results by stem."""
    history = [
        {"step": s, "epoch": s / 5, "loss": 1 / s, "eval_loss": 2 / s, "eval_runtime": 7.0} for s in range(1, 11)
    ]
    (folder / "checkpoint-10").mkdir(parents=True)
    state = {"global_step": 10, "max_steps": 10, "log_history": history}
    (folder / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state))
    return reported(folder, **results)


def logged(folder: Path, **results: Mapping[str, object]) -> Path:
    """A folder with a log in lines of JSON, and files of results by stem."""
    folder.mkdir(parents=True)
    rows = [{"step": s, "loss": 1 / s, "eval_loss": 2 / s, "eval_runtime": 7.0} for s in range(1, 11)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return reported(folder, **results)


def reported(folder: Path, **results: Mapping[str, object]) -> Path:
    for stem, values in results.items():
        (folder / f"{stem}.json").write_text(json.dumps(values))
    return folder


def scores(root: Path) -> dict[str, dict[str, tuple[int, float]]]:
    """Run -> metric -> (step, value) of what is in no log."""
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for row in opened(root).series_df.iter_rows(named=True):
        if row["metric"] not in ("loss", "eval_loss", "eval_runtime", "epoch"):
            found.setdefault(row["run_id"], {})[row["metric"]] = (row["last_step"], row["last"])
    return found


PREDICTED: dict[str, object] = {
    "test_accuracy": 64.5, "test_samples": 1034, "predict_samples": 1034, "test_checkpoint": "checkpoint-5", "epoch": 1.97,
    "test_loss": 0.31,
}  # fmt: skip


@pytest.mark.parametrize("stem", ["predict_results", "test_results", "all_results", "eval_results"])
def test_results_that_the_trainer_saves_are_metrics_at_its_last_step_without_its_counts(
    tmp_path: Path, stem: str
) -> None:
    trained(tmp_path / "a", **{stem: PREDICTED}, results={"test_f1": 0.5})
    assert scores(tmp_path) == {"a": {"test_accuracy": (10, 64.5), "test_loss": (10, 0.31), "test_f1": (10, 0.5)}}
    (run,) = opened(tmp_path).runs_df.to_dicts()
    told = [run[f"metadata.results.test_{name}"] for name in ("accuracy", "samples", "checkpoint", "f1")]
    assert told == [64.5, 1034, "checkpoint-5", 0.5]


@pytest.mark.parametrize("make", [trained, logged])
@pytest.mark.parametrize(
    ("other", "prefix"),
    [("predict_results_last", "last"), ("predict_results-best", "best"), ("ema_predict_results", "ema"),
     ("predict_results_checkpoint-5", "checkpoint_5"), ("predict_results_quantized", "quantized")],
)  # fmt: skip
def test_results_of_another_checkpoint_have_its_name_before_theirs(
    tmp_path: Path, make: Callable[..., Path], other: str, prefix: str
) -> None:
    make(tmp_path / "a", predict_results={"test_acc": 0.5}, **{other: {"test_acc": 0.75}})
    make(tmp_path / "b", predict_results={"test_acc": 0.625})
    found = scores(tmp_path)
    assert found["a"] == {"test_acc": (10, 0.5), f"{prefix}/test_acc": (10, 0.75)}
    assert found["b"] == {"test_acc": (10, 0.625)}


@pytest.mark.parametrize("stem", ["results_last", "best_metrics", "eval_ema"])
def test_results_of_another_checkpoint_have_its_name_in_runs_without_others(tmp_path: Path, stem: str) -> None:
    logged(tmp_path / "a", **{stem: {"test_acc": 0.5, "best_f1": 0.25}}, results={"test_acc": 0.5})
    logged(tmp_path / "b", **{stem: {"test_acc": 0.75}})
    (word,) = {"last", "best", "ema"} & set(stem.split("_"))
    f1 = "best_f1" if word == "best" else f"{word}/best_f1"
    assert scores(tmp_path) == {
        "a": {"test_acc": (10, 0.5), f"{word}/test_acc": (10, 0.5), f1: (10, 0.25)},
        "b": {f"{word}/test_acc": (10, 0.75)},
    }


def test_the_main_report_keeps_its_names_beside_one_of_a_split(tmp_path: Path) -> None:
    logged(tmp_path / "a", results={"acc": 0.5}, test_results={"acc": 0.75})
    logged(tmp_path / "b", val_results={"acc": 0.5}, test_results={"acc": 0.75})
    assert scores(tmp_path) == {
        "a": {"acc": (10, 0.5), "test_results.acc": (10, 0.75)},
        "b": {"val_results.acc": (10, 0.5), "test_results.acc": (10, 0.75)},
    }


def test_a_logged_metric_is_no_second_one_and_a_cost_measured_again_contradicts_nothing(tmp_path: Path) -> None:
    makers: tuple[tuple[str, Callable[..., Path]], ...] = (("a", trained), ("b", logged))
    for name, make in makers:
        make(tmp_path / name, eval_results={"eval_loss": 0.2, "eval_runtime": 9.5, "epoch": 1.97, "test_bleu": 30.5})
    db = opened(tmp_path)
    assert scores(tmp_path) == {"a": {"test_bleu": (10, 30.5)}, "b": {"test_bleu": (10, 30.5)}}
    assert not db.problems.height
    assert db.series_df.filter(metric="eval_runtime")["last"].to_list() == [7.0, 7.0]


def test_test_scores_are_ranked_and_compared_by_the_settings_of_the_adapter(tmp_path: Path) -> None:
    for rank in (8, 32):
        for seed in range(3):
            run = trained(tmp_path / f"r{rank}_{seed}", predict_results={"test_acc": 0.5 + rank / 100 + seed / 1000})
            reported(run, training_args={"seed": seed, "learning_rate": 0.1})
            reported(run / "checkpoint-10", adapter_config={"r": rank, "peft_type": "LORA", "peft_version": "0.17"})
            if seed:
                reported(run, predict_results_last={"test_acc": 0.01})
    db = opened(tmp_path)
    best = db.rank("test_acc").table.row(0, named=True)
    assert (best["r"], best["n"], best["mean"]) == (32, 3, pytest.approx(0.821))
    compared = db.compare("r = 32", "r = 8", metrics="test_acc").table.row(0, named=True)
    assert compared["difference"] == pytest.approx(0.24)
