"""What Optuna says of studies and trials, however it stores them: one record a trial, parameters as the trial used them.

Optuna keeps every parameter as a number, and beside it the distribution by which the number becomes a value again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.values import status_of
from sweeplens.readers.protocol import RunRecord

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["UNKNOWN", "Study", "Trial", "decoded", "named", "objective", "record_of", "study_of"]


_GOALS = {"minimize": "lower", "maximize": "higher"}


class Study(Struct, frozen=True):
    """What is known of a study."""

    name: str
    metadata: Mapping[str, object]
    objectives: tuple[str, ...]  # names that the user gave
    several: bool


UNKNOWN = Study("", {}, (), several=False)


class Trial(Struct, frozen=True):
    """What is known of a trial, and the id of its run."""

    run: str
    key: Any
    study: Any
    state: str
    begin: datetime | None
    end: datetime | None


def study_of(name: str, directions: list[str], metric_names: object, attributes: Mapping[str, object] | None) -> Study:
    """A study from what is stored of it."""
    about = named("direction", directions[0]) if len(directions) == 1 else named("directions", directions)
    words = [_GOALS.get(d.lower(), "") for d in directions]
    objectives = tuple(map(str, cast("list[object]", metric_names))) if isinstance(metric_names, list) else ()
    study = Study(name, {**about, **named("study_attrs", attributes)}, objectives, several=len(directions) > 1)
    goals = {objective(study, place): word for place, word in enumerate(words) if word}
    if len(words) == 1 and words[0]:
        goals["intermediate_value"] = words[0]
    return replace(study, metadata={**study.metadata, **named("goals", goals)})


def record_of(
    trial: Trial, study: Study, params: Mapping[str, object], attributes: Mapping[str, object] | None
) -> RunRecord:
    """The run that a trial is."""
    return RunRecord(
        trial.run,
        name=trial.run,
        group=study.name,
        status=status_of(trial.state),
        created_at=trial.begin,
        updated_at=trial.end,
        hyperparameters=params,
        metadata={"state": trial.state, **study.metadata, **named("user_attrs", attributes)},
    )


def objective(study: Study, index: Any) -> str:
    """The name of an objective: what the user called it, else ``value``, else its number."""
    if isinstance(index, int) and 0 <= index < len(study.objectives):
        return study.objectives[index]
    return f"values_{index}" if study.several else "value"


def decoded(value: Any, distribution: str) -> object:
    """The value that a trial used: a choice by its index, a whole number, or the number itself.

    Raises ValueError, TypeError, LookupError or OverflowError where the distribution does not say it.
    """
    loaded = cast("Any", decode(distribution.encode("utf-8", "replace")))
    kind, attributes = str(loaded["name"]), loaded["attributes"]
    if kind == "CategoricalDistribution":
        index = int(value)
        if index < 0:
            raise ValueError("a negative choice")
        return attributes["choices"][index]
    return int(value) if kind.startswith("Int") else float(value)


def named(name: str, value: object) -> dict[str, object]:
    """The value under its name; nothing where there is none."""
    return {name: value} if value else {}
