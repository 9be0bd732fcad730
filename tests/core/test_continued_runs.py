"""A training that was stopped and resumed in another folder is one run: counted once, with its curve joined, and told."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.lineages import opened, write_run

from sweeplens import ExperimentDB

_HOUR = 3600.0
_DAY = 24 * _HOUR
_SETTINGS = {"lr": 1e-3, "width": 64}


def _loss(step: int, seed: int) -> float:
    return 4 * math.exp(-step / 3000) + 0.01 * seed + random.Random(1000 * seed + step).uniform(-0.002, 0.002)


def _write(
    folder: Path, first: int, last: int, seed: int = 0, *, begin: float = 1.7e9, status: str = "", **settings: object
) -> Path:
    """A part of a training: a point each 50 steps. Its learning rate falls as a cosine of 12,000 steps does."""
    steps = range(first, last + 1, 50)
    rate = [1e-3 * (0.1 + 0.45 * (1 + math.cos(math.pi * step / 12_000))) for step in steps]
    return write_run(
        folder,
        {**_SETTINGS, "seed": seed, **settings},
        {"val_loss": [_loss(step, seed) for step in steps], "lr": rate},
        first=first,
        every=50,
        status=status,
        begin=begin,
    )


def _sweep(
    root: Path, resume: Mapping[str, object] | None = None, *, to: int = 12_000, begin: int = 8000
) -> ExperimentDB:
    """Two trainings of one setting and one of another. The first was killed at step 8550 and resumed a day later."""
    _write(root / "monday" / "0", 50, 8550, 0, status="killed")
    _write(root / "monday" / "1", 50, 12_000, 1, status="finished")
    _write(root / "monday" / "2", 50, 12_000, 0, status="finished", width=32)
    _write(root / "tuesday" / "0", begin, to, 0, begin=1.7e9 + _DAY, status="finished", **(resume or {}))
    return opened(root)


@pytest.mark.parametrize(
    "resume",
    [
        None,
        {"resume": "monday/0/ckpt_8000.pt"},
        {"trainer.resume": True},
        {"load_path": "./monday/0", "slurm_job_id": 7},
    ],
)
def test_a_training_that_was_resumed_in_another_folder_counts_once(
    tmp_path: Path, resume: Mapping[str, object] | None
) -> None:
    db = _sweep(tmp_path, resume)
    assert db.runs_df["run_id"].to_list() == ["monday/1", "monday/2", "tuesday/0"]
    ranked = db.rank("val_loss").table
    assert dict(ranked.select("width", "n").iter_rows()) == {64: 2, 32: 1}
    (series,) = db.series_df.filter(run_id="tuesday/0", metric="val_loss").to_dicts()
    steps = range(50, 12_001, 50)
    values = [_loss(step, 0) for step in steps]
    assert (series["first_step"], series["last_step"], series["n"], series["rewinds"]) == (50, 12_000, len(steps), 1)
    assert series["n_logged"] == len(range(50, 8551, 50)) + len(range(8000, 12_001, 50))
    assert (series["first"], series["last"], series["min"]) == (values[0], values[-1], min(values))
    assert series["mean"] == pytest.approx(sum(values) / len(values))
    points = db.query_metrics("val_loss", "tuesday/0").sort("step")
    assert points.select("step", "value").rows() == list(zip(steps, values, strict=True))
    (said,) = [w for w in db.list_runs(runs="monday/0").basis.warnings if "resumed in another folder" in w]
    assert "1 run was resumed" in said
    assert "monday/0 is continued by tuesday/0" in said


def test_its_cost_is_that_of_both_parts_without_the_pause(tmp_path: Path) -> None:
    costs = _sweep(tmp_path).cost("val_loss").tables["runs"]
    (row,) = costs.filter(run_id="tuesday/0").to_dicts()
    assert row["steps"] == 12_000
    parts = [len(range(50, 8551, 50)), len(range(8000, 12_001, 50))]
    assert row["seconds"] == pytest.approx(sum(60.0 * (n - 1) for n in parts), abs=120)


def test_its_learning_rate_contradicts_no_configuration(tmp_path: Path) -> None:
    assert not _sweep(tmp_path).diagnose().table.filter(finding="config_lr").height


def test_the_second_part_alone_contradicts_no_configuration_either(tmp_path: Path) -> None:
    _write(tmp_path / "tuesday" / "0", 8000, 12_000)
    _write(tmp_path / "tuesday" / "1", 9000, 12_000, 1)
    db = opened(tmp_path)
    assert not db.diagnose().table.filter(finding="config_lr").height
    _write(tmp_path / "tuesday" / "2", 50, 12_000, 2, lr=3e-3)
    assert db.diagnose().table.filter(finding="config_lr")["run_id"].to_list() == ["tuesday/2"]


def test_three_parts_are_one_training(tmp_path: Path) -> None:
    _write(tmp_path / "c", 50, 5000)
    _write(tmp_path / "b", 4000, 9000, begin=1.7e9 + _DAY)
    _write(tmp_path / "a", 9050, 12_000, begin=1.7e9 + 2 * _DAY)
    db = opened(tmp_path)
    assert db.runs_df.select("run_id", "n_steps", "metadata.continues").rows() == [("a", 240, '["b", "c"]')]
    points = db.query_metrics("val_loss")
    assert points.sort("step")["value"].to_list() == [_loss(step, 0) for step in range(50, 12_001, 50)]


@pytest.mark.parametrize(
    ("first", "last", "settings"),
    [
        (8000, 12_000, {"seed": 5}),
        (8000, 12_000, {"lr": 3e-4}),
        (9500, 12_000, {}),
        (50, 12_000, {}),
        (100, 12_000, {}),
        (8000, 8500, {}),
    ],
)
def test_another_seed_or_setting_a_gap_and_a_repetition_are_runs_of_their_own(
    tmp_path: Path, first: int, last: int, settings: dict[str, Any]
) -> None:
    _write(tmp_path / "a", 50, 8550, status="killed")
    _write(tmp_path / "b", first, last, begin=1.7e9 + _DAY, **settings)
    assert opened(tmp_path).runs_df["run_id"].to_list() == ["a", "b"]


def test_a_finished_run_is_continued_only_by_one_that_names_it(tmp_path: Path) -> None:
    _write(tmp_path / "a", 50, 8000, status="finished")
    _write(tmp_path / "b", 8050, 12_000, begin=1.7e9 + _DAY)
    assert opened(tmp_path).runs_df.height == 2
    _write(tmp_path / "c" / "a", 50, 8000, 1, status="finished")
    _write(tmp_path / "c" / "b", 8050, 12_000, 1, begin=1.7e9 + _DAY, resume_from="c/a/last.pt")
    assert opened(tmp_path).runs_df["run_id"].to_list() == ["a", "b", "c/b"]


def test_where_two_runs_could_be_continued_or_two_could_continue_none_is(tmp_path: Path) -> None:
    for name, last in (("a", 8500), ("b", 8550)):
        write_run(
            tmp_path / "two" / name, _SETTINGS, {"val_loss": [1.0 / s for s in range(50, last, 50)]}, first=50, every=50
        )
    later = {"val_loss": [1.0 / s for s in range(8000, 12_000, 50)]}
    write_run(tmp_path / "two" / "c", _SETTINGS, later, first=8000, every=50)
    _write(tmp_path / "branches" / "a", 50, 8550, 7)
    _write(tmp_path / "branches" / "b", 8000, 11_000, 7, begin=1.7e9 + _DAY)
    _write(tmp_path / "branches" / "c", 8000, 12_000, 7, begin=1.7e9 + _DAY)
    assert opened(tmp_path).runs_df.height == 6


def test_a_probe_of_the_earlier_part_has_the_settings_of_the_whole_training(tmp_path: Path) -> None:
    _sweep(tmp_path)
    for name in ("0", "1", "2"):
        links = {"init_from": f"monday/{name}/ckpt.pt"}
        write_run(tmp_path / "probe" / name, links, {"val_acc": [0.1, 0.2, 0.3]})
    probes = opened(tmp_path).view("probe/*").runs.sort("run_id")
    assert probes["metadata.from.init_from"].to_list() == ["tuesday/0", "monday/1", "monday/2"]
    assert probes["from.width"].to_list() == [64, 64, 32]


def test_a_part_that_appears_and_grows_later_joins_the_training(tmp_path: Path) -> None:
    _write(tmp_path / "a", 50, 8550)
    db = opened(tmp_path)
    assert db.runs_df["run_id"].to_list() == ["a"]
    part = _write(tmp_path / "b", 8000, 9000, begin=1.7e9 + _DAY)
    assert db.runs_df.select("run_id", "n_steps").rows() == [("b", 180)]
    with (part / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 9050, "timestamp": 1700090000, "val_loss": 0.5, "lr": 0.0001}\n')
    (row,) = db.series_df.filter(metric="val_loss").to_dicts()
    assert (row["n"], row["last_step"], row["last"]) == (181, 9050, 0.5)
    (tmp_path / "a" / "metrics.jsonl").unlink()
    assert db.runs_df.filter(pl.col("n_steps") > 0).select("run_id", "n_steps").rows() == [("b", 22)]
