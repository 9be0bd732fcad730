"""What can be configured, from where, and with which error when it cannot be used.

Order, the first that names a field wins: arguments, ``ANALYSIS_*`` variables, ``.env``, ``sweeplens.toml``, the table
``[tool.sweeplens]`` of ``pyproject.toml``, defaults. Files are looked for in the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sweeplens.errors import ConfigError, nearest

__all__ = ["AnalysisConfig", "Goal", "Thresholds"]

PREFIX = "ANALYSIS_"
DOTENV, TOML, PROJECT = ".env", "sweeplens.toml", "pyproject.toml"

Goal = Literal["lower", "higher"]


class Thresholds(BaseModel):
    """When a finding of `diagnose_runs` is one. Each is described where its detector is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    divergence_factor: Annotated[
        float, Field(gt=1, description="the end of a curve is this many times its best, or its start, worse")
    ] = 10.0
    spike_deviations: Annotated[
        float, Field(gt=0, description="a spike rises this many robust deviations above its neighbours")
    ] = 12.0
    plateau_share: Annotated[
        float, Field(gt=0, lt=1, description="share of the steps at the end without any improvement")
    ] = 0.5
    overfit_rise: Annotated[
        float, Field(gt=0, description="relative rise of the validation loss above its minimum")
    ] = 0.1
    throughput_drop: Annotated[float, Field(gt=0, lt=1, description="relative drop of the rate of steps")] = 0.5
    throughput_seconds: Annotated[float, Field(ge=0, description="seconds that a slow stretch must last")] = 30.0
    silent_steps: Annotated[
        float, Field(gt=0, description="steps of its own that a running run must miss before it counts as stalled")
    ] = 5.0
    sibling_deviations: Annotated[
        float, Field(gt=0, description="distance from the seed siblings in their deviations")
    ] = 4.0
    early_stop_share: Annotated[
        float, Field(gt=0, lt=1, description="a metric that ends before this share of its run's steps")
    ] = 0.8
    min_points: Annotated[
        int, Field(ge=2, description="finite points that a series needs before a detector looks at it")
    ] = 10


class Fields(BaseModel):
    """The settings, whoever says them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment_dir: str = Field(
        default="./experiments", description="the folder of experiments, where no base_path is given"
    )
    roots: tuple[str, ...] = Field(default=(), description="further folders of experiments")
    output_dir: str = Field(
        default="./analysis_output", description="where scripts of yours may write; sweeplens never does"
    )
    metric_display_names: dict[str, str] = Field(
        default_factory=dict[str, str], description="metric -> name for people"
    )
    hparam_display_names: dict[str, str] = Field(
        default_factory=dict[str, str], description="hyperparameter -> name for people"
    )
    metric_goals: dict[str, Goal] = Field(
        default_factory=dict[str, Goal], description="metric -> lower or higher is better"
    )
    main_metrics: tuple[str, ...] = Field(default=(), description="metrics that overview and list_runs show first")
    replicate_hparams: tuple[str, ...] = Field(
        default=("seed", "*.seed", "random_state", "*.random_state", "rng_seed", "trial", "fold"),
        description="hyperparameters (globs) that mark repetitions of one setting and never define a group by themselves",
    )
    cache_dir: str = Field(
        default="",
        description="where stores live: a folder, or an object store as s3://bucket/prefix; empty: the user's cache",
    )
    cache: Literal["disk", "memory"] = Field(default="disk", description="memory: keep nothing between processes")
    refresh_seconds: float = Field(
        default=2.0, ge=0, description="an answer rests on files as they were at most so long before"
    )
    live_seconds: float = Field(
        default=600.0, gt=0, description="a run whose files grew within this time counts as running"
    )
    max_answer_bytes: int = Field(default=8000, ge=2000, description="bound of each channel of an answer")
    query_seconds: float = Field(default=30.0, gt=0, description="bound on the time of one SQL query")
    query_megabytes: int = Field(default=2048, ge=64, description="bound on the memory of one SQL query")
    thresholds: Thresholds = Field(default_factory=Thresholds, description="of diagnose_runs")

    @field_validator("experiment_dir", "output_dir", "cache_dir", mode="before")
    @classmethod
    def _path_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, Path) else value

    @field_validator("roots", mode="before")
    @classmethod
    def _paths_as_text(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return tuple(str(v) for v in cast("list[object]", value))
        return value


class AnalysisConfig(Fields):
    """Settings of the library and the server. Frozen; `ConfigError` names the field, what is wrong and the remedy."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**(_joined(values) if _said_outside() else values))
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from error

    def with_roots(self, *roots: str | Path) -> Self:
        """The same settings for other folders."""
        first, *rest = (str(r) for r in roots)
        return self.model_copy(update={"experiment_dir": first, "roots": tuple(rest)})


def _joined(values: dict[str, Any]) -> dict[str, Any]:
    from sweeplens.outside import joined

    return joined(values)


def _said_outside() -> bool:
    """Whether variables or files speak of settings; looking takes a hundredth of the time of importing who reads them."""
    return (
        any(name.upper().startswith(PREFIX) for name in os.environ)
        or PREFIX in _text(DOTENV).upper()
        or bool(_text(TOML))
        or ("sweeplens" in (project := _text(PROJECT)) and _has_our_table(project))
    )


def _text(file: str) -> str:
    """What a file of the working directory says; of one that cannot be read, enough to have it read by who says why."""
    try:
        return Path(file).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError:
        return f"{PREFIX} sweeplens"


def _has_our_table(project: str) -> bool:
    import tomllib

    try:
        return "sweeplens" in tomllib.loads(project).get("tool", {})
    except tomllib.TOMLDecodeError:
        return True


def _sentence(error: ValidationError) -> str:
    """Each field that is wrong, what is wrong with it, and the nearest field or the remedy."""
    parts: list[str] = []
    for detail in error.errors():
        field = ".".join(str(p) for p in detail["loc"])
        if detail["type"] == "extra_forbidden":
            near = nearest(field, AnalysisConfig.model_fields)
            parts.append(f"No setting {field!r}." + (f" Nearest: {', '.join(map(repr, near))}." if near else ""))
            continue
        known = AnalysisConfig.model_fields.get(str(detail["loc"][0]))
        remedy = f" It is {known.description}." if known and known.description else ""
        parts.append(
            f"Setting {field!r} (ANALYSIS_{str(detail['loc'][0]).upper()}): {detail['msg']}, got {detail['input']!r}.{remedy}"
        )
    return " ".join(parts)
