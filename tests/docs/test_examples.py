"""Every file of `examples/` is run as its first line says, on the demo sweep."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.scripts import printed_by

from sweeplens.demo_data import write_sweep

EXAMPLES = Path(__file__).parents[2] / "examples"
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo sweep")
    write_sweep(folder, now=datetime.now(UTC))
    return folder


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(p.read_text(encoding="utf-8") for p in TESTS.rglob("test_*.py"))
    own = [p.name for p in EXAMPLES.iterdir() if p.suffix in (".py", ".sh")]
    assert len(own) >= 3
    assert [name for name in own if name not in tests] == []


def test_the_scripted_client_asks_over_stdio_in_forty_lines(demo: Path) -> None:
    shown = printed_by([sys.executable, EXAMPLES / "scripted_client.py", demo])
    assert "runs: 60" in shown
    assert "optim.lr" in shown
    assert "0.93" in shown
    assert len((EXAMPLES / "scripted_client.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_the_scripted_client_ends_quietly_when_its_reader_has_ended(demo: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        command = [sys.executable, str(EXAMPLES / "scripted_client.py"), str(demo)]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("sh") is None, reason="no POSIX shell")
def test_the_shell_example_asks_for_people_and_for_programs(demo: Path) -> None:
    shown = printed_by(["sh", EXAMPLES / "ask.sh", demo], SWEEPLENS=str(Path(sys.executable).with_name("sweeplens")))
    assert "0.03" in shown
    best = shown.splitlines()[-3:]
    assert all(name.startswith("lr0.03") for name in best)


def test_the_four_workflows_of_the_library_run(demo: Path) -> None:
    shown = printed_by([sys.executable, EXAMPLES / "analyze_experiments.py", demo], POLARS_FMT_MAX_ROWS="50")
    assert shown.count("== ") == 4
    assert "60 runs" in shown
    assert "resnet_2019: best accuracy 0.8, last epoch 3" in shown


@pytest.mark.parametrize("example", ["analyze_experiments.py", "scripted_client.py", "ask.sh"])
def test_an_example_without_arguments_shows_its_usage(example: str) -> None:
    path = EXAMPLES / example
    program = [sys.executable] if path.suffix == ".py" else ["sh"]
    done = subprocess.run([*program, str(path)], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("usage: ")
    assert "Traceback" not in done.stderr
