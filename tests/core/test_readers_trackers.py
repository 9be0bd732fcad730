"""Trackers against the truth of the corpus; and MLflow, Sacred, mmcv and mmengine folders that are not in it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from support.reading import Found, read_folder, statistics

from sweeplens.readers.decoding.values import as_time, status_of
from sweeplens.readers.trainers.mmengine import Mmengine

CORPUS = Path(os.environ.get("SWEEPLENS_CORPUS", "no such folder"))
SETS = {
    "mlflow_file": "mlflow_file",
    "pub_mlflow": "mlflow_file",
    "mlflow_sqlite": "mlflow_sqlite",
    "optuna": "optuna",
    "trackio": "trackio",
    "sacred": "sacred",
    "mmcv_logjson": "mmcv",
    "mmengine": "mmengine",
}
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="SWEEPLENS_CORPUS names no folder")


def truth_of(name: str) -> dict[str, Any]:
    return json.loads((CORPUS / name / "expected.json").read_text("utf-8"))["runs"]


def close(want: object, got: float | int | None) -> bool:
    if isinstance(want, str):
        want = float(want)
    if want is None or got is None:
        return want is got
    assert isinstance(want, int | float)
    return want == got or (math.isnan(want) and math.isnan(got)) or math.isclose(want, got, rel_tol=1e-6)


def flat(nested: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(nested, dict) or not nested:
        return {prefix[:-1]: nested}
    return {k: v for key, value in nested.items() for k, v in flat(value, f"{prefix}{key}.").items()}


@needs_corpus
@pytest.mark.parametrize(("name", "reader"), SETS.items())
def test_a_set_of_the_corpus_reads_as_its_truth_says(name: str, reader: str) -> None:
    found, truth = read_folder(CORPUS / name / "logs"), truth_of(name)
    assert {s.reader for s in found.sources} == {reader}
    assert set(found.runs) == set(truth)
    assert not found.problems
    wrong = [w for run, expected in truth.items() for w in differences(found, run, expected)]
    assert not wrong, "\n".join(wrong[:20])


def differences(found: Found, run: str, expected: dict[str, Any]) -> list[str]:
    """A sentence for each thing of a run that is not as expected."""
    record = found.runs[run]
    given = flat(record.hyperparameters)
    wrong = [
        f"{run}: {k}={given.get(k)!r}" for k, v in expected["hyperparameters"].items() if given.get(k, "absent") != v
    ]
    if "status" in expected and record.status != status_of(expected["status"]):
        wrong.append(f"{run}: status {record.status!r}")
    if found.metrics(run) - set(expected["metrics"]) - {"value", "values_0", "values_1"}:
        wrong.append(f"{run}: more metrics than logged")
    for metric, want in expected["metrics"].items():
        if want["sum_finite"] == "overflow":  # checked apart, below
            continue
        got = statistics(*found.series(run, metric))
        wrong += [f"{run} {metric}: {k} is {got[k]}, not {want[k]}" for k in got if not close(want[k], got[k])]
    return wrong


@needs_corpus
def test_infinities_that_mlflow_keeps_as_the_largest_float_are_infinities() -> None:
    """The truth of the sqlite set comes through MLflow's client, which hands out 1.797e308 and calls it finite. The same run
    in MLflow's files, where infinity is written as a word, says how many infinities were logged."""
    [(run, _)] = [(k, r) for k, r in truth_of("mlflow_sqlite").items() if r["name"] == "A_diverged"]
    [meant] = [r["metrics"]["train/ppl"] for r in truth_of("mlflow_file").values() if r["name"] == "A_diverged"]
    got = statistics(*read_folder(CORPUS / "mlflow_sqlite" / "logs").series(run, "train/ppl"))
    assert meant["n_posinf"] > 0
    assert all(close(meant[k], got[k]) for k in got)


