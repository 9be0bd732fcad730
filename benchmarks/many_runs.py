"""What each tool costs over a large folder, for one page: `python benchmarks/many_runs.py [RUNS METRICS STEPS]`.

By default 10,000 runs x 20 metrics x 20 steps of a random search, where no two runs have the same settings and every fiftieth
diverges. They are written to a temporary folder and read once into a store; then each call is made once to warm up, and five
times: the median is of processor seconds, arguments and page included. SQL works in a process of its own, whose time is not in it.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from support.figures import Figure, print_section

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens_mcp.execution.arguments import checked_arguments
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.tools import TOOLS

ONE = {"metrics": ["^val/acc$"]}
CALLS: tuple[tuple[str, str, Mapping[str, object], float], ...] = (
    ("query_metrics", "one metric", ONE, 1),
    ("query_metrics", "every metric", {"metrics": ["."]}, 1),
    ("query_metrics", "one metric, from a step on", {**ONE, "x_min": 5}, 1),
    ("query_metrics", "one metric against another", {**ONE, "x": "train/loss"}, 1),
    ("overview", "", {}, 2),
    ("list_runs", "", {}, 1),
    ("get_run", "", {"run_id": "run_00000"}, 1),
    ("list_metrics", "", {}, 1),
    ("summarize_by_hparams", "every metric", {"metrics": ["."]}, 1),
    ("find_varying_hparams", "", {}, 1),
    ("rank_runs", "", {"metric": "val/acc", "by": "run"}, 1),
    ("compare_runs", "half against half", {"a": '"optim.lr" > 0.001', "b": '"optim.lr" <= 0.001'}, 2),
    ("hparam_effects", "", {"metric": "val/acc"}, 5),
    ("diagnose_runs", "", {}, 2),
    ("whats_new", "", {}, 2),
    ("query_sql", "", {"query": "SELECT metric, count(*) FROM points GROUP BY metric"}, 1),
)


def write_search(folder: Path, runs: int, metrics: int, steps: int) -> Path:
    """A random search: ``run_00000`` and so on, with modification times of finished logs."""
    draw = random.Random(0)
    names = ["train/loss", "val/acc", *(f"layer{i}/norm" for i in range(metrics - 2))]
    then = time.time() - 7200
    for index in range(runs):
        home = folder / f"run_{index:05}"
        home.mkdir(parents=True)
        model = {f"choice{i}": draw.randrange(4) for i in range(12)}
        optim = {"lr": 10 ** draw.uniform(-5, -1), "wd": draw.uniform(0, 0.1)}
        (home / "config.json").write_text(json.dumps({"optim": optim, "model": model, "seed": index % 5}))
        lines: list[str] = []
        for step in range(steps):
            grows = 1.5 ** max(step - steps // 2, 0) if index % 50 == 0 else 1.0
            loss = (2 / (1 + step) + draw.random() / 50) * grows
            values = [loss, 1 - loss / 3, *(draw.random() for _ in names[2:])]
            lines.append(json.dumps({"step": step, **dict(zip(names, values, strict=True))}))
        (home / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        os.utime(home / "metrics.jsonl", (then, then))
    return folder


def cost(db: ExperimentDB, tool: str, arguments: Mapping[str, object]) -> float:
    """The median of processor seconds of one call's first page, once warm."""
    spec = next(s for s in TOOLS if s.name == tool)
    taken: list[float] = []
    for _ in range(6):
        began = time.process_time()
        answer_call(spec, db, checked_arguments(spec, arguments), AnswerCache())
        taken.append(time.process_time() - began)
    return statistics.median(taken[1:])


def main(runs: int = 10_000, metrics: int = 20, steps: int = 20) -> None:
    """Print a line for each figure."""
    with tempfile.TemporaryDirectory() as home:
        root = write_search(Path(home, "runs"), runs, metrics, steps)
        db = ExperimentDB(AnalysisConfig(cache_dir=f"{home}/cache", refresh_seconds=3600), root)
        db.load_experiments()
        figures = [
            Figure(f"`{tool}`{', ' * bool(what)}{what}", cost(db, tool, given), most=most)
            for tool, what, given, most in CALLS
        ]
        began = time.process_time()
        db.curves(ONE["metrics"])
        figures.insert(
            4, Figure("all curves of one metric at once (`db.curves`), for comparison", time.process_time() - began)
        )
    about = f"{runs:,} runs x {metrics} metrics x {steps} steps, each call's first page, processor seconds, warm"
    print_section("Many runs", "python benchmarks/many_runs.py", figures, about=about)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
