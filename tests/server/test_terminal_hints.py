"""At a terminal: verdicts stay in narrow tables, hints are commands to paste, a wrong folder is answered with its neighbour."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.terminal import at_terminal

from sweeplens.column_choice import ColumnWidth, chosen_columns
from sweeplens_mcp.cli.command_hints import as_commands
from sweeplens_mcp.cli.question_names import QUESTIONS

posix = pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`sweeplens ...` in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "ANALYSIS_EXPERIMENT_DIR"}
    command = [sys.executable, "-m", "sweeplens_mcp", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=folder, env=environment)


@posix
@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (("rank", "val/acc"), ("rank", "mean", "tied")),
        (("compare", "--hparam", "optim.lr"), ("level", "difference", "verdict")),
        (("diagnose",), ("run_id", "finding", "evidence")),
        (("effects", "val/acc"), ("hparam", "importance", "direction", "confounded_")),
        (("news",), ("event", "text")),
    ],
)
def test_a_narrow_table_keeps_the_columns_of_the_verdict(
    sweep: Path, command: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    shown = at_terminal([*command, str(sweep)], columns=72)
    assert max(map(len, shown.text.splitlines())) <= 72
    fitting, _, _ = shown.text.partition("Columns that do not fit")
    words = set(fitting.split())
    assert set(kept) <= words, shown.text


@pytest.mark.parametrize("room", range(40, 200, 20))
def test_columns_are_left_out_by_importance_and_in_pairs(room: int) -> None:
    names = ("rank", "optim.learning_rate", "n", "mean", "ci95_low", "ci95_high", "gap", "tied", "p_adjusted", "iqm")
    columns = [ColumnWidth(name, 9, name != "tied") for name in names]
    kept, is_folded = chosen_columns(columns, room)
    shown = [names[i] for i in kept]
    assert {"rank", "mean", "tied"} <= set(shown)
    assert ("ci95_low" in shown) == ("ci95_high" in shown)
    assert shown == [name for name in names if name in shown]
    assert is_folded or len(kept) == len(names)


@posix
def test_the_next_steps_at_a_terminal_are_commands_that_run(sweep: Path) -> None:
    shown = at_terminal(["overview", sweep.name], columns=400, folder=sweep.parent).text
    said = re.findall(r"^next \d .*`(sweeplens [^`]+)`", shown, re.MULTILINE)
    assert said
    assert not any(f"{question.tool}(" in shown for question in QUESTIONS)
    for command in said:
        done = run(*shlex.split(command)[1:], folder=sweep.parent)
        assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('more: rank_runs(metric="val/acc")', "more: `sweeplens rank val/acc sweep`"),
        ("rank_runs(metric=...)", "`sweeplens rank METRIC sweep`"),
        ("list_runs(runs='lr*') lists them", "`sweeplens ls sweep --runs 'lr*'` lists them"),
        (
            "diagnose_runs(where=\"health = 'broken'\")",
            "`sweeplens diagnose sweep --where \"health = 'broken'\"`",
        ),
        ("list_metrics shows all 7.", "`sweeplens metrics sweep` shows all 7."),
        ("get_run takes one run", "`sweeplens show` takes one run"),
        ("at_step='common' compares", "--at-step common compares"),
        ("pass goal=...", "pass --goal ..."),
        ("2 lines (experiments://problems)", "2 lines (`sweeplens doctor sweep`)"),
        ("group budget=10, limit=max", "group budget=10, limit=max"),
        ("a run my_list_runs, rank_runs/x", "a run my_list_runs, rank_runs/x"),
        ("rank_runs(f(x))", "rank_runs(f(x))"),
    ],
)
def test_calls_of_tools_become_commands(text: str, shown: str) -> None:
    assert as_commands(text, ["sweep"]) == shown


def test_an_error_of_a_command_names_commands_and_that_of_call_names_tools(sweep: Path) -> None:
    wrong = run("rank", "val/ac", sweep.name, folder=sweep.parent).stderr
    assert f"`sweeplens metrics {shlex.quote(sweep.name)}` shows all" in wrong
    wire = run("call", "rank_runs", "metric=val/ac", "--root", sweep.name, folder=sweep.parent).stderr
    assert "list_metrics shows all" in wire


@pytest.mark.parametrize(
    ("typed", "meant"), [("swep", "sweep"), ("./swep", "sweep"), ("Sweeep", "sweep"), ("swep/inner", "sweep/inner")]
)
def test_a_mistyped_folder_is_answered_with_its_neighbour(tmp_path: Path, typed: str, meant: str) -> None:
    (tmp_path / "sweep" / "inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for command in (("overview",), ("rank", "val/acc"), ("config", "vscode"), ("doctor",)):
        done = run(*command, typed, folder=tmp_path)
        assert done.returncode == 2
        assert f"Did you mean {meant!r}?" in done.stderr
        assert "other" not in done.stderr


def test_without_a_folder_the_error_says_where_to_name_one(tmp_path: Path) -> None:
    wrong = run("rank", "val/acc", folder=tmp_path).stderr
    assert wrong.startswith("sweeplens: No folder was named, and the default './experiments' is not there. Name one")


def test_metrics_are_completed_before_the_folder_is_typed(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "sweep")
    found = run("__complete", "rank", "val/", folder=tmp_path).stdout.split()
    assert "val/acc" in found
    assert run("__complete", "show", "", folder=tmp_path).stdout.strip() == ""  # ids depend on the folder


def test_completion_knows_options_of_plot_and_arguments_of_call(tmp_path: Path) -> None:
    assert "--metrics" in run("__complete", "plot", "curves", "--me", folder=tmp_path).stdout
    assert run("__complete", "call", "rank_runs", "metr", folder=tmp_path).stdout.split() == ["metric="]


def test_config_takes_folders_as_words(sweep: Path, tmp_path: Path) -> None:
    for words in (("vscode", str(sweep)), ("vscode", "--dry-run", str(sweep)), ("--root", str(sweep), "vscode")):
        done = run("config", *words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert str(sweep) in done.stdout