@needs_corpus
@pytest.mark.parametrize("name", ["mlflow_file", "mlflow_sqlite"])
def test_mlflow_runs_know_their_names_experiments_parents_tags_times_and_deletion(name: str) -> None:
    found = read_folder(CORPUS / name / "logs").runs
    for run, expected in truth_of(name).items():
        record = found[run]
        assert (record.name, record.group, record.parent) == (
            expected["name"], expected["experiment"], expected["parent"] or "",
        )  # fmt: skip
        assert record.metadata["lifecycle"] == expected["lifecycle"]
        assert record.created_at == as_time(expected["start_time"])
        assert expected["end_time"] is None or record.updated_at == as_time(expected["end_time"])
        own = {k: v for k, v in expected["tags"].items() if not k.startswith("mlflow.")}
        assert record.tags == tuple(f"{k}={v}" for k, v in own.items())


@needs_corpus
def test_optuna_trials_bring_their_objectives_attributes_and_study() -> None:
    found = read_folder(CORPUS / "optuna" / "logs")
    for run, expected in truth_of("optuna").items():
        record, finals = found.runs[run], expected["final_values"] or []
        assert (record.group, record.metadata["state"]) == (expected["study"], expected["status"])
        assert record.metadata.get("user_attrs", {}) == expected["user_attrs"]
        names = ["value"] if len(finals) == 1 else [f"values_{i}" for i in range(len(finals))]
        assert [found.series(run, n)[1] for n in names] == [[v] for v in finals]


@needs_corpus
def test_sacred_runs_bring_their_times_results_and_errors() -> None:
    found = read_folder(CORPUS / "sacred" / "logs").runs
    for run, expected in truth_of("sacred").items():
        assert found[run].created_at == as_time(expected["start_time"])
        assert found[run].updated_at == as_time(expected["stop_time"] or expected["heartbeat"])
        assert (expected["status"] == "FAILED") == ("error" in found[run].metadata)


# --- MLflow's files ---------------------------------------------------------------------------------------------------


def mlflow_run(home: Path, run: str, *, experiment: str = "7", meta: str = "", **parts: dict[str, str]) -> Path:
    """A run folder as MLflow's file store lays it out; ``parts`` are metrics, params, tags."""
    folder = home / experiment / run
    folder.mkdir(parents=True)
    fields = (
        meta
        or f"lifecycle_stage: active\nrun_name: 'it''s {run}'\nstart_time: 1700000000000\nstatus: 3\nend_time: null\n"
    )
    (folder / "meta.yaml").write_text(f"experiment_id: '{experiment}'\nrun_id: {run}\n{fields}")
    (home / experiment / "meta.yaml").write_text(f"experiment_id: '{experiment}'\nname: study {experiment}\n")
    for kind, contents in parts.items():
        for name, text in contents.items():
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / name).write_bytes(text.encode())
    return folder


def test_mlflow_metrics_with_nested_names_words_for_infinity_and_no_steps(tmp_path: Path) -> None:
    metrics = {
        "eval/deep/f1 score": "1700000000001 0.5 10\n1700000000002 nan 20\n1700000000003 -inf 30\n",
        "old": "1700000000 1.5\n1700000001 2.5\n",
    }
    mlflow_run(tmp_path, "r1", metrics=metrics, params={"opt/lr": " 0.1\n", "empty": ""})
    found = read_folder(tmp_path)
    steps, values = found.series("r1", "eval/deep/f1 score")
    assert (steps, values[0], values[2]) == ([10, 20, 30], 0.5, -math.inf)
    assert math.isnan(values[1])
    assert found.series("r1", "old") == ([0, 1], [1.5, 2.5])
    assert found.runs["r1"].hyperparameters == {"opt/lr": "0.1", "empty": ""}
    assert (found.runs["r1"].name, found.runs["r1"].group) == ("it's r1", "study 7")
    assert found.runs["r1"].updated_at == as_time(1700000000003), (
        "a run without an end was last heard of in its metrics"
    )


