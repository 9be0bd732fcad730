"""The table of budgets of a comparison equals what plain Polars computes from the points."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB


def _write(folder: Path, seed: int) -> pl.DataFrame:
    """Writes runs of different lengths, with NaN here and there, some steps logged twice; returns the points that count."""
    draw = random.Random(seed)
    kept: list[tuple[str, float, float]] = []
    for n in range(12):
        run = folder / f"run_{n:02}"
        run.mkdir()
        (run / "config.json").write_text(json.dumps({"lr": 0.1 * (1 + n % 2), "seed": n // 2}))
        steps = list(range(draw.randint(5, 30)))
        steps += steps[-2:] * (n % 3 == 0)
        rows = [(s, float("nan") if draw.random() < 0.2 and s else draw.random() + 1 / (1 + s)) for s in steps]
        (run / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "val/loss": v}) + "\n" for s, v in rows))
        kept += [(run.name, float(s), v) for s, v in dict(rows).items() if v == v]
    return pl.DataFrame(kept, schema=["run", "step", "value"], orient="row")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [None, 0.4])
def test_the_best_at_the_common_budget_and_the_step_at_the_threshold_are_those_of_the_points(
    tmp_path: Path, seed: int, threshold: float | None
) -> None:
    points = _write(tmp_path, seed)
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    row = (
        db.compare("lr < 0.15", "lr > 0.15", metrics=["val/loss"], threshold=threshold)
        .tables["budget"]
        .row(0, named=True)
    )
    ends = points.group_by("run").agg(pl.col("step").max(), pl.col("value").min())
    budget, level = ends["step"].min(), ends["value"].max() if threshold is None else threshold
    side = pl.when(pl.col("run").str.tail(2).cast(pl.Int64) % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    at = points.filter(pl.col("step") <= budget).group_by("run").agg(pl.col("value").min()).with_columns(side=side)
    reached = points.filter(pl.col("value") <= level).group_by("run").agg(pl.col("step").min()).with_columns(side=side)
    assert (row["budget"], row["threshold"]) == (budget, level)
    for name in "ab":
        mine = at.filter(pl.col("side") == name)["value"].mean()
        assert row[f"best_{name}"] == pytest.approx(mine)
        assert row[f"n_reached_{name}"] == reached.filter(pl.col("side") == name).height
