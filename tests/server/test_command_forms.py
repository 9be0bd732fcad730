"""The other forms of the commands: levels instead of sides, folders without a name, and help that fits a small terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweeplens_mcp.cli.commands import main
from sweeplens_mcp.cli.question_names import QUESTIONS
from sweeplens_mcp.cli.questions import parsed_words, question_parser

COMMANDS = [
    *(q.name for q in QUESTIONS),
    "plot",
    "report",
    "serve",
    "call",
    "ingest",
    "doctor",
    "demo",
    "config",
    "completion",
]


def test_levels_of_a_hyperparameter_are_compared_without_sides(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--hparam", "optim.lr", str(sweep), "--metrics", "val/acc", "--format", "json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert main(["call", "compare_runs", "hparam=optim.lr", "metrics=val/acc", "--json", "--root", str(sweep)]) == 0
    other = json.loads(capsys.readouterr().out)
    assert one["rows"] == other["rows"]
    assert one["rows"]


@pytest.mark.parametrize("typed", [["compare"], ["compare", "lr0.1*"]])
def test_a_comparison_without_sides_names_both_forms(
    typed: list[str], sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*typed, "--root", str(sweep)]) == 2
    said = capsys.readouterr().err
    assert "A and B" in said
    assert "--hparam NAME" in said


@pytest.mark.parametrize(
    "typed",
    [
        ["curves", "{sweep}", "--metrics", "val/acc"],
        ["{sweep}", "--kind", "curves", "--metrics=val/acc"],
        ["curves", "metric=val/acc", "--root", "{sweep}"],
        ["--metrics", "val/acc", "--where", "status <> 'x'", "curves", "{sweep}"],
    ],
)
def test_a_picture_takes_folders_and_options_as_other_commands_do(
    typed: list[str], sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.json"
    assert main(["plot", *(word.format(sweep=sweep) for word in typed), "-o", str(file)]) == 0, capsys.readouterr().err
    assert "val/acc" in capsys.readouterr().out
    assert json.loads(file.read_text(encoding="utf-8"))["$schema"].startswith("https://vega.github.io/")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["plot", "curves", "--metric", "val/acc", "-o", "c.json"], "Nearest: --metrics"),
        (["plot", "curves", "--kind", "ranking", "-o", "c.json"], "given twice"),
        (["plot", "line", "-o", "c.json"], "Nearest: 'curves'"),
        (["rank", "val/acc", "--goal", "max"], "Nearest: 'higher'"),
        (["rank", "val/acc", "where=x"], "--where 'x'"),
        (["ls", "--filter", "x"], "No option --filter. Nearest: --where."),
        (["ls", "--top=3"], "No option --top. Nearest: --limit."),
        (["ls", "--order-by", "seed"], "No option --order-by. Nearest: --sort."),
        (["rank", "val/acc", "--group-by", "seed"], "No option --group-by. Nearest: --hparams."),
        (["checkpoints", "--metrics", "val/acc"], "sweeplens checkpoints METRIC DIR"),
        (["news", "--since", "1h"], "No option --since. Nearest: --cursor."),
        (["ls", "--sort", "val/acc"], "'val/acc.last'"),
        (["curves", "val/acc", "--x", "steps"], "Nearest: 'step'"),
        (["ls", "-o", "a.xlsx"], "name a file with .csv"),
        (["curves", "val/acc", "--x-min", "9", "--x-max", "1"], "x_min 9 is greater than x_max 1"),
    ],
)
def test_wrong_use_of_a_command_names_the_right_one(
    typed: list[str], sentence: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*typed, "--root", str(sweep)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["ls", "--watch", "here"], "Folders come before --watch"),
        (["help", "rank"], "sweeplens rank --help"),
        (["serve", "--http", "--prt", "5"], "No option --prt. Nearest: --port, --root (see sweeplens serve --help)"),
        (["doctor", "--flies"], "No option --flies. Nearest: --files"),
        (["config", "vscode", "--wirte"], "No option --wirte. Nearest: --write (see sweeplens config --help)"),
        (["report", ".", "--query", "seed = 1"], "No option --query. Nearest: --where"),
        (["completion", "bash", "zsh"], "unrecognized arguments: zsh"),
        (["--root", "exps", "overview"], "Options follow the command: sweeplens overview --root exps"),
        (["-v", "serve", "--http", "exps"], "Options follow the command: sweeplens serve --http exps -v"),
    ],
)
def test_a_word_in_the_place_of_an_option_is_told_apart(
    typed: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(typed)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["rank", "."], "folders come last: sweeplens rank METRIC ."),
        (["effects", ".", "val/acc"], "folders come last: sweeplens effects val/acc ."),
        (["show", ".", "crash-run"], "folders come last: sweeplens show crash-run ."),
        (["rank", ".", "metric=val/acc"], "sweeplens rank val/acc DIR"),
        (["compare", "lr0.1 s0", "lr0.1 s1", "crashed", "."], "put the pattern in quotes"),
        (["ls", ".", "--runs", "lr0.1 s0", "lr0.1 s1"], "put the pattern in quotes"),
    ],
)
def test_words_in_another_order_and_patterns_that_a_shell_expanded_are_errors_with_the_right_command(
    typed: list[str], sentence: str, sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep)
    assert main(typed) == 2
    assert sentence in capsys.readouterr().err


def test_a_run_may_be_shown_by_the_name_of_its_folder(
    sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep)
    assert main(["show", "crashed", "."]) == 0
    assert "val/acc" in capsys.readouterr().out


@pytest.mark.parametrize(
    "typed",
    [
        ["metrics", "{sweep}", "-o", "{log}"],
        ["plot", "curves", "{sweep}", "-o", "{config}"],
        ["report", "{sweep}", "-o", "{log}"],
        ["ls", "{sweep}", "--watch", "-o", "{log}"],
    ],
)
def test_no_file_of_the_experiments_is_replaced_by_an_answer(
    typed: list[str], sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(sweep, tmp_path / "sweep"))
    log, config = root / "crashed" / "metrics.jsonl", root / "crashed" / "config.json"
    before = (log.read_bytes(), config.read_bytes())
    assert main([word.format(sweep=root, log=log, config=config) for word in typed]) == 2
    assert "nothing there is replaced" in capsys.readouterr().err
    assert (log.read_bytes(), config.read_bytes()) == before


@pytest.mark.parametrize(
    "command", ["ls", "metrics", "varying", "diagnose", "summarize", "rank val/acc", "effects val/acc"]
)
def test_an_answer_that_lies_among_the_experiments_is_no_run(
    command: str, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(sweep, tmp_path / "sweep"))
    assert main([*command.split(), str(root), "-o", str(root / "answer.csv")]) == 0
    capsys.readouterr()
    assert main(["overview", str(root), "--format", "text"]) == 0
    assert capsys.readouterr().out.startswith("runs: 8: ")


def test_a_report_takes_a_folder_without_a_name(sweep: Path, tmp_path: Path) -> None:
    assert main(["report", str(sweep), "-o", str(tmp_path / "r.html")]) == 0
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_eighty_columns(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    if not command:
        assert all(any(line.split()[:1] == [name] and len(line.split()) > 2 for line in lines) for name in COMMANDS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.name)
def test_the_example_of_each_help_can_be_typed(question: object) -> None:
    asked = next(q for q in QUESTIONS if q is question)
    for example in asked.example.split(f", or sweeplens {asked.name} "):
        given, rest = parsed_words(question_parser(asked), shlex.split(example))
        assert [*given.folders, *rest] == ["sweep"] or asked.instead


@pytest.mark.parametrize("command", ["cost", "checkpoints"])
def test_a_metric_that_may_be_left_out_needs_no_place(
    command: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(sweep)]) == 0
    without = capsys.readouterr().out
    assert main([command, "val/acc", str(sweep)]) == 0
    assert without == capsys.readouterr().out
    assert "val/acc" in without


def test_a_folder_that_is_missing_for_an_answer_is_named_before_the_work(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my figures" / "x.csv"
    assert main(["overview", str(sweep), "-o", str(file)]) == 2
    assert f"make it first (mkdir -p '{file.parent}')" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a shell closes a stream with >&-")
@pytest.mark.parametrize(
    ("closed", "code"), [(">&-", 1), ("2>&-", 0), ("<&-", 0), (">/dev/null 2>&- <&-", 0), (">&- 2>&-", 1)]
)
def test_a_stream_that_the_caller_closed_ends_no_command_with_a_traceback(sweep: Path, closed: str, code: int) -> None:
    command = shlex.join([sys.executable, "-m", "sweeplens_mcp", "ls", str(sweep), "--limit", "1"])
    done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr == ("" if "2>&-" in closed or code == 0 else "sweeplens: Cannot write: Bad file descriptor\n")


@pytest.mark.parametrize("port", ["-1", "0", "65536", "99999"])
def test_a_number_that_is_no_port_is_refused_before_anything_is_served(
    port: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--http", "--port", port, str(sweep)]) == 2
    assert f"--port {port}: a port is a number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("typed", [["report"], ["rank", "val/acc"], ["ls"]])
def test_a_program_is_not_replaced_by_an_answer(
    typed: list[str], sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train.py", "config.yaml", "model.pt"):
        file = tmp_path / name
        file.write_text("precious")
        assert main([*typed, str(sweep), "-o", str(file)]) == 2
        assert re.search("no output of sweeplens|No answer is written as", capsys.readouterr().err)
        assert file.read_text() == "precious"


def test_the_other_form_that_is_advised_names_the_hyperparameter_of_a_condition(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "optim.lr=0.1", str(sweep)]) == 2
    assert f"sweeplens compare --hparam optim.lr {shlex.quote(str(sweep))}" in capsys.readouterr().err