def test_mlflow_children_point_to_their_parents_and_experiments_stay_apart(tmp_path: Path) -> None:
    mlflow_run(tmp_path, "up", metrics={"m": "1 1 0\n"})
    mlflow_run(tmp_path, "down", experiment="8", tags={"mlflow.parentRunId": "up", "team": "vision", "done": ""})
    runs = read_folder(tmp_path).runs
    assert (runs["down"].parent, runs["up"].parent) == ("up", "")
    assert (runs["down"].group, runs["up"].group) == ("study 8", "study 7")
    assert runs["down"].tags == ("done", "team=vision")


def test_files_inside_an_mlflow_run_are_not_read_twice(tmp_path: Path) -> None:
    folder = mlflow_run(tmp_path, "r1", metrics={"loss": "1 1 0\n"})
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "metrics.jsonl").write_text('{"step": 0, "loss": 1}\n{"step": 1, "loss": 1}\n')
    (tmp_path / "7" / "models" / "m-1").mkdir(parents=True)
    (tmp_path / "7" / "models" / "m-1" / "meta.yaml").write_text("experiment_id: '7'\nmodel_id: m-1\n")
    assert set(read_folder(tmp_path).runs) == {"r1"}


def test_a_damaged_mlflow_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    mlflow_run(tmp_path, "r1", metrics={"loss": "1 1.0 0\n1 zwei 1\n1 3.0 99999999999999999999\n1 4.0 3\n17"})
    found = read_folder(tmp_path)
    assert found.series("r1", "loss") == ([0, 3], [1.0, 4.0])
    assert [(p.line, p.kind) for p in found.problems] == [(2, "malformed"), (3, "malformed"), (5, "torn")]


@pytest.mark.parametrize(
    "meta", ["status: 3\nnote: |\n  two\n  lines\n", 'status: 3\nrun_name: "a \\"b\\""\n', "status: 3\n: : :\n\t- x"]
)
def test_a_meta_file_that_is_not_flat_is_yaml_and_one_that_is_broken_is_a_problem(tmp_path: Path, meta: str) -> None:
    mlflow_run(tmp_path, "r1", meta=meta, metrics={"loss": "1 1.0 0\n"})
    found = read_folder(tmp_path)
    assert found.series("r1", "loss") == ([0], [1.0])
    assert bool(found.problems) == (found.runs["r1"].status == "")
    assert found.runs["r1"].id == "r1"


# --- Sacred -----------------------------------------------------------------------------------------------------------


def sacred_run(folder: Path, **files: object) -> Path:
    """A folder as Sacred's observer writes it; ``files`` are the contents of its JSON files."""
    folder.mkdir(parents=True)
    run = {
        "artifacts": [], "command": "train", "experiment": {"base_dir": "/x", "name": "maze"}, "heartbeat": "2024-05-01T10:00:09",
        "host": {"hostname": "h"}, "meta": {"options": {}}, "result": None, "start_time": "2024-05-01T10:00:00",
        "status": "INTERRUPTED",
    }  # fmt: skip
    for name, content in {"run": run, "config": {"lr": 0.1}, **files}.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return folder


def test_pymarl_keeps_its_series_in_info(tmp_path: Path) -> None:
    wrapped = {"dtype": "float64", "py/object": "numpy.float64", "value": 0.25}
    info = {"win_mean": [0, wrapped], "win_mean_T": [100, 200], "best": 0.5, "replay": "path", "alone": [1, 2, 3]}
    sacred_run(tmp_path / "4", info=info, metrics={}, config={"seed": 3, "hidden": {"py/tuple": [1, 2]}})
    found = read_folder(tmp_path)
    assert found.series("4", "win_mean") == ([100, 200], [0.0, 0.25])
    assert found.metrics("4") == {"win_mean"}
    assert found.runs["4"].non_scalar == {"info.replay": 1, "info.alone": 3}
    assert found.runs["4"].metadata["info"] == {"best": 0.5}
    assert found.runs["4"].hyperparameters == {"seed": 3, "hidden": [1, 2]}
    assert (found.runs["4"].status, found.runs["4"].group) == ("killed", "maze")


