"""The usage guide of the earlier system runs unchanged, with its package renamed: `earlier_guide.md` is that text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB, Run
from sweeplens.dataframes import runs_to_dataframe
from sweeplens.parsers import load_runs_from_dir

GUIDE = (Path(__file__).parent / "earlier_guide.md").read_text(encoding="utf-8")
FIRST, SECOND = "run_001", "run_002"


def blocks(language: str) -> list[str]:
    """The guide's code blocks of one language, in order."""
    return [
        text for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE) if kind == language
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the small sweep that the guide presumes."""
    monkeypatch.chdir(tmp_path)
    for number, lr in ((1, 0.1), (2, 0.01), (3, 0.001)):
        run = tmp_path / "experiments" / f"run_00{number}"
        run.mkdir(parents=True)
        (run / "config.json").write_text(f'{{"lr": {lr}, "batch_size": 32, "model": "resnet"}}')
        rows = (f'{{"step": {s}, "train/loss": {2 / (s + 1)}, "val/acc": {1 - lr / (s + 1)}}}\n' for s in range(5))
        (run / "metrics.jsonl").write_text("".join(rows))
    return tmp_path


def load_old_experiment() -> dict[str, Any]:
    """Your old loading code, as the guide says."""
    history = [{"epoch": e, "train/loss": 2.0 / (e + 1), "val/acc": 0.5 + 0.1 * e} for e in range(3)]
    return {"name": "old_run", "config": {"lr": 0.1}, "history": history, "metadata": {"host": "old"}}


@pytest.fixture
def after(folder: Path) -> dict[str, Any]:
    """The names after every Python block has run, in order, as one script; some of them the guide presumes."""
    names: dict[str, Any] = {
        "pl": pl,
        "Run": Run,
        "base_path": folder / "experiments",
        "runs_df": runs_to_dataframe(load_runs_from_dir("experiments")),
        "load_old_experiment": load_old_experiment,
    }
    script = "\n".join(blocks("python"))
    exec(compile(script, "earlier_guide.md", "exec"), names)
    return names


def test_every_python_block_runs_in_order_as_one_script(after: dict[str, Any]) -> None:
    assert len(blocks("python")) == 6
    assert isinstance(after["db"], ExperimentDB)


def test_query_metrics_returns_the_requested_points(after: dict[str, Any]) -> None:
    assert after["all_metrics"].height == 3 * 5 * 2
    assert set(after["train_metrics"]["metric"].unique()) == {"train/loss"}
    assert set(after["specific_runs"]["run_id"].unique()) == {FIRST, SECOND}


def test_find_varying_and_summarize_metrics(after: dict[str, Any]) -> None:
    assert after["varying"] == ["lr"]
    summary = after["summary"].filter(pl.col("metric") == "val/acc").sort("lr")
    assert summary["mean"].to_list() == pytest.approx([1 - lr / 5 for lr in (0.001, 0.01, 0.1)])
    assert summary["batch_size"].to_list() == [32, 32, 32]


def test_lazy_evaluation_and_streaming_give_the_same_points(after: dict[str, Any]) -> None:
    assert isinstance(after["filtered"], pl.LazyFrame)
    assert after["filtered"].collect().height == 15
    assert sum(batch.height for batch in after["results"]) == 30


def test_an_old_experiment_becomes_a_run(after: dict[str, Any]) -> None:
    run = after["run"]
    assert (run.run_id, run.best_train_loss, run.best_val_acc, run.final_epoch) == ("old_run", 2 / 3, 0.7, 2)
    assert run.hyperparameters.flatten() == {"lr": 0.1}


def test_the_environment_variables_of_the_guide_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = blocks("bash")
    for name, value in re.findall(r"export (\w+)=(\S+)", text):
        monkeypatch.setenv(name, value)
    config = AnalysisConfig()
    assert (config.experiment_dir, config.output_dir) == ("/path/to/experiments", "/path/to/output")


def test_the_dotenv_file_of_the_guide_is_read(folder: Path) -> None:
    (text,) = blocks("")
    (folder / ".env").write_text(text)
    config = AnalysisConfig()
    assert (config.experiment_dir, config.output_dir) == ("./experiments", "./analysis_output")
    assert ExperimentDB(config).runs_df.height == 3
