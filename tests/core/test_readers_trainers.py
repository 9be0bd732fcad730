"""What trainers write, made here: each format as its producer lays it out, whole, cut off, doubled and damaged."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.reading import Found, read_folder

from sweeplens.errors import FormatError
from sweeplens.readers import READERS
from sweeplens.readers.protocol import Resume


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    """Files below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def read(root: Path, files: dict[str, str | bytes]) -> Found:
    """Files written, discovered and read."""
    return read_folder(write(root, files))


def state(step: int, most: int, *entries: dict[str, Any], **more: Any) -> str:
    """A trainer's state as transformers writes it."""
    known = {
        "best_metric": None,
        "global_step": step,
        "log_history": list(entries),
        "logging_steps": 5,
        "max_steps": most,
    }
    return json.dumps({**known, **more}, indent=2)


LOSS = {"epoch": 0.5, "loss": 2.0, "step": 5}
EVAL = {"epoch": 0.5, "eval_loss": float("nan"), "eval_report": {"f1": 1}, "step": 5}


def test_a_trainers_state_wins_over_its_checkpoints_and_its_event_files(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "out/trainer_state.json": state(10, 10, LOSS, EVAL, {**LOSS, "step": 10, "loss": 1.0}, train_batch_size=8),
            "out/checkpoint-5/trainer_state.json": state(5, 10, LOSS),
            "out/checkpoint-10/trainer_state.json": state(10, 10, LOSS),
            "out/runs/Apr01_host/events.out.tfevents.1.host.1.0": b"\0" * 200,
            "out/config.json": '{"architectures": ["Bert"], "hidden_size": 3}',
            "out/all_results.json": '{"eval_loss": 0.25, "epoch": 1.0}',
        },
    )
    assert list(found.runs) == ["out"]
    run = found.runs["out"]
    assert found.series("out", "loss") == ([5, 10], [2.0, 1.0])
    assert found.series("out", "epoch")[0] == [5, 5, 10]
    assert (run.status, dict(run.non_scalar)) == ("finished", {"eval_report": 1})
    assert run.hyperparameters == {"max_steps": 10, "train_batch_size": 8, "logging_steps": 5}
    assert run.metadata["results"] == {"eval_loss": 0.25, "epoch": 1.0}
    assert len(found.sources[0].copies) == 3
    assert [Path(r).name for r in found.refused] == ["config.json"]  # the model's, not the run's


def test_without_a_state_of_its_own_the_furthest_checkpoint_is_the_run(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "out/checkpoint-90/trainer_state.json": state(90, 200, {"loss": 9.0, "step": 90}),
            "out/checkpoint-100/trainer_state.json": state(100, 200, {"loss": 1.0, "step": 100}),
        },
    )
    assert found.series("out", "loss") == ([100], [1.0])
    assert found.runs["out"].status == ""


def test_a_checkpoint_beyond_the_saved_state_is_a_problem(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"trainer_state.json": state(5, 5, LOSS), "checkpoint-20/trainer_state.json": state(20, 20, LOSS)},
    )
    assert "checkpoint-20 went further" in found.problems[0].reason


def test_a_search_trials_parameters_are_hyperparameters(tmp_path: Path) -> None:
    text = state(5, 5, LOSS, trial_name="t3", trial_params={"learning_rate": 1e-4})
    run = read(tmp_path, {"run-3/checkpoint-5/trainer_state.json": text}).runs["run-3"]
    assert (run.name, run.hyperparameters["learning_rate"]) == ("t3", 1e-4)


def test_a_state_that_is_cut_off_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"trainer_state\.json is not complete"):
        read(tmp_path, {"out/trainer_state.json": state(5, 5, LOSS)[:-40]})


LIGHTNING = "epoch,lr-SGD,step,train_loss_step,val/acc\n,0.1,0,,\n0,,4,2.5,\n0,,9,nan,\n0,,9,,0.5\n"


def test_sparse_rows_of_lightning_are_series_and_python_objects_are_data(tmp_path: Path) -> None:
    hparams = (
        "lr: 1e-4\nname: mlp\nconfig:\n  hidden: !!python/tuple [32, 8]\n  act: !!python/object:x.Act {name: relu}\n"
    )
    found = read(tmp_path, {"exp/version_0/metrics.csv": LIGHTNING, "exp/version_0/hparams.yaml": hparams})
    run = found.runs["exp/version_0"]
    assert found.series("exp/version_0", "val/acc") == ([9], [0.5])
    assert found.series("exp/version_0", "lr-SGD") == ([0], [0.1])
    assert found.series("exp/version_0", "epoch")[0] == [4, 9, 9]
    assert run.hyperparameters == {"lr": 1e-4, "name": "mlp", "config": {"hidden": [32, 8], "act": {"name": "relu"}}}


