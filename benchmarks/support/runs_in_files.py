"""A grid search kept as a few files of many runs, its questions, and the same numbers by plain Polars."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from sweeplens import ExperimentDB
from sweeplens_mcp.execution.arguments import checked_arguments
from sweeplens_mcp.execution.cursors import AnswerCache
from sweeplens_mcp.execution.tool_call import answer_call
from sweeplens_mcp.tools import TOOLS

__all__ = ["CALLS", "answer", "differences", "truth", "write_parts"]

_A, _B = '"optim.lr" > 0.001', '"optim.lr" <= 0.001'
CALLS: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    ("list_runs", "", {}),
    ("get_run", "", {"run_id": "run_000100"}),
    ("list_metrics", "", {}),
    ("query_metrics", "one metric", {"metrics": ["^val/acc$"]}),
    ("query_metrics", "every metric", {"metrics": ["."]}),
    ("query_metrics", "one against another", {"metrics": ["^val/acc$"], "x": "train/loss"}),
    ("summarize_by_hparams", "every metric", {"metrics": ["."]}),
    ("find_varying_hparams", "", {}),
    ("rank_runs", "runs", {"metric": "val/acc", "by": "run"}),
    ("rank_runs", "groups", {"metric": "val/acc"}),
    ("overview", "", {}),
    ("compare_runs", "two halves", {"a": _A, "b": _B}),
    ("compare_runs", "with a threshold", {"a": _A, "b": _B, "metrics": ["val/acc"], "threshold": 0.8}),
    ("compare_runs", "levels", {"hparam": "optim.name"}),
    ("hparam_effects", "", {"metric": "val/acc"}),
    ("diagnose_runs", "", {}),
    ("whats_new", "", {}),
    ("query_sql", "", {"query": "SELECT metric, count(*) FROM points GROUP BY metric"}),
)


def write_parts(folder: Path, runs: int, each: int = 1000) -> list[Path]:
    """Writes so many runs x 5 metrics x 20 points, ``each`` a file, five seeds a setting, every fiftieth diverging."""
    folder.mkdir(parents=True)
    draw = random.Random(0)
    rows = _rows(draw)
    files: list[Path] = []
    for part in range(-(-runs // each)):
        files.append(folder / f"part_{part:03}.jsonl")
        lines = (json.dumps(row) for row in itertools.islice(rows, min(each, runs - part * each)))
        files[-1].write_text("\n".join(lines) + "\n")
        then = time.time() - 7200
        os.utime(files[-1], (then, then))
    return files


def _rows(draw: random.Random) -> Iterator[dict[str, object]]:
    grid = list(itertools.product(range(20), range(10), range(5), ("adam", "sgd", "lion", "adamw"), range(5)))
    draw.shuffle(grid)
    for n in itertools.count():
        lr, decay, depth, name, width = grid[(n // 5) % len(grid)]
        optim = {"lr": 10 ** (-5 + lr * 0.2), "wd": decay / 100, "name": name}
        settings = {"optim": optim, "model": {"depth": 2**depth, "width": 64 * (width + 1)}, "seed": n % 5}
        base = 0.5 + 0.05 * abs(lr - 12) + 0.02 * decay + draw.gauss(0, 0.02)
        yield {
            "id": f"run_{n:06}",
            "hyperparameters": settings,
            "metrics": _curves(draw, base, optim, diverges=n % 50 == 0),
        }


def _curves(
    draw: random.Random, base: float, optim: Mapping[str, object], *, diverges: bool
) -> dict[str, list[object]]:
    growth = [1.5 ** max(s - 10, 0) if diverges else 1.0 for s in range(20)]
    loss = [(base + 2 / (1 + s) + draw.random() / 50) * g for s, g in enumerate(growth)]
    return {
        "train/loss": list(loss),
        "val/loss": [v * 1.05 + draw.random() / 50 for v in loss],
        "val/acc": [max(0.0, 1 - v / 4 + draw.random() / 100) for v in loss],
        "lr": [optim["lr"]] * 20,
        "grad_norm": [draw.uniform(0.5, 1.5) * g for g in growth],
    }


def answer(db: ExperimentDB, tool: str, arguments: Mapping[str, object]) -> None:
    """Makes the first page of a tool's answer."""
    spec = next(s for s in TOOLS if s.name == tool)
    answer_call(spec, db, checked_arguments(spec, arguments), AnswerCache())


