"""Finds whether lower or higher is better: from the configuration, else from the metric's name, else the user must say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import polars as pl

from sweeplens.errors import AmbiguousGoalError, UnknownNameError
from sweeplens.frames.goal_names import read_name
from sweeplens.frames.schemas import GOALS

__all__ = ["AskedGoal", "goal_of", "known_goal", "main_metrics", "outcome_goal", "run_counts", "told_goals"]

_VALIDATION = frozenset({"val", "valid", "validation", "eval", "test", "dev"})
_LOSSES = frozenset("loss nll ce xent entropy ppl perplexity".split())
_SPLITS = _VALIDATION | {"train", "training"}
_WHOLES = frozenset("mean avg average macro micro overall all total".split())
_FEWEST_PARTS = 2
_RESOURCES = frozenset("lr time runtime epoch step iter iteration seconds grad norm timestamp flos eta".split())


AskedGoal = Literal["", "lower", "higher"]
"""A goal as a caller asks for it; empty: by the configuration or the name."""


def known_goal(metric: str, goals: Mapping[str, str] | None = None) -> str:
    """Returns ``lower``, ``higher`` or ``unknown``: from the configuration, else from the name (`goal_names`)."""
    if goals and metric in goals:
        return goals[metric]
    return read_name(metric).goal


def told_goals(runs: pl.DataFrame) -> dict[str, Literal["lower", "higher"]]:
    """The goals that producers told with their runs (a study's directions); none where two of them disagree."""
    found: dict[str, Literal["lower", "higher"]] = {}
    for column in runs.columns:
        if column.startswith(GOALS):
            words = runs[column].drop_nulls().unique().to_list()
            if words in (["lower"], ["higher"]):
                found[column.removeprefix(GOALS)] = words[0]
    return found


def outcome_goal(metric: str, goals: Mapping[str, str] | None = None) -> str:
    """Returns `known_goal`, but unknown for metrics that are no result of a run (memory, latency, throughput, a critic's fit)."""
    configured = bool(goals) and metric in (goals or {})
    return "unknown" if not configured and read_name(metric).aside else known_goal(metric, goals)


def goal_of(metric: str, asked: str = "", goals: Mapping[str, str] | None = None) -> str:
    """Returns the goal that was passed, else the known one. Raises AmbiguousGoalError, or UnknownNameError for another word."""
    if asked:
        if asked not in ("lower", "higher"):
            raise UnknownNameError.of(
                "goal", asked, ("lower", "higher"), meaning="goal",
                hint=f"goal takes lower or higher: which values of {metric!r} are better.",
            )  # fmt: skip
        return asked
    goal = known_goal(metric, goals)
    if goal == "unknown":
        raise AmbiguousGoalError(
            f"Whether lower or higher {metric!r} is better is not known ({read_name(metric).reason}):"
            " pass goal='lower' or goal='higher', or set metric_goals."
        )
    return goal


def main_metrics(
    metrics: Iterable[str],
    configured: Iterable[str] = (),
    goals: Mapping[str, str] | None = None,
    *,
    most: int = 3,
    counts: Mapping[str, int] | None = None,
) -> list[str]:
    """Returns the most important metrics: configured ones, else validation before test before training, scores before losses, and
    a mean over classes or data sets before its parts.

    ``counts``: the runs that logged each metric; one that most runs lack comes after the others of its split.
    """
    names = sorted(metrics)
    chosen = [m for m in configured if m in names]
    if chosen:
        return chosen[:most]
    ranks = {n: rank for n in names if (rank := _rank(n, goals)) is not None}
    widest: dict[int, int] = {}
    for name, (split, _) in ranks.items():
        widest[split] = max(widest.get(split, 0), (counts or {}).get(name, 0))

    parts = _parts_of_a_whole(ranks)

    def order(name: str) -> tuple[int, bool, int, bool, str]:
        split, kind = ranks[name]
        return split, 2 * (counts or {}).get(name, 0) < widest[split], kind, name in parts, name

    return sorted(ranks, key=order)[:most] or names[:most]


def _parts_of_a_whole(ranks: Mapping[str, tuple[int, int]]) -> set[str]:
    """Returns metrics of one class, data set or term beside their mean or total: ``dice_tumor`` beside ``dice_mean`` or ``dice``.

    ``ranks``: metric -> its split and kind. A part is of the split of its whole.
    """
    words = {name: tuple(_words(name)) for name in ranks}
    shorter: dict[tuple[int, tuple[str, ...]], set[str]] = {}  # names by what is left of them without one word
    for name, own in words.items():
        if not _WHOLES & set(own):
            for i, word in enumerate(own):
                if word not in _SPLITS:
                    shorter.setdefault((ranks[name][0], own[:i] + own[i + 1 :]), set()).add(name)
    parts: set[str] = set()
    for name, own in words.items():
        stems = [own[:i] + own[i + 1 :] for i, word in enumerate(own) if word in _WHOLES] or [own]
        found = set[str]().union(*(shorter.get((ranks[name][0], stem), ()) for stem in stems)) - {name}
        parts |= found if len(found) >= _FEWEST_PARTS else set()
    return parts


def run_counts(series: pl.DataFrame) -> dict[str, int]:
    """Returns for each metric the number of runs that logged it."""
    return dict(series.group_by("metric").agg(pl.len()).iter_rows())


def _rank(metric: str, goals: Mapping[str, str] | None) -> tuple[int, int] | None:
    """Returns the rank of a metric's split and, within it, of its kind; None where no outcome is measured."""
    words = set(_words(metric))
    goal = outcome_goal(metric, goals)
    if goal == "unknown" or words & _RESOURCES:
        return None
    split = 2 if not words & _VALIDATION else 1 if "test" in words else 0
    kind = 0 if goal == "higher" else 2 if words & _LOSSES else 1
    return split, kind + 3 * ("best" in words)


def _words(metric: str) -> list[str]:
    """Splits ``valLoss_epoch`` into val, loss, epoch."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", metric)
    return [w for w in re.split(r"[^a-z0-9]+", spaced.lower()) if w]