def test_a_version_that_ended_before_its_first_row_is_a_run_without_points(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "version_0/metrics.csv": LIGHTNING,
            "version_0/hparams.yaml": "{}",
            "version_1/hparams.yaml": "lr: 0.5",
            "version_2/hparams.yaml": "lr: 0.5",
            "version_2/metrics.csv": "",
            "retry/hparams.yaml": "lr: 0.25",
        },
    )
    assert set(found.runs) == {"version_0", "version_1", "version_2", "retry"}
    assert found.runs["version_2"].hyperparameters == {"lr": 0.5}
    assert not found.metrics("version_1")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", "#"])
def test_keras_writes_any_separator_and_na_where_there_was_no_validation(tmp_path: Path, separator: str) -> None:
    rows = [["epoch", "accuracy", "loss", "val_loss"], ["0", "0.5", "2.0", "NA"], ["1", "0.75", "nan", "1.5"]]
    found = read(tmp_path, {"a/training.log": "".join(separator.join(r) + "\n" for r in rows)})
    assert found.series("a", "accuracy") == ([0, 1], [0.5, 0.75])
    assert found.series("a", "val_loss") == ([1], [1.5])


def test_a_grown_table_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/training.log": "epoch,acc,loss\n0,1,2\n"})
    first = read_folder(root)
    write(tmp_path, {"a/training.log": "epoch,acc,loss\n0,1,2\n1,3,x\n"})
    reader = next(r for r in READERS if r.name == first.sources[0].reader)
    assert isinstance(first.readings[0].resume, Resume)
    later = reader.read(read_folder(root).sources[0], first.readings[0].resume)
    assert later.points.select("metric", "step", "value").rows() == [("acc", 1, 3.0)]
    assert later.runs[0].non_scalar == {"loss": 1}


SPINUP = "Epoch\tAverageEpRet\tTotalEnvInteracts\tTime\n0\t1.5\t4000\t0.5\n1\t2.5\t8000\n"


def test_spinning_up_keeps_other_axes_and_leaves_its_logger_out(tmp_path: Path) -> None:
    config = json.dumps(
        {"exp_name": "cart", "epochs": 2, "seed": 3, "logger": {"<x>": {}}, "logger_kwargs": {"o": "/p"}}
    )
    found = read(tmp_path, {"cart/cart_s3/progress.txt": SPINUP, "cart/cart_s3/config.json": config})
    run = found.runs["cart/cart_s3"]
    assert found.series("cart/cart_s3", "TotalEnvInteracts") == ([0, 1], [4000.0, 8000.0])
    assert found.series("cart/cart_s3", "Time") == ([0], [0.5])
    assert (run.group, run.status) == ("cart", "finished")
    assert run.hyperparameters == {"exp_name": "cart", "epochs": 2, "seed": 3}


def test_an_empty_progress_file_is_a_run_without_points(tmp_path: Path) -> None:
    found = read(tmp_path, {"a_s0/progress.txt": "", "a_s0/config.json": '{"exp_name": "a", "epochs": 5}'})
    assert found.runs["a_s0"].status == ""
    assert not found.metrics("a_s0")


V5 = """               epoch,      train/box_loss,   metrics/precision,        val/box_loss,               x/lr0
                   0,             0.10814,            0.013591,            0.095048,            0.070789
                   1,            0.085349,             0.44085,                 nan,            0.040768
"""
V8 = "epoch,time,train/box_loss,metrics/mAP50(B),val/box_loss,lr/pg0\n1,9.5,1.25,0.5,1.5,0.1\n2,19.5,inf,0.6,1.4,0.1\n"


def test_yolo_v5_pads_its_table_counts_from_0_and_has_two_configs(tmp_path: Path) -> None:
    files = {
        "exp/results.csv": V5,
        "exp/opt.yaml": "epochs: 2\nname: exp\nhyp: data/hyp.yaml\n",
        "exp/hyp.yaml": "lr0: 0.01\n",
    }
    found = read(tmp_path, dict(files))
    assert found.series("exp", "train/box_loss") == ([0, 1], [0.10814, 0.085349])
    assert found.runs["exp"].hyperparameters["hyp"] == {"lr0": 0.01}
    assert found.runs["exp"].status == "finished"


