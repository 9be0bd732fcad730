"""The demo sweep has its planted effects, and the same arguments write the same bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from sweeplens import ExperimentDB
from sweeplens.demo_data import BEST_LR, grow, plan_sweep, write_sweep
from sweeplens.errors import InputError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_sweep(folder, now=datetime.now(UTC))
    return folder


def test_sixty_runs_of_which_one_is_live_and_one_stopped_without_a_word(demo: Path) -> None:
    by_status = dict(ExperimentDB(base_path=demo).runs_df.group_by("status").len().iter_rows())
    assert by_status == {"finished": 58, "running": 1, "unknown": 1}


def test_the_learning_rate_matters_and_the_batch_size_does_not(demo: Path) -> None:
    db = ExperimentDB(base_path=demo)
    where = "\"optim.lr\" < 0.3 AND status = 'finished'"
    by_lr = db.summarize_metrics(["optim.lr"], metrics=["val/acc"], where=where).sort("mean")
    assert by_lr["optim.lr"].to_list()[-1] == BEST_LR
    assert by_lr["ci95_low"].to_list()[-1] > by_lr["mean"].to_list()[0]
    by_bs = db.summarize_metrics(["data.batch_size"], metrics=["val/acc"], where=where)
    low, high = by_bs["mean"].to_list()
    assert abs(low - high) < by_bs["sem"].min()  # pyright: ignore[reportOperatorIssue]


def test_weight_decay_is_perfectly_confounded_with_the_learning_rate(demo: Path) -> None:
    varying = ExperimentDB(base_path=demo).find_varying()
    assert varying.filter(pl.col("hparam") == "optim.lr")["same_as"].to_list() == [["optim.weight_decay"]]


def test_four_runs_diverge_and_all_have_the_highest_learning_rate(demo: Path) -> None:
    db = ExperimentDB(base_path=demo)
    broken = db.series_df.filter((pl.col("metric") == "train/loss") & (pl.col("n_nan") > 0))["run_id"].to_list()
    assert len(broken) == 4
    assert db.runs_df.filter(pl.col("run_id").is_in(broken))["optim.lr"].unique().to_list() == [0.3]


def test_problems_name_the_malformed_lines_the_torn_tail_and_the_broken_config(demo: Path) -> None:
    problems = ExperimentDB(base_path=demo).problems
    assert sorted(Path(f).name for f in problems["file"]) == ["config.json", *["metrics.jsonl"] * 3]
    assert problems.filter(pl.col("kind") == "torn").height == 1


def test_the_resumed_run_repeats_steps_and_each_step_counts_once(demo: Path) -> None:
    series = ExperimentDB(base_path=demo).series_df.filter(pl.col("rewinds") > 0)
    assert series["run_id"].unique().len() == 1
    assert (series["n_logged"] > series["n"]).all()


def test_the_live_run_grows_until_its_last_step(tmp_path: Path) -> None:
    write_sweep(tmp_path, runs=[p for p in plan_sweep() if p.ending == "live"])
    assert grow(tmp_path, rows=3) == 630
    assert grow(tmp_path, rows=1000) == grow(tmp_path, rows=5) == 1000
    (last,) = ExperimentDB(base_path=tmp_path).series_df.filter(pl.col("metric") == "train/loss")["last_step"]
    assert last == 1000


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sweep(tmp_path / name, runs=plan_sweep(seeds=1, epochs=2))
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) > 40
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_a_folder_that_holds_something_else_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
