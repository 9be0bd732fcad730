"""The names under which logs count forward, the surest first: steps, then updates, then epochs, then quantities.

`label_of` folds a name as it is written (``globalStep``, ``Num Updates``, ``train/step``) to the name that it is known by.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["COUNTED", "EPOCHS", "NAMED", "WEAK", "folded", "is_aside", "label_of", "rank_of"]

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
)  # fmt: skip
"""Names that say that a column counts steps of a training."""

COUNTED = (
    "samples", "num_samples", "n_samples", "samples_seen", "total_samples", "seen_samples", "consumed_samples", "examples",
    "num_examples", "n_examples", "examples_seen", "total_examples", "tokens", "num_tokens", "n_tokens", "tokens_seen",
    "total_tokens", "consumed_tokens", "num_tokens_seen", "num_input_tokens_seen", "images", "num_images", "n_images",
    "images_seen", "total_images", "kimg", "total_frames", "num_frames", "n_frames",
)  # fmt: skip
"""Quantities that grow while a training goes on; data sets have such columns too."""

WEAK = (
    "frame", "frames", "episode", "episodes", "num_episodes", "n_episodes", "batch", "batches", "batch_idx", "batch_num",
    "minibatch", "mini_batch", "round", "rounds", "generation", "trial", "tick",
)  # fmt: skip
"""Names that mean something else in most tables, and an axis in a log."""

EPOCHS = frozenset({"epoch", "epochs", "current_epoch", "epoch_num", "num_epoch", "n_epoch", "round", "generation"})
"""Counters beside which another one may begin again."""

_RANKS = {name: rank for rank, name in enumerate((*NAMED, *COUNTED, *WEAK))}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_ASIDE = re.compile(
    r"(?:^|_)(?:time|times|elapsed|seconds|secs|sec|duration|runtime|eta|wall|clock|timestamp|lr|learning_rate|fps|speed|"
    r"throughput|memory|mem|remaining|per_second|per_sec|percentage|progress)(?:_|$)"
)


def folded(name: str) -> str:
    """Small letters and single underscores, humps parted: ``globalStep``, ``Global Step`` -> ``global_step``."""
    return re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", name).lower()).strip("_")


@lru_cache(maxsize=4096)
def label_of(name: str) -> str:
    """The known name of a counter that this is, by the whole or by what is behind the last slash; "" for any other name."""
    for part in (name, name.rsplit("/", 1)[-1]):
        if (plain := folded(part)) in _RANKS:
            return plain
    return ""


def rank_of(label: str) -> int:
    """How sure a known name is: 0 for the surest."""
    return _RANKS[label]


@lru_cache(maxsize=4096)
def is_aside(name: str) -> bool:
    """Whether a metric tells of the pace or the schedule of a run: rows of training and of validation both have it."""
    return _ASIDE.search(folded(name)) is not None
