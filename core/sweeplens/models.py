"""The models that users handle: hyperparameters, a run, the configuration. All are frozen and validated.

`Hyperparameters` keeps a nested config and returns it flat, with dotted names. `Run` is one run with its metrics as lists.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from sweeplens.config import AnalysisConfig, Thresholds
from sweeplens.errors import UnknownNameError

__all__ = ["AnalysisConfig", "Hyperparameters", "Run", "Thresholds", "flatten", "unflatten"]

_MAX_DEPTH = 100


def flatten(nested: Mapping[str, object]) -> dict[str, object]:
    """Flattens nested mappings, joining keys with dots; lists, None and empty mappings are values.

    A dot inside a key stays, unless the name would be ambiguous: then it is written ``a\\.b``.
    """
    leaves = list(_leaves(nested, ()))
    meant = Counter(".".join(path) for path, _ in leaves)
    flat: dict[str, object] = {}
    for path, value in leaves:
        name = ".".join(path)
        flat[name if meant[name] == 1 else ".".join(p.replace(".", "\\.") for p in path)] = value
    return flat


def unflatten(flat: Mapping[str, object]) -> dict[str, object]:
    """Reverses `flatten`: ``optim.lr`` -> ``{"optim": {"lr": ...}}``; ``\\.`` is a dot inside a key.

    A name whose parent is itself a value (``a`` and ``a.b``) stays flat.
    """
    nested: dict[str, object] = {}
    for name, value in flat.items():
        parts = [p.replace("\0", ".") for p in name.replace("\\.", "\0").split(".")]
        here: dict[str, object] = nested
        for depth, part in enumerate(parts[:-1]):
            below = here.setdefault(part, {})
            if not isinstance(below, dict) or ".".join(parts[: depth + 1]) in flat:
                here, parts = nested, [name]
                break
            here = cast("dict[str, object]", below)
        here[parts[-1]] = value
    return nested


def _leaves(nested: Mapping[str, object], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in nested.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value and len(path) < _MAX_DEPTH:
            yield from _leaves(cast("Mapping[str, object]", value), path)
        else:
            yield path, value


class Hyperparameters(BaseModel):
    """Nested hyperparameters. Any key is allowed: `Hyperparameters(**config)` or `.model_validate(config)`."""

    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _only_text_keys(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return {str(k): v for k, v in cast("Mapping[object, object]", value).items()}
        return value

    @property
    def nested(self) -> dict[str, Any]:
        """The nested values."""
        return dict(self.__pydantic_extra__ or {})

    def flatten(self, prefix: str = "") -> dict[str, Any]:
        """Returns the values by dotted name: ``{"optim": {"lr": 0.1}}`` -> ``{"optim.lr": 0.1}``."""
        return {f"{prefix}{name}": value for name, value in flatten(self.nested).items()}

    @classmethod
    def from_flat(cls, flat: Mapping[str, object]) -> Self:
        """Creates hyperparameters from the result of `flatten`."""
        return cls.model_validate(unflatten(flat))

    def get(self, name: str, default: object = None) -> Any:
        """Returns a value by dotted name."""
        return self.flatten().get(name, default)

    def __getitem__(self, name: str) -> Any:
        flat = self.flatten()
        if name not in flat:
            raise KeyError(str(UnknownNameError.of("hyperparameter", name, flat)))
        return flat[name]

    def __contains__(self, name: object) -> bool:
        return name in self.flatten()


class Run(BaseModel):
    """One run: its hyperparameters, each metric as a list (the index is the step), and metadata."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(min_length=1)
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    metrics: dict[str, list[float | None]] = Field(default_factory=dict[str, "list[float | None]"])
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    steps: dict[str, list[int]] = Field(
        default_factory=dict[str, "list[int]"], description="metric -> step of each value, where that is not its index"
    )

    @field_validator("run_id", mode="before")
    @classmethod
    def _id_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("steps")
    @classmethod
    def _a_step_for_each_value(cls, steps: dict[str, list[int]], info: ValidationInfo) -> dict[str, list[int]]:
        metrics = cast("dict[str, list[float | None]]", info.data.get("metrics", {}))
        for name, numbers in steps.items():
            if len(numbers) != len(metrics.get(name, ())):
                wanted = len(metrics.get(name, ()))
                raise ValueError(f"steps of {name!r} has {len(numbers)} entries for {wanted} values: give one for each")
        return steps

    def _series(self, metric: str) -> list[float]:
        if metric not in self.metrics:
            raise UnknownNameError.of(
                "metric", metric, self.metrics, hint=f"Run {self.run_id!r} has {len(self.metrics)}."
            )
        return [v for v in self.metrics[metric] if v is not None]

    def last(self, metric: str) -> float | None:
        """Returns the last value of a metric, NaN and infinities included; None without values. Raises UnknownNameError."""
        series = self._series(metric)
        return series[-1] if series else None

    def best(self, metric: str, *, goal: str = "") -> float | None:
        """Returns the best finite value of a metric; ``goal`` is ``lower`` or ``higher``, by default inferred from its name.

        Raises UnknownNameError for a metric that the run lacks, AmbiguousGoalError for an unknown goal.
        """
        from sweeplens.frames.goals import goal_of

        finite = [v for v in self._series(metric) if math.isfinite(v)]
        pick = min if (goal or goal_of(metric)) == "lower" else max
        return pick(finite, default=None)

    @property
    def best_train_loss(self) -> float | None:
        """The lowest training loss (``train/loss``, ``train_loss``, ...), None without one."""
        return self._best_of(("train/loss", "train_loss", "train.loss", "loss/train", "loss"), "lower")

    @property
    def best_val_acc(self) -> float | None:
        """The highest validation accuracy (``val/acc``, ``val_accuracy``, ...), None without one."""
        names = tuple(
            f"{split}{sep}{acc}"
            for split in ("val", "valid", "validation", "eval")
            for sep in "/_."
            for acc in ("acc", "accuracy", "acc1")
        )
        return self._best_of(names, "higher")

    @property
    def final_epoch(self) -> int | None:
        """The last epoch: of the metric ``epoch``, else the last step of any metric; None without points."""
        epochs = [v for v in self.metrics.get("epoch", ()) if v is not None and math.isfinite(v)]
        if epochs:
            return int(max(epochs))
        lasts = [max(self.steps.get(name) or [len(values) - 1]) for name, values in self.metrics.items() if values]
        return max(lasts, default=None)

    def _best_of(self, names: tuple[str, ...], goal: str) -> float | None:
        name = next((n for n in names if n in self.metrics), None)
        return None if name is None else self.best(name, goal=goal)
