"""The command line: the same answers without a client, UTF-8 whatever the locale, one sentence and exit code 2 on error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.sweep import SWEEP_RUNS

from sweeplens_mcp.tools import TOOLS

HOSTILE = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`sweeplens ...` as a shell runs it."""
    command = [sys.executable, "-m", "sweeplens_mcp", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False)


def test_call_prints_the_text_and_with_json_the_structured_content(sweep: Path) -> None:
    text = run("call", "list_runs", "--root", str(sweep), **HOSTILE)
    assert text.returncode == 0
    assert text.stderr == b""
    assert "größe s0" in text.stdout.decode("utf-8")
    data = json.loads(run("call", "list_runs", "--json", "--root", str(sweep), **HOSTILE).stdout)
    assert {row[0] for row in data["rows"]} == set(SWEEP_RUNS)


def test_values_are_read_as_the_tools_types(sweep: Path) -> None:
    values = ("runs=lr0.1*,torn", "metrics=val/acc,train/loss", "max_points=3", "x_max=12.5")
    data = json.loads(run("call", "query_metrics", *values, "--json", "--root", str(sweep)).stdout)
    assert {s["run_id"] for s in data["series"]} == {"lr0.1 s0", "lr0.1 s1", "torn"}
    assert all(len(s["x"]) <= 3 and max(s["x"]) <= 12.5 for s in data["series"])


def test_pages_go_on_in_another_process(sweep: Path) -> None:
    first = json.loads(run("call", "list_runs", "limit=5", "--json", "--root", str(sweep)).stdout)
    rest = run("call", "list_runs", f"cursor={first['next_cursor']}", "--json", "--root", str(sweep))
    rows = first["rows"] + json.loads(rest.stdout)["rows"]
    assert sorted(row[0] for row in rows) == sorted(SWEEP_RUNS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("call", "list_run"), "No tool 'list_run'. Nearest: 'list_runs'"),
        (("call", "list_runs", "wher=x"), "No argument 'wher'. Nearest: 'where'"),
        (("call", "list_runs", "where"), "'where' is not name=value"),
        (("call", "list_runs", "limit=ten"), "Argument 'limit' is 'ten'"),
        (("call", "query_metrics"), "query_metrics needs the argument 'metrics'"),
        (("call", "get_run", "run_id=nobody"), "No run 'nobody'"),
    ],
)
def test_an_error_is_one_sentence_on_stderr_and_exit_code_2(
    sweep: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = run(*arguments, "--root", str(sweep), **HOSTILE)
    assert done.returncode == 2
    assert done.stdout == b""
    assert sentence in done.stderr.decode("utf-8")
    assert len(done.stderr.splitlines()) == 1


def test_a_root_that_is_not_there_is_a_sentence_too(tmp_path: Path) -> None:
    for command in (("call", "overview"), ("doctor",)):
        done = run(*command, "--root", str(tmp_path / "größe"))
        assert done.returncode == 2
        assert "No folder" in done.stderr.decode("utf-8")


def test_doctor_lists_which_files_are_read_and_which_not_with_reasons(sweep: Path) -> None:
    done = run("doctor", "--root", str(sweep), **HOSTILE)
    text = done.stdout.decode("utf-8")
    assert done.returncode == 0
    assert f"Root {sweep}" in text
    assert f"Read {len(SWEEP_RUNS)} runs" in text
    assert "metrics.jsonl:8: " in text
    assert "Files without a reader: none" in text


@pytest.mark.parametrize("typed", [("--help",), ()])
def test_help_names_every_command(typed: tuple[str, ...]) -> None:
    text = run(*typed).stdout.decode()
    assert all(command in text for command in ("serve", "call", "demo", "doctor", "config"))


def test_values_and_options_come_in_any_order(sweep: Path) -> None:
    before = run("call", "list_runs", "limit=1", "columns=status", "--root", str(sweep))
    after = run("call", "--root", str(sweep), "list_runs", "limit=1", "--json", "columns=status")
    assert len(json.loads(after.stdout)["rows"]) == 1
    assert before.returncode == 0
    assert (
        b"No option --roots. Nearest: --root (see sweeplens call --help)"
        in run("call", "overview", "--roots", str(sweep)).stderr
    )


def test_call_alone_lists_the_tools_with_their_arguments() -> None:
    lines = run("call").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [spec.name for spec in TOOLS]
    assert lines[2].split()[1:3] == ["run_id=", "[limit=]"]


def test_the_version_is_that_of_the_installed_package() -> None:
    assert run("--version").stdout.decode().strip() == f"sweeplens {version('sweeplens')}"
