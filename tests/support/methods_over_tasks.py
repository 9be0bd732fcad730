"""A sweep of three methods over four tasks, each task with its own metric, as several people would log it; its truth is planted.

intent       kd and feat gain 0.010 at lr 3e-5; at lr 1e-5 kd gains nothing
qa           kd loses 1.5; feat has another teacher than kd
sts          no differences
readability  no differences (lower is better); only ft is stopped early
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from support.planted import Row

METRICS = {"intent": "accuracy", "qa": "f1", "sts": "spearman", "readability": "rmse"}
LEVEL = {"intent": 0.88, "qa": 76.0, "sts": 0.87, "readability": 0.54}
NOISE = {"intent": 0.002, "qa": 0.4, "sts": 0.003, "readability": 0.004}
SLOPE = {"intent": 0.016, "qa": 2.1, "sts": 0.008, "readability": -0.02}
RATES = (1e-5, 3e-5)
SEEDS = (1, 2, 3)


def gain(method: str, task: str, lr: float) -> float:
    """The planted difference of a method from plain fine-tuning."""
    if task == "intent" and (method == "feat" or (method == "kd" and lr == 3e-5)):
        return 0.010
    return -1.5 if task == "qa" and method == "kd" else 0.0


def methods_over_tasks(seed: int = 0) -> Iterator[Row]:
    """Yields 72 runs: task, method, learning rate and seed; a seed shifts all methods of its task alike."""
    rng = np.random.default_rng(seed)
    for task, metric in METRICS.items():
        shared = {s: rng.normal(0, NOISE[task]) for s in SEEDS}
        for method in ("ft", "kd", "feat"):
            for lr in RATES:
                for s in SEEDS:
                    level = LEVEL[task] + SLOPE[task] * (lr == 3e-5) + gain(method, task, lr) + shared[s]
                    yield _run(task, metric, method, lr, s, level, NOISE[task] / 2, rng)


def _run(
    task: str, metric: str, method: str, lr: float, seed: int, level: float, noise: float, rng: np.random.Generator
) -> Row:
    n = 40
    curve = level * (1 - 0.2 * np.exp(-np.arange(n) / 6) * (1 if task != "readability" else -1))
    values = (curve + rng.normal(0, noise, n)).tolist()
    config: dict[str, object] = {"task": task, "method": method, "lr": lr, "seed": seed, "batch_size": 32}
    if method != "ft":
        config["teacher"] = "large-v2" if task == "qa" and method == "feat" else "large-v1"
    if task == "readability" and method == "ft":
        config["early_stopping_patience"], values = 2, values[: n // 2]
    test = float(level + rng.normal(0, noise))
    return {
        "run_id": f"{task}-{method}-{lr:g}-{seed}",
        "hyperparameters": config,
        "metrics": {f"eval/{metric}": values, f"test/{metric}": [test]},
        "metadata": {"status": "finished"},
    }


def uneven_methods() -> Iterator[Row]:
    """Yields two methods on two tasks that differ in more than the method; each difference is planted once.

    new     evaluates twice as often, tries three learning rates and five seeds where old has two and two, ran on other machines
            and with another version of the code; two of its runs were killed early; on task y it has another teacher
    """
    rng = np.random.default_rng(5)
    for task in "xy":
        for method, rates, seeds in (("old", (1, 2), (1, 2)), ("new", (1, 2, 3), (1, 2, 3, 4, 5))):
            for lr in rates:
                for s in seeds:
                    killed = method == "new" and task == "x" and lr == 3 and s < 3
                    yield _uneven(task, method, lr, s, killed, rng)


def _uneven(task: str, method: str, lr: int, seed: int, killed: bool, rng: np.random.Generator) -> Row:
    new = method == "new"
    n = 10 if killed else 60 if new else 30
    teacher = "v2" if new and task == "y" else "v1"
    config = {
        "task": task,
        "method": method,
        "lr": lr,
        "seed": seed,
        "teacher": teacher,
        **({"beta": 0.5} if new else {}),
    }
    return {
        "run_id": f"{task}-{method}-{lr}-{seed}",
        "hyperparameters": config,
        "metrics": {
            "val/acc": (0.5 + rng.normal(0, 0.01, n)).tolist(),
            "tokens": (np.arange(1, n + 1) * (1000.0 if new else 2000.0)).tolist(),
            "test/num_examples": [1032.0 if new and task == "x" else 3080.0],
        },
        "metadata": {
            "status": "killed" if killed else "finished", "gpu": "A10" if new else "A100",
            "git_sha": "bbbb2222" if new else "aaaa1111",
        },
    }  # fmt: skip
