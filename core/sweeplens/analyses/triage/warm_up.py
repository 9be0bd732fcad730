"""Compares the configured warm-up of the learning rate, in whatever unit it is written, with the step at which the rate peaks."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.triage.config_plans import every_number, lr_series
from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import words
from sweeplens.analyses.triage.step_units import RUN, UNITS, step_units
from sweeplens.counting import count_of
from sweeplens.frames.schemas import hparam_columns

__all__ = ["has_warm_up", "warm_up", "warm_up_unit"]

_OFF = 0.1
_ALIKE = 0.02  # relative difference of peak to plan within which runs differ by the same factor
_ANY = "any"
_UNIT_WORDS = {
    "steps": "steps step iters iter iterations iteration updates update batches",
    "epochs": "epochs epoch",
    "tokens": "tokens token",
    "samples": "samples sample examples images",
    RUN: "ratio frac fraction proportion prop share",
    "percent": "pct percent percentage",
}
_UNIT_OF = {word: unit for unit, own in _UNIT_WORDS.items() for word in own.split()}
_BEFORE = frozenset("lr num n linear scheduler schedule optimizer learning rate cosine total".split())
_AFTER = frozenset("num n total length duration period".split())
_ONE_CYCLE = ("pct", "start")  # the share of a one-cycle schedule until its peak


def warm_up_unit(hparam: str) -> str:
    """Returns the unit of a warm-up by its name: ``any`` where the name has none; empty where the name is of no warm-up."""
    parts = hparam.lower().replace("warm_up", "warmup").split(".")
    if "warmup" in words(parts[-2] if len(parts) > 1 else "") and parts[-1] in _UNIT_OF:
        return _UNIT_OF[parts[-1]]
    own = words(parts[-1].replace("warmup", "_warmup_"))
    if own == _ONE_CYCLE:
        return RUN
    if "warmup" not in own:
        return ""
    at = own.index("warmup")
    before, after = own[:at], own[at + 1 :]
    told = [_UNIT_OF[w] for w in own if w in _UNIT_OF]
    plain = not set(before) - _BEFORE - set(_UNIT_OF) and not set(after) - _AFTER - set(_UNIT_OF)
    return ((told or [_ANY])[0]) * (plain and len(told) < 2)


def has_warm_up(context: DetectionContext) -> list[str]:
    """Returns the runs that have a warm-up above 0."""
    every = every_number(context, lambda n: bool(warm_up_unit(n)))
    return every.filter(pl.col("planned") > 0)["run_id"].unique().to_list()


def warm_up(context: DetectionContext) -> Iterator[Finding]:
    """The logged learning rate first peaks at another step than the configured warm-up ends, by a tenth of it and by two intervals
    of logging, in every unit that its name allows and that can be computed; or the warm-up is longer than the run.

    low: by the same factor in all runs that have both, before their end, as where the log counts in another unit. medium: else.
    """
    table = _peaks(context)
    if not table.height:
        return
    agrees = pl.col("away") <= pl.max_horizontal(_OFF * pl.col("due"), 2 * pl.col("gap"))
    unseen = (pl.col("max_step") == pl.col("first_step")) & (pl.col("due") <= pl.col("first_step"))
    judged = table.with_columns(fits=(agrees | unseen).any().over("run_id"))
    nearest = judged.sort("run_id", "away", "hparam").unique("run_id", keep="first", maintain_order=True)
    low = _same_factor(nearest)
    for row in nearest.filter(pl.col("fits").not_()).iter_rows(named=True):
        still_rising = row["max_step"] == row["run_last"] and row["due"] > row["run_last"]
        severity = "low" if low and not still_rising else "medium"
        yield Finding(row["run_id"], "config_warm_up", severity, row["metric"], row["max_step"], _text(row))


def _text(row: dict[str, object]) -> str:
    beyond = float(str(row["due"])) > float(str(row["run_last"]))
    end = f"; the run has {count_of(int(str(row['run_last'])), 'step')}" if beyond else ""
    due = number(float(str(row["due"])))
    if row["unit"] == RUN:
        total = float(str(row["due"])) / float(str(row["amount"]))
        meant = f" of {number(total)} steps is {due}"
    else:
        meant = "" if row["due"] == row["written"] else f" is step {due}"
    peak = f"{row['metric']} peaks at step {row['max_step']} ({number(float(str(row['max'])))})"
    return f"{row['hparam']}={number(float(str(row['written'])))}{meant}, but {peak}{end}"


def _peaks(context: DetectionContext) -> pl.DataFrame:
    """Returns a row for each run, warm-up and way to count it: where it is ``due`` to end, and how far ``away`` the peak is."""
    plans = _plans(context)
    if not plans.height:
        return plans
    table = plans.join(lr_series(context), on="run_id").join(step_units(context), on=["run_id", "unit"])
    return table.with_columns(due=pl.col("amount") * pl.col("per")).with_columns(
        away=(pl.col("max_step") - pl.col("due")).abs(),
        gap=(pl.col("last_step") - pl.col("first_step")) / (pl.col("n") - 1),
    )


def _plans(context: DetectionContext) -> pl.DataFrame:
    """Returns run_id, hparam, written, amount, unit: the warm-ups above 0, each in all units that it may be in."""
    plans = every_number(context, lambda n: bool(warm_up_unit(n))).filter(pl.col("planned") > 0)
    by_name = {n: warm_up_unit(n) for n in plans["hparam"].unique().to_list()}
    if not by_name:
        return plans
    plans = plans.with_columns(unit=pl.col("hparam").replace_strict(by_name, return_dtype=pl.String))
    share = pl.col("unit").is_in([RUN, "percent"])
    plans = plans.filter(
        share.not_() | share.all().over("run_id")
    )  # beside a length, a ratio is that of the first rate
    below_one = pl.col("planned") < 1
    amount = pl.when((pl.col("unit") == "percent") | (pl.col("unit") == RUN) & below_one.not_()).then(
        pl.col("planned") / 100
    )
    units = (
        pl.when(share | below_one & pl.col("unit").is_in(["steps", _ANY])).then(pl.lit([RUN]))
        .when(pl.col("unit") == _ANY).then(pl.lit(list(UNITS)))
        .when((pl.col("unit") == "steps") & pl.col("run_id").is_in(_by_epoch(context))).then(pl.lit(["steps", "epochs"]))
        .otherwise(pl.concat_list("unit"))
    )  # fmt: skip
    return plans.select(
        "run_id", "hparam", written="planned", amount=amount.fill_null(pl.col("planned")), unit=units
    ).explode("unit")


def _by_epoch(context: DetectionContext) -> list[str]:
    """Returns the runs whose configuration says that schedules count epochs (``by_epoch``, ``warmup_by_epoch``)."""
    names = [n for n in hparam_columns(context.runs) if words(n)[-2:] == ("by", "epoch")]
    told = [pl.col(n).cast(pl.String).str.to_lowercase() == "true" for n in names]
    return context.runs.filter(pl.any_horizontal(told))["run_id"].to_list() if told else []


def _same_factor(nearest: pl.DataFrame) -> bool:
    """Returns whether the peak lies at the same multiple of the written warm-up in all runs (two or more) that have both."""
    if (nearest["max_step"] <= nearest["first_step"]).any():  # falling from the start: no unit explains that
        return False
    factors = nearest["max_step"] / nearest["written"]
    low, high = factors.min(), factors.max()
    if nearest.height < 2 or not isinstance(low, float) or not isinstance(high, float):
        return False
    return high <= low * (1 + _ALIKE)
