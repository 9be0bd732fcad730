"""How long one unit (a step, an epoch, a token, a sample, the whole run) is on the axis of steps of each run.

Configurations count in units of their own: a warm-up of 5 may mean steps or epochs, and the logged step may count updates, epochs,
batches before accumulation, or samples. Each way that can be computed from the configuration or from a logged counter has a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.analyses.triage.config_plans import (
    ACCUMULATION,
    BATCH,
    DEVICES,
    ENVIRONMENTS,
    EPOCH_PLANS,
    EPOCH_SIZES,
    ROLLOUTS,
    SEQUENCES,
    STEP_PLANS,
    factor_of,
    named,
    planned_numbers,
)
from sweeplens.analyses.triage.context import DetectionContext
from sweeplens.readers.decoding.axis_names import EPOCHS, label_of

__all__ = ["RUN", "UNITS", "step_units"]

UNITS = ("steps", "epochs", "tokens", "samples")
RUN = "run"
"""The unit of shares: the whole run."""
_SCHEMA = {"run_id": pl.String(), "unit": pl.String(), "per": pl.Float64()}
_SAME = 0.02  # relative difference of a counter from the axis that counts as equal
_ENDED = ("finished", "unknown")
_QUANTITIES = {"tokens": ("token",), "samples": ("sample", "example", "image")}


def step_units(context: DetectionContext) -> pl.DataFrame:
    """Returns run_id, unit, per: the steps of the run's axis that one unit takes, a row for each way to compute it.

    A run has no row of a unit that cannot be computed, as of steps where the axis counts epochs of unknown length.
    """
    facts = _facts(context)
    counted = _counted(context)
    axis = counted.filter((pl.col("per") - 1).abs() <= _SAME, pl.col("unit") != "steps").select("run_id", axis="unit")
    facts = facts.join(axis.unique("run_id", keep="first", maintain_order=True), on="run_id", how="left")
    facts = facts.with_columns(axis=pl.coalesce("axis", pl.when(_ends_with_epochs()).then(pl.lit("epochs"))))
    parts = [counted, _steps(facts), _epochs(facts), _samples(facts)]
    units = pl.concat([p.cast(_SCHEMA) for p in parts])  # pyright: ignore[reportArgumentType]
    units = pl.concat([units, _whole(facts, units).cast(_SCHEMA)])  # pyright: ignore[reportArgumentType]
    return units.filter(pl.col("per").is_finite() & (pl.col("per") > 0)).unique(maintain_order=True)


def _facts(context: DetectionContext) -> pl.DataFrame:
    """Returns for each run its last step and the numbers of its configuration, null where there are none."""
    lasts = context.series.group_by("run_id").agg(end=pl.col("run_last").first().cast(pl.Float64))
    table = lasts.join(context.runs.select("run_id", ended=pl.col("status").is_in(_ENDED)), on="run_id")
    for column, names in (("total", STEP_PLANS), ("epochs", EPOCH_PLANS), ("size", EPOCH_SIZES), ("batch", BATCH)):
        plan = planned_numbers(context, named(names)).filter(pl.col("planned") > 0)
        table = table.join(plan.select("run_id", pl.col("planned").alias(column)), on="run_id", how="left")
    factors = (("accum", ACCUMULATION), ("devices", DEVICES), ("sequence", SEQUENCES), ("envs", ENVIRONMENTS))
    for column, names in (*factors, ("rollout", ROLLOUTS)):
        table = table.join(factor_of(context, names, column), on="run_id", how="left")
    return table


def _ends_with_epochs() -> pl.Expr:
    """Returns whether a run ends at its planned number of epochs, counted from 0 or 1, so that its axis counts epochs."""
    at_end = (pl.col("end") == pl.col("epochs")) | (pl.col("end") + 1 == pl.col("epochs"))
    return at_end & (pl.col("epochs") > 1) & (pl.col("total").is_null() | (pl.col("total") > pl.col("epochs")))


def _counted(context: DetectionContext) -> pl.DataFrame:
    """Returns the units that a logged counter shows, by its slope and by its end, counted from 0 or 1."""
    units = {m: unit for m in context.series["metric"].unique().to_list() if (unit := _unit(label_of(m)))}
    grows = (pl.col("last") == pl.col("max")) & (pl.col("first") == pl.col("min")) & (pl.col("last") > pl.col("first"))
    own = context.series.filter(pl.col("metric").is_in(list(units)), grows, pl.col("last_step") > pl.col("first_step"))
    if not own.height:
        return pl.DataFrame(schema=_SCHEMA)
    slope = (pl.col("last_step") - pl.col("first_step")) / (pl.col("last") - pl.col("first"))
    ways = pl.concat_list(slope, pl.col("last_step") / pl.col("last"), pl.col("last_step") / (pl.col("last") + 1))
    unit = pl.col("metric").replace_strict(units, return_dtype=pl.String)
    return own.select("run_id", unit=unit, per=ways).explode("per")


def _unit(label: str) -> str:
    """Returns the unit of a counter with this known name; empty where it is none."""
    if label in EPOCHS:
        return "epochs"
    quantity = next((unit for unit, parts in _QUANTITIES.items() if any(p in label for p in parts)), "")
    return quantity or ("steps" if any(p in label for p in ("step", "iter", "update")) else "")


def _rows(facts: pl.DataFrame, unit: str, ways: Sequence[pl.Expr]) -> pl.DataFrame:
    return facts.select("run_id", unit=pl.lit(unit), per=pl.concat_list(ways)).explode("per").drop_nulls("per")


def _in_steps(facts: pl.DataFrame) -> pl.DataFrame:
    return facts.filter(pl.col("axis").is_null())


def _steps(facts: pl.DataFrame) -> pl.DataFrame:
    """Returns the ways to count a step: as logged, before or after accumulation, by device, by environment, or within an epoch."""
    one = pl.lit(1.0)
    each = [one, pl.col("accum"), 1 / pl.col("accum"), 1 / pl.col("devices"), 1 / pl.col("envs")]
    rollout = 1 / (pl.col("envs") * pl.col("rollout"))
    by_epoch = facts.filter(pl.col("axis") == "epochs")
    within = [1 / pl.col("size"), pl.col("epochs") / pl.col("total")]
    return pl.concat([_rows(_in_steps(facts), "steps", [*each, rollout]), _rows(by_epoch, "steps", within)])


def _epochs(facts: pl.DataFrame) -> pl.DataFrame:
    """Returns the lengths of an epoch that the configuration implies."""
    own = _in_steps(facts)
    whole = pl.when("ended").then(pl.col("end") / pl.col("epochs"))
    planned = _rows(own, "epochs", [pl.col("size"), pl.col("total") / pl.col("epochs"), whole])
    return pl.concat([planned, _rows(facts.filter(pl.col("axis") == "epochs"), "epochs", [pl.lit(1.0)])])


def _samples(facts: pl.DataFrame) -> pl.DataFrame:
    """Returns the steps that one sample and one token take, with and without accumulation and devices as factors."""
    own = _in_steps(facts)
    several = pl.col("accum").fill_null(1.0) * pl.col("devices").fill_null(1.0)
    ways = [1 / pl.col("batch"), 1 / (pl.col("batch") * several)]
    tokens = [way / pl.col("sequence") for way in ways]
    return pl.concat([_rows(own, "samples", ways), _rows(own, "tokens", tokens)])


def _whole(facts: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Returns the length of the whole run: as planned in steps or in epochs of any known length, else its last step."""
    planned = [
        units.filter(pl.col("unit") == unit)
        .join(facts.select("run_id", plan=plan), on="run_id")
        .select("run_id", unit=pl.lit(RUN), per=pl.col("per") * pl.col("plan"))
        .drop_nulls("per")
        for unit, plan in (("steps", "total"), ("epochs", "epochs"))
    ]
    unplanned = facts.filter(pl.col("total").is_null() & pl.col("epochs").is_null())
    return pl.concat([*planned, unplanned.select("run_id", unit=pl.lit(RUN), per="end")])
