"""Turns the columns of several files into points and series. Each name and group is looked up once.

Names of runs and metrics are Enums of exactly these names, in text order, so they stay numbers until they are shown.
Metrics with values in the same rows (those of training, those of validation) form one block without gaps. Runs whose steps
always rise in it, with finite values only, are reduced in one pass over all its metrics; other runs use
`frames.points.reduce_series`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import polars as pl
from msgspec import Struct

from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA, SERIES_SCHEMA, empty_points, empty_series
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.protocol import READING_SCHEMA

if TYPE_CHECKING:
    from sweeplens.readers.json.columns import JsonColumns

__all__ = ["logged", "reduced", "repeating"]

_MOST_METRICS = 100  # with more metrics, one frame for all is faster than a frame for each


def reduced(found: Sequence[JsonColumns], names: Sequence[Sequence[str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns points and series of all columns. ``names``: the run ids of their members. Names in points are Enums."""
    if not any(columns.metrics for columns in found):
        return empty_points(), empty_series()
    runs = pl.Enum(sorted(n for given in names for n in given))
    metrics = pl.Enum(sorted({m for columns in found for m in columns.metrics}))
    pieces: list[tuple[str, pl.DataFrame]] = []
    series = [empty_series()]
    for columns, given in zip(found, names, strict=True):
        ids = pl.Series("run_id", given, dtype=runs)
        if len(columns.metrics) > _MOST_METRICS:
            long = _unpivoted_points(columns, ids, metrics)
            pieces.append(("", long))
            series.append(reduce_series(long))
            continue
        for table in _without_gaps(columns.frame, columns.metrics):
            pieces += _points(table, ids, metrics)
            series += _series(table, ids)
    pieces.sort(key=itemgetter(0))
    points = pl.concat([frame for _, frame in pieces])
    return points if pieces[0][0] else points.sort("metric", maintain_order=True), pl.concat(series)


def logged(columns: JsonColumns, names: Sequence[str | None]) -> pl.DataFrame:
    """Returns the points of columns, as `Reading.points`. ``names``: the run ids of the members; those with None are left out."""
    if not columns.metrics:
        return empty_reading_points()
    index = [c for c in columns.frame.columns if c.startswith("\0")]
    long = columns.frame.lazy().unpivot(on=columns.metrics, index=index, variable_name="metric", value_name="value")
    wall = pl.col("\0wall") if "\0wall" in index else pl.lit(None, dtype=READING_SCHEMA["wall_time"])
    runs = pl.DataFrame({"\0run": range(len(names)), "run_id": names}, {"\0run": pl.UInt32, "run_id": pl.String}).lazy()
    mine = long.filter(pl.col("value").is_not_null()).join(runs, on="\0run", maintain_order="left")
    return (
        mine.filter(pl.col("run_id").is_not_null())
        .select("run_id", "metric", pl.col("\0step").alias("step"), "value", wall.alias("wall_time"))
        .collect()
    )


def repeating(columns: JsonColumns, metrics: Sequence[str]) -> set[int]:
    """Returns the members whose steps fall, or in which two successive values of one of these metrics have the same step."""
    frame = columns.frame
    same = pl.col("\0run").cast(pl.Int64).diff() == 0
    change = pl.col("\0step").diff()
    table = frame.lazy().select("\0run", falls=same & (change < 0), again=same & (change == 0)).collect()
    found = set(table.filter("falls")["\0run"].to_list())
    if not table["again"].any():
        return found
    doubtful = table.filter("again")["\0run"].unique().implode()
    part = frame.filter(pl.col("\0run").is_in(doubtful)) if len(doubtful[0]) < len(columns.members) else frame
    for group in _without_gaps(part, metrics):
        found |= _rewinding(group)
    return found


class _MetricBlock(Struct, frozen=True):
    """Metrics that have values in exactly the same rows, and these rows."""

    frame: pl.DataFrame
    metrics: list[str]


def _without_gaps(frame: pl.DataFrame, metrics: Sequence[str]) -> list[_MetricBlock]:
    """Groups metrics by the rows in which they have values; ``seq`` counts these rows in each run."""
    if metrics and not any(frame.null_count().row(0)):
        return [_MetricBlock(frame, list(metrics))]
    groups: list[tuple[pl.Series, list[str]]] = []
    for metric in metrics:
        present = frame[metric].is_not_null()
        alike = next((names for rows, names in groups if rows.equals(present)), None)
        if alike is None:
            groups.append((present, [metric]))
        else:
            alike.append(metric)
    common = [c for c in frame.columns if c.startswith("\0")]
    return [_MetricBlock(_only_rows(frame.select(*common, *names), present), names) for present, names in groups]


