"""The keys of rows that training loops log: which key is the axis, the time, the run, the split or the status.

`counter_of` and `axis_of` choose the axis of one row by its keys. `named_value` rewrites a row of a name and a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from sweeplens.readers.decoding.axis_names import COUNTED, WEAK, folded, label_of, rank_of
from sweeplens.readers.decoding.values import as_step, number_in

__all__ = [
    "AXES",
    "CONFIG_KEYS",
    "NAME_KEYS",
    "ROW_WORDS",
    "RUN_KEYS",
    "SPLIT_KEYS",
    "SPLIT_WORD_KEYS",
    "STATUS_KEYS",
    "TEXT_KEYS",
    "TIME_KEYS",
    "axis_of",
    "counter_of",
    "exact_label",
    "is_sure",
    "named_value",
    "split_of_row",
]

AXES = ("step", "global_step", "_step", "steps", "iteration", "iter", "itr", "training_iteration", "num_updates", "update",
        "n_iter", "Step", "iterations", "epoch", "Epoch", "train_step", "timestep", "timesteps", "env_step", "env_steps",
        "num_timesteps", "total_timesteps", "total_steps")  # fmt: skip
TIME_KEYS = ("timestamp", "_timestamp", "wall_time", "time", "ts", "datetime", "created_at", "date")
RUN_KEYS = ("run_id", "run", "trial_id", "run_name", "job_id")
SPLIT_KEYS = ("split", "mode", "phase", "stage", "subset")
SPLIT_WORD_KEYS = ("event", "type", "kind", "set", "data_split", "part")
"""Keys that name a split where their text is one: ``{"event": "eval", "step": 3, "loss": 0.5}``."""
CONFIG_KEYS = ("config", "hyperparameters", "hparams", "hyperparams", "params", "args")
STATUS_KEYS = ("status", "state")
TEXT_KEYS = frozenset({"event", "level", "logger", "message", "msg", "type", "name", "tags", "group", "project", "lineno",
                       "func_name", "exception", "error", "host", "pid"})  # fmt: skip
ROW_WORDS = frozenset({*RUN_KEYS, *STATUS_KEYS, *TEXT_KEYS, "metrics"})
"""Keys of rows that hold more than numbers at a step."""
NAME_KEYS = ("metric", "tag", "name", "key", "metric_name", "variable")
_SPLIT_WORDS = frozenset("train training val valid validation test testing eval evaluation dev".split())
_UNSURE = frozenset({*COUNTED, *WEAK})


def axis_of(row: Mapping[str, object]) -> str:
    """Returns the key whose name marks it as the axis of the row; "" where there is none."""
    return next((a for a in AXES if a in row and as_step(row[a]) is not None), "")


def counter_of(row: Mapping[str, object]) -> str:
    """Returns the most certain counter of a row, by name, among keys with whole numbers; "" where there is none."""
    known = [(rank_of(label), k) for k, v in row.items() if (label := exact_label(k)) and as_step(v) is not None]
    return min(known)[1] if known else ""


def is_sure(key: str) -> bool:
    """Whether a counter's name is rarely used outside of logs."""
    return label_of(key) not in _UNSURE


def split_of_row(row: dict[str, Any]) -> str:
    """Takes the split out of a row; "" where it names none."""
    for key in SPLIT_KEYS:
        if isinstance(row.get(key), str):
            return str(row.pop(key))
    for key in SPLIT_WORD_KEYS:
        if isinstance(row.get(key), str) and str(row[key]).lower() in _SPLIT_WORDS and not any(map(_names_split, row)):
            return str(row.pop(key))
    return ""


def _names_split(key: str) -> bool:
    """Whether a metric's name says its split itself: ``val/loss``, ``val_loss``."""
    return re.split(r"[/_.]", key.lower())[0] in _SPLIT_WORDS and not label_of(key)


def exact_label(key: str) -> str:
    """Returns the known counter name that a key is, or that comes first in ``global_step/max_steps``; "" for other keys."""
    label = label_of(key)
    if label and ("/" not in key or folded(key) == label):
        return label
    return "" if label else label_of(key.partition("/")[0])


def named_value(row: dict[str, Any]) -> dict[str, Any]:
    """Turns a row of a name and a value (``{"metric": "loss", "value": 0.5}``) into ``{"loss": 0.5}``; returns others unchanged."""
    inner = cast("dict[str, Any]", row["data"]) if isinstance(row.get("data"), dict) else {}
    whole = {**{k: v for k, v in row.items() if k != "data"}, **inner} if "value" in inner else row
    name = next((k for k in NAME_KEYS if isinstance(whole.get(k), str)), "") if "value" in whole else ""
    if not name or number_in(whole["value"]) is None:
        return row
    kept = {
        k: v
        for k, v in whole.items()
        if k not in (name, "value") and (k in TIME_KEYS or k in SPLIT_KEYS or label_of(k))
    }
    return {**kept, whole[name]: whole["value"]}