def truth(files: list[Path]) -> pl.DataFrame:
    """Returns the runs with their settings and last values, by plain Polars over the files."""
    runs = pl.concat([pl.read_ndjson(file) for file in files])
    settings = runs.select("id", "hyperparameters").unnest("hyperparameters")
    settings = settings.with_columns(
        *(pl.col("optim").struct.field(n).alias(f"optim.{n}") for n in ("lr", "wd", "name")),
        *(pl.col("model").struct.field(n).alias(f"model.{n}") for n in ("depth", "width")),
    ).drop("optim", "model")
    last = (
        runs.select("id", "metrics")
        .unnest("metrics")
        .with_columns(
            pl.col("val/acc", "train/loss").list.last(),
            points=pl.col("val/acc").list.len(),
            total=pl.col("val/acc").list.sum(),
        )
    )
    return settings.join(last.select("id", "val/acc", "train/loss", "points", "total"), on="id")


def differences(db: ExperimentDB, plain: pl.DataFrame) -> list[str]:
    """Returns the names of answers that differ from those of plain Polars."""
    keys = ["optim.lr", "optim.wd", "optim.name", "model.depth", "model.width"]
    groups = plain.group_by(keys).agg(pl.col("val/acc").mean()).sort("val/acc", descending=True)
    by_lr = plain.group_by("optim.lr").agg(pl.col("val/acc").mean()).sort("optim.lr")
    sides = [plain.filter(pl.col("optim.lr") > 0.001), plain.filter(pl.col("optim.lr") <= 0.001)]
    halves = [one.join(other, on=keys[1:], how="semi") for one, other in (sides, sides[::-1])]  # with a counterpart
    strata = db.compare(_A, _B, metrics=["val/acc"]).tables["strata"]
    ours = {
        "rank_runs": db.rank("val/acc").table["mean"].to_list(),
        "summarize_by_hparams": db.summarize(["optim.lr"], metrics=["val/acc"])
        .table.sort("optim.lr")["mean"]
        .to_list(),
        "overview": db.overview().tables["best"].filter(pl.col("metric") == "val/acc")["mean"].to_list(),
        "list_metrics": db.list_metrics().table.filter(pl.col("metric") == "val/acc")["n_runs"].to_list(),
        "compare_runs": [*strata.select("n_a", "n_b").sum().row(0), *(_pooled(strata, side) for side in "ab")],
        "query_metrics": [db.query_metrics("^val/acc$")["value"].sum()],
        "query_sql": db.query_sql("SELECT count(*) AS n FROM points WHERE metric = 'val/acc'").table["n"].to_list(),
        "hparam_effects": db.effects("val/acc").table.sort("hparam")["n_values"].to_list(),
    }
    theirs = {
        "rank_runs": groups["val/acc"].to_list(),
        "summarize_by_hparams": by_lr["val/acc"].to_list(),
        "overview": groups["val/acc"].head(1).to_list(),
        "list_metrics": [plain.height],
        "compare_runs": [*(h.height for h in halves), *(h["val/acc"].mean() for h in halves)],
        "query_metrics": [plain["total"].sum()],
        "query_sql": [plain["points"].sum()],
        "hparam_effects": [plain[k].n_unique() for k in sorted(keys)],
    }
    return [name for name, values in ours.items() if not _close(values, theirs[name])]


def _pooled(strata: pl.DataFrame, side: str) -> float:
    return float((strata[f"n_{side}"] * strata[f"mean_{side}"]).sum()) / strata[f"n_{side}"].sum()


def _close(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1) for a, b in zip(one, other, strict=True)
    )
