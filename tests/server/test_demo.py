"""`sweeplens demo` as a newcomer types it: a real server, a real client, answers that fit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BUDGET = 8_000


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeplens_mcp", "demo", *arguments],
        capture_output=True, encoding="utf-8", env={**os.environ, **environment}, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = demo(str(tmp_path_factory.mktemp("demo") / "sweep"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ten_questions_are_asked_and_each_answer_fits_both_channels(shown: str) -> None:
    sizes = [(int(t), int(s)) for t, s in re.findall(r"(\d+) bytes of text, (\d+) structured", shown)]
    assert len(sizes) >= 10
    assert max(max(pair) for pair in sizes) <= BUDGET
    assert all(text > 0 for text, _ in sizes)


def test_only_the_question_about_a_wrong_name_ends_in_an_error_that_offers_the_right_one(shown: str) -> None:
    assert shown.count("<- error") == 1
    assert "Nearest: 'val/acc'" in shown


def test_the_planted_truth_is_in_the_answers(shown: str) -> None:
    assert "optim.weight_decay" in shown
    assert re.search(r"best val/acc: optim\.lr=0\.03", shown)
    assert "340 nan" in shown  # the diverged run's loss
    assert "630 0." in shown  # what the live run logged while the client was connected


def test_a_reader_that_goes_away_ends_it_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeplens_mcp", "demo", str(tmp_path / "sweep")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("Wrote a sweep of 60 runs")
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 0
    assert "Traceback" not in told


def test_without_a_folder_it_says_which_temporary_one_it_took(tmp_path: Path) -> None:
    done = demo("--write-only", TMPDIR=str(tmp_path), TEMP=str(tmp_path))
    assert done.returncode == 0
    (folder,) = tmp_path.iterdir()
    assert str(folder) in done.stdout
    assert len([p for p in folder.iterdir() if p.is_dir()]) == 60


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = demo(str(tmp_path))
    assert done.returncode == 2
    assert "Nothing was written" in done.stderr
