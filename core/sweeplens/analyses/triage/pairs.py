"""Pairs validation metrics with training metrics of the same quantity: ``val/loss``, ``train/loss``; ``eval_loss``, ``loss``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["SPLITS", "is_validation", "train_of", "words"]

_VALIDATION = ("val", "valid", "validation", "eval", "dev", "test")
_TRAINING = frozenset({"train", "training", "tr"})
_UNIT = frozenset({"epoch", "step", "avg", "mean"})
SPLITS = frozenset(_VALIDATION) | _TRAINING | _UNIT


def train_of(metrics: Sequence[str]) -> dict[str, str]:
    """Returns validation metric -> training metric: equal names but for the split; metrics logged per epoch are preferred."""
    training: dict[tuple[str, ...], str] = {}
    for name in sorted(metrics, key=lambda m: ("epoch" not in m, m)):
        if not set(words(name)) & set(_VALIDATION):
            training.setdefault(_measure(words(name)), name)
    pairs = {
        name: training.get(_measure(words(name))) for name in sorted(metrics) if set(words(name)) & set(_VALIDATION)
    }
    return {name: twin for name, twin in pairs.items() if twin}


def _measure(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(w for w in parts if w not in _VALIDATION and w not in _TRAINING and w not in _UNIT)


@lru_cache(maxsize=4096)
def words(metric: str) -> tuple[str, ...]:
    """Returns the words of a name: ``valLoss_epoch`` -> val, loss, epoch."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", metric)
    return tuple(w for w in re.split(r"[^a-z0-9]+", spaced.lower()) if w)


def is_validation(metric: str) -> bool:
    """Returns whether the name says that the metric is measured on data that was not trained on."""
    return bool(set(words(metric)) & set(_VALIDATION))
