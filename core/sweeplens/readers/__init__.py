"""One format a file. `READERS` is the order in which they are offered a folder: what is surest of its files comes first.

Third parties add theirs by an entry point in the group ``sweeplens.readers`` that names a `Reader`; they come before the
built-in ones. A reader of ours is imported when the first folder is offered to it (`late`). `docs/formats.md` is generated
from the docstrings of this table.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from sweeplens.readers.late import Late, opened
from sweeplens.readers.protocol import Reader

__all__ = ["READERS", "all_readers", "opened"]

_SQLITE = (".db", ".sqlite")
_JSON = (".json", ".ndjson")
_TABLES = (".csv", ".tsv", ".txt", ".log")

READERS: tuple[Reader, ...] = (  # name, class, version, parts of the file names that it looks for
    Late("wandb", "Wandb", 2, ".wandb"),
    Late("wandb_summary", "WandbSummary", 1, "wandb-summary.json"),
    Late("swanlab", "SwanLab", 2, ".swanlab"),
    Late("mlflow_sqlite", "MlflowSqlite", 2, *_SQLITE),
    Late("optuna", "Optuna", 2, *_SQLITE),
    Late("optuna_journal", "OptunaJournal", 1, ".log", ".json", ".journal", ".txt"),
    Late("trackio", "Trackio", 2, *_SQLITE),
    Late("mlflow_file", "MlflowFile", 2, "meta.yaml"),
    Late("sacred", "Sacred", 2, "run.json"),
    Late("mmengine", "Mmengine", 1, "scalars.json"),
    Late("mmcv", "Mmcv", 1, ".log.json"),
    Late("hf_trainer", "HfTrainer", 2, "trainer_state.json"),
    Late("ray_tune", "RayTune", 1, "result.json", "progress.csv", "params.json", "error.txt"),
    Late("sb3", "StableBaselines3", 2, ".csv", "progress", ".npz"),
    Late("algoperf", "AlgoPerf", 1, "measurements.csv", "hparams.json"),
    Late("nvlabs_stats", "NvlabsStats", 1, ".jsonl"),
    Late("dvclive", "DvcLive", 2, ".tsv"),
    Late("lightning_csv", "LightningCsv", 3, "metrics.csv", "hparams.yaml"),
    Late("yolo", "Yolo", 1, ".csv"),
    Late("spinup", "SpinningUp", 2, "progress.txt"),
    Late("keras_csvlogger", "KerasCsvLogger", 1, *_TABLES),
    Late("dr_util", "DrUtil", 1, *_JSON),
    Late("dr_exp", "DrExp", 1, "metrics.jsonl"),
    Late("json_runs", "JsonRuns", 1, *_JSON),
    Late("json_splits", "JsonSplits", 1, *_JSON),
    Late("json_steps", "JsonSteps", 2, ".json", ".ndjson", ".txt", ".log"),
    Late("json_history", "JsonHistory", 1, ".json"),
    Late("tensorboard_export", "TensorBoardExport", 1, ".csv"),
    Late("tensorboard", "TensorBoard", 2, "tfevents"),
    Late("csv_metrics", "CsvMetrics", 2, *_TABLES),
)


@cache
def all_readers() -> tuple[Reader, ...]:
    """The readers of third parties, then our own."""
    found = [point.load() for point in sorted(entry_points(group="sweeplens.readers"), key=lambda p: p.name)]
    return (*(reader() if isinstance(reader, type) else reader for reader in found), *READERS)
