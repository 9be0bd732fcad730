"""The commands that answer a question: for people at a terminal, for programs in a pipe, and when they are typed wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.sweep import SWEEP_RUNS
from support.terminal import at_terminal

from sweeplens_mcp.cli.question_names import QUESTIONS
from sweeplens_mcp.tools import TOOLS

posix = pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`sweeplens ...` in a pipe."""
    command = [sys.executable, "-m", "sweeplens_mcp", *arguments]
    return subprocess.run(
        command, capture_output=True, env={**os.environ, **environment}, check=False, encoding="utf-8"
    )


def test_each_tool_has_a_command() -> None:
    assert {question.tool for question in QUESTIONS} == {spec.name for spec in TOOLS if not spec.picture}


@pytest.mark.parametrize(
    "question",
    [
        "overview", "ls", "show|torn", "metrics", "curves|val/acc", "summarize", "varying", "rank|val/acc",
        "compare|lr0.1*|lr0.01*", "effects|val/acc", "diagnose", "news", "sql|SELECT run_id FROM runs",
    ],
)  # fmt: skip
def test_each_command_answers_as_its_tool_does(question: str, sweep: Path) -> None:
    command, *values = question.split("|")
    asked = next(q for q in QUESTIONS if q.name == command)
    named = [f"{name}={value}" for name, value in zip(asked.positionals, values, strict=True)]
    wide = {"ANALYSIS_MAX_ANSWER_BYTES": "10000000"}
    mine = json.loads(run(command, *values, str(sweep), "--format", "json", **wide).stdout)
    tool = json.loads(run("call", asked.tool, *named, "--json", "--root", str(sweep), **wide).stdout)
    for answer in (mine, tool):
        answer.pop("next_cursor")
    assert mine == tool


def test_a_pipe_gets_every_row_as_text_without_escapes(sweep: Path) -> None:
    done = run("ls", str(sweep))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert all(any(line.startswith(run_id) for line in done.stdout.splitlines()) for run_id in SWEEP_RUNS)


def test_csv_markdown_and_json_hold_the_same_rows(sweep: Path, tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(run("ls", str(sweep), "--format", "csv").stdout)))
    data = json.loads(run("ls", str(sweep), "--format", "json").stdout)
    assert rows[0] == data["columns"]
    assert [row[0] for row in rows[1:]] == [row[0] for row in data["rows"]]
    for name in ("runs.md", "runs.csv", "runs.json", "runs.txt"):
        assert run("ls", str(sweep), "-o", str(tmp_path / name)).stdout == ""
    text = (tmp_path / "runs.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert text.startswith("| run_id | ")
    assert "\n\nBasis: " in text
    assert len(lines) == len(rows) + 1
    assert list(csv.reader(io.StringIO((tmp_path / "runs.csv").read_text(encoding="utf-8")))) == rows
    assert json.loads((tmp_path / "runs.json").read_text(encoding="utf-8")) == data
    assert "Basis: " in (tmp_path / "runs.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["csv", "md", "json", "txt"])
def test_a_file_is_named_and_its_basis_is_not_lost(sweep: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"best.{suffix}"
    told = run("rank", "val/acc", str(sweep), "-o", str(file)).stderr
    assert told.splitlines()[-1] == f"Wrote {file}"
    said = told if suffix == "csv" else file.read_text(encoding="utf-8")
    assert "Basis: " in said or '"basis": ' in said
    assert "higher is better" in said
    if suffix == "csv":
        assert next(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))["rank"] == "1"
    assert run("rank", "val/acc", str(sweep), "-o", str(file)).stderr.endswith(f"Replaced {file}\n")


def test_lists_are_json_in_csv(sweep: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("varying", str(sweep), "--format", "csv").stdout)))
    assert all(isinstance(json.loads(row["values"]), list) for row in rows)


def test_options_come_in_any_order_and_lists_in_both_forms(sweep: Path) -> None:
    once = run("curves", "val/acc", "--runs", "lr0.1*,torn", "--max-points", "3", str(sweep), "--format", "csv")
    twice = run(
        "curves", "--runs", "lr0.1*", "--format", "csv", "val/acc", "--runs", "torn", str(sweep), "--max-points=3"
    )
    assert once.returncode == 0, once.stderr
    assert once.stdout == twice.stdout
    sorted_down = run("ls", str(sweep), "--sort", "-n_steps", "--format", "csv").stdout
    steps = [int(row["n_steps"]) for row in csv.DictReader(io.StringIO(sorted_down))]
    assert steps == sorted(steps, reverse=True)


