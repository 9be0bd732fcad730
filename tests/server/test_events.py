"""Text of findings, news, what varies and curves: each thing once, while the structured channel keeps every row."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.sweep import write_run

from sweeplens.answers import Answer
from sweeplens.demo_data import write_sweep
from sweeplens.experiment_db import ExperimentDB
from sweeplens_mcp.cli.call import call_tool
from sweeplens_mcp.render.answers import PageRequest, ToolReply, reply
from sweeplens_mcp.render.findings import render_findings
from sweeplens_mcp.settings import Settings


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, now=datetime.now(UTC))
    return folder


def ask(folder: Path, tool: str, *values: str) -> ToolReply:
    return call_tool(tool, values, Settings((str(folder),)))


def rows(made: ToolReply) -> list[dict[str, Any]]:
    data: Any = made.structured
    return [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]


def test_a_cause_is_written_once_in_the_text_and_with_each_finding_in_the_rows(demo: Path) -> None:
    made = ask(demo, "diagnose_runs")
    cause = "optim.lr=0.3, the same runs as optim.weight_decay=3e-05: 4 of 4 affected, 0 of 47 healthy"
    assert made.text.count(cause) == 1
    assert sum(row["shared_cause"] == cause for row in rows(made)) == 8


def test_findings_of_a_run_stand_in_one_line_and_runs_of_the_same_findings_together(demo: Path) -> None:
    lines = ask(demo, "diagnose_runs").text.splitlines()
    at = lines.index("nan (high) + divergence (medium)")
    assert [line.split(":")[0] for line in lines[at + 1 : at + 5]] == [
        f"  lr0.3_bs{size}_s{seed}" for size in (128, 64) for seed in (0, 1)
    ]
    assert all("nan train/loss at step" in line and "divergence train/loss" in line for line in lines[at + 1 : at + 5])


def test_every_run_and_finding_of_the_rows_is_in_the_text(demo: Path) -> None:
    made = ask(demo, "diagnose_runs")
    assert all(row["run_id"] in made.text and row["finding"] in made.text for row in rows(made))
    assert len(made.text) < 4000


def test_pages_of_findings_lose_none(demo: Path) -> None:
    seen: list[tuple[str, str]] = []
    cursor = ""
    while True:
        made = ask(demo, "diagnose_runs", "limit=5", f"cursor={cursor}")
        seen += [(row["run_id"], row["finding"]) for row in rows(made)]
        cursor = str(made.structured["next_cursor"])
        if not cursor:
            break
    whole = [(row["run_id"], row["finding"]) for row in rows(ask(demo, "diagnose_runs"))]
    assert seen == whole


def test_of_many_mild_findings_a_few_have_their_evidence_and_the_others_their_names(tmp_path: Path) -> None:
    for i in range(30):
        flat = [{"step": s, "val/loss": max(1.0 - 0.1 * s, 0.3 + 0.001 * i) + 0.0001 * s} for s in range(40)]
        write_run(tmp_path / f"r{i:02}", {"lr": i % 3}, flat)
    made = ask(tmp_path, "diagnose_runs")
    mild = [row["run_id"] for row in rows(made) if row["finding"] == "plateau"]
    assert len(mild) == 30
    assert made.text.count("nothing clearly better") == 5
    assert all(run in made.text for run in mild)


def test_answers_cut_down_to_fewer_columns_are_tables(demo: Path) -> None:
    answer = ExperimentDB(base_path=demo).diagnose()
    narrow = Answer(answer.table.select("run_id", "finding"), answer.basis, tables=answer.tables)
    assert reply(narrow, PageRequest(8000), render_findings).text.splitlines()[0].split() == ["run_id", "finding"]


def test_healthy_runs_and_no_news_are_a_sentence_and_no_empty_table(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"lr": 1}, [{"step": s, "loss": 1 / (s + 1)} for s in range(30)])
    lines = ask(tmp_path, "diagnose_runs").text.splitlines()
    assert lines[0] == "Nothing found in 1 run."
    assert lines[1].startswith("Looked at: ")
    assert lines[2].startswith("Basis: ")


def test_the_first_news_of_a_sweep_take_a_dozen_lines(demo: Path) -> None:
    made = ask(demo, "whats_new")
    assert len(made.text) < 3000
    (many,) = [row for row in rows(made) if row["event"] == "finished"]
    assert (many["n"], many["run_id"]) == (58, "")
    assert "finished: 58 runs began, finished: " in made.text
    assert "best: lr0.03_bs64_s1 " in made.text


def test_perfectly_confounded_hyperparameters_are_listed_once(tmp_path: Path) -> None:
    for i in range(4):
        write_run(tmp_path / f"r{i}", {f"h{j}": i * (j + 1) for j in range(6)}, [{"step": 0, "loss": 1.0}])
    made = ask(tmp_path, "find_varying_hparams")
    assert all(len(row["same_as"]) == 5 for row in rows(made))
    assert made.text.count("h1, h2, h3, h4, h5") == 1
    assert made.text.count("see h0") == 5


def test_a_sequence_of_nan_is_shown_by_its_ends(tmp_path: Path) -> None:
    values = [*[1.0, 0.5, 0.25], *[math.nan] * 20, 0.2]
    write_run(tmp_path / "r", {"lr": 1}, [{"step": s, "loss": v} for s, v in enumerate(values)])
    made = ask(tmp_path, "query_metrics", "metrics=loss")
    assert "2 0.25; 3 to 22 nan (" in made.text
    assert "; 23 0.2" in made.text


def test_a_curve_over_many_powers_of_ten_says_that_its_course_is_on_a_log_scale(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"lr": 1}, [{"step": s, "loss": 10.0**s, "acc": s} for s in range(9)])
    lines = ask(tmp_path, "query_metrics", "metrics=loss,acc").text.splitlines()
    assert [" (log): " in line for line in lines[1:3]] == [False, True]
