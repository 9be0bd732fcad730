"""The settings of a run are read from where people leave them: beside the log, one folder up, one below."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.readers.decoding.settings_text import looks_like_settings, parse_settings
from sweeplens.readers.tensorboard.text_settings import settings_of_text

CASES = Path(__file__).parent.parent / "data" / "logs"


def log(folder: Path, n: int = 5) -> Path:
    """A log of a few steps."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": i, "loss": 1 / (i + 1)}) + "\n" for i in range(n)))
    return path


def opened(root: Path, **settings: Any) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0, **settings), base_path=root)


def told(root: Path, *hparams: str) -> dict[str, tuple[object, ...]]:
    """Run -> the values of these hyperparameters."""
    runs = opened(root).runs_df
    return {row["run_id"]: tuple(row.get(h) for h in hparams) for row in runs.iter_rows(named=True)}


def test_each_of_five_pairs_has_its_learning_rate() -> None:
    names = ("lr", "algorithm.learning_rate", "optimizer.lr", "trainer_kwargs.policy_lr")
    values = {run: [v for v in row if v is not None] for run, row in told(CASES / "config_nearby", *names).items()}
    assert len(values) == 10
    assert {run: v for run, v in values.items() if v != [0.1 if "exp0" in run else 0.01]} == {}


TEXTS: dict[str, str] = {
    "args.txt": "Namespace(lr=0.1, seed=3, device=device(type='cuda', index=0), layers=[64, 64], name='a, b')",
    "opt.txt": "----- Options -----\n   lr: 0.1      \t[default: 0.2]\n  seed: 3\n   gpu_ids: 0,1\n----- End -----\n",
    "flags.txt": "--lr=0.1\n--seed=3\n--use_bias=true\n",
    "config.toml": 'lr = 0.1\nseed = 3\n[model]\nname = "a"\n',
    "settings.toml": "[optim]\nwd = 0\n[run]\nx = 1\n",
    "hyp.yaml": "lr: 0.1\nseed: 3\n",
    "train-config.yml": "# written by train.py\nlr: 0.1\nseed: 3\n",
    "training_config.json": '{\n "lr": 0.1,\n "seed": 3\n}',
    "options.txt": "{'lr': 0.1, 'seed': 3, 'betas': (0.9, 0.99)}",
    "hparams.txt": "lr = 1e-1\nseed = 3\nnote = warm start\n",
    "params.txt": "TrainConfig(lr=0.1, seed=3, path=PosixPath('/data'))",
}


@pytest.mark.parametrize("name", [n for n in TEXTS if n != "settings.toml"])
def test_every_common_name_and_form_is_read(tmp_path: Path, name: str) -> None:
    log(tmp_path / "a")
    (tmp_path / "a" / name).write_text(TEXTS[name])
    db = opened(tmp_path)
    assert told(tmp_path, "lr", "seed") == {"a": (0.1, 3)}
    assert not db.problems.height


@pytest.mark.parametrize("name", ["args.txt", "opt.txt", "hyp.yaml", "config.toml"])
@pytest.mark.parametrize("table", ["metrics.csv", "progress.txt", "log.tsv"])
def test_settings_beside_a_table_are_no_table(tmp_path: Path, name: str, table: str) -> None:
    (tmp_path / "a").mkdir()
    between = "," if table.endswith(".csv") else "\t"
    rows = ["step,loss", *(f"{i},{1 / (i + 1)}" for i in range(9))]
    (tmp_path / "a" / table).write_text("".join(row.replace(",", between) + "\n" for row in rows))
    (tmp_path / "a" / name).write_text(TEXTS[name])
    db = opened(tmp_path)
    assert [(r["lr"], r["seed"]) for r in db.runs_df.iter_rows(named=True)] == [(0.1, 3)]
    assert db.series_df.select("metric", "n").rows() == [("loss", 9)]


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_claimed_by_its_first_bytes_can_be_read_whole(name: str) -> None:
    data = TEXTS[name].encode()
    assert looks_like_settings(name, data)
    assert isinstance(parse_settings(name, data), dict)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("params.txt", "the parameters of this run were chosen by hand\nand are written down elsewhere\n"),
        ("opt.txt", "".join(f"epoch: {i}\nloss: {1 / (i + 1)}\n" for i in range(20))),
        ("settings.json", '[{"lr": 0.1}, {"lr": 0.2}]'),
        ("options.json", '{"lr": 0.1}\n{"lr": 0.2}\n'),
        ("flags.yaml", "- a\n- b\n"),
        ("args.txt", "1 2 3\n4 5 6\n"),
    ],
)
def test_a_file_that_is_none_is_not_read_for_its_name(tmp_path: Path, name: str, content: str) -> None:
    log(tmp_path / "a")
    (tmp_path / "a" / name).write_text(content)
    runs = opened(tmp_path).runs_df.filter(run_id="a")
    assert not runs.drop([c for c in runs.columns if c != "lr"]).width


