"""Known names of counters in logs, the most certain first: steps, updates, epochs, then quantities such as tokens.

`label_of` maps a written name (``globalStep``, ``Num Updates``, ``train/step``) to the known name.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["COUNTED", "EPOCHS", "NAMED", "WEAK", "folded", "is_pace_metric", "label_of", "rank_of"]

NAMED = (
    "step", "global_step", "steps", "global_steps", "current_step", "current_steps", "train_step", "train_steps",
    "training_step", "training_steps", "trainer_step", "optimizer_step", "optimizer_steps", "opt_step", "gradient_step",
    "gradient_steps", "grad_step", "iteration", "iterations", "iter", "iters", "itr", "it", "global_iter", "global_iteration",
    "train_iter", "current_iter", "training_iteration", "num_updates", "n_updates", "update", "updates", "update_step",
    "global_update", "n_iter", "num_iter", "num_iters", "num_iterations", "n_iterations",
    "iter_num", "iteration_num", "step_num", "num_steps",
    "n_steps", "epoch", "epochs", "current_epoch", "epoch_num", "num_epoch", "n_epoch", "timestep", "timesteps", "num_timesteps",
    "total_timesteps", "timesteps_total", "timesteps_so_far", "timestepssofar", "time_step", "time_steps", "env_step", "env_steps",
    "environment_steps", "total_env_steps", "num_env_steps", "total_steps", "total_step",
    "epoche", "epoca", "epoka", "schritt", "paso", "passo",
)  # fmt: skip
"""Names of columns that count the steps of a training."""

COUNTED = (
    "samples", "num_samples", "n_samples", "samples_seen", "total_samples", "seen_samples", "consumed_samples", "examples",
    "num_examples", "n_examples", "examples_seen", "total_examples", "tokens", "num_tokens", "n_tokens", "tokens_seen",
    "total_tokens", "consumed_tokens", "num_tokens_seen", "num_input_tokens_seen", "images", "num_images", "n_images",
    "images_seen", "total_images", "kimg", "total_frames", "num_frames", "n_frames",
)  # fmt: skip
"""Quantities that grow during a training. Data sets have such columns too."""

WEAK = (
    "frame", "frames", "episode", "episodes", "num_episodes", "n_episodes", "batch", "batches", "batch_idx", "batch_num",
    "minibatch", "mini_batch", "round", "rounds", "generation", "trial", "tick",
)  # fmt: skip
"""Names of an axis in logs that mean something else in most tables."""

EPOCHS = frozenset(
    {
        *("epoch", "epochs", "current_epoch", "epoch_num", "num_epoch", "n_epoch", "round", "generation"),
        *("epoche", "epoca", "epoka"),
    }
)
"""Counters beside which another counter may restart."""

_RANKS = {name: rank for rank, name in enumerate((*NAMED, *COUNTED, *WEAK))}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_PACE = re.compile(
    r"(?:^|_)(?:time|times|elapsed|seconds|secs|sec|duration|runtime|eta|wall|clock|timestamp|lr|learning_rate|fps|speed|"
    r"throughput|memory|mem|remaining|per_second|per_sec|percentage|progress)(?:_|$)"
)


def folded(name: str) -> str:
    """Converts a name to snake case: ``globalStep``, ``Global Step`` -> ``global_step``."""
    return re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", name).lower()).strip("_")


@lru_cache(maxsize=4096)
def label_of(name: str) -> str:
    """Returns the known counter of a name, by the whole name or its part after the last slash; "" for any other name."""
    for part in (name, name.rsplit("/", 1)[-1]):
        if (plain := folded(part)) in _RANKS:
            return plain
    return ""


def rank_of(label: str) -> int:
    """Returns how certain a known name is: 0 is the most certain."""
    return _RANKS[label]


@lru_cache(maxsize=4096)
def is_pace_metric(name: str) -> bool:
    """Whether a metric is about time, speed or schedule. Rows of training and of validation may both have it."""
    return _PACE.search(folded(name)) is not None