def test_yolo_v8_counts_from_1_and_its_time_is_no_date(tmp_path: Path) -> None:
    found = read(tmp_path, {"train/results.csv": V8, "train/args.yaml": "epochs: 100\nmodel: a.pt\ncfg: null\n"})
    assert found.series("train", "train/box_loss") == ([1, 2], [1.25, float("inf")])
    assert found.series("train", "time") == ([1, 2], [9.5, 19.5])
    assert found.runs["train"].hyperparameters == {"epochs": 100, "model": "a.pt", "cfg": None}
    assert found.runs["train"].status == ""


PROGRESS = "time/total_timesteps,rollout/ep_rew_mean,train/loss\n128,30.0,\n256,22.5,0.5\n"
LINES = '{"time/total_timesteps": 128, "rollout/ep_rew_mean": 30.0}\n{"time/total_timesteps": 256, "train/loss": NaN}\n'


def monitor(start: float, *episodes: tuple[float, int, float]) -> str:
    """A monitor's file."""
    rows = "".join(f"{r},{length},{t}\n" for r, length, t in episodes)
    return f'#{{"t_start": {start}, "env_id": "CartPole-v1"}}\nr,l,t\n{rows}'


def test_stable_baselines_three_copies_are_counted_once(tmp_path: Path) -> None:
    files = {
        "a/progress.csv": PROGRESS,
        "a/progress.json": LINES,
        "a/monitor.csv": monitor(1.7e9, (25.0, 25, 1.5), (5.0, 5, 2.0)),
    }
    found = read(tmp_path, dict(files))
    assert len(found.runs) == 1
    assert found.series("a", "rollout/ep_rew_mean") == ([128, 256], [30.0, 22.5])
    assert found.series("a", "time/total_timesteps") == ([128, 256], [128.0, 256.0])
    assert found.series("a", "monitor/r") == ([25, 30], [25.0, 5.0])
    assert [Path(c).name for c in found.sources[0].copies] == ["progress.json"]


def test_stable_baselines_lines_are_read_where_the_table_is_missing(tmp_path: Path) -> None:
    found = read(tmp_path, {"a/progress.json": LINES})
    assert found.series("a", "rollout/ep_rew_mean") == ([128], [30.0])
    assert np.isnan(found.series("a", "train/loss")[1][0])


def zoo(root: Path) -> Path:
    """A run of the RL zoo: two environments, evaluations, settings in a folder named after the environment."""
    pairs = "!!python/object/apply:collections.OrderedDict\n- - - {}\n    - {}\n  - - {}\n    - {}\n"
    write(
        root,
        {
            "ppo/Env-v1_1/0.monitor.csv": monitor(1.7e9, (1.0, 10, 1.0), (2.0, 10, 4.0)),
            "ppo/Env-v1_1/1.monitor.csv": monitor(1.7e9 + 1, (3.0, 5, 1.0)),
            "ppo/Env-v1_1/Env-v1/config.yml": pairs.format("n_steps", 32, "policy", "MlpPolicy"),
            "ppo/Env-v1_1/Env-v1/args.yml": pairs.format("algo", "ppo", "env", "Env-v1"),
        },
    )
    arrays: dict[str, Any] = {"timesteps": np.array([10, 20]), "results": np.array([[1.0, 3.0], [5.0, 7.0]])}
    np.savez(root / "ppo/Env-v1_1/evaluations.npz", **arrays, ep_lengths=np.array([[1, 2], [3, 4]]))
    return root


def test_all_environments_of_the_rl_zoo_are_one_run_in_the_order_of_time(tmp_path: Path) -> None:
    found = read_folder(zoo(tmp_path))
    run = found.runs["ppo/Env-v1_1"]
    assert found.series(run.id, "monitor/r") == ([10, 15, 25], [1.0, 3.0, 2.0])
    assert found.series(run.id, "eval/mean_reward") == ([10, 20], [2.0, 6.0])
    assert found.series(run.id, "eval/mean_ep_length") == ([10, 20], [1.5, 3.5])
    assert run.hyperparameters == {"n_steps": 32, "policy": "MlpPolicy"}
    assert (run.group, run.metadata["args.algo"]) == ("ppo/Env-v1", "ppo")
    assert not found.refused


def test_an_archive_is_never_unpickled_and_never_believed(tmp_path: Path) -> None:
    home = zoo(tmp_path) / "ppo/Env-v1_1/evaluations.npz"
    np.savez(home, timesteps=np.array([1]), results=np.array([{}], dtype=object))
    assert "no plain array" in read_folder(tmp_path).problems[0].reason
    np.savez(home, timesteps=np.arange(10), results=np.zeros((10, 10)))
    home.write_bytes(home.read_bytes().replace(b"(10, 10)", b"(10, 99)"))
    found = read_folder(tmp_path)
    assert "evaluations.npz" in found.problems[0].reason
    assert found.metrics("ppo/Env-v1_1") == {"monitor/r", "monitor/l", "monitor/t"}


