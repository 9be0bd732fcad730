"""Reads the trials of a KerasTuner search: each ``trial.json`` is a run with its hyperparameters and best values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.compression import read_config_bytes
from sweeplens.readers.decoding.values import PointBuffer, as_number, as_step, status_of
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["KerasTuner"]

_TRIAL = "trial.json"
_GOALS = {"min": "lower", "max": "higher"}
_STATUS = {"COMPLETED": "finished", "INVALID": "failed", "FAILED": "failed", "STOPPED": "killed", "IDLE": "waiting"}
_Json = dict[str, Any]


class KerasTuner:
    """Trials of a search.

    Producer: KerasTuner
    Files: ``<project>/trial_<id>/trial.json``
    Reads: hyperparameters; the best values of each metric and the score at the best epoch; status, direction of each metric, the project as group
    Leaves: ``oracle.json``, ``tuner0.json``, ``build_config.json`` and the checkpoints beside them
    """  # noqa: E501 - a line of docs/formats.md each

    name = "keras_tuner"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims a trial, and the files of the search above."""
        if _TRIAL in folder.files and b'"trial_id"' in folder.head(_TRIAL)[:200]:
            yield Claim((_TRIAL,), belongs=("build_config.json",))
        if "oracle.json" in folder.files and any(_TRIAL in child.files for child in folder.folders.values()):
            tuners = tuple(n for n in folder.files if n.startswith("tuner") and n.endswith(".json"))
            yield Claim((), belongs=("oracle.json", *tuners), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the trial whole."""
        path = source.files[0].path
        try:
            loaded: object = json.loads(read_config_bytes(path))
        except ValueError as error:
            raise FormatError(f"{path} is not complete JSON: {error}") from error
        if not isinstance(loaded, dict):
            raise FormatError(f"{path} holds no trial of KerasTuner")
        trial = cast("_Json", loaded)
        points = PointBuffer()
        goals = _add_metrics(trial, source.relative, points)
        return Reading((_record(trial, source.relative, goals),), points.frame())


def _object(value: object) -> _Json:
    return cast("_Json", value) if isinstance(value, dict) else {}


def _add_metrics(trial: Mapping[str, Any], run: str, points: PointBuffer) -> dict[str, str]:
    """Adds the observed values; several executions of a trial are averaged, as KerasTuner does. Returns the goals."""
    goals: dict[str, str] = {}
    tracked = _object(_object(trial.get("metrics")).get("metrics"))
    for name, metric in tracked.items():
        for seen in metric.get("observations") or ():
            values = [v for v in map(as_number, seen.get("value") or ()) if v is not None]
            if values:
                points.add(run, name, as_step(seen.get("step")) or 0, sum(values) / len(values))
        if word := _GOALS.get(str(metric.get("direction"))):
            goals[name] = word
    score = as_number(trial.get("score"))
    if score is not None:
        points.add(run, "score", as_step(trial.get("best_step")) or 0, score)
    return goals


def _record(trial: Mapping[str, Any], run: str, goals: Mapping[str, str]) -> RunRecord:
    settings = _object(_object(trial.get("hyperparameters")).get("values"))
    status = str(trial.get("status") or "")
    return RunRecord(
        run,
        name=f"trial {trial.get('trial_id', '')}".strip(),
        group=run.rsplit("/", 2)[-2] if "/" in run else "",
        status=_STATUS.get(status, status_of(status)),
        hyperparameters={k: v for k, v in settings.items() if not k.startswith("tuner/")},
        metadata={"goals": dict(goals)} if goals else {},
    )
