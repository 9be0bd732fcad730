"""Reads the records of a W&B log that describe the run: name, group, tags, config and exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from msgspec import Struct, field

from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.decoding.protobuf import as_signed, as_text, as_timestamp, fields
from sweeplens.readers.wandb.history import item

__all__ = ["DESCRIPTION_RECORDS", "RunDescription", "since_1970"]

_CONFIG, _STATS, _OUTPUT, _RUN, _EXIT = 5, 7, 13, 17, 18
DESCRIPTION_RECORDS = frozenset({_CONFIG, _STATS, _OUTPUT, _RUN, _EXIT})
_TEXTS = {1: "wandb_run_id", 2: "entity", 3: "project", 7: "job_type", 9: "notes", 12: "sweep_id", 13: "host"}
_RUN_CONFIG, _RUN_GROUP, _RUN_NAME, _RUN_TAG, _RUN_START = 4, 6, 8, 10, 17


class RunDescription(Struct):
    """The description of a run by its records so far. All fields are JSON values: it is kept between readings."""

    name: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list[str])
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    about: dict[str, str] = field(default_factory=dict[str, str])
    began: float = 0.0  # seconds since 1970
    alive: float = 0.0  # the latest time in a record
    exit_code: int | None = None

    def add(self, number: int, data: bytes) -> None:
        """Adds one of the `DESCRIPTION_RECORDS`. Raises WireError where it is damaged."""
        if number == _CONFIG:
            _update(self.config, data)
        elif number in (_STATS, _OUTPUT):
            self._time(next((v for n, v in fields(data) if n == 2), b""))
        elif number == _RUN:
            self._run(data)
        elif number == _EXIT:
            self.exit_code = next((as_signed(v) for n, v in fields(data) if n == 1), 0)

    def status(self, alive: float, deadline: float) -> str:
        """Returns how the run ended; without an exit record ``crashed``, if its latest record is before the deadline."""
        if self.exit_code is not None:
            return "finished" if self.exit_code == 0 else "failed"
        return "crashed" if 0 < alive < deadline else ""

    def _time(self, value: int | bytes) -> None:
        if (when := as_timestamp(value)) is not None:
            self.alive = max(self.alive, when.timestamp())

    def _run(self, data: bytes) -> None:
        tags: list[str] = []
        for number, value in fields(data):
            if number in _TEXTS and (text := as_text(value)):
                self.about[_TEXTS[number]] = text
            elif number == _RUN_CONFIG and isinstance(value, bytes):
                _update(self.config, value)
            elif number == _RUN_GROUP:
                self.group = as_text(value) or self.group
            elif number == _RUN_NAME:
                self.name = as_text(value) or self.name
            elif number == _RUN_TAG:
                tags.append(as_text(value))
            elif number == _RUN_START and (when := as_timestamp(value)) is not None:
                self.began = when.timestamp()
        self.tags = tags or self.tags


def since_1970(stamp: str) -> float:
    """Converts ``YYYYMMDD_HHMMSS`` in a run directory's name to seconds, as UTC; 0 for other text."""
    try:
        return datetime.strptime(stamp, "%Y%m%d_%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _update(config: dict[str, Any], data: bytes) -> None:
    """Applies a ConfigRecord: items to set, items to remove."""
    for number, entry in fields(data):
        if number not in (1, 2) or not isinstance(entry, bytes):
            continue
        path, raw = item(entry)
        if path and number == 1:
            _put(config, path, raw)
        elif len(path) == 1:
            config.pop(path[0], None)


def _put(target: dict[str, Any], path: tuple[str, ...], raw: bytes) -> None:
    """Sets a value at a path of keys; a value that is not JSON stays text."""
    for key in path[:-1]:
        inner = target.get(key)
        if not isinstance(inner, dict):
            inner = target[key] = {}
        target = cast("dict[str, Any]", inner)
    try:
        target[path[-1]] = decode(raw)
    except ValueError:
        target[path[-1]] = raw.decode("utf-8", "replace")