def result(i: int, **more: Any) -> str:
    """A line of Ray's results."""
    known = {"training_iteration": i, "trial_id": "ab_0", "timestamp": 1700000000 + i, "done": False, "date": "x"}
    return json.dumps({**known, "nested": {"f1": i / 4, "per_class": [1, 2]}, "config": {"lr": 9}, **more}) + "\n"


TRIAL = "exp/train_ab_0_lr=0.1"
RAY: dict[str, str | bytes] = {
    f"{TRIAL}/result.json": result(1) + result(2, done=True),
    f"{TRIAL}/params.json": '{"lr": 0.1, "opt": {"name": "sgd"}}',
    f"{TRIAL}/progress.csv": "training_iteration,nested/f1\n1,0.25\n2,0.5\n",
}


def experiment(status: str) -> str:
    """The state of an experiment with one trial: JSON texts inside JSON."""
    about = json.dumps({"trial_id": "ab_0", "status": status}), json.dumps({"start_time": 1.7e9})
    return json.dumps({"trial_data": [about], "stats": {}})


def test_ray_writes_three_times_and_is_counted_once(tmp_path: Path) -> None:
    found = read(tmp_path, {**RAY, "exp/experiment_state-1.json": experiment("TERMINATED")})
    run = found.runs[TRIAL]
    assert list(found.runs) == [TRIAL]
    assert found.series(TRIAL, "nested.f1") == ([1, 2], [0.25, 0.5])
    assert found.series(TRIAL, "training_iteration") == ([1, 2], [1.0, 2.0])
    assert run.hyperparameters == {"lr": 0.1, "opt": {"name": "sgd"}}
    assert (run.status, run.group, run.non_scalar["nested.per_class"]) == ("finished", "exp", 2)
    assert run.created_at is not None
    assert "progress.csv" in found.sources[0].copies[0]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({f"{TRIAL}/error.txt": "boom\nValueError: no"}, "failed"),
        ({"exp/experiment_state-1.json": experiment("ERROR")}, "failed"),
        ({"exp/experiment_state-1.json": experiment("TERMINATED"), f"{TRIAL}/error.txt": "once"}, "finished"),
        ({f"{TRIAL}/result.json": result(1), "exp/experiment_state-1.json": experiment("RUNNING")}, ""),
        ({"exp/experiment_state-1.json": '{"trial_data": [["{"]]}'}, "finished"),
        ({}, "finished"),
    ],
)
def test_a_trials_status_comes_from_its_experiment_then_its_error_then_its_last_row(
    tmp_path: Path, more: dict[str, str | bytes], status: str
) -> None:
    found = read(tmp_path, {**RAY, **more})
    assert found.runs[TRIAL].status == status


def test_a_trial_without_results_is_a_run_and_a_table_alone_is_read(tmp_path: Path) -> None:
    table = {f"{TRIAL}/progress.csv": RAY[f"{TRIAL}/progress.csv"]}
    empty = {
        "exp/train_cd_1/params.json": '{"lr": 1}',
        "exp/train_cd_1/result.json": "",
        "exp/train_cd_1/error.txt": "boom",
    }
    found = read(tmp_path, {**table, **empty})
    assert found.series(TRIAL, "nested/f1") == ([1, 2], [0.25, 0.5])
    assert (found.runs["exp/train_cd_1"].status, found.runs["exp/train_cd_1"].metadata["error"]) == ("failed", "boom")


EVALS = "accumulated_submission_time,global_step,score,train/loss\n36.5,1,36.5,104.0\n70.5,42,70.5,0.5\n"


def test_algoperf_counts_an_evaluation_once_and_keeps_what_only_the_full_table_has(tmp_path: Path) -> None:
    every = "accumulated_submission_time,global_step,grad_norm,score,train/loss\n36.5,1,2.0,36.5,104.0\n,42,,70.5,\n"
    found = read(
        tmp_path,
        {
            "s/mnist/trial_1/eval_measurements.csv": EVALS,
            "s/mnist/trial_1/measurements.csv": every,
            "s/mnist/trial_1/hparams.json": '{"learning_rate": 0.5, "name": "x"}',
            "s/mnist/trial_1/flags_0.json": '{"workload": "mnist", "v": 0}',
            "s/mnist/trial_2/hparams.json": '{"learning_rate": 0.25}',
        },
    )
    run = found.runs["s/mnist/trial_1"]
    assert found.series(run.id, "train/loss") == ([1, 42], [104.0, 0.5])
    assert found.series(run.id, "grad_norm") == ([1], [2.0])
    assert run.hyperparameters == {"learning_rate": 0.5, "name": "x"}
    assert (run.group, dict(run.metadata)) == ("s/mnist", {"workload": "mnist"})
    assert found.runs["s/mnist/trial_2"].hyperparameters == {"learning_rate": 0.25}


