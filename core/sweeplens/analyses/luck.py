"""Warnings on biased reductions: the best of many or of noisy readings is too good by chance.

`reading_notes` warns where runs that are compared by their best reading took different numbers of readings, or fluctuate by
different amounts. `split_note` warns where a choice is made on test data although validation data are there.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sweeplens.engines.protocol import PointSource
from sweeplens.engines.reductions import Fluctuation
from sweeplens.frames.points import select_points, standing
from sweeplens.frames.reduction import rewound

__all__ = ["reading_notes", "split_note", "twin_on_test"]

_EXTREMES = ("best", "min", "max")
_MORE_READINGS = 1.2
_MORE_NOISE = 1.5
_NOTICEABLE = 0.1  # of the spread over runs


def reading_notes(
    how: str, series: pl.DataFrame, points: PointSource, values: pl.DataFrame, groups: pl.DataFrame
) -> list[str]:
    """Returns warnings for one metric. ``groups``: run_id and group, a number for each; ``values``: run_id and value."""
    if how not in _EXTREMES or series.height < 2:
        return []
    return [n for n in (_counts(how, series), _noise(how, series, points, values, groups)) if n]


def _counts(how: str, series: pl.DataFrame) -> str:
    counts = series["n"].drop_nulls().sort().to_list()
    few, many = counts[0], counts[-1]
    if many <= _MORE_READINGS * few:
        return ""
    return f"Runs hold {few} to {many} readings; {how} of more readings is more extreme by chance. last_tenth is not biased."


def _noise(how: str, series: pl.DataFrame, points: PointSource, values: pl.DataFrame, groups: pl.DataFrame) -> str:
    own = select_points(points, runs=series["run_id"].to_list(), metrics=series["metric"].unique().to_list())
    noise = standing(own, rewound(series)).reduce(Fluctuation()).join(groups, on="run_id")
    of_group = noise.group_by("group").agg(pl.col("noise").median())["noise"].drop_nulls().sort().to_list()
    spread = values["value"].std()
    if len(of_group) < 2 or not isinstance(spread, float):
        return ""
    least, most = of_group[0], of_group[-1]
    if most <= _MORE_NOISE * least or most < _NOTICEABLE * spread:
        return ""
    return (
        f"Readings fluctuate by {least:.3g} in one group and by {most:.3g} in another (standard deviation from step to step):"
        f" {how} rewards noise; last_tenth does not."
    )


def split_note(metric: str, known: Sequence[str]) -> str:
    """Returns a warning if a test metric is used to choose although its validation counterpart was logged."""
    twin = validation_twin(metric, known)
    if not twin:
        return ""
    return f"{metric} is measured on test data: choose by {twin}, then report {metric} of the chosen run (reduce=at_best:{twin})."


def validation_twin(metric: str, known: Sequence[str]) -> str:
    """Returns the validation counterpart of a test metric; empty if there is none."""
    lowered = {k.lower(): k for k in known}
    for test in ("test", "Test"):
        start = metric.find(test)
        if start < 0 or (start > 0 and metric[start - 1].isalpha()):
            continue
        for split in ("val", "valid", "validation", "eval", "dev"):
            twin = f"{metric[:start]}{split}{metric[start + 4 :]}".lower()
            if twin in lowered:
                return lowered[twin]
    return ""


def twin_on_test(metric: str, known: Sequence[str]) -> str:
    """Returns the test counterpart of a validation metric; empty if there is none."""
    return next((other for other in known if validation_twin(other, known) == metric), "")