def test_sacred_lists_in_info_are_series_where_nothing_else_is(tmp_path: Path) -> None:
    sacred_run(tmp_path / "1", info={"loss": [3.0, 2.0, 1.0], "names": ["a", "b"]})
    found = read_folder(tmp_path)
    assert found.series("1", "loss") == ([0, 1, 2], [3.0, 2.0, 1.0])
    assert found.runs["1"].non_scalar == {"info.names": 2}


def test_a_sacred_file_that_is_being_written_is_a_problem_of_its_own(tmp_path: Path) -> None:
    good = {"acc": {"steps": [5, 10], "timestamps": ["2024-05-01T10:00:01"], "values": [0.5, math.nan]}}
    sacred_run(tmp_path / "1", metrics=good, config='{"lr": 0.')
    found = read_folder(tmp_path)
    steps, values = found.series("1", "acc")
    assert (steps, values[0], math.isnan(values[1])) == ([5, 10], 0.5, True)
    assert [(Path(p.file).name, p.line) for p in found.problems] == [("config.json", 1)]


def test_a_run_json_of_another_tool_is_not_read_as_sacred(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"experiment": "mine", "status": "finished"}))
    (tmp_path / "config.json").write_text("{}")
    assert not read_folder(tmp_path).sources


# --- mmcv and mmengine ------------------------------------------------------------------------------------------------


def json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_mmcv_uses_epochs_as_axis_if_iterations_restart_each_epoch(tmp_path: Path) -> None:
    rows = [
        {"mode": "train", "epoch": e, "iter": i, "lr": {"G": 0.1}, "loss": e + i / 100}
        for e in (1, 2)
        for i in (50, 100)
    ]
    json_lines(
        tmp_path / "work" / "0.log.json",
        [{"env_info": "x", "seed": 1}, *rows, {"mode": "val", "epoch": 2, "iter": 7, "mAP": "0.1 0.2"}],
    )
    found = read_folder(tmp_path)
    run = "work/0.log.json"
    assert found.series(run, "train/loss") == ([1, 1, 2, 2], [1.5, 2.0, 2.5, 3.0])
    assert found.metrics(run) == {"train/loss", "train/lr.G"}
    assert found.runs[run].non_scalar == {"val/mAP": 1}
    assert (found.runs[run].hyperparameters, found.runs[run].group) == ({"seed": 1}, "work")