def test_dvclive_names_series_by_their_path_and_runs_without_its_default_folder(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "a/dvclive/plots/metrics/train/loss.tsv": "step\tloss\n0\t1.5\n1\tnan\n0\t1.25\n",
            "a/dvclive/plots/metrics/lr.tsv": "timestamp\tstep\tlr\n1700000000000\t0\t0.1\n",
            "a/dvclive/metrics.json": '{"train": {"loss": "nan"}, "lr": 0.1, "step": 1, "final": {"score": 1.5}}',
            "a/dvclive/params.yaml": "optim:\n  lr: 1e-3\n",
        },
    )
    assert found.series("a", "train/loss")[0] == [0, 1, 0]
    assert found.series("a", "lr") == ([0], [0.1])
    assert found.runs["a"].hyperparameters == {"optim": {"lr": 1e-3}}
    assert found.runs["a"].metadata == {"summary.final.score": 1.5}


@pytest.mark.parametrize("place", ["", "scalars/", "plots/scalars/"])
def test_dvclive_of_old_keeps_its_series_elsewhere_and_its_parameters_above(tmp_path: Path, place: str) -> None:
    series = "timestamp\tstep\tloss\n1626293181077\t0\t1.5\n"
    found = read(tmp_path, {f"a/dvclive/{place}loss.tsv": series, "a/params.yaml": "lr: 0.5\n"})
    assert found.series("a", "loss") == ([0], [1.5])
    assert found.runs["a"].hyperparameters == {"lr": 0.5}
    assert str(found.readings[0].points["wall_time"][0]).startswith("2021-07-14 20:06:21.077")


def stats(kimg: float, **more: Any) -> str:
    """A row of NVlabs' statistics."""
    row = {"Loss/G": {"num": 3, "mean": 0.5, "std": None}, "Progress/kimg": {"num": 1, "mean": kimg, "std": 0.0}}
    return json.dumps({**row, "timestamp": 1.7e9 + kimg, **more}) + "\n"


def test_nvlabs_statistics_stand_at_their_thousand_images_and_metrics_at_their_snapshots(tmp_path: Path) -> None:
    score = {
        "results": {"fid": 1e57},
        "metric": "fid",
        "snapshot_pkl": "network-snapshot-000004.pkl",
        "timestamp": 1.7e9,
    }
    found = read(
        tmp_path,
        {
            "00001-x/stats.jsonl": stats(0.032) + stats(4.032) + stats(8.032)[:50],
            "00001-x/metric-fid.jsonl": json.dumps(score) + "\n",
            "00001-x/training_options.json": '{"total_kimg": 4, "G": {"lr": 0.1}}',
        },
    )
    run = found.runs["00001-x"]
    assert found.series(run.id, "Loss/G.mean") == ([0, 4], [0.5, 0.5])
    assert found.series(run.id, "fid") == ([4], [1e57])
    assert (run.status, dict(run.non_scalar)) == ("finished", {"Loss/G.std": 2})
    assert run.hyperparameters == {"total_kimg": 4, "G": {"lr": 0.1}}
    assert [p.kind for p in found.problems] == ["torn"]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, cut out or cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if found:
            found[rng.randrange(len(found))] = rng.choice(b'"\n\r,\t0e-#{}[]:\0\xff')
    return bytes(found[: rng.randrange(len(found) + 1)] if rng.random() < 0.3 else found)


@pytest.mark.parametrize("seed", range(30))
def test_damage_anywhere_is_a_problem_or_a_format_error_and_never_a_crash(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    write(
        zoo(tmp_path),
        {**RAY, "exp/experiment_state-1.json": experiment("ERROR"), "y/results.csv": V8, "k/log.csv": EVALS},
    )
    write(
        tmp_path,
        {"h/checkpoint-5/trainer_state.json": state(5, 5, LOSS), "l/metrics.csv": LIGHTNING, "p/progress.txt": SPINUP},
    )
    write(
        tmp_path,
        {"n/stats.jsonl": stats(1) + stats(2), "d/plots/metrics/a.tsv": "step\ta\n0\t1\n", "s/progress.csv": PROGRESS},
    )
    for path in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        path.write_bytes(damaged(path.read_bytes(), rng))
    with contextlib.suppress(FormatError):
        read_folder(tmp_path)
