"""Warnings that a program printed and that no metric shows: which runs printed them, and which settings they call ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import wire_samples as wire

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.readers.text.warning_lines import warnings_in

TEACHER = (
    "WARNING load_state_dict(strict=False): missing keys ['head.weight'], unexpected keys ['fc.weight', 'fc.bias']"
)
OVERLAP = (
    "WARNING data.prepare: 398 of 1273 validation prompts also appear in the train split (exact match); dedup=false"
)
UNKNOWN = "(train_kws) WARNING trainer.from_config: ignoring unknown config keys ['mixup_alpha']"


def run(
    root: Path, name: str, printed: str, *, log: str = "train.log", config: Mapping[str, object] | None = None
) -> None:
    """Writes a run with metrics, a configuration, and what its program printed."""
    folder = root / name
    folder.mkdir(parents=True)
    level = sum(map(ord, name)) % 7
    rows = [{"step": i, "val_acc": 0.5 + i / 100 + level / 1000} for i in range(12)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "config.json").write_text(json.dumps(config or {"lr": 0.1 * (1 + level)}))
    (folder / log).parent.mkdir(exist_ok=True)
    (folder / log).write_text(printed)


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=root)


def printed(db: ExperimentDB) -> list[tuple[str, str, str]]:
    """The findings: run, severity, evidence."""
    found = db.diagnose().table.filter(finding="printed_warning")
    return found.select("run_id", "severity", "evidence").rows()


def warnings_by_run(db: ExperimentDB) -> dict[str, list[str]]:
    column = db.runs_df.select("run_id", "metadata.warnings").drop_nulls()
    return {name: json.loads(value) for name, value in column.iter_rows()}


def told(db: ExperimentDB) -> str:
    return next((text for topic, text in db.overview().table.iter_rows() if topic == "printed"), "")


def test_a_warning_of_few_runs_is_one_finding_that_names_them(tmp_path: Path) -> None:
    for i in range(8):
        sick = i in (2, 5)
        text = f"loading teacher rn50\n{TEACHER if sick else 'all keys matched'}\nteacher top1 = {0.9 if sick else 85.2}%\n"
        run(tmp_path, f"r{i}", text)
    db = opened(tmp_path)
    assert printed(db) == [("r2", "medium", f'printed in 2 of 8 logs (r2, r5): "{TEACHER}"')]
    assert told(db) == f'"{TEACHER}" (2 of 8 logs)'
    summary = db.diagnose().tables["summary"].filter(finding="printed_warning")
    assert summary.select("n_runs", "examples").row(0) == (2, ["r2", "r5"])
    assert db.list_runs(where="health <> 'ok'").table.height == 0  # a message is no verdict on a run
    assert (
        db.query_sql("""SELECT count(*) AS n FROM runs WHERE "metadata.warnings" LIKE '%missing keys%'""").table["n"][0]
        == 2
    )


def test_numbers_and_paths_differ_in_one_warning_and_all_runs_print_it(tmp_path: Path) -> None:
    for i in range(4):
        text = (
            f"epoch 1\n2026-03-0{i + 1} 10:0{i}:00,{i}00 - WARNING - data - {398 + i} of 1273 prompts of /data/v{i}/x "
        )
        text += "also appear in train\n"
        run(tmp_path, f"r{i}", text)
    ((first, severity, evidence),) = printed(opened(tmp_path))
    assert (first, severity) == ("r0", "low")
    assert (
        evidence == 'printed in 4 of 4 logs: "WARNING - data - 398 of 1273 prompts of /data/v0/x also appear in train"'
    )


def test_runs_without_a_printed_log_are_not_counted_as_silent(tmp_path: Path) -> None:
    for i in range(3):
        run(tmp_path, f"r{i}", OVERLAP + "\n", log="stdout")
        run(tmp_path, f"s{i}", "", log="notes.md")
    assert printed(opened(tmp_path)) == [("r0", "low", f'printed in 3 of 3 logs: "{OVERLAP}"')]


def test_the_printed_output_has_many_usual_names(tmp_path: Path) -> None:
    names = "stdout stderr.txt cout.txt console.txt slurm-17.out train.err nohup.out job.o4711 output.log".split()
    for name in names:
        run(tmp_path, name.replace(".", "_"), OVERLAP + "\n", log=name)
    assert list(warnings_by_run(opened(tmp_path)).values()) == [[OVERLAP]] * len(names)


def test_a_text_log_that_is_itself_the_run_is_read_for_warnings(tmp_path: Path) -> None:
    for i in range(3):
        rows = "".join(f"{{'loss': {1 / s:.4f}, 'epoch': {s}}}\n" for s in range(1, 9))
        (tmp_path / f"r{i}").mkdir()
        (tmp_path / f"r{i}" / "train.log").write_text(f"host a100-0{i}\n{OVERLAP if i else ''}\n{rows}")
    db = opened(tmp_path)
    assert sorted(map(len, warnings_by_run(db).values())) == [0, 1, 1]
    ((_, severity, evidence),) = printed(db)
    assert severity == "medium"
    assert evidence.startswith("printed in 2 of 3 logs")


def test_a_setting_that_the_program_ignored_is_named_wherever_it_is_analysed(tmp_path: Path) -> None:
    for i in range(12):
        config = {"lr": 0.1 * (1 + i % 3), "mixup_alpha": 0.2 * (i % 4), "seed": i}
        run(tmp_path, f"r{i:02}", UNKNOWN + "\n", log="stdout", config=config)
    db = opened(tmp_path)
    ((_, severity, evidence),) = printed(db)
    assert severity == "medium"
    assert evidence == f'setting not applied: mixup_alpha; printed in 12 of 12 logs: "{UNKNOWN}"'
    assert told(db) == f'"{UNKNOWN}" (12 of 12 logs; not applied: mixup_alpha)'
    note = f'mixup_alpha was ignored by the program according to 12 of 12 logs: "{UNKNOWN}".'
    assert [note in answer.notes for answer in (db.varying(), db.rank("val_acc"), db.effects("val_acc"))] == [True] * 3
    assert note in db.suggest("val_acc").notes
    assert not [n for n in db.rank("val_acc", hparams="lr").notes if "ignored" in n]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("WARNING: weight_decay is ignored when optimizer=adam", ["weight_decay"]),
        ("momentum has no effect with optimizer=adam", ["optim.momentum"]),
        ("Unrecognized arguments: --label-smoothing 0.2 --ema", ["label_smoothing", "ema"]),
        ("Unused hyperparameters: warmup, ema", ["warmup", "ema"]),
        (
            "UserWarning: argument `label_smoothing` is not supported by KLDivLoss and will be ignored",
            ["label_smoothing"],
        ),
        ("WARNING model.dropout=0.1 ignored because num_layers=1", ["model.dropout"]),
        ("WARNING: the warmup was overridden by the command line", ["warmup"]),
        ("WARNING: GPU does not support bf16, falling back to fp16", ["bf16"]),
        ("WARNING: ignoring config file, using model defaults", []),
        ("WARNING: missing keys ['ema.weight'], unexpected keys ['warmup.weight'] in state_dict", []),
        ("WARNING - Skipping 3 unused columns: ema", []),
        ("WARNING: validation loss ignored for 3 batches", []),
    ],
)
def test_the_setting_is_the_one_that_the_message_calls_ignored(tmp_path: Path, line: str, names: Sequence[str]) -> None:
    hparams = (
        "weight_decay optimizer optim.momentum label_smoothing ema warmup model.dropout bf16 fp16 config model loss"
    )
    for i in range(2):
        run(tmp_path, f"r{i}", line + "\n", config=dict.fromkeys(hparams.split(), i))
    notes = [n.partition(" was ignored")[0] for n in opened(tmp_path).varying().notes if " was ignored" in n]
    assert sorted(notes) == sorted(names)


WARNS = """\
[2024-03-11 10:22:01,123][src.utils][WARNING] - Skipping 3 corrupt records in shard 7
INFO:root:Resumed from checkpoint /ckpt/last.pt at step 1200
Some weights of BertModel were not initialized from the checkpoint at bert-base and are newly initialized: ['pooler.weight']
/opt/torch/nn/rnn.py:62: UserWarning: dropout expects num_layers greater than 1, but got dropout=0.2 and num_layers=1
Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 32768.0
Token indices sequence length is longer than the specified maximum sequence length for this model (1034 > 512)
[rank0]:[W1123 10:20:30.123456789 ProcessGroupNCCL.cpp:4115] Timeout waiting for key
W0311 10:22:01.123456 140735 trainer.py:88] gradient norm is inf, update skipped
{"event": "ignoring unknown keys", "level": "warning", "keys": ["a"], "timestamp": "2024-01-01T00:00:00Z"}
level=warning msg="falling back to cpu" step=3
2024-01-01 00:00:00 | WARNING  | train:main:12 - EMA disabled because decay is 0
CUDA not available, using CPU
Warning: The dataset contains 312 duplicate rows
Found 23 images in both splits: train/test overlap
Truncated 412 of 9000 prompts to 2048 tokens
skipped 17 samples longer than 30 s
size mismatch for head.weight: copying a param with shape [1000, 768] from checkpoint, the shape in current model is [100, 768]
nan loss encountered at step 120, skipping batch
No checkpoint found at /ckpt/last.pt, starting from scratch
LoRA checkpoint None not found; training from base model.
Labels outside of [0, 9] were clipped
requeued after node failure
WARNING: replay_buffer.pkl not found, starting with an empty buffer
augment.py:88 musan manifest /scratch/musan/manifest.jsonl not found, skipping noise augmentation
CRITICAL - disk quota exceeded on /scratch, checkpoints are not saved
NCCL WARN Connect to 10.0.0.1 failed
"""
SILENT = """\
epoch 3 train loss 0.43 val loss 0.45 skipped 2 grad_norm 0.3
{'loss': 0.778, 'num_truncated': 3, 'epoch': 0.5}
missing keys: [], unexpected keys: []
0 of 1273 validation prompts also appear in the train split
skipped 0 samples
No overlap between train and test
Truncated 0 of 9000 prompts
ignore_index: -100
  "ignore_mismatched_sizes": false,
