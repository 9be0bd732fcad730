"""The standard error of a difference that is pooled over strata, or over folds within strata.

error_over_strata   from the spread within stratum and side, by pairs of seeds if these correlate; without repetitions, from
                    the spread of the strata's differences
error_over_folds    from all that side, stratum and fold leave unexplained
share_of_variance   the variance of one side's part of the difference, in variances of a run
"""

from __future__ import annotations

import math

import polars as pl
from msgspec import Struct

from sweeplens.analyses.statistics import f_tail, pairing_increases_power

__all__ = ["BlockedError", "error_over_folds", "error_over_strata", "share_of_variance", "within"]

_DOUBT = 0.25  # p of a preliminary test, below which folds or sides count as unequal
_FEWEST = 2  # degrees of freedom of the spread of differences alone


class BlockedError(Struct, frozen=True):
    """The error of the pooled difference, its degrees of freedom, the spread of a run, and whether pairs of seeds gave it."""

    error: float
    df: float
    sd: float
    seeds: bool = False


def error_over_strata(rows: pl.DataFrame, cells: pl.DataFrame, strata: pl.DataFrame, *, once: bool) -> BlockedError:
    """Returns the error where strata are the blocks. ``cells``: the strata as blocks; ``once``: seeds are once in each."""
    spread = within(strata)
    paired = _by_seed(rows, strata.height) if once else None
    if paired is not None:
        return paired
    if spread is not None:
        return BlockedError(*_welch_over_strata(rows, cells, spread), spread[0])
    if strata.height < 2:
        return BlockedError(0.0, 0.0, 0.0)
    total = float(strata["w"].sum())
    square = _between(strata, strata) / (strata.height - 1)
    return BlockedError(math.sqrt(square / total), strata.height - 1, math.sqrt(square))


def error_over_folds(rows: pl.DataFrame, cells: pl.DataFrame, strata: pl.DataFrame, *, once: bool) -> BlockedError:
    """Returns the error of the linear model with a term for each side in a stratum and each fold; by pairs of seeds within folds if
    these correlate.

    Where the differences of folds vary more than runs of one fold and side do (F test, p below 25 %), as when an effect depends on
    the fold or one side is wilder, only the spread of the differences counts.
    """
    paired = _by_seed(rows, strata.height) if once else None
    if paired is not None:
        return paired
    apart, df_apart = _between(cells, strata, "stratum"), cells.height - strata.height
    sd, df = within(cells) or (0.0, 0)
    if df and not _is_wild(apart, df_apart, sd, df):
        apart, df_apart = apart + sd * sd * df, df_apart + df
    if not df_apart:
        return BlockedError(0.0, 0.0, 0.0)
    square = apart / df_apart
    shares = sum(share_of_variance(rows, cells, side) for side in "ab")
    distinct = rows["copy"].n_unique() / sum(int(cells[f"distinct_{s}"].sum()) for s in "ab")
    return BlockedError(math.sqrt(square * shares), max(df_apart * distinct, 1.0), math.sqrt(square))


def _is_wild(apart: float, df_apart: int, sd: float, df: int) -> bool:
    """Whether differences of folds surely vary more than runs of one fold and side."""
    if df_apart < _FEWEST or not apart:
        return False
    return not sd or f_tail(apart / df_apart / sd**2, df_apart, df) < _DOUBT


def _between(cells: pl.DataFrame, strata: pl.DataFrame, of: str = "") -> float:
    """Returns the weighted squares of the differences of cells about that of their stratum, or (without ``of``) about the mean."""
    if not of:
        centre = float((strata["w"] * strata["difference"]).sum()) / float(strata["w"].sum())
        return float((cells["w"] * (cells["difference"] - centre) ** 2).sum())
    centred = cells.join(strata.select("stratum", centre="difference"), on="stratum", maintain_order="left")
    return float((centred["w"] * (centred["difference"] - centred["centre"]) ** 2).sum())


def within(cells: pl.DataFrame) -> tuple[float, int] | None:
    """Returns the pooled standard deviation within cell and side, and its degrees of freedom; copies count as one run."""
    df = int(sum((cells[f"distinct_{s}"] - 1).sum() for s in "ab"))
    if not df:
        return None
    squares = sum(float(((cells[f"distinct_{s}"] - 1) * cells[f"var_{s}"].fill_null(0.0)).sum()) for s in "ab")
    return math.sqrt(squares / df), df


def _welch_over_strata(rows: pl.DataFrame, cells: pl.DataFrame, spread: tuple[float, int]) -> tuple[float, float]:
    """Returns error and degrees of freedom (Satterthwaite) from each side's spread, pooled over strata."""
    parts: list[tuple[float, float]] = []
    for s in "ab":
        df = int((cells[f"distinct_{s}"] - 1).sum())
        squares = float(((cells[f"distinct_{s}"] - 1) * cells[f"var_{s}"].fill_null(0.0)).sum())
        variance = squares / df if df else spread[0] ** 2
        own = rows.filter(pl.col("side") == s)
        distinct = own["copy"].n_unique() / int(cells[f"distinct_{s}"].sum())  # below 1: copies in other strata
        parts.append((variance * share_of_variance(rows, cells, s), max((df or spread[1]) * distinct, 1.0)))
    square = sum(v for v, _ in parts)
    below = sum(v * v / df for v, df in parts)
    return math.sqrt(square), square * square / below if below else 0.0


def share_of_variance(rows: pl.DataFrame, cells: pl.DataFrame, side: str) -> float:
    """Returns the variance of a side's part of the pooled difference, in variances of a run; copies count as one run."""
    n = pl.col(f"n_{side}").cast(pl.Float64)
    weights = cells.select("stratum", "block", n.alias("n"), each=pl.col("w") / pl.col("w").sum() / n)
    own = rows.filter(pl.col("side") == side)
    if own["copy"].n_unique() == own.height:  # then each run of a cell weighs the same
        return float((weights["n"] * weights["each"] ** 2).sum())
    own = own.join(weights, on=["stratum", "block"])
    return float((own.group_by("copy").agg(pl.col("each").sum())["each"] ** 2).sum())


def _by_seed(rows: pl.DataFrame, strata: int) -> BlockedError | None:
    """Returns the error by pairs of equal seeds within strata and blocks, if each run has a partner and residuals correlate.

    No seed occurs twice in a stratum, block and side. ``strata``: their number; each has a difference of its own.
    """
    if rows["copy"].n_unique() < rows.height:
        return None
    cell = ["stratum", "block"]
    a, b = (rows.filter(pl.col("side") == s).select(*cell, "seed", "value") for s in "ab")
    if a.height != b.height:
        return None
    wide = a.join(b, on=[*cell, "seed"], suffix="_b", maintain_order="left")
    if wide.height != a.height:
        return None
    centred = wide.select(
        *((pl.col(c) - pl.col(c).mean().over(cell)).alias(n) for c, n in (("value", "ra"), ("value_b", "rb")))
    )
    means = wide.select(cell).n_unique()
    if not pairing_increases_power(centred["ra"].to_numpy(), centred["rb"].to_numpy(), means)[0]:
        return None
    gaps = wide.select((pl.col("value") - pl.col("value_b")).alias("gap"), "stratum")
    squares = float(gaps.select(((pl.col("gap") - pl.col("gap").mean().over("stratum")) ** 2).sum()).item())
    df = wide.height - strata
    if df < 1 or not squares:
        return None
    sd = math.sqrt(squares / df)
    return BlockedError(sd / math.sqrt(wide.height), df, sd / math.sqrt(2), seeds=True)
