"""sweeplens: ask what happened in folders of deep-learning experiments.

    from sweeplens import AnalysisConfig, ExperimentDB
    db = ExperimentDB(AnalysisConfig(), base_path="experiments")
    db.summarize_metrics(["optim.lr"], metrics=["val/acc"])

Names are imported at first use, so importing sweeplens takes almost no time.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeplens.answers import Answer, Basis, LazyAnswer, LeftOut, Scroll
    from sweeplens.charts import Chart
    from sweeplens.config import AnalysisConfig
    from sweeplens.errors import SweeplensError
    from sweeplens.experiment_db import ExperimentDB
    from sweeplens.models import Hyperparameters, Run

    __version__: str

__all__ = [
    "AnalysisConfig",
    "Answer",
    "Basis",
    "Chart",
    "ExperimentDB",
    "Hyperparameters",
    "LazyAnswer",
    "LeftOut",
    "Run",
    "Scroll",
    "SweeplensError",
    "__version__",
]

_MODULES = {
    "AnalysisConfig": "config",
    "Answer": "answers",
    "Basis": "answers",
    "Chart": "charts",
    "ExperimentDB": "experiment_db",
    "Hyperparameters": "models",
    "LeftOut": "answers",
    "Run": "models",
    "Scroll": "answers",
    "LazyAnswer": "answers",
    "SweeplensError": "errors",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("sweeplens")
    if name not in _MODULES:
        raise AttributeError(f"module 'sweeplens' has no attribute {name!r}")
    collecting = gc.isenabled()
    gc.disable()  # importing makes 100,000 lasting objects; collection would take a sixth of the time
    try:
        return getattr(import_module(f"sweeplens.{_MODULES[name]}"), name)
    finally:
        if collecting:
            gc.freeze()  # they live as long as the process; scanning them at its end would take 0.1 s
            gc.enable()


def __dir__() -> list[str]:
    return __all__
