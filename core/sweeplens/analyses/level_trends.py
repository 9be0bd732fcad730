"""The trend of a matched difference over a numeric hyperparameter, as where an effect shrinks with the size of a model.

    trend_notes    a sentence for each hyperparameter over which the difference surely rises or falls

The differences of strata are fitted by a line, weighted as the pooled difference weights them. The test of its slope has one degree
of freedom above, so that it sees what the test that levels disagree at all may miss. Its error is the spread of runs, or, without
repetitions, that of the differences about the line. Levels that span a factor of 8 or more count on a log scale. P values are
corrected over the hyperparameters (Holm).
"""

from __future__ import annotations

import math

import polars as pl
from msgspec import Struct

from sweeplens.analyses.matching import Matching
from sweeplens.analyses.pooled_difference import PooledDifference
from sweeplens.analyses.statistics import ALPHA, holm, t_tail

__all__ = ["trend_notes"]

_FEWEST = 3  # levels
_LOG = 8  # factor between the largest and the smallest level
_TOLD = 5  # levels of which all differences are told
_X = "x."  # no hyperparameter has this name


class _Trend(Struct, frozen=True):
    """The slope over one hyperparameter: its sign, its p, and the difference at each level."""

    hparam: str
    rises: bool
    p: float
    levels: tuple[tuple[float, float], ...]

    def text(self, p: float) -> str:
        """Returns the sentence, with the corrected p."""
        told = [f"{difference:+.3g} at {level:g}" for level, difference in self.levels]
        shown = ", ".join(told) if len(told) <= _TOLD else f"{told[0]}, {told[1]} ... {told[-1]}"
        word = "grows" if self.rises else "falls"
        return f"Trend: the difference a - b {word} with {self.hparam}: {shown} (p {p:.2g}, slope of a weighted line)."


def trend_notes(pooled: PooledDifference, matching: Matching) -> tuple[str, ...]:
    """Returns a sentence for each numeric matched hyperparameter of three levels or more with a trend (p below 5 %)."""
    strata = pooled.every.filter("pooled").join(matching.numbers, on="stratum", maintain_order="left")
    seen: set[tuple[float, ...]] = set()
    found: list[_Trend] = []
    for name in matching.numbers.columns[1:]:
        known = strata.drop_nulls(name)
        ranks = tuple(known[name].rank("dense").to_list())
        if known[name].n_unique() < _FEWEST or ranks in seen:
            continue  # another one with the same order of levels is tested
        seen.add(ranks)
        trend = _trend(known.with_columns(pl.col(name).cast(pl.Float64).alias(_X)), name, pooled)
        found += [trend] if trend else []
    corrected = zip(found, holm([t.p for t in found]), strict=True)
    return tuple(t.text(p) for t, p in corrected if p is not None and p < ALPHA)


def _trend(strata: pl.DataFrame, name: str, pooled: PooledDifference) -> _Trend | None:
    """Returns the trend over ``x.``; None where its error is unknown. ``strata``: difference, w and x. of each."""
    low, high = float(strata[_X].min()), float(strata[_X].max())  # type: ignore[arg-type]
    x = strata[_X].log() if low > 0 and high >= _LOG * low else strata[_X]
    w, d = strata["w"] / strata["w"].sum(), strata["difference"]
    x, centred = x - (w * x).sum(), d - (w * d).sum()
    spread = float((strata["w"] * x * x).sum())
    slope = float((strata["w"] * x * centred).sum()) / spread
    sd, df = pooled.sd, pooled.test.df
    if not pooled.repeated:
        df = strata.height - 2
        sd = math.sqrt(float((strata["w"] * (centred - slope * x) ** 2).sum()) / df)
    if not sd:
        return None
    share = pl.col("w") / pl.col("w").sum()
    levels = strata.group_by(_X).agg((share * pl.col("difference")).sum()).sort(_X)
    return _Trend(
        name.removeprefix("hparam."), slope > 0, t_tail(slope * math.sqrt(spread) / sd, df), tuple(levels.rows())
    )
