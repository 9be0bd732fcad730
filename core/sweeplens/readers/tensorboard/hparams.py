"""Decodes the data of TensorBoard's hparams plugin: a session's hyperparameters, start and status."""

from __future__ import annotations

from msgspec import Struct, field

from sweeplens.readers.decoding.protobuf import as_double, as_text, fields

__all__ = ["EXPERIMENT_TAG", "START_TAG", "HparamsSession", "session_of"]

EXPERIMENT_TAG, START_TAG = "_hparams_/experiment", "_hparams_/session_start_info"
_START, _END = 3, 4
_STATUS = {1: "finished", 2: "failed", 3: "running"}


class HparamsSession(Struct, frozen=True):
    """One event of the plugin; fields that it does not have are empty."""

    hyperparameters: dict[str, object] = field(default_factory=dict[str, object])
    group: str = ""
    began: float = 0.0
    status: str = ""


def session_of(content: int | bytes) -> HparamsSession | None:
    """Decodes the plugin's data of one event; None when it is neither a start nor an end."""
    for number, value in fields(content) if isinstance(content, bytes) else ():
        if number == _START and isinstance(value, bytes):
            return _started(value)
        if number == _END and isinstance(value, bytes):
            code = dict(fields(value)).get(1, 0)
            return HparamsSession(status=_STATUS.get(code, "") if isinstance(code, int) else "")
    return None


def _started(data: bytes) -> HparamsSession:
    hyperparameters: dict[str, object] = {}
    group, start = "", 0.0
    for number, value in fields(data):
        if number == 1 and isinstance(value, bytes):
            entry = dict(fields(value))
            hyperparameters[as_text(entry.get(1, b""))] = _plain(entry.get(2, b""))
        elif number == 4:
            group = as_text(value)
        elif number == 5:
            start = as_double(value)
    return HparamsSession(hyperparameters, group, start)


def _plain(data: int | bytes) -> object:
    """Decodes a google.protobuf.Value: number, text, boolean or list; None for anything else."""
    for number, value in fields(data) if isinstance(data, bytes) else ():
        if number == 2:
            return as_double(value)
        if number == 3:
            return as_text(value)
        if number == 4:
            return bool(value)
        if number == 6 and isinstance(value, bytes):
            return [_plain(item) for n, item in fields(value) if n == 1]
    return None
