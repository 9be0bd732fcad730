"""Curves of groups: the mean over runs along an axis, with a 95 % interval and the number of runs at each point.

Runs of one group often log at different positions (one is resumed, another logs twice as often), so the axis is cut into
intervals as wide as the median distance between two points of a run, or wider to respect ``max_points``. Within an
interval each run counts once, by the mean of its finite values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from sweeplens.analyses.bounds import cut_at_bounds
from sweeplens.analyses.curves import MAX_POINTS, LocatedCurves
from sweeplens.analyses.statistics import t_quantile
from sweeplens.answers import Answer, Basis
from sweeplens.cancellation import checkpoint
from sweeplens.engines.reductions import AxisRange
from sweeplens.errors import InputError
from sweeplens.frames.grouping import free_names, group_hparams, keyed
from sweeplens.frames.points import in_batches

__all__ = ["MEAN_CURVE_COLUMNS", "mean_curves"]

_STATS = ("metric", "x", "n", "mean", "ci95_low", "ci95_high", "points_per_run")
MEAN_CURVE_COLUMNS = ("group", *_STATS)
"""The columns of the table of mean curves that are not hyperparameters."""
_TAKEN = (
    *MEAN_CURVE_COLUMNS,
    "run_id",
    "first",
    "last",
    "width",
    "stretch",
    "value",
    "finite",
    "var",
    "start",
    "n_runs",
)
_TINY = 1e-9
_BATCH_POINTS = 2_000_000
_CELLS = 1 << 20  # more stretches than any curve has
_NO_CELLS = pl.DataFrame(
    schema={"curve": pl.Int64, "stretch": pl.Int64, "x": pl.Float64, "value": pl.Float64, "points": pl.Int64}
)
_BY = ("group", "run", "all")


def mean_curves(
    runs: pl.DataFrame,
    series: pl.DataFrame,
    placed: LocatedCurves,
    *,
    by: str = "group",
    hparams: Sequence[str] = (),
    replicates: Sequence[str] = (),
    max_points: int | Callable[[int], int] = 100,
) -> Answer:
    """Returns group, hyperparameters, metric, x, n, mean, ci95_low, ci95_high, points_per_run, sorted by group, metric, x.

    ``by``: ``group`` (equal hyperparameters), ``run``, or ``all`` runs as one. Table ``groups`` has a row for each group and
    metric: the number of runs, and where they end. Raises InputError, UnknownNameError.
    """
    if by not in _BY:
        raise InputError(f"mean_curves takes by={' or '.join(map(repr, _BY))}, not {by!r}.")
    runs, keys = free_names(runs, _keys(runs, by, hparams, replicates), _TAKEN)
    member = _members(runs, ["run_id"] if by == "run" else keys)
    extents = _extents(series, placed)
    placed_runs = extents.join(member.select("run_id", "group"), on="run_id")
    most = max_points if isinstance(max_points, int) else max_points(placed_runs.select("group", "metric").n_unique())
    if not 2 <= most <= MAX_POINTS:
        raise InputError(f"max_points {most} is not between 2 and {MAX_POINTS}.")
    grid = _grid(placed_runs, most)
    table = cut_at_bounds(_means(placed, member, grid), series.join(placed.series, on=["run_id", "metric"], how="semi"))
    labels = member.select("group", *(["run_id"] if by == "run" else keys)).unique("group")
    order = ["group", *(c for c in labels.columns if c != "group"), *_STATS]
    table = table.join(labels, on="group").sort("group", "metric", "x").select(order)
    groups = grid.select("group", "metric", "n_runs", "first_end", "last_end").join(labels, on="group")
    basis = Basis(
        runs_used=extents["run_id"].n_unique(),
        left_out=placed.left_out,
        points=int(placed.series["finite"].sum()),
        sampling=_sampling(placed, grid, table),
    )
    return Answer(table, basis, _notes(placed), {"groups": groups.sort("group", "metric")})


def _keys(runs: pl.DataFrame, by: str, hparams: Sequence[str], replicates: Sequence[str]) -> list[str]:
    return group_hparams(runs, hparams, replicates) if by == "group" else []


def _members(runs: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Returns run_id, group (a number, in the order of the keys), and the keys."""
    table = runs.select("run_id") if list(keys) in ([], ["run_id"]) else keyed(runs, keys)
    if not keys:
        return table.with_columns(group=pl.lit(0, pl.UInt32))
    numbers = table.select(keys).unique().sort(keys, nulls_last=True).with_row_index("group")
    return table.join(numbers, on=list(keys), how="left", nulls_equal=True, maintain_order="left")


