"""Compares the configuration with what was logged: learning rate, warm-up, schedule, length, and samples.

Works on columns of the runs and series frames; only rows of findings are handled one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import words
from sweeplens.counting import count_of
from sweeplens.frames.schemas import hparam_columns

__all__ = ["learning_rate", "planned_length", "samples_seen", "schedule", "warm_up"]

_OFF = 0.02  # smallest relative difference that counts
_WARM_OFF = 0.1
_ENDED = ("finished", "unknown")
_LEAST = 5  # points of a logged learning rate
_EARLY = frozenset("patience early stopping".split())
_STEP_PLANS = frozenset("max_steps total_steps train_steps num_train_steps total_timesteps max_iters max_iter".split())
_EPOCH_PLANS = frozenset("epochs max_epochs num_epochs n_epochs num_train_epochs total_epochs".split())
_BATCH = frozenset("batch_size bs train_batch_size global_batch_size".split())
_MULTIPLIERS = frozenset(
    "gradient_accumulation_steps grad_accum accumulate_grad_batches accum_steps world_size num_gpus n_gpus devices "
    "num_devices".split()
)
_HELD_OUT = r"(^|[/_.])(test|val|valid|validation|eval|evaluation|dev|heldout|holdout)([/_.]|$)"
_LR_NAMES = frozenset("lr learning_rate max_lr peak_lr base_lr".split())
_WARM_NAMES = frozenset(
    "warmup warmup_steps num_warmup_steps warmup_iters warmup_ratio lr_warmup_steps warmup_iterations".split()
)


def learning_rate(context: DetectionContext) -> Iterator[Finding]:
    """The highest logged learning rate is not the configured one, by 2 % or more, and by more than it can fall between two logs.

    medium: in this run, but not by the same factor in all runs. low: by the same factor in all runs that have both, as where it
    is scaled by the batch or the number of devices on purpose.
    """
    table = _with_lr(context, _numbers(context, _named(_LR_NAMES)))
    if not table.height:
        return
    table = table.filter(pl.col("planned") > 0).with_columns(factor=pl.col("max") / pl.col("planned"), unseen=_unseen())
    off = ((table["factor"] - 1).abs() > _OFF) & (
        (1 - table["factor"] > table["unseen"] + _OFF) | (table["factor"] > 1)
    )
    factors = table["factor"]
    lowest, highest = factors.min(), factors.max()
    alike = (
        isinstance(lowest, float) and isinstance(highest, float) and highest <= lowest * (1 + _OFF) and table.height > 1
    )
    for row in table.filter(off).sort("run_id").iter_rows(named=True):
        text = (
            f"{row['hparam']}={number(row['planned'])}, but {row['metric']} peaks at {number(row['max'])} "
            f"(step {row['max_step']}, {row['factor']:.4g} times)"
        )
        yield Finding(row["run_id"], "config_lr", "low" if alike else "medium", row["metric"], row["max_step"], text)


def _unseen() -> pl.Expr:
    """Returns by how much of the plan the peak may lie above the highest logged value: what is lost from there to the end, in the
    interval of logging (or the steps before the first log, where that is the highest).
    """
    interval = (pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1)
    before = pl.when(pl.col("max_step") == pl.col("first_step")).then(pl.col("first_step")).otherwise(0)
    slope = (pl.col("max") - pl.col("last_finite")) / (pl.col("last_step") - pl.col("max_step"))
    lost = slope * pl.max_horizontal(interval, before) / pl.col("planned")
    return pl.when(lost.is_finite()).then(lost).otherwise(0.0)


def warm_up(context: DetectionContext) -> Iterator[Finding]:
    """medium: the logged learning rate first peaks at another step than the configured warm-up ends, by a tenth of it and by
    two intervals of logging; or the warm-up is longer than the run. A ratio is one of the configured steps, else of those run."""
    table = _with_lr(context, _numbers(context, _named(_WARM_NAMES)))
    plans = _numbers(context, _named(_STEP_PLANS)).select("run_id", total="planned")
    table = table.join(plans, on="run_id", how="left").with_columns(
        total=pl.coalesce("total", pl.col("run_last").cast(pl.Float64)), written=pl.col("planned")
    )
    steps = pl.when(pl.col("planned") < 1).then(pl.col("planned") * pl.col("total")).otherwise(pl.col("planned"))
    table = table.with_columns(planned=steps, gap=(pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1))
    away = (pl.col("max_step") - pl.col("planned")).abs()
    odd = table.filter(
        (pl.col("planned") > 0) & (away > pl.max_horizontal(_WARM_OFF * pl.col("planned"), 2 * pl.col("gap")))
    )
    for row in odd.sort("run_id").iter_rows(named=True):
        peak = f"{row['metric']} peaks at step {row['max_step']} ({number(row['max'])})"
        beyond = f"; the run has {count_of(row['run_last'], 'step')}" if row["planned"] > row["run_last"] else ""
        share = f" of {number(row['total'])} steps is {number(row['planned'])}" if row["written"] < 1 else ""
        text = f"{row['hparam']}={number(row['written'])}{share}, but {peak}{beyond}"
        yield Finding(row["run_id"], "config_warm_up", "medium", row["metric"], row["max_step"], text)


def schedule(context: DetectionContext) -> Iterator[Finding]:
    """medium: the configuration names a schedule and the logged learning rate never changes, or names none and it does."""
    names = [n for n in hparam_columns(context.runs) if _is_schedule(n) and not context.runs[n].dtype.is_numeric()]
    table = _lr_series(context)
    for name in names:
        own = context.runs.select("run_id", kind=pl.col(name).cast(pl.String).str.to_lowercase()).drop_nulls()
        still = pl.col("min") == pl.col("max")
        fixed = pl.col("kind").str.contains("^(constant|none|fixed|off)$")
        moving = pl.col("kind").str.contains("cosine|linear|poly|step|exponential|inverse|onecycle|one_cycle")
        odd = own.join(table, on="run_id").filter((fixed & still.not_()) | (moving & still))
        for row in odd.sort("run_id").iter_rows(named=True):
            held = f"stays at {number(row['min'])} over {count_of(row['n'], 'point')}"
            moved = f"goes from {number(row['first'])} to {number(row['last'])}"
            text = f"{name}={row['kind']}, but {row['metric']} {held if row['min'] == row['max'] else moved}"
            yield Finding(row["run_id"], "config_schedule", "medium", row["metric"], row["first_step"], text)


def planned_length(context: DetectionContext) -> Iterator[Finding]:
    """medium: a run that is not known to have failed reached less than 90 % of its configured steps or epochs; low where the
    configuration has early stopping. Epochs are read from a metric ``epoch``."""
    stops = any(set(words(n)) & _EARLY for n in hparam_columns(context.runs))
    epochs = context.series.filter(pl.col("metric").str.to_lowercase().str.contains(r"(^|/)epoch$"))
    reached = context.series.group_by("run_id").agg(reached=pl.col("run_last").first().cast(pl.Float64))
    by_epoch = epochs.group_by("run_id").agg(reached=pl.col("max").max())
    ended = context.runs.filter(pl.col("status").is_in(_ENDED)).select("run_id")
    for unit, plans, table in (("steps", _STEP_PLANS, reached), ("epochs", _EPOCH_PLANS, by_epoch)):
        rows = _numbers(context, _named(plans)).join(table, on="run_id").join(ended, on="run_id", how="semi")
        short = rows.filter((pl.col("planned") > 1) & ((pl.col("reached") + 1) / pl.col("planned") < 0.9))
        for row in short.sort("run_id").iter_rows(named=True):
            text = f"{row['hparam']}={number(row['planned'])}, but the log ends at {number(row['reached'])} {unit}"
            last = int(row["reached"]) if unit == "steps" else None
            yield Finding(row["run_id"], "config_length", "low" if stops else "medium", "", last, text)


def samples_seen(context: DetectionContext) -> Iterator[Finding]:
    """medium: a number of training samples that grows is not a whole multiple of batch size times steps, by 2 % or more, neither
    with the configured accumulation and devices as factors nor without: a batch size may be that of one device or of all.
    """
    counted = context.series.filter(
        pl.col("metric").str.to_lowercase().str.contains(r"(^|[/_])(samples|examples)(_seen|_processed)?$")
        & pl.col("metric").str.to_lowercase().str.contains(_HELD_OUT).not_()
        & (pl.col("last") == pl.col("max")) & (pl.col("last") > pl.col("first")) & (pl.col("last_step") > 0)
    )  # fmt: skip
    size = _numbers(context, _named(_BATCH))
    if not counted.height or not size.height:
        return
    factors = _numbers(context, _named(_MULTIPLIERS)).group_by("run_id").agg(
        times=pl.col("planned").product()
    )  # fmt: skip
    table = (
        counted.join(size, on="run_id")
        .join(factors, on="run_id", how="left")
        .with_columns(pl.col("times").fill_null(1.0))
    )
    due = pl.col("planned") * pl.col("times") * pl.col("last_step")
    table = table.with_columns(ratio=pl.col("last") / due, due=due)
    near = _is_whole(pl.col("ratio")) | _is_whole(pl.col("ratio") * pl.col("times"))
    for row in table.filter(near.not_()).sort("run_id").iter_rows(named=True):
        text = (
            f"{row['hparam']}={number(row['planned'])} x {row['last_step']} steps = {number(row['due'])}, "
            f"but {row['metric']} is {number(row['last'])} ({row['ratio']:.3g} times)"
        )
        yield Finding(row["run_id"], "config_samples", "medium", row["metric"], row["last_step"], text)


def _is_whole(ratio: pl.Expr) -> pl.Expr:
    return (ratio - pl.max_horizontal(ratio.round(), 1)).abs() <= _OFF * pl.max_horizontal(ratio, 1)


def _named(names: frozenset[str]) -> Callable[[str], bool]:
    """Returns whether the last part of a hyperparameter's name is one of these."""
    return lambda hparam: hparam.lower().replace("warm_up", "warmup").split(".")[-1] in names


