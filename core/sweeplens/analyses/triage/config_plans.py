"""What a configuration plans: lengths in steps or epochs, batch sizes, and the logged learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from sweeplens.analyses.triage.context import DetectionContext
from sweeplens.analyses.triage.pairs import words
from sweeplens.frames.schemas import hparam_columns

__all__ = [
    "ACCUMULATION",
    "BATCH",
    "DEVICES",
    "ENVIRONMENTS",
    "EPOCH_PLANS",
    "EPOCH_SIZES",
    "ROLLOUTS",
    "SEQUENCES",
    "STEP_PLANS",
    "every_number",
    "factor_of",
    "lr_series",
    "named",
    "planned_numbers",
]

_LEAST = 5  # points of a logged learning rate
STEP_PLANS = frozenset("max_steps total_steps train_steps num_train_steps total_timesteps max_iters max_iter".split())
EPOCH_PLANS = frozenset("epochs max_epochs num_epochs n_epochs num_train_epochs total_epochs".split())
EPOCH_SIZES = frozenset(
    "steps_per_epoch iters_per_epoch iterations_per_epoch batches_per_epoch updates_per_epoch epoch_length".split()
)
BATCH = frozenset("batch_size bs train_batch_size global_batch_size".split())
ACCUMULATION = frozenset(
    "gradient_accumulation_steps grad_accum accumulate_grad_batches accum_steps accum accumulation_steps".split()
)
DEVICES = frozenset("world_size num_gpus n_gpus devices num_devices".split())
SEQUENCES = frozenset("seq_len seq_length sequence_length block_size context_length max_seq_len max_seq_length".split())
ENVIRONMENTS = frozenset("n_envs num_envs nenvs".split())
ROLLOUTS = frozenset("n_steps num_steps rollout_length".split())


def named(names: frozenset[str]) -> Callable[[str], bool]:
    """Returns whether the last part of a hyperparameter's name is one of these."""
    return lambda hparam: hparam.lower().split(".")[-1] in names


def planned_numbers(context: DetectionContext, wanted: Callable[[str], bool]) -> pl.DataFrame:
    """Returns run_id, hparam, planned of the wanted numeric hyperparameter; without runs where several disagree."""
    every = every_number(context, wanted)
    return every.filter(pl.col("planned").n_unique().over("run_id") == 1).unique("run_id", keep="first")


def every_number(context: DetectionContext, wanted: Callable[[str], bool]) -> pl.DataFrame:
    """Returns run_id, hparam, planned of all wanted numeric hyperparameters."""
    names = [n for n in hparam_columns(context.runs) if wanted(n) and context.runs[n].dtype.is_numeric()]
    empty = pl.DataFrame(schema={"run_id": pl.String, "hparam": pl.String, "planned": pl.Float64})
    own = [context.runs.select("run_id", hparam=pl.lit(n), planned=pl.col(n).cast(pl.Float64)) for n in names]
    return pl.concat([empty, *own]).drop_nulls("planned")


def factor_of(context: DetectionContext, names: frozenset[str], column: str) -> pl.DataFrame:
    """Returns run_id and the product of these hyperparameters under the name ``column``; only of runs that have one above 0."""
    every = every_number(context, named(names)).filter(pl.col("planned") > 0)
    return every.group_by("run_id").agg(pl.col("planned").product().alias(column))


def lr_series(context: DetectionContext) -> pl.DataFrame:
    """Returns the logged learning rate of runs that log exactly one."""
    names = [m for m in context.series["metric"].unique().to_list() if _logs_lr(words(m))]
    own = context.series.filter(pl.col("metric").is_in(names) & (pl.col("n_finite") >= _LEAST))
    return own.filter(pl.len().over("run_id") == 1)


def _logs_lr(parts: Sequence[str]) -> bool:
    return "lr" in parts or {"learning", "rate"} <= set(parts)