def test_rows_beyond_the_limit_are_named(sweep: Path) -> None:
    done = run("ls", str(sweep), "--limit", "2")
    assert f"rows 1 to 2 of {len(SWEEP_RUNS)}" in done.stdout


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("ls", "where=x"), "here it is --where 'x'"),
        (("ls", "--wher", "x"), "No option --wher. Nearest: --where"),
        (("ls", "--where", "a=1", "--where", "b=2"), "--where is given twice: join the conditions with AND or OR"),
        (("ls", "--limit", "ten"), "Argument 'limit' is 'ten'"),
        (("ls", "--limit", "-3"), "--limit -3 is not a count of rows"),
        (("ls", "--format", "xml"), "invalid choice: 'xml'"),
        (("rank",), "the following arguments are required: METRIC ("),
        (("rank", "val/ac"), "Nearest: 'val/acc'"),
        (("show", "tornn"), "No run 'tornn'. Nearest: 'torn'"),
        (("lss",), "No command 'lss'. Nearest: ls"),
        (("list_runs",), "'list_runs' is a tool: sweeplens ls, or sweeplens call list_runs"),
        (("call", "list_runs", "--where", "x"), "With `call`, arguments are name=value: where=..."),
        (("call", "list_runs", "where=a", "where=b"), "where= is given twice: join the conditions with AND or OR"),
        (("call", "list_runs", "runs=a", "runs=b"), "runs= is given twice: write several values as runs=a,b"),
        (("ls", "--watch", "0"), "--watch 0 is too often"),
    ],
)
def test_wrong_use_names_the_right_one(sweep: Path, typed: tuple[str, ...], sentence: str) -> None:
    done = run(*typed, "--root", str(sweep)) if typed[0] not in ("lss", "list_runs") else run(*typed)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_positional_word_may_come_with_its_name(sweep: Path) -> None:
    usual = run("rank", "val/acc", str(sweep), "--limit", "2")
    for words in (["rank", str(sweep), "--metric", "val/acc"], ["rank", "--metric=val/acc", str(sweep)]):
        assert run(*words, "--limit", "2").stdout == usual.stdout
    assert run("show", "--run-id", "torn", str(sweep)).stdout == run("show", "torn", str(sweep)).stdout
    both = run("compare", str(sweep), "--b", "lr0.01*", "--a", "lr0.1*").stdout
    assert both == run("compare", "lr0.1*", "lr0.01*", str(sweep)).stdout
    assert "--a comes with --b" in run("compare", "--a", "lr0.1*", str(sweep)).stderr


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("plot", "ranking", "val/acc", "DIR", "-o", "x.png"), "sweeplens plot ranking DIR --metrics val/acc -o FILE"),
        (("plot", "curves", "DIR", "val/acc", "-o", "x.png"), "sweeplens plot curves DIR --metrics val/acc -o FILE"),
        (
            ("compare", "0.1", "0.01", "DIR", "--hparam", "optim.lr"),
            "compare '\"optim.lr\" = 0.1' '\"optim.lr\" = 0.01' DIR",
        ),
        (("compare", "--hparam", "optim.lr", "DIR", "0.1"), "All: sweeplens compare DIR --hparam optim.lr."),
    ],
)
def test_a_word_in_the_place_of_a_folder_is_answered_with_the_command(
    sweep: Path, words: tuple[str, ...], right: str
) -> None:
    typed = [str(sweep) if word == "DIR" else word for word in words]
    wrong = run(*typed)
    assert wrong.returncode == 2
    assert right.replace("DIR", shlex.quote(str(sweep))) in wrong.stderr


def test_a_folder_in_place_of_a_command_is_answered_with_overview(sweep: Path) -> None:
    assert f"sweeplens overview {sweep}" in run(str(sweep)).stderr


def test_a_misspelt_setting_is_named_and_the_answer_still_comes(sweep: Path) -> None:
    done = run("ls", str(sweep), "--limit", "1", ANALYSIS_MAIN_METRIC="x", ANALYSIS_THRESHOLDS__SPIKE_DEVIATIONS="9")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "sweeplens: ANALYSIS_MAIN_METRIC is no setting and changes nothing. Nearest: ANALYSIS_MAIN_METRICS"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", [("ls",), ("overview", "--format", "json"), ("doctor",), ("ls", "-o", "/dev/full")])
