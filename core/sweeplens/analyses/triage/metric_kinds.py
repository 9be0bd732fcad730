"""Kinds of metrics by their names, and the goal that detectors assume for a metric.

A name that sounds like a loss or a score is not enough: the rejected reward of preference training should fall, a divergence
from a reference model must grow, a loss scale doubles, a regret adds up, and the losses of two opponents rise and fall in turn.
Such metrics have no goal here, unless the configuration gives them one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sweeplens.analyses.triage.pairs import SPLITS, words
from sweeplens.frames.goals import outcome_goal

__all__ = ["detection_goal", "is_gradient", "is_length", "is_pace", "is_schedule", "is_whole_loss", "pace_goal"]

_NO_AIM = frozenset(
    "kl scale regret chosen rejected logps logits coef coefficient std variance var temperature alpha beta entropy clip "
    "clipfrac ratio frac fraction policy actor critic value vf pg surrogate generator gen gan discriminator disc adv "
    "adversarial d g count size length len lr weight".split()
)
_SCHEDULE = frozenset(
    "lr rate learning momentum epoch epochs step steps iteration iter warmup coef weight schedule".split()
)
_SPEED = frozenset("throughput fps sps its tps speed".split())
_PER = frozenset("sec second seconds s".split())
_GRADIENT = frozenset("grad grads gradient gradients gradnorm".split())
_LOSS = frozenset("loss nll ce xent crossentropy".split())
_TIME = frozenset("time seconds sec ms duration latency".split())
_LENGTH = frozenset("epochs epoch steps iterations iters timesteps budget updates frames".split())
_WORK = frozenset("step iter iteration batch data forward backward".split())


def detection_goal(metric: str, configured: Mapping[str, str] | None = None) -> str:
    """Returns ``lower``, ``higher``, or ``unknown`` if neither direction is certain to be worse."""
    if configured and metric in configured:
        return configured[metric]
    parts = set(words(metric))
    if "cross" in parts:
        parts -= {"cross", "entropy"}
    return "unknown" if parts & _NO_AIM or is_pace(metric) else outcome_goal(metric)


def is_schedule(metric: str) -> bool:
    """Returns whether values of this name are set by a schedule or a counter."""
    return bool(set(words(metric)) & _SCHEDULE)


def pace_goal(metric: str) -> str:
    """Returns ``higher`` for a rate of work, ``lower`` for the time of one unit of work, else ``unknown``."""
    own = set(words(metric))
    if own & _SPEED or ("per" in own and own & _PER):
        return "higher"
    return "lower" if own & _TIME and own & _WORK else "unknown"


def is_length(hparam: str) -> bool:
    """Returns whether a hyperparameter sets the length of a run."""
    return bool(set(words(hparam)) & _LENGTH)


def is_pace(metric: str) -> bool:
    """Returns whether this metric measures the speed of a run."""
    return pace_goal(metric) != "unknown"


def is_gradient(metric: str) -> bool:
    """Returns whether this metric is the norm of a gradient."""
    return bool(set(words(metric)) & _GRADIENT)


def is_whole_loss(metric: str) -> bool:
    """Returns whether the metric is the whole loss, not a part of it."""
    parts = set(words(metric))
    return bool(parts & _LOSS) and not parts - _LOSS - SPLITS - {"cross", "entropy"}