def _extents(series: pl.DataFrame, placed: LocatedCurves) -> pl.DataFrame:
    """Returns run_id, metric, first, last, n: the ends of each curve. Points are read only if the series frame is not enough."""
    known = series.join(placed.series.select("run_id", "metric"), on=["run_id", "metric"], how="semi")
    known = known.with_columns(sure=placed.lines.by_series_alone())
    if known["sure"].all():
        ends = (
            pl.col("first_step").cast(pl.Float64).alias("first"),
            pl.col("last_step").cast(pl.Float64).alias("last"),
        )
        return known.select("run_id", "metric", *ends, "n")
    return placed.lines.of(placed.series).reduce(AxisRange())


def _grid(extents: pl.DataFrame, max_points: int) -> pl.DataFrame:
    """Returns group, metric, start, width of an interval, n_runs, first_end and last_end."""
    between = ((pl.col("last") - pl.col("first")) / (pl.col("n") - 1)).filter(pl.col("n") > 1).median()
    grid = extents.group_by("group", "metric").agg(
        pl.col("first").min().alias("start"),
        (pl.col("last").max() - pl.col("first").min()).alias("span"),
        between.alias("between"),
        pl.len().alias("n_runs"),
        pl.col("last").min().alias("first_end"),
        pl.col("last").max().alias("last_end"),
    )
    least = pl.col("span") / (max_points - 1)
    whole = pl.col("between") * pl.max_horizontal(
        1.0, (least / pl.col("between") - _TINY).ceil()
    )  # equal numbers of points in each
    width = pl.when(pl.col("between") > 0).then(whole).otherwise(least)
    return grid.with_columns(width=pl.when(width > 0).then(width).otherwise(1.0))


def _means(placed: LocatedCurves, member: pl.DataFrame, grid: pl.DataFrame) -> pl.DataFrame:
    """Returns the means over runs, read in bounded memory. Sums have a fixed order, so results are reproducible."""
    curves = placed.series.join(member.select("run_id", "group"), on="run_id").join(grid, on=["group", "metric"])
    curves = curves.sort("run_id", "metric").with_row_index("curve")
    sizes = curves.select("run_id", n_logged="n")
    parts: list[pl.DataFrame] = []
    for ids in in_batches(curves["run_id"].unique(maintain_order=True).to_list(), sizes, _BATCH_POINTS):
        checkpoint()
        batch = curves.filter(pl.col("run_id").is_in(ids))
        parts.append(placed.lines.of(batch).bucket(batch))
    cells = pl.concat(parts) if parts else _NO_CELLS
    lines = curves.select("group", "metric").unique().sort("group", "metric").with_row_index("line")
    where = curves.join(lines, on=["group", "metric"]).select(pl.col("curve").cast(pl.Int64), "line")
    place = pl.col("line").cast(pl.Int64) * _CELLS + pl.col("stretch")
    ordered = cells.join(where, on="curve").sort(place * curves.height + pl.col("curve"))  # one number sorts fast
    value = pl.col("value")
    means = ordered.group_by("line", "stretch", maintain_order=True).agg(
        pl.col("x").mean(),
        pl.len().alias("n"),
        value.mean().alias("mean"),
        value.var().alias("var"),
        pl.col("points").mean().alias("points_per_run"),
    )
    return _with_interval(means.join(lines, on="line").drop("line"))


def _with_interval(means: pl.DataFrame) -> pl.DataFrame:
    quantiles = {n: t_quantile(n - 1) for n in means["n"].unique().to_list() if n > 1}
    factor = pl.col("n").replace_strict(quantiles, default=None, return_dtype=pl.Float64)
    half = (pl.col("var") / pl.col("n")).sqrt() * factor
    return means.with_columns(ci95_low=pl.col("mean") - half, ci95_high=pl.col("mean") + half)


def _sampling(placed: LocatedCurves, grid: pl.DataFrame, table: pl.DataFrame) -> str:
    longest = int(placed.series["n"].max() or 0)  # pyright: ignore[reportArgumentType]
    shown = table.group_by("group", "metric").len()["len"].max() if table.height else 0
    if not grid.height or longest <= int(shown or 0):  # pyright: ignore[reportArgumentType]
        return ""
    return f"curves of up to {longest} points a run are shown as means over at most {shown} intervals"


def _notes(placed: LocatedCurves) -> tuple[str, ...]:
    odd = int((placed.series["n"] - placed.series["finite"]).sum())
    note = f"{odd} non-finite values are excluded." if odd else ""
    return tuple(n for n in ("Mean over runs, 95 % interval (Student's t); each run counts once.", note) if n)
