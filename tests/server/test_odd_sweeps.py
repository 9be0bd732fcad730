"""Sweeps of odd names, odd values and few runs: every tool answers within the budget, or with a sentence, and nothing warns."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.planted import Row, database, run

from sweeplens import ExperimentDB
from sweeplens.errors import SweeplensError
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.tools import TOOLS

HPARAMS = (
    "lr",
    "seed",
    "rank",
    "n",
    "optim.lr",
    "exp_name",
    "notes",
    "fold",
    "größe",
    "a b",
    "value",
    "metric",
    "step",
    "run_a",
)
METRICS = ("val/acc", "val/loss", "train/loss", "reward", "x", "grad_norm", "weird metric", "n", "lr")
VALUES = (None, True, False, 0, 1, 2, 0.1, 1e-300, 1e300, "a", "b", "", [1, 2], "x" * 50, math.pi)
POINTS = (0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-320, 0.5, 0.7)
SPECS = {spec.name: spec for spec in TOOLS}
BUDGET = 8_000


def sweep(r: random.Random) -> list[Row]:
    hparams, metrics = r.sample(HPARAMS, r.randrange(6)), r.sample(METRICS, r.randrange(1, 4))
    return [
        {
            **run(
                f"r{i}", {h: r.choice(VALUES) for h in hparams if r.random() < 0.85},
                {"status": r.choice(["finished", "running", "failed", "killed"])},
            ),
            "metrics": {m: series(r) for m in metrics if r.random() < 0.9},
        }
        for i in range(r.randrange(1, 14))
    ]  # fmt: skip


def series(r: random.Random) -> list[float]:
    length = r.choice([0, 1, 2, 12, 40])
    return r.choice([
        [r.choice(POINTS) for _ in range(length)],
        [1 / (j + 1) + 0.01 * r.random() for j in range(length)],
        [r.choice([0.0, 7.0])] * length,
    ])  # fmt: skip


def questions(r: random.Random, metric: str) -> Iterator[tuple[str, dict[str, Any]]]:
    how, goal = r.choice(["last", "best", "mean", "last_k:3", "at_step:common"]), r.choice(["lower", "higher"])
    yield from (
        (name, {}) for name in ("overview", "list_runs", "list_metrics", "find_varying_hparams", "diagnose_runs")
    )
    yield "query_metrics", {"metrics": (metric,), "max_points": r.choice([2, 5, 50])}
    yield "summarize_by_hparams", {"metrics": (metric,), "reduce": how}
    yield "rank_runs", {"metric": metric, "goal": goal, "by": r.choice(["run", "group"]), "reduce": how}
    yield "hparam_effects", {"metric": metric, "goal": goal, "reduce": how}
    yield "compare_runs", {"a": "r[0-3]", "b": "r[4-9]", "reduce": how, "axis": r.choice(["step", "wall_time", metric])}
    yield "get_run", {"run_id": "r0"}
    yield "whats_new", {}


@pytest.mark.parametrize("chance", range(20))
def test_every_tool_answers_within_the_budget_or_with_a_sentence(tmp_path: Path, chance: int) -> None:
    r = random.Random(chance)
    runs = sweep(r)
    metrics: Any = runs[0]["metrics"]
    db = database(tmp_path, runs)
    for tool, arguments in questions(r, next(iter(metrics), "none")):
        size, words = asked(db, tool, arguments)
        assert size <= BUDGET
        assert words >= 4


def asked(db: ExperimentDB, tool: str, arguments: dict[str, Any]) -> tuple[int, int]:
    """The bytes of the larger channel, and how many words the answer or the error has."""
    try:
        made = answer_call(SPECS[tool], db, arguments, AnswerCache())
    except SweeplensError as error:
        return 0, len(str(error).split())
    return max(len(json.dumps(made.structured)), len(made.text.encode())), len(made.text.split())
