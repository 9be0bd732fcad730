"""Values with names of secrets are neither kept nor shown, unless the user wants them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stores import open_db, place_of

from sweeplens.ingest.masking import is_secret_name
from sweeplens.parsers import load_runs_from_dir

SECRET = "hunter2-sk-93f1"
SECRETS = (
    "api_key", "apikey", "apiKey", "API_KEY", "wandb_api_key", "x-api-key", "token", "access_token", "hf_token", "hfToken",
    "HF_TOKEN", "neptune_api_token", "aws_session_token", "access_tokens", "password", "passwd", "db_password", "dbPassword",
    "password_hash", "smtp_pass", "secret", "secrets", "client_secret", "aws_secret_access_key", "secret_key", "credentials",
    "private_key", "ssh_key", "auth", "authorization", "api_key_2",
)  # fmt: skip
PLAIN = (
    "max_tokens", "num_tokens", "tokens", "tokens_per_batch", "token_dropout", "token_type", "tokenizer", "pad_token",
    "pad_token_id", "eos_token", "mask_token", "cls_token", "special_tokens", "image_token_id", "loss_per_token", "secret_size",
    "key", "sort_key", "image_key", "key_dim", "monkey", "author", "pwd", "passes", "password_length", "api_key_path",
)  # fmt: skip


def run(root: Path, config: object, rest: str = "") -> Path:
    """A run with this config, and a folder for it."""
    folder = root / "run"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n{"step": 1, "loss": 0.5}\n' + rest)
    return root


def everything_kept(place: Path) -> bytes:
    """All that the store holds, in plain."""
    parts: list[bytes] = []
    for path in place.rglob("*"):
        if path.suffix == ".parquet" and "_delta_log" not in path.parts:
            frame = pl.read_parquet(path)
            parts += [repr(row).encode() for row in frame.rows()]
        elif path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts)


@pytest.mark.parametrize("name", SECRETS)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert is_secret_name(f"trainer.logger.{name}")


@pytest.mark.parametrize("name", PLAIN)
def test_names_that_are_not_secrets(name: str) -> None:
    assert not is_secret_name(name)


@given(st.text(st.characters(exclude_characters="./"), max_size=40))
def test_any_name_can_be_asked_about(name: str) -> None:
    assert is_secret_name(f"{name}_api_key")
    assert not is_secret_name(f"{name}_max_tokens")


def test_secrets_are_neither_kept_nor_shown(tmp_path: Path) -> None:
    config = {
        **dict.fromkeys(SECRETS, SECRET),
        **dict.fromkeys(PLAIN, 7),
        "logger": {"kwargs": [{"api_key": SECRET}], "url": f"https://host/?token={SECRET}&x=1"},
        "argv": ["train.py", "--api-key", SECRET, f"--password={SECRET}", "--lr", "0.1"],
        "command": f"train.py --api_key {SECRET} --lr 0.1",
        "credentials": {"user": "u", "words": [SECRET]},
        "use_auth_token": True,
        "lr": 0.1,
    }
    root = run(tmp_path / "runs", config, f'{{"step": 2, "api_key": "{SECRET}", broken\n{{"step": 3, "loss": 0.1}}\n')
    db = open_db(root, tmp_path / "cache")
    shown = [
        db.runs_df.rows(named=True),
        db.problems.rows(),
        db.get_run("run"),
        db.overview(),
        db.list_runs(columns=["api_key"]),
    ]
    assert SECRET not in repr(shown)
    row = db.runs_df.row(0, named=True)
    assert {row[name] for name in SECRETS} == {"***"}
    assert {row[name] for name in PLAIN} == {7}
    assert (row["lr"], row["use_auth_token"]) == (0.1, True)
    assert row["command"] == "train.py --api_key *** --lr 0.1"
    assert SECRET.encode() not in everything_kept(place_of(root, tmp_path / "cache"))
    assert SECRET not in repr(load_runs_from_dir(root))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgres://me:{SECRET}@host/runs", "postgres://me:***@host/runs"),
        (
            f"failed at https://ci:{SECRET}@host:8080/x?y=1, twice",
            "failed at https://ci:***@host:8080/x?y=1, twice",
        ),
        (f"redis://:a@b:{SECRET}@host", "redis://:***@host"),
        (f"git+https://ghp_0123456789{SECRET}@host/repo", "git+https://***@host/repo"),
        (f"https://a.blob.host/x?sv=2&sig={SECRET}%3D&se=1", "https://a.blob.host/x?sv=2&sig=***&se=1"),
        (f"s3://b/x?X-Amz-Signature={SECRET}", "s3://b/x?X-Amz-Signature=***"),
        ("ssh://git@host/repo", "ssh://git@host/repo"),
        ("tcp://10.0.0.1:29500", "tcp://10.0.0.1:29500"),
        ("https://host/@me:you/x@y", "https://host/@me:you/x@y"),
    ],
)
def test_secrets_in_urls_are_neither_kept_nor_shown(tmp_path: Path, url: str, shown: str) -> None:
    root = run(tmp_path / "runs", {"lr": 0.1, "storage": url, "argv": ["train.py", url]})
    db = open_db(root, tmp_path / "cache")
    assert db.runs_df["storage"].to_list() == [shown]
    assert SECRET not in repr((db.runs_df.rows(), db.get_run("run")))
    assert SECRET.encode() not in everything_kept(place_of(root, tmp_path / "cache"))


def test_secrets_that_come_later_are_masked_too(tmp_path: Path) -> None:
    root = run(tmp_path / "runs", {"lr": 0.1})
    db = open_db(root, tmp_path / "cache")
    db.load_experiments()
    (root / "run" / "config.json").write_text(json.dumps({"lr": 0.1, "token": SECRET}))
    with (root / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 2, "loss": 0.1}\n')
    assert db.runs_df["token"].to_list() == ["***"]
    assert open_db(root, tmp_path / "cache").runs_df["token"].to_list() == ["***"]


def test_show_secrets_shows_them_to_its_own_database_alone(tmp_path: Path) -> None:
    root, cache = run(tmp_path / "runs", {"lr": 0.1, "token": SECRET}), tmp_path / "cache"
    for _ in range(2):
        assert open_db(root, cache, show_secrets=True).runs_df["token"].to_list() == [SECRET]
        assert open_db(root, cache).runs_df["token"].to_list() == ["***"]
    assert SECRET.encode() not in everything_kept(place_of(root, cache))
    assert load_runs_from_dir(root, show_secrets=True)[0].hyperparameters["token"] == SECRET


def test_metrics_are_called_what_they_like(tmp_path: Path) -> None:
    root = run(tmp_path / "runs", {"lr": 0.1}, '{"step": 2, "token": 0.25, "auth/secret": 3.5}\n')
    db = open_db(root, tmp_path / "cache")
    for _ in range(2):
        last = dict(db.series_df.select("metric", "last").rows())
        assert (last["token"], last["auth/secret"]) == (0.25, 3.5)
        with (root / "run" / "metrics.jsonl").open("a") as log:
            log.write('{"step": 3, "token": 0.25, "auth/secret": 3.5}\n')
