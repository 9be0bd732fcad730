"""Compares the configuration with what was logged: learning rate, schedule, length, and samples (`warm_up`: the warm-up).

Works on columns of the runs and series frames; only rows of findings are handled one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.rungs import rungs_of
from sweeplens.analyses.triage.config_plans import (
    ACCUMULATION,
    BATCH,
    DEVICES,
    EPOCH_PLANS,
    STEP_PLANS,
    every_number,
    factor_of,
    lr_series,
    named,
    planned_numbers,
)
from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import words
from sweeplens.analyses.triage.step_units import step_units
from sweeplens.analyses.triage.warm_up import has_warm_up
from sweeplens.counting import count_of
from sweeplens.frames.schemas import hparam_columns

__all__ = ["learning_rate", "planned_length", "samples_seen", "schedule"]

_OFF = 0.02  # smallest relative difference that counts
_ENDED = ("finished", "unknown")
_REACHED = 0.9  # share of a planned length that counts as reached
_SEVERAL = 3  # runs that differ from their plan by the same factor
_EARLY = frozenset("patience early stopping".split())
_MILESTONES = frozenset("milestones milestone boundaries".split())
_DROPS = (("step", "size"), ("decay", "epochs"), ("decay", "steps"), ("lr", "drop"), ("decay", "every"))
_HELD_OUT = r"(^|[/_.])(test|val|valid|validation|eval|evaluation|dev|heldout|holdout)([/_.]|$)"
_LR_NAMES = frozenset("lr learning_rate max_lr peak_lr base_lr".split())


def learning_rate(context: DetectionContext) -> Iterator[Finding]:
    """The highest logged learning rate is not the configured one, by 2 % or more, and by more than it can fall between two logs.

    medium: in this run, but not by the same factor in all runs. low: by the same factor in all runs that have both, as where it
    is scaled by the batch or the number of devices on purpose. Where the log begins after the peak, as that of a resumed run does,
    a lower rate is no finding.
    """
    table = _with_lr(context, planned_numbers(context, named(_LR_NAMES)))
    if not table.height:
        return
    table = table.filter(pl.col("planned") > 0).with_columns(
        factor=pl.col("max") / pl.col("planned"), unseen=_unseen(), late=_begins_late()
    )
    off = ((table["factor"] - 1).abs() > _OFF) & (
        (1 - table["factor"] > table["unseen"] + _OFF) & table["late"].not_() | (table["factor"] > 1)
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


def _begins_late() -> pl.Expr:
    """Returns whether a rate falls from the first log on, which lies more than two intervals of logging behind step 0."""
    interval = (pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1)
    falls = (pl.col("max_step") == pl.col("first_step")) & (pl.col("last_finite") < pl.col("max"))
    return falls & (pl.col("first_step") > 2 * interval)


def _unseen() -> pl.Expr:
    """Returns by how much of the plan the peak may lie above the highest logged value: what is lost from there to the end, in the
    interval of logging (or the steps before the first log, where that is the highest).
    """
    interval = (pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1)
    before = pl.when(pl.col("max_step") == pl.col("first_step")).then(pl.col("first_step")).otherwise(0)
    slope = (pl.col("max") - pl.col("last_finite")) / (pl.col("last_step") - pl.col("max_step"))
    lost = slope * pl.max_horizontal(interval, before) / pl.col("planned")
    return pl.when(lost.is_finite()).then(lost).otherwise(0.0)


def schedule(context: DetectionContext) -> Iterator[Finding]:
    """medium: the configuration names a schedule and the logged learning rate never changes, or names none and it does.

    A rate that rises during a warm-up may stay constant afterwards; one that falls in steps stays until the first of them, so
    it must have been reached.
    """
    names = [n for n in hparam_columns(context.runs) if _is_schedule(n) and not context.runs[n].dtype.is_numeric()]
    table = lr_series(context) if names else context.series.head(0)
    if not table.height:
        return
    warm, early = has_warm_up(context), _before_first_drop(context)
    for name in names:
        own = context.runs.select("run_id", kind=pl.col(name).cast(pl.String).str.to_lowercase()).drop_nulls()
        still = pl.col("min") == pl.col("max")
        fixed = pl.col("kind").str.contains("^(constant|none|fixed|off)$") & pl.col("run_id").is_in(warm).not_()
        moving = pl.col("kind").str.contains("cosine|linear|poly|step|exponential|inverse|onecycle|one_cycle")
        waits = pl.col("kind").str.contains("step") & pl.col("run_id").is_in(early)
        odd = own.join(table, on="run_id").filter((fixed & still.not_()) | (moving & still & waits.not_()))
        for row in odd.sort("run_id").iter_rows(named=True):
            held = f"stays at {number(row['min'])} over {count_of(row['n'], 'point')}"
            moved = f"goes from {number(row['first'])} to {number(row['last'])}"
            text = f"{name}={row['kind']}, but {row['metric']} {held if row['min'] == row['max'] else moved}"
            yield Finding(row["run_id"], "config_schedule", "medium", row["metric"], row["first_step"], text)


def _before_first_drop(context: DetectionContext) -> list[str]:
    """Returns the runs that may have ended before the first drop of a rate that falls in steps, whichever unit it is in.

    Lists of milestones are no numbers, so that the first of them is unknown: such runs are among them.
    """
    listed = [n for n in hparam_columns(context.runs) if set(words(n)) & _MILESTONES]
    known = [pl.col(n).is_not_null() for n in listed if not context.runs[n].dtype.is_numeric()]
    unknown = context.runs.filter(pl.any_horizontal(known))["run_id"].to_list() if known else []
    drops = every_number(context, lambda n: bool(set(words(n)) & _MILESTONES) or words(n)[-2:] in _DROPS)
    if not drops.height:
        return unknown
    lasts = context.series.group_by("run_id").agg(end=pl.col("run_last").first())
    units = step_units(context).filter(pl.col("unit").is_in(["steps", "epochs"]))
    due = drops.join(units, on="run_id").join(lasts, on="run_id").filter(
        pl.col("planned") * pl.col("per") >= pl.col("end")
    )  # fmt: skip
    return [*unknown, *due["run_id"].unique().to_list()]


def planned_length(context: DetectionContext) -> Iterator[Finding]:
    """A run that is not known to have failed reached less than 90 % of each of its configured lengths, in steps or epochs, in every
    unit that the logged step may have. Epochs are read from a metric ``epoch``. Runs that end on the rungs of a search have none.

    medium: in this run. low: the configuration has early stopping, or all runs (three or more) reached the same share.
    """
    stops = any(set(words(n)) & _EARLY for n in hparam_columns(context.runs))
    table = _reached(context)
    if not table.height or rungs_of(context.runs, context.series) is not None:
        return
    share = (pl.col("reached") + 1) / pl.col("planned")
    table = table.with_columns(share=share).sort("run_id", "share", "unit", descending=[False, True, True])
    table = table.unique("run_id", keep="first", maintain_order=True)
    short = table.filter(pl.col("share") < _REACHED)
    shares = table["share"]
    lowest, highest = shares.min(), shares.max()
    alike = isinstance(lowest, float) and isinstance(highest, float) and highest <= lowest * (1 + _OFF)
    alike = alike and table.height >= _SEVERAL
    for row in short.iter_rows(named=True):
        text = f"{row['hparam']}={number(row['planned'])}, but the log ends at {number(row['reached'])} {row['unit']}"
        text += f", the same share in all {table.height} runs" * alike
        last = int(row["reached"]) if row["unit"] == "steps" else None
        yield Finding(row["run_id"], "config_length", "low" if stops or alike else "medium", "", last, text)


def _reached(context: DetectionContext) -> pl.DataFrame:
    """Returns run_id, unit, hparam, planned, reached: a row for each configured length and way to count it, of runs that ended."""
    ended = context.runs.filter(pl.col("status").is_in(_ENDED)).select("run_id")
    steps = planned_numbers(context, named(STEP_PLANS)).join(ended, on="run_id", how="semi")
    epochs = planned_numbers(context, named(EPOCH_PLANS)).join(ended, on="run_id", how="semi")
    if not steps.height and not epochs.height:
        return steps
    lasts = context.series.group_by("run_id").agg(end=pl.col("run_last").first().cast(pl.Float64))
    ways = step_units(context).filter(pl.col("unit") == "steps").join(lasts, on="run_id")
    by_step = ways.select("run_id", unit=pl.lit("steps"), reached=pl.col("end") / pl.col("per"))
    logged = context.series.filter(pl.col("metric").str.to_lowercase().str.contains(r"(^|/)epoch$"))
    by_epoch = logged.group_by("run_id").agg(unit=pl.lit("epochs"), reached=pl.col("max").max())
    parts = [plans.join(table, on="run_id") for plans, table in ((steps, by_step), (epochs, by_epoch))]
    columns = ["run_id", "unit", "hparam", "planned", "reached"]
    return pl.concat([p.select(columns) for p in parts]).filter(pl.col("planned") > 1)


def samples_seen(context: DetectionContext) -> Iterator[Finding]:
    """A number of training samples that grows is not a whole multiple of batch size times steps, by 2 % or more, neither with the
    configured accumulation and devices as factors nor without, in any unit that the logged step may have; the last batch of an
    epoch may be smaller. A batch size may be that of one device or of all.

    medium: in this run. low: by the same factor in all runs (three or more).
    """
    counted = context.series.filter(
        pl.col("metric").str.to_lowercase().str.contains(r"(^|[/_])(samples|examples)(_seen|_processed)?$")
        & pl.col("metric").str.to_lowercase().str.contains(_HELD_OUT).not_()
        & (pl.col("last") == pl.col("max")) & (pl.col("last") > pl.col("first")) & (pl.col("last_step") > 0)
    )  # fmt: skip
    size = planned_numbers(context, named(BATCH))
    if not counted.height or not size.height:
        return
    table = _due(context, counted.join(size, on="run_id"))
    whole = table.filter(pl.col("near").any().over("run_id", "metric").not_())
    odd = whole.unique(["run_id", "metric"], keep="first", maintain_order=True).sort("run_id")
    factors = odd["ratio"]
    lowest, highest = factors.min(), factors.max()
    alike = isinstance(lowest, float) and isinstance(highest, float) and highest <= lowest * (1 + _OFF)
    alike = alike and odd.height >= _SEVERAL and odd["run_id"].n_unique() == table["run_id"].n_unique()
    for row in odd.iter_rows(named=True):
        text = (
            f"{row['hparam']}={number(row['planned'])} x {number(row['steps'])} steps = {number(row['due'])}, "
            f"but {row['metric']} is {number(row['last'])} ({row['ratio']:.3g} times)"
        )
        severity = "low" if alike else "medium"
        yield Finding(row["run_id"], "config_samples", severity, row["metric"], row["last_step"], text)


def _due(context: DetectionContext, table: pl.DataFrame) -> pl.DataFrame:
    """Returns the counters with the samples that are due by each way to count steps, and whether the counter is ``near`` them."""
    units = step_units(context)
    lengths = units.filter(pl.col("unit") == "epochs").group_by("run_id").agg(epoch=pl.col("per").min())
    table = table.join(factor_of(context, ACCUMULATION | DEVICES, "times"), on="run_id", how="left")
    ways = units.filter(pl.col("unit") == "steps").select("run_id", "per")
    table = table.join(ways, on="run_id").join(lengths, on="run_id", how="left")
    table = table.with_columns(pl.col("times").fill_null(1.0), steps=pl.col("last_step") / pl.col("per"))
    due = pl.col("planned") * pl.col("times") * pl.col("steps")
    table = table.with_columns(ratio=pl.col("last") / due, due=due)
    ratio = pl.col("ratio")
    later = ratio * pl.col("steps") / (pl.col("steps") + 1)  # steps counted from 0
    whole = [_is_whole(r) | _is_whole(r * pl.col("times")) for r in (ratio, later)]
    last_batch = (ratio < 1) & ((1 - ratio) * pl.col("epoch") / pl.col("per") <= 1)
    return table.with_columns(near=pl.any_horizontal(*whole, last_batch.fill_null(value=False)))


def _is_whole(ratio: pl.Expr) -> pl.Expr:
    return (ratio - pl.max_horizontal(ratio.round(), 1)).abs() <= _OFF * pl.max_horizontal(ratio, 1)


def _is_schedule(hparam: str) -> bool:
    parts = set(words(hparam))
    return bool(parts & {"scheduler", "schedule"}) and "beta" not in parts


def _with_lr(context: DetectionContext, planned: pl.DataFrame) -> pl.DataFrame:
    """Returns the logged learning rate of each run beside the planned one."""
    return planned.join(lr_series(context), on="run_id")
