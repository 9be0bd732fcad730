"""Printed logs in folders of their own tell how the runs ended that they belong to, where the evidence leaves one run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB

MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.17 GiB"
CRASH = (
    f'Traceback (most recent call last):\n  File "train.py", line 88, in <module>\n    trainer.fit(model)\n{MEMORY}\n'
)
NODE = "slurmstepd: error: *** JOB 771201 ON dgx3 CANCELLED AT 2024-09-05T11:55:18 DUE TO NODE FAILURE, SEE LOG ***\n"
DONE = "`Trainer.fit` stopped: `max_epochs=50` reached.\n"
WARNING = "UserWarning: 17 of 48 validation cases are in the training set"


def trained(root: Path, name: str, config: Mapping[str, object], *, changed: float = 0.0) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    level = sum(map(ord, name)) % 97
    rows = "".join(f"{i},{1 / (i + 1) + level / 1000}\n" for i in range(12))
    (folder / "metrics.csv").write_text(f"step,val_loss\n{rows}")
    (folder / "hparams.yaml").write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in config.items()))
    for file in folder.iterdir() if changed else ():
        os.utime(file, (changed, changed))
    return folder


def sweep(root: Path) -> None:
    """Two arms of two folds; the arm is only a part of the path."""
    for arm in ("baseline", "ssl_init"):
        for fold in (0, 1):
            trained(root, f"runs/{arm}/fold_{fold}/version_0", {"lr": 0.01, "seed": 0, "fold": fold})


def job(root: Path, name: str, text: str, *, changed: float = 0.0) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if changed:
        os.utime(path, (changed, changed))
    return path


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), root)


def ends(db: ExperimentDB) -> dict[str, str]:
    return dict(db.runs_df.select("run_id", "status").iter_rows())


def owner(db: ExperimentDB, log: str) -> str | None:
    """The run of a log as SQL sees it."""
    found = db.query_sql(f"SELECT run_id FROM files WHERE path = '{log}'")
    return found.table["run_id"][0]


def warned(db: ExperimentDB) -> list[str]:
    return [w for w in db.overview().basis.warnings if "look" in w or "printed log" in w]


def test_the_settings_in_the_command_line_give_a_log_to_its_run(tmp_path: Path) -> None:
    sweep(tmp_path)
    job(tmp_path, "slurm/slurm-771200.out", f"srun python train.py exp=baseline fold=0 seed=0\nSeed set to 0\n{DONE}")
    job(tmp_path, "slurm/slurm-771201.out", f"+ python train.py exp=ssl_init fold=0 seed=0\n{NODE}")
    job(tmp_path, "slurm/slurm-771202.out", f"python train.py exp=ssl_init fold=1 seed=0\n{WARNING}\n{CRASH}")
    db = opened(tmp_path)
    assert ends(db) == {
        "runs/baseline/fold_0/version_0": "finished",
        "runs/baseline/fold_1/version_0": "unknown",
        "runs/ssl_init/fold_0/version_0": "killed",
        "runs/ssl_init/fold_1/version_0": "failed",
    }
    causes = dict(db.runs_df.select("run_id", "metadata.ended_with").drop_nulls().iter_rows())
    assert causes["runs/ssl_init/fold_1/version_0"] == MEMORY
    assert "NODE FAILURE" in causes["runs/ssl_init/fold_0/version_0"]
    printed = db.diagnose().table.filter(finding="printed_warning")
    assert printed["run_id"].to_list() == ["runs/ssl_init/fold_1/version_0"]
    assert "17 of 48" in printed["evidence"][0]
    assert warned(db) == []
    assert owner(db, "slurm/slurm-771201.out") == "runs/ssl_init/fold_0/version_0"


TARGET = "runs/ssl_init/fold_1/version_0"


@pytest.mark.parametrize(
    "text",
    [
        "python -u src/train.py --exp ssl_init --fold 1 --seed 0 --amp\n",
        "torchrun --nproc_per_node=4 train.py --exp=ssl_init \\\n    --fold=1\n",
        "accelerate launch train.py --config configs/ssl_init.yaml --fold 1\n",
        "python -m segtk.train exp=ssl_init fold=1 trainer.gpus=4\n",
        f"Checkpoints are written to /scratch/u17/kits/{TARGET}/checkpoints\n",
        f"loading weights from /scratch/kits/runs/baseline/fold_0/version_0/last.ckpt\nlog_dir: {TARGET}\n",
        "INFO: command: ['train.py', '--exp=ssl_init', '--fold', '1']\n",
        "exp: ssl_init\nfold: 1\nseed: 0\nlr: 0.01\n\n",
        f"Restoring states from /x/runs/ssl_init/fold_0/version_0/last.ckpt\nexperiment_dir=/x/{TARGET}\n",
    ],
    ids=[
        "options",
        "launcher",
        "config by name",
        "module",
        "folder",
        "beside a loaded one",
        "list",
        "settings",
        "resumed",
    ],
)
def test_what_a_log_prints_names_one_run(tmp_path: Path, text: str) -> None:
    sweep(tmp_path)
    job(tmp_path, "joblogs/train_14.log", text + CRASH)
    assert [run for run, status in ends(opened(tmp_path)).items() if status == "failed"] == [TARGET]


@pytest.mark.parametrize("name", ["ssl_init_fold1.out", "slurm-ssl_init-fold_1-771253.err", "train_SSL_init.fold1.log"])
def test_a_log_that_is_called_like_a_run_belongs_to_it(tmp_path: Path, name: str) -> None:
    sweep(tmp_path)
    job(tmp_path, f"joblogs/{name}", CRASH)
    assert [run for run, status in ends(opened(tmp_path)).items() if status == "failed"] == [TARGET]


@pytest.mark.parametrize("key", ["slurm_job_id", "SLURM_JOB_ID", "job_id", "cluster.slurm_jobid"])
def test_the_number_of_a_job_in_the_settings_gives_it_its_log(tmp_path: Path, key: str) -> None:
    for seed in range(3):
        trained(tmp_path, f"runs/s{seed}", {"seed": seed, key: 771200 + seed})
    job(tmp_path, "logs/771201.out", CRASH)
    job(tmp_path, "logs/771201.err", WARNING + "\n")
    db = opened(tmp_path)
    assert ends(db) == {"runs/s0": "unknown", "runs/s1": "failed", "runs/s2": "unknown"}
    assert db.runs_df.filter(run_id="runs/s1")["metadata.warnings"].str.contains("17 of 48").all()
    assert warned(db) == []


def test_an_array_of_jobs_is_told_by_job_and_task(tmp_path: Path) -> None:
    for task in range(3):
        trained(tmp_path, f"runs/t{task}", {"lr": 0.1 * (task + 1), "slurm_job_id": f"9914_{task}"})
    job(tmp_path, "slurm/slurm-9914_2.out", CRASH)
    assert ends(opened(tmp_path))["runs/t2"] == "failed"


def test_printed_settings_without_a_command_line_name_a_run(tmp_path: Path) -> None:
    for lr in (0.1, 0.01):
        trained(tmp_path, f"runs/{'ab'[lr < 0.05]}", {"lr": lr, "model": "vit", "seed": 0})
    job(tmp_path, "out/job.out", f"Namespace(lr=1e-2, model='vit', seed=0, workers=8)\n{CRASH}")
    assert ends(opened(tmp_path)) == {"runs/a": "unknown", "runs/b": "failed"}


def test_as_many_logs_as_runs_of_the_same_settings_are_taken_in_order(tmp_path: Path) -> None:
    for version in (0, 1):
        trained(tmp_path, f"runs/baseline/version_{version}", {"lr": 0.1, "seed": 0})
    trained(tmp_path, "runs/wide/version_0", {"lr": 0.1, "seed": 0})
    command = "python train.py exp=baseline seed=0\n"
    job(tmp_path, "slurm/slurm-900.out", command + NODE)
    job(tmp_path, "slurm/slurm-1100.out", command + DONE)
    assert ends(opened(tmp_path)) == {
        "runs/baseline/version_0": "killed",
        "runs/baseline/version_1": "finished",
        "runs/wide/version_0": "unknown",
    }


def test_runs_of_other_settings_are_not_taken_in_order(tmp_path: Path) -> None:
    for version, lr in enumerate((0.1, 0.2)):
        trained(tmp_path, f"runs/baseline/version_{version}", {"lr": lr, "seed": 0})
        job(tmp_path, f"slurm/slurm-90{version}.out", "python train.py exp=baseline seed=0\n" + NODE)
    assert set(ends(opened(tmp_path)).values()) == {"unknown"}


def test_two_attempts_of_one_run_end_as_the_later_one(tmp_path: Path) -> None:
    sweep(tmp_path)
    command = "python train.py exp=ssl_init fold=1 seed=0\n"
    job(tmp_path, "slurm/slurm-900.out", command + CRASH)
    job(tmp_path, "slurm/slurm-1100.out", command + DONE)
    db = opened(tmp_path)
    assert ends(db)[TARGET] == "finished"
    assert warned(db) == []


def test_times_link_logs_only_if_they_do_so_for_all_of_a_folder(tmp_path: Path) -> None:
    for i in range(3):
        trained(tmp_path, f"runs/r{i}", {"lr": 0.1 * (i + 1)}, changed=1.7e9 + 1000 * i)
        job(tmp_path, f"good/{'abc'[i]}.out", CRASH if i == 1 else DONE, changed=1.7e9 + 1000 * i + 2)
    assert ends(opened(tmp_path)) == {"runs/r0": "finished", "runs/r1": "failed", "runs/r2": "finished"}
    job(tmp_path, "good/d.out", CRASH, changed=1.7e9 + 400)
    assert set(ends(opened(tmp_path)).values()) == {"unknown"}


NOT_LINKED = {
    "no evidence": CRASH,
    "settings of several": f"python train.py fold=1 seed=0\n{CRASH}",
    "settings of none": f"python train.py exp=ssl_init fold=7 seed=0\n{CRASH}",
    "another program": f"python evaluate.py exp=ssl_init fold=1 seed=0\n{CRASH}",
    "several runs": f"python train.py exp=ssl_init fold=1\npython train.py exp=ssl_init fold=0\n{CRASH}",
    "settings against folder": f"python train.py exp=ssl_init fold=1\nsaved to runs/baseline/fold_0/version_0\n{CRASH}",
}


@pytest.mark.parametrize("text", NOT_LINKED.values(), ids=NOT_LINKED)
def test_a_log_without_evidence_for_one_run_changes_none(tmp_path: Path, text: str) -> None:
    sweep(tmp_path)
    job(tmp_path, "slurm/job-a.out", text)
    db = opened(tmp_path)
    assert set(ends(db).values()) == {"unknown"}
    (said,) = warned(db)
    assert "1 printed log names no run and holds no metrics (slurm/job-a.out)" in said
    assert "not read" not in said


def test_the_warning_of_logs_without_a_run_holds_a_query_that_reads_them(tmp_path: Path) -> None:
    sweep(tmp_path)
    for name in "ab":
        job(tmp_path, f"slurm/job-{name}.out", CRASH)
    db = opened(tmp_path)
    (said,) = warned(db)
    assert "2 printed logs name no run" in said
    assert db.query_sql(said[said.index("SELECT") :]).table["text"].to_list().count(MEMORY) == 2


def test_what_a_log_beside_the_run_says_stands(tmp_path: Path) -> None:
    sweep(tmp_path)
    (tmp_path / TARGET / "train.out").write_text(DONE)
    job(tmp_path, "slurm/slurm-77.out", f"python train.py exp=ssl_init fold=1 seed=0\n{CRASH}")
    assert ends(opened(tmp_path))[TARGET] == "finished"


def test_a_log_that_repeats_the_values_of_a_run_tells_its_end(tmp_path: Path) -> None:
    folder = trained(tmp_path, "runs/a", {"lr": 0.1})
    trained(tmp_path, "runs/b", {"lr": 0.2})
    rows = [f"step {i} loss {1 / (i + 3):.5f} acc {1 - 1 / (i + 2):.5f}" for i in range(40)]
    (folder / "metrics.csv").write_text(
        "step,loss,acc\n" + "".join(f"{i},{1 / (i + 3)},{1 - 1 / (i + 2)}\n" for i in range(40))
    )
    job(tmp_path, "runs/logs/out.log", "\n".join(rows) + f"\n{CRASH}")
    db = opened(tmp_path)
    assert ends(db) == {"runs/a": "failed", "runs/b": "unknown"}


def test_a_log_that_comes_later_or_grows_changes_its_run(tmp_path: Path) -> None:
    sweep(tmp_path)
    db = opened(tmp_path)
    assert ends(db)[TARGET] == "unknown"
    version = db.view().snapshot.version
    log = job(tmp_path, "slurm/slurm-771202.out", "python train.py exp=ssl_init fold=1 seed=0\n")
    assert ends(db)[TARGET] == "unknown"
    log.write_text(log.read_text() + CRASH)
    assert ends(db)[TARGET] == "failed"
    assert db.view().snapshot.version != version
    log.unlink()
    assert ends(db)[TARGET] == "unknown"


def test_a_stored_database_links_logs_as_one_in_memory_does(tmp_path: Path) -> None:
    root = tmp_path / "exp"
    sweep(root)
    job(root, "slurm/slurm-771202.out", f"python train.py exp=ssl_init fold=1 seed=0\npassword=hunter2 in use\n{CRASH}")
    kept = AnalysisConfig(cache_dir=str(tmp_path / "store"), refresh_seconds=0)
    first, second = ExperimentDB(kept, root), ExperimentDB(kept, root)
    assert ends(first) == ends(second) == ends(opened(root))
    assert first.view().snapshot.version == second.view().snapshot.version


def test_secrets_in_the_words_of_an_end_are_hidden(tmp_path: Path) -> None:
    sweep(tmp_path)
    text = f"python train.py exp=ssl_init fold=1\n{CRASH.replace('Tried to', 'api_key=abcdefgh12345678 tried to')}"
    job(tmp_path, "slurm/slurm-771202.out", text)
    (cause,) = opened(tmp_path).runs_df["metadata.ended_with"].drop_nulls().to_list()
    assert "abcdefgh12345678" not in cause


def test_empty_and_binary_logs_are_no_reason_to_fail(tmp_path: Path) -> None:
    sweep(tmp_path)
    job(tmp_path, "slurm/slurm-1.err", "")
    (tmp_path / "slurm" / "slurm-2.out").write_bytes(b"\0\1\2")
    db = opened(tmp_path)
    assert set(ends(db).values()) == {"unknown"}
    assert any("2 files look like logs and were not read" in w for w in warned(db))


def test_a_root_whose_name_begins_like_another_ones_has_its_own_logs(tmp_path: Path) -> None:
    """``exp/2/jobs`` and ``exp2/jobs`` differ only in where the root ends."""
    for root, fold, text in (("exp", 0, CRASH), ("exp2", 1, DONE)):
        trained(tmp_path / root, f"runs/fold_{fold}", {"lr": 0.1, "fold": fold})
        job(
            tmp_path, "exp/2/jobs/a.out" if root == "exp" else "exp2/jobs/a.out", f"python train.py fold={fold}\n{text}"
        )
    config = AnalysisConfig(cache="memory", refresh_seconds=0)
    found = ends(ExperimentDB(config, [tmp_path / "exp", tmp_path / "exp2"]))
    assert {run.rpartition("fold_")[2]: status for run, status in found.items()} == {"0": "failed", "1": "finished"}