def test_mmcv_uses_iterations_as_axis_if_they_continue_over_epochs(tmp_path: Path) -> None:
    rows = [{"mode": "train", "epoch": 1 + i // 120, "iter": i, "loss": 1.0} for i in (50, 100, 150, 200)]
    json_lines(tmp_path / "a.log.json", [*rows, {"mode": "val", "epoch": 2, "iter": 31, "mIoU": 0.4}])
    one = [{"config": "runner = dict(type='IterBasedRunner', max_iters=90)", "exp_name": "seg.py"}, *rows[:2]]
    json_lines(tmp_path / "b.log.json", one)
    found = read_folder(tmp_path)
    assert found.series("a.log.json", "train/loss")[0] == [50, 100, 150, 200]
    assert found.series("a.log.json", "val/mIoU") == ([200], [0.4])
    assert found.series("b.log.json", "train/loss")[0] == [50, 100]
    assert found.runs["b.log.json"].hyperparameters["runner"] == {"type": "IterBasedRunner", "max_iters": 90}


def test_mmcv_reads_the_configuration_beside_the_log_and_counts_the_board_once(tmp_path: Path) -> None:
    json_lines(tmp_path / "0.log.json", [{"mode": "train", "epoch": 1, "iter": 1, "loss": 1.0}])
    (tmp_path / "0.log").write_text("the same as text")
    (tmp_path / "faster.py").write_text("optimizer = dict(type='SGD', lr=-1e-2)\n__import__('os').system('exit 1')\n")
    (tmp_path / "tf_logs").mkdir()
    (tmp_path / "tf_logs" / "events.out.tfevents.1.host").write_bytes(b"")
    found = read_folder(tmp_path)
    assert [s.reader for s in found.sources] == ["mmcv"]
    assert {Path(c).name for c in found.sources[0].copies} == {"0.log", "events.out.tfevents.1.host"}
    assert found.runs["0.log.json"].hyperparameters == {"optimizer": {"type": "SGD", "lr": -0.01}}


def test_mmengine_reads_rows_and_a_configuration_that_is_never_run(tmp_path: Path) -> None:
    home = tmp_path / "work" / "20240101_000000" / "vis_data"
    json_lines(home / "scalars.json", [{"loss": 1.0, "step": 10}, {"mAP": math.nan, "step": 1, "per_class": [1, 2]}])
    json_lines(home / "20240101_000000.json", [{"loss": 1.0, "step": 10}])
    (home / "config.py").write_text(
        "base = 4\nmodel = dict(depth=base, act='relu', betas=(0.9, 0.999), **extra)\nsize = [base, -base]\n"
        "danger = open('/etc/passwd').read()\nlimit = float('inf')\nnested = {'a': {'b': None}}\n"
    )
    found = read_folder(tmp_path)
    run = "work/20240101_000000"
    config = found.runs[run].hyperparameters
    assert (config["base"], config["size"], config["limit"], config["nested"]) == (
        4,
        [4, -4],
        math.inf,
        {"a": {"b": None}},
    )
    assert (config["danger"], config["model"][:5]) == ("open('/etc/passwd').read()", "dict(")
    assert found.metrics(run) == {"loss", "mAP"}
    assert found.runs[run].non_scalar == {"per_class": 1}
    assert [Path(c).name for c in found.sources[0].copies] == ["20240101_000000.json"]


def test_mmengine_goes_on_where_it_stopped(tmp_path: Path) -> None:
    scalars = json_lines(tmp_path / "t" / "vis_data" / "scalars.json", [{"loss": 1.0, "step": 1, "text": "a"}])
    first = read_folder(tmp_path)
    with scalars.open("a") as stream:
        stream.write('{"loss": 2.0, "step": 2, "text": "b"}\n{"loss": 3.0, "st')
    again = read_folder(tmp_path)
    rest = Mmengine().read(again.sources[0], first.readings[0].resume)
    assert rest.points["step"].to_list() == [2]
    assert rest.runs[0].non_scalar == {"text": 2}
    assert [p.kind for p in rest.problems] == ["torn"]


def test_a_configuration_that_doubles_itself_does_not_grow(tmp_path: Path) -> None:
    home = tmp_path / "t" / "vis_data"
    json_lines(home / "scalars.json", [{"loss": 1.0, "step": 1}])
    (home / "config.py").write_text(
        "a = [1, 1]\n" + "".join(f"{b} = [{a}, {a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    )
    assert read_folder(tmp_path).runs["t"].hyperparameters["i"] == ["h", "h"]


def test_a_meta_file_that_doubles_itself_does_not_grow(tmp_path: Path) -> None:
    doubling = "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    mlflow_run(tmp_path, "r1", meta=f"a: &a [1, 1]\n{doubling}user_id: *i\nstatus: 4\n")
    assert read_folder(tmp_path).runs["r1"].status == "failed"
    assert "user" not in read_folder(tmp_path).runs["r1"].metadata


def test_json_that_nests_without_end_is_a_problem(tmp_path: Path) -> None:
    sacred_run(tmp_path / "1", config='{"a":' * 900 + "1" + "}" * 900, metrics={"m": {"steps": [1], "values": [2]}})
    found = read_folder(tmp_path)
    assert found.series("1", "m") == ([1], [2.0])
    assert "nested deeper than 100 levels" in found.problems[0].reason


def test_a_configuration_that_is_no_python_is_a_problem_and_the_rows_are_read(tmp_path: Path) -> None:
    home = tmp_path / "t" / "vis_data"
    json_lines(home / "scalars.json", [{"loss": 1.0, "step": 1}])
    (home / "config.py").write_text("model = dict(\n" + "(" * 500)
    found = read_folder(tmp_path)
    assert found.series("t", "loss") == ([1], [1.0])
    assert "not a Python configuration" in found.problems[0].reason
