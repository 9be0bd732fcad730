"""Settings saved with a fine-tuned model are hyperparameters of its run: those of its adapter, and the training arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeplens import AnalysisConfig, ExperimentDB

ADAPTER: dict[str, Any] = {
    "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": "/scratch/me/models/llama-7b", "bias": "none",
    "inference_mode": True, "lora_alpha": 16, "lora_dropout": 0.05, "megatron_core": "megatron.core", "modules_to_save": None,
    "peft_type": "LORA", "peft_version": "0.17.0", "r": 8, "rank_pattern": {}, "revision": None,
    "target_modules": ["v_proj", "q_proj"], "task_type": "CAUSAL_LM", "use_rslora": False,
}  # fmt: skip
SETTINGS = {
    "base_model_name_or_path": "llama-7b", "bias": "none", "lora_alpha": 16, "lora_dropout": 0.05, "peft_type": "LORA", "r": 8,
    "target_modules": '["q_proj", "v_proj"]', "use_rslora": False,
}  # fmt: skip
MODEL = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32}


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))


def state(folder: Path, step: int) -> None:
    history = [{"step": s, "epoch": s / 10, "loss": 1 / s} for s in range(1, step + 1)]
    write(folder, "trainer_state.json", {"global_step": step, "max_steps": 20, "log_history": history})


def log(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "loss": 1 / s}) + "\n" for s in range(1, 9)))


def settings(root: Path) -> dict[str, dict[str, object]]:
    """Run -> its hyperparameters, but for those of the Trainer's schedule."""
    runs = ExperimentDB(AnalysisConfig(cache="memory"), root).runs_df
    known = {"run_id", "name", "group", "status", "created_at", "updated_at", "source", "format", "n_steps", "parent", "tags",
             "null_hparams", "max_steps"}  # fmt: skip
    return {
        row["run_id"]: {
            k: v for k, v in row.items() if k not in known and not k.startswith("metadata.") and v is not None
        }
        for row in runs.iter_rows(named=True)
    }


def test_the_adapter_of_the_newest_checkpoint_is_read_and_what_describes_the_file_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (5, 20, 10):
        state(run / f"checkpoint-{step}", step)
        write(run / f"checkpoint-{step}", "adapter_config.json", {**ADAPTER, "r": 8 if step == 20 else 4})
        write(run / f"checkpoint-{step}", "config.json", MODEL)
        write(run / f"checkpoint-{step}", "generation_config.json", {"temperature": 0.6})
    assert settings(tmp_path) == {"run": SETTINGS}


@pytest.mark.parametrize(
    "place",
    ["adapter_config.json", "final_adapter/adapter_config.json", "best/adapter_config.json", "checkpoint-20/adapter_config.json",
     "checkpoints/step_20/adapter_config.json", "epoch_3/adapter_config.json",
     "checkpoint-20/adapter_model/adapter_config.json"],
)  # fmt: skip
def test_an_adapter_is_found_where_trainings_save_it_beside_logs_of_any_kind(tmp_path: Path, place: str) -> None:
    for name, rank in (("a", 8), ("b", 64)):
        log(tmp_path / name)
        write(tmp_path / name, place, {**ADAPTER, "r": rank})
        write(tmp_path / name, "config.json", {"learning_rate": 0.1})
    assert settings(tmp_path) == {n: {**SETTINGS, "r": r, "learning_rate": 0.1} for n, r in (("a", 8), ("b", 64))}


def test_an_adapter_above_a_folder_of_logs_is_of_its_run_and_one_of_other_runs_is_not(tmp_path: Path) -> None:
    log(tmp_path / "a" / "logs")
    write(tmp_path / "a", "checkpoint-5/adapter_config.json", ADAPTER)
    log(tmp_path / "b")
    log(tmp_path)  # of the program that started them
    found = settings(tmp_path)
    assert found.pop("a/logs") == SETTINGS
    assert set(map(len, found.values())) == {0}


def test_training_arguments_in_a_checkpoint_are_read_where_the_run_has_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        state(tmp_path / name / "checkpoint-20", 20)
        write(tmp_path / name / "checkpoint-20", "training_args.json", {"learning_rate": 0.1})
    write(tmp_path / "b", "training_args.json", {"learning_rate": 0.2})
    assert settings(tmp_path) == {"a": {"learning_rate": 0.1}, "b": {"learning_rate": 0.2}}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf"),
        ("/home/x/.cache/huggingface/hub/models--meta-llama--Llama-2-7b-hf/snapshots/01c7f73", "meta-llama/Llama-2-7b-hf"),
        ("./outputs/sft-7b/checkpoint-500", "sft-7b/checkpoint-500"),
        ("C:\\models\\qwen-3b\\", "qwen-3b"),
        ("base-1.7b", "base-1.7b"),
    ],
)  # fmt: skip
def test_a_base_model_is_named_without_the_path_of_a_machine(tmp_path: Path, path: str, name: str) -> None:
    for run in ("a", "b"):
        log(tmp_path / run)
        write(tmp_path / run, "adapter_config.json", {"peft_type": "IA3", "base_model_name_or_path": path})
    write(tmp_path / "b", "config.json", {"model": name})
    found = settings(tmp_path)
    assert found["a"] == {"peft_type": "IA3", "base_model_name_or_path": name}
    assert found["b"] == {"peft_type": "IA3", "model": name}


def test_runs_are_compared_and_ranked_by_the_rank_of_their_adapters(tmp_path: Path) -> None:
    for rank in (8, 32):
        for seed in range(3):
            run = tmp_path / f"r{rank}_{seed}"
            state(run / "checkpoint-20", 20)
            write(run / "checkpoint-20", "adapter_config.json", {**ADAPTER, "r": rank})
            write(run, "training_args.json", {"seed": seed, "learning_rate": 0.1})
            write(run, "predict_results.json", {"test_acc": rank / 100 + seed / 1000})
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    assert "r" in db.find_varying_hparams().table["hparam"].to_list()
    best = db.rank("loss").table.row(0, named=True)
    assert (best["r"], best["n"]) in ((8, 3), (32, 3))


def test_an_adapter_that_is_saved_later_is_read(tmp_path: Path) -> None:
    log(tmp_path / "a")
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), tmp_path)
    assert "r" not in db.runs_df.columns
    for step, rank in ((5, 8), (10, 16)):
        write(tmp_path / "a", f"checkpoint-{step}/adapter_config.json", {**ADAPTER, "r": rank})
        assert db.runs_df["r"].to_list() == [rank]
