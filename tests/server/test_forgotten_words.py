"""A word that is missing, or that stands among the folders, is named with the command that works; so are missing quotes."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sweeplens_mcp.cli.commands import main


@pytest.fixture
def here(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sweep as ``runs``, and one with nothing to read; no folder is configured."""
    shutil.copytree(sweep, tmp_path / "runs")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.md").write_text("nothing here\n")
    monkeypatch.delenv("ANALYSIS_EXPERIMENT_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("show runs", "sweeplens show RUN runs"),
        ("show runs/", "sweeplens show RUN runs/"),
        ("compare lr runs", "sweeplens compare --hparam lr runs"),
        ("compare runs", "sweeplens compare needs A and B"),
        ("rank runs", "sweeplens rank METRIC runs"),
        ("sql runs", "sweeplens sql QUERY runs"),
        ("curves val/loss train/loss runs", "sweeplens curves val/loss,train/loss runs"),
        ("curves val/loss train/loss runs", "sweeplens curves val/loss runs --runs train/loss"),
        ("summarize val/acc runs", "sweeplens summarize runs --metrics val/acc"),
        ("diagnose crashed runs", "sweeplens diagnose runs --runs crashed"),
        ("ls 'lr0.1*' runs", "sweeplens ls runs --runs 'lr0.1*'"),
        ("show crashed torn runs", "One run a command: sweeplens show torn runs"),
        ("rank val/acc train/loss runs", "sweeplens rank val/acc runs --runs train/loss"),
    ],
)
def test_a_word_in_the_place_of_another_is_answered_with_the_command(
    typed: str, command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(typed)) == 2
    said = capsys.readouterr().err
    assert command in said
    assert "No folder was named" not in said
    assert "base_path" not in said


@pytest.mark.parametrize("typed", ["show runs/crashed", "show runs/crashed/", "show runs/crashed runs"])
def test_a_run_is_shown_by_the_path_of_its_folder(typed: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(typed)) == 0
    assert "crashed" in capsys.readouterr().out


@pytest.mark.parametrize(("typed", "meant"), [("ls runs rums", "Did you mean 'runs'?"), ("ls runs ./no", "No folder")])
def test_a_folder_that_is_missing_beside_another_is_still_a_folder(
    typed: str, meant: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(typed)) == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed",
    [
        "ls runs --where status = finished",
        "ls --where status = finished runs",
        "ls runs --where optim.lr '<=' 0.5 and status = finished",
        "ls runs --where optim.lr IN '(0.1,' '0.5)'",
        "rank val/acc runs --where optim.lr",
        "ls runs --where val/acc",
        "ls runs --where status",
        "report runs -o r.html --where status = finished",
        "plot curves runs --metrics val/acc -o c.json --where optim.lr = 0.1",
        "compare optim.lr = 0.1 optim.lr = 0.5 runs",
        "sql SELECT status FROM runs",
    ],
)
def test_a_condition_without_outer_quotes_is_answered_with_words_that_work(
    typed: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(typed)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "quotes around the whole" in said
    assert "No folder" not in said
    command = re.search(
        r": (?:(sweeplens .*)|Write, with .*: (--where .*))$|meant: (?P<option>--where .*)$", said.strip()
    )
    assert command is not None, said
    option = command["option"]
    again = [*words[: words.index("--where")], *shlex.split(option)] if option else shlex.split(command[1])[1:]
    assert main(again) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "typed", ["overview texts", "doctor texts", "report texts -o r.html", "ls --root texts", "call overview --root texts",
              "plot curves texts --metrics a -o c.json"],
)  # fmt: skip
def test_advice_to_call_the_doctor_has_the_folder(typed: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(shlex.split(typed))
    said = "".join(capsys.readouterr())
    assert "`sweeplens doctor texts --files`" in said
    assert main(["doctor", "texts", "--files"]) == 0


def test_files_that_the_command_line_writes_advise_commands_and_json_keeps_the_calls(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ("report runs -o r.html", "overview runs -o o.csv", "overview runs -o o.json"):
        assert main(shlex.split(words)) == 0, capsys.readouterr().err
    page, table, data = ((here / name).read_text(encoding="utf-8") for name in ("r.html", "o.csv", "o.json"))
    assert re.search(r"sweeplens \w+ .*runs", table)
    assert "sweeplens diagnose runs" in page or "sweeplens rank" in page
    assert not re.search(r"(?<![.\w])(rank_runs|diagnose_runs|list_runs)\((?!\.\.\.)", table + page)
    assert re.search(r"\b(rank_runs|diagnose_runs|list_runs)\(", data)
