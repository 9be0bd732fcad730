"""The cost of each run: steps, wall time, GPU-hours and the counters (tokens, samples, frames) that it logged.

Wall time is the time between the first and the last point. A pause (more than an hour without a point, and more than
twenty times the usual gap) does not count: the run was stopped and resumed. Without times of points, a logged clock
counts (``time/elapsed``). GPU-hours are those that were logged, else wall time by the number of GPUs in the settings.
"""

from __future__ import annotations

import re

import polars as pl
from msgspec import Struct

from sweeplens.engines.protocol import PointSource
from sweeplens.engines.reductions import WallSeconds
from sweeplens.frames.grouping import is_machine
from sweeplens.frames.points import select_points
from sweeplens.frames.schemas import hparam_columns
from sweeplens.readers.decoding.axis_names import folded, is_pace_metric

__all__ = ["RunCosts", "clock_of", "counters_of", "machine_of", "run_costs"]

_COUNTER = re.compile(
    r"(?:^|_)(?:k?tokens?|samples?|examples?|images?|kimg|frames?|env_steps?|timesteps|flops?|total_flos|kwh|energy|co2|cost|usd)(?:_|$)"
)
_CLOCK = re.compile(
    r"(?:^|_)(?:elapsed|wall_time|walltime|wall_clock|total_time|time_total|runtime|time_elapsed)(?:_|$)"
)
_GPU_TIME = re.compile(r"(?:^|_)gpu_?(?P<unit>hours?|h|seconds?|s)(?:_|$)")
_GPUS = frozenset("n_gpus num_gpus gpus ngpus n_gpu num_gpu gpu_count world_size n_devices num_devices devices".split())
_MACHINES = ("host", "hostname", "machine", "node", "gpu")
_HOUR = 3600.0


class RunCosts(Struct, frozen=True):
    """``table``: run_id, steps, seconds, gpu_hours and the counters. ``paused``: runs whose pauses do not count."""

    table: pl.DataFrame
    counters: tuple[str, ...]
    paused: tuple[str, ...]

    @property
    def axis(self) -> str:
        """The column that tells the cost best: the first of GPU-hours, wall time, a counter, steps that all runs have."""
        order = ("gpu_hours", "seconds", *self.counters, "steps")
        return next(name for name in order if name == "steps" or not self.table[name].null_count())


def run_costs(runs: pl.DataFrame, series: pl.DataFrame, points: PointSource) -> RunCosts:
    """Returns the costs of these runs; null where a cost was not logged."""
    ids = runs["run_id"].to_list()
    own = series.filter(pl.col("run_id").is_in(ids))
    counters = counters_of(own)
    steps = own.group_by("run_id").agg(steps=pl.col("last_step").max())
    elapsed = select_points(points, runs=ids).reduce(WallSeconds())
    logged = _last_of(own, clock_of(own), "clock")
    table = runs.select("run_id")
    for part in (steps, elapsed, logged):
        table = table.join(part, on="run_id", how="left", maintain_order="left")
    table = table.with_columns(seconds=pl.coalesce("seconds", "clock")).drop("clock")
    table = _with_gpu_hours(table, runs, own)
    for name in counters:
        table = table.join(_last_of(own, name, name), on="run_id", how="left", maintain_order="left")
    paused = table.filter(pl.col("paused").fill_null(value=False))["run_id"].to_list()
    return RunCosts(table.drop("paused"), tuple(counters), tuple(paused))


def counters_of(series: pl.DataFrame) -> list[str]:
    """Returns the metrics that count what a training used up: named so, and never falling."""
    named = [
        n for n in series["metric"].unique().sort().to_list() if _COUNTER.search(folded(n)) and not is_pace_metric(n)
    ]
    return [n for n in named if _grows(series, n)]


def _grows(series: pl.DataFrame, metric: str) -> bool:
    rows = series.filter(pl.col("metric") == metric)
    up = (pl.col("first") >= 0) & (pl.col("max") == pl.col("last_finite")) & (pl.col("min") == pl.col("first"))
    return bool(rows.select((up & (pl.col("rewinds") == 0)).all() & (pl.col("max") > 0).any()).item())


def clock_of(series: pl.DataFrame) -> str:
    named = [n for n in series["metric"].unique().sort().to_list() if _CLOCK.search(folded(n))]
    return next((n for n in named if _grows(series, n)), "")


def _last_of(series: pl.DataFrame, metric: str, name: str) -> pl.DataFrame:
    return series.filter(pl.col("metric") == metric).select("run_id", pl.col("last_finite").alias(name))


def _with_gpu_hours(table: pl.DataFrame, runs: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Adds GPU-hours: logged, else wall time by the number of GPUs of the settings, else null."""
    for metric in series["metric"].unique().sort().to_list():
        found = _GPU_TIME.search(folded(metric))
        if found and _grows(series, metric):
            unit = _HOUR if found["unit"].startswith("s") else 1.0
            logged = _last_of(series, metric, "gpu_hours").with_columns(pl.col("gpu_hours") / unit)
            return table.join(logged, on="run_id", how="left", maintain_order="left")
    gpus = _number_of_gpus(runs)
    if gpus is None:
        return table.with_columns(gpu_hours=pl.lit(None, pl.Float64))
    joined = table.join(gpus, on="run_id", how="left", maintain_order="left")
    return joined.with_columns(gpu_hours=pl.col("seconds") * pl.col("gpus") / _HOUR).drop("gpus")


def _number_of_gpus(runs: pl.DataFrame) -> pl.DataFrame | None:
    names = [*hparam_columns(runs), *(c for c in runs.columns if c.startswith("metadata."))]
    numbers = [n for n in names if folded(n.rsplit(".", 1)[-1]) in _GPUS and runs[n].dtype.is_numeric()]
    return runs.select("run_id", gpus=pl.col(numbers[0]).cast(pl.Float64)) if numbers else None


def machine_of(runs: pl.DataFrame) -> str:
    """Returns the column that names the machine of a run, where it takes several values; else an empty text."""
    told = [c for c in runs.columns if c.startswith("metadata.") and c.rsplit(".", 1)[-1] in _MACHINES]
    told.sort(key=lambda c: (_MACHINES.index(c.rsplit(".", 1)[-1]), len(c)))
    named = [*filter(is_machine, hparam_columns(runs)), *told]
    return next((n for n in named if n in runs.columns and runs[n].drop_nulls().n_unique() > 1), "")
