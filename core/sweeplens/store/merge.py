"""Updates the series frame from new points alone.

Counts are added, extremes compared, means and deviations merged exactly (Chan's formula). Only a series whose new points
repeat a step or go back is reduced again, from its own points.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA, SERIES_SCHEMA, concat_points

__all__ = ["continue_series", "sequenced", "splice"]

_KEY = ["run_id", "metric"]


def sequenced(points: pl.DataFrame, before: pl.DataFrame | None = None) -> pl.DataFrame:
    """Adds ``seq``, the position within the series, to points. ``before``: the series that they continue."""
    seq = pl.int_range(pl.len(), dtype=pl.UInt32).over(_KEY)
    if before is not None and before.height:
        points = points.join(before.select(*_KEY, "n_logged"), on=_KEY, how="left", maintain_order="left")
        seq = seq + pl.col("n_logged").fill_null(0).cast(pl.UInt32)
    return points.with_columns(seq.alias("seq")).select(*POINTS_SCHEMA)


def continue_series(
    old: pl.DataFrame, new_points: pl.DataFrame, fetch: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Returns the rows of all series with new points. ``fetch`` returns the earlier points of some (run_id, metric)."""
    new = reduce_series(new_points)
    both = new.join(old, on=_KEY, how="left", suffix="_old")
    again = both.filter(
        pl.col("n_old").is_not_null()
        & (
            (pl.col("first_step") <= pl.col("last_step_old"))
            | (pl.col("n") < pl.col("n_logged"))
            | (pl.col("rewinds") > 0)
        )
    ).select(_KEY)
    merged = both.join(again, on=_KEY, how="anti")
    rows = [_merged(merged)]
    if again.height:
        mine = new_points.join(again, on=_KEY, how="semi", maintain_order="left")
        rows.append(reduce_series(concat_points([fetch(again), mine])))
    return pl.concat(rows)


def _merged(both: pl.DataFrame) -> pl.DataFrame:
    """Merges new rows with the old values beside them (``_old``; null for a new series)."""
    was = pl.col("n_old").is_not_null()
    summed = ("n", "n_logged", "n_nan", "n_inf", "rewinds")
    kept_first = ("first_step", "first", "first_nonfinite_step")
    chosen = {c: pl.coalesce(f"{c}_old", c) for c in kept_first}
    chosen |= {c: pl.col(c) + pl.col(f"{c}_old").fill_null(0) for c in summed}
    chosen |= {c: pl.coalesce(c, f"{c}_old") for c in ("last_finite", "last_finite_step")}
    chosen |= _extreme("min", pl.col("min") < pl.col("min_old")) | _extreme("max", pl.col("max") > pl.col("max_old"))
    chosen |= {"first": pl.when(was).then("first_old").otherwise("first")}
    counts = both.with_columns(
        _a=(pl.col("n_old") - pl.col("n_nan_old") - pl.col("n_inf_old")).fill_null(0).cast(pl.Float64),
        _b=(pl.col("n") - pl.col("n_nan") - pl.col("n_inf")).cast(pl.Float64),
    )
    return counts.select(*_KEY, *(e.alias(c) for c, e in (chosen | _moments() | _ends()).items())).select(
        *SERIES_SCHEMA
    )


def _ends() -> dict[str, pl.Expr]:
    return {"last_step": pl.col("last_step"), "last": pl.col("last")}


def _extreme(name: str, better: pl.Expr) -> dict[str, pl.Expr]:
    """Returns an extreme and its step: the new one if it is better or the only one, else the old one."""
    new = better.fill_null(value=False) | pl.col(f"{name}_old").is_null()
    return {c: pl.when(new).then(c).otherwise(f"{c}_old") for c in (name, f"{name}_step")}


def _moments() -> dict[str, pl.Expr]:
    """Returns mean and deviation of both parts together, from those of each part."""
    a, b = pl.col("_a"), pl.col("_b")
    n = a + b
    mean_a, mean_b = pl.col("mean_old").fill_null(0.0), pl.col("mean").fill_null(0.0)
    delta = mean_b - mean_a
    squares = (
        pl.col("std_old").fill_null(0.0).pow(2) * (a - 1)
        + pl.col("std").fill_null(0.0).pow(2) * (b - 1)
        + delta.pow(2) * a * b / n
    )
    one = pl.when(a == 0).then("mean").when(b == 0).then("mean_old").otherwise(mean_a + delta * b / n)
    spread = pl.when(a == 0).then("std").when(b == 0).then("std_old").otherwise((squares / (n - 1)).sqrt())
    return {"mean": one, "std": spread}


def splice(frame: pl.DataFrame, dropped: set[str], rows: pl.DataFrame) -> pl.DataFrame:
    """Removes the rows of ``dropped`` runs from a sorted frame, and adds ``rows`` or replaces those of the same key.

    Few runs are replaced by slicing, which costs nothing for the rest; for many, the frame is sorted again.
    """
    keys = _KEY if "metric" in frame.columns else ["run_id"]
    runs = sorted(dropped | set(rows["run_id"].unique().to_list()))
    if len(runs) > 64 or not frame.height:
        left = frame.filter(pl.col("run_id").is_in(list(dropped)).not_()) if dropped else frame
        return pl.concat([left.join(rows, on=keys, how="anti"), rows]).sort(keys)
    at, pieces = 0, list[pl.DataFrame]()
    ids = frame["run_id"]
    for run in runs:
        begin, end = int(ids.search_sorted(run, "left")), int(ids.search_sorted(run, "right"))
        mine = rows.filter(pl.col("run_id") == run)
        kept = frame.slice(begin, end - begin).join(mine, on=keys, how="anti") if run not in dropped else frame.clear()
        pieces += [frame.slice(at, begin - at), pl.concat([kept, mine]).sort(keys)]
        at = end
    pieces.append(frame.slice(at))
    whole = pl.concat([p for p in pieces if p.height] or [frame.clear()])
    return whole.rechunk() if whole.n_chunks() > 100 else whole
