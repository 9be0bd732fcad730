"""A root that is no folder gets a sentence that says what to pass, never the current folder with the address behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import RootError

SAID = [
    ("https://wandb.ai/me/project", "wandb sync"),
    ("HTTPS://api.WANDB.ai/me", "wandb sync"),
    ("wandb://me/project", "wandb sync"),
    ("http://localhost:5000/#/experiments/1", "mlflow\\+http://localhost:5000"),
    ("https://lab.example/mlflow", "mlflow\\+https://lab.example"),
    ("https://huggingface.co/me/model", "hf://"),
    ("https://bucket.s3.eu-west-1.amazonaws.com/exp", "s3://"),
    ("https://www.comet.com/me/project", "OfflineExperiment"),
    ("s3:/bucket/exp", "two slashes .* 's3://bucket/exp'"),
    ("s3://", "lacks the name of the bucket"),
    ("s4://bucket/exp", "Nearest: s3://"),
    ("mlflow+http:///", "lacks the address of the server"),
    ("sqlite:///mlflow.db", "the folder that contains its file"),
    ("http://[broken", "no address"),
    ("file://gpu1/home/me/exp", "three slashes"),
    ("gpu1:/home/me/exp", "sftp://gpu1/home/me/exp"),
    ("me@gpu1:exp", "sftp://me@gpu1/home/me/exp"),
    ("~nobody-of-this-name/exp", "home folder is not known"),
    ("runs/*", "pattern"),
    ("", "empty"),
    ("x" * 5000, "cannot be a path"),
    ("/dev/null", "no folder and no file"),
]


@pytest.mark.parametrize(("root", "said"), SAID)
def test_says_what_to_pass(root: str, said: str) -> None:
    with pytest.raises(RootError, match=said) as raised:
        ExperimentDB(root)
    assert f"{Path.cwd()}/http" not in str(raised.value)
    assert f"{Path.cwd()}/s3" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("metrics.jsonl", "is a file: pass the folder that contains it"),
        ("model.safetensors", "checkpoint"),
        ("history.pkl", "never opened"),
        ("runs.7z", "unpack it"),
        ("notes.ipynb", "notebook"),
        ("metrics.jsonl/deeper", "is a file"),
    ],
)
def test_says_what_a_file_is(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name.partition("/")[0]).write_text("{}")
    with pytest.raises(RootError, match=said):
        ExperimentDB(tmp_path / name)


def test_says_where_a_dangling_link_leads(tmp_path: Path) -> None:
    (tmp_path / "exp").symlink_to(tmp_path / "unmounted")
    with pytest.raises(RootError, match=r"is a link to .*unmounted"):
        ExperimentDB(tmp_path / "exp")


def test_reads_a_folder_by_its_file_address_and_one_whose_name_looks_like_an_address(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = ExperimentDB(sweep).runs_df["run_id"].to_list()
    assert ExperimentDB(sweep.as_uri()).runs_df["run_id"].to_list() == runs
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / "s3:" / "exp"
    odd.parent.mkdir()
    odd.symlink_to(sweep)
    assert ExperimentDB("s3:/exp").runs_df.height == len(runs)


@pytest.mark.parametrize(
    "arguments",
    [
        ("overview", "https://wandb.ai/me/p"),
        ("doctor", "https://wandb.ai/me/p"),
        ("call", "overview", "--root", "https://wandb.ai/me/p"),
        ("config", "vscode", "--root", "https://wandb.ai/me/p"),
    ],
)
def test_the_command_line_says_it_too(arguments: tuple[str, ...]) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "sweeplens_mcp", *arguments], capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "wandb sync" in made.stderr + made.stdout


def test_further_roots_of_the_configuration_are_judged_as_the_first(sweep: Path) -> None:
    with pytest.raises(RootError, match="wandb sync"):
        ExperimentDB(AnalysisConfig(experiment_dir=str(sweep), roots=("wandb://me/p",)))
