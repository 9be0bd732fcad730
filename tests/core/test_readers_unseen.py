"""Logs as producers write them that the corpus has no sample of: each test writes a small one as it was seen, and reads it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from support.reading import read_folder


def write_lines(path: Path, *rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def journal(operation: int, **rest: Any) -> dict[str, Any]:
    return {"op_code": operation, "worker_id": "6d1c-1", **rest}


CHOICE = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": ["adam", None]}})
FLOAT = json.dumps({"name": "FloatDistribution", "attributes": {"low": 0, "high": 1, "log": False, "step": None}})
NEW = {"datetime_start": "2026-01-02T03:04:05+00:00"}
END = {"datetime_complete": "2026-01-02T03:05:05+00:00"}


def test_an_optuna_journal_reads_as_its_database_would(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "journal.log",
        journal(0, study_name="gone", directions=[1]),
        journal(4, study_id=0, **NEW),
        journal(0, study_name="depth", directions=[1]),
        journal(4, study_id=1, **NEW),
        journal(5, trial_id=1, param_name="opt", param_value_internal=0, distribution=CHOICE),
        journal(5, trial_id=1, param_name="lr", param_value_internal=0.25, distribution=FLOAT),
        journal(7, trial_id=1, step=0, intermediate_value=math.nan),
        journal(7, trial_id=1, step=5, intermediate_value=0.5),
        journal(8, trial_id=1, user_attr={"seed": 3}),
        journal(6, trial_id=1, state=1, values=[0.125], **END),
        journal(7, trial_id=1, step=9, intermediate_value=9.0),  # it had ended: not taken
        journal(4, study_id=1, datetime_start=None, state=4),
        journal(1, study_id=0),
    )
    found = read_folder(tmp_path)
    assert list(found.runs) == ["depth/0", "depth/1"]
    first = found.runs["depth/0"]
    assert first.hyperparameters == {"opt": "adam", "lr": 0.25}
    assert (first.status, first.group, found.runs["depth/1"].status) == ("finished", "depth", "running")
    assert first.metadata == {"state": "COMPLETE", "direction": "minimize", "user_attrs": {"seed": 3}}
    steps, values = found.series("depth/0", "intermediate_value")
    assert (steps, str(values)) == ([0, 5], "[nan, 0.5]")
    assert found.series("depth/0", "value") == ([5], [0.125])


def test_an_optuna_journal_that_was_cut_off_says_so_and_keeps_what_is_whole(tmp_path: Path) -> None:
    write_lines(tmp_path / "optuna.jsonl", journal(0, study_name="s", directions=[1, 2]), journal(4, study_id=0, **NEW))
    with (tmp_path / "optuna.jsonl").open("a") as stream:
        stream.write('{"op_code": 6, "trial_id": 0, "val')
    found = read_folder(tmp_path)
    assert found.runs["s/0"].metadata["directions"] == ["minimize", "maximize"]
    assert [p.kind for p in found.problems] == ["torn"]
