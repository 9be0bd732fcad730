"""Builds a `RunRecord` from MLflow's fields of a run, for its file store and its database.

Parameters stay text, as MLflow stores them. A deleted run is still a run; `metadata.lifecycle` marks it as deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweeplens.readers.decoding.values import as_time, status_of
from sweeplens.readers.protocol import Folder, RunRecord

__all__ = ["is_artifacts_home", "mlflow_record"]

_KEY = re.compile(r"(m-)?[0-9a-f]{32}")  # of a run, or of a logged model
_STATUS_CODES = {"1": "running", "2": "running", "3": "finished", "4": "failed", "5": "killed"}
_OTHER_FIELDS = frozenset({"mlflow.parentRunId", "mlflow.runName", "mlflow.log-model.history"})


def is_artifacts_home(folder: Folder) -> bool:
    """Whether a folder holds only the artifacts of a run, and the run's store is in a folder above.

    MLflow stores artifacts like this beside a database, or when a server serves its files.
    """
    if folder.files or "artifacts" not in folder.folders or not _KEY.fullmatch(folder.name):
        return False
    above = folder.child("..")
    while above is not None:
        if "mlflow_sqlite" in above.taken.values() or any(above.find(f"{n}/0/meta.yaml") for n in above.folders):
            return True
        above = above.child("..")
    return False


def mlflow_record(
    run: Mapping[str, object], params: Mapping[str, object], tags: Mapping[str, str], experiment: Mapping[str, object]
) -> RunRecord:
    """Returns a record from the fields of a run (``meta.yaml`` or row), its parameters, tags and experiment."""
    status = str(run.get("status") or "")
    return RunRecord(
        id=_text(run.get("run_id") or run.get("run_uuid")),
        name=_text(run.get("run_name") or run.get("name") or tags.get("mlflow.runName")),
        group=_text(experiment.get("name") or run.get("experiment_id")),
        status=_STATUS_CODES.get(status) or status_of(status),
        created_at=as_time(_whole(run.get("start_time"))),
        updated_at=as_time(_whole(run.get("end_time"))),
        parent=tags.get("mlflow.parentRunId", ""),
        tags=tuple(f"{k}={v}" if v else k for k, v in sorted(tags.items()) if not k.startswith("mlflow.")),
        hyperparameters=params,
        metadata=_metadata(run, tags, experiment),
    )


def _metadata(
    run: Mapping[str, object], tags: Mapping[str, str], experiment: Mapping[str, object]
) -> dict[str, object]:
    stages = (_text(run.get("lifecycle_stage")), _text(experiment.get("lifecycle_stage")))
    known: dict[str, object] = {
        "lifecycle": "deleted" if "deleted" in stages else "active",
        "experiment_id": _text(run.get("experiment_id")),
        "user": _text(run.get("user_id")),
        "artifact_uri": _text(run.get("artifact_uri")),
    }
    own_tags = {k.removeprefix("mlflow."): v for k, v in tags.items() if k not in _OTHER_FIELDS}
    return {**{k: v for k, v in known.items() if v}, **({"tags": own_tags} if own_tags else {})}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
