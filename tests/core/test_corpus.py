"""Every set of the corpus, through `ExperimentDB`, against its independent truth. The corpus is where SWEEPLENS_CORPUS points.

`ALLOWED` is the whole list of what may differ, with reasons; a set that is not in it must be equal in everything: runs, ids or
paths, hyperparameters, status, malformed lines, and for each series n, NaN and infinities, first, last, min, max, sum, steps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.corpus import Allowed, audit

from sweeplens.readers import READERS, loaded_reader
from sweeplens.sources.discover import discover

CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
SETS = sorted(p.parent.name for p in Path(CORPUS).glob("*/expected.json")) if CORPUS else []

_RESUME_EVENT = (
    "from_step",
)  # a number in the row {"event": "resume"}: kept like any number; the truths skip event rows


def _parent_folder(key: str, truth: Mapping[str, Any]) -> str:
    parent = key.rpartition("/")[0]
    return parent if parent in truth else key


def _branch_metric(key: str, metric: str) -> str:
    folder = key.rpartition("/")[2]
    return f"{folder}/{metric}" if folder.startswith(f"{metric}_") else metric


ALLOWED: dict[str, Allowed] = {
    # The truth lists folders; its `logical_runs` say which are one run. What add_scalars wrote into a folder of its own
    # is told from the run's own metrics by that folder's name.
    "tb_torch": Allowed(folds=_parent_folder, metric=_branch_metric, relative=1e-5),
    "native_steps": Allowed(extra_metrics=_RESUME_EVENT),
    "structlog": Allowed(extra_metrics=_RESUME_EVENT),
    # MLflow's database stores an infinity as the largest float and its client gives that back; we give the infinity.
    "mlflow_sqlite": Allowed(largest_is_infinity=True),
    # An objective's final value is a metric of the trial; the truth keeps it apart from the intermediate values.
    "optuna": Allowed(extra_metrics=("value", "values_*")),
    # The truth counts an environment's episodes and an evaluation's lengths, but not as series of the run.
    "sb3": Allowed(extra_metrics=("monitor/?",)),
    "pub_rl_zoo": Allowed(extra_metrics=("monitor/?", "eval/mean_ep_length")),
    # The axis is thousands of images with a fraction; steps are whole: rounded down, as the producer's TensorBoard does.
    "pub_nvlabs_stats": Allowed(free_steps=("Loss/*", "Progress/*", "Timing/*", "Resources/*")),
}


@pytest.mark.skipif(not SETS, reason="SWEEPLENS_CORPUS names no folder of sets")
@pytest.mark.parametrize("name", SETS)
def test_every_run_and_series_of_a_set_equals_its_truth(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = audit(Path(CORPUS) / name, ALLOWED.get(name, Allowed()))
    with capsys.disabled():
        print(f"\n{found.line()}", end="")
    assert not found.wrong, "\n".join(found.wrong[:40])
    assert found.series_right == found.series_expected


@pytest.mark.skipif(not SETS, reason="SWEEPLENS_CORPUS names no folder of sets")
@pytest.mark.parametrize("name", SETS)
def test_no_reader_is_passed_over_that_would_have_claimed_something(name: str) -> None:
    root = (Path(CORPUS) / name / "logs").resolve()
    assert discover([root], READERS) == discover([root], [loaded_reader(r) for r in READERS])
