"""Settings that stand in the columns of a table, the same in all rows of a run: hyperparameters, and no curves.

Text that is the same in all rows of a run is one. A number is one where it has the name of a setting, or where the table holds
several runs that differ in it and it has not the name of a measure.
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
    """Run -> its settings. Their points leave the table."""
    found: dict[str, dict[str, object]] = {}
    for run, columns in table.about.items():
        found[run] = {name: min(said) for name, said in columns.items() if len(said) == 1}
        for name, said in columns.items():
            if len(said) > 1:
                table.non_scalar[name] = table.non_scalar.get(name, 0) + len(said)
    numbers = _constant_numbers(table.points, has_text=any(found.values()))
    if numbers.height:
        table.points = table.points.filter(pl.col("metric").is_in(numbers["metric"].unique().to_list()).not_())
        for run, name, value in numbers.iter_rows():
            found.setdefault(run, {})[name] = int(value) if value.is_integer() else value
    return found


def may_hold_settings(points: pl.DataFrame, *, several: bool) -> bool:
    """Whether some column may be a setting, as far as these rows tell: more of them could say otherwise."""
    named = [m for m in points["metric"].unique() if not label_of(m) and (several or _may_be_setting(m))]
    mine = (
        points.filter(pl.col("metric").is_in(named))
        .group_by("run_id", "metric")
        .agg((pl.col("value").n_unique() == 1).alias("still"))
    )
    return bool(mine.group_by("metric").agg(pl.col("still").all())["still"].any())


def _constant_numbers(points: pl.DataFrame, *, has_text: bool) -> pl.DataFrame:
    """run_id, metric, value of the columns that are settings: constant in each run, over more than one row."""
    named = [m for m in points["metric"].unique() if _may_be_setting(m) or not _MEASURE.search(folded(m))]
    series = points.filter(pl.col("metric").is_in([m for m in named if not label_of(m)])).group_by(
        "run_id", "metric", maintain_order=True
    ).agg(pl.len().alias("n"), pl.col("value").min().alias("value"), pl.col("value").max().alias("most"))  # fmt: skip
    by_metric = series.group_by("metric", maintain_order=True).agg(
        still=(pl.col("value") == pl.col("most")).all(),
        rows=pl.col("n").min(),
        kinds=pl.col("value").n_unique(),
        runs=pl.len(),
    )
    still = by_metric.filter(pl.col("still").fill_null(value=False) & (pl.col("rows") >= _FEW_ROWS))
    sure = {m for m in still["metric"] if _SURE.fullmatch(folded(m))}
    several = {m for m, _, _, kinds, runs in still.iter_rows() if runs > 1 and (kinds > 1 or _may_be_setting(m))}
    likely = {m for m in still["metric"] if _may_be_setting(m)} if sure or has_text else set[str]()
    return series.filter(pl.col("metric").is_in([*sure, *several, *likely])).select("run_id", "metric", "value")


def _may_be_setting(column: str) -> bool:
    """Whether a column has the name of a setting."""
    name = folded(column)
    return bool(_SURE.fullmatch(name) or _LIKELY.fullmatch(name))
