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


@posix
@pytest.mark.parametrize("columns", [50, 80])
def test_no_line_ends_inside_a_command(sweep: Path, columns: int) -> None:
    shown = at_terminal(["overview", sweep.name], columns=columns, folder=sweep.parent).text
    piped = run("overview", sweep.name, folder=sweep.parent).stdout
    said = re.findall(r"`(sweeplens [^`]+)`", piped)
    assert said
    outside_python = piped.partition("Python: ")[0]
    assert not any(f"{question.tool}(" in outside_python for question in QUESTIONS)
    joined = shown.replace(" \\\n", " ")
    assert [command for command in said if f"`{command}`" not in joined] == []
    assert max(map(len, shown.splitlines())) <= columns


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
        (
            "No column 'lr'. experiments://schema lists all columns of conditions.",
            "No column 'lr'. `sweeplens sql 'SELECT * FROM runs LIMIT 1' sweep` shows the columns, "
            "`sweeplens metrics sweep` the metrics.",
        ),
        ("group budget=10, limit=max", "group budget=10, limit=max"),
        ("a run my_list_runs, rank_runs/x", "a run my_list_runs, rank_runs/x"),
        ("rank_runs(f(x))", "rank_runs(f(x))"),
    ],
)
def test_calls_of_tools_become_commands(text: str, shown: str) -> None:
    assert as_commands(text, ["sweep"]) == shown


@pytest.mark.parametrize(
    ("words", "pasted"),
    [
        (["ls", "DIR", "--where", "val/acc > 0.5"], """--where '"val/acc.last" > 0.5'"""),
        (["ls", "DIR", "--where", "val/acc>0.5 and optim.lr>0"], """--where '"val/acc.last">0.5 and "optim.lr">0'"""),
        (["compare", "val/acc > 0.6", "val/acc<=0.6", "DIR"], """'"val/acc.last" > 0.6'"""),
        (["sql", "SELECT optim.lr FROM runs", "DIR"], """'SELECT "optim.lr" FROM runs'"""),
        (["call", "list_runs", "where=val/acc > 0.5", "--root", "DIR"], """'where="val/acc.last" > 0.5'"""),
        (["plot", "curves", "DIR", "-o", "x.json", "--where", "val/acc > 0.5"], """--where '"val/acc.last" > 0.5'"""),
        (["report", "DIR", "-o", "x.html", "--where", "val/acc > 0.5"], """--where '"val/acc.last" > 0.5'"""),
    ],
)
def test_a_name_without_quotes_is_answered_with_words_that_a_shell_takes(
    sweep: Path, tmp_path: Path, words: list[str], pasted: str
) -> None:
    typed = [str(sweep) if word == "DIR" else word for word in words]
    wrong = run(*typed, folder=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.rstrip().endswith(f" Write: {pasted}")
    mended = shlex.split(pasted)[-1]
    first = next(i for i, word in enumerate(typed) if "optim.lr" in word or "val/acc" in word)
    again = [
        *typed[:first],
        mended,
        *(mended.replace(" > ", " <= ") if "val/acc<=" in w else w for w in typed[first + 1 :]),
    ]
    right = run(*again, folder=tmp_path)
    assert right.returncode == 0, right.stderr
    assert [file.name for file in tmp_path.iterdir()] in ([], ["x.json"], ["x.html"])


def test_a_condition_whose_names_can_only_mean_columns_needs_no_quotes(sweep: Path) -> None:
    plain, quoted = (
        run("ls", str(sweep), "--where", condition, "--format", "csv", folder=sweep.parent)
        for condition in ("optim.lr > 0.01 AND val/acc.last > 0.5", '"optim.lr" > 0.01 AND "val/acc.last" > 0.5')
    )
    assert plain.returncode == 0
    assert plain.stdout == quoted.stdout


@pytest.mark.parametrize(
    ("words", "example"),
    [
        (["ls", "DIR", "--where", "status = finished"], """--where "status = 'finished'\""""),
        (["ls", "DIR", "--where", "'optim.lr' > 0.1"], """--where '"optim.lr" > 0.01'"""),
        (["sql", "SELECT optim.lrr FROM runs", "DIR"], """'SELECT "optim.lr" FROM runs'"""),
    ],
)
def test_advice_about_quotes_comes_with_quotes_for_the_shell(sweep: Path, words: list[str], example: str) -> None:
    wrong = run(*[str(sweep) if word == "DIR" else word for word in words], folder=sweep.parent)
    assert wrong.stderr.rstrip().endswith(f"A shell removes quotes, so put others around the whole: {example}")


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
    assert "torn" in run("__complete", "show", "", folder=tmp_path).stdout.split()
    hparams = run("__complete", "rank", "val/acc", "--hparams", "", folder=tmp_path).stdout.split()
    assert "optim.lr" in hparams
    assert not {"run_id", "status", "n_steps"} & set(hparams)
    assert "val/acc" in run("__complete", "rank", "val/", folder=tmp_path / "sweep").stdout.split()


def test_completion_offers_nothing_where_the_folder_of_runs_is_not_clear(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "src" / "module").mkdir(parents=True)
    shutil.copytree(sweep, tmp_path / "tests" / "data" / "sweep")
    assert run("__complete", "rank", "", folder=tmp_path).stdout.strip() == ""
    for name in ("one", "other"):
        shutil.copytree(sweep, tmp_path / name)
    assert run("__complete", "rank", "", folder=tmp_path).stdout.strip() == ""


def test_completion_knows_options_of_plot_and_arguments_of_call(tmp_path: Path) -> None:
    assert "--metrics" in run("__complete", "plot", "curves", "--me", folder=tmp_path).stdout
    assert run("__complete", "call", "rank_runs", "metr", folder=tmp_path).stdout.split() == ["metric="]


def test_config_takes_folders_as_words(sweep: Path, tmp_path: Path) -> None:
    for words in (("vscode", str(sweep)), ("vscode", "--dry-run", str(sweep)), ("--root", str(sweep), "vscode")):
        done = run("config", *words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert str(sweep) in done.stdout
