"""One format a file. `READERS` is the order in which they are offered a folder: what is surest of its files comes first.

Third parties add theirs by an entry point in the group ``sweeplens.readers`` that names a `Reader`; they come before the
built-in ones. `docs/formats.md` is generated from the docstrings of this table.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from sweeplens.readers.algoperf import AlgoPerf
from sweeplens.readers.csv_metrics import CsvMetrics
from sweeplens.readers.dr_exp import DrExp
from sweeplens.readers.dr_util import DrUtil
from sweeplens.readers.dvclive import DvcLive
from sweeplens.readers.hf_trainer import HfTrainer
from sweeplens.readers.json_history import JsonHistory
from sweeplens.readers.json_runs import JsonRuns
from sweeplens.readers.json_splits import JsonSplits
from sweeplens.readers.json_steps import JsonSteps
from sweeplens.readers.keras_csvlogger import KerasCsvLogger
from sweeplens.readers.lightning_csv import LightningCsv
from sweeplens.readers.mlflow_file import MlflowFile
from sweeplens.readers.mlflow_sqlite import MlflowSqlite
from sweeplens.readers.mmcv import Mmcv
from sweeplens.readers.mmengine import Mmengine
from sweeplens.readers.nvlabs_stats import NvlabsStats
from sweeplens.readers.optuna import Optuna
from sweeplens.readers.optuna_journal import OptunaJournal
from sweeplens.readers.protocol import Reader
from sweeplens.readers.ray_tune import RayTune
from sweeplens.readers.sacred import Sacred
from sweeplens.readers.sb3 import StableBaselines3
from sweeplens.readers.spinup import SpinningUp
from sweeplens.readers.swanlab import SwanLab
from sweeplens.readers.tensorboard import TensorBoard
from sweeplens.readers.tensorboard_export import TensorBoardExport
from sweeplens.readers.trackio import Trackio
from sweeplens.readers.wandb import Wandb
from sweeplens.readers.wandb_summary import WandbSummary
from sweeplens.readers.yolo import Yolo

__all__ = ["READERS", "all_readers"]

READERS: tuple[Reader, ...] = (
    Wandb(),
    WandbSummary(),
    SwanLab(),
    MlflowSqlite(),
    Optuna(),
    OptunaJournal(),
    Trackio(),
    MlflowFile(),
    Sacred(),
    Mmengine(),
    Mmcv(),
    HfTrainer(),
    RayTune(),
    StableBaselines3(),
    AlgoPerf(),
    NvlabsStats(),
    DvcLive(),
    LightningCsv(),
    Yolo(),
    SpinningUp(),
    KerasCsvLogger(),
    DrUtil(),
    DrExp(),
    JsonRuns(),
    JsonSplits(),
    JsonSteps(),
    JsonHistory(),
    TensorBoardExport(),
    TensorBoard(),
    CsvMetrics(),
)


@cache
def all_readers() -> tuple[Reader, ...]:
    """The readers of third parties, then our own."""
    found = [point.load() for point in sorted(entry_points(group="sweeplens.readers"), key=lambda p: p.name)]
    return (*(reader() if isinstance(reader, type) else reader for reader in found), *READERS)
