"""How a run ended is read from the files beside its log; "running" needs evidence that a program writes now."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from support import wire_samples as wire

from sweeplens import AnalysisConfig, ExperimentDB


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=root)


def log(path: Path, n: int = 12, **more: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"step": i, "loss": 1 / (i + 1), **more}) + "\n" for i in range(n)))
    return path


def statuses(root: Path) -> dict[str, str]:
    return dict(opened(root).runs_df.select("run_id", "status").iter_rows())


TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\nRuntimeError: shapes differ\n'
SIGNS = [
    ("status.json", '{"status": "completed", "epoch": 3}', "finished"),
    ("status.json", '{"state": "FAILED"}', "failed"),
    ("run_status.json", '{"exit_code": 3}', "failed"),
    ("status.txt", "status: done\n", "finished"),
    ("status", "killed by the scheduler\n", "killed"),
    ("status.json", '{"status": "running"}', "unknown"),
    ("status.json", '{"status": "queued"}', "waiting"),
    ("status.json", "{not JSON", "unknown"),
    ("exit_code", "0\n", "finished"),
    ("exit_code.txt", "1", "failed"),
    ("returncode", "137\n", "killed"),
    (".exitcode", "-15", "killed"),
    (".done", "", "finished"),
    ("DONE", "2024-01-01", "finished"),
    ("_SUCCESS", "", "finished"),
    ("COMPLETED.txt", "", "finished"),
    ("FAILED", "", "failed"),
    (".error", "", "failed"),
    ("CANCELLED", "", "killed"),
    ("slurm-7.out", "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2024-01-01T00:00:00 ***\n", "killed"),
    (
        "slurm-7.out",
        "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2024-01-01T00:00:00 DUE TO TIME LIMIT ***\n",
        "killed",
    ),
    ("slurm-7.out", "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch.\n", "killed"),
    ("slurm-7.err", "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.\n", "killed"),
    ("slurm-7.out", "loading\n" + TRACEBACK, "failed"),
    ("job.err", TRACEBACK, "failed"),
    ("12_0_log.out", "submitit INFO (2024-01-01 00:00:00,000) - Job completed successfully\n", "finished"),
    ("12_0_log.err", f"submitit ERROR (2024-01-01) - Submitted job triggered an exception\n{TRACEBACK}", "failed"),
    ("12_0_result.pkl", "not opened", "finished"),
    ("notes.txt", "the run failed\n", "unknown"),
    ("error_bars.csv", "x\n1\n", "unknown"),
    ("done_list.md", "", "unknown"),
]


@pytest.mark.parametrize(("name", "content", "status"), SIGNS)
def test_a_file_beside_a_log_tells_how_its_run_ended(tmp_path: Path, name: str, content: str, status: str) -> None:
    log(tmp_path / "a" / "metrics.jsonl")
    (tmp_path / "a" / name).write_text(content)
    assert statuses(tmp_path) == {"a": status}


def test_a_sign_above_a_folder_of_logs_counts_for_its_only_run(tmp_path: Path) -> None:
    log(tmp_path / "a" / "logs" / "metrics.jsonl")
    log(tmp_path / "b" / "seed0" / "metrics.jsonl")
    log(tmp_path / "b" / "seed1" / "metrics.jsonl")
    for place in ("a", "b"):
        (tmp_path / place / "exit_code").write_text("1")
    assert statuses(tmp_path) == {"a/logs": "failed", "b/seed0": "unknown", "b/seed1": "unknown"}


def test_of_several_logs_in_a_folder_a_sign_counts_for_the_one_that_it_is_named_after(tmp_path: Path) -> None:
    for run, scale in (("a", 1.0), ("b", 2.0)):
        log(tmp_path / f"{run}.jsonl", scale=scale)
    (tmp_path / "a.done").touch()
    (tmp_path / "FAILED").touch()
    assert statuses(tmp_path) == {"a.jsonl": "finished", "b.jsonl": "unknown"}


def test_the_newest_job_decides_and_one_without_an_end_is_open(tmp_path: Path) -> None:
    log(tmp_path / "a" / "metrics.jsonl")
    (tmp_path / "a" / "slurm-9.out").write_text(TRACEBACK)
    (tmp_path / "a" / "slurm-10.out").write_text("Training finished\n")
    assert statuses(tmp_path) == {"a": "finished"}
    (tmp_path / "a" / "slurm-11.out").write_text("resuming\n")
    assert statuses(tmp_path) == {"a": "unknown"}


def test_a_sign_of_an_earlier_attempt_does_not_count(tmp_path: Path) -> None:
    log(tmp_path / "a" / "metrics.jsonl")
    sign = tmp_path / "a" / "FAILED"
    sign.touch()
    before = time.time() - 3600
    os.utime(sign, (before, before))
    assert statuses(tmp_path) == {"a": "unknown"}


def test_a_sign_that_appears_changes_and_goes_is_noticed(tmp_path: Path) -> None:
    log(tmp_path / "a" / "metrics.jsonl")
    db, sign = opened(tmp_path), tmp_path / "a" / "exit_code"
    assert db.runs_df["status"].to_list() == ["unknown"]
    sign.write_text("1")
    assert db.runs_df["status"].to_list() == ["failed"]
    sign.write_text("0\n")
    assert db.runs_df["status"].to_list() == ["finished"]
    sign.unlink()
    assert db.runs_df["status"].to_list() == ["unknown"]


def test_what_a_tracker_says_counts_before_a_sign(tmp_path: Path) -> None:
    place = tmp_path / "wandb" / "run-20240101_000000-abc"
    wire.wandb_file(place, "abc", [wire.wandb_row({"loss": 1.0, "_step": 0}), wire.wandb_exit(0)])
    (place / "exit_code").write_text("1")
    assert list(statuses(tmp_path).values()) == ["finished"]


def test_a_fresh_copy_and_an_old_file_are_unknown_and_a_log_that_is_written_to_is_running(tmp_path: Path) -> None:
    live = log(tmp_path / "live" / "a" / "metrics.jsonl")
    minutes = time.time() - 300
    os.utime(live.parent, (minutes, minutes))  # the log was put there five minutes ago
    assert statuses(tmp_path / "live") == {"a": "running"}
    shutil.copytree(tmp_path / "live", tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / "a")
    assert statuses(tmp_path / "copy") == {"a": "unknown"}
    yesterday = time.time() - 86400
    os.utime(live, (yesterday, yesterday))
    os.utime(live.parent, (yesterday - 300, yesterday - 300))
    assert statuses(tmp_path / "live") == {"a": "unknown"}


def test_a_time_in_the_log_is_evidence_and_an_old_one_in_a_new_file_is_not(tmp_path: Path) -> None:
    log(tmp_path / "now" / "metrics.jsonl", timestamp=time.time() - 5)
    log(tmp_path / "then" / "metrics.jsonl", timestamp=time.time() - 86400)
    assert statuses(tmp_path) == {"now": "running", "then": "unknown"}


def test_a_wandb_run_has_not_crashed_in_its_first_seconds(tmp_path: Path) -> None:
    stamp = time.strftime("%Y%m%d_%H%M%S")
    file = wire.wandb_file(tmp_path / "wandb" / f"run-{stamp}-abc", "abc", [])
    assert list(statuses(tmp_path).values()) == ["unknown"]
    long_ago = time.time() - 2 * 86400
    os.utime(file, (long_ago, long_ago))
    (tmp_path / "wandb" / f"run-{stamp}-abc").rename(tmp_path / "wandb" / "run-20240101_000000-abc")
    assert list(statuses(tmp_path).values()) == ["crashed"]


def test_a_run_of_which_its_format_says_no_end_ended_with_its_last_logged_time(tmp_path: Path) -> None:
    head = '#{"t_start": 1600000000.0, "env_id": "Pole-v1"}\nr,l,t\n'
    (tmp_path / "monitor.csv").write_text(head + "".join(f"{i},10,{5 * i}\n" for i in range(1, 8)))
    (run,) = ExperimentDB(AnalysisConfig(), tmp_path).runs_df.to_dicts()
    assert run["updated_at"].timestamp() == 1600000035


def test_the_words_of_a_program_say_why_its_run_ended(tmp_path: Path) -> None:
    root, store = tmp_path / "runs", tmp_path / "store"
    for name in ("a", "b"):
        log(root / name / "metrics.jsonl")
        error = f"Traceback (most recent call last):\nOSError: [Errno 28] No space left on device: '/ckpt/{name}.pt'\n"
        (root / name / "slurm-7.out").write_text(error + "srun: error: n1: task 0: Exited with exit code 1\n")
    log(root / "c" / "metrics.jsonl")
    (root / "c" / "exit_code").write_text("1")
    (root / "c" / "train.err").write_text("Traceback:\nRuntimeError: WANDB_API_KEY=abcdef0123456789 was refused\n")
    log(root / "d" / "metrics.jsonl")
    (root / "d" / "job.out").write_text("loss 0.3\nTraining finished\n")
    for _ in range(2):  # read from the logs, then from the store
        db = ExperimentDB(AnalysisConfig(cache_dir=store, refresh_seconds=0), base_path=root)
        words = dict(db.runs_df.select("run_id", "metadata.ended_with").iter_rows())
        assert words == {
            "a": "OSError: [Errno 28] No space left on device: '/ckpt/a.pt'",
            "b": "OSError: [Errno 28] No space left on device: '/ckpt/b.pt'",
            "c": "RuntimeError: WANDB_API_KEY=*** was refused",
            "d": None,
        }
        found = db.diagnose().table.filter(finding="crashed")
        assert (
            found.filter(run_id="b")["evidence"].item().startswith("status failed: OSError: [Errno 28] No space left")
        )
        (ended,) = (text for topic, text in db.overview().table.iter_rows() if topic == "ended with")
        assert ended.startswith("OSError: [Errno 28] No space left on device: '/ckpt/a.pt' (2 runs), RuntimeError")


def test_a_text_log_says_itself_why_its_run_ended(tmp_path: Path) -> None:
    rows = "".join(f"epoch {i} loss {1 / i:.4f}\n" for i in range(1, 9))
    (tmp_path / "train.log").write_text(rows + "Traceback (most recent call last):\ntorch.OutOfMemoryError: 80 GiB\n")
    runs = opened(tmp_path).runs_df
    assert runs["status"].to_list() == ["failed"]
    assert runs["metadata.ended_with"].to_list() == ["torch.OutOfMemoryError: 80 GiB"]