def test_the_description_of_a_model_is_no_setting(tmp_path: Path) -> None:
    log(tmp_path / "a")
    model = {"architectures": ["Bert"], "model_type": "bert", "hidden_size": 8}
    (tmp_path / "a" / "config.json").write_text(json.dumps(model))
    assert told(tmp_path, "hidden_size", "model_type") == {"a": (None, None)}


def test_a_configuration_above_is_shared_by_all_runs_below_and_the_nearest_counts(tmp_path: Path) -> None:
    log(tmp_path / "x" / "0" / "logs")
    log(tmp_path / "x" / "1" / "logs")
    (tmp_path / "x" / "cfg.yml").write_text("lr: 0.1\nwd: 1\n")
    (tmp_path / "x" / "1" / "args.json").write_text('{"lr": 0.5}')
    assert told(tmp_path, "lr", "wd") == {"x/0/logs": (0.1, 1), "x/1/logs": (0.5, None)}


def test_the_template_of_a_project_is_not_the_configuration_of_its_runs(tmp_path: Path) -> None:
    log(tmp_path / "project" / "runs" / "a")
    (tmp_path / "project" / "config.yaml").write_text("lr: 0.1\n")
    (tmp_path / "project" / "train.py").write_text("")
    assert told(tmp_path, "lr") == {"project/runs/a": (None,)}


def test_a_key_in_two_files_of_one_folder_gets_two_names(tmp_path: Path) -> None:
    """Isaac Lab writes ``params/agent.yaml`` and ``params/env.yaml``."""
    log(tmp_path / "a")
    (tmp_path / "a" / "params").mkdir()
    (tmp_path / "a" / "params" / "agent.yaml").write_text("seed: 1\nlr: 0.1\n")
    (tmp_path / "a" / "params" / "env.yaml").write_text("seed: 2\nsim: {dt: 0.01}\n")
    assert told(tmp_path, "seed", "lr", "env.seed", "sim.dt") == {"a": (1, 0.1, 2, 0.01)}


def test_the_flags_of_guild_are_read(tmp_path: Path) -> None:
    log(tmp_path / "a" / "out")
    (tmp_path / "a" / ".guild" / "attrs").mkdir(parents=True)
    (tmp_path / "a" / ".guild" / "attrs" / "flags").write_text("lr: 0.1\n")
    assert told(tmp_path, "lr") == {"a/out": (0.1,)}


def _change(path: Path) -> None:
    path.write_text("lr: 0.25\nmore: 1\n")


def _vanish(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("act", "wanted"), [(_change, 0.25), (_vanish, None)])
@pytest.mark.parametrize("where", ["a/cfg.yaml", "cfg.yaml", "a/params/agent.yaml"])
def test_a_change_of_the_file_is_a_change_of_the_run(
    tmp_path: Path, act: Callable[[Path], None], wanted: float | None, where: str
) -> None:
    root = tmp_path / "root"
    log(root / "b" / "a")
    path = root / "b" / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("lr: 0.1\n")
    db = opened(root)
    assert db.runs_df["lr"].to_list() == [0.1]
    act(path)
    db.refresh()
    assert [row.get("lr") for row in db.runs_df.iter_rows(named=True)] == [wanted]


@pytest.mark.parametrize("where", ["a/cfg.yaml", "cfg.yaml", "a/params/agent.yaml"])
def test_a_file_that_appears_later_is_read(tmp_path: Path, where: str) -> None:
    root = tmp_path / "root"
    log(root / "b" / "a")
    db = opened(root)
    assert "lr" not in db.runs_df.columns
    path = root / "b" / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("lr: 0.1\n")
    db.refresh()
    assert db.runs_df["lr"].to_list() == [0.1]


