"""Builds records from Optuna's studies and trials, for both storages: one record for each trial, with decoded parameters.

Optuna stores every parameter as a number, with the distribution that converts the number to the value.
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
    """A study: its name, metadata and objectives."""

    name: str
    metadata: Mapping[str, object]
    objectives: tuple[str, ...]  # names that the user gave
    several: bool


UNKNOWN = Study("", {}, (), several=False)


class Trial(Struct, frozen=True):
    """A trial: the id of its run, its study, state and times."""

    run: str
    key: Any
    study: Any
    state: str
    begin: datetime | None
    end: datetime | None


def study_of(name: str, directions: list[str], metric_names: object, attributes: Mapping[str, object] | None) -> Study:
    """Returns a study from its stored fields."""
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
    """Returns the record of a trial's run."""
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
    """Returns the name of an objective: the user's name, else ``value``, or ``values_<index>`` if there are several."""
    if isinstance(index, int) and 0 <= index < len(study.objectives):
        return study.objectives[index]
    return f"values_{index}" if study.several else "value"


def decoded(value: Any, distribution: str) -> object:
    """Returns the value that a trial used: the choice with this index, a whole number, or a number.

    Raises ValueError, TypeError, LookupError or OverflowError where the distribution does not define it.
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
    """Returns {name: value}; {} for an empty value."""
    return {name: value} if value else {}
