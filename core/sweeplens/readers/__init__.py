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

READERS: tuple[Reader, ...] = (
    Late("wandb", "Wandb", version=2),
    Late("wandb_summary", "WandbSummary", version=1),
    Late("swanlab", "SwanLab", version=2),
    Late("mlflow_sqlite", "MlflowSqlite", version=2),
    Late("optuna", "Optuna", version=2),
    Late("optuna_journal", "OptunaJournal", version=1),
    Late("trackio", "Trackio", version=2),
    Late("mlflow_file", "MlflowFile", version=2),
    Late("sacred", "Sacred", version=2),
    Late("mmengine", "Mmengine", version=1),
    Late("mmcv", "Mmcv", version=1),
    Late("hf_trainer", "HfTrainer", version=2),
    Late("ray_tune", "RayTune", version=1),
    Late("sb3", "StableBaselines3", version=2),
    Late("algoperf", "AlgoPerf", version=1),
    Late("nvlabs_stats", "NvlabsStats", version=1),
    Late("dvclive", "DvcLive", version=2),
    Late("lightning_csv", "LightningCsv", version=3),
    Late("yolo", "Yolo", version=1),
    Late("spinup", "SpinningUp", version=2),
    Late("keras_csvlogger", "KerasCsvLogger", version=1),
    Late("dr_util", "DrUtil", version=1),
    Late("dr_exp", "DrExp", version=1),
    Late("json_runs", "JsonRuns", version=1),
    Late("json_splits", "JsonSplits", version=1),
    Late("json_steps", "JsonSteps", version=2),
    Late("json_history", "JsonHistory", version=1),
    Late("tensorboard_export", "TensorBoardExport", version=1),
    Late("tensorboard", "TensorBoard", version=2),
    Late("csv_metrics", "CsvMetrics", version=2),
)


@cache
def all_readers() -> tuple[Reader, ...]:
    """The readers of third parties, then our own."""
    found = [point.load() for point in sorted(entry_points(group="sweeplens.readers"), key=lambda p: p.name)]
    return (*(reader() if isinstance(reader, type) else reader for reader in found), *READERS)
