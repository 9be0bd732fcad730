"""Questions that read points, over any folder, and whether two engines answer them alike.

same_values(a, b)          whether two JSON values are equal to a relative 1e-9
sail()                     the address of a Spark Connect server in this process (Sail), or a skipped test
questions(db)              label -> question, for a database; they cover every reduction, axis and fetch
differences(a, b)          where two answers differ by more than a relative 1e-9, in words
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import polars as pl
import pytest

from sweeplens import ExperimentDB
from sweeplens.answers import Answer
from sweeplens.errors import SweeplensError

__all__ = ["differences", "points_everywhere", "questions", "sail", "same_values"]

Question = Callable[[ExperimentDB], Any]
REDUCTIONS = ("last_tenth", "best", "auc", "last_k:5", "at_step:common", "points", "mean")
RELATIVE = 1e-9


@cache
def sail() -> str:
    """A server that speaks Spark Connect without Java; it ends with this process. SWEEPLENS_CLUSTER names another."""
    if os.environ.get("SWEEPLENS_CLUSTER"):
        return os.environ["SWEEPLENS_CLUSTER"]
    pytest.importorskip("pyspark")
    server = pytest.importorskip("pysail.spark").SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _servers.append(server)
    host, port = server.listening_address
    return f"sc://{host}:{port}"


_servers: list[Any] = []


def questions(db: ExperimentDB) -> dict[str, Question]:
    """Every question that reads points, about the two metrics with the most points."""
    order = db.series_df.group_by("metric").agg(pl.col("n").sum()).sort("n", "metric", descending=[True, False])
    metrics: list[str] = order["metric"].head(2).to_list()
    return {
        "overview": lambda d: d.overview(),
        "diagnose_runs": lambda d: d.diagnose(),
        "whats_new": lambda d: d.whats_new().tables["news"] if "news" in d.whats_new().tables else d.whats_new().table,
        "query_metrics": lambda d: _sorted(d.query_metrics(metrics)),
        "query_metrics raw": lambda d: _sorted(d.query_metrics(metrics, raw=True)),
        "stream_metrics": lambda d: _sorted(pl.concat(d.stream_metrics())),
        "curves by metric": lambda d: d.curves(metrics[:1], x=metrics[-1]),
        **{f"{name} of {m}": ask for m in metrics for name, ask in _about(db, m, metrics)},
    }


def _about(db: ExperimentDB, metric: str, metrics: list[str]) -> Iterator[tuple[str, Question]]:
    rows = db.series_df.filter(pl.col("metric") == metric)
    level, step = float(rows["mean"].median() or 0), int(rows["last_step"].max() or 0)  # type: ignore[arg-type]
    for how in (*REDUCTIONS, f"at_best:{metrics[-1]}"):
        yield f"rank_runs by {how}", lambda d, h=how: d.rank(metric, goal="lower", reduce=h, by="run")
    for axis in ("step", "wall_time"):
        yield f"query_metrics over {axis}", lambda d, x=axis: d.curves([metric], x=x, max_points=10)
        yield f"mean curves over {axis}", lambda d, x=axis: d.mean_curves([metric], x=x, max_points=10)
    yield "part of curves", lambda d: d.curves([metric], x_min=step / 4, x_max=step / 2)
    yield "summarize_by_hparams", lambda d: d.summarize(metrics=[metric], reduce="last_tenth")
    yield "hparam_effects", lambda d: d.effects(metric, goal="lower")
    yield "suggest_runs", lambda d: d.suggest(metric, goal="lower")
    yield "run_costs", lambda d: d.cost(metric, goal="lower", threshold=level)
    yield "best_checkpoints", lambda d: d.checkpoints(metric, goal="lower")
    yield "query_sql", lambda d: d.query_sql(_SQL.format(metric.replace("'", "''")))
    for event in (f"first_below({level!r})", f"first_below({level!r})@wall_time", f"min_step@{metrics[-1]}"):
        yield f"list_runs with {event}", lambda d, e=event: d.list_runs(columns=[f"{metric}.{e}"])
    for axis in ("step", "wall_time", metrics[-1]):
        yield f"compare_runs over {axis}", lambda d, x=axis: _halves(d, metric, x)


_SQL = (
    "SELECT run_id, count(*) AS n, max(value) AS most FROM points WHERE metric = '{}' GROUP BY run_id ORDER BY run_id"
)


def _halves(db: ExperimentDB, metric: str, axis: str) -> Answer:
    runs = db.series_df.filter(pl.col("metric") == metric)["run_id"].unique().sort().to_list()
    middle = max(1, len(runs) // 2)
    return db.compare(runs[:middle], runs[middle:], metrics=[metric], axis=axis)


def _sorted(points: pl.DataFrame) -> pl.DataFrame:
    return points.sort("run_id", "metric", "step", "seq")


def differences(question: Question, one: ExperimentDB, other: ExperimentDB) -> list[str]:
    """Where the answers of two databases differ; an error must be the same error."""
    a, b = _asked(question, one), _asked(question, other)
    if isinstance(a, str) or isinstance(b, str):
        return [] if a == b else [f"{a!r} != {b!r}"]
    return [f"{name}: {told}" for name in sorted(a.keys() | b.keys()) for told in _unlike(a.get(name), b.get(name))]


def _asked(question: Question, db: ExperimentDB) -> dict[str, pl.DataFrame] | str:
    try:
        found = question(db)
    except SweeplensError as error:
        return str(error)
    if isinstance(found, pl.DataFrame):
        return {"table": found}
    notes = pl.DataFrame({"notes": list(found.notes)}, schema={"notes": pl.String})
    warnings = pl.DataFrame({"warnings": list(found.basis.warnings)}, schema={"warnings": pl.String})
    return {"table": found.table, "notes": notes, "warnings": warnings, **found.tables}


def _unlike(a: pl.DataFrame | None, b: pl.DataFrame | None) -> Iterator[str]:
    if a is None or b is None or a.schema != b.schema or a.height != b.height:
        yield f"{a} is another table than {b}"
        return
    for column in a.columns:
        for row, (x, y) in enumerate(zip(a[column].to_list(), b[column].to_list(), strict=True)):
            if not _alike(x, y):
                yield f"{column}, row {row}: {x!r} != {y!r}"


def _alike(x: object, y: object) -> bool:
    if isinstance(x, float) and isinstance(y, float):
        return math.isclose(x, y, rel_tol=RELATIVE, abs_tol=1e-300) or (math.isnan(x) and math.isnan(y))
    return x == y


def same_values(x: object, y: object) -> bool:
    """Whether two JSON values are equal, numbers to a relative 1e-9."""
    if isinstance(x, dict) and isinstance(y, dict):
        return x.keys() == y.keys() and all(same_values(x[k], y[k]) for k in x)
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(same_values, x, y))
    return _alike(x, y)


def points_everywhere() -> pl.DataFrame:
    """Points with everything that engines disagree about: NaN, infinities, rewinds, equal times, no times, one point."""
    rows: list[tuple[str, str, int, float, int | None, int]] = []
    for run, n in (("a", 60), ("b", 33), ("c", 7), ("d", 1), ("é'\"; --", 40)):
        for metric in ("val/loss", "train.acc", "tokens"):
            steps = [*range(0, 10 * n, 10), *([10 * n - 30, 10 * n - 10] if metric == "val/loss" and n > 10 else [])]
            for seq, step in enumerate(steps):
                value = _value(metric, run, step, seq)
                time = None if (metric == "train.acc" and seq % 3 == 0) else _time(run, step, n)
                rows.append((run, metric, step, value, time, seq))
    schema = {
        "run_id": pl.String,
        "metric": pl.String,
        "step": pl.Int64,
        "value": pl.Float64,
        "time": pl.Int64,
        "seq": pl.UInt32,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    stamped = frame.with_columns(wall_time=pl.from_epoch("time", "us").dt.replace_time_zone("UTC"))
    return stamped.select("run_id", "metric", "step", "value", "wall_time", "seq")


def _value(metric: str, run: str, step: int, seq: int) -> float:
    if metric == "tokens":
        return float(step * 64)
    odd = {5: math.nan, 6: math.inf, 11: -math.inf}.get(seq, 0.0) if run == "b" else 0.0
    return odd or math.sin(step * 0.37 + len(run)) / (1 + step / 50) + (metric == "val/loss")


def _time(run: str, step: int, n: int) -> int | None:
    """Microseconds; the second half of run a is after a pause of a day, and run c logs pairs at the same time."""
    if run == "d":
        return None
    pause = 86_400_000_000 if run == "a" and step > 5 * n else 0
    return 1_700_000_000_000_000 + (step // 20 * 20 if run == "c" else step) * 1_000_003 + pause