def test_a_full_disk_is_one_sentence(sweep: Path, command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sweeplens_mcp", *command, str(sweep)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1].endswith("No space left on device")
    assert len(done.stderr.splitlines()) == 1


@posix
@pytest.mark.parametrize("command", [("ls",), ("call", "list_runs", "--root"), ("doctor", "--files"), ("--help",)])
def test_a_closed_pipe_ends_the_command_in_silence(sweep: Path, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = command if command == ("--help",) else (*command, str(sweep))
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "sweeplens_mcp", *arguments], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 0
    assert done.stderr == b""


@posix
def test_a_terminal_gets_a_table_that_fits_and_names_what_does_not(sweep: Path) -> None:
    for columns in (60, 80, 200):
        shown = at_terminal(["ls", str(sweep)], columns=columns)
        assert shown.code == 0
        lines = shown.text.splitlines()
        assert max(map(len, lines)) <= columns
        assert sum(line.startswith(SWEEP_RUNS) for line in lines) >= len(SWEEP_RUNS)
        assert ("Columns that do not fit" in shown.text) == (columns < 200)
        assert "opening" not in shown.text  # the line of progress was wiped
    assert "opening the experiments ..." in shown.raw


@posix
def test_colours_follow_the_terminal_no_color_and_the_option(sweep: Path) -> None:
    def has_color(text: str) -> bool:
        return "\x1b[1m" in text

    assert has_color(at_terminal(["ls", str(sweep)]).raw)
    assert not has_color(at_terminal(["ls", str(sweep)], environment={"NO_COLOR": "1"}).raw)
    assert not has_color(at_terminal(["ls", str(sweep), "--color", "never"]).raw)
    assert has_color(run("ls", str(sweep), "--color", "always", NO_COLOR="1").stdout)
    assert not has_color(run("ls", str(sweep), "--format", "table").stdout)


@posix
def test_watch_answers_again_when_the_folder_changes_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "a" / "metrics.jsonl"
    log.parent.mkdir()
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    command = [sys.executable, "-m", "sweeplens_mcp", "ls", str(tmp_path), "--watch", "0.2", "--columns", "loss.last"]
    environment = {**os.environ, "ANALYSIS_REFRESH_SECONDS": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment) as watching:
        assert watching.stdout
        first = next(line for line in watching.stdout if line.startswith("a "))
        with log.open("a") as file:
            file.write('{"step": 3, "loss": 0.5}\n')
        second = next(line for line in watching.stdout if line.startswith("a "))
        watching.send_signal(2)
        assert watching.wait(10) == 0
    assert first.split()[-1] == "1"
    assert second.split()[-1] == "0.5"


def test_a_pipe_and_a_server_load_neither_rich_nor_the_protocol(sweep: Path) -> None:
    code = (
        "import sys; from sweeplens_mcp.cli import main; "
        "main(sys.argv[1:]); sys.exit(','.join(sorted({'rich', 'mcp', 'anyio', 'tomlkit'} & set(sys.modules))) or 0)"
    )
    for command in (("ls", str(sweep)), ("call", "list_runs", "--root", str(sweep)), ("rank", "val/acc", str(sweep))):
        done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("r",), {"rank"}),
        (("show", "lr0.0"), {"lr0.01 s0"}),
        (("rank", "val/"), {"val/acc"}),
        (("compare", "torn", "to"), {"torn"}),
        (("ls", "--wh"), {"--where"}),
        (("ls", "--sort", "optim.l"), {"optim.lr"}),
        (("rank", "--goal", "h"), {"higher"}),
        (("config", "vs"), {"vscode"}),
        (("completion", "z"), {"zsh"}),
        (("call", "list_r"), {"list_runs"}),
    ],
)
def test_completion_knows_commands_options_runs_and_metrics(
    sweep: Path, words: tuple[str, ...], expected: set[str]
) -> None:
    found = run("__complete", *words, ANALYSIS_EXPERIMENT_DIR=str(sweep)).stdout.splitlines()
    assert expected <= set(found)
    assert all(word.startswith(words[-1]) for word in found)


def test_completion_of_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    done = run("__complete", "show", "", ANALYSIS_EXPERIMENT_DIR=str(tmp_path / "none"))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_its_completion_script(shell: str, sweep: Path, tmp_path: Path) -> None:
    import shutil

    script = tmp_path / f"completion.{shell}"
    script.write_text(run("completion", shell).stdout)
    assert "__complete" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(script)], check=True)
    if shell != "bash":
        return
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sweeplens").write_text(f'#!/bin/sh\nexec {sys.executable} -m sweeplens_mcp "$@"\n')
    (folder / "sweeplens").chmod(0o755)
    asks = f'source {script}; COMP_WORDS=(sweeplens show "lr0.0"); COMP_CWORD=2; _sweeplens; printf "%s\\n" "${{COMPREPLY[@]}}"'
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ANALYSIS_EXPERIMENT_DIR": str(sweep)}
    done = subprocess.run(["bash", "-c", asks], capture_output=True, env=environment, check=True, encoding="utf-8")
    assert "lr0.01\\ s0" in done.stdout.splitlines()
