"""What to keep of each run: its best step against its last, what stopping early would have saved, what the best was chosen on.

``worse_by`` is what the last value lost against the best; null where the last value is not finite. A best value of a noisy
curve is partly luck, so ``noise`` (the spread around the trend) stands beside it, and only a loss beyond three of it counts in
the notes. Early stopping waits for a tenth of the evaluations, at least three, without a new best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import polars as pl

from sweeplens.analyses.coverage import listed, series_of
from sweeplens.analyses.luck import twin_on_test
from sweeplens.answers import Answer, Basis
from sweeplens.counting import count_of, share_of, verb
from sweeplens.engines.protocol import PointSource
from sweeplens.engines.reductions import EarlyStop, Fluctuation, LastUpToStep
from sweeplens.frames.goals import goal_of
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound, runs_lacking

__all__ = ["checkpoints"]

_BEYOND = 3.0  # times the noise
_WORST = ["worse_by", "run_id"]
_COLUMNS = (
    "run_id", "best_step", "best", "last_step", "last", "worse_by", "noise", "evaluations", "stop_step", "stop_best", "saved",
)  # fmt: skip


def checkpoints(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    points: PointSource,
    metric: str,
    *,
    goal: str = "",
    goals: Mapping[str, str] | None = None,
) -> Answer:
    """Returns one row a run, the most lost first: best_step, best, last_step, last, worse_by, noise, early stopping (stop_step,
    its best, the share of steps saved) and, where the metric has a test twin, what that is at the best step, at the end and at its
    own best. Raises UnknownNameError, AmbiguousGoalError.
    """
    asked = series_of(metric, series).filter(pl.col("min").is_not_null())
    direction = goal_of(metric, goal, goals)
    sign = 1.0 if direction == "lower" else -1.0
    side = "min" if direction == "lower" else "max"
    best, at = pl.col(side), pl.col(f"{side}_step")
    own = select_points(points, runs=asked["run_id"].to_list(), metrics=[metric])
    stand = standing(own, rewound(asked))
    stops = stand.reduce(EarlyStop(direction == "lower"))
    span = pl.col("last_step") - pl.col("first_step")
    table = (
        asked.select(
            "run_id", "first_step", "last_step", "last", best_step=at, best=best, evaluations="n",
            worse_by=pl.when(pl.col("last").is_finite()).then((sign * (pl.col("last") - best)).abs()),
        )
        .join(stand.reduce(Fluctuation()).select("run_id", "noise"), on="run_id", how="left")
        .join(stops, on="run_id", how="left")
        .with_columns(saved=((pl.col("last_step") - pl.col("stop_step")) / span).fill_nan(None))
    )  # fmt: skip
    twin = twin_on_test(metric, series["metric"].unique().to_list())
    table = _with_twin(table, twin, series, points, side) if twin else table
    table = table.sort(*_WORST, descending=[True, False], nulls_last=False).select(
        *_COLUMNS, *(c for c in table.columns if c.startswith("test_"))
    )
    notes = (*_notes(metric, table, direction), *(_twin_notes(metric, twin, table, sign) if twin else ()))
    left = runs_lacking([metric], runs, series)
    return Answer(table, Basis(runs_used=table.height, left_out=left, points=int(asked["n_logged"].sum())), notes)


def _with_twin(table: pl.DataFrame, twin: str, series: pl.DataFrame, points: PointSource, side: str) -> pl.DataFrame:
    """Adds the test metric at the best step of the validation metric, at the end, and at its own best."""
    rows = series.filter((pl.col("metric") == twin) & pl.col("run_id").is_in(table["run_id"].implode()))
    stand = standing(select_points(points, runs=rows["run_id"].to_list(), metrics=[twin]), rewound(rows))
    at = stand.reduce(LastUpToStep(table.select("run_id", "best_step"))).select("run_id", test_at_best="value")
    ends = rows.select("run_id", test_last="last_finite", test_best=side)
    return table.join(at, on="run_id", how="left").join(ends, on="run_id", how="left")


def _notes(metric: str, table: pl.DataFrame, direction: str) -> list[str]:
    """Returns how the last values compare with the best ones, and what early stopping would have saved and cost."""
    total = table.height
    word = "lowest" if direction == "lower" else "highest"
    lost = table.filter(pl.col("worse_by") > _BEYOND * pl.col("noise"))
    ended = table.filter(pl.col("worse_by") == 0).height
    ruined = table.filter(pl.col("last").is_finite().not_())["run_id"].to_list()
    notes = [
        f"best is the {word} {metric}; a checkpoint at best_step keeps it. {share_of(ended, total, 'run')} "
        f"{verb(total, 'ends at its best', 'end at their best')}."
    ]
    if ruined:
        named = listed(ruined)
        notes.append(
            f"{share_of(len(ruined), total, 'run')} {verb(total, 'ends', 'end')} without a finite value ({named}): "
            f"only an earlier checkpoint works."
        )
    if lost.height:
        rows = lost.head(3).iter_rows(named=True)
        shown = [
            f"{r['run_id']} {r['best']:.5g} at {r['best_step']} but {r['last']:.5g} at {r['last_step']}" for r in rows
        ]
        notes.append(
            f"{share_of(lost.height, total, 'run')} {verb(total, 'ends worse than its', 'end worse than their')} "
            f"best by more than {_BEYOND:g} times the noise: keep the "
            f"best checkpoint, not the last ({listed(shown)})."
        )
    elif not ruined:
        notes.append("No run ends worse than its best by more than noise: the last checkpoint is as good.")
    stopped = table.filter(pl.col("stop_step").is_not_null())
    if stopped.height:
        saved = cast("float", stopped["saved"].mean()) * stopped.height / total
        missed = stopped.filter((pl.col("stop_best") - pl.col("best")).abs() > _BEYOND * pl.col("noise")).height
        notes.append(
            f"Stopping after a tenth of the evaluations (at least 3) without a new best would have ended {stopped.height} of "
            f"{count_of(total, 'run')} early and saved {saved:.0%} of all steps; {missed} of them got clearly better later."
        )
    return notes


def _twin_notes(metric: str, twin: str, table: pl.DataFrame, sign: float) -> list[str]:
    """Returns what choosing the checkpoint on the reported metric itself would add."""
    known = table.drop_nulls(["test_at_best", "test_best", "test_last"])
    if not known.height:
        return []
    honest, own, last = (cast("float", known[c].mean()) for c in ("test_at_best", "test_best", "test_last"))
    return [
        f"{twin}, mean over {count_of(known.height, 'run')}: {honest:.5g} at the best {metric}, {last:.5g} at the end, "
        f"{own:.5g} at its own "
        f"best. Reporting its own best chooses on the reported metric and looks better by {sign * (honest - own):.3g}."
    ]
