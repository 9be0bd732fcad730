"""The readers, one format in each file. `READERS` is the order in which readers see a folder: the most certain ones first.

Third parties add readers with an entry point in the group ``sweeplens.readers`` that names a `Reader`; these come before the
built-in ones. A built-in reader is imported when it first sees a folder (`LazyReader`). `docs/formats.md` is generated from
the docstrings of these readers.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from sweeplens.readers.lazy_reader import LazyReader, loaded_reader
from sweeplens.readers.protocol import Reader

__all__ = ["READERS", "all_readers", "loaded_reader"]

_SQLITE = (".db", ".sqlite")
_JSON = (".json", ".ndjson")
_TABLES = (".csv", ".tsv", ".txt", ".log")
_TEXTS = (
    ".log",
    ".out",
    ".err",
    ".txt",
    ".dat",
    ".o",
    ".e",
    "slurm",
    "std",
    "log",
    "train",
    "output",
    "nohup",
    "console",
)

READERS: tuple[Reader, ...] = (  # name, module, class, version, parts of file names that it may claim
    LazyReader("wandb", "wandb.run_file", "Wandb", 4, ".wandb"),
    LazyReader("wandb_summary", "wandb.summary", "WandbSummary", 3, "wandb-", "config.yaml"),
    LazyReader("swanlab", "trackers.swanlab", "SwanLab", 2, ".swanlab"),
    LazyReader("comet_offline", "trackers.comet", "CometOffline", 2, ".zip"),
    LazyReader("clearml_offline", "trackers.clearml", "ClearMLOffline", 1, "metrics.jsonl", ".zip"),
    LazyReader("neptune_offline", "trackers.neptune", "NeptuneOffline", 1, "data-"),
    LazyReader("neptune_scale", "trackers.neptune_scale", "NeptuneScale", 1, *_SQLITE),
    LazyReader("visualdl", "trackers.visualdl", "VisualDL", 2, "vdlrecords"),
    LazyReader("keras_tuner", "trackers.keras_tuner", "KerasTuner", 1, "trial.json", "oracle.json"),
    LazyReader("mlflow_sqlite", "mlflow.sqlite", "MlflowSqlite", 3, *_SQLITE),
    LazyReader("optuna", "optuna.sqlite", "Optuna", 3, *_SQLITE),
    LazyReader("optuna_journal", "optuna.journal", "OptunaJournal", 2, ".log", ".json", ".journal", ".txt"),
    LazyReader("trackio", "trackers.trackio", "Trackio", 2, *_SQLITE),
    LazyReader("mlflow_file", "mlflow.files", "MlflowFile", 3, "meta.yaml"),
    LazyReader("sacred", "trackers.sacred", "Sacred", 2, "run.json"),
    LazyReader("mmengine", "trainers.mmengine", "Mmengine", 1, "scalars.json"),
    LazyReader("mmcv", "trainers.mmcv", "Mmcv", 1, ".log.json"),
    LazyReader("hf_trainer", "trainers.hf_trainer", "HfTrainer", 7, "trainer_state.json"),
    LazyReader(
        "ray_tune", "trainers.ray_tune", "RayTune", 1, "result.json", "progress.csv", "params.json", "error.txt"
    ),
    LazyReader("sb3", "trainers.sb3", "StableBaselines3", 3, ".csv", "progress", ".npz"),
    LazyReader("algoperf", "trainers.algoperf", "AlgoPerf", 1, "measurements.csv", "hparams.json"),
    LazyReader("nvlabs_stats", "trainers.nvlabs_stats", "NvlabsStats", 2, ".jsonl"),
    LazyReader("flaml", "trainers.flaml", "Flaml", 1, ".log", ".json", ".txt"),
    LazyReader("dllogger", "trainers.dllogger", "DLLogger", 1, ".log", ".json", ".txt"),
    LazyReader("catboost", "trainers.catboost", "CatBoost", 2, "_error.tsv"),
    LazyReader("dvclive", "trackers.dvclive", "DvcLive", 2, ".tsv"),
    LazyReader("lightning_csv", "trainers.lightning_csv", "LightningCsv", 5, "metrics.csv", "hparams.yaml"),
    LazyReader("yolo", "trainers.yolo", "Yolo", 1, ".csv"),
    LazyReader("spinup", "trainers.spinup", "SpinningUp", 4, "progress.txt"),
    LazyReader("wandb_export", "tables.wandb_export", "WandbExport", 1, ".csv"),
    LazyReader("tensorboard_export", "tensorboard.downloaded_csv", "TensorBoardExport", 3, ".csv", ".json"),
    LazyReader("run_table", "tables.run_table", "RunTable", 2, ".csv", ".tsv"),
    LazyReader("metric_rows", "tables.metric_rows", "MetricRows", 1, ".csv", ".tsv"),
    LazyReader("bare_series", "tables.bare_series", "BareSeries", 3, ".csv", ".json"),
    LazyReader("metric_files", "tables.metric_files", "MetricFiles", 1, *_TABLES, ".dat"),
    LazyReader("long_table", "tables.long_table", "LongTable", 2, *_TABLES),
    LazyReader("run_files", "tables.run_files", "RunFiles", 1, *_TABLES, *_JSON),
    LazyReader("keras_csvlogger", "trainers.keras_csvlogger", "KerasCsvLogger", 3, *_TABLES),
    LazyReader("dr_util", "trackers.dr_util", "DrUtil", 1, *_JSON),
    LazyReader("dr_exp", "trackers.dr_exp", "DrExp", 1, "metrics.jsonl"),
    LazyReader("json_epoch_files", "json.epoch_files", "JsonEpochFiles", 1, ".json"),
    LazyReader("json_runs", "json.runs", "JsonRuns", 1, *_JSON),
    LazyReader("json_splits", "json.splits", "JsonSplits", 5, *_JSON),
    LazyReader("json_steps", "json.steps", "JsonSteps", 6, ".json", ".ndjson", ".txt", ".log"),
    LazyReader(
        "json_history",
        "json.history",
        "JsonHistory",
        6,
        ".json",
        ".log",
        ".txt",
        "log",
        "history",
        "metrics",
        "results",
    ),
    LazyReader("tensorboard", "tensorboard.event_files", "TensorBoard", 8, "tfevents"),
    LazyReader("sqlite_tables", "tables.sqlite_tables", "SqliteTables", 2, *_SQLITE),
    LazyReader("all_scalars", "tensorboard.all_scalars", "AllScalars", 1, ".json"),
    LazyReader(
        "column_files", "tables.column_files", "ColumnFiles", 2, ".parquet", ".pq", ".feather", ".arrow", ".ipc"
    ),
    LazyReader("numpy_series", "tables.arrays", "NumpySeries", 1, ".npz", ".npy"),
    LazyReader("boosting_console", "trainers.boosting", "BoostingConsole", 2, ".log", ".txt", ".out", ".err"),
    LazyReader("csv_metrics", "tables.csv_metrics", "CsvMetrics", 9, *_TABLES, ".out", ".dat", ".tab"),
    LazyReader("text_logs", "text.reader", "TextLogs", 5, *_TEXTS),
    LazyReader("unlogged", "unlogged", "Unlogged", 1),
)


@cache
def all_readers() -> tuple[Reader, ...]:
    """Returns the readers of third parties, then the built-in ones."""
    found = [point.load() for point in sorted(entry_points(group="sweeplens.readers"), key=lambda p: p.name)]
    return (*(reader() if isinstance(reader, type) else reader for reader in found), *READERS)
