"""Finds settings in the columns of a table: columns that are constant in each run are hyperparameters, not curves.

Constant text is a setting. A constant number is a setting if its column has the name of a setting, or if the table holds
several runs that differ in it and its column does not have the name of a measure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from sweeplens.readers.decoding.axis_names import folded, label_of
from sweeplens.readers.decoding.delimited.table import TableReading

__all__ = ["may_hold_settings", "settings_of"]

_SURE = re.compile(
    r"(?:random_)?seed|batch_size|bs|weight_decay|wd|momentum|dropout|fold|hidden(?:_size|_dim|_units)?|(?:n|num)_(?:layers|heads|"
    r"hidden|blocks|params|parameters|workers|gpus)|embed(?:ding)?_dim|d_model|model_dim|warmup(?:_steps|_ratio)?|max_(?:steps|epochs|iter|length)|"
    r"total_(?:steps|epochs)|num_epochs|grad_clip|clip_norm|label_smoothing|lora_\w+|width|depth|n_estimators|max_depth"
)
_LIKELY = re.compile(
    r"lr|learning_rate|alpha|beta\d?|gamma|lambda|tau|eps|epsilon|temperature|dim|rank|clip|size|units|layers|heads"
)
_MEASURE = re.compile(
    r"loss|acc|err|score|reward|return|auc|f1|iou|bleu|rouge|ppl|perplexity|time|speed|norm|entropy|kl|mse|mae|rmse|precision|recall|"
    r"value|metric|grad|best|mean|std|min|max|train|val|test|eval"
)
_FEW_ROWS = 2


def settings_of(table: TableReading) -> Mapping[str, dict[str, object]]:
    """Returns run -> settings, and removes their points from the table."""
    found: dict[str, dict[str, object]] = {}
    for run, columns in table.about.items():
        found[run] = {name: min(texts) for name, texts in columns.items() if len(texts) == 1}
        for name, texts in columns.items():
            if len(texts) > 1:
                table.non_scalar[name] = table.non_scalar.get(name, 0) + len(texts)
    numbers = _constant_numbers(table.points, has_text=any(found.values()))
    if numbers.height:
        table.points = table.points.filter(pl.col("metric").is_in(numbers["metric"].unique().to_list()).not_())
        for run, name, value in numbers.iter_rows():
            found.setdefault(run, {})[name] = int(value) if value.is_integer() else value
    return found


def may_hold_settings(points: pl.DataFrame, *, several: bool) -> bool:
    """Whether a column may be a setting by these rows; more rows may show that it is not."""
    named = [m for m in points["metric"].unique() if not label_of(m) and (several or _may_be_setting(m))]
    mine = (
        points.filter(pl.col("metric").is_in(named))
        .group_by("run_id", "metric")
        .agg((pl.col("value").n_unique() == 1).alias("constant"))
    )
    return bool(mine.group_by("metric").agg(pl.col("constant").all())["constant"].any())


def _constant_numbers(points: pl.DataFrame, *, has_text: bool) -> pl.DataFrame:
    """Returns run_id, metric, value of the settings: columns that are constant in each run, over at least two rows."""
    named = [m for m in points["metric"].unique() if _may_be_setting(m) or not _MEASURE.search(folded(m))]
    series = points.filter(pl.col("metric").is_in([m for m in named if not label_of(m)])).group_by(
        "run_id", "metric", maintain_order=True
    ).agg(pl.len().alias("n"), pl.col("value").min().alias("value"), pl.col("value").max().alias("most"))  # fmt: skip
    by_metric = series.group_by("metric", maintain_order=True).agg(
        constant=(pl.col("value") == pl.col("most")).all(),
        rows=pl.col("n").min(),
        kinds=pl.col("value").n_unique(),
        runs=pl.len(),
    )
    constant = by_metric.filter(pl.col("constant").fill_null(value=False) & (pl.col("rows") >= _FEW_ROWS))
    sure = {m for m in constant["metric"] if _SURE.fullmatch(folded(m))}
    several = {m for m, _, _, kinds, runs in constant.iter_rows() if runs > 1 and (kinds > 1 or _may_be_setting(m))}
    likely = {m for m in constant["metric"] if _may_be_setting(m)} if sure or has_text else set[str]()
    return series.filter(pl.col("metric").is_in([*sure, *several, *likely])).select("run_id", "metric", "value")


def _may_be_setting(column: str) -> bool:
    """Whether a column has the name of a setting."""
    name = folded(column)
    return bool(_SURE.fullmatch(name) or _LIKELY.fullmatch(name))
