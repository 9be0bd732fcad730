"""Answers as text: counts have their nouns, `print` is readable, one run that crashed has one word for it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, Answer, ExperimentDB
from sweeplens.answers import LazyAnswer
from sweeplens.counting import count_of, share_of, verb

_PLURALS = re.compile(
    r"(?<![\d.,])1 (runs|points|steps|metrics|rows|groups|settings|values|files|lines|others|seeds|strata|keys|"
    r"hyperparameters|findings|problems|levels|(?:new|other|more) (?!analysis\b)\w+s)\b|\b(?:of|in|over) 1 (?!series)\w+s\b"
)


def write_run(folder: Path, name: str, steps: int, settings: dict[str, object], *, torn: bool = False) -> None:
    path = folder / name
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(settings))
    began = datetime.now(UTC) - timedelta(hours=2)
    rows = [
        json.dumps({"step": i, "val/acc": 0.5 + 0.01 * i, "timestamp": (began + timedelta(seconds=i)).timestamp()})
        for i in range(1, steps + 1)
    ]
    (path / "metrics.jsonl").write_text("\n".join(rows) + ('\n{"step": 9' if torn else "\n"))


ASKED: dict[str, Callable[[ExperimentDB], Answer | LazyAnswer]] = {
    "overview": lambda db: db.overview(),
    "list_runs": lambda db: db.list_runs(),
    "list_metrics": lambda db: db.list_metrics(),
    "varying": lambda db: db.varying(),
    "summarize": lambda db: db.summarize(),
    "rank": lambda db: db.rank("val/acc"),
    "effects": lambda db: db.effects("val/acc"),
    "diagnose": lambda db: db.diagnose(),
    "news": lambda db: db.whats_new(),
    "suggest": lambda db: db.suggest("val/acc", budget=1),
    "cost": lambda db: db.cost("val/acc"),
    "checkpoints": lambda db: db.checkpoints("val/acc"),
    "sql": lambda db: db.query_sql("SELECT run_id FROM runs", limit=1),
    "curves": lambda db: db.curves("val/acc"),
}


@pytest.mark.parametrize("n_runs", [1, 2])
def test_a_count_of_one_has_a_singular_noun_in_every_answer(tmp_path: Path, n_runs: int) -> None:
    for i in range(n_runs):
        write_run(tmp_path, f"r{i}", 1 + i, {"lr": 0.1 * (i + 1)})
    db = ExperimentDB(tmp_path)
    for name, asked in ASKED.items():
        text = str(asked(db))
        assert not _PLURALS.search(text), (name, _PLURALS.search(text), text)


def test_counts_and_their_verbs() -> None:
    assert (count_of(1, "run"), count_of(0, "run"), count_of(2000, "stratum", "strata")) == (
        "1 run",
        "0 runs",
        "2,000 strata",
    )
    assert (share_of(1, 1, "run"), share_of(1, 3, "run")) == ("1 of 1 run", "1 of 3 runs")
    assert (verb(1, "was", "were"), verb(2, "was", "were")) == ("was", "were")


def test_print_shows_notes_table_and_basis_within_the_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(6):
        write_run(tmp_path, f"r{i}", 5, {"lr": 0.1 * (1 + i % 2), "seed": i})
    db = ExperimentDB(tmp_path)
    monkeypatch.setenv("COLUMNS", "70")
    answer = db.rank("val/acc")
    notes, table, basis = str(answer).split("\n\n")
    assert notes.splitlines()[0] == answer.notes[0]
    assert max(map(len, table.splitlines()[:-1])) <= 70
    assert {"rank", "mean", "tied"} <= set(table.split())
    assert basis.startswith("6 of 6 runs")
    assert repr(answer).startswith("<Answer: 2 rows")
    assert "\n" not in repr(answer)
    assert "r5" in str(db.curves("val/acc"))
    assert str(db.overview()).startswith("runs: 6: ")


def test_print_escapes_what_a_log_would_tell_the_terminal(tmp_path: Path) -> None:
    write_run(tmp_path, "r0", 3, {"note": "\x1b]0;title\x07 \u202eabc"})
    db = ExperimentDB(tmp_path)
    for answer in (db.overview(), db.list_runs(columns="note"), db.get_run("r0")):
        assert not {"\x1b", "\x07", "\u202e"} & set(str(answer))


def test_a_run_that_stopped_within_a_line_is_described_alike_in_news_and_findings(tmp_path: Path) -> None:
    write_run(tmp_path, "torn", 8, {"lr": 0.1}, torn=True)
    write_run(tmp_path, "whole", 8, {"lr": 0.2})
    db = ExperimentDB(AnalysisConfig(live_seconds=0.01), base_path=tmp_path)
    overview, news, found = str(db.overview()), str(db.whats_new()), str(db.diagnose())
    assert "1 broke off within a line" in overview
    assert "1 broke off within a line" in news
    assert "no status was logged; its file ends in the middle of a line" in " ".join(found.split())
    assert "failed" not in overview


def test_a_store_that_is_rebuilt_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path / "runs", "r0", 3, {"lr": 0.1})
    config = AnalysisConfig(cache_dir=str(tmp_path / "cache"))
    ExperimentDB(config, base_path=tmp_path / "runs").load_experiments()
    for spoiled in (b'{"schema": 0}', b"{no JSON", b""):
        for head in (tmp_path / "cache").rglob("HEAD"):
            head.write_bytes(spoiled)
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="sweeplens.store"):
            ExperimentDB(config, base_path=tmp_path / "runs").load_experiments()
        (line,) = [r.getMessage() for r in caplog.records if "is rebuilt" in r.getMessage()]
        assert line.count(str(tmp_path / "cache")) == 1, line


def test_runs_that_stopped_logging_are_not_counted_as_finished(tmp_path: Path) -> None:
    write_run(tmp_path, "silent", 8, {"lr": 0.1})
    write_run(tmp_path, "done", 8, {"lr": 0.2})
    (tmp_path / "done" / "summary.json").write_text('{"status": "finished"}')
    db = ExperimentDB(AnalysisConfig(live_seconds=0.01), base_path=tmp_path)
    finished = db.runs_df.filter(pl.col("status") == "finished").height
    news = db.whats_new().notes[0]
    assert f"; {finished} finished; 1 stopped logging" in news