def _is_schedule(hparam: str) -> bool:
    parts = set(words(hparam))
    return bool(parts & {"scheduler", "schedule"}) and "beta" not in parts


def _numbers(context: DetectionContext, wanted: Callable[[str], bool]) -> pl.DataFrame:
    """Returns run_id, hparam, planned of the wanted numeric hyperparameter; without runs where several disagree."""
    names = [n for n in hparam_columns(context.runs) if wanted(n) and context.runs[n].dtype.is_numeric()]
    empty = pl.DataFrame(schema={"run_id": pl.String, "hparam": pl.String, "planned": pl.Float64})
    own = [context.runs.select("run_id", hparam=pl.lit(n), planned=pl.col(n).cast(pl.Float64)) for n in names]
    every = pl.concat([empty, *own]).drop_nulls("planned")
    return every.filter(pl.col("planned").n_unique().over("run_id") == 1).unique("run_id", keep="first")


def _lr_series(context: DetectionContext) -> pl.DataFrame:
    """Returns the logged learning rate of runs that log exactly one."""
    names = [m for m in context.series["metric"].unique().to_list() if _logs_lr(words(m))]
    own = context.series.filter(pl.col("metric").is_in(names) & (pl.col("n_finite") >= _LEAST))
    return own.filter(pl.len().over("run_id") == 1)


def _logs_lr(parts: Sequence[str]) -> bool:
    return "lr" in parts or {"learning", "rate"} <= set(parts)


def _with_lr(context: DetectionContext, planned: pl.DataFrame) -> pl.DataFrame:
    """Returns the logged learning rate of each run beside the planned one."""
    return planned.join(_lr_series(context), on="run_id")
