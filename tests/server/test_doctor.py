"""What `sweeplens doctor` says of every file below the roots."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
from support import wire_samples as wire

from sweeplens_mcp.cli.doctor import report
from sweeplens_mcp.settings import Settings

SAYS_NO_RUN = "text that is neither JSON lines nor a table of steps"
EVENTS = "events.out.tfevents.1700000000.host.1.0"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "lab"
    for name, text in {
        "trial/result.json": json.dumps({"training_iteration": 1, "loss": 0.5}) + "\n",
        "trial/progress.csv": "training_iteration,loss\n1,0.5\n",
        "trial/params.json": "{}",
        "weights/model.pt": "x",
        "data/iris.csv": "width,height\n1,2\n",
        "notes/readme.txt": "hello\n",
        "other/annotations.json": '[{"id": 1}]',
        "job/.hydra/config.yaml": "lr: 1\n",
        "job/app.log": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    wire.event_file(root / "trial" / EVENTS, [wire.event(1.7e9, 1, wire.scalar("loss", 0.5))])
    with sqlite3.connect(root / "p.db") as database:
        database.execute("CREATE TABLE metrics (run_name TEXT, timestamp TEXT, step INTEGER, metrics TEXT)")
        database.execute("INSERT INTO metrics VALUES ('a', '2026-01-01T00:00:00', 0, '{\"loss\": 1}')")
    database.close()
    (root / "p.lock").touch()
    return root


def test_every_file_is_read_or_a_copy_or_belongs_to_a_run_or_is_refused_with_a_reason(lab: Path) -> None:
    lines = list(report(Settings((str(lab),)), files=True))
    said = dict(line.removeprefix(f"{lab}/").split(": ", 1) for line in lines if line.startswith(f"{lab}/"))
    assert said.keys() == {str(p.relative_to(lab)) for p in lab.rglob("*") if p.is_file()}
    main = lab / "trial" / "result.json"
    assert said["trial/result.json"] == said["trial/params.json"] == "read by ray_tune"
    assert said["trial/progress.csv"] == f"a duplicate of {main}, which ray_tune reads"
    assert said[f"trial/{EVENTS}"] == f"a duplicate of {main}, which ray_tune reads"
    assert said["p.lock"] == f"belongs to {lab / 'p.db'}, which trackio reads"
    assert said["weights/model.pt"] == "not read: no log: *.pt"
    assert said["data/iris.csv"] == "not read: table without an axis that goes forward"
    assert said["other/annotations.json"] == "not read: JSON without steps or series"
    assert said["job/.hydra/config.yaml"] == "not read: configuration of a Hydra job without a log"


def test_a_printed_log_in_another_folder_is_named_with_its_run(lab: Path) -> None:
    for seed in range(2):
        (lab / f"runs/s{seed}").mkdir(parents=True)
        (lab / f"runs/s{seed}/metrics.jsonl").write_text("".join(f'{{"step": {i}, "acc": 0.{i}}}\n' for i in range(9)))
        (lab / f"runs/s{seed}/config.json").write_text(f'{{"seed": {seed}, "slurm_job_id": 7712{seed}}}')
    (lab / "slurm").mkdir()
    (lab / "slurm" / "slurm-77121.out").write_text("Traceback (most recent call last):\nValueError: no data\n")
    (lab / "slurm" / "slurm-99999.out").write_text("nothing known\n")
    text = "\n".join(report(Settings((str(lab),)), files=True))
    assert f"{lab}/slurm/slurm-77121.out: log of run runs/s1" in text
    assert f"{lab}/slurm/slurm-99999.out: not read: {SAYS_NO_RUN}" in text
    assert "  1 printed log of runs in other folders" in text


def test_the_summary_counts_files_by_reader_and_those_without_a_reader_by_reason(lab: Path) -> None:
    text = "\n".join(report(Settings((str(lab),))))
    assert "Written more than once, counted once: 1\n  trial: read by ray_tune; duplicates: progress.csv" in text
    assert "  ray_tune: 2 read, 2 duplicates, 0 belong to its runs" in text
    assert "  trackio: 1 read, 0 duplicates, 1 belong to its runs" in text
    assert "Files without a reader: 6" in text
    assert f"  1 empty: {lab / 'job' / 'app.log'}" in text


def test_a_store_on_an_object_store_is_named_with_its_size_and_age(
    lab: Path, cache_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", cache_url)
    said = next(line for line in report(Settings((str(lab),))) if line.startswith("Store: "))
    assert re.fullmatch(rf"Store: {cache_url}/stores/\w+, 0\.\d MB, written \d+ s ago", said)