def _only_rows(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    if rows.all():
        return frame
    seq = pl.int_range(pl.len(), dtype=pl.UInt32).over("\0run").alias("\0seq")
    return frame.filter(rows).with_columns(seq, pl.col("\0run").set_sorted())


def _unpivoted_points(columns: JsonColumns, names: pl.Series, metrics: pl.Enum) -> pl.DataFrame:
    """Returns the points of very many metrics in one frame, which costs little for each metric."""
    frame = columns.frame
    index = [c for c in frame.columns if c.startswith("\0")]
    long = frame.unpivot(on=columns.metrics, index=index, variable_name="metric", value_name="value")
    long = long.filter(pl.col("value").is_not_null())
    wall = pl.col("\0wall") if "\0wall" in index else pl.lit(None, dtype=POINTS_SCHEMA["wall_time"])
    return long.select(
        names.gather(long["\0run"]).alias("run_id"),
        pl.col("metric").cast(metrics),
        pl.col("\0step").alias("step"),
        "value",
        wall.alias("wall_time"),
        pl.int_range(pl.len(), dtype=pl.UInt32).over("metric", "\0run").alias("seq"),
    ).select(*POINTS_SCHEMA)


def _points(table: _MetricBlock, names: pl.Series, metrics: pl.Enum) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yields each metric with its points. Metrics share their common columns, so these cost nothing."""
    frame, height = table.frame, table.frame.height
    no_time = pl.Series([None], dtype=POINTS_SCHEMA["wall_time"])
    run = names.gather(frame["\0run"]).alias("run_id")
    step, seq = frame["\0step"].alias("step"), frame["\0seq"].alias("seq")
    wall = frame["\0wall"] if "\0wall" in frame.columns else no_time.new_from_index(0, height)
    for metric in table.metrics:
        label = pl.Series("metric", [metric], dtype=metrics).new_from_index(0, height)
        value = frame[metric].alias("value")
        yield metric, pl.DataFrame([run, label, step, value, wall.alias("wall_time"), seq])


def _series(table: _MetricBlock, names: pl.Series) -> Iterator[pl.DataFrame]:
    """Yields the series of every metric."""
    simple = _simple_series(table.frame, table.metrics, names)
    places = {name: place for place, name in enumerate(names)}
    odd = simple.filter(pl.col("mean").is_finite().not_())["run_id"].unique()  # NaN and infinities leave no mean
    runs = {places[name] for name in odd} | _rewinding(table)
    if not runs:
        yield simple
        return
    yield _any_series(table.frame.filter(pl.col("\0run").is_in(list(runs))), table.metrics, names)
    yield simple.filter(pl.col("run_id").is_in([names[place] for place in runs]).not_())


def _any_series(frame: pl.DataFrame, metrics: Sequence[str], names: pl.Series) -> pl.DataFrame:
    """Reduces series of any kind."""
    index = ["\0run", "\0seq", "\0step"]
    long = frame.unpivot(on=metrics, index=index, variable_name="metric", value_name="value")
    ids = names.gather(long["\0run"]).alias("run_id")
    return reduce_series(long.select(ids, "metric", "value", step="\0step", seq="\0seq"))


def _simple_series(frame: pl.DataFrame, metrics: Sequence[str], names: pl.Series) -> pl.DataFrame:
    """Reduces all metrics in one pass; correct where every value is finite and steps always rise."""
    each = [how.name.prefix(f"{name}\0") for name, how in _of_all(pl.col(metrics)).items()]
    table = frame.lazy().group_by("\0run", maintain_order=True).agg(pl.len().alias("n"), *each).collect()
    steps, begin = frame["\0step"], table["n"].cum_sum() - table["n"]
    first, last = steps.gather(begin), steps.gather(begin + table["n"] - 1)

    def column(name: str) -> pl.Series:
        return pl.concat([table[f"{name}\0{m}"] for m in metrics])

    def repeated(values: pl.Series) -> pl.Series:
        return pl.concat([values] * len(metrics))

    found = {name: column(name) for name in ("first", "last", "min", "max", "mean", "std")}
    found |= {f"{end}_step": steps.gather(repeated(begin) + column(f"{end}_at")) for end in ("min", "max")}
    found |= {"n": repeated(table["n"]), "first_step": repeated(first), "last_step": repeated(last)}
    found |= {"last_finite": found["last"], "last_finite_step": found["last_step"], "n_logged": found["n"]}
    rest: dict[str, Any] = {"n_nan": 0, "n_inf": 0, "rewinds": 0, "first_nonfinite_step": None}
    run_ids = repeated(names.gather(table["\0run"]))
    labels = pl.Series([m for m in metrics for _ in range(table.height)], dtype=pl.String)
    return _as_series(pl.DataFrame({"run_id": run_ids, "metric": labels, **found}).with_columns(**rest))


def _of_all(value: pl.Expr) -> dict[str, pl.Expr]:
    unsigned = value + 0.0  # -0.0 and 0.0 are the same extreme
    return {
        "first": value.first(),
        "last": value.last(),
        "min": value.min(),
        "min_at": unsigned.arg_min(),
        "max": value.max(),
        "max_at": unsigned.arg_max(),
        "mean": value.mean(),
        "std": value.std(),
    }


def _as_series(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(pl.col(c).cast(t) for c, t in SERIES_SCHEMA.items())


def _rewinding(table: _MetricBlock) -> set[int]:
    """Returns the runs whose steps do not always rise."""
    step = pl.col("\0step").diff() <= 0
    same = pl.col("\0run").cast(pl.Int64).diff() == 0
    return set(table.frame.filter(step & same)["\0run"].to_list())
