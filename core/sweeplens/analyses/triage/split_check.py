"""Finds test values that were measured on the validation data: equal to the last digit in some runs, as they are not in others."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sweeplens.analyses.triage.context import DetectionContext, Finding, number
from sweeplens.analyses.triage.pairs import SPLITS, words

__all__ = ["same_split"]

_TEST = frozenset({"test", "testing", "heldout", "holdout"})
_VALIDATION = frozenset({"val", "valid", "validation", "eval", "dev"})
_CHOICE = frozenset({"best", "final", "last", "max", "min"})  # words that say which value, not of what
_FEWEST, _MOST_SHARE = 2, 0.6
_DIGITS = 4  # of a value that cannot be equal by luck


def same_split(context: DetectionContext) -> Iterator[Finding]:
    """medium: the last value of a test metric is exactly the last or best one of its validation metric in two runs or more, with
    different values, and in at most 60 % of the runs that have both."""
    names = sorted(context.series["metric"].unique().to_list())
    for test in (n for n in names if _TEST & set(words(n))):
        twins = [n for n in names if _VALIDATION & set(words(n)) and _is_part(_measured(n), _measured(test))]
        if twins:
            yield from _equal(context, test, twins)


def _measured(metric: str) -> tuple[str, ...]:
    """Returns the words of a name that say what was measured."""
    return tuple(w for w in words(metric) if w not in SPLITS | _TEST | _CHOICE)


def _is_part(validation: tuple[str, ...], test: tuple[str, ...]) -> bool:
    """Whether the test may measure the same: ``wer`` on validation data, ``clean wer`` on one of several test sets."""
    return bool(validation) and validation[-1:] == test[-1:] and set(validation) <= set(test)


def _equal(context: DetectionContext, test: str, twins: list[str]) -> Iterator[Finding]:
    own = context.series.filter(pl.col("metric") == test).select("run_id", "last_step", value="last_finite")
    readings = context.series.filter(pl.col("metric").is_in(twins)).select(
        "run_id", twin="metric", reading=pl.concat_list("last_finite", "min", "max")
    )
    both = own.join(readings, on="run_id").filter(pl.col("value").is_finite())
    equal = both.filter(pl.col("reading").list.contains(pl.col("value")) & _is_long()).sort("run_id", "twin")
    equal = equal.unique("run_id", keep="first", maintain_order=True)
    runs = both["run_id"].n_unique()
    if equal.height < _FEWEST or equal["value"].n_unique() < _FEWEST or equal.height > _MOST_SHARE * runs:
        return
    for row in equal.iter_rows(named=True):
        text = (
            f"{number(row['value'])} is exactly a value of {row['twin']}, as in {equal.height} of {runs} runs: "
            "probably measured on the validation data"
        )
        yield Finding(row["run_id"], "same_split", "medium", test, row["last_step"], text)


def _is_long() -> pl.Expr:
    """Returns whether the value has digits enough that equality is no luck: 0.5 and 1.0 have not."""
    return pl.col("value") != pl.col("value").round_sig_figs(_DIGITS - 1)
