"""Where a tracker's folder holds only last values, the log beside them gives the run its curves and its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import wire_samples as wire

from sweeplens import AnalysisConfig, ExperimentDB

RUN = "run-20240115_195211-8d97aec1"
ROWS = [(20 * i, 10.0 + i, 2.0 / i) for i in range(1, 31)]
ERROR = "ValueError: Expected parameter loc of shape (256, 6) to hold real values"


def tracked(
    root: Path, logs: Mapping[str, str | bytes], *, name: str = RUN, home: str = "files", lr: float = 3e-4
) -> Path:
    """A W&B run directory without its record file: last values, config, metadata, and logs by name."""
    folder = root / name / home
    folder.mkdir(parents=True)
    _, score, loss = ROWS[-1]
    last = {"_step": 7, "score": score, "train": {"loss": loss}, "best_score": 99.5}
    (folder / "wandb-summary.json").write_text(json.dumps(last))
    (folder / "config.yaml").write_text(
        f"lr:\n  desc: null\n  value: {lr}\nenv:\n  value: hopper\n_wandb:\n  value: {{}}\n"
    )
    (folder / "wandb-metadata.json").write_text(json.dumps({"program": "train_iql.py", "host": "a40-0"}))
    for log, content in logs.items():
        path = folder / log
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def table(last: int = len(ROWS)) -> str:
    return "step,score,train.loss\n" + "".join(f"{s},{a},{b}\n" for s, a, b in ROWS[:last])


def lines() -> str:
    return "".join(json.dumps({"step": s, "score": a, "train.loss": b}) + "\n" for s, a, b in ROWS)


def printed(end: str = "", last: int = len(ROWS)) -> str:
    rows = "".join(f"[{s:7d}] score {a:.4f} loss {b:.4f}\n" for s, a, b in ROWS[:last])
    return f"Loading dataset hopper-medium ... 998999 transitions\n{rows}{end}\n"


def traceback(error: str = ERROR) -> str:
    return (
        f'Traceback (most recent call last):\n  File "train_iql.py", line 88, in update\n    loss.backward()\n{error}\n'
    )


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), root)


def only(db: ExperimentDB) -> dict[str, object]:
    (found,) = db.runs_df.to_dicts()
    return found


def curve(db: ExperimentDB, metric: str) -> tuple[list[int], list[float]]:
    points = db.query_metrics(f"^{metric}$".replace(".", r"\."))
    return points["step"].to_list(), points["value"].to_list()


@pytest.mark.parametrize("home", ["files", ""], ids=["today's folder", "before 0.10"])
@pytest.mark.parametrize(
    "logs",
    [
        {"progress.csv": table(), "output.log": printed()},
        {"metrics.jsonl": lines()},
        {"train_log.txt": table().replace(",", "\t")},
        {"history.json": "[" + ",".join(lines().split("\n")[:-1]) + "]"},
    ],
    ids=["table", "JSON lines", "tabs", "list"],
)
def test_the_log_beside_a_summary_gives_the_run_of_the_tracker_its_curves(
    tmp_path: Path, home: str, logs: dict[str, str]
) -> None:
    tracked(tmp_path / "wandb", logs, home=home)
    db = opened(tmp_path)
    run = only(db)
    assert (run["run_id"], run["format"], run["n_steps"]) == (RUN, "wandb_summary", 30)
    assert (run["lr"], run["env"], run["metadata.program"]) == (3e-4, "hopper", "train_iql.py")
    assert curve(db, "score") == ([s for s, _, _ in ROWS], [a for _, a, _ in ROWS])
    assert curve(db, "train.loss")[1] == [b for _, _, b in ROWS]
    assert curve(db, "best_score") == ([ROWS[-1][0]], [99.5])
    assert db.problems.height == 0
    assert not any("not read" in w for w in db.overview().basis.warnings)


def test_event_files_beside_a_summary_give_the_curves(tmp_path: Path) -> None:
    folder = tracked(tmp_path, {})
    wire.event_file(
        folder / "events.out.tfevents.1700000000.a",
        [wire.event(1.7e9 + s, s, wire.scalar("score", a)) for s, a, _ in ROWS],
    )
    db = opened(tmp_path)
    assert only(db)["run_id"] == RUN
    assert curve(db, "score") == ([s for s, _, _ in ROWS], [a for _, a, _ in ROWS])


def test_logs_in_a_folder_of_the_saved_files_give_the_curves(tmp_path: Path) -> None:
    folder = tracked(tmp_path, {})
    (folder / "stats").mkdir()
    (folder / "stats" / "progress.csv").write_text(table())
    assert curve(opened(tmp_path), "score")[0] == [s for s, _, _ in ROWS]


def test_without_a_table_the_printed_output_gives_curves_and_end(tmp_path: Path) -> None:
    tracked(tmp_path, {"output.log": printed("Training finished.")})
    db = opened(tmp_path)
    run = only(db)
    assert (run["run_id"], run["status"], run["lr"]) == (RUN, "finished", 3e-4)
    assert curve(db, "score")[1] == [a for _, a, _ in ROWS]


@pytest.mark.parametrize("logs", [{"progress.csv": table(12)}, {}], ids=["a table beside it", "nothing beside it"])
@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        (traceback(), "failed", ERROR),
        ("slurmstepd: error: *** JOB 77 ON a40 CANCELLED AT 2024-01-15 DUE TO TIME LIMIT ***\n", "killed", "CANCELLED"),
        ("[optuna] Trial 3 pruned by SuccessiveHalvingPruner at step 240\n", "pruned", None),
        ("Training finished\n", "finished", None),
    ],
    ids=["error", "killed", "pruned", "finished"],
)
def test_the_printed_output_says_how_the_run_ended(
    tmp_path: Path, logs: dict[str, str], end: str, status: str, words: str | None
) -> None:
    tracked(tmp_path, {**logs, "output.log": printed(end, last=12)})
    run = only(opened(tmp_path))
    assert run["status"] == status
    told = run.get("metadata.ended_with")
    assert told is None if words is None else words in str(told)


def test_an_output_of_nothing_but_an_error_says_it_too(tmp_path: Path) -> None:
    tracked(tmp_path, {"output.log": traceback()})
    db = opened(tmp_path)
    assert (only(db)["status"], only(db)["metadata.ended_with"]) == ("failed", ERROR)
    assert curve(db, "score") == ([7], [ROWS[-1][1]])
    assert "only the last values are known" in db.problems["reason"][0]


def test_a_run_that_crashed_before_its_summary_was_written_is_read_like_the_others(tmp_path: Path) -> None:
    for seed in range(3):
        tracked(tmp_path, {"progress.csv": table()}, name=f"run-20240115_19521{seed}-abc{seed}", lr=1e-3 * (1 + seed))
    crashed = tracked(tmp_path, {"progress.csv": table(9), "output.log": printed(traceback(), last=9)})
    (crashed / "wandb-summary.json").unlink()
    runs = opened(tmp_path).runs_df
    assert set(runs["format"]) == {"wandb_summary"}
    mine = runs.filter(run_id=RUN).row(0, named=True)
    assert (mine["status"], mine["n_steps"], mine["lr"]) == ("failed", 9, 3e-4)


def test_a_study_in_which_many_trials_were_pruned_was_not_pruned_itself(tmp_path: Path) -> None:
    told = "".join(f"[I] Trial {i} pruned.\n" for i in range(5))
    tracked(tmp_path, {"output.log": printed(told)})
    assert only(opened(tmp_path))["status"] not in ("pruned", "finished")


def test_curves_of_the_log_reach_the_diagnosis(tmp_path: Path) -> None:
    diverged = "step,score,loss\n" + "".join(
        f"{i},{1 - 1 / (i + 1)},{1 / (i + 1) if i < 25 else 50.0 * i}\n" for i in range(40)
    )
    tracked(tmp_path, {"progress.csv": diverged})
    findings = opened(tmp_path).diagnose().table
    assert {"divergence"} <= set(findings.filter(run_id=RUN)["finding"])


@pytest.mark.parametrize("kept", [0, 40], ids=["empty", "cut off"])
def test_a_record_file_without_history_leaves_the_curves_to_the_log(tmp_path: Path, kept: int) -> None:
    folder = tracked(tmp_path / "wandb", {"progress.csv": table(12), "output.log": printed(traceback(), last=12)})
    record = wire.wandb_file(folder.parent, "8d97aec1", [wire.wandb_run("r", "8d97aec1", config={})])
    record.write_bytes(record.read_bytes()[:kept])
    run = only(opened(tmp_path))
    assert (run["format"], run["run_id"], run["n_steps"], run["status"]) == ("wandb", RUN, 12, "failed")
    assert (run["lr"], run["metadata.ended_with"]) == (3e-4, ERROR)


def test_names_that_differ_in_their_marks_are_one(tmp_path: Path) -> None:
    tracked(tmp_path, {"progress.csv": table().replace("train.loss", "train/loss")})
    assert set(opened(tmp_path).query_metrics()["metric"]) == {"score", "train/loss", "best_score"}


def test_a_table_of_one_row_is_no_curve(tmp_path: Path) -> None:
    tracked(tmp_path, {"results.csv": "epoch,score\n3,0.5\n", "output.log": printed()})
    assert curve(opened(tmp_path), "score")[1] == [a for _, a, _ in ROWS]


def test_a_damaged_log_leaves_the_last_values_and_a_problem(tmp_path: Path) -> None:
    tracked(tmp_path, {"events.out.tfevents.1.a": b"\x00\x01 no events"})
    db = opened(tmp_path)
    assert curve(db, "score") == ([7], [ROWS[-1][1]])
    assert db.problems.height >= 1


def test_numbers_in_brackets_that_do_not_go_forward_are_no_steps(tmp_path: Path) -> None:
    ranks = "".join(f"[{i % 4}] step {i // 4} loss {1 / (1 + i // 4):.4f}\n" for i in range(40))
    (tmp_path / "train.log").write_text(ranks)
    points = opened(tmp_path).query_metrics()
    assert sorted(set(points["step"])) == list(range(10))
    assert points["metric"].n_unique() == 4


def test_a_log_that_grows_is_read_again(tmp_path: Path) -> None:
    folder = tracked(tmp_path, {"progress.csv": table(5)})
    db = opened(tmp_path)
    assert only(db)["n_steps"] == 5
    (folder / "progress.csv").write_text(table(9))
    assert only(db)["n_steps"] == 9
