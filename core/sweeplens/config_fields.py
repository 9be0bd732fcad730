"""The settings as fields: names, types, defaults and limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sweeplens.engines.address import is_cluster, parse_address
from sweeplens.errors import nearest

__all__ = ["DOTENV", "GUARDED", "PREFIX", "PROJECT", "TOML", "ConfigFields", "Goal", "Thresholds", "unknown_variables"]

PREFIX = "ANALYSIS_"
DOTENV, TOML, PROJECT = ".env", "sweeplens.toml", "pyproject.toml"

GUARDED = ("cache_shared", "engine", "show_secrets")
"""Settings that can only be set as arguments and environment variables."""

Goal = Literal["lower", "higher"]


class Thresholds(BaseModel):
    """Thresholds for the findings of `diagnose_runs`; each is described at its detector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    divergence_factor: Annotated[
        float,
        Field(
            gt=1,
            description="a curve that ends at this many times its best, or its start, is a divergence of high severity",
        ),
    ] = 10.0
    spike_deviations: Annotated[
        float, Field(gt=0, description="a spike rises this many robust deviations above its neighbours")
    ] = 12.0
    plateau_share: Annotated[
        float,
        Field(gt=0, lt=1, description="share of the points, at the end of a curve, that bring nothing clearly better"),
    ] = 0.5
    overfit_rise: Annotated[
        float, Field(gt=0, description="how much worse than its best a validation metric ends, as a share of the best")
    ] = 0.05
    throughput_drop: Annotated[
        float, Field(gt=0, lt=1, description="drop of the rate of steps, as a share of the earlier rate")
    ] = 0.5
    throughput_seconds: Annotated[float, Field(ge=0, description="seconds that a slow stretch must last")] = 30.0
    silent_steps: Annotated[
        float,
        Field(
            gt=0, description="a running run is stalled if it was silent for longer than so many of its own steps take"
        ),
    ] = 5.0
    sibling_deviations: Annotated[
        float,
        Field(
            gt=0, description="distance of an outlier from the mean of the other seeds of its setting, in deviations"
        ),
    ] = 4.0
    early_stop_share: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="a metric ends early before this share of its run's steps, and a run before this share of the usual length",
        ),
    ] = 0.8
    min_points: Annotated[
        int, Field(ge=2, description="finite points that a series needs before detectors examine it")
    ] = 10


class ConfigFields(BaseModel):
    """The settings, from any source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment_dir: str = Field(
        default="./experiments", description="the folder of experiments, if no base_path is passed"
    )
    roots: tuple[str, ...] = Field(default=(), description="further folders of experiments")
    output_dir: str = Field(
        default="./analysis_output", description="a folder for the output of your scripts; sweeplens never writes there"
    )
    metric_display_names: dict[str, str] = Field(default_factory=dict[str, str], description="metric -> display name")
    hparam_display_names: dict[str, str] = Field(
        default_factory=dict[str, str], description="hyperparameter -> display name"
    )
    metric_goals: dict[str, Goal] = Field(
        default_factory=dict[str, Goal], description="metric -> lower or higher is better"
    )
    main_metrics: tuple[str, ...] = Field(default=(), description="metrics that overview and list_runs show first")
    replicate_hparams: tuple[str, ...] = Field(
        default=(
            "seed", "*seed", "seed_*", "random_state", "rng", "rng_*", "run", "run_number", "run_index", "run_idx",
            "rep", "repeat", "repetition", "replicate", "replica", "init", "trial", "trial_number", "fold", "fold_*", "cv_fold",
            "*_fold_idx", "bootstrap", "bootstrap_*", "replication",
        ),
        description="globs over the last part of a hyperparameter's name: these hyperparameters, such as a seed, only repeat a"
        " setting and never define a group; a name after ! (as !num_workers) is a setting although it looks like an identifier",
    )  # fmt: skip
    task_hparams: tuple[str, ...] = Field(
        default=(
            "env", "env_id", "env_name", "environment", "dataset", "dataset_name", "data_name", "task", "task_name",
            "benchmark", "game", "rom", "split",
        ),
        description="globs over the last part of a hyperparameter's name: these hyperparameters name the task, not the method;"
        " runs are compared within one value of them",
    )  # fmt: skip
    equal_within: dict[str, float] = Field(
        default_factory=dict[str, float],
        description="metric -> largest difference of two means that count as equal",
    )
    cache_dir: str = Field(
        default="",
        description="where stores are kept: a folder, or an object store as s3://bucket/prefix; empty: the user's cache",
    )
    cache_shared: bool = Field(
        default=False,
        description="other users may read and change the store on a disk, and so the answers; the umask sets permissions",
    )
    cache: Literal["disk", "memory"] = Field(default="disk", description="memory: keep nothing between processes")
    engine: str = Field(
        default="",
        repr=False,  # it may hold a token
        description="what scans points: polars (the default) or a Spark cluster, as sc://host:15002 (docs/scaling.md)",
    )
    show_secrets: bool = Field(
        default=False,
        description="keep and show hyperparameters with names of secrets (api_key, token, password); otherwise ***",
    )
    names_as_settings: bool = Field(
        default=True,
        description="read hyperparameters from the names of runs and folders (path.lr, path.seed) where no config tells runs apart",
    )
    refresh_seconds: float = Field(
        default=2.0,
        ge=0,
        description="seconds after which a question starts a new reading of the folders in the background; 0: each question"
        " waits for it",
    )
    live_seconds: float = Field(
        default=600.0, gt=0, description="a run whose files grew within this time counts as running"
    )
    mirror_megabytes: int = Field(
        default=20_480,
        ge=1,
        description="limit on the copy of a root that is no folder (an archive, s3://, sftp://, mlflow+http://)",
    )
    max_answer_bytes: int = Field(default=8000, ge=2000, description="limit on each channel of an answer")
    query_seconds: float = Field(default=30.0, gt=0, description="limit on the time of one SQL query")
    query_megabytes: int = Field(default=2048, ge=64, description="limit on the memory of one SQL query")
    thresholds: Thresholds = Field(default_factory=Thresholds, description="limits of the findings of diagnose_runs")

    @field_validator("experiment_dir", "output_dir", "cache_dir", mode="before")
    @classmethod
    def _path_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, Path) else value

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, value: str) -> str:
        if is_cluster(value):
            parse_address(value)
        return value

    @field_validator("roots", mode="before")
    @classmethod
    def _paths_as_text(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return tuple(str(v) for v in cast("list[object]", value))
        return value


def unknown_variables(environment: Iterable[str]) -> Iterator[str]:
    """A sentence for each ``ANALYSIS_*`` variable that names no setting, with the nearest that does."""
    known = [PREFIX + name.upper() for name in ConfigFields.model_fields]
    for name in environment:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper.partition("__")[0] not in known:
            near = nearest(upper, known)
            yield f"{name} is no setting and changes nothing." + (f" Nearest: {', '.join(near)}." if near else "")
