"""Reads what a run's own script wrote down about it beside the log: ``result.json``, ``summary.json``, ``run_info.json``.

The single values of such a file are metadata of the run, under the file's name: ``metadata.result.test_acc``. Which files belong
to a run is decided as for signs of its end (`sources.signs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import cast

from msgspec.structs import replace

from sweeplens.plain_data import plain_mapping
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.decoding import compression
from sweeplens.readers.protocol import FileStat, Reading, Source

__all__ = ["is_facts", "with_facts"]

_NAME = re.compile(
    r"(?:run[_-]?|test[_-]?|eval[_-]?|final[_-]?|all[_-]?|best[_-]?|system[_-]?|env[_-]?)?"
    r"(?:info|meta|metadata|summary|results?|metrics|scores?)\.json|machine\.json|environment\.json",
    re.IGNORECASE,
)
_MOST_BYTES = 1 << 16
_MOST_VALUES = 200
_MOST_CHARACTERS = 300  # of a text; a longer one is no fact


def is_facts(name: str) -> bool:
    """Whether a file is called like one that holds facts about a run."""
    return _NAME.fullmatch(name) is not None


def with_facts(source: Source, reading: Reading) -> Reading:
    """Returns the reading of one run with the facts in files beside it as metadata, in the place of earlier ones of the file."""
    files = [s for s in source.signs if is_facts(PurePath(s.path.replace("\\", "/")).name)]
    if not files or len(reading.runs) != 1:
        return reading
    facts: dict[str, object] = {}
    for file in files:
        found = guarded(partial(_facts_in, file), file.path, "cannot be read")
        if not isinstance(found, Failure) and found:
            facts[PurePath(file.path.replace("\\", "/")).stem] = found
    (record,) = reading.runs
    return replace(reading, runs=(replace(record, metadata={**record.metadata, **plain_mapping(facts)}),))


def _facts_in(file: FileStat) -> dict[str, object]:
    """Returns the single values of an object; nothing of a file that is large or holds something else."""
    if file.size > _MOST_BYTES:
        return {}
    try:
        value: object = json.loads(compression.head(file.path, _MOST_BYTES))
    except (ValueError, RecursionError):
        return {}
    return _single_values(cast("dict[str, object]", value)) if isinstance(value, dict) else {}


def _single_values(values: Mapping[str, object]) -> dict[str, object]:
    """Returns numbers and short texts, those of inner objects too; lists are no facts."""
    kept: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            inner = _single_values(cast("dict[str, object]", value))
            kept |= {key: inner} if inner else {}
        elif isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= _MOST_CHARACTERS):
            kept[key] = value
        if len(kept) >= _MOST_VALUES:
            break
    return kept