KEYS = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
VALUES = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.booleans() | st.none() | st.lists(st.integers())


@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_a_printed_namespace_is_read_as_its_values(values: dict[str, object]) -> None:
    from argparse import Namespace
    from keyword import iskeyword

    values = {k: v for k, v in values.items() if not iskeyword(k)} or {"lr": 0.1}
    assert parse_settings("args.txt", repr(Namespace(**values)).encode()) == values


@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_lines_of_key_and_value_are_what_they_were(values: dict[str, object]) -> None:
    text = "".join(f"{k}: {v}\n" for k, v in values.items())
    assert parse_settings("args.txt", text.encode()) == values


def test_a_folder_is_read_from_a_copy_too(tmp_path: Path) -> None:
    shutil.copytree(CASES / "config_nearby" / "up-one" / "exp0", tmp_path / "exp0")
    assert told(tmp_path / "exp0", "optimizer.lr") == {"logs": (0.1,)}


def test_cleanrl_writes_its_settings_as_a_table_of_text() -> None:
    runs = opened(CASES / "cleanrl").runs_df
    assert runs.select("learning_rate", "seed", "anneal_lr", "env_id").rows() == [
        (0.00025, 1, True, "CartPole-v1"),
        (0.001, 2, True, "CartPole-v1"),
    ]


def test_transformers_writes_its_arguments_as_json_into_its_event_files() -> None:
    db = opened(CASES / "hf_tensorboard")
    runs = db.runs_df.select("learning_rate", "seed", "weight_decay", "optim").rows()
    assert runs == [(lr, seed, 0.0, "adamw_torch_fused") for lr in (0.0001, 0.03) for seed in range(3)]
    assert db.rank("eval_loss").table["n"].to_list() == [3, 3]


@pytest.mark.parametrize(
    ("tag", "text", "wanted"),
    [
        ("args/text_summary", '{"lr": 0.1, "seed": 3}', {"lr": 0.1, "seed": 3}),
        ("hyperparameters", "|param|value|\n|-|-|\n|lr|0.1|\n|note|a|b|\n", {"lr": 0.1, "note": "a|b"}),
        ("notes", "| Parameter | Value |\n|:--|--:|\n| lr | 1e-3 |\n", {"lr": 0.001}),
        ("config", "lr: 0.1\nseed: 3\n", {"lr": 0.1, "seed": 3}),
        ("hparams/text_summary", "Namespace(lr=0.1, seed=3)", {"lr": 0.1, "seed": 3}),
        ("samples", '{"prompt": "a", "answer": "b"}', {}),
        ("model_config/text_summary", '{"architectures": ["Bert"], "model_type": "bert"}', {}),
        ("notes", "|question|answer|\n|-|-|\n|a|b|\n", {}),
        ("config", "we used the settings of the paper", {}),
    ],
)
def test_text_in_event_files_is_settings_or_is_not(tag: str, text: str, wanted: dict[str, object]) -> None:
    assert settings_of_text(tag, text) == wanted


WANDB_CONFIG = """\
wandb_version: 1
_wandb:
  desc: null
  value: {cli_version: 0.16.2}
lr: {desc: null, value: 0.001}
optim:
  desc: null
  value: {name: adam, beta: 0.9}
env: {value: hopper}
"""


def test_a_trackers_config_beside_another_log_holds_values_not_wrappers(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(WANDB_CONFIG)
    (tmp_path / "progress.csv").write_text("step,score\n1,0.1\n2,0.2\n3,0.4\n")
    (run,) = ExperimentDB(base_path=tmp_path).runs_df.to_dicts()
    assert (run["lr"], run["env"], run["optim.name"], run["optim.beta"]) == (0.001, "hopper", "adam", 0.9)
    assert not [name for name in run if "wandb" in name or name.endswith((".value", ".desc"))]


@pytest.mark.parametrize("config", ['{"lr": {"value": 1, "unit": "s"}}', '{"lr": 0.1, "x": {"value": 3}}'])
def test_a_config_that_only_uses_the_word_value_stays_as_it_is(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n')
    (run,) = ExperimentDB(base_path=tmp_path).runs_df.to_dicts()
    assert {"lr.value", "x.value"} & run.keys()
