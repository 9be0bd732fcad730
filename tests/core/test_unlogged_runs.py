"""A folder beside run folders that holds no metrics is a run without points: it failed, was killed, or has only begun."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB

MEMORY = "RuntimeError: CUDA out of memory. Tried to allocate 1.17 GiB"
TRACEBACK = (
    f'Traceback (most recent call last):\n  File "train.py", line 31, in <module>\n    loss.backward()\n{MEMORY}\n'
)


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), root)


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def trained(folder: Path, seed: int = 0, lr: float = 0.1) -> Path:
    """A run with a configuration, a log of metrics and what it printed."""
    rows = "".join(json.dumps({"step": s, "loss": 1 / (s + lr + seed)}) + "\n" for s in range(1, 20))
    config = json.dumps({"lr": lr, "seed": seed})
    return written(folder, config_DOT_json=config, metrics_DOT_jsonl=rows, train_DOT_log="starting\ndone\n")


def sweep(root: Path) -> None:
    for seed in range(4):
        trained(root / f"lr0.1_s{seed}", seed)


def ends(root: Path) -> dict[str, tuple[str, int, str | None]]:
    """Run that is no log's -> its status, its steps, and the words of its end."""
    runs = opened(root).runs_df
    return {
        r["run_id"]: (r["status"], r["n_steps"] or 0, r.get("metadata.ended_with"))
        for r in runs.iter_rows(named=True)
        if r["format"] == "unlogged"
    }


FAILED = {
    "no metrics": {"config_DOT_json": '{"lr": 0.5, "seed": 0}', "train_DOT_log": TRACEBACK},
    "empty metrics": {"config_DOT_json": '{"lr": 0.5, "seed": 0}', "metrics_DOT_jsonl": "", "train_DOT_log": TRACEBACK},
    "errors alone": {"stderr_DOT_txt": TRACEBACK},
    "output of a job": {"config_DOT_json": '{"lr": 0.5, "seed": 0}', "slurm-123_DOT_out": TRACEBACK},
    "settings of Hydra": {"_DOT_hydra__config_DOT_yaml": "lr: 0.5\nseed: 0\n", "train_DOT_log": TRACEBACK},
}  # fmt: skip


@pytest.mark.parametrize("case", FAILED)
def test_a_folder_that_ends_in_an_error_before_its_first_metric_is_a_failed_run(tmp_path: Path, case: str) -> None:
    sweep(tmp_path / "runs")
    written(tmp_path / "runs" / "lr0.5_s0", **FAILED[case])
    assert ends(tmp_path) == {"runs/lr0.5_s0": ("failed", 0, MEMORY)}
    db = opened(tmp_path)
    row = db.runs_df.filter(run_id="runs/lr0.5_s0").to_dicts()[0]
    assert row["lr"] == (None if case == "errors alone" else 0.5)
    assert not [c for c in db.runs_df.columns if c.startswith("path.")]


def test_answers_say_why_such_runs_failed_and_count_them(tmp_path: Path) -> None:
    sweep(tmp_path)
    written(tmp_path / "lr0.5_s0", **FAILED["empty metrics"])
    db = opened(tmp_path)
    overview = db.overview()
    said = "\n".join(overview.table["text"])
    assert MEMORY in said
    assert "4 of 5 runs" in said
    assert ("lr0.5_s0", "crashed") in db.diagnose().table.select("run_id", "finding").rows()
    assert not [w for w in overview.basis.warnings if "look like" in w]


def test_logs_below_the_folder_of_a_run_are_looked_at_too(tmp_path: Path) -> None:
    for seed in range(3):
        shutil.move(trained(tmp_path / f"s{seed}", seed), tmp_path / "moved")
        shutil.move(tmp_path / "moved", tmp_path / f"run_{seed}" / "logs")
    written(tmp_path / "run_3", logs__train_DOT_log=TRACEBACK, logs__config_DOT_json='{"lr": 0.5}')
    assert ends(tmp_path) == {"run_3": ("failed", 0, MEMORY)}


def test_a_folder_with_only_a_configuration_is_a_run_if_it_is_named_like_one(tmp_path: Path) -> None:
    sweep(tmp_path)
    written(tmp_path / "lr0.1_s9", config_DOT_json='{"lr": 0.1, "seed": 9}')
    written(tmp_path / "template", config_DOT_json='{"lr": 0.1}')
    assert ends(tmp_path) == {"lr0.1_s9": ("unknown", 0, None)}


@pytest.mark.parametrize(
    "files",
    [
        {"notes_DOT_md": "todo"},
        {"a_DOT_png": "x", "train_DOT_log": TRACEBACK},
        {"data_DOT_csv": "a,b\n1,2\n", "config_DOT_json": "{}"},
        {},
    ],
)
def test_a_folder_that_is_unlike_the_runs_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    sweep(tmp_path)
    (tmp_path / "lr0.1_s7").mkdir()
    written(tmp_path / "lr0.1_s7", **files)
    assert ends(tmp_path) == {}


def test_a_folder_that_collects_what_jobs_print_is_none(tmp_path: Path) -> None:
    sweep(tmp_path)
    for seed in range(4):
        written(tmp_path / f"lr0.1_s{seed}", slurm_DOT_out="srun: job 7\n")
    written(tmp_path / "logs", slurm_DOT_out="srun: job 8\n", train_DOT_log=TRACEBACK)
    written(tmp_path / "eval", train_DOT_log="done\n")
    assert ends(tmp_path) == {}


def test_folders_beside_fewer_than_two_runs_are_none(tmp_path: Path) -> None:
    trained(tmp_path / "s0")
    written(tmp_path / "s1", train_DOT_log=TRACEBACK)
    assert ends(tmp_path) == {}


def test_such_a_run_follows_its_files_and_becomes_that_of_its_log(tmp_path: Path) -> None:
    sweep(tmp_path)
    db = opened(tmp_path)

    def told() -> list[tuple[str, str, float | None]]:
        mine = db.runs_df.filter(run_id="lr0.1_s8")
        return [(r["format"], r["status"], r["lr"]) for r in mine.iter_rows(named=True)]

    assert told() == []
    folder = written(tmp_path / "lr0.1_s8", config_DOT_json='{"lr": 0.5}', train_DOT_log="starting\n")
    assert [(f, lr) for f, _, lr in told()] == [("unlogged", 0.5)]
    written(folder, train_DOT_log="starting\n" + TRACEBACK)
    assert told() == [("unlogged", "failed", 0.5)]
    written(folder, config_DOT_json='{"lr": 0.25}')
    assert told() == [("unlogged", "failed", 0.25)]
    trained(folder, 8)
    assert [(f, lr) for f, _, lr in told()] == [("json_steps", 0.1)]
    shutil.rmtree(folder)
    assert told() == []


def test_runs_that_end_before_a_metric_count_among_those_of_their_setting(tmp_path: Path) -> None:
    for seed in range(6):
        trained(tmp_path / f"lr0.1_s{seed}", seed)
        if seed:
            written(
                tmp_path / f"lr9_s{seed}", config_DOT_json=json.dumps({"lr": 9, "seed": seed}), train_DOT_log=TRACEBACK
            )
        else:
            trained(tmp_path / "lr9_s0", 0, 9)
    notes = opened(tmp_path).rank("loss").notes
    assert any("5 runs of these groups were left out" in n for n in notes)
