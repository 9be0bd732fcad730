"""Logs as producers write them that the corpus has no sample of: each test writes a small one as it was seen, and reads it."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from support import wire_samples as wire
from support.reading import read_folder

from sweeplens.readers.json.splits import JsonSplits

EVENTS = "events.out.tfevents.1700000000.host.1.0.v2"


def write_lines(path: Path, *rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def journal(operation: int, **rest: Any) -> dict[str, Any]:
    return {"op_code": operation, "worker_id": "6d1c-1", **rest}


CHOICE = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": ["adam", None]}})
FLOAT = json.dumps({"name": "FloatDistribution", "attributes": {"low": 0, "high": 1, "log": False, "step": None}})
NEW = {"datetime_start": "2026-01-02T03:04:05+00:00"}
END = {"datetime_complete": "2026-01-02T03:05:05+00:00"}


def test_an_optuna_journal_reads_as_its_database_would(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "journal.log",
        journal(0, study_name="gone", directions=[1]),
        journal(4, study_id=0, **NEW),
        journal(0, study_name="depth", directions=[1]),
        journal(4, study_id=1, **NEW),
        journal(5, trial_id=1, param_name="opt", param_value_internal=0, distribution=CHOICE),
        journal(5, trial_id=1, param_name="lr", param_value_internal=0.25, distribution=FLOAT),
        journal(7, trial_id=1, step=0, intermediate_value=math.nan),
        journal(7, trial_id=1, step=5, intermediate_value=0.5),
        journal(8, trial_id=1, user_attr={"seed": 3}),
        journal(6, trial_id=1, state=1, values=[0.125], **END),
        journal(7, trial_id=1, step=9, intermediate_value=9.0),  # it had ended: not taken
        journal(4, study_id=1, datetime_start=None, state=4),
        journal(1, study_id=0),
    )
    found = read_folder(tmp_path)
    assert list(found.runs) == ["depth/0", "depth/1"]
    first = found.runs["depth/0"]
    assert first.hyperparameters == {"opt": "adam", "lr": 0.25}
    assert (first.status, first.group, found.runs["depth/1"].status) == ("finished", "depth", "waiting")
    assert first.metadata == {
        "state": "COMPLETE",
        "direction": "minimize",
        "user_attrs": {"seed": 3},
        "goals": {"intermediate_value": "lower", "value": "lower"},
    }
    steps, values = found.series("depth/0", "intermediate_value")
    assert (steps, str(values)) == ([0, 5], "[nan, 0.5]")
    assert found.series("depth/0", "value") == ([5], [0.125])


def test_a_truncated_optuna_journal_keeps_its_whole_lines_with_a_problem(tmp_path: Path) -> None:
    write_lines(tmp_path / "optuna.jsonl", journal(0, study_name="s", directions=[1, 2]), journal(4, study_id=0, **NEW))
    with (tmp_path / "optuna.jsonl").open("a") as stream:
        stream.write('{"op_code": 6, "trial_id": 0, "val')
    found = read_folder(tmp_path)
    assert found.runs["s/0"].metadata["directions"] == ["minimize", "maximize"]
    assert [p.kind for p in found.problems] == ["torn"]


def sacred_run(folder: Path, *artifacts: str) -> None:
    about = {
        "artifacts": artifacts,
        "command": "main",
        "experiment": {"name": "e", "base_dir": "/x"},
        "status": "COMPLETED",
    }
    write_text(folder / "run.json", json.dumps(about, indent=2))
    write_text(
        folder / "config.json", json.dumps({"w": {"dtype": "int64", "py/object": "numpy.ndarray", "values": [1, 2]}})
    )
    write_text(folder / "metrics.json", json.dumps({"loss": {"steps": [1], "values": [0.5], "timestamps": []}}))
    write_text(folder / "cout.txt", "step,loss\n1,2\n2,1\n")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


TABLE = "epoch,loss\n1,2\n2,1\n"


def test_artifacts_and_resources_of_a_sacred_run_are_no_runs(tmp_path: Path) -> None:
    sacred_run(tmp_path / "1", "table.csv", "dump.json")
    write_text(tmp_path / "1" / "table.csv", TABLE)
    write_lines(tmp_path / "1" / "dump.json", {"step": 1, "loss": 2}, {"step": 2, "loss": 1})
    write_text(tmp_path / "_resources" / "data_a1b2.csv", TABLE)
    write_text(tmp_path / "own" / "metrics.csv", TABLE)
    found = read_folder(tmp_path)
    assert set(found.runs) == {"1", "own"}
    assert found.runs["1"].hyperparameters == {"w": [1, 2]}
    assert not found.refused


RUN_META = "artifact_uri: x\nexperiment_id: '7'\nlifecycle_stage: active\nrun_id: {0}\nrun_name: n\nstatus: 3\n"
KEY = "0123456789abcdef0123456789abcdef"


def test_other_folders_of_an_mlflow_store_are_no_runs(tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    for experiment in ("0", "7"):
        write_text(store / experiment / "meta.yaml", f"artifact_location: x\nexperiment_id: '{experiment}'\nname: e\n")
    write_text(store / "7" / KEY / "meta.yaml", RUN_META.format(KEY))
    write_text(store / "7" / KEY / "metrics" / "loss", "1700000000000 0.5 3\n")
    write_text(store / "7" / "models" / f"m-{KEY}" / "artifacts" / "history.csv", TABLE)
    write_text(tmp_path / "mlartifacts" / "7" / KEY / "artifacts" / "history.csv", TABLE)
    write_text(tmp_path / "mlartifacts" / "7" / "models" / f"m-{KEY}" / "artifacts" / "history.csv", TABLE)
    found = read_folder(tmp_path)
    assert set(found.runs) == {KEY}
    assert not found.refused


def test_a_folder_that_only_looks_like_mlflow_artifacts_is_read(tmp_path: Path) -> None:
    write_text(tmp_path / KEY / "artifacts" / "history.csv", TABLE)
    assert len(read_folder(tmp_path).runs) == 1


def test_every_log_of_a_hydra_job_has_its_overrides_and_its_sweep(tmp_path: Path) -> None:
    sweep = tmp_path / "multirun" / "2026-01-02"
    write_text(sweep / "multirun.yaml", "hydra: {}\n")
    for job, (name, text) in enumerate(
        (
            ("csv/version_0/metrics.csv", "step,loss\n1,2\n"),
            ("progress.txt", "Epoch\tLoss\n0\t1\n"),
            ("out/trainer_state.json", '{"log_history": [{"step": 1, "loss": 2}], "global_step": 1}'),
            ("log.txt", '{"epoch": 1, "loss": 2}\n{"epoch": 2, "loss": 1}\n'),
        )
    ):
        write_text(sweep / str(job) / ".hydra" / "config.yaml", f"lr: {job}\n")
        write_text(sweep / str(job) / ".hydra" / "overrides.yaml", f"- lr={job}\n")
        write_text(sweep / str(job) / name, text)
    records = read_folder(tmp_path).runs.values()
    assert [r.metadata.get("overrides") for r in records] == [[f"lr={job}"] for job in range(4)]
    assert {r.group for r in records} == {"multirun/2026-01-02"}


HISTORIES = {
    "rows.json": [{"epoch": 1, "loss": 0.5, "sub": {"a": 2}}, {"epoch": 2, "loss": math.nan, "sub": {"a": 3}}],
    "result.json": {"config": {"lr": 0.1}, "epochs": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]},
    "history.json": {"loss": [0.5, 0.25], "val": {"acc": [1, 2]}},
    "training_log.json": {"epoch": [3, 4], "loss": [0.5, 0.25]},
    "losses.json": [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.25}],
}
STEPS = {
    "rows.json": [1, 2],
    "result.json": [1, 2],
    "history.json": [0, 1],
    "training_log.json": [3, 4],
    "losses.json": [0, 1],
}


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_history_dumped_as_one_value_is_read_by_its_axis_or_by_position(
    name: str, indent: int, tmp_path: Path
) -> None:
    write_text(tmp_path / "run" / name, json.dumps(HISTORIES[name], indent=indent))
    found = read_folder(tmp_path)
    assert list(found.runs) == ["run"]
    assert found.series("run", "b" if name == "losses.json" else "loss")[0] == STEPS[name]
    assert found.runs["run"].hyperparameters == ({"lr": 0.1} if name == "result.json" else {})
    if name == "history.json":
        assert found.series("run", "val.acc") == ([0, 1], [1.0, 2.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data.json", [{"id": 1, "x": 0.5}, {"id": 2, "x": 0.25}]),
        ("recipe.json", [{"step": 1, "text": "mix", "who": "a"}, {"step": 2, "text": "bake", "who": "b"}]),
        ("labels.json", {"labels": [0, 1, 1]}),
        ("training_config.json", {"layers": ["a", "b"]}),
    ],
)
def test_data_sets_in_json_are_no_histories(name: str, value: object, tmp_path: Path) -> None:
    write_text(tmp_path / name, json.dumps(value))
    assert not read_folder(tmp_path).runs


def test_a_history_saved_by_pandas_uses_its_row_numbers_as_steps(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "history.csv", ",loss,val_loss\n0,0.5,1\n1,0.25,2\n")
    write_text(tmp_path / "b" / "losses.csv", "train,val\n0.5,1\n0.25,2\n")
    write_text(tmp_path / "c" / "iris.csv", ",width,height\n0,0.5,1\n1,0.25,2\n")
    found = read_folder(tmp_path)
    assert set(found.runs) == {"a", "b"}
    assert found.series("a", "val_loss") == found.series("b", "val") == ([0, 1], [1.0, 2.0])


def test_json_lines_of_one_split_a_file_are_one_run(tmp_path: Path) -> None:
    write_lines(tmp_path / "run" / "train.jsonl", {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25})
    write_lines(tmp_path / "run" / "val.jsonl", {"step": 2, "loss": 1})
    write_text(tmp_path / "run" / "config.yaml", "lr: 0.1\n")
    found = read_folder(tmp_path)
    assert found.series("run", "train/loss") == ([1, 2], [0.5, 0.25])
    assert found.series("run", "val/loss") == ([2], [1.0])
    assert found.runs["run"].hyperparameters == {"lr": 0.1}
    with (tmp_path / "run" / "val.jsonl").open("a") as stream:
        stream.write('{"step": 4, "loss": 2}\n')
    again = JsonSplits().read(read_folder(tmp_path).sources[0], found.readings[0].resume)
    assert again.points.select("metric", "step", "value").rows() == [("val/loss", 4, 2.0)]


@pytest.mark.parametrize("axis", ["global_step", "_step", "iteration", "Step", "num_timesteps", "train_step", "epoch"])
def test_the_usual_names_of_the_axis_are_known_in_json_lines(axis: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "log.jsonl", {axis: 10, "loss": 2}, {axis: 20, "loss": 1})
    found = read_folder(tmp_path)
    assert found.series(next(iter(found.runs)), "loss") == ([10, 20], [2.0, 1.0])


def test_event_files_of_one_run_in_a_folder_for_each_split_are_one_run(tmp_path: Path) -> None:
    for run in ("a", "b"):
        for split in ("train", "validation"):
            rows = [wire.event(1.7e9 + step, step, wire.tensor("epoch_loss", step / 2)) for step in range(3)]
            wire.event_file(tmp_path / run / split / EVENTS, rows)
    for name in ("train", "resnet"):
        wire.event_file(tmp_path / "c" / name / EVENTS, [wire.event(1.7e9, 1, wire.scalar("loss", 0.5))])
    found = read_folder(tmp_path)
    assert set(found.runs) == {"a", "b", "c/resnet", "c/train"}
    assert found.metrics("a") == {"train/epoch_loss", "validation/epoch_loss"}
    assert found.series("a", "train/epoch_loss") == ([0, 1, 2], [0.0, 0.5, 1.0])


@pytest.mark.parametrize("column", ["loss", "train/loss"])
def test_a_dvclive_series_is_named_by_its_path_whatever_its_column_is_called(column: str, tmp_path: Path) -> None:
    write_text(tmp_path / "run" / "plots" / "metrics" / "train" / "loss.tsv", f"step\t{column}\n0\t2\n1\t1\n")
    found = read_folder(tmp_path)
    assert [s.reader for s in found.sources] == ["dvclive"]
    assert found.series("run", "train/loss") == ([0, 1], [2.0, 1.0])


def logged_twice(root: Path, table: str, board: str, *, loss: float = 0.1) -> None:
    losses = [loss + 1 / (7 + step) for step in range(6)]
    rows = "".join(f"{step},{step // 3},{value}\n" for step, value in enumerate(losses))
    write_text(root / table / "metrics.csv", f"step,epoch,train/loss\n{rows}")
    said = [wire.event(1.7e9 + step, step, wire.scalar("train/loss", value)) for step, value in enumerate(losses)]
    wire.event_file(root / board / EVENTS, [wire.event(1.7e9, 0, wire.scalar("hp_metric", -1.0)), *said])
    for place in (table, board):
        write_text(root / place / "hparams.yaml", "lr: 0.1\n")


@pytest.mark.parametrize(
    ("table", "board"),
    [
        ("n/version_0", "n/version_1"),
        ("n/version_1", "n/version_0"),
        ("csv/version_0", "tensorboard/version_0"),
        ("z/n/version_0", "a/n/version_0"),
    ],
)
def test_a_lightning_run_of_two_loggers_in_two_folders_is_counted_once(table: str, board: str, tmp_path: Path) -> None:
    logged_twice(tmp_path, table, board)
    found = read_folder(tmp_path)
    assert list(found.runs) == [table]
    assert [Path(c).resolve().relative_to(tmp_path.resolve()).as_posix() for c in found.sources[0].copies] == [
        f"{board}/{EVENTS}",
        f"{board}/hparams.yaml",
    ]
    assert not found.refused


def test_lightning_runs_with_other_numbers_stay_runs_of_their_own(tmp_path: Path) -> None:
    logged_twice(tmp_path, "n/version_0", "n/version_1")
    logged_twice(tmp_path, "n/version_2", "n/version_3", loss=0.2)
    (tmp_path / "n" / "version_2" / "metrics.csv").unlink()
    assert set(read_folder(tmp_path).runs) == {"n/version_0", "n/version_2", "n/version_3"}


MONITOR = '#{"t_start": 1700000000.0, "env_id": "CartPole-v1"}\nr,l,t\n9.0,9,0.5\n12.0,12,0.9\n'


def test_monitors_in_a_folder_of_their_own_are_part_of_the_logged_run(tmp_path: Path) -> None:
    for run in ("a", "b"):
        write_text(tmp_path / run / "progress.csv", "time/total_timesteps,rollout/ep_rew_mean\n10,1\n20,2\n")
    write_text(tmp_path / "a" / "monitors" / "0.monitor.csv", MONITOR)
    for place in ("x", "y"):  # of two it is not known which are the run's
        write_text(tmp_path / "b" / place / "0.monitor.csv", MONITOR)
    found = read_folder(tmp_path)
    assert set(found.runs) == {"a", "b", "b/x", "b/y"}
    assert found.series("a", "monitor/r") == ([9, 21], [9.0, 12.0])
    assert found.metrics("a") >= {"rollout/ep_rew_mean", "time/total_timesteps"}


def aliases(levels: int, line: str) -> str:
    rows = ["a0: &a0 {x: 1, y: 2, z: 3}", *(line.format(this=i, last=i - 1) for i in range(1, levels))]
    return "\n".join(rows) + "\n"


BOMBS = {
    "aliases of aliases": aliases(30, "a{this}: &a{this} {{x: *a{last}, y: *a{last}, z: *a{last}}}"),
    "merges of merges": aliases(30, "a{this}: &a{this} {{<<: [*a{last}, *a{last}, *a{last}]}}"),
    "an alias of itself": "a: &a [*a]\n",
    "brackets in brackets": "a:\n  " + "[" * 100_000,
    "braces in braces": "{a: " * 5000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_config_that_would_unfold_without_end_is_a_problem_and_no_wait(name: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "run" / "metrics.jsonl", {"step": 1, "loss": 2}, {"step": 2, "loss": 1})
    write_text(tmp_path / "run" / "config.yaml", BOMBS[name])
    began = time.perf_counter()
    found = read_folder(tmp_path)
    assert time.perf_counter() - began < 5
    assert found.series("run", "loss") == ([1, 2], [2.0, 1.0])
    assert found.runs["run"].hyperparameters == {}
    assert ["config cannot be read" in p.reason for p in found.problems] == [True]


def test_defaults_that_a_config_shares_by_aliases_are_read(tmp_path: Path) -> None:
    write_lines(tmp_path / "run" / "metrics.jsonl", {"step": 1, "loss": 2})
    write_text(tmp_path / "run" / "config.yaml", "base: &b {lr: 0.1}\ntrain: {<<: *b, n: 3}\ncopy: *b\n")
    config = {"base": {"lr": 0.1}, "train": {"lr": 0.1, "n": 3}, "copy": {"lr": 0.1}}
    assert read_folder(tmp_path).runs["run"].hyperparameters == config


@pytest.mark.parametrize("key", ["event", "type", "kind", "set"])
def test_rows_that_name_their_split_under_another_key_are_series_of_their_own(key: str, tmp_path: Path) -> None:
    rows = [{key: ("train", "eval")[i % 2], "step": i // 2, "loss": 1 / (i + 1)} for i in range(6)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    found = read_folder(tmp_path)
    (run,) = found.runs
    assert found.series(run, "train/loss") == ([0, 1, 2], [1.0, 1 / 3, 0.2])
    assert found.series(run, "eval/loss") == ([0, 1, 2], [0.5, 0.25, 1 / 6])


def test_an_event_that_is_no_split_is_no_part_of_the_names(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        "".join(f'{{"event": "epoch_end", "step": {i}, "loss": {i}.5}}\n' for i in range(3))
    )
    found = read_folder(tmp_path)
    (run,) = found.runs
    assert found.metrics(run) == {"loss"}
