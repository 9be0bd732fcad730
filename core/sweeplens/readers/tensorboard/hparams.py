"""What TensorBoard's hparams plugin says: the hyperparameters of a session, when it began, and how it ended."""

from __future__ import annotations

from msgspec import Struct, field

from sweeplens.readers.decoding.protobuf import as_double, as_text, fields

__all__ = ["EXPERIMENT_TAG", "START_TAG", "HparamsSession", "session_of"]

EXPERIMENT_TAG, START_TAG = "_hparams_/experiment", "_hparams_/session_start_info"
_START, _END = 3, 4
_STATUS = {1: "finished", 2: "failed", 3: "running"}


class HparamsSession(Struct, frozen=True):
    """One event of the plugin; what it does not speak of is empty."""

    hyperparameters: dict[str, object] = field(default_factory=dict[str, object])
    group: str = ""
    began: float = 0.0
    status: str = ""


def session_of(content: int | bytes) -> HparamsSession | None:
    """The plugin's data of one event; None when it is neither a start nor an end."""
    for number, value in fields(content) if isinstance(content, bytes) else ():
        if number == _START and isinstance(value, bytes):
            return _started(value)
        if number == _END and isinstance(value, bytes):
            said = dict(fields(value)).get(1, 0)
            return HparamsSession(status=_STATUS.get(said, "") if isinstance(said, int) else "")
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
    """A google.protobuf.Value of one level: number, text, truth value, list; null for anything else."""
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
