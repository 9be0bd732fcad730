"""Functions from frames to frames: runs as tables, long metrics, groups, summaries, display names. No files, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from sweeplens.display import flat
from sweeplens.errors import InputError
from sweeplens.frames.grouping import NULL, free_names, keyed, varying_hparams
from sweeplens.frames.points import reduce_series
from sweeplens.frames.reduction import ReducedSeries, parse_reduce, reduce_runs
from sweeplens.frames.schemas import POINTS_SCHEMA, empty_points
from sweeplens.frames.selection import select_metrics
from sweeplens.frames.student_t import t_quantile
from sweeplens.models import Run
from sweeplens.store.runs_frame import column_name, typed_column

__all__ = [
    "NULL",
    "STATISTICS",
    "apply_display_names",
    "find_varying_hparams",
    "flat",
    "from_display_names",
    "group_by_hparams",
    "query_metrics",
    "runs_to_dataframe",
    "runs_to_metrics_df",
    "statistics_of",
    "summarize_by_hparams",
    "with_intervals",
]

_OWN = ("run_id", "null_hparams")


def runs_to_dataframe(runs: Sequence[Run]) -> pl.DataFrame:
    """Returns one row a run: ``run_id``, a column for each flattened hyperparameter (text as categoricals), ``metadata.*``."""
    flats = [{column_name(k, _OWN): v for k, v in r.hyperparameters.flatten().items()} for r in runs]
    names = dict.fromkeys(n for flat in flats for n in flat)
    extras = dict.fromkeys(n for r in runs for n in r.metadata)
    nulls = [[n for n, v in flat.items() if v is None] for flat in flats]
    return pl.DataFrame(
        [
            pl.Series("run_id", [r.run_id for r in runs], dtype=pl.String),
            *(typed_column(n, [flat.get(n) for flat in flats]) for n in names),
            *(typed_column(f"metadata.{n}", [r.metadata.get(n) for r in runs], categorical=False) for n in extras),
            pl.Series("null_hparams", nulls, dtype=pl.List(pl.String)),
        ]
    )


def runs_to_metrics_df(runs: Sequence[Run]) -> pl.DataFrame:
    """Returns metrics as long points; None in a list gives no row but keeps the index of later values."""
    rows = [
        (run.run_id, metric, run.steps[metric][i] if metric in run.steps else i, value, None, seq)
        for run in runs
        for metric, values in run.metrics.items()
        for seq, (i, value) in enumerate((i, v) for i, v in enumerate(values) if v is not None)
    ]
    return pl.DataFrame(rows, schema=POINTS_SCHEMA, orient="row") if rows else empty_points()


def find_varying_hparams(runs: pl.DataFrame) -> list[str]:
    """Returns the sorted names of hyperparameters with more than one value over these runs."""
    return sorted(varying_hparams(_complete(runs)))


def group_by_hparams(runs: pl.DataFrame, hparams: Sequence[str]) -> pl.DataFrame:
    """Returns the groups by these hyperparameters, with ``n_runs`` and ``run_ids``. Raises InputError for an empty list."""
    if not hparams:
        raise InputError(
            "group_by_hparams needs at least one hyperparameter: find_varying_hparams names those that vary."
        )
    table = keyed(_complete(runs), hparams)
    return (
        table.group_by(list(hparams), maintain_order=True)
        .agg(n_runs=pl.len(), run_ids=pl.col("run_id").sort())
        .sort(list(hparams))
    )


def query_metrics(
    points: pl.DataFrame,
    metric_filter: str | Sequence[str] | None = None,
    run_filter: Sequence[str] | None = None,
    step_range: tuple[int | None, int | None] | None = None,
) -> pl.DataFrame:
    """Returns points of metrics that match a name or regular expression, of these runs and steps (ends included)."""
    kept = points.lazy()
    if metric_filter is not None:
        patterns = [metric_filter] if isinstance(metric_filter, str) else list(metric_filter)
        kept = kept.filter(pl.col("metric").is_in(select_metrics(patterns, points["metric"].unique().sort().to_list())))
    if run_filter is not None:
        kept = kept.filter(pl.col("run_id").is_in(list(run_filter)))
    low, high = step_range or (None, None)
    if low is not None:
        kept = kept.filter(pl.col("step") >= low)
    if high is not None:
        kept = kept.filter(pl.col("step") <= high)
    return kept.collect()


def summarize_by_hparams(
    runs: pl.DataFrame,
    metrics: pl.DataFrame,
    hparams: Sequence[str],
    *,
    reduce: str = "last",
    goals: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Returns statistics over runs for each group and metric: n, mean, std, sem, 95 % interval, min, median, max.

    ``metrics`` are long points. Each run's series counts once, reduced as `reduction` describes; a run that cannot be reduced
    is not in ``n``. `ExperimentDB.summarize` lists those runs. The interval is Student's t. Raises InputError.
    """
    ordered = metrics if "seq" in metrics.columns else _with_seq(metrics)
    reduced = reduce_runs(reduce_series(ordered), ordered.lazy(), parse_reduce(reduce), goals=goals)
    return statistics_of(reduced, _complete(runs), hparams)


