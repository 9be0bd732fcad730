"""Finds settings of the measurement in which compared runs differ: their values may not be measured on the same thing.

is_measurement             whether a name says which validation or test data is used, or how a metric is computed
measured_differently       warnings for groups or levels: the setting varies within a task
sides_measured_differently warnings for sides: its values differ between them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from sweeplens.analyses.coverage import listed
from sweeplens.analyses.triage.pairs import words
from sweeplens.counting import count_of
from sweeplens.frames.grouping import keyed, same_split, settings_among, task_hparams, varying_hparams
from sweeplens.readers.decoding.axis_names import folded

__all__ = ["is_measurement", "measured_differently", "sides_measured_differently"]

_HELD_OUT = frozenset("val valid validation eval evaluation test testing dev heldout holdout".split())
_DATA = frozenset(
    "data dataset datasets path paths file files glob set split splits dir directory folder version csv json list subset fraction "
    "ratio size".split()
)
_SPLITS = frozenset({"split", "splits"})
_OF_FILE = frozenset("file files path json yaml csv version dir id".split())
_METRIC = frozenset({"metric", "metrics"})
_COMPUTED = frozenset(
    "threshold thresholds thresh average averaging reduction reduce norm normalize normalise normalized normalised normalization "
    "normalisation empty ignore_index background smooth smoothing tta iou overlap sigma stride shots shot fewshot prompt template "
    "crop resize resolution image stopwords tokenizer tokenize lowercase".split()
)
_PARENTS = frozenset("metrics metric eval evaluation evaluator val validation test scoring scorer".split())
_OTHER_USE = frozenset(
    "interval every freq frequency batch bs episode episodes epoch epochs step steps iters worker workers loader prefetch "
    "pin accumulation seed log logs logging save saved output out results cache checkpoint ckpt verbose patience strategy delay "
    "monitor best mode start first begin before after during do enabled device gpu gpus rank envs env num_envs async time "
    "timeout early stopping wandb name".split()
)
_TOLD, _VALUES, _MOST_LEVELS = 3, 3, 6
_VALUE, _TASK, _GROUP = "value.", "task.", "group."  # no hyperparameter has these names


def is_measurement(hparam: str) -> bool:
    """Whether the setting names validation or test data, or says how a metric is computed; not how often or in which batches."""
    own = set(words(folded(hparam).replace("_", " ")))
    *above, last = [set(words(part.replace("_", " "))) for part in hparam.replace("/", ".").split(".")]
    if last & _OTHER_USE:
        return False
    if any(part & _PARENTS and len(part) == 1 for part in above):
        return True
    computed = bool(own & (_HELD_OUT | _METRIC)) and bool(own & _COMPUTED)
    return computed or bool(own & _HELD_OUT and own & _DATA) or bool(own & _SPLITS and own & _OF_FILE)


def measured_differently(runs: pl.DataFrame, tasks: Sequence[str], replicates: Sequence[str]) -> tuple[str, ...]:
    """Warns of settings of the measurement that vary over these runs within a task."""
    named = task_hparams(runs, tasks)
    found: list[str] = []
    for name in _settings(runs, named, replicates):
        table = _table(runs, name, named)
        if table.group_by(_TASK).agg(pl.col(_VALUE).n_unique())[_VALUE].max() > 1:  # type: ignore[operator]
            found.append(f"{name} is {_where_each(runs, name, table, replicates)}")
    return _warning(found)


def sides_measured_differently(
    runs: pl.DataFrame,
    sides: Mapping[str, Sequence[str]],
    tasks: Sequence[str],
    replicates: Sequence[str],
    conditions: Sequence[str] = (),
) -> tuple[str, ...]:
    """Warns of settings of the measurement of which two sides have other values within a task.

    ``runs``: those compared; ``conditions``: the settings that define the sides.
    """
    named = task_hparams(runs, tasks)
    of_run = {run: side for side, ids in sides.items() for run in ids}
    found: list[str] = []
    for name in _settings(runs, named, replicates):
        table = _table(runs, name, named).with_columns(
            pl.col("run_id").replace_strict(of_run, default=None, return_dtype=pl.String).alias(_GROUP)
        )
        values = table.drop_nulls(_GROUP).group_by(_TASK, _GROUP).agg(pl.col(_VALUE).unique().sort())
        if values.group_by(_TASK).agg(pl.col(_VALUE).n_unique())[_VALUE].max() > 1:  # type: ignore[operator]
            told = "defines the sides" if name in conditions else f"is {_of_each(table, list(sides))}"
            found.append(f"{name} {told}")
    return _warning(found)


def _settings(runs: pl.DataFrame, named: Sequence[str], replicates: Sequence[str]) -> list[str]:
    """Returns the settings of the measurement that vary; of those that split the runs alike, the first."""
    varying = [n for n in varying_hparams(runs) if is_measurement(n) and n not in named]
    return [own[0] for own in same_split(runs, settings_among(runs, varying, replicates))]


def _table(runs: pl.DataFrame, name: str, tasks: Sequence[str]) -> pl.DataFrame:
    """Returns run_id, the value as text, and the task."""
    columns = keyed(runs, [name, *(t for t in tasks if t != name)])
    texts = [pl.col(t).cast(pl.String).fill_null("") for t in tasks]
    task = pl.concat_str(texts, separator=", ") if texts else pl.lit("")
    value = pl.col(name).cast(pl.String).fill_null("not set")
    return columns.select("run_id", value.alias(_VALUE), task.alias(_TASK))


def _of_each(table: pl.DataFrame, sides: Sequence[str]) -> str:
    """Returns the values on each side, sides with the same values together."""
    told: dict[str, list[str]] = {}
    for side in sides:
        own = table.filter(pl.col(_GROUP) == side)[_VALUE].unique().sort().to_list()
        if own:
            told.setdefault(listed(own, _VALUES), []).append(side)
    return ", ".join(f"{values} in {listed(own, _VALUES)}" for values, own in told.items())


def _where_each(runs: pl.DataFrame, name: str, table: pl.DataFrame, replicates: Sequence[str]) -> str:
    """Returns each value with the level of another setting that has it alone, else with its number of runs; the usual one last."""
    counts = table[_VALUE].value_counts().sort("count", _VALUE)
    if counts.height > _MOST_LEVELS:
        return f"one of {counts.height} values"
    levels = dict(_levels(runs, name, replicates))
    parts: list[str] = []
    for value, n in counts.rows():
        ids = frozenset(table.filter(pl.col(_VALUE) == value)["run_id"].to_list())
        last = len(parts) == counts.height - 1
        place = "elsewhere" if last else f"in {levels.get(ids) or count_of(n, 'run')}"
        parts.append(f"{value} {place}")
    return ", ".join(parts)


def _levels(runs: pl.DataFrame, name: str, replicates: Sequence[str]) -> Iterator[tuple[frozenset[str], str]]:
    """Yields the runs of each level of the other settings with few levels, and the level in words; the first setting counts."""
    others = [n for n in settings_among(runs, varying_hparams(runs), replicates) if n != name and not is_measurement(n)]
    for other in reversed(others):
        if runs[other].n_unique() <= _MOST_LEVELS:
            for (value,), part in keyed(runs, [other]).drop_nulls(other).group_by(other):
                yield frozenset(part["run_id"].to_list()), f"{other}={value}"


def _warning(found: Sequence[str]) -> tuple[str, ...]:
    return (f"perhaps measured differently: {'; '.join(found[:_TOLD])}{_more(len(found) - _TOLD)}",) if found else ()


def _more(n: int) -> str:
    return f"; and {count_of(n, 'more setting')}" if n > 0 else ""
