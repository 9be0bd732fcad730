"""What a run's script wrote down about it beside its log: results, machines, how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB

FACTS = {
    "state": "finished",
    "host": "dgx-03",
    "test_acc": 0.86278,
    "inner": {"n": 1379},
    "curve": [1, 2, 3],
    "api_key": "s3cret",
}


def log(folder: Path, name: str = "metrics.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps({"step": i, "loss": 1 / (i + 1)}) + "\n" for i in range(12)))
    return folder


def runs(root: Path) -> list[dict[str, object]]:
    return ExperimentDB(AnalysisConfig(cache="memory"), root).runs_df.sort("run_id").to_dicts()


@pytest.mark.parametrize("name", ["result.json", "summary.json", "run_info.json", "eval_results.json", "metadata.json"])
def test_single_values_in_a_file_beside_the_log_are_metadata_and_say_how_the_run_ended(
    tmp_path: Path, name: str
) -> None:
    (log(tmp_path / "a") / name).write_text(json.dumps(FACTS))
    log(tmp_path / "b")
    one, other = runs(tmp_path)
    stem = f"metadata.{name.removesuffix('.json')}"
    assert (one["status"], one[f"{stem}.host"], one[f"{stem}.test_acc"]) == ("finished", "dgx-03", 0.86278)
    assert one[f"{stem}.inner.n"] == 1379
    assert one[f"{stem}.api_key"] == "***"
    assert f"{stem}.curve" not in one
    assert (other["status"], other[f"{stem}.host"]) == ("unknown", None)


def test_facts_above_a_folder_of_logs_are_of_its_only_run_and_never_of_several(tmp_path: Path) -> None:
    log(tmp_path / "exp" / "logs")
    (tmp_path / "exp" / "result.json").write_text(json.dumps(FACTS))
    for name in ("a.jsonl", "b.jsonl"):
        log(tmp_path / "many", name)
    (tmp_path / "many" / "result.json").write_text(json.dumps({"test_acc": 0.5}))
    one, *others = runs(tmp_path)
    assert one["metadata.result.test_acc"] == 0.86278
    assert [r["metadata.result.test_acc"] for r in others] == [None, None]


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "{", "[" * 100_000, '{"a": ' * 2000, json.dumps({"a": "x" * 70_000}), "\x00\xff"]
)
def test_a_file_that_holds_no_facts_changes_nothing(tmp_path: Path, content: str) -> None:
    log(tmp_path / "a")
    (before,) = runs(tmp_path)
    (tmp_path / "a" / "result.json").write_text(content)
    (after,) = runs(tmp_path)
    assert after == before


def test_facts_that_change_are_read_again(tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), log(tmp_path / "a").parent)
    assert "metadata.result.test_acc" not in db.runs_df.columns
    for value in (0.1, 0.25):
        (tmp_path / "a" / "result.json").write_text(json.dumps({"test_acc": value}))
        assert db.runs_df["metadata.result.test_acc"].to_list() == [value]