STATISTICS = ("metric", "value", "n", "mean", "std", "sem", "ci95_low", "ci95_high", "min", "median", "max")


def statistics_of(reduced: ReducedSeries, runs: pl.DataFrame, hparams: Sequence[str]) -> pl.DataFrame:
    """Returns the groups' statistics from one number a run. The interval is Student's t; null for a single run."""
    runs, hparams = free_names(runs, hparams, STATISTICS)
    by = [*hparams, "metric"]
    value = pl.col("value")
    table = reduced.values.lazy().join(keyed(runs, hparams).lazy(), on="run_id", maintain_order="left")
    # In fixed order, so that sums are reproducible to the last digit.
    grouped = table.group_by(by, maintain_order=True).agg(
        n=value.len(),
        mean=value.mean(),
        std=value.std(),
        min=value.min(),
        median=value.median(),
        max=value.max(),
    )
    return with_intervals(grouped.collect(), hparams)


def with_intervals(stats: pl.DataFrame, hparams: Sequence[str]) -> pl.DataFrame:
    """Returns groups with n, mean and std as `statistics_of` does: with standard errors and intervals, in order."""
    stats = stats.with_columns(sem=pl.col("std") / pl.col("n").sqrt())
    half = pl.col("sem") * pl.col("n").replace_strict(_t_quantiles(stats["n"]), default=None, return_dtype=pl.Float64)
    return stats.with_columns(ci95_low=pl.col("mean") - half, ci95_high=pl.col("mean") + half).select(
        *hparams, "metric", *STATISTICS[2:]
    ).sort("metric", *hparams)  # fmt: skip


def apply_display_names(frame: pl.DataFrame, metrics: Mapping[str, str], hparams: Mapping[str, str]) -> pl.DataFrame:
    """Returns the table with display names for hyperparameter columns and values of ``metric``."""
    held = set(frame.columns)
    renamed = frame.rename({k: v for k, v in hparams.items() if k in held and v not in held})
    return renamed.with_columns(pl.col("metric").replace(dict(metrics))) if "metric" in renamed.columns else renamed


def from_display_names(names: Sequence[str], display: Mapping[str, str]) -> list[str]:
    """Returns logged names for display names; other names stay."""
    back = {shown: logged for logged, shown in display.items()}
    return [back.get(n, n) for n in names]


def _t_quantiles(counts: pl.Series) -> dict[int, float]:
    """Returns the 97.5 % quantile of Student's t for each group size above one."""
    return {n: t_quantile(n - 1) for n in counts.unique().to_list() if n > 1}


def _complete(runs: pl.DataFrame) -> pl.DataFrame:
    if "null_hparams" in runs.columns:
        return runs
    return runs.with_columns(pl.lit([], dtype=pl.List(pl.String)).alias("null_hparams"))


def _with_seq(metrics: pl.DataFrame) -> pl.DataFrame:
    step = "step" if "step" in metrics.columns else "epoch"
    seq = pl.int_range(pl.len(), dtype=pl.UInt32).over("run_id", "metric").alias("seq")
    return metrics.rename({step: "step"}).with_columns(seq, wall_time=pl.lit(None, POINTS_SCHEMA["wall_time"]))