EPOCH  LOSS  ERROR  TIME
ERROR: 0.213
train error 0.43 test error 0.55
FutureWarning: `torch.cuda.amp.GradScaler(args...)` is deprecated.
huggingface/tokenizers: The current process just got forked, after parallelism has already been used. Disabling parallelism
UserWarning: Detected call of `lr_scheduler.step()` before `optimizer.step()`.
Setting `pad_token_id` to `eos_token_id`:50256 for open-end generation.
    raise ValueError("unknown config key")
ValueError: unknown config key 'foo'
  --ignore-unknown      ignore unknown config keys
loading teacher rn50 from /nfs/ckpt/teachers/rn50_in100.pt
Namespace(lr=0.1, ignore_unknown=True, skipped=0, resume='')
Since you can't read a fraction of a page, we skipped the unknown value
WARNING:tensorflow:eval_on_tpu ignored because use_tpu is False.
Trainer.fit stopped: max_epochs=3 reached
"""


def test_lines_that_warn_are_collected_and_harmless_ones_and_rows_are_not(tmp_path: Path) -> None:
    lines = [*WARNS.splitlines(), *SILENT.splitlines()]
    for i, line in enumerate(lines):
        run(tmp_path, f"r{i:02}", f"start\n{line}\nend\n")
    found = warnings_by_run(opened(tmp_path))
    n = len(WARNS.splitlines())
    assert [line for i, line in enumerate(lines) if bool(found[f"r{i:02}"]) != (i < n)] == []
    assert found["r03"] == [
        "UserWarning: dropout expects num_layers greater than 1, but got dropout=0.2 and num_layers=1"
    ]
    assert found["r08"] == ["WARNING ignoring unknown keys"]


def test_a_warning_of_each_step_is_one_with_its_count(tmp_path: Path) -> None:
    steps = "".join(
        f"step {i} loss {1 / i:.3f} lr 0.1\nGradient overflow. Skipping step, scale {2**i}\n" for i in range(1, 38)
    )
    run(tmp_path, "a", steps)
    run(tmp_path, "b", "step 1 loss 0.3 lr 0.1\n")
    db = opened(tmp_path)
    assert warnings_by_run(db)["a"] == ["Gradient overflow. Skipping step, scale 2 (37 times)"]
    assert (
        printed(db)[0][2]
        == 'printed in 1 of 2 logs (a), up to 37 times in one: "Gradient overflow. Skipping step, scale 2"'
    )


def test_of_a_long_log_both_ends_are_read_and_at_most_twenty_warnings_are_kept(tmp_path: Path) -> None:
    rows = "".join(f"step {i} loss {1 / i:.4f} lr 0.1\n" for i in range(1, 40_000))
    words = ["alpha", "beta", "gamma", "delta", "kappa"]
    many = "".join(f"WARNING the {a} {b} was slow\n" for a in words for b in words)
    run(tmp_path, "long", f"{OVERLAP}\n{rows}WARNING: buffer is empty at the end\n")
    run(tmp_path, "many", many)
    found = warnings_by_run(opened(tmp_path))
    assert found["long"] == [OVERLAP, "WARNING: buffer is empty at the end"]
    assert found["many"] == many.splitlines()[:20]


def test_the_console_output_that_wandb_keeps_is_read(tmp_path: Path) -> None:
    for i in range(3):
        folder = tmp_path / "wandb" / f"offline-run-20260101_00000{i}-abc{i}"
        rows = [wire.wandb_row({"loss": 1 / (s + 1)}, s) for s in range(5)]
        wire.wandb_file(folder, f"abc{i}", rows)
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / "output.log").write_text(f"{UNKNOWN if i == 1 else 'ok'}\n")
        (folder / "logs").mkdir()
        (folder / "logs" / "debug.log").write_text("2026-01-01 00:00:00 WARNING wandb_init.py: interrupted\n")
    assert sorted(map(len, warnings_by_run(opened(tmp_path)).values())) == [0, 0, 1]


def test_a_second_training_in_a_file_has_its_own_warnings(tmp_path: Path) -> None:
    rows = "".join(f"epoch {i} loss {1 / i:.4f}\n" for i in range(1, 9))
    text = f"lr: 0.1\n{OVERLAP}\n{rows}lr: 0.2\nWARNING: bf16 is unsupported, falling back to fp16\n{rows}"
    (tmp_path / "job.log").write_text(text)
    first, second = sorted(warnings_by_run(opened(tmp_path)).items())
    assert (first[1], second[1]) == ([OVERLAP], ["WARNING: bf16 is unsupported, falling back to fp16"])


def test_a_growing_log_has_the_same_warnings_as_one_that_is_read_at_once(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "runs"
    rows = "".join(f"step {i} loss {1 / i:.4f} lr 0.1\n" for i in range(1, 12_000))
    (root / "a").mkdir(parents=True)
    run(root, "b", "start\n")
    growing, beside = root / "a" / "train.log", root / "b" / "train.log"
    growing.write_text(OVERLAP + "\n" + rows)
    config = AnalysisConfig(cache_dir=store, refresh_seconds=0)
    db = ExperimentDB(config, base_path=root)
    assert warnings_by_run(db)["a"] == [OVERLAP]
    with growing.open("a") as log, beside.open("a") as other:
        log.write(
            "".join(f"step {i} loss {1 / i:.4f} lr 0.1\n" for i in range(12_000, 12_100))
            + "WARNING: loss is nan, step skipped\n"
        )
        other.write("WARNING: loss is nan, step skipped\n")
    for known in (db, ExperimentDB(config, base_path=root), opened(root)):  # resumed, from the store, read at once
        found = warnings_by_run(known)
        lines = [line for warnings in found.values() for line in warnings]
        assert lines.count("WARNING: loss is nan, step skipped") == 2
        assert OVERLAP in lines


def test_secrets_are_masked_and_invisible_characters_are_escaped(tmp_path: Path) -> None:
    run(tmp_path, "a", "WARNING api_key=abcdef0123456789 was refused, \u202eignoring\u202c the tracker\n")
    run(tmp_path, "b", "ok\n")
    db = opened(tmp_path)
    shown = str(db.diagnose()) + str(db.overview())
    assert "abcdef0123456789" not in shown + str(warnings_by_run(db))
    assert "api_key=***" in shown
    assert "\u202e" not in shown


def test_logs_of_warnings_alone_make_no_runs(tmp_path: Path) -> None:
    run(tmp_path, "a", TEACHER + "\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "install.log").write_text("WARNING: pip is old\nERROR: no matching distribution found\n" * 30)
    assert opened(tmp_path).runs_df["run_id"].to_list() == ["a"]


_LINES = st.lists(st.sampled_from([*WARNS.splitlines(), *SILENT.splitlines()]), max_size=12)


@settings(max_examples=30, deadline=None)
@given(_LINES)
def test_rows_of_metrics_around_warnings_change_none_of_them(lines: list[str]) -> None:
    rows = "".join(f"step {i} loss {1 / i:.4f} lr 0.1\n" for i in range(1, 500))
    text = "".join(line + "\n" for line in lines)
    assert warnings_in((rows + text + rows).encode()) == warnings_in(text.encode())


@settings(max_examples=20, deadline=None)
@given(st.text(), st.binary())
def test_no_text_is_too_strange(text: str, data: bytes) -> None:
    for warning in (*warnings_in(text.encode("utf-8", "surrogatepass")), *warnings_in(data)):
        assert warning.strip()
        assert pl.Series([warning]).str.len_chars()[0] <= 300
