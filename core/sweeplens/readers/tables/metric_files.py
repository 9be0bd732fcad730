"""Tables of one training in a file for each metric: ``Train_Samples_lr.csv`` beside ``Train_Samples_train_loss.csv``.

The rule. A folder's tables are one run when there are several, each has a column of steps and one column of values, and each
file is named after what it holds: the column's name is the end of the file's (``Train/Samples/lr``, ``lr``), or the column
is called ``value`` and the files are named like metrics (``loss.csv``, ``val_acc.csv``). Tables of different runs with the
same metric (``lr0.1.csv``, ``lr0.01.csv`` with a column ``loss``) are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

import polars as pl

from sweeplens.errors import FormatError
from sweeplens.frames.goals import known_goal
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.axis_names import folded
from sweeplens.readers.decoding.delimited.cells import header_of
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES, config_files
from sweeplens.readers.decoding.values import joined_points
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source
from sweeplens.readers.tables.csv_metrics import metrics_table, table_plan

__all__ = ["MetricFiles"]

_SUFFIXES = (".csv", ".tsv", ".txt", ".dat")
_VALUES = frozenset({"value", "values", "val", "y", "scalar", "metric", "metric_value", "data"})
_OTHERS = frozenset({"lr", "learning", "rate", "norm", "time", "samples", "throughput", "scale", "reward", "return"})


class MetricFiles:
    """Tables of one metric each.

    Producer: DeepSpeed's ``csv_monitor``, hand-written loops
    Files: several ``*.csv``, ``*.tsv``, ``*.txt`` in one folder, each with a column of steps, one of values, and the metric's name; a config beside
    Reads: every value at its step, under the name of its column, or of its file where the column is called ``value``; times
    Leaves: nothing
    """  # noqa: E501 - a line of docs/formats.md each

    name = "metric_files"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """All such tables of a folder, where there are several."""
        names = [n for n in folder.free(*_SUFFIXES) if n not in SETTINGS_NAMES]
        metrics = {n: m for n in names if (m := _metric_of(n, folder.head(n)))} if len(names) > 1 else {}
        if len(metrics) > 1 and len(set(metrics.values())) == len(metrics):
            yield Claim((*metrics, *config_files(folder)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Every table whole."""
        paths = [f.path for f in source.files if _is_table(f.path)]
        tables = [metrics_table(path, source.relative, None) for path in paths]
        frames = [_named(t.points, _stem(path)) for t, path in zip(tables, paths, strict=True)]
        if len(frames) < 2:
            raise FormatError(f"{source.path} has no tables of one metric each any more")
        records, broken = described_by(source, [RunRecord(source.relative)])
        return Reading(records, joined_points(frames), (*(p for t in tables for p in t.problems), *broken))


def _is_table(path: str) -> bool:
    name = compression.plain_name(path).replace("\\", "/").rsplit("/", 1)[-1]
    return name.endswith(_SUFFIXES) and name not in SETTINGS_NAMES


def _metric_of(name: str, head: bytes) -> str:
    """The metric that a file is named after and holds; "" where it is no such file."""
    header = header_of(head)
    if header is None or not 2 <= len(header.names) <= 3:
        return ""
    plan = table_plan(name, head)
    if plan is None or not plan.axis or plan.run or plan.split:
        return ""
    values = [n for n in header.names if n and n not in (plan.axis, plan.time)]
    if len(values) != 1:
        return ""
    stem, column = folded(_stem(name)), folded(values[0])
    if column in _VALUES:
        return _stem(name) if _is_metric(_stem(name)) else ""
    return values[0] if stem == column or stem.endswith(f"_{column}") else ""


def _is_metric(stem: str) -> bool:
    """Whether a file is named like a metric, and not like a run."""
    words = re.split(r"[^a-z]+", stem.lower())
    return not re.search(r"\d", stem) and (known_goal(stem) != "unknown" or not _OTHERS.isdisjoint(words))


def _stem(path: str) -> str:
    return PurePath(compression.plain_name(path)).stem


def _named(points: pl.DataFrame, stem: str) -> pl.DataFrame:
    """The points under the file's name where the column says only that it holds values."""
    generic = [m for m in points["metric"].unique().to_list() if folded(m) in _VALUES]
    return points.with_columns(pl.col("metric").replace(generic, [stem] * len(generic)))
